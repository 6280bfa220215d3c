"""Training: it learns, an interrupted run continues as if nothing had happened, and the best weights are kept."""

from __future__ import annotations

import csv
import functools
import math
import os
import resource
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from interruption import interrupt_at
from loss_terms import with_usual

import dpedtool.training.precision
import dpedtool.training.train.loop
import dpedtool.training.train.stage
from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.io import file_sha256, lock_folder
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.sidecars.history import HISTORY
from dpedtool.dataset.sidecars.model_info import BestValidation, ModelInfo
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import Batch, PatchPairs
from dpedtool.training.inference import choose_device, enhance_patches
from dpedtool.training.metrics import psnr_each
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.train.loader import Loader, Step
from dpedtool.training.train.loop import TrainingRun, Validation
from dpedtool.training.train.sources import from_table
from dpedtool.training.train.stage import NO_PATCHES, Outcome, estimate
from dpedtool.training.weights.checkpoint import (
    LAST,
    UNFINISHED,
    WEIGHTS,
    load_card,
    load_model,
    load_tensors,
    save_model,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMS = TrainParams(
    channels=4,
    blocks=1,
    iterations=6,
    batch=2,
    crop_px=32,
    validate_every=2,
    learning_rate=2e-3,
    precision="float32",
    device="cpu",
)
COUNTS = {"train": 5, "validation": 2, "test": 3}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), COUNTS)


def train(table: Path, out: Path, params: TrainParams) -> Outcome:
    return dpedtool.training.train.stage.train(from_table(table), out, params)


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / HISTORY).open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def files(folder: Path) -> dict[str, bytes]:
    # The notes in the last state are in no fixed order.
    return {path.name: b"" if path.name == LAST else path.read_bytes() for path in folder.iterdir()}


def test_a_run_writes_model_card_and_history(tmp_path: Path, table: Path) -> None:
    best = train(table, tmp_path, PARAMS).best
    assert sorted(files(tmp_path)) == sorted([WEIGHTS, ModelInfo.FILE, HISTORY, LAST])
    rows = history(tmp_path)
    assert [row["iteration"] for row in rows] == [2, 4, 6]
    assert best.psnr_db == max(row["validation_psnr_db"] for row in rows)
    card = load_card(tmp_path)
    assert card.trained is True
    assert card.network == {"network": "resnet", "channels": 4, "blocks": 1, "norm": "instance"}
    assert card.training.patches == 5
    assert card.training.params["learning_rate"] == 2e-3
    assert card.training.best_validation.iteration == best.iteration
    assert card.parameters == sum(value.numel() for value in load_tensors(tmp_path / WEIGHTS).values())


def test_training_brings_the_phones_patches_nearer_to_the_dslrs(tmp_path: Path, table: Path) -> None:
    best = train(table, tmp_path, replace(PARAMS, iterations=60, validate_every=30)).best
    batch = PatchPairs(table, "validation").read([0, 1])
    assert best.psnr_db > psnr_each(batch.phone, batch.dslr).mean() + 1
    outputs = enhance_patches(load_model(tmp_path), batch.phone, clip=True)
    assert float(psnr_each(outputs, batch.dslr).mean()) == pytest.approx(best.psnr_db, abs=1e-4)


def test_the_same_parameters_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path, table: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        train(table, tmp_path / name, replace(PARAMS, seed=seed))
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert files(tmp_path / "one")[WEIGHTS] != files(tmp_path / "three")[WEIGHTS]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Callable[[TrainParams], dict[str, bytes]]:
    """Return a function that returns the files of an uninterrupted run, made once for all tests."""

    @functools.cache
    def made(params: TrainParams) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("whole")
        train(table, folder, params)
        return files(folder)

    return made


EVERYTHING = {"losses": with_usual(texture=0.1), "ema": 0.9, "clip_norm": 0.5, "schedule": "constant"}
RELEASED = {**EVERYTHING, "loss_form": "released-code", "norm": "batch", "precision": "bfloat16"}


