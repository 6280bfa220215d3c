"""HEIC and camera raw files: upright once, with their time, and a sentence where the extra is not installed."""

from __future__ import annotations

import importlib.util
import io
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_samples import dng, mosaic
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.decoding import PhotoFile, how_taken, open_photo
from dpedtool.dataset.photos.listing import list_photos

WHEN = "2024:05:04 10:12:07"
MOMENT = datetime(2024, 5, 4, 10, 12, 7)
MOMENT_OF_RAW = datetime(2024, 5, 6, 7, 8, 9)


def quarters() -> np.ndarray:
    """41 x 61 px, odd, BGR: blue, green over red, white."""
    image = np.zeros((41, 61, 3), np.uint8)
    image[:20, :30, 0] = 250
    image[:20, 30:, 1] = 250
    image[20:, :30, 2] = 250
    image[20:, 30:] = 250
    return image


def exif_block(orientation: int) -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    exif[306] = WHEN
    return exif.tobytes()


def heic(bgr: np.ndarray, orientation: int = 1, **options: object) -> bytes:
    """A HEIC file as phones write it: the turn as a transform of the file, and in the EXIF block too."""
    out = io.BytesIO()
    picture = pillow_heif.from_pillow(PillowImage.fromarray(bgr[..., ::-1]))
    picture.save(out, quality=95, chroma=444, exif=exif_block(orientation), **options)
    return out.getvalue()


# HEIC


