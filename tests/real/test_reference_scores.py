"""The metrics on 200 real test pairs of DPED, against values measured independently."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.metrics import score


@pytest.fixture(scope="module")
def data():
    beside_the_checkout = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("DPEDTOOL_REAL_DATA") or beside_the_checkout)
    if not (folder / "dped_iphone_patches").is_dir() or not (folder / "expected" / "scores.json").is_file():
        pytest.skip(f"no DPED patches and reference scores in {folder}: set DPEDTOOL_REAL_DATA")
    return folder


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