@pytest.mark.parametrize("changes", [{}, EVERYTHING, RELEASED])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_an_interrupted_run_ends_with_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path,
    table: Path,
    whole: Callable[[TrainParams], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    changes: dict[str, Any],
) -> None:
    params = replace(PARAMS, **changes)
    with monkeypatch.context() as patched:
        interrupt_at(patched, steps)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path / "halted", params)
    assert (tmp_path / "halted" / UNFINISHED).exists() == (steps >= 2)
    written = files(tmp_path / "halted").get(HISTORY, b"")
    assert written.count(b"\n") == (1 + steps // 2 if steps >= 2 else 0)
    assert whole(params)[HISTORY].startswith(written)
    with monkeypatch.context() as patched:
        # Steps before the last validation are not repeated.
        interrupt_at(patched, 6 - steps // 2 * 2)
        train(table, tmp_path / "halted", params)
    assert files(tmp_path / "halted") == whole(params)


@pytest.mark.parametrize("changes", [{**EVERYTHING}, {"schedule": "cosine"}])
def test_a_finished_training_that_is_asked_for_more_iterations_goes_on(
    tmp_path: Path,
    table: Path,
    whole: Callable[[TrainParams], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    params = replace(PARAMS, **changes)
    train(table, tmp_path, replace(params, iterations=4))
    with monkeypatch.context() as patched:
        # An interruption of what goes on changes nothing.
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path, replace(params, iterations=8))
    assert "going on after the 4 iterations of the finished training" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        interrupt_at(patched, 2)
        train(table, tmp_path, replace(params, iterations=8))
    assert load_card(tmp_path).training.continued_from == [4]
    assert [row["iteration"] for row in history(tmp_path)] == [2, 4, 6, 8]
    if params.schedule == "constant":
        for name in (WEIGHTS, HISTORY):
            assert files(tmp_path)[name] == whole(replace(params, iterations=8))[name]
    assert train(table, tmp_path, replace(params, iterations=8)).is_old


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 1e-3}, "was trained with train.learning_rate=0.002 (now 0.001), so"),
        ({"iterations": 2}, "was trained with train.iterations=6 (now 2), so"),
        ({"iterations": 8, "seed": 3}, "was trained with train.iterations=6 (now 8), train.seed=0 (now 3), so"),
    ],
)
def test_a_finished_training_is_not_replaced_in_silence(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    train(table, tmp_path / "out", PARAMS)
    assert "replaces it" not in capsys.readouterr().err
    train(table, tmp_path / "out", replace(PARAMS, **changes))
    assert said in (err := capsys.readouterr().err)
    assert "replaces it at its end" in err
    train(table, tmp_path / "fresh", replace(PARAMS, **changes))
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_other_start_weights_and_patches_are_named_before_a_training_is_replaced(
    tmp_path: Path, table: Path, make_samples, capsys: pytest.CaptureFixture[str]
) -> None:
    train(table, tmp_path / "start", replace(PARAMS, seed=1))
    train(table, tmp_path / "out", PARAMS)
    more = make_samples(tmp_path / "more", {"train": 6, "validation": 2})
    capsys.readouterr()
    train(more, tmp_path / "out", replace(PARAMS, start=str(tmp_path / "start")))
    assert "was trained with another file for train.start, other patches, so" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "{}", '{"training": {"key": 3}}'])
def test_a_card_that_is_damaged_or_of_another_version_does_not_stop_a_training(
    tmp_path: Path, table: Path, text: str
) -> None:
    train(table, tmp_path / "out", PARAMS)
    before = files(tmp_path / "out")
    (tmp_path / "out" / ModelInfo.FILE).write_text(text)
    assert not train(table, tmp_path / "out", PARAMS).is_old
    assert files(tmp_path / "out") == before


def test_an_interrupted_run_of_other_parameters_is_no_start(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(PARAMS, learning_rate=1e-3)
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path / "halted", PARAMS)
    train(table, tmp_path / "halted", other)
    train(table, tmp_path / "whole", other)
    assert files(tmp_path / "halted") == files(tmp_path / "whole")


