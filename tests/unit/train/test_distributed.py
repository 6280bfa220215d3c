"""Several processes train like one with the joint batch and end together; a killed run continues bit by bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from loss_terms import with_usual
from own_code import forgotten_modules, write_folder

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.sidecars.history import HISTORY
from dpedtool.dataset.sidecars.model_info import ModelInfo
from dpedtool.dataset.train_params import LossTerm, TrainParams
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.train import distributed
from dpedtool.training.train.distributed import Processes
from dpedtool.training.train.sources import from_table
from dpedtool.training.train.stage import train
from dpedtool.training.weights.checkpoint import LAST, UNFINISHED, WEIGHTS, load_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
ROOT = Path(__file__).parents[3]
FORMS = ["mean", "released-code"]
SMALL = {
    "channels": 4,
    "blocks": 1,
    "iterations": 2,
    "batch": 4,
    "crop_px": 32,
    "validate_every": 1,
    "losses": with_usual(texture=0.1),
    "ema": 0.9,
    "clip_norm": 1.0,
    "precision": "float32",
    "device": "cpu",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), {"train": 7, "validation": 2})


def words(table: Path, out: Path, params: Mapping[str, Any]) -> list[str]:
    """The command's."""
    given = {**params, "losses": json.dumps([asdict(term) for term in params["losses"]])}
    settings = [word for name, value in given.items() for word in ("-S", f"train.{name}={value}")]
    return ["train", str(table), "-o", str(out), *settings]


def of_form(loss_form: str) -> dict[str, Any]:
    return {**SMALL, "loss_form": loss_form}


def of_own(folder: Path) -> dict[str, Any]:
    """A network and a loss of the user's own; part of the network has no effect, which each process must expect."""
    losses = (LossTerm(loss=f"{folder}:own_loss:edges"), *with_usual())
    return {**SMALL, "network": f"{folder}:own_net:Tied", "losses": losses}


IN_TURN = """
import json, sys
from dpedtool.pipeline.cli import main
*runs, last = json.loads(sys.argv[1])
for words in runs:
    main(words, standalone_mode=False)
main(last)
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory, table: Path) -> tuple[Path, CompletedProcess[str]]:
    """Run two processes that train with each form in turn, into a folder of its name, and then with a batch of 3."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "in_turn.py").write_text(IN_TURN)
    runs = [words(table, folder / form, of_form(form)) for form in FORMS]
    runs.append(words(table, folder / "own", of_own(write_folder(folder))))
    runs.append(words(table, folder / "failed", {**SMALL, "batch": 3}))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    start = [*torchrun, str(folder / "in_turn.py"), json.dumps(runs)]
    environment = {**ONE_THREAD, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(start, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return folder, done


@pytest.mark.parametrize("form", FORMS)
def test_two_processes_train_what_one_does_with_the_joint_batch(
    tmp_path: Path, table: Path, two_processes: tuple[Path, CompletedProcess[str]], form: str
) -> None:
    folder, done = two_processes
    outcome = train(from_table(table), tmp_path, TrainParams(**of_form(form)))
    # Only one of them prints.
    said = done.stdout.splitlines()
    assert len(said) == len(FORMS) + 1, done.stderr
    assert said[FORMS.index(form)] == outcome.sentence()
    assert sorted(path.name for path in (folder / form).iterdir()) == sorted([WEIGHTS, ModelInfo.FILE, HISTORY, LAST])
    one, two = (load_tensors(place / WEIGHTS) for place in (tmp_path, folder / form))
    # A norm subtracts its mean, so the gradient of these biases is only rounding, which Adam enlarges.
    without_effect = {"blocks.0.conv1.bias", "blocks.0.conv2.bias"}
    assert one.keys() == two.keys() > without_effect
    for name in one.keys() - without_effect:
        # Processors round differently: one weight of 972 differed by 3e-5, compared with steps of 1e-3 and more.
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=5e-5)
    columns = [(place / HISTORY).read_text().splitlines() for place in (tmp_path, folder / form)]
    assert columns[0][0] == columns[1][0]
    for line, other in zip(columns[0][1:], columns[1][1:], strict=True):
        assert [float(value) for value in line.split(",")] == pytest.approx(
            [float(value) for value in other.split(",")], rel=1e-3, abs=1e-5
        )


def test_two_processes_train_a_network_of_one_s_own(
    tmp_path: Path, table: Path, two_processes: tuple[Path, CompletedProcess[str]]
) -> None:
    folder, done = two_processes
    with forgotten_modules():
        train(from_table(table), tmp_path, TrainParams(**of_own(folder)))
    assert (folder / "own" / WEIGHTS).is_file(), done.stderr
    one, two = (load_tensors(place / WEIGHTS) for place in (tmp_path, folder / "own"))
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-3, atol=5e-5)


