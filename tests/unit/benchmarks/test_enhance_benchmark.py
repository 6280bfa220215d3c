"""The benchmark of whole photos: its ways of computing, its handling of failures, and its table, but no timings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks import enhance, enhancers, enhancing
from benchmarks.enhancers import REFERENCE, WAYS, Bench, WayFigures, difference, failure, side_by_side, usable
from benchmarks.usage import Usage, measure
from dpedtool.dataset.errors import Rejection
from dpedtool.training.enhance import whole_photo
from dpedtool.training.enhance.whole_photo import Plan, Settings
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import save_model

pytestmark = pytest.mark.slow

SMALL = Architecture(channels=4, blocks=2)
DONE = Usage(0, 1.0, 1.0, 300_000_000, "")
SIZE = (120, 90)


def small_network() -> Generator:
    """Return a network in which every weight matters: the norms differ and do not have scale 1 and shift 0."""
    model, generator = SMALL.build(), torch.Generator().manual_seed(0)
    initialise(model, generator)
    for name, values in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(values, mean=0.5, std=0.3, generator=generator)
    return model.eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_model(tmp_path / "small.safetensors", small_network(), {})
    return tmp_path / "small.safetensors"


def bench_in(folder: Path) -> Bench:
    return Bench(folder / "network.safetensors", folder / "network.onnx", folder)


def test_a_run_leaves_its_table_and_figures(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ways = "dpedtool-float32,eager-float32,dpedtool-bfloat16-3GB,eager-bfloat16,onnxruntime"
    words = ["--weights", str(weights), "--ways", ways, "--sizes", "120x90", "--repeats", "1"]
    enhance.main([*words, "--out", str(tmp_path), "--scratch", str(tmp_path)])
    text = (tmp_path / "enhance.md").read_text()
    assert capsys.readouterr().out == text
    assert "dped_resnet_8_4, weights small" in text
    rows = json.loads((tmp_path / "enhance.json").read_text())
    assert [row["failure"] for row in rows] == [""] * 5
    assert [row["way"] for row in rows] == [way for way in WAYS if way in ways.split(",")]
    assert [row["memory_bytes"] for row in rows] == [None, None, None, 3_000_000_000, None]
    reference, *others = rows
    assert (reference["largest"], reference["mean"], reference["times_reference"]) == (0, 0, [1])
    assert all(row["mean"] < (1 if "bfloat16" in row["way"] else 0.01) for row in others)
    assert all(row["wall_s"][0] > 0 and row["cpu_s"][0] > 0 and row["peak_bytes"] > 10**7 for row in rows)
    assert not [path.name for path in tmp_path.iterdir() if path.is_dir()]


def torch_as_tensorflow() -> Any:
    """The few TensorFlow operations that the graph uses."""

    def conv2d(features: torch.Tensor, kernel: torch.Tensor, stride: int, padding: str) -> torch.Tensor:
        assert padding == "SAME"
        planes = functional.conv2d(features.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), None, stride, "same")
        return planes.permute(0, 2, 3, 1)

    def moments(features: torch.Tensor, axes: list[int], *, keepdims: bool) -> tuple[torch.Tensor, torch.Tensor]:
        variance, mean = torch.var_mean(features, axes, correction=0, keepdim=keepdims)
        return mean, variance

    nn = SimpleNamespace(conv2d=conv2d, moments=moments, relu=torch.relu)
    return SimpleNamespace(nn=nn, sqrt=torch.sqrt, tanh=torch.tanh)


def test_the_graph_for_tensorflow_is_the_network() -> None:
    model, phone = small_network(), torch.rand(1, 3, 19, 23, generator=torch.Generator().manual_seed(1))
    weights = {name: torch.from_numpy(enhancing.kernel(values.numpy())) for name, values in model.state_dict().items()}
    with torch.inference_mode():
        found = enhancing.dped_graph(torch_as_tensorflow(), weights, phone.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, model(phone), rtol=0, atol=1e-5)


def test_what_networks_take_and_make_is_the_photo() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    planes = enhancing.planes(photo)
    assert planes.shape == (1, 3, 5, 7)
    assert planes[0, 0, 2, 3] == np.float32(photo[2, 3, 2]) / 255
    np.testing.assert_array_equal(enhancing.photo_of(planes), photo)
    np.testing.assert_array_equal(enhancing.eight_bit(np.array([[[-0.1, 0.5, 1.1]]], np.float32)), [[[255, 128, 0]]])


def test_the_random_network_passes_the_picture() -> None:
    model = enhance.network(None)
    assert model.architecture.name == "dped_resnet_12_64"
    phone = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)).repeat_interleave(8, 2)
    phone = phone.repeat_interleave(8, 3)
    with torch.inference_mode():
        assert np.corrcoef(model(phone).flatten(), phone.flatten())[0, 1] > 0.9


def test_a_network_that_tensorflow_has_no_graph_for_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "other.safetensors", Architecture("srcnn").build(), {})
    with pytest.raises(SystemExit, match="dped_srcnn: choose weights of dped_resnet"):
        enhance.network(tmp_path / "other.safetensors")


def refuse_below(monkeypatch: pytest.MonkeyPatch, least: int, reason: str) -> None:
    """Make photos of `SIZE` take 1500 MB, or at least `least` MB; less is refused."""

    def plan(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Plan:
        assert (architecture, size) == (SMALL, SIZE)
        allowed = settings.max_memory or 1500 * 10**6
        if allowed < least * 10**6:
            raise Rejection(reason, "It takes more.")
        return Plan(memory=min(allowed, 1500 * 10**6), scratch=0, rows=0)

    monkeypatch.setattr(whole_photo, "plan", plan)


@pytest.mark.parametrize(("least", "found"), [(1, 10), (777, 780), (780, 780), (781, 790), (1500, 1500)])
def test_the_least_memory_is_what_is_not_refused(monkeypatch: pytest.MonkeyPatch, least: int, found: int) -> None:
    refuse_below(monkeypatch, least, "too_little_memory")
    free = Settings(torch.device("cpu"), "bfloat16")
    assert enhancing.least_memory(SMALL, SIZE, free) == found * 10**6


def test_a_full_disk_is_not_taken_for_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_below(monkeypatch, 800, "too_little_disk")
    with pytest.raises(Rejection, match="too_little_disk"):
        enhancing.least_memory(SMALL, SIZE, Settings(torch.device("cpu"), "float32"))


def test_differences_are_counted_over_the_whole_photo(tmp_path: Path) -> None:
    first = np.zeros((600, 4, 3), np.uint8)
    second = first.copy()
    second[599, 3, 2], first[300, 0, 0] = 7, 255
    for name, photo in (("first", first), ("second", second)):
        np.save(tmp_path / f"{name}.npy", photo)
    assert difference(tmp_path / "first.npy", tmp_path / "second.npy") == (255, pytest.approx(262 / first.size))


@pytest.mark.parametrize(
    ("code", "said", "clause"),
    [
        (0, "a warning\n", ""),
        (-9, "", "killed by the system, probably because memory ran out"),
        (1, "Traceback\nMemoryError: a|b\n\n", "MemoryError: a/b"),
        (3, "", "exit status 3"),
    ],
)
def test_a_failure_is_told_in_a_clause(code: int, said: str, clause: str) -> None:
    assert failure(Usage(code, 0.0, 0.0, 0, said)) == clause


def test_a_process_that_the_system_kills_is_told_from_one_that_fails() -> None:
    killed = measure([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
    failed = measure([sys.executable, "-c", "raise ValueError('too narrow')"])
    assert failure(killed).startswith("killed by the system")
    assert failure(failed) == "ValueError: too narrow"


class Machine:
    """A replacement for the processes: each way takes its given seconds, or fails."""

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self.seconds = seconds
        self.ran: list[str] = []

    def run(self, bench: Bench, size: tuple[int, int], way: str, report: Path) -> Usage:
        self.ran.append(way)
        if not self.seconds[way]:
            return Usage(-9, 1.0, 1.0, 20_000_000_000, "")
        wall = self.seconds[way].pop(0)
        told = {"wall_s": wall, "cpu_s": 2 * wall, "version": "1", "scratch_bytes": 5, "memory_bytes": None}
        report.write_text(json.dumps(told))
        np.save(bench.enhanced(size, way), np.full((3, 4, 3), len(way), np.uint8))
        return DONE


def test_ways_take_turns_and_one_that_failed_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine({REFERENCE: [6.0, 8.0], "openvino-float32": [3.0, 2.0], "tensorflow": []})
    monkeypatch.setattr(enhancers, "run", machine.run)
    first, second, third = side_by_side(bench_in(tmp_path), [SIZE], ["tensorflow", "openvino-float32", REFERENCE], 2)
    assert machine.ran == [REFERENCE, "openvino-float32", "tensorflow", REFERENCE, "openvino-float32"]
    assert (first.times_reference, first.largest, first.mean) == ([1, 1], 0, 0)
    assert (second.times_reference, second.largest, second.mean) == ([2, 4], 3, 3)
    assert second.cpu_s == [6, 4]
    assert (third.wall_s, third.peak_bytes) == ([], 20_000_000_000)
    assert third.failure.startswith("killed")


@pytest.mark.parametrize("ways", [[REFERENCE, "tensorflow"], ["tensorflow"]])
def test_without_the_reference_nothing_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: list[str]
) -> None:
    monkeypatch.setattr(enhancers, "run", Machine({REFERENCE: [], "tensorflow": [1.0]}).run)
    row = side_by_side(bench_in(tmp_path), [SIZE], ways, 1)[-1]
    assert (row.wall_s, row.times_reference, row.largest, row.mean) == ([1], [], None, None)


def test_other_tools_run_in_their_interpreter_on_what_they_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def noted(command: list[str | Path], *, one_processor: bool) -> Usage:
        commands.append([str(word) for word in command])
        assert not one_processor
        return DONE

    monkeypatch.setattr(enhancers, "measure", noted)
    bench = Bench(tmp_path / "network.safetensors", tmp_path / "network.onnx", tmp_path, "other-python")
    for way in ("onnxruntime", "tensorflow", "dpedtool-float32"):
        enhancers.run(bench, SIZE, way, tmp_path / "report.json")
    assert [command[0] for command in commands] == ["other-python", "other-python", sys.executable]
    read = [Path(command[command.index("--network") + 1]).name for command in commands]
    assert read == ["network.onnx", "network.safetensors", "network.safetensors"]


def test_tools_that_are_not_installed_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = enhancers.Way("a tool that nobody has", ("tool",), "no_such_module_anywhere", reads_onnx=True)
    present = enhancers.Way("a tool that all have", ("tool",), "json")
    monkeypatch.setattr(enhancers, "WAYS", {**WAYS, "absent": absent, "present": present})
    assert usable([REFERENCE, "absent", "present"], sys.executable) == [REFERENCE, "present"]
    assert "has no no_such_module_anywhere" in capsys.readouterr().err


def test_unknown_ways_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        enhance.main(["--ways", "eager-float32,eager"])
    assert "eager is not one of eager-float32, " in capsys.readouterr().err


def test_the_table_says_what_each_way_took() -> None:
    rows = [
        WayFigures(REFERENCE, (2048, 1536), [50.0, 54.0], [99.0, 101.0], [1.0, 1.0], 4_400_000_000, largest=0, mean=0),
        WayFigures(
            *("dpedtool-bfloat16-3GB", (4032, 3024), [80.0], [1160.0], [2.5]),
            *(2_900_000_000, 3_000_000_000, 1_230_000_000, 123, 0.1234),
        ),
        WayFigures("tensorflow", (4032, 3024), peak_bytes=20_000_000_000, failure="killed"),
    ]
    text = enhance.as_markdown(rows, ["A machine."])
    assert "| 2048x1536 | eager PyTorch, float32 | 52 | 100 | 1.00 | 4.40 GB | - | 0 | 0 |" in text
    assert "| 80 | 1160 | 2.50 | 2.90 GB (3.00 GB) | 1.23 GB | 123 | 0.12 |" in text
    assert "| TensorFlow, the released code's graph, float32 | killed | - | - | 20.00 GB | - | - | - |" in text
    assert "A machine." in text