def test_an_interrupted_run_in_another_precision_is_no_start(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = replace(PARAMS, precision="auto")
    with monkeypatch.context() as patched:
        patched.setattr(dpedtool.training.precision, "has_bfloat16", lambda _: True)
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path / "halted", auto)
    monkeypatch.setattr(dpedtool.training.precision, "has_bfloat16", lambda _: False)
    train(table, tmp_path / "halted", auto)
    train(table, tmp_path / "whole", auto)
    assert files(tmp_path / "halted") == files(tmp_path / "whole")
    assert load_card(tmp_path / "whole").training.precision == "float32"


def test_a_damaged_unfinished_run_is_begun_anew(tmp_path: Path, table: Path) -> None:
    train(table, tmp_path / "whole", PARAMS)
    (tmp_path / "halted").mkdir()
    (tmp_path / "halted" / UNFINISHED).write_bytes(b"no tensors")
    train(table, tmp_path / "halted", PARAMS)
    assert files(tmp_path / "halted") == files(tmp_path / "whole")


def test_the_texture_loss_is_among_the_losses(tmp_path: Path, table: Path) -> None:
    train(table, tmp_path, replace(PARAMS, losses=with_usual(texture=0.1), iterations=2))
    (row,) = history(tmp_path)
    assert row["train_texture"] > 0
    assert math.isfinite(row["train_loss"])


def test_the_texture_loss_works_with_patches_smaller_than_the_crop(tmp_path: Path, table: Path) -> None:
    train(table, tmp_path, replace(PARAMS, losses=with_usual(texture=0.1), iterations=1, crop_px=100))
    assert (tmp_path / WEIGHTS).exists()


