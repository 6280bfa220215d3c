"""Stage train: fit the generator to one phone's patches, and keep the weights with the best validation.

The steps are in `loop.py`, their input is made in `loader.py`, and the losses are in `losses.py`.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.io import digest, file_sha256, lock_folder, remove_leftovers, write_text
from dpedtool.dataset.lack_of_memory import what_ran_out
from dpedtool.dataset.params import describe, functions_of
from dpedtool.dataset.plugins import PluginName, digest_in_use
from dpedtool.dataset.progress import OUTPUT, track
from dpedtool.dataset.regular_files import MOST_WEIGHTS_BYTES
from dpedtool.dataset.sidecars.history import HISTORY, write_history
from dpedtool.dataset.sidecars.model_info import BestValidation, TrainingInfo
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import check_scale
from dpedtool.training.networks.generators import Generator
from dpedtool.training.precision import Computation
from dpedtool.training.train import vgg
from dpedtool.training.train.callback import Callback
from dpedtool.training.train.distributed import Processes, join
from dpedtool.training.train.history import Log
from dpedtool.training.train.loader import Loader, Step
from dpedtool.training.train.loop import TrainingRun, Validation, architecture, first_network
from dpedtool.training.train.sources import Source
from dpedtool.training.train.taught import TaughtPairs, photos_digest, photos_of
from dpedtool.training.weights.checkpoint import LAST, UNFINISHED, load_card, load_model, model_files, save_model

HELD_OUT = "held_out.txt"
STEPS_BEFORE, STEPS_MEASURED = 2, 3
"""Steps before the first measured one, and measured ones, for the estimate of the cost."""
_BY_CONTENT = ("start", "teacher", "unpaired", "vgg", "device")
"""Parameters whose value decides on nothing: files are known by their content, and the device changes but rounding."""
NO_PATCHES = (
    "there are no training patches (more accepted patches are needed, or other split shares together with split.redraw)"
)


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    iterations: int
    best: Validation
    """The validation whose weights were kept."""
    untrained: str = ""
    """Why nothing could be trained; empty if it could."""
    is_old: bool = False
    """Whether an earlier run had finished the training."""

    def sentence(self) -> str:
        """Return in one line which weights were kept."""
        if self.untrained:
            return f"Not trained, since {self.untrained}; the network kept is untrained."
        kept = f"the weights after {self.best.iteration} of {self.iterations} iterations"
        score = "not validated"
        if not math.isnan(self.best.psnr_db):
            score = f"{self.best.psnr_db:.2f} dB PSNR on validation patches"
        if self.is_old:
            return f"Nothing to do: {kept} exist already ({score})."
        return f"Kept {kept}: {score}."


def train(source: Source, out: Path, params: TrainParams, *, board: Path | None = None) -> Outcome:
    """Train, and write the model, its card and `history.csv` to `out`.

    A finished training is left as it is. If it is asked for more iterations and nothing else has changed, it goes on
    from its last state. If anything else has changed, a new one replaces it, and what has changed is printed. A run
    depends on the parameters, the images, and the files of `start`, `teacher`, `unpaired` and `vgg`. An interrupted run
    continues from its last validation if none of these, the code or torch's version has changed since. On the same
    device with the same number of torch's threads (`OMP_NUM_THREADS`), it gives the same bits as a run without
    interruption; on another device, or with another number of threads or processes, it gives the same values except for
    rounding. Without validation patches the last weights are kept. Without training patches the untrained network is
    kept and its card says so, so that the runs of other phones can continue.

    If torchrun has started several processes, the first one writes, and it alone has the callback.

    Parameters
    ----------
    source
        The pairs.
    out
        A folder, which is created if missing.
    params
        Parameters of the training.
    board
        A folder for TensorBoard; None: TensorBoard is not used.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, the targets are not as large as what the network makes, the start is not the
        network that the parameters ask for, `params.device` is not available, the callback cannot be made or started, a
        loss or gradient is not finite, memory does not suffice, or another process writes to `out`.

    """
    with join(params) as (processes, device), _sole_writer(out, processes), _enough_memory(params):
        if not len(source.training):
            return _keep_untrained(out, params, processes)
        run = _begin(source, params, Computation.of(params, device), processes)
        inputs = _Inputs.read(params, source, run.computation)
        done = processes.of_first(_finished(out, inputs.key, params.own_network) if processes.is_first else None)
        if done:
            return done
        _restore(run, out, inputs)
        callback = Callback(params.callback) if params.callback and processes.is_first else None
        if callback:
            callback.start(out, _described(params), run.history)
        with run.computation.repeatable():
            _work(run, source, out, inputs, board, callback)
        if processes.is_first:
            _finish(run, source, out, inputs)
        if callback:
            callback.end([*model_files(out), out / HISTORY])
        return processes.of_first(Outcome(params.iterations, run.best))


@dataclass(frozen=True)
class _Inputs:
    """The inputs of a run in addition to its parameters, as SHA-256."""

    key: str
    lineage: str
    """The key without the number of iterations."""
    data: str
    start: str | None
    teacher: str | None
    unpaired: str | None
    vgg: str | None

    @staticmethod
    def read(params: TrainParams, source: Source, computation: Computation) -> _Inputs:
        data = source.digest()
        start, teacher = (
            file_sha256(model_files(Path(model))[0], MOST_WEIGHTS_BYTES) if model else None
            for model in (params.start, params.teacher)
        )
        unpaired = photos_digest(photos_of(params.unpaired))
        vgg_sha256 = file_sha256(Path(params.vgg), MOST_WEIGHTS_BYTES) if params.vgg and params.needs_vgg else None
        # Files are identified by their content. The device changes nothing except the precision that `auto` chooses.
        said = {name: value for name, value in _described(params).items() if name not in _BY_CONTENT}
        said["precision"] = computation.precision
        own = [digest_in_use(PluginName.parse(name)) for _, name in functions_of(params)]
        rest = [data, start, teacher, unpaired, vgg_sha256, torch.__version__, _CODE, *own]
        lineage = digest([{name: value for name, value in said.items() if name != "iterations"}, *rest])
        return _Inputs(digest([said, *rest]), lineage, data, start, teacher, unpaired, vgg_sha256)


def load_start(params: TrainParams) -> Generator | None:
    """Load the weights to start from; None if the parameters name no weights.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged.
    ParamsError
        The weights belong to another network than the parameters ask for.

    """
    if params.start is None:
        return None
    start = load_model(Path(params.start), params.own_network)
    found, wanted = start.architecture, architecture(params)
    if found.settings() != wanted.settings():
        named = {"args": "network_args"}
        differ = {name: value for name, value in found.settings().items() if value != wanted.as_json().get(name)}
        settings = " and ".join(f"train.{named.get(name, name)}={value}" for name, value in differ.items())
        raise ParamsError(f"{params.start} is a {found.name}, but train.* asks for a {wanted.name}: set {settings}.")
    return start


def load_teacher(params: TrainParams) -> Generator | None:
    """Load the network whose outputs are targets as well; None if the parameters name none.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged, or the teacher enlarges images otherwise than the network that is trained.

    """
    if params.teacher is None:
        return None
    teacher = load_model(Path(params.teacher), params.own_network)
    if (scale := architecture(params).scale) != teacher.scale:
        raise DpedtoolError(
            f"The teacher in {params.teacher} enlarges images {teacher.scale} times, and the network that is trained "
            f"{scale} times: choose a teacher that enlarges them as much."
        )
    return teacher


def _begin(source: Source, params: TrainParams, computation: Computation, processes: Processes) -> TrainingRun:
    asked = architecture(params)
    for pairs in (source.training, source.validation):
        check_scale(pairs, asked.scale, asked.name)
    start = load_start(params)
    # What is wrong with the teacher is said before anything is computed.
    load_teacher(params)
    features = vgg.load_vgg(params.vgg) if params.needs_vgg else None
    patch_px = min(source.training.images(0)[0].shape[:2])
    return TrainingRun(params, computation, patch_px, start=start, vgg=features, processes=processes)


def _restore(run: TrainingRun, out: Path, inputs: _Inputs) -> None:
    """Continue an interrupted run, or a finished one with fewer iterations, and print what happens."""
    unfinished, processes = out / UNFINISHED, run.processes
    # A finished run is restored if its model is missing or damaged.
    found = run.restore(unfinished, inputs.key) or run.restore(out / LAST, inputs.key)
    goes_on = not found and run.go_on(out / LAST, inputs.lineage)
    if processes.of_first(run.iteration) != run.iteration:
        raise DpedtoolError(
            f"Process {processes.rank} and the first process find different files in {unfinished.parent}: choose a "
            "folder that all machines share, or remove the files there."
        )
    if not processes.is_first:
        return
    if found:
        print(f"train: continuing after iteration {run.iteration}", file=sys.stderr)
        return
    if goes_on:
        sizes = ""
        if run.params.schedule == "cosine":
            sizes = f"; the step sizes from here on are those of a training of {run.params.iterations} iterations"
        print(f"train: going on after the {run.iteration} iterations of the finished training{sizes}", file=sys.stderr)
        return
    if unfinished.exists():
        print(
            "train: the unfinished run there has other settings, data or code, so this one starts over", file=sys.stderr
        )
    if model_files(out)[0].is_file():
        print(
            f"train: the model in {out} {_difference(out, run.params, inputs)}, so this training starts over and "
            "replaces it at its end; interrupt it to keep the model, and choose another folder",
            file=sys.stderr,
        )


def _difference(out: Path, params: TrainParams, inputs: _Inputs) -> str:
    """Return, as a predicate, why a model that is there is not a part of this training."""
    try:
        training = load_card(out).training
    except DpedtoolError:
        return "has a card that cannot be read"
    if training is None:
        return "was not made by a training"
    told = _described(params)
    files = {
        "another file for train.start": training.start_sha256 == inputs.start,
        "another file for train.teacher": training.teacher_sha256 == inputs.teacher,
        "other photos in train.unpaired": training.unpaired_sha256 == inputs.unpaired,
        "another file for train.vgg": training.vgg_sha256 == inputs.vgg,
    }
    # Files are known by their content, and the device decides on nothing.
    changed = [
        f"train.{name}={training.params.get(name)} (now {value})"
        for name, value in told.items()
        if name not in _BY_CONTENT and training.params.get(name) != value
    ]
    changed += [words for words, is_same in files.items() if not is_same]
    if training.data_sha256 != inputs.data:
        changed.append("other patches")
    return f"was trained with {', '.join(changed) or 'other code'}"


def _described(params: TrainParams) -> dict[str, Any]:
    """Return the parameters that decide on the network, which the callback does not, as plain data."""
    return {name: value for name, value in describe(params).items() if name != "callback"}


def _work(
    run: TrainingRun, source: Source, out: Path, inputs: _Inputs, board: Path | None, callback: Callback | None
) -> None:
    """Take the remaining steps; validate, save and write the history now and then."""
    params, processes = run.params, run.processes
    log = Log(out, run.history, board) if processes.is_first else None
    share = {"rank": processes.rank, "processes": processes.count}
    taught = _taught(source, params, run.computation)
    loader = Loader(source.training, params, second_batch=run.needs_second_batch, taught=taught, **share)
    if processes.is_first and len(source.validation):
        run.read_validation(source.validation)
    with contextlib.closing(loader.steps(run.iteration, params.iterations)) as steps:
        for step in _tracked(steps, run):
            run.step(step)
            if run.iteration % params.validate_every == 0 or run.iteration == params.iterations:
                run.validate(source.validation)
                if log:
                    run.save(out / UNFINISHED, inputs.key, inputs.lineage)
                    log.write(run.history)
                    if callback:
                        callback.validated(run.history[-1])
    if log:
        log.close()


def _taught(source: Source, params: TrainParams, computation: Computation) -> TaughtPairs | None:
    """Let the teacher enhance images; None if there is no teacher."""
    if not (teacher := load_teacher(params)):
        return None
    return TaughtPairs(teacher.to(computation.device), source.training, photos_of(params.unpaired), params)


def _tracked(steps: Iterator[Step], run: TrainingRun) -> Iterator[Step]:
    left = run.params.iterations - run.iteration
    if not run.processes.is_first:
        return steps
    return track(_timed(steps, left), "train", left, lambda: _score(run))


def _timed(steps: Iterator[Step], left: int) -> Iterator[Step]:
    """Print what the training will cost, as soon as a few steps have been measured."""
    start = 0.0
    for number, step in enumerate(steps):
        # The first steps also load libraries and fill caches.
        if number == STEPS_BEFORE:
            start = time.monotonic()
        elif number == STEPS_BEFORE + STEPS_MEASURED and not OUTPUT.quiet:
            print(estimate((time.monotonic() - start) / STEPS_MEASURED, left), file=sys.stderr)
        yield step


def estimate(seconds: float, steps: int) -> str:
    """Say what a training costs: seconds a step, and the time of all steps without validations."""
    total = seconds * steps
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if total >= 2 * size:
            return f"train: {seconds:.2g} s a step, {steps} steps: about {total / size:.1f} {unit} and the validations"
    return f"train: {seconds:.2g} s a step, {steps} steps: about {total:.0f} seconds and the validations"


def _score(run: TrainingRun) -> str:
    """The last validation, for the progress."""
    psnr_db = run.history[-1]["validation_psnr_db"] if run.history else math.nan
    return "" if math.isnan(psnr_db) else f"validation {psnr_db:.2f} dB PSNR"


def _finished(out: Path, key: str, own: str | None) -> Outcome | None:
    """Return the outcome of the same run if its model exists; None otherwise."""
    weights, card = model_files(out)
    if not (weights.is_file() and card.is_file() and (out / HISTORY).is_file()) or (out / UNFINISHED).exists():
        return None
    try:
        training = load_card(out).training
        load_model(out, own)
    except DpedtoolError:
        return None  # a file is damaged or has another version: this run writes it again
    if training is None or training.key != key:
        return None
    best = training.best_validation
    scores = (math.nan if value is None else value for value in (best.psnr_db, best.ms_ssim))
    return Outcome(training.params["iterations"], Validation(best.iteration, *scores), is_old=True)


def _finish(run: TrainingRun, source: Source, out: Path, inputs: _Inputs) -> None:
    # This is needed even if only this step was left to do.
    write_history(out / HISTORY, run.history)
    training = TrainingInfo(
        key=inputs.key,
        params=_described(run.params),
        patches=len(source.training),
        validation_patches=len(source.validation),
        data_sha256=inputs.data,
        start_sha256=inputs.start,
        vgg_sha256=inputs.vgg,
        teacher_sha256=inputs.teacher,
        unpaired_sha256=inputs.unpaired,
        best_validation=_recorded(run.best),
        precision=run.computation.precision,
        torch=torch.__version__,
        continued_from=run.continued_from or None,
    )
    save_model(out, run.best_model(), {"trained": True, "training": training})
    # A list of another run must not be mistaken for this run's.
    (out / HELD_OUT).unlink(missing_ok=True)
    if source.held_out:
        write_text(out / HELD_OUT, "".join(f"{name}\n" for name in source.held_out))
    if (out / UNFINISHED).exists():
        (out / UNFINISHED).replace(out / LAST)


def _keep_untrained(out: Path, params: TrainParams, processes: Processes) -> Outcome:
    """Write the network with its initial weights, so that later stages find their files."""
    if processes.is_first:
        write_history(out / HISTORY, [])
        save_model(out, first_network(params, load_start(params)), {"trained": False, "reason": NO_PATCHES})
        for state in (UNFINISHED, LAST):
            (out / state).unlink(missing_ok=True)
    return processes.of_first(Outcome(0, Validation(0, math.nan, math.nan), NO_PATCHES))


@contextlib.contextmanager
def _sole_writer(out: Path, processes: Processes) -> Iterator[None]:
    """Keep other runs out of the folder, and remove unfinished files of a killed run."""
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


@contextlib.contextmanager
def _enough_memory(params: TrainParams) -> Iterator[None]:
    """Say which parameters need less memory when it does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not (what := what_ran_out(error)):
            raise
        raise DpedtoolError(
            f"There was not enough {what} for the training: set train.batch (now {params.batch}) or train.crop_px (now "
            f"{params.crop_px}) to less, or close other programs."
        ) from None


def _recorded(best: Validation) -> BestValidation:
    """Return a validation for a JSON file, which cannot hold NaN or infinite numbers."""
    psnr_db, ms_ssim = (value if math.isfinite(value) else None for value in (best.psnr_db, best.ms_ssim))
    return BestValidation(iteration=best.iteration, psnr_db=psnr_db, ms_ssim=ms_ssim)


# The results of a run depend on the code: an interrupted run of other code starts over.
_CODE = code_digest(__name__)
