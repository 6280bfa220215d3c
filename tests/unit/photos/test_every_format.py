"""Tests of every format in the table: a new format is tested without further work."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from photo_exif import DATE_TIME, ORIENTATION, SECRETS, TIME
from photo_samples import sample

from dpedtool.dataset.code_digest import closure
from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.decoding import PhotoFile, how_taken
from dpedtool.dataset.photos.formats import other
from dpedtool.dataset.photos.formats.input_format import HEAD, EncodedAgain, InputFormat
from dpedtool.dataset.photos.formats.table import FORMATS, SUFFIXES, format_of, format_of_bytes, format_of_suffix
from dpedtool.dataset.photos.kept_metadata import exif_block, kept_metadata
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.photos.tiff_fields import Field, TiffReader
from dpedtool.pipeline.release.privacy.scan import scan
from dpedtool.pipeline.release.privacy.stripping import strip_photo, told

MOMENT = datetime.strptime(TIME, "%Y:%m:%d %H:%M:%S")
every_format = pytest.mark.parametrize("format_", FORMATS, ids=[format_.name for format_ in FORMATS])

SCENE = np.full((90, 130, 3), (10, 30, 80), np.uint8)
"""Dark red, with a light blue part in the upper left."""
SCENE[:40, :50] = (250, 180, 140)


def suffix_of(format_: InputFormat) -> str:
    return min(format_.suffixes)


def photo(format_: InputFormat, orientation: int = 1) -> PhotoFile:
    return PhotoFile(Path(f"some{suffix_of(format_)}"), sample(format_, SCENE, orientation))


def field(file: PhotoFile, tag: int) -> Field | None:
    """A field of the first directory of a photo's EXIF block, if it has one."""
    block = exif_block(file)
    return TiffReader(block).first({tag}).get(tag) if block else None


# Which format a file is of


def test_every_suffix_is_of_one_format() -> None:
    suffixes = [suffix for format_ in FORMATS for suffix in format_.suffixes]
    assert len(suffixes) == len(set(suffixes)) == len(SUFFIXES)
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in suffixes)
    names = [format_.name for format_ in FORMATS]
    assert len(names) == len(set(names))


def test_the_code_of_every_format_is_in_the_digests_of_results() -> None:
    named = (
        importlib.import_module(name) for name in closure("dpedtool.dataset.photos.decoding") if ".formats." in name
    )
    known = [module.FORMAT for module in named if hasattr(module, "FORMAT")]
    assert sorted(format_.name for format_ in known) == sorted(format_.name for format_ in (*FORMATS, other.FORMAT))


@every_format
def test_a_file_is_known_as_what_it_is(format_: InputFormat) -> None:
    head = photo(format_).content[:HEAD]
    for suffix in format_.suffixes:
        assert format_of(head, Path(f"A{suffix.upper()}")) is format_
        assert format_of_suffix(Path(f"a{suffix}")) is format_
    if format_.is_known is None:
        assert format_of(head, Path("a.jpg")) is not format_
        return
    assert [other for other in FORMATS if other.is_known and other.is_known(head)] == [format_]
    assert format_of_bytes(head) is format_
    assert format_of(head, Path("a.text")) is format_
    assert not any(format_.is_known(bytes(length)) for length in (0, 1, HEAD, 100))


@every_format
def test_folders_are_searched_for_it(format_: InputFormat, tmp_path: Path) -> None:
    (tmp_path / f"1{suffix_of(format_)}").write_bytes(b"")
    (tmp_path / f"2{suffix_of(format_).upper()}").write_bytes(b"")
    assert len(list_photos(tmp_path)) == 2
    (tmp_path / "1.JPG").write_bytes(b"")
    assert len(list_photos(tmp_path)) == (2 if format_.is_beside_jpeg else 3)


# Decoding


