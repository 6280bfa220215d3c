"""Damage inside a JPEG's coded data: found, placed to the row, and told; harmless oddities change nothing."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile

HEIGHT, WIDTH = 480, 640


@functools.cache
def picture() -> np.ndarray:
    """Detail of several sizes and clear colours, (HEIGHT, WIDTH, 3) BGR."""
    rng = np.random.default_rng(8)
    layers = [cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH, 3)), (0, 0), sigma) * sigma for sigma in (1, 4, 16)]
    return np.clip(128 + 40 * sum(layers), 0, 255).astype(np.uint8)


def jpeg(orientation: int = 1, image: np.ndarray | None = None, **options: object) -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    shown = picture() if image is None else image
    PillowImage.fromarray(shown[..., ::-1]).save(out, "JPEG", exif=exif, **{"quality": 92, **options})
    return out.getvalue()


def scan(content: bytes) -> int:
    return content.index(b"\xff\xda") + 14


def zeroed(content: bytes, share: float, count: int = 512) -> bytes:
    """A bad sector, as a share of the way through the coded data."""
    place = scan(content) + round(share * (len(content) - scan(content)))
    return content[:place] + bytes(count) + content[place + count :]


def junk(content: bytes, share: float) -> bytes:
    """Other bytes in place of some of the coded data."""
    place = scan(content) + round(share * (len(content) - scan(content)))
    return content[:place] + bytes(range(1, 251)) + content[place + 250 :]


RESTARTS = {"restart_marker_blocks": 40}


@pytest.mark.parametrize(
    ("options", "damage"),
    [
        ({}, zeroed),
        ({"subsampling": 0}, zeroed),
        ({"subsampling": 2, "optimize": True}, zeroed),
        (RESTARTS, zeroed),
        # The decoder notices the number of the next restart marker.
        (RESTARTS, junk),
    ],
    ids=["plain", "full colour", "optimised", "restarts", "restarts and junk"],
)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.85])
def test_rows_above_the_damage_are_right_and_those_below_are_not_used(
    options: dict[str, object], damage: Callable[[bytes, float], bytes], share: float
) -> None:
    whole = jpeg(**options)
    file, right = PhotoFile(Path("a.jpg"), damage(whole, share)), PhotoFile(Path("a.jpg"), whole).colour()
    found = file.colour().astype(int)
    left, top, width, y = file.grey().usable
    assert (left, top, width) == (0, 0, WIDTH)
    assert f"a.jpg: its JPEG data is damaged from row {y} on, which is not used." == file.note
    np.testing.assert_array_equal(found[:y], right[:y])
    # Not more than needed is given up: what follows is wrong, at the latest after two rows of blocks.
    assert np.abs(found - right)[y : y + 48].max() > 20
    assert abs(y - share * HEIGHT) < 0.15 * HEIGHT


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_lost_code_that_nothing_places_spoils_all_or_is_told(share: float) -> None:
    whole = jpeg()
    place = scan(whole) + round(share * (len(whole) - scan(whole)))
    with pytest.raises(Rejection, match="its JPEG data is damaged or ends too early"):
        PhotoFile(Path("a.jpg"), whole[:place] + whole[place + 300 :]).colour()
    assert "belong to no row, so that a part of it may be damaged" in PhotoFile(Path("a.jpg"), junk(whole, share)).note


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_part_is_that_of_the_upright_photo(orientation: int) -> None:
    whole = jpeg(orientation)
    file, right = PhotoFile(Path("a.jpg"), zeroed(whole, 0.6)), PhotoFile(Path("a.jpg"), whole).colour()
    x, y, width, height = file.grey().usable
    usable = np.zeros(right.shape[:2], bool)
    usable[y : y + height, x : x + width] = True
    assert 0.4 < usable.mean() < 0.75
    np.testing.assert_array_equal(file.colour()[usable], right[usable])
    assert np.abs(file.colour()[~usable].astype(int) - right[~usable]).mean() > 5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_the_damaged_part_is_blank_in_what_is_measured(orientation: int, factor: int) -> None:
    whole = jpeg(orientation)
    found = PhotoFile(Path("a.jpg"), zeroed(whole, 0.6)).grey(factor)
    right = PhotoFile(Path("a.jpg"), whole).grey(factor).image
    rows, columns = np.mgrid[: right.shape[0], : right.shape[1]]
    x = (found.full_from_reduced @ np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)]))[:2]
    low, size = np.array(found.usable[:2])[:, None], np.array(found.usable[2:])[:, None]
    inside = ((x >= low + factor) & (x <= low + size - 1 - factor)).all(axis=0).reshape(right.shape)
    outside = ((x < low - factor) | (x > low + size - 1 + factor)).any(axis=0).reshape(right.shape)
    np.testing.assert_array_equal(found.image[inside], right[inside])
    assert len(np.unique(found.image[outside])) == 1
    assert min(inside.sum(), outside.sum()) > 50


def test_damage_of_a_progressive_photo_spoils_all_of_it() -> None:
    whole = jpeg(progressive=True)
    with pytest.raises(Rejection, match="its JPEG data is damaged"):
        PhotoFile(Path("a.jpg"), whole[: len(whole) // 2] + whole[len(whole) // 2 + 300 :]).colour()


def test_flat_areas_may_be_zeros() -> None:
    """With tables made for it, a black photo is coded as zeros."""
    black = jpeg(image=np.zeros((HEIGHT, WIDTH, 3), np.uint8), optimize=True)
    file = PhotoFile(Path("a.jpg"), black)
    assert file.colour().max() == 0
    assert file.note == ""


@pytest.mark.parametrize("padding", [b"\0" * 9, b"\xff" * 5, b"\0\xff" * 2])
def test_padding_before_the_end_is_harmless(padding: bytes) -> None:
    whole = jpeg()
    file = PhotoFile(Path("a.jpg"), whole[:-2] + padding + whole[-2:])
    np.testing.assert_array_equal(file.colour(), PhotoFile(Path("a.jpg"), whole).colour())
    assert (file.note, file.grey().usable) == ("", None)


def test_stray_bytes_between_headers_are_harmless() -> None:
    whole = jpeg()
    place = whole.index(b"\xff\xdb")
    file = PhotoFile(Path("a.jpg"), whole[:place] + b"stray" + whole[place:])
    np.testing.assert_array_equal(file.colour(), PhotoFile(Path("a.jpg"), whole).colour())
    assert (file.note, file.grey().usable) == ("", None)


def test_bytes_that_belong_to_no_row_are_told() -> None:
    """Code was lost somewhere: from there on, blocks lie at other places, and code is left at the end."""
    whole = jpeg()
    file = PhotoFile(Path("a.jpg"), whole[:-2] + bytes(range(1, 99)) + whole[-2:])
    np.testing.assert_array_equal(file.colour(), PhotoFile(Path("a.jpg"), whole).colour())
    assert "bytes behind its JPEG data belong to no row" in file.note
    assert file.grey().usable is None


def test_the_note_is_the_same_before_and_after_decoding() -> None:
    content = zeroed(jpeg(), 0.4)
    decoded = PhotoFile(Path("a.jpg"), content)
    decoded.grey(2)
    assert decoded.note == PhotoFile(Path("a.jpg"), content).note != ""


def test_a_photo_that_ends_in_the_next_picture_is_truncated() -> None:
    """An MPO file holds further pictures, whose end is not that of the first."""
    whole, second = jpeg(), jpeg(image=np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(Rejection, match="ends too early"):
        PhotoFile(Path("a.mpo"), whole[: len(whole) // 2] + second).colour()


def test_a_jpeg_of_12_bit_is_refused_by_its_depth() -> None:
    whole = jpeg()
    place = whole.index(b"\xff\xc0") + 4
    with pytest.raises(Rejection, match="a JPEG of 12 bit"):
        PhotoFile(Path("a.jpg"), whole[:place] + struct.pack("B", 12) + whole[place + 1 :]).colour()