def test_what_is_wrong_with_the_validation_patches_is_said_before_the_first_step(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(indices: Sequence[int]) -> Batch:
        raise DpedtoolError(f"{len(indices)} patches are of two sizes.")

    source = from_table(table)
    monkeypatch.setattr(source.validation, "read", damaged)
    interrupt_at(monkeypatch, 0)
    with pytest.raises(DpedtoolError, match=f"{COUNTS['validation']} patches are of two sizes"):
        dpedtool.training.train.stage.train(source, tmp_path, PARAMS)


def test_without_validation_patches_the_last_weights_are_kept(tmp_path: Path, make_samples) -> None:
    table = make_samples(tmp_path / "samples", {"train": 3})
    outcome = train(table, tmp_path / "out", PARAMS)
    best = outcome.best
    assert outcome.sentence() == "Kept the weights after 6 of 6 iterations: not validated."
    assert best.iteration == PARAMS.iterations
    assert math.isnan(best.psnr_db)
    assert load_card(tmp_path / "out").training.best_validation == BestValidation(
        iteration=PARAMS.iterations, psnr_db=None, ms_ssim=None
    )
    longer = train(table, tmp_path / "again", replace(PARAMS, validate_every=6)).best
    assert longer.iteration == PARAMS.iterations
    assert files(tmp_path / "out")[WEIGHTS] == files(tmp_path / "again")[WEIGHTS]


def scores(patched: pytest.MonkeyPatch, values: list[float]) -> None:
    """Make the validations return these PSNRs in turn."""
    left = list(values)
    patched.setattr(TrainingRun, "_score", lambda run, _: Validation(run.iteration, left.pop(0), 0.5))


def test_the_best_weights_are_kept_and_not_the_last(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        scores(patched, [20.0, 30.0, 25.0])
        assert train(table, tmp_path / "best", PARAMS).best.iteration == 4
    with monkeypatch.context() as patched:
        scores(patched, [20.0, 30.0, 35.0])
        assert train(table, tmp_path / "last", PARAMS).best.iteration == 6
    assert files(tmp_path / "best")[WEIGHTS] != files(tmp_path / "last")[WEIGHTS]


def test_weights_that_diverged_do_not_replace_good_ones(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, [20.0, math.nan, math.nan])
    outcome = train(table, tmp_path, PARAMS)
    assert outcome.best.iteration == 2
    assert outcome.sentence() == "Kept the weights after 2 of 6 iterations: 20.00 dB PSNR on validation patches."


@pytest.mark.parametrize("counts", [{"test": 2}, {}])
def test_without_training_patches_an_untrained_network_is_kept_and_says_so(
    tmp_path: Path, make_samples, counts: dict[str, int]
) -> None:
    table = make_samples(tmp_path, counts)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / UNFINISHED).write_bytes(b"of an earlier run")
    outcome = train(table, tmp_path / "out", PARAMS)
    assert outcome.sentence().startswith("Not trained, since there are no training patches")
    assert sorted(files(tmp_path / "out")) == sorted([WEIGHTS, ModelInfo.FILE, HISTORY])
    card = load_card(tmp_path / "out")
    assert card.trained is False
    assert card.reason == NO_PATCHES
    assert card.training is None
    assert (tmp_path / "out" / HISTORY).read_text().startswith("iteration,validation_psnr_db,")
    assert history(tmp_path / "out") == []
    photo = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(load_model(tmp_path / "out")(photo), photo, atol=0.2, rtol=0)


@pytest.mark.parametrize("changed", ["code", "torch"])
def test_an_interrupted_run_of_other_code_is_no_start(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path, PARAMS)
    if changed == "code":
        monkeypatch.setattr(dpedtool.training.train.stage, "_CODE", "another")
    else:
        monkeypatch.setattr(torch, "__version__", "another")
    interrupt_at(monkeypatch, 5)
    # Continuing would take the four remaining steps; starting over takes six.
    with pytest.raises(KeyboardInterrupt):
        train(table, tmp_path, PARAMS)


def test_the_first_weights_are_as_the_parameter_says(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpedtool.training.train.loop, "descend", lambda *_: torch.zeros(()))
    train(table, tmp_path, replace(PARAMS, iterations=1, initialisation="released-code"))
    tensors = load_tensors(tmp_path / WEIGHTS)
    assert tensors["head.bias"].tolist() == pytest.approx([0.01] * 4)
    assert tensors["head.weight"].abs().max() <= 0.02
    train(table, tmp_path, replace(PARAMS, iterations=1))
    assert load_tensors(tmp_path / WEIGHTS)["head.weight"].max() == 1


def test_a_gpu_that_is_not_there_is_refused_in_a_sentence(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DpedtoolError, match=r"device is cuda.* no usable GPU"):
        train(table, tmp_path, replace(PARAMS, device="cuda"))


@pytest.mark.parametrize(
    ("found", "wanted", "device"),
    [(True, "auto", "cuda"), (True, "cpu", "cpu"), (True, "cuda", "cuda"), (False, "auto", "cpu")],
)
def test_the_device_is_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, found: bool, wanted: Literal["auto", "cpu", "cuda"], device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    assert choose_device(wanted).type == device


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.losses=[{loss: psnr, weight: 0}]"], "--set: train.losses has no term with a weight above 0"),
        (["split.test=0.9", "split.validation=0.2"], "--set: split.test and validation together"),
    ],
)
def test_parameters_that_fit_not_together_are_named_once(overrides: list[str], message: str) -> None:
    with pytest.raises(ParamsError, match=f"^{message}"):
        load_params(None, tuple(overrides))


def test_patches_are_enhanced_some_at_a_time_and_clipped(tmp_path: Path, table: Path) -> None:
    train(table, tmp_path, replace(PARAMS, iterations=1))
    model = load_model(tmp_path)
    phone = PatchPairs(table, "train").read(range(5)).phone * 3
    outputs = enhance_patches(model, phone, clip=True, at_once=2)
    unclipped = enhance_patches(model, phone, clip=False, at_once=5)
    assert unclipped.max() > 1
    torch.testing.assert_close(outputs, unclipped.clamp(0, 1), atol=1e-6, rtol=0)
    assert not unclipped.requires_grad


def start_file(
    folder: Path,
    architecture: Architecture,
    seed: int = 9,
    kind: Literal["pass-through", "released-code"] = "released-code",
) -> Path:
    network = architecture.build()
    initialise(network, torch.Generator().manual_seed(seed), kind)
    save_model(folder / "start.safetensors", network, {})
    return folder / "start.safetensors"


