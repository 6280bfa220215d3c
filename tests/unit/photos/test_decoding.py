"""Photos from files: every file that is not a photo is a Rejection, and all photos are upright BGR uint8."""

from __future__ import annotations

import io
import os
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from photo_headers import jpeg_header, png_header
from PIL import Image as PillowImage

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile, decode_photo, how_taken, load_photo
from dpedtool.dataset.photos.encoding import encode_image

ORIENTATION, EXIF, DATE_TIME, ORIGINAL, SUBSEC = 0x0112, 0x8769, 306, 36867, 37521


def quarters() -> np.ndarray:
    """40 x 60 px: blue, green over red, white."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20, :30, 0] = 250
    image[:20, 30:, 1] = 250
    image[20:, :30, 2] = 250
    image[20:, 30:] = 250
    return image


def encoded(image: np.ndarray, kind: str, **options: object) -> bytes:
    """Encode RGB, grey or RGBA by Pillow, which is not what reads it."""
    out = io.BytesIO()
    PillowImage.fromarray(image).save(out, kind, **options)
    return out.getvalue()


def jpeg(image: np.ndarray, exif: PillowImage.Exif | None = None) -> bytes:
    return encoded(image[..., ::-1], "JPEG", quality=95, subsampling=0, **({} if exif is None else {"exif": exif}))


def rejection(content: bytes) -> Rejection:
    with pytest.raises(Rejection) as error:
        decode_photo(content, Path("some.jpg"))
    assert error.value.reason == "unreadable_photo"
    assert error.value.detail.startswith("some.jpg: ")
    assert "\n" not in error.value.detail
    return error.value


# Files that are not photos


@pytest.mark.parametrize("kind", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_a_truncated_photo_is_unreadable_wherever_it_was_cut(kind: str, texture) -> None:
    whole = encode_image(texture(60, 80), kind)
    assert decode_photo(whole, Path("some")).shape == (60, 80, 3)
    # The last two bytes of a JPEG are its end marker, without which it still has all of its rows.
    last = len(whole) - (3 if kind == ".jpg" else 1)
    for length in {*range(0, last, max(1, len(whole) // 30)), last}:
        rejection(whole[:length])


@pytest.mark.parametrize("behind", [b"", b"\xff", b"SEFT data of a phone" * 30])
def test_a_jpeg_whose_rows_are_all_there_needs_no_end_marker(behind: bytes, texture) -> None:
    whole = encode_image(texture(60, 80), ".jpg")
    assert whole.endswith(b"\xff\xd9")
    file = PhotoFile(Path("pano.jpg"), whole[:-2] + behind)
    np.testing.assert_array_equal(file.colour(), decode_photo(whole, Path("some.jpg")))
    assert file.note == ""
    assert file.grey().usable is None


def test_a_truncated_progressive_jpeg_is_unreadable(texture) -> None:
    whole = encoded(texture(60, 80), "JPEG", progressive=True)
    assert decode_photo(whole, Path("some")).shape == (60, 80, 3)
    for length in range(0, len(whole), len(whole) // 30):
        rejection(whole[:length])


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_unreadable(texture) -> None:
    thumbnail = encoded(texture(12, 16), "JPEG")
    assert b"\xff\xd9" in thumbnail
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    whole = encoded(texture(60, 80), "JPEG")
    whole = whole[:2] + segment + whole[2:]
    assert decode_photo(whole, Path("some")).shape == (60, 80, 3)
    # Told by the bytes alone: what decoders make of it varies, some fill the rest with grey.
    for length in range(2, len(whole) - 2, len(whole) // 30):
        assert "ends too early" in rejection(whole[:length]).detail


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm() -> None:
    np.testing.assert_array_equal(
        decode_photo(jpeg(quarters()) + b"trailer", Path("x")), decode_photo(jpeg(quarters()), Path("x"))
    )


def test_text_named_jpg_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("this is no photo")
    with pytest.raises(Rejection, match=r"a\.jpg"):
        load_photo(tmp_path / "a.jpg")


def test_an_empty_file_is_unreadable() -> None:
    assert "empty" in rejection(b"").detail


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(Rejection) as error:
            load_photo(path)
        assert error.value.reason == "unreadable_photo"
        assert str(path) in error.value.detail


def test_what_would_never_end_or_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    pipe, film = tmp_path / "pipe.jpg", tmp_path / "film.jpg"
    os.mkfifo(pipe)
    with film.open("wb") as file:
        file.truncate(5 * 10**9)
    for path, said in (
        (pipe, "it is not a file"),
        (tmp_path, "it is not a file"),
        (film, "it has 5000 MB, and at most 2000 MB are read"),
    ):
        with pytest.raises(Rejection, match=said) as refused:
            load_photo(path)
        assert refused.value.reason == "unreadable_photo"
        assert how_taken(path).time is None


@pytest.mark.parametrize("header", [png_header, jpeg_header])
@pytest.mark.parametrize("side", [16_000, 60_000])
def test_a_header_that_claims_more_than_memory_holds_is_refused_before_it_is_decoded(header, side: int) -> None:
    assert "megapixels" in rejection(header(side, side)).detail


def test_photos_of_200_megapixels_are_let_in() -> None:
    assert PhotoFile(Path("some.jpg"), jpeg_header(16320, 12240)).size == (16320, 12240)


# What is one


def test_a_jpeg_is_bgr() -> None:
    assert np.abs(decode_photo(jpeg(quarters()), Path("x")).astype(int) - quarters()).max() <= 10


# The turns that take the stored rows to the photo as seen (EXIF 2.32, 4.6.4 A, Orientation).
STORED = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.transpose(1, 0, 2),
    6: lambda seen: np.rot90(seen, 1),
    7: lambda seen: np.rot90(seen, 2).transpose(1, 0, 2),
    8: lambda seen: np.rot90(seen, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_is_turned_upright(orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    photo = decode_photo(jpeg(np.ascontiguousarray(STORED[orientation](quarters())), exif), Path("x"))
    assert photo.shape == (40, 60, 3)
    assert np.abs(photo.astype(int) - quarters()).max() <= 10


def test_a_grey_photo_has_three_equal_channels() -> None:
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    for kind in ("PNG", "JPEG", "TIFF"):
        photo = decode_photo(encoded(grey, kind, **({"quality": 100} if kind == "JPEG" else {})), Path("x"))
        assert photo.shape == (10, 20, 3)
        assert np.abs(photo.astype(int) - grey[..., None]).max() <= 2


def test_transparency_is_dropped() -> None:
    rgba = np.dstack([quarters()[..., ::-1], np.full((40, 60), 128, np.uint8)])
    np.testing.assert_array_equal(decode_photo(encoded(rgba, "PNG"), Path("x")), quarters())


def test_a_palette_is_looked_up() -> None:
    out = io.BytesIO()
    PillowImage.fromarray(quarters()[..., ::-1]).quantize(4).save(out, "PNG")
    assert np.abs(decode_photo(out.getvalue(), Path("x")).astype(int) - quarters()).max() <= 8


# Capture time


def timed(folder: Path, original: object = None, fraction: object = None, changed: object = None) -> Path:
    exif = PillowImage.Exif()
    if changed is not None:
        exif[DATE_TIME] = changed
    details = exif.get_ifd(EXIF)
    if original is not None:
        details[ORIGINAL] = original
    if fraction is not None:
        details[SUBSEC] = fraction
    path = folder / "a.jpg"
    path.write_bytes(jpeg(quarters(), exif))
    return path


def test_the_capture_time_has_its_fraction(tmp_path: Path) -> None:
    assert how_taken(timed(tmp_path, "2024:05:04 10:12:07")).time == datetime(2024, 5, 4, 10, 12, 7)
    assert how_taken(timed(tmp_path, "2024:05:04 10:12:07", "5")).time == datetime(2024, 5, 4, 10, 12, 7, 500_000)
    assert how_taken(timed(tmp_path, "2024:05:04 10:12:07", "05 ")).time == datetime(2024, 5, 4, 10, 12, 7, 50_000)
    assert how_taken(timed(tmp_path, "2024:05:04 10:12:07", "1234567")).time == datetime(2024, 5, 4, 10, 12, 7, 123_456)


def test_the_time_of_change_stands_in_for_it(tmp_path: Path) -> None:
    assert how_taken(timed(tmp_path, changed="2024:05:04 10:12:07")).time == datetime(2024, 5, 4, 10, 12, 7)
    both = timed(tmp_path, "2024:05:04 10:12:07", changed="2030:01:01 00:00:00")
    assert how_taken(both).time == datetime(2024, 5, 4, 10, 12, 7)


@pytest.mark.parametrize("text", ["", "0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", "2024:13:04 10:12:07"])
def test_a_time_that_is_none_is_none(tmp_path: Path, text: str) -> None:
    assert how_taken(timed(tmp_path, text)).time is None


def test_files_without_a_time_have_none(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty.jpg").write_text("")
    (tmp_path / "header.png").write_bytes(png_header(60_000, 60_000))
    for name in ("text.jpg", "empty.jpg", "header.png", "missing.jpg"):
        assert how_taken(tmp_path / name).time is None
    assert how_taken(timed(tmp_path)).time is None


def test_a_damaged_exif_block_leaves_a_photo_and_no_traceback(tmp_path: Path) -> None:
    path = timed(tmp_path, "2024:05:04 10:12:07", "25")
    whole = path.read_bytes()
    start = whole.index(b"Exif\0\0")
    length = struct.unpack(">H", whole[start - 2 : start])[0]
    for position in range(start, start + length - 2):
        for value in (0, 2, 7, 12, 255):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            moment = how_taken(path).time
            assert moment is None or isinstance(moment, datetime)
            assert sorted(load_photo(path).shape) == [3, 40, 60]
