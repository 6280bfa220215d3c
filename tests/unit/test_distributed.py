"""Several processes train as one with the joint batch would, and end together; a killed run goes on to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from dataset.errors import DpedtoolError, ParamsError
from dataset.params import TrainParams
from training import distributed
from training.checkpoint import CARD, UNFINISHED, WEIGHTS, load_tensors
from training.distributed import Processes
from training.history import HISTORY
from training.model import Architecture
from training.sources import from_table
from training.train import train

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
ROOT = Path(__file__).parents[2]
SMALL = {
    "channels": 4,
    "blocks": 1,
    "iterations": 4,
    "batch": 4,
    "crop_px": 32,
    "validate_every": 2,
    "texture_weight": 0.1,
    "ema": 0.9,
    "clip_norm": 1.0,
    "precision": "float32",
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), {"train": 7, "validation": 2})


def command(table: Path, out: Path, params: Mapping[str, Any], processes: int = 1) -> list[str]:
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    settings = [word for name, value in params.items() for word in ("-S", f"train.{name}={value}")]
    start = [sys.executable, "-m", *(torchrun if processes > 1 else []), "pipeline"]
    return [*start, "train", str(table), "-o", str(out), *settings]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, env=ONE_THREAD, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("loss_form", ["mean", "released-code"])
def test_two_processes_train_what_one_does_with_the_joint_batch(tmp_path: Path, table: Path, loss_form: str) -> None:
    params = {**SMALL, "loss_form": loss_form}
    outcome = train(from_table(table), tmp_path / "1", TrainParams(**params))
    done = run(command(table, tmp_path / "2", params, processes=2))
    # One of them speaks.
    assert (done.returncode, done.stdout) == (0, f"{outcome.sentence()}\n"), done.stderr
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == sorted([WEIGHTS, CARD, HISTORY])
    one, two = (load_tensors(tmp_path / count / WEIGHTS) for count in ("1", "2"))
    # A norm takes its mean off again, so that these biases have no gradient but rounding, which Adam takes at its word.
    without_effect = {"blocks.0.conv1.bias", "blocks.0.conv2.bias"}
    assert one.keys() == two.keys() > without_effect
    for name in one.keys() - without_effect:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=2e-5)
    columns = [(tmp_path / count / HISTORY).read_text().splitlines() for count in ("1", "2")]
    assert columns[0][0] == columns[1][0]
    for line, other in zip(columns[0][1:], columns[1][1:], strict=True):
        assert [float(value) for value in line.split(",")] == pytest.approx(
            [float(value) for value in other.split(",")], rel=2e-3
        )


def test_a_process_that_fails_ends_all_with_its_message(tmp_path: Path, table: Path) -> None:
    done = run(command(table, tmp_path / "out", {**SMALL, "batch": 3}, processes=2))
    assert done.returncode != 0
    assert done.stderr.count("Error: train.batch is 3, which 2 processes cannot share evenly") == 1
    assert "stopped, since another one failed; the other's message says why." in done.stderr
    assert not (tmp_path / "out" / WEIGHTS).exists()


def test_a_run_that_was_killed_ends_with_the_bytes_of_one_that_was_not(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = {**SMALL, "iterations": 40, "validate_every": 4, "loss_form": "released-code"}
    train(from_table(table), tmp_path / "whole", TrainParams(**params))
    out = tmp_path / "halted"
    halted = subprocess.Popen(command(table, out, params), cwd=ROOT, env=ONE_THREAD, stderr=subprocess.DEVNULL)
    while not (out / UNFINISHED).exists() and halted.poll() is None:
        time.sleep(0.01)
    halted.send_signal(signal.SIGKILL)
    assert halted.wait() == -signal.SIGKILL
    assert not (out / WEIGHTS).exists()
    train(from_table(table), out, TrainParams(**params))
    assert "train: going on after iteration" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()
    }


def test_batch_norm_is_refused_of_several_processes_without_gpus() -> None:
    with pytest.raises(ParamsError, match=r"train\.norm is batch, .* one process, or set train\.norm=instance"):
        distributed._check(TrainParams(norm="batch"), torch.device("cpu"))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DpedtoolError, match="more processes than GPUs here, of which torch finds 2: start 2"):
        distributed._own_device(torch.device("cuda"))


def test_batch_norms_of_several_processes_are_joint() -> None:
    network = Architecture(channels=4, blocks=1, norm="batch").build()
    names = list(network.state_dict())
    joint = Processes(0, 2).with_joint_norms(network)
    assert [type(norm).__name__ for name, norm in joint.named_modules() if "norm" in name] == ["SyncBatchNorm"] * 2
    assert list(joint.state_dict()) == names


def test_one_process_alone_shares_nothing() -> None:
    alone, network = Processes(), torch.nn.BatchNorm2d(2)
    assert alone.is_first
    assert alone.mean(torch.tensor([1.0, 2.0])).tolist() == [1, 2]
    assert alone.joined_lists(["a"]) == ["a"]
    assert alone.of_first("x") == "x"
    assert alone.joined(network, torch.device("cpu")) is network
    assert alone.with_joint_norms(network) is network