@every_format
@pytest.mark.parametrize("orientation", [1, 6])
def test_it_is_decoded_upright_once(format_: InputFormat, orientation: int) -> None:
    file = photo(format_, orientation)
    turned = orientation == 6 and field(file, ORIENTATION)
    seen = np.rot90(SCENE, -1) if turned else SCENE
    colour = file.colour()
    assert (colour.shape, colour.dtype, file.size) == (seen.shape, np.uint8, seen.shape[1::-1])
    assert np.corrcoef(colour.mean(axis=2).ravel(), seen.mean(axis=2).ravel())[0, 1] > 0.97
    if format_.name != "camera raw":
        # The sample of a raw file is grey.
        assert np.median(np.abs(colour.astype(int) - seen)) <= 6
    np.testing.assert_array_equal(file.grey().image, cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))
    assert file.grey(4).image.shape == tuple(-(-side // 4) for side in seen.shape[:2])
    assert file.grey(4).size == file.size


def damaged(content: bytes) -> Iterator[bytes]:
    """Cut files, the emptiest first, and files with a wrong byte, most of them among the first."""
    yield from (content[:length] for length in range(0, len(content), len(content) // 20))
    random = np.random.default_rng(0)
    for place in (*range(HEAD), *random.integers(HEAD, 200, 30), *random.integers(HEAD, len(content), 20)):
        yield content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :]


def what_becomes_of(file: PhotoFile) -> str:
    """Return the rejection's sentence, or nothing; any other exception is an error of the test."""
    assert file.time is None or isinstance(file.time, datetime)
    kept_metadata(file, (130, 90)).block()
    told(file)
    try:
        size = file.size
        assert file.colour().shape[1::-1] == size
    except Rejection as rejection:
        return f"{rejection.reason} {rejection.detail}"
    return ""


@every_format
def test_a_damaged_file_is_refused_in_a_sentence_or_has_the_size_that_it_says(format_: InputFormat) -> None:
    name, whole = f"some{suffix_of(format_)}", photo(format_).content
    said = {content: what_becomes_of(PhotoFile(Path(name), content)) for content in damaged(whole)}
    assert all(re.fullmatch(rf"unreadable_photo {name}: [^\n]+\.", text) for text in said.values() if text)
    assert all(text for content, text in said.items() if len(content) < len(whole) // 2)


# What it says


@every_format
def test_its_time_is_that_of_its_exif_block(format_: InputFormat, tmp_path: Path) -> None:
    file = photo(format_)
    expected = MOMENT if field(file, DATE_TIME) else None
    assert file.time == expected
    (tmp_path / file.path).write_bytes(file.content)
    assert how_taken(tmp_path / file.path).time == expected


@every_format
def test_results_keep_neither_position_nor_serial_numbers(format_: InputFormat) -> None:
    kept = kept_metadata(photo(format_), (130, 90))
    assert (kept.note, kept.position) == ("", {})
    assert bool(kept.block()) == bool(field(photo(format_), DATE_TIME))
    assert not any(secret in kept.block() for secret in SECRETS)


def with_trailer(file: PhotoFile) -> PhotoFile:
    """The photo with a serial number behind its end, if it is read like that."""
    longer = PhotoFile(file.path, file.content + b"SERIAL-7")
    try:
        longer.colour()
    except Rejection:
        return file
    return longer


@every_format
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_release_tells_nothing_but_its_pixels(format_: InputFormat, orientation: int) -> None:
    file = with_trailer(photo(format_, orientation))
    assert any(secret in file.content for secret in SECRETS)
    names = told(file)
    assert names == ({"A. Name", "SERIAL-7"} if field(file, DATE_TIME) else set())
    assert scan("it", file.content, names)
    result = strip_photo(file, 95)
    assert scan("it", result.content, names) == []
    assert not any(secret in result.content for secret in (*SECRETS, b"A. Name"))
    assert result.suffix in (".jpg", ".png")
    shown = PhotoFile(Path(f"it{result.suffix}"), result.content)
    if result.lossless or result.suffix == ".png":
        np.testing.assert_array_equal(shown.colour(), file.colour())
    assert shown.size == file.size
    if isinstance(format_.released, EncodedAgain):
        assert result.note.startswith(format_.released.why)
    else:
        assert result.suffix == format_.released.suffix
        assert (result.note == "") == (orientation == 1)
    assert result.lossless or result.note


# What it needs


@every_format
def test_without_its_extra_it_is_refused_in_words(format_: InputFormat, tmp_path: Path, monkeypatch) -> None:
    file = photo(format_)
    assert format_.missing_extra == ""
    if not format_.extra:
        return
    find, module = importlib.util.find_spec, format_.extra.module
    assert find(module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find(name))
    assert f"pip install {format_.extra.package}" in format_.missing_extra
    with pytest.raises(Rejection, match=re.escape(format_.missing_extra)):
        file.colour()
    # Its header can be read all the same.
    assert file.time == datetime(2024, 5, 6, 7, 8, 9)
    kept_metadata(file, (130, 90))
    (tmp_path / file.path).write_bytes(file.content)
    with pytest.raises(DpedtoolError, match=re.escape(format_.missing_extra)):
        list_photos(tmp_path)