def test_a_process_that_fails_ends_all_with_its_message(two_processes: tuple[Path, CompletedProcess[str]]) -> None:
    folder, done = two_processes
    assert done.returncode != 0
    assert done.stderr.count("Error: train.batch is 3, which 2 processes cannot share evenly") == 1
    assert "stopped, since another process failed: see that process's message." in done.stderr
    assert not (folder / "failed" / WEIGHTS).exists()


KILLED = """
import os, signal, sys
from dpedtool.pipeline.cli import main
from dpedtool.training.train.loop import TrainingRun
real = TrainingRun._step_discriminator
def killed(run, *arguments):
    # This is in the middle of a step: the generator has taken its part, the discriminator has not.
    if run.iteration == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(run, *arguments)
TrainingRun._step_discriminator = killed
main(sys.argv[1:])
"""


def test_a_run_that_was_killed_ends_with_the_bytes_of_one_that_was_not(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = {**of_form("released-code"), "iterations": 8, "validate_every": 2}
    train(from_table(table), tmp_path / "whole", TrainParams(**params))
    out = tmp_path / "halted"
    start = [sys.executable, "-c", KILLED, *words(table, out, params)]
    killed = subprocess.run(start, cwd=ROOT, env=ONE_THREAD, stderr=subprocess.DEVNULL, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert (out / UNFINISHED).exists()
    assert not (out / WEIGHTS).exists()
    train(from_table(table), out, TrainParams(**params))
    assert "train: continuing after iteration 4" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()
    }


def test_batch_norm_is_refused_of_several_processes_without_gpus() -> None:
    with pytest.raises(ParamsError, match=r"train\.norm is batch, .* one process, or set train\.norm=instance"):
        distributed._check(TrainParams(norm="batch"), torch.device("cpu"))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DpedtoolError, match="more processes than GPUs: torch finds 2, so start 2 processes"):
        distributed._own_device(torch.device("cuda"))


def test_batch_norms_of_several_processes_are_joint() -> None:
    network = Architecture(channels=4, blocks=1, norm="batch").build()
    names = list(network.state_dict())
    joint = Processes(0, 2, "cuda").with_joint_norms(network)
    assert [type(norm).__name__ for name, norm in joint.named_modules() if "norm" in name] == ["SyncBatchNorm"] * 2
    assert list(joint.state_dict()) == names


def test_batch_norms_of_a_network_of_one_s_own_are_refused_too(tmp_path: Path) -> None:
    with forgotten_modules():
        network = Architecture(f"{write_folder(tmp_path)}:own_net:NormedByBatch").build()
    with pytest.raises(ParamsError, match=r"has batch norms, and several processes .* in one process, or take"):
        Processes(0, 2).with_joint_norms(network)
    assert Processes(0, 1).with_joint_norms(network) is network


def test_one_process_alone_shares_nothing() -> None:
    alone, network = Processes(), torch.nn.BatchNorm2d(2)
    assert alone.is_first
    assert alone.mean(torch.tensor([1.0, 2.0])).tolist() == [1, 2]
    assert alone.joined_lists(["a"]) == ["a"]
    assert alone.of_first("x") == "x"
    assert alone.joined(network, torch.device("cpu")) is network
    assert alone.with_joint_norms(network) is network
