"""One aligned pair of small simulated photos, as arrays and as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dpedtool

Photos = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="package")
def photos() -> Photos:
    return dpedtool.example_photos()


@pytest.fixture(scope="package")
def files(photos: Photos, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same photos as PNG files, phone/1.png and dslr/1.png."""
    folder = tmp_path_factory.mktemp("photos")
    for name, photo in zip(("phone", "dslr"), photos, strict=True):
        (folder / name).mkdir()
        Image.fromarray(photo).save(folder / name / "1.png")
    return folder / "phone" / "1.png", folder / "dslr" / "1.png"


@pytest.fixture(scope="package")
def alignment(files: tuple[Path, Path]) -> dpedtool.Alignment:
    return dpedtool.align(*files)
