"""Stage train: fit the generator to one phone's patches, and keep the weights that validate best.

`loop.py` has what a step does, `loader.py` what it is given, `losses.py` what it lowers.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.io import digest, file_sha256, lock_folder, remove_leftovers, write_text
from dpedtool.dataset.params import TrainParams, describe
from dpedtool.dataset.progress import track
from dpedtool.dataset.sidecars.history import HISTORY, write_history
from dpedtool.dataset.sidecars.model_info import BestValidation, TrainingInfo
from dpedtool.training.networks.generators import Generator
from dpedtool.training.precision import Computation
from dpedtool.training.train import vgg
from dpedtool.training.train.distributed import Processes, join
from dpedtool.training.train.history import Log
from dpedtool.training.train.loader import Loader, Step
from dpedtool.training.train.loop import TrainingRun, Validation, architecture, first_network
from dpedtool.training.train.sources import Source
from dpedtool.training.weights.checkpoint import UNFINISHED, load_card, load_model, model_files, save_model

HELD_OUT = "held_out.txt"
NO_PATCHES = "there are no training patches: more accepted patches, or other split shares, are needed"


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    iterations: int
    best: Validation
    """The one whose weights were kept."""
    untrained: str = ""
    """Why nothing could be trained; empty where it could."""
    is_old: bool = False
    """Whether an earlier run had done it all."""

    def sentence(self) -> str:
        """Say in a line which weights were kept."""
        if self.untrained:
            return f"Not trained, since {self.untrained}; the network kept is an untrained one."
        kept = f"the weights after {self.best.iteration} of {self.iterations} iterations"
        score = "not validated"
        if not math.isnan(self.best.psnr_db):
            score = f"{self.best.psnr_db:.2f} dB PSNR on validation patches"
        if self.is_old:
            return f"Nothing to do: {kept} are there: {score}."
        return f"Kept {kept}: {score}."


def train(source: Source, out: Path, params: TrainParams, *, board: Path | None = None) -> Outcome:
    """Train, and write the model, its card and `history.csv` to `out`.

    What is trained already is left as it is. The run depends on the parameters, the images, and the files of
    `start` and `vgg`. An interrupted one goes on from its last validation, if none of them nor the code nor torch's
    version has changed since: on one device, with as many of torch's threads (`OMP_NUM_THREADS`), with the bits of
    one that was not interrupted; on another, or with another number of threads or processes, to rounding. Without
    validation patches the last weights are kept; without training patches the untrained network, whose card says
    so, that the other phones' run may go on.

    Of several processes that torchrun has started, the first one writes.

    Parameters
    ----------
    source
        The pairs.
    out
        A folder, made if missing.
    params
        Of the training.
    board
        A folder for TensorBoard; None: none.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, the start is another network than the parameters ask for, `params.device` is not
        there, a loss or gradient is not finite, or another process writes to `out`.

    """
    with join(params) as (processes, device), _sole_writer(out, processes):
        if not len(source.training):
            return _keep_untrained(out, params, processes)
        run = _begin(source, params, Computation.of(params, device), processes)
        inputs = _Inputs.read(params, source, run.computation)
        done = processes.of_first(_finished(out, inputs.key) if processes.is_first else None)
        if done:
            return done
        _restore(run, out / UNFINISHED, inputs.key)
        with run.computation.repeatable():
            _work(run, source, out, inputs.key, board)
        if processes.is_first:
            _finish(run, source, out, inputs)
        return processes.of_first(Outcome(params.iterations, run.best))


@dataclass(frozen=True)
class _Inputs:
    """What a run is made from besides its parameters, by SHA-256."""

    key: str
    data: str
    start: str | None
    vgg: str | None

    @staticmethod
    def read(params: TrainParams, source: Source, computation: Computation) -> _Inputs:
        data = source.digest()
        start = file_sha256(model_files(Path(params.start))[0]) if params.start else None
        vgg_sha256 = file_sha256(Path(params.vgg)) if params.vgg and params.content_weight > 0 else None
        # Files are known by what they hold, and a device does not change what is computed, but for the precision that
        # `auto` stands for there.
        said = {name: value for name, value in describe(params).items() if name not in ("start", "vgg", "device")}
        key = digest([{**said, "precision": computation.precision}, data, start, vgg_sha256, torch.__version__, _CODE])
        return _Inputs(key, data, start, vgg_sha256)


def load_start(params: TrainParams) -> Generator | None:
    """Load the weights to start from; None where the parameters name none.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged.
    ParamsError
        It is of another network than the parameters ask for.

    """
    if params.start is None:
        return None
    start = load_model(Path(params.start))
    found, wanted = start.architecture, architecture(params)
    if found.settings() != wanted.settings():
        differ = {name: value for name, value in found.settings().items() if value != wanted.as_json()[name]}
        settings = " and ".join(f"train.{name}={value}" for name, value in differ.items())
        raise ParamsError(f"{params.start} is a {found.name}, and train.* asks for a {wanted.name}: set {settings}.")
    return start


def _begin(source: Source, params: TrainParams, computation: Computation, processes: Processes) -> TrainingRun:
    start = load_start(params)
    features = vgg.load_vgg(params.vgg) if params.content_weight > 0 else None
    patch_px = min(source.training.images(0)[0].shape[:2])
    return TrainingRun(params, computation, patch_px, start=start, vgg=features, processes=processes)


def _restore(run: TrainingRun, unfinished: Path, key: str) -> None:
    """Go on with what an interrupted run has left, where it is of this run; say so."""
    found, processes = run.restore(unfinished, key), run.processes
    if processes.of_first(run.iteration) != run.iteration:
        raise DpedtoolError(
            f"Process {processes.rank} does not find in {unfinished.parent} what the first one does: name a folder "
            "that all machines share, or remove what is there."
        )
    if processes.is_first and found:
        print(f"train: going on after iteration {run.iteration}", file=sys.stderr)
    elif processes.is_first and unfinished.exists():
        print("train: what is there of an unfinished run is of another one, so this one begins anew", file=sys.stderr)


def _work(run: TrainingRun, source: Source, out: Path, key: str, board: Path | None) -> None:
    """Take the steps that are left; validate, save and write the history now and then."""
    params, processes = run.params, run.processes
    log = Log(out, run.history, board) if processes.is_first else None
    share = {"rank": processes.rank, "processes": processes.count}
    loader = Loader(source.training, params, second_batch=run.needs_second_batch, **share)
    if processes.is_first and len(source.validation):
        run.read_validation(source.validation)
    with contextlib.closing(loader.steps(run.iteration, params.iterations)) as steps:
        for step in _tracked(steps, run):
            run.step(step)
            if run.iteration % params.validate_every == 0 or run.iteration == params.iterations:
                run.validate(source.validation)
                if log:
                    run.save(out / UNFINISHED, key)
                    log.write(run.history)
    if log:
        log.close()


def _tracked(steps: Iterator[Step], run: TrainingRun) -> Iterator[Step]:
    left = run.params.iterations - run.iteration
    return track(steps, "train", left) if run.processes.is_first else steps


def _finished(out: Path, key: str) -> Outcome | None:
    """Return how the same run ended, where it is the one whose model is there."""
    weights, card = model_files(out)
    if not (weights.is_file() and card.is_file() and (out / HISTORY).is_file()) or (out / UNFINISHED).exists():
        return None
    try:
        training = load_card(out).training
    except DpedtoolError:
        return None  # damaged or of another version: this run writes it again
    if training is None or training.key != key:
        return None
    best = training.best_validation
    scores = (math.nan if value is None else value for value in (best.psnr_db, best.ms_ssim))
    return Outcome(training.params["iterations"], Validation(best.iteration, *scores), is_old=True)


def _finish(run: TrainingRun, source: Source, out: Path, inputs: _Inputs) -> None:
    # Also where nothing was left to do but this.
    write_history(out / HISTORY, run.history)
    training = TrainingInfo(
        key=inputs.key,
        params=describe(run.params),
        patches=len(source.training),
        validation_patches=len(source.validation),
        data_sha256=inputs.data,
        start_sha256=inputs.start,
        vgg_sha256=inputs.vgg,
        best_validation=_recorded(run.best),
        precision=run.computation.precision,
        torch=torch.__version__,
    )
    save_model(out, run.best_model(), {"trained": True, "training": training})
    # That of another run must not be taken for this one's.
    (out / HELD_OUT).unlink(missing_ok=True)
    if source.held_out:
        write_text(out / HELD_OUT, "".join(f"{name}\n" for name in source.held_out))
    (out / UNFINISHED).unlink()


def _keep_untrained(out: Path, params: TrainParams, processes: Processes) -> Outcome:
    """Write the network as it begins: the stages after this one find their files."""
    if processes.is_first:
        write_history(out / HISTORY, [])
        save_model(out, first_network(params, load_start(params)), {"trained": False, "reason": NO_PATCHES})
        (out / UNFINISHED).unlink(missing_ok=True)
    return processes.of_first(Outcome(0, Validation(0, math.nan, math.nan), NO_PATCHES))


@contextlib.contextmanager
def _sole_writer(out: Path, processes: Processes) -> Iterator[None]:
    """Keep other runs out of the folder, and clear away what a killed one was writing."""
    if not processes.is_first:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(out)
    try:
        remove_leftovers(out)
        yield
    finally:
        os.close(lock)


def _recorded(best: Validation) -> BestValidation:
    """A validation as a file holds it, which has no number that is not one."""
    psnr_db, ms_ssim = (value if math.isfinite(value) else None for value in (best.psnr_db, best.ms_ssim))
    return BestValidation(iteration=best.iteration, psnr_db=psnr_db, ms_ssim=ms_ssim)


# What the numbers of a run depend on: an interrupted run of other code is begun anew.
_CODE = code_digest(__name__)