def test_a_run_starts_from_the_weights_it_is_given(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = start_file(tmp_path, Architecture(channels=4, blocks=1))
    monkeypatch.setattr(dpedtool.training.train.loop, "descend", lambda *_: torch.zeros(()))
    train(table, tmp_path / "out", replace(PARAMS, iterations=1, start=str(start)))
    kept, given = load_tensors(tmp_path / "out" / WEIGHTS), load_tensors(start)
    assert kept.keys() == given.keys()
    assert all(torch.equal(kept[name], given[name]) for name in given)
    assert load_card(tmp_path / "out").training.start_sha256 == file_sha256(start)


def test_the_weights_kept_are_the_mean_of_the_trained_ones_and_of_the_start(tmp_path: Path, table: Path) -> None:
    start = start_file(tmp_path, Architecture(channels=4, blocks=1))
    given = replace(PARAMS, start=str(start), iterations=2)
    train(table, tmp_path / "trained", given)
    best = train(table, tmp_path / "mixed", replace(given, start_share=0.25)).best
    trained, mixed = (load_tensors(tmp_path / name / WEIGHTS) for name in ("trained", "mixed"))
    for name, first in load_tensors(start).items():
        torch.testing.assert_close(mixed[name], 0.75 * trained[name] + 0.25 * first)
    # The validation scores these weights.
    batch = PatchPairs(table, "validation").read([0, 1])
    outputs = enhance_patches(load_model(tmp_path / "mixed"), batch.phone, clip=True)
    assert float(psnr_each(outputs, batch.dslr).mean()) == pytest.approx(best.psnr_db, abs=1e-4)


def test_a_taught_run_that_was_interrupted_gives_the_same_bytes_and_another_teacher_others(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = start_file(tmp_path, Architecture(channels=6, blocks=1), kind="pass-through")
    given = replace(PARAMS, teacher=str(teacher), teacher_share=0.5, taught=8)
    train(table, tmp_path / "whole", given)
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path / "cut", given)
    train(table, tmp_path / "cut", given)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert load_card(tmp_path / "cut").training.teacher_sha256 == file_sha256(teacher)
    assert files(tmp_path / "cut")[WEIGHTS] != whole_without_teacher(tmp_path, table)
    start_file(tmp_path, Architecture(channels=6, blocks=1), seed=4, kind="pass-through")
    capsys.readouterr()
    train(table, tmp_path / "cut", given)
    assert "was trained with another file for train.teacher, so" in capsys.readouterr().err
    assert files(tmp_path / "cut")[WEIGHTS] != files(tmp_path / "whole")[WEIGHTS]


def test_a_missing_teacher_is_named_before_anything_is_computed(tmp_path: Path, table: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"nowhere\.safetensors"):
        train(table, tmp_path / "out", replace(PARAMS, teacher=str(tmp_path / "nowhere.safetensors")))


def whole_without_teacher(folder: Path, table: Path) -> bytes:
    train(table, folder / "alone", PARAMS)
    return files(folder / "alone")[WEIGHTS]


def test_a_teacher_that_enlarges_otherwise_is_refused(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = start_file(tmp_path, Architecture(channels=4, blocks=1))
    monkeypatch.setattr("dpedtool.training.networks.generators.Generator.scale", 2)
    with pytest.raises(DpedtoolError, match=r"The teacher in .* enlarges images 2 times, and the network .* 1 times"):
        train(table, tmp_path / "out", replace(PARAMS, teacher=str(teacher)))


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        (Architecture(channels=6, blocks=1, norm="batch"), "train.channels=6 and train.norm=batch"),
        (Architecture("srcnn"), "train.network=srcnn"),
        (Architecture("mobile", channels=6), "train.network=mobile and train.channels=6"),
    ],
)
def test_a_start_of_another_network_says_what_to_set(
    tmp_path: Path, table: Path, architecture: Architecture, settings: str
) -> None:
    start = start_file(tmp_path, architecture)
    with pytest.raises(ParamsError, match=rf"is a {architecture.name}, .* a dped_resnet_6_4: set .*{settings}\.$"):
        train(table, tmp_path / "out", replace(PARAMS, start=str(start)))


