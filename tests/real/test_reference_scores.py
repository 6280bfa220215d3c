"""The metrics on 200 real test pairs of DPED, against values measured independently."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from real_data import real_folder

from dpedtool.training.metrics import score


@pytest.fixture(scope="module")
def data():
    return real_folder("expected").parent


def read_patches(folder: Path) -> torch.Tensor:
    """Read the patches N.jpg in the order of N, as (N, 3, H, W) within 0..1."""
    files = sorted(folder.glob("*.jpg"), key=lambda file: int(file.stem))
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def pairs(data):
    return tuple(read_patches(data / "dped_iphone_patches" / camera) for camera in ("iphone", "canon"))


@pytest.fixture(scope="module")
def expected(data):
    return json.loads((data / "expected" / "scores.json").read_text())["models"]["identity"]


def test_untouched_patches_score_as_published_by_image(pairs, expected):
    scores = score(*pairs, "image")
    assert scores.pairs == 200
    assert scores.infinite_psnr == expected["pairs_with_infinite_psnr"]
    assert scores.psnr_db == pytest.approx(expected["psnr_image_mean_clipped_db"], abs=0.005)
    assert scores.ms_ssim == pytest.approx(expected["ms_ssim_image_mean_clipped"], abs=0.0005)


def test_untouched_patches_score_as_published_by_batch(pairs, expected):
    scores = score(*pairs, "batch")
    assert scores.psnr_db == pytest.approx(expected["psnr_batch50_unclipped_db"], abs=0.005)
    assert scores.ms_ssim == pytest.approx(expected["ms_ssim_batch50_unclipped"], abs=0.0005)
