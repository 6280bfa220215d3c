"""Images as the bytes of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.encoding import encode_image, save_image


def test_a_png_keeps_every_pixel_and_leaves_nothing_else(tmp_path: Path, texture) -> None:
    save_image(tmp_path / "deep" / "a.png", texture(20, 30))
    np.testing.assert_array_equal(load_photo(tmp_path / "deep" / "a.png"), texture(20, 30))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_jpeg_quality_counts(texture) -> None:
    sizes = [len(encode_image(texture(60, 80), ".jpg", quality)) for quality in (30, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]