def test_an_srcnn_starts_from_one_whatever_its_unused_channels(tmp_path: Path, table: Path) -> None:
    start = start_file(tmp_path, Architecture("srcnn"))
    train(table, tmp_path / "out", replace(PARAMS, iterations=1, network="srcnn", channels=7, start=str(start)))
    assert load_card(tmp_path / "out").name == "dped_srcnn"


def test_other_weights_in_the_same_file_are_another_run(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = replace(PARAMS, start=str(start_file(tmp_path, Architecture(channels=4, blocks=1))))
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path / "out", params)
    start_file(tmp_path, Architecture(channels=4, blocks=1), seed=8)
    interrupt_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train(table, tmp_path / "out", params)
    assert "has other settings, data or code, so this one starts over" in capsys.readouterr().err


def test_the_mean_of_the_weights_is_what_is_validated_and_kept(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    real = TrainingRun.step

    def remembering(run: TrainingRun, step: Step) -> None:
        real(run, step)
        seen.append({name: value.clone() for name, value in run.generator.network.state_dict().items()})

    monkeypatch.setattr(TrainingRun, "step", remembering)
    outcome = train(table, tmp_path, replace(PARAMS, iterations=3, validate_every=3, ema=0.5))
    kept = load_tensors(tmp_path / WEIGHTS)
    for name, value in kept.items():
        by_hand = sum(share * weights[name] for share, weights in zip((1 / 7, 2 / 7, 4 / 7), seen, strict=True))
        torch.testing.assert_close(value, by_hand, rtol=1e-5, atol=1e-6)
    batch = PatchPairs(table, "validation").read([0, 1])
    outputs = enhance_patches(load_model(tmp_path), batch.phone, clip=True)
    assert float(psnr_each(outputs, batch.dslr).mean()) == pytest.approx(outcome.best.psnr_db, abs=1e-6)


def test_batch_norm_is_validated_with_its_running_statistics_and_trained_with_the_batchs(
    tmp_path: Path, table: Path
) -> None:
    best = train(table, tmp_path, replace(PARAMS, norm="batch")).best
    batch = PatchPairs(table, "validation").read([0, 1])
    outputs = enhance_patches(load_model(tmp_path), batch.phone, clip=True)
    assert float(psnr_each(outputs, batch.dslr).mean()) == pytest.approx(best.psnr_db, abs=1e-6)
    # If the network stayed in evaluation mode after the first validation, the statistics would not be updated.
    tensors = load_tensors(tmp_path / WEIGHTS)
    assert tensors["blocks.0.norm1.num_batches_tracked"] == best.iteration


def test_the_history_has_all_that_a_run_measures(tmp_path: Path, table: Path) -> None:
    weights = {"psnr": 1.0, "ms_ssim": 1.0, "colour": 0.5, "texture": 0.1, "tv": 0.5}
    params = replace(PARAMS, losses=with_usual(**weights), learning_rate=1e-3, schedule="constant")
    train(table, tmp_path, params)
    row = history(tmp_path)[0]
    assert list(row) == [
        "iteration",
        "validation_psnr_db",
        "validation_ms_ssim",
        "train_loss",
        *(f"train_{name}" for name in ("psnr", "ms_ssim", "colour", "texture", "tv")),
        "gradient_norm",
        "discriminator_loss",
        "discriminator_accuracy",
        "discriminator_gradient_norm",
        "learning_rate",
    ]
    total = sum(weight * row[f"train_{name}"] for name, weight in weights.items())
    assert row["train_loss"] == pytest.approx(total, rel=1e-5)
    assert row["learning_rate"] == 1e-3
    assert 0 <= row["discriminator_accuracy"] <= 1
    assert row["gradient_norm"] > 0


def test_a_step_that_fails_names_its_patches_and_leaves_the_checkpoint(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dpedtool.training.train.loop.descend

    def failing(optimizer: torch.optim.Optimizer, loss: torch.Tensor, clip_norm: float = 0.0) -> torch.Tensor:
        norm = real(optimizer, loss, clip_norm)
        return norm * math.inf if optimizer.state[optimizer.param_groups[0]["params"][0]]["step"] == 4 else norm

    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path, PARAMS)
    good = files(tmp_path)
    monkeypatch.setattr(dpedtool.training.train.loop, "descend", failing)
    names = next(Loader(PatchPairs(table, "train"), PARAMS, second_batch=False).steps(3, 4)).names
    with pytest.raises(DpedtoolError, match=rf"^Iteration 4 failed: gradient_norm is inf .* {', '.join(names)};"):
        train(table, tmp_path, PARAMS)
    assert files(tmp_path) == good


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, tmp_path, PARAMS)
    good = files(tmp_path)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        with pytest.raises(
            DpedtoolError, match=rf"{UNFINISHED} could not be written .* and is unchanged: free disk space"
        ):
            train(table, tmp_path, PARAMS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert files(tmp_path) == good


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path, table: Path) -> None:
    lock = lock_folder(tmp_path)
    with pytest.raises(DpedtoolError, match="Another run is writing"):
        train(table, tmp_path, PARAMS)
    os.close(lock)
    (tmp_path / ".x.dpedtool-part").write_bytes(b"of a killed run")
    train(table, tmp_path, PARAMS)
    assert sorted(files(tmp_path)) == sorted([WEIGHTS, ModelInfo.FILE, HISTORY, LAST])


