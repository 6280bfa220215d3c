"""The benchmark for GPUs: what it leaves, on a processor as well, and that it names nobody."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import gpu, machine, stepping
from benchmarks.enhancers import Bench
from benchmarks.gpu import NO_GPU, PhotoFigures
from benchmarks.usage import Usage
from dpedtool.dataset.train_params import TrainParams

pytestmark = pytest.mark.slow

CUDA = torch.device("cuda")


def test_a_quick_run_leaves_its_figures_and_says_that_there_is_no_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small network and a small product; the whole steps have tests of their own.
    monkeypatch.setattr(gpu, "random_vgg", lambda _: None)
    monkeypatch.setattr(gpu, "released_code", lambda batch: TrainParams(channels=3, blocks=1, batch=batch, crop_px=32))
    monkeypatch.setattr(stepping, "PRODUCTS", {"cpu": (64, 1), "cuda": (64, 1)})
    # One precision is enough; the other takes the same way.
    monkeypatch.setattr(gpu, "has_bfloat16", lambda _: False)
    monkeypatch.setattr(gpu, "choose_device", lambda _: torch.device("cpu"))
    gpu.main(["--quick", "--out", str(tmp_path)])
    said = capsys.readouterr()
    text, record = (tmp_path / "gpu.md").read_text(), json.loads((tmp_path / "gpu.json").read_text())
    assert said.out == text
    for note in (NO_GPU, gpu.NO_BFLOAT16):
        assert note in text
        assert note in said.err
        assert note in record["notes"]
    assert record["quick"] is True
    about = record["machine"]
    assert (about["gpu"], about["driver"], about["torch"]) == (None, None, torch.__version__)
    assert about["processor"]
    assert min(about["processors"], about["memory_bytes"]) > 0
    assert [(row["precision"], row["batch"]) for row in record["steps"]] == [("float32", 2)]
    assert len(record["loader"]) == 3
    (photo,) = record["photos"]
    assert photo["failure"] == ""
    assert photo["wall_s"] > 0
    assert photo["memory_bytes"] > 10**7
    assert photo["gpu_bytes"] is None
    assert "| 200x150 | float32 |" in text
    words = (tmp_path / "gpu.json").read_text() + text
    for private in (platform.node(), str(Path.home()), str(tmp_path), f'"{getpass.getuser()}"'):
        assert private not in words


def test_the_machine_of_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(name="A GPU", total_memory=24 * 10**9, major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: found)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91900)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(machine.shutil, "which", lambda _: "nvidia-smi")
    monkeypatch.setattr(
        machine.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout="590.1\n590.1")
    )
    about = machine.machine(CUDA)
    names = ("gpu", "gpu_memory_bytes", "compute_capability", "gpus", "driver", "cuda", "cudnn")
    assert [about[name] for name in names] == ["A GPU", 24 * 10**9, "8.9", 2, "590.1", "13.0", 91900]
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert machine.machine(CUDA)["driver"] is None


def test_a_processor_that_linux_does_not_describe_has_no_name(tmp_path: Path) -> None:
    assert machine.processor(tmp_path / "none") == ("", [])
    (tmp_path / "cpuinfo").write_text("model name\t: Fast 1\nflags\t\t: fpu avx2 amx_bf16\n")
    assert machine.processor(tmp_path / "cpuinfo") == ("Fast 1", ["avx2", "amx_bf16"])


@pytest.mark.parametrize("code", [0, 1])
def test_a_photo_runs_on_the_device_and_a_failure_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def run(bench: Bench, size: Any, way: str, report: Path, *more: str) -> Usage:
        assert report.parent == bench.scratch
        assert (size, way, more) == ((200, 150), "dpedtool-bfloat16", ("--device", "cuda"))
        report.write_text(json.dumps({"wall_s": 0.5, "cpu_s": 0.25, "gpu_bytes": 3 * 10**9}))
        return Usage(code, 1.0, 1.0, 2 * 10**9, "Traceback\nOutOfMemoryError: no memory is left")

    monkeypatch.setattr(gpu, "run", run)
    row = gpu._photo(Bench(tmp_path, tmp_path, tmp_path), (200, 150), "bfloat16", CUDA)
    text = gpu.as_markdown({"gpu": "A GPU", "driver": None}, [], [], [], [row])
    assert "| gpu | A GPU |" in text
    assert "driver" not in text
    if code:
        assert row.failure == "OutOfMemoryError: no memory is left"
        assert "| 200x150 | bfloat16 | OutOfMemoryError: no memory is left | - | - | - |" in text
    else:
        assert row == PhotoFigures((200, 150), "bfloat16", 0.5, 0.25, 2 * 10**9, 3 * 10**9)
        assert "| 200x150 | bfloat16 | 0.5 | 0.25 | 2.00 GB | 3.00 GB |" in text
