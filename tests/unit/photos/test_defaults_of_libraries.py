"""Files that libraries read by a default of their own: the wrong page, frame or part, or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from photo_samples import dng, mosaic
from PIL import Image as PillowImage

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile, how_taken
from dpedtool.dataset.photos.encoding import encode_image, png_chunk

PICTURE = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)


def test_an_animated_png_is_its_default_image() -> None:
    """The default image is no frame of the animation where no fcTL comes before it (PNG, third edition, 11.3.6)."""
    plain = encode_image(PICTURE, ".png")
    head, pixels = plain[:33], plain[33 : plain.index(b"IEND") - 4]
    other = zlib.compress(b"".join(b"\0" + row.tobytes() for row in 255 - PICTURE[..., ::-1]))
    control = struct.pack(">IIIIIHHBB", 0, 60, 40, 0, 0, 1, 10, 0, 0)
    content = head + png_chunk(b"acTL", struct.pack(">II", 1, 0)) + pixels
    content += png_chunk(b"fcTL", control) + png_chunk(b"fdAT", struct.pack(">I", 1) + other) + png_chunk(b"IEND", b"")
    np.testing.assert_array_equal(PhotoFile(Path("a.png"), content).colour(), PICTURE)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 * 2**20))),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * (5 * 2**20))),
        b"".join(png_chunk(b"zTXt", b"C\0\0" + zlib.compress(bytes(2**20))) for _ in range(70)),
    ],
    ids=["long", "long XMP", "many"],
)
def test_long_texts_do_not_keep_a_png_from_being_read(chunk: bytes) -> None:
    plain = encode_image(PICTURE, ".png")
    file = PhotoFile(Path("a.png"), plain[:33] + chunk + plain[33:])
    np.testing.assert_array_equal(file.colour(), PICTURE)
    assert file.note == ""


def test_a_profile_that_unpacks_without_end_is_damaged() -> None:
    plain = encode_image(PICTURE, ".png")
    chunk = png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2**25)))
    file = PhotoFile(Path("a.png"), plain[:33] + chunk + plain[33:])
    np.testing.assert_array_equal(file.colour(), PICTURE)
    assert "damaged" in file.note


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_thumbnail_on_the_first_page_of_a_tiff_is_passed_over(depth: type) -> None:
    picture = PICTURE.astype(depth) * (257 if depth is np.uint16 else 1)
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(picture[::4, ::4, ::-1], photometric="rgb", subfiletype=1)
        file.write(picture[..., ::-1], photometric="rgb")
    found = PhotoFile(Path("a.tif"), out.getvalue())
    assert found.size == (60, 40)
    np.testing.assert_array_equal(found.colour(), PICTURE)


def test_the_first_of_several_full_pages_is_the_picture() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(PICTURE[..., ::-1], photometric="rgb")
        file.write(PICTURE[::4, ::4, ::-1], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(PhotoFile(Path("a.tif"), out.getvalue()).colour(), PICTURE)


@pytest.mark.parametrize(
    ("kind", "said"),
    [(np.float32, "floating point numbers"), (np.float16, "floating point numbers"), (np.uint32, "of 32 bit")],
)
def test_a_tiff_of_another_depth_is_refused_by_it(kind: type, said: str) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, PICTURE.astype(kind), photometric="rgb")
    with pytest.raises(Rejection, match=said):
        PhotoFile(Path("a.tif"), out.getvalue()).colour()


def test_fields_of_colours_in_a_tiff_are_told() -> None:
    out = io.BytesIO()
    white = (318, 5, 2, (3127, 10000, 3290, 10000), True)
    tifffile.imwrite(out, PICTURE[..., ::-1], photometric="rgb", extratags=[white])
    file = PhotoFile(Path("a.tif"), out.getvalue())
    np.testing.assert_array_equal(file.colour(), PICTURE)
    assert "TIFF fields" in file.note


def raw_file(scene: np.ndarray, *tags: tuple[int, int, int, object]) -> PhotoFile:
    return PhotoFile(Path("a.dng"), dng(mosaic(scene), extra=[(*tag, True) for tag in tags]))


def test_the_default_crop_of_a_dng_is_the_picture() -> None:
    scene = np.full((90, 130), 30_000.0)
    scene[:, :50] = 5000
    whole = PhotoFile(Path("a.dng"), dng(mosaic(scene))).colour()
    file = raw_file(scene, (50719, 4, 2, (14, 6)), (50720, 4, 2, (100, 70)))
    assert file.size == (100, 70)
    np.testing.assert_array_equal(file.colour(), whole[6:76, 14:114])
    for factor in (2, 4):
        reduced = file.grey(factor)
        assert reduced.image.shape == (-(-70 // factor), 100 // factor)
        assert reduced.size == (100, 70)


def test_an_odd_crop_is_reduced_by_means() -> None:
    file = raw_file(np.full((90, 130), 30_000.0), (50719, 4, 2, (13, 7)), (50720, 4, 2, (101, 71)))
    assert file.grey(2).image.shape == (36, 51)


@pytest.mark.parametrize("crop", [((200, 6), (100, 70)), ((14, 6), (500, 70)), ((14, 6), (0, 0))])
def test_an_impossible_crop_is_ignored(crop: tuple[tuple[int, int], tuple[int, int]]) -> None:
    file = raw_file(np.full((90, 130), 30_000.0), (50719, 4, 2, crop[0]), (50720, 4, 2, crop[1]))
    assert file.size == (130, 90)


def test_the_baseline_exposure_of_a_dng_is_applied() -> None:
    """A stop more is twice the light (DNG 1.7, BaselineExposure)."""
    scene = np.full((80, 80), 0.1 * 65535)
    scene[:8] = 65535
    for stops in (1, 2, -1):
        colour = raw_file(scene, (50730, 10, 1, (stops * 100, 100))).colour()[20:60, 20:60]
        share = 0.1 * 2**stops
        assert np.abs(colour.astype(float) - 255 * (1.055 * share ** (1 / 2.4) - 0.055)).max() <= 3


@pytest.mark.parametrize("name", ["a.nef", "a.DNG", "a.cr2", "a.tif", "a.heic", "a.png"])
def test_content_comes_before_the_suffix(name: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    exif = PillowImage.Exif()
    exif[306] = "2024:05:04 10:12:07"
    PillowImage.fromarray(PICTURE).save(out, "JPEG", exif=exif)
    (tmp_path / name).write_bytes(out.getvalue())
    wanted = cv2.imdecode(np.frombuffer(out.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(PhotoFile(tmp_path / name, out.getvalue()).colour(), wanted)
    assert how_taken(tmp_path / name).time == datetime(2024, 5, 4, 10, 12, 7)


def test_a_raw_file_named_tif_is_told_its_name() -> None:
    content = dng(mosaic(np.full((90, 130), 30_000.0)))
    with pytest.raises(Rejection, match=r"name it \.dng"):
        PhotoFile(Path("a.tif"), content).colour()