def test_bfloat16_trains_weights_that_stay_float32(tmp_path: Path, table: Path) -> None:
    params = replace(PARAMS, losses=with_usual(texture=0.1), iterations=2)
    for name, precision in (("half", "bfloat16"), ("whole", "float32")):
        train(table, tmp_path / name, replace(params, precision=precision))
    half, whole = (load_tensors(tmp_path / name / WEIGHTS) for name in ("half", "whole"))
    assert {value.dtype for value in half.values()} == {torch.float32}
    assert any(not torch.equal(half[name], whole[name]) for name in whole)
    (one,), (other,) = history(tmp_path / "half"), history(tmp_path / "whole")
    assert one["train_loss"] == pytest.approx(other["train_loss"], rel=0.02)


def test_the_content_loss_asks_for_its_weights(tmp_path: Path, table: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"train\.vgg"):
        train(table, tmp_path, replace(PARAMS, losses=with_usual(content=1.0)))


def test_the_content_loss_is_among_the_losses(tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Grey(torch.nn.Module):
        def layers(self, images: torch.Tensor, names: Collection[str]) -> dict[str, torch.Tensor]:
            return dict.fromkeys(names, images.mean(dim=1, keepdim=True))

    monkeypatch.setattr(dpedtool.training.train.stage.vgg, "load_vgg", lambda _: Grey())
    (tmp_path / "vgg").write_bytes(b"weights")
    train(table, tmp_path / "out", replace(PARAMS, losses=with_usual(content=1.0), vgg=str(tmp_path / "vgg")))
    assert history(tmp_path / "out")[0]["train_content"] > 0
    assert load_card(tmp_path / "out").training.vgg_sha256 == file_sha256(tmp_path / "vgg")


def test_what_is_trained_already_is_left_as_it_is(tmp_path: Path, table: Path) -> None:
    first = train(table, tmp_path, PARAMS)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = train(table, tmp_path, PARAMS)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    assert again.best == first.best
    assert again.sentence().startswith("Nothing to do: the weights after ")
    other = train(table, tmp_path, replace(PARAMS, seed=PARAMS.seed + 1))
    assert other.sentence().startswith("Kept the weights after ")


@pytest.mark.parametrize(
    ("seconds", "steps", "said"),
    [
        (0.05, 200, "0.05 s a step, 200 steps: about 10 seconds"),
        (0.5, 3000, "0.5 s a step, 3000 steps: about 25.0 minutes"),
        (12.4, 20000, "12 s a step, 20000 steps: about 68.9 hours"),
    ],
)
def test_the_cost_is_said_in_a_fitting_unit(seconds: float, steps: int, said: str) -> None:
    assert said in estimate(seconds, steps)
