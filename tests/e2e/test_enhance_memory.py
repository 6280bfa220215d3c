"""The memory that `dpedtool enhance` takes, as the system counts it: the peak of a separate process."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks.usage import Usage, measure
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import save_model

MARGIN = 1.1
"""Tolerance, as a share of the limit: builds of PyTorch differ in their own memory."""


def network(folder: Path, **fields) -> Path:
    model = Architecture(**fields).build()
    initialise(model, torch.Generator().manual_seed(0))
    save_model(folder / "net.safetensors", model, {})
    return folder / "net.safetensors"


def photo(folder: Path, width: int, height: int, name: str = "photo.jpg") -> Path:
    small = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    large = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    (folder / name).write_bytes(encode_image(large, ".jpg"))
    return folder / name


def enhance(photos: Path, weights: Path, out: Path, *options: str) -> Usage:
    command = [sys.executable, "-m", "dpedtool", "enhance", photos, "-o", out, "--weights", weights, *options]
    done = measure(command, one_processor=False)
    assert done.code == 0, done.said
    return done


def test_a_limit_is_kept_and_changes_no_byte(tmp_path: Path) -> None:
    weights, of = network(tmp_path, channels=32, blocks=1), photo(tmp_path, 2048, 1536)
    free = enhance(of, weights, tmp_path / "free", "--precision", "float32")
    limited = enhance(of, weights, tmp_path / "limited", "--precision", "float32", "--max-memory", "750MB")
    assert limited.peak_bytes < MARGIN * 750e6
    # Two feature maps of 32 channels in float32 alone take 805 MB.
    assert free.peak_bytes > 1e9
    result = (tmp_path / "free" / "photo.png").read_bytes()
    assert (tmp_path / "limited" / "photo.png").read_bytes() == result
    assert [path.name for path in (tmp_path / "limited").iterdir() if not path.name.startswith(".")] == ["photo.png"]


def test_12_megapixels_in_3_gigabytes(tmp_path: Path) -> None:
    """The feature maps have 64 channels, as in DPED: two of them in bfloat16 take 3.1 GB."""
    weights, of = network(tmp_path, blocks=1), photo(tmp_path, 4032, 3024)
    done = enhance(of, weights, tmp_path / "out", "--precision", "bfloat16", "--max-memory", "3GB")
    assert done.peak_bytes < 3e9
    assert cv2.imread(str(tmp_path / "out" / "photo.png")).shape == (3024, 4032, 3)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_least_that_would_do_does_for_all_photos_of_a_folder(tmp_path: Path, norm: str) -> None:
    weights, folder = network(tmp_path, blocks=4, channels=32, norm=norm), tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        photo(folder, 800, 600, f"{number}.jpg")
    command = [sys.executable, "-m", "dpedtool", "enhance", folder, "-o", tmp_path / "out", "--weights", weights]
    refused = measure([*command, "--max-memory", "1MB"], one_processor=False)
    assert refused.code == 1
    (least,) = set(re.findall(r"need at least (\d\.\d\d GB) of memory", refused.said))
    done = enhance(folder, weights, tmp_path / "out", "--max-memory", least.replace(" ", ""))
    assert done.peak_bytes < MARGIN * float(least.removesuffix(" GB")) * 1e9
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
