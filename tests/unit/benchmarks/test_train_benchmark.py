"""The benchmark of the training: its counts, its draws and its tables, but not its timings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import feeding, stepping, train
from benchmarks.feeding import LoaderFigures
from benchmarks.stepping import Noise, Ordered, StepFigures, Task, released_code
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import PatchPairs

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SMALL = TrainParams(channels=3, blocks=1, batch=4, crop_px=32, device="cpu")


def test_the_operations_are_those_of_the_layers() -> None:
    """Three pixels in, three out; forward, and backward to weights and inputs, except the first layer's input."""
    flop = Task(SMALL, None, Noise(4, side=32), steps=1).flop
    macs = {"head": 3 * 3 * 81, "blocks": 2 * 3 * 3 * 9, "body": 2 * 3 * 3 * 9, "tail": 3 * 3 * 81}
    convolutions = 4 * 32 * 32 * 2 * (3 * sum(macs.values()) - macs["head"])
    assert convolutions < flop < 1.5 * convolutions


def test_twice_the_batch_are_twice_the_operations() -> None:
    counts = [Task(TrainParams(channels=3, batch=batch, crop_px=32), None, Noise(4, 32), 1).flop for batch in (3, 6)]
    assert counts[1] == pytest.approx(2 * counts[0])


def test_the_steps_are_those_of_the_released_code() -> None:
    params = released_code(batch=7)
    assert (params.batch, params.loss_form, params.augment) == (7, "released-code", False)
    assert params.weight_of("content") == 10


def test_every_way_is_computed_in_its_own_order() -> None:
    found = list(stepping.computations(CPU, ["float32", "bfloat16"], ["plain", "channels_last", "compile"]))
    assert [(way, computation.dtype) for way, computation in found] == [
        (way, dtype) for dtype in (torch.float32, torch.bfloat16) for way in ("plain", "channels_last", "compile")
    ]
    for way, computation in found:
        placed = computation.place(torch.nn.Conv2d(4, 4, 3))
        last = placed.weight.is_contiguous(memory_format=torch.channels_last)
        assert (last, computation.compiled) == (way == "channels_last", way == "compile")


def test_a_step_is_measured_in_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    # Processors without instructions for bfloat16 take minutes for a large product in it.
    monkeypatch.setattr(stepping, "PRODUCTS", {"cpu": (256, 3)})
    task = Task(SMALL, None, Noise(4, side=32), steps=1)
    for dtype in (torch.float32, torch.bfloat16):
        figures = stepping.measure(task, "plain", Ordered(CPU, dtype))
        assert figures.precision == str(dtype).removeprefix("torch.")
        assert figures.flop == task.flop
        assert min(figures.wall_s, figures.cpu_s, figures.floor_s) > 0
        assert figures.memory_bytes is None


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_loader_is_measured_on_shards_like_those_of_the_patches(tmp_path: Path, suffix: str) -> None:
    images = feeding.patches(3)
    pairs = PatchPairs(feeding.write_shard(tmp_path / "shard", images, suffix), "train")
    assert len(pairs) == 3
    largest = max(abs(pairs.images(index)[0].astype(int) - images[index][0]).max() for index in range(3))
    assert largest == 0 if suffix == ".png" else largest < 60


def test_a_quick_run_leaves_its_tables_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["--quick", "--parts", "loader", "--threads", "1", "--out", str(tmp_path)])
    text = (tmp_path / "train.md").read_text()
    assert capsys.readouterr().out == text
    for title in ("PNG in shards, decoded each time", "JPEG in shards, decoded each time", "held in memory"):
        assert f"| {title} | 1 |" in text
    assert len(json.loads((tmp_path / "train.json").read_text())["loader"]) == 3


def test_the_tables_say_how_far_from_the_floor_a_step_is() -> None:
    figures = StepFigures("bfloat16", "compile", 50, 0.02, 0.03, 2.9e12, 0.005, 12_300_000_000)
    slow = StepFigures("float32", "plain", 50, 24.0, 47.0, 2.9e12, 18.0, None)
    text = train.as_markdown([figures, slow], [LoaderFigures("PNG", 2, 3100.4, 1600.2, 0.81)], "A machine.")
    assert "| bfloat16 | compile | 50 | 0.02 | 0.03 | 2.9 | 0.005 | 25% | 7 min | 12.3 GB |" in text
    assert "| float32 | plain | 50 | 24 | 47 | 2.9 | 18 | 75% | 133 h | - |" in text
    assert "| PNG | 2 | 3100 | 1600 | 81% |" in text
    assert "A machine." in text
