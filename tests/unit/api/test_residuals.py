"""residuals: shifts of known size, and figures as in the alignment's own check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dpedtool


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return dpedtool.example_photos()[0]


def test_a_known_shift_is_found_in_every_window(picture: np.ndarray) -> None:
    # What the first shows at (x, y), the second shows at (x + 2, y - 1).
    found = dpedtool.residuals(picture[:-1, 2:], picture[1:, :-2])
    table = found.table
    assert table.columns.tolist() == ["x", "y", "dx", "dy", "ncc", "error_px", "found"]
    assert table["found"].all()
    assert np.allclose(table["dx"], 2, atol=0.01)
    assert np.allclose(table["dy"], -1, atol=0.01)
    assert (table["ncc"] > 0.999).all()
    assert (table["error_px"] < 0.01).all()
    assert found.median_px == pytest.approx(np.sqrt(5), abs=0.01)
    assert found.p95_px == pytest.approx(np.sqrt(5), abs=0.01)


def test_places_are_the_windows_corners(picture: np.ndarray) -> None:
    other = dpedtool.example_photos(seed=8)[0]
    changed = picture.copy()
    changed[8:72, 8:72] = other[8:72, 8:72]
    table = dpedtool.residuals(picture, changed).table
    assert table.loc[~table["found"], ["x", "y"]].to_numpy().tolist()[0] == [8, 8]
    assert table.loc[(table["x"] >= 72) | (table["y"] >= 72), "found"].all()


def test_the_alignment_s_crops_agree(alignment: dpedtool.Alignment) -> None:
    found = dpedtool.residuals(alignment.phone, alignment.dslr)
    assert found.median_px == pytest.approx(alignment.residual_px, abs=0.02)
    assert len(found.table) == alignment.residual_windows


def test_files_give_what_arrays_give(picture: np.ndarray, tmp_path: Path) -> None:
    for name, image in (("a", picture[:, 1:]), ("b", picture[:, :-1])):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    files = dpedtool.residuals(tmp_path / "a.png", str(tmp_path / "b.png"))
    assert files.table.equals(dpedtool.residuals(picture[:, 1:], picture[:, :-1]).table)


def test_too_few_windows_give_nan_and_print(picture: np.ndarray) -> None:
    plain = np.full_like(picture, 90)
    found = dpedtool.residuals(plain, plain)
    assert len(found.table) == 0
    assert np.isnan(found.median_px)
    assert "not measured" in repr(found)
    assert len(dpedtool.residuals(picture[:20, :20], picture[:20, :20]).table) == 0


def test_it_prints_well(picture: np.ndarray) -> None:
    found = dpedtool.residuals(picture, picture)
    assert repr(found).splitlines()[0] == "Shifts of 64 px windows"
    assert f"shift, median         {found.median_px:.3f} px" in repr(found)
    assert "<table" in found._repr_html_()


def test_sizes_must_be_equal(picture: np.ndarray) -> None:
    with pytest.raises(dpedtool.DpedtoolError) as refused:
        dpedtool.residuals(picture, picture[:-3])
    assert str(refused.value) == "phone has 400 x 300 px and dslr has 400 x 297 px: give two images of equal size."