# The turns that take the stored rows to the photo as seen (EXIF 2.32, 4.6.4 A, Orientation).
SEEN = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", SEEN)
def test_heic_is_turned_upright_once(orientation: int) -> None:
    content = heic(quarters(), orientation)
    # Both say so: a reader that follows both turns it twice.
    exif = PillowImage.Exif()
    exif.load(pillow_heif.open_heif(io.BytesIO(content)).info["exif"])
    assert exif[0x0112] == orientation
    file = PhotoFile(Path("some.heic"), content)
    expected = SEEN[orientation](quarters())
    assert file.colour().shape == expected.shape
    assert np.median(np.abs(file.colour().astype(int) - expected)) <= 6
    assert file.grey(2).size == expected.shape[1::-1]
    assert file.grey(2).image.shape == tuple(-(-side // 2) for side in expected.shape[:2])
    np.testing.assert_array_equal(file.grey().image, cv2.cvtColor(file.colour(), cv2.COLOR_BGR2GRAY))


def test_heic_is_known_by_its_content_and_has_its_time(tmp_path: Path) -> None:
    for name in ("a.heic", "b.HIF", "c.jpg"):
        (tmp_path / name).write_bytes(heic(quarters(), 6))
        assert open_photo(tmp_path / name).colour().shape == (61, 41, 3)
        assert how_taken(tmp_path / name).time == MOMENT


def test_a_truncated_heic_is_unreadable() -> None:
    whole = heic(quarters())
    for length in {*range(12, len(whole), len(whole) // 20), len(whole) - 1}:
        with pytest.raises(Rejection) as refused:
            PhotoFile(Path("some.heic"), whole[:length]).colour()
        assert refused.value.reason == "unreadable_photo"
        assert "\n" not in refused.value.detail


def test_a_grey_heic_has_three_equal_channels() -> None:
    out = io.BytesIO()
    grey = np.repeat(np.arange(0, 250, 5, dtype=np.uint8)[None], 40, axis=0)
    pillow_heif.from_pillow(PillowImage.fromarray(grey)).save(out, quality=98)
    colour = PhotoFile(Path("some.heic"), out.getvalue()).colour()
    assert np.abs(colour.astype(int) - grey[..., None]).max() <= 6


def test_heic_of_high_dynamic_range_is_refused() -> None:
    out = io.BytesIO()
    picture = pillow_heif.from_pillow(PillowImage.fromarray(quarters()))
    picture.save(out, color_primaries=9, transfer_characteristics=16, matrix_coefficients=9, full_range_flag=1)
    with pytest.raises(Rejection, match="HDR"):
        PhotoFile(Path("some.heic"), out.getvalue()).colour()


# Raw


def raw(content: bytes) -> PhotoFile:
    return PhotoFile(Path("some.dng"), content)


@pytest.mark.parametrize("orientation", SEEN)
def test_raw_is_turned_upright_once(orientation: int) -> None:
    scene = np.full((90, 130), 3000.0)
    scene[:40, :50] = 50_000
    file = raw(dng(mosaic(scene), orientation))
    expected = SEEN[orientation](scene)
    colour = file.colour()
    assert colour.shape == (*expected.shape, 3)
    assert np.corrcoef(colour.mean(axis=2).ravel(), expected.ravel())[0, 1] > 0.97
    np.testing.assert_array_equal(file.grey().image, cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))


def test_raw_is_developed_with_its_white_balance_to_srgb_and_without_automatic_brightness() -> None:
    # sRGB's curve takes a fifth of the white level to 124 (IEC 61966-2-1), independently of the rest of the photo.
    for share in (0.05, 0.2, 0.5):
        scene = np.full((80, 80), share * 65535)
        scene[:8] = 65535
        colour = raw(dng(mosaic(scene))).colour()[20:60, 20:60]
        level = 255 * (1.055 * share ** (1 / 2.4) - 0.055)
        assert np.abs(colour.astype(float) - level).max() <= 3


SIGMA_PX = 14.0


@settings(max_examples=30)
@given(st.integers(260, 276), st.integers(260, 276), st.sampled_from(sorted(SEEN)), st.sampled_from([2, 4, 8]))
def test_blobs_of_the_reduced_raw_lie_where_the_transform_says(
    width: int, height: int, orientation: int, factor: int
) -> None:
    y, x = np.mgrid[:height, :width]
    scene = 2000 + 60_000 * np.exp(-((x - 131.3) ** 2 + (y - 127.6) ** 2) / (2 * SIGMA_PX**2))
    file = raw(dng(mosaic(scene), orientation))
    reduced = file.grey(factor)
    seen = SEEN[orientation](scene)
    found = reduced.full_from_reduced @ [*centroid(reduced.image), 1]
    assert np.hypot(*(found[:2] - centroid(seen, above=30_000))) < 0.05
    assert reduced.size == seen.shape[::-1]


def centroid(image: np.ndarray, above: float = 120) -> np.ndarray:
    """The centre of the brightness above a level that the blob alone exceeds, all around."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = np.clip(image.astype(float) - above, 0, None)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_raw_has_its_time_to_the_second(tmp_path: Path) -> None:
    (tmp_path / "a.DNG").write_bytes(dng(np.zeros((40, 40), np.uint16)))
    (tmp_path / "b.cr2").write_text("text")
    assert how_taken(tmp_path / "a.DNG").time == MOMENT_OF_RAW
    assert how_taken(tmp_path / "b.cr2").time is None


def test_a_truncated_raw_is_unreadable() -> None:
    whole = dng(np.full((80, 80), 9999, np.uint16))
    for length in (0, 8, 500, len(whole) // 2, len(whole) * 3 // 4):
        with pytest.raises(Rejection) as refused:
            raw(whole[:length]).colour()
        assert refused.value.reason == "unreadable_photo"
        assert "\n" not in refused.value.detail


# Without the extras


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Return a function after which a module counts as not installed."""
    find = importlib.util.find_spec

    def hide(module: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find(name))

    return hide


@pytest.mark.parametrize(
    ("module", "name", "make", "extra"),
    [
        ("pillow_heif", "a.heic", lambda: heic(quarters()), "pillow-heif"),
        ("rawpy", "a.nef", lambda: dng(np.zeros((40, 40), np.uint16)), "rawpy"),
    ],
)
def test_without_the_extra_a_photo_is_refused_by_its_name(tmp_path: Path, without, module, name, make, extra) -> None:
    (tmp_path / name).write_bytes(make())
    without(module)
    for decode in (lambda photo: photo.colour(), lambda photo: photo.grey(4)):
        with pytest.raises(Rejection, match=f"pip install {extra}"):
            decode(open_photo(tmp_path / name))
    # Its header can be read all the same.
    times = {"pillow_heif": datetime(2024, 5, 4, 10, 12, 7), "rawpy": MOMENT_OF_RAW}
    assert how_taken(tmp_path / name).time == times[module]
    with pytest.raises(DpedtoolError, match=f"None of the photos.*pip install {extra}"):
        list_photos(tmp_path)
    (tmp_path / "b.png").write_bytes(b"")
    assert [path.name for path in list_photos(tmp_path)] == [name, "b.png"]
