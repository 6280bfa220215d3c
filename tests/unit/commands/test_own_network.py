"""The commands with a network of the user's own: the option --network and train.network are what leads to code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner, Result
from own_code import forgotten_modules, write_folder

import dpedtool
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.cli import main
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.weights.checkpoint import save_model

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMS = """\
train:
  network: own_net:UNet
  network_args: {width: 5}
  losses: [{loss: own_loss:edges, weight: 0.5}, {loss: pixel, weight: 1}]
  iterations: 2
  batch: 2
  crop_px: 32
  device: cpu
evaluate: {device: cpu, photos: 0, pictures: 1}
"""
NAMED = ("--network", "own_net:UNet")


@pytest.fixture(autouse=True)
def clean_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with forgotten_modules():
        yield


@pytest.fixture
def folder(tmp_path: Path, texture: Callable[..., object], make_samples: Callable[..., Path]) -> Path:
    """A user's folder: code, params.yaml, photos, samples, and weights in model.safetensors."""
    write_folder(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    make_samples(tmp_path / "samples", {"train": 3, "validation": 1, "test": 2})
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), texture(70, 61))
    save_model(tmp_path / "model.safetensors", Architecture(f"{tmp_path}:own_net:UNet").build(), {})
    for name in ("own_net", "own_parts"):
        del sys.modules[name]
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


EVALUATE = ("evaluate", "--phone", "photos", "--dslr", "photos", "--model", "model.safetensors")
USES = {
    "enhance": ("enhance", "photos", "--model", "model.safetensors", "-o", "out", "--device", "cpu"),
    "export": ("export", "model.safetensors", "-o", "net.onnx"),
    "evaluate": EVALUATE,
    "train": ("train", "samples/samples.parquet", "-o", "out", "-S", "train.start=model.safetensors", "-S",
              "train.device=cpu", "-S", "train.iterations=1", "-S", "train.crop_px=32"),
}  # fmt: skip


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", USES)
def test_the_option_names_the_class_and_without_it_nothing_is_imported(command: str) -> None:
    refused = run(*USES[command])
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1
    assert "name it by --network own_net:UNet, or by train.network in the params file." in refused.output
    assert "own_net" not in sys.modules
    done = run(*USES[command], *NAMED)
    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", ["enhance", "export", "evaluate"])
def test_the_params_file_names_the_class_too(command: str) -> None:
    done = run(*USES[command], "--params", "params.yaml")
    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("folder")
def test_a_network_of_dpedtool_needs_no_option() -> None:
    refused = run(*USES["enhance"], "--network", "resnet")
    assert refused.exit_code == 2
    assert "resnet is a network of dpedtool, which no option needs to name." in refused.output
    refused = run(*USES["enhance"], "--network", "vit")
    assert refused.exit_code == 2
    assert "network must be one of resnet, srcnn, mobile, package.module:Class, not 'vit'." in refused.output


def test_a_training_by_params_file_is_evaluated_and_overrides_count(folder: Path) -> None:
    done = run("train", "samples/samples.parquet", "-o", "trained", "--params", "params.yaml")
    assert done.exit_code == 0, done.output
    card = json.loads((folder / "trained" / "model.json").read_text())
    assert card["network"] == {"network": "own_net:UNet", "args": {"width": 5}}
    words = ("evaluate", "samples/samples.parquet", "--model", "trained", "-o", "scores", "--params", "params.yaml")
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert (folder / "scores" / "metrics.json").is_file()
    refused = run(*words, "-S", "train.network=resnet", "-S", "train.network_args={}")
    assert refused.exit_code == 1
    assert "name it by --network own_net:UNet" in refused.output


def test_python_names_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(DpedtoolError, match="No code is imported because a file names it"):
        dpedtool.load_model("model.safetensors")
    model = dpedtool.load_model("model.safetensors", device="cpu", network="own_net:UNet")
    assert model.name == "own_net:UNet"
    assert dpedtool.enhance(model, "photos/a.png").shape == (70, 61, 3)
