"""What the messages of train and evaluate advise is done, and the outcome changes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from loss_terms import with_usual

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.train.loader import Loader
from dpedtool.training.train.sources import from_folders
from dpedtool.training.train.stage import Outcome, train

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS: dict[str, Any] = {"channels": 2, "blocks": 1, "iterations": 4, "batch": 4, "device": "cpu", "held_out": 0}
PARAMS = TrainParams(**SETTINGS, precision="float32", validate_every=4)


def images(folder: Path, *sides_px: int) -> tuple[Path, Path]:
    rng = np.random.default_rng(1)
    for camera in ("phone", "dslr"):
        (folder / camera).mkdir(parents=True)
        for number, side in enumerate(sides_px):
            cv2.imwrite(str(folder / camera / f"{number}.png"), rng.integers(0, 255, (side, side, 3)).astype(np.uint8))
    return folder / "phone", folder / "dslr"


def trained(folders: tuple[Path, Path], out: Path, params: TrainParams) -> Outcome:
    return train(from_folders(*folders, None, params), out, params)


def followed(said: str) -> TrainParams:
    """The parameters that a message tells to set, through the reader that a user's command has."""
    found = re.findall(r"train\.(\w+)(?:=| to )([\w-]+)", said)
    assert found, said
    given = [f"train.{key}={value}" for key, value in {**SETTINGS, **dict(found)}.items()]
    return load_params(None, tuple(given)).train


@pytest.mark.parametrize("texture", [0.0, 0.1])
def test_a_smaller_crop_helps_where_images_differ_in_size(tmp_path: Path, texture: float) -> None:
    params = replace(PARAMS, crop_px=100, batch=16, losses=with_usual(texture=texture))
    folders = images(tmp_path, 64, 48, 64, 48)
    with pytest.raises(DpedtoolError, match=r"set train\.crop_px to 48 or less") as refused:
        trained(folders, tmp_path / "out", params)
    found = followed(str(refused.value))
    trained(folders, tmp_path / "out", replace(params, crop_px=found.crop_px))


def test_a_crop_that_would_be_refused_is_not_advised(tmp_path: Path) -> None:
    folders = images(tmp_path, 64, 20, 64)
    with pytest.raises(DpedtoolError, match="remove this image") as refused:
        trained(folders, tmp_path / "out", replace(PARAMS, crop_px=64, batch=16))
    assert "crop_px" not in str(refused.value)
    for folder in folders:
        (folder / "1.png").unlink()
    trained(folders, tmp_path / "out", replace(PARAMS, crop_px=64, batch=16))


def test_the_network_that_start_weights_ask_for_can_be_set(tmp_path: Path) -> None:
    folders = images(tmp_path, 40, 40)
    trained(folders, tmp_path / "first", replace(PARAMS, channels=3, norm="batch"))
    other = replace(PARAMS, start=str(tmp_path / "first"))
    with pytest.raises(DpedtoolError, match=r"train\.channels=3 and train\.norm=batch") as refused:
        trained(folders, tmp_path / "out", other)
    found = followed(str(refused.value))
    trained(folders, tmp_path / "out", replace(other, channels=found.channels, norm=found.norm))


def test_a_batch_that_processes_can_share_helps(tmp_path: Path) -> None:
    pairs = from_folders(*images(tmp_path, 40, 40), None, PARAMS).training
    with pytest.raises(DpedtoolError, match=r"train\.batch is 4.*a multiple of 3") as refused:
        Loader(pairs, PARAMS, second_batch=False, rank=0, processes=3)
    multiple = int(re.findall(r"a multiple of (\d+)", str(refused.value))[0])
    Loader(pairs, replace(PARAMS, batch=2 * multiple), second_batch=False, rank=0, processes=3)


@pytest.mark.parametrize("loss", ["content", "cobi"])
def test_without_weights_of_vgg_the_loss_can_be_left_out(tmp_path: Path, loss: str) -> None:
    folders, params = images(tmp_path, 40, 40), replace(PARAMS, losses=with_usual(**{loss: 1.0}))
    with pytest.raises(DpedtoolError, match=r"take content and cobi out of train\.losses"):
        trained(folders, tmp_path / "out", params)
    trained(folders, tmp_path / "out", replace(params, losses=with_usual()))


@pytest.mark.parametrize("state_is_there", [True, False])
def test_a_damaged_model_is_there_again_after_another_training(tmp_path: Path, state_is_there: bool) -> None:
    folders = images(tmp_path, 40, 40)
    trained(folders, tmp_path / "out", PARAMS)
    weights = tmp_path / "out" / "generator.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(b"damaged")
    if not state_is_there:
        (tmp_path / "out" / "last.safetensors").unlink()
    start = replace(PARAMS, start=str(tmp_path / "out"))
    with pytest.raises(DpedtoolError, match="train again"):
        trained(folders, tmp_path / "other", start)
    trained(folders, tmp_path / "out", PARAMS)
    assert weights.read_bytes() == before
    trained(folders, tmp_path / "other", start)
