"""EXIF from photo to result: what is kept is what was there, and nothing else is found in the file."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import photo_exif as known
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL.ExifTags import IFD

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.kept_metadata import MOST_BYTES, Metadata, kept_metadata
from dpedtool.dataset.photos.tiff_fields import ASCII, Field, directory_bytes, header_bytes, longs
from dpedtool.dataset.photos.writing import Format, check_size, write_photo

FORMATS: tuple[Format, ...] = ("png", "jpg", "tiff")
KINDS = {"JPEG": "a.jpg", "PNG": "a.png", "TIFF": "a.tif", "WEBP": "a.webp", "HEIF": "a.heic"}
# Odd in all directions, and more rows than a strip of a TIFF.
RESULT = np.random.default_rng(1).integers(0, 256, (71, 45, 3), np.uint8)
SIZE = (45, 71)


def kept(content: bytes, name: str = "a.jpg", *, gps: bool = False) -> Metadata:
    return kept_metadata(PhotoFile(Path(name), content), SIZE, gps=gps)


def written(folder: Path, format_: Format, metadata: Metadata | None) -> Path:
    path = folder / f"result.{format_}"
    write_photo(path, RESULT, format_, metadata=metadata)
    return path


def exif_of(path: Path) -> tuple[dict[int, object], dict[int, object], dict[int, object]]:
    """What Pillow reads: main, shot, position; the file holds no thumbnail."""
    with PillowImage.open(path) as photo:
        exif = photo.getexif()
        assert not exif.get_ifd(IFD.IFD1)
        return dict(exif), exif.get_ifd(known.EXIF), exif.get_ifd(known.GPS)


def with_directories(main: dict[int, Field], shot: dict[int, Field] | None = None) -> bytes:
    """An EXIF block, big endian, as bytes of a JPEG."""
    return jpeg_with(header_bytes(8, ">") + Metadata(">", main, shot or {}).directories(8))


def jpeg_with(block: bytes) -> bytes:
    return known.photo_bytes("JPEG", b"Exif\0\0" + block)


# What is kept


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_read_back_from_every_format(tmp_path: Path, kind: str, format_: Format) -> None:
    content = known.photo_bytes(kind, known.full_exif(orientation=6))
    found = kept(content, KINDS[kind])
    assert found.note == ""
    path = written(tmp_path, format_, found)
    main, shot, position = exif_of(path)
    assert {tag: main[tag] for tag in known.MAIN} == known.MAIN
    assert {tag: shot[tag] for tag in known.SHOT} == known.SHOT
    assert (main[known.ORIENTATION], shot[known.COLOUR_SPACE]) == (1, 1)
    assert (shot[known.WIDTH], shot[known.HEIGHT]) == SIZE
    assert not position
    assert known.MAKER_NOTE not in shot
    assert known.SERIAL not in shot
    assert not any(secret in path.read_bytes() for secret in known.SECRETS)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_position_is_kept_where_it_is_asked_for(tmp_path: Path, kind: str, format_: Format) -> None:
    content = known.photo_bytes(kind, known.full_exif())
    _, shot, position = exif_of(written(tmp_path, format_, kept(content, KINDS[kind], gps=True)))
    assert position == {known.NORTH: "N", 2: (50, 30, 0)}
    assert shot[known.TAKEN] == known.TIME


def test_nothing_of_a_tiff_picture_gets_into_the_block() -> None:
    """Offsets and compression of the old file, which would be those of no picture."""
    content = known.photo_bytes("TIFF", known.full_exif())
    found = kept(content, "a.tif")
    assert found.main.keys() == {*known.MAIN, known.ORIENTATION, 0x100, 0x101}
    exif = PillowImage.Exif()
    exif.load(found.block())
    assert (exif[0x100], exif[0x101]) == SIZE


def test_values_are_carried_over_as_they_lie_in_the_file(tmp_path: Path) -> None:
    """Letters beyond ASCII, signed fractions that are positive, and 0/0, which means unknown."""
    copyright_ = Field(ASCII, "© Ä. Name\0".encode())
    shot = {0x9204: Field(10, struct.pack(">2l", 1, 3)), 0xA432: Field(5, bytes(32)), 0x9286: Field(7, b"UNICODE\0\0a")}
    found = kept(with_directories({known.COPYRIGHT: copyright_}, shot))
    assert found.order == ">"
    assert found.main[known.COPYRIGHT] == copyright_
    assert shot.items() <= found.shot.items()
    assert copyright_.data in written(tmp_path, "png", found).read_bytes()


def test_a_photo_without_exif_gives_a_result_without(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        assert kept(known.photo_bytes(kind, None)) == Metadata()
    assert not any(exif_of(written(tmp_path, "jpg", Metadata())))


def test_the_block_of_a_png_is_found_behind_the_picture_and_in_a_text() -> None:
    block = known.full_exif().tobytes().removeprefix(b"Exif\0\0")
    png = known.photo_bytes("PNG", block)
    place = png.index(b"eXIf") - 4
    chunk, rest = png[place : place + len(block) + 12], png[place + len(block) + 12 :]
    late = png[:place] + rest[:-12] + chunk + rest[-12:]
    assert PhotoFile(Path("a.png"), late).colour().shape == (40, 60, 3)
    assert kept(late, "a.png") == kept(png, "a.png") != Metadata()
    assert kept(png_with_text(f"\nexif\n{len(block)}\n{block.hex()}\n")) == kept(png, "a.png")
    assert "damaged" in kept(png_with_text("\nexif\n2\nno digits\n")).note


def png_with_text(text: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info, out = PngInfo(), io.BytesIO()
    info.add_text("Raw profile type exif", text)
    PillowImage.new("RGB", (9, 9)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


# What is damaged


@pytest.mark.parametrize(
    "block", [b"", b"II", b"II*\0\x08\0\0", b"no EXIF at all", b"MM\0*\xff\xff\xff\xff", b"II*\0" + bytes(4)]
)
def test_a_block_that_is_none_is_left_out_with_a_note(block: bytes) -> None:
    found = kept(jpeg_with(block))
    assert found.block() == b""
    assert ("damaged" in found.note) == bool(block)


def test_a_field_whose_value_lies_outside_is_left_out_and_the_others_kept() -> None:
    block = bytearray(header_bytes(8, "<"))
    block += directory_bytes({0x10F: Field(ASCII, b"Maker\0"), 0x110: Field(ASCII, b"Model\0")}, 8, "<")
    struct.pack_into("<L", block, 10 + 12 + 8, 60_000)
    found = kept(jpeg_with(bytes(block)))
    assert found.main[0x10F].data == b"Maker\0"
    assert 0x110 not in found.main
    assert "parts" in found.note


def test_directories_that_lead_in_circles_or_nowhere_end() -> None:
    main = {known.MAKE: Field(ASCII, b"Maker\0"), known.EXIF: longs("<", 8), known.GPS: longs("<", 2**32 - 1)}
    found = kept(jpeg_with(header_bytes(8, "<") + directory_bytes(main, 8, "<")), gps=True)
    assert found.main[known.MAKE].data == b"Maker\0"
    assert known.EXIF not in found.main
    assert not found.position
    assert "parts" in found.note


def test_a_value_longer_than_photos_hold_is_left_out(tmp_path: Path) -> None:
    """A TIFF's comment may have any length; a JPEG's EXIF block has not."""
    texts = {known.DESCRIPTION: Field(ASCII, b"x" * 40_000 + b"\0"), known.ARTIST: Field(ASCII, b"y" * 40_000 + b"\0")}
    block = header_bytes(8, "<") + Metadata("<", texts).directories(8)
    found = kept_metadata(PhotoFile(Path("a.tif"), block), SIZE)
    assert "longer" in found.note
    texts.pop(known.ARTIST)
    block = header_bytes(8, "<") + Metadata("<", texts).directories(8)
    found = kept_metadata(PhotoFile(Path("a.tif"), block), SIZE)
    assert 40_000 < len(found.block()) <= MOST_BYTES
    assert len(str(exif_of(written(tmp_path, "jpg", found))[0][known.DESCRIPTION])) == 40_000


@pytest.mark.parametrize("name", ["a.cr3", "a.raf"])
def test_raw_files_of_other_kinds_have_none_that_is_read(name: str) -> None:
    found = kept_metadata(PhotoFile(Path(name), b"FUJIFILMCCD-RAW " + bytes(100)), SIZE)
    assert found.block() == b""
    assert "cannot be read" in found.note


def test_a_raw_file_that_is_a_tiff_inside_keeps_what_it_says() -> None:
    found = kept(known.photo_bytes("TIFF", known.full_exif()), "a.nef")
    assert found.main[known.MODEL].data == b"Model 1\0"
    assert found.shot[known.LENS].data == b"A lens\0"


BLOCK = known.full_exif().tobytes().removeprefix(b"Exif\0\0")


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, len(BLOCK) - 1), st.integers(0, 255)), max_size=12), st.integers(0, len(BLOCK))
)
def test_whatever_the_damage_what_is_left_is_a_block_that_can_be_read(
    flips: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(BLOCK)
    for place, value in flips:
        damaged[place] = value
    # Of a raw file nothing but the directories is looked at.
    found = kept_metadata(PhotoFile(Path("a.dng"), bytes(damaged[:length])), SIZE, gps=True)
    if block := found.block():
        exif = PillowImage.Exif()
        exif.load(block)
        assert exif[known.ORIENTATION] == 1
        assert exif.get_ifd(known.EXIF)[known.WIDTH] == SIZE[0]
        assert known.MAKER_NOTE not in exif.get_ifd(known.EXIF)


# What is written


BIG_ENDIAN = with_directories({known.COPYRIGHT: Field(ASCII, b"A. Name\0")}, {known.TAKEN: Field(ASCII, b"2024\0")})


@pytest.mark.parametrize(
    "metadata",
    [None, kept(known.photo_bytes("JPEG", known.full_exif())), kept(BIG_ENDIAN)],
    ids=["without", "little endian", "big endian"],
)
@pytest.mark.parametrize("format_", ["png", "tiff"])
def test_png_and_tiff_keep_every_pixel_whoever_reads_them(
    tmp_path: Path, format_: Format, metadata: Metadata | None
) -> None:
    path = written(tmp_path, format_, metadata)
    np.testing.assert_array_equal(cv2.imread(str(path)), RESULT)
    with PillowImage.open(path) as photo:
        np.testing.assert_array_equal(np.asarray(photo), RESULT[..., ::-1])
    if format_ == "tiff":
        np.testing.assert_array_equal(tifffile.imread(path), RESULT[..., ::-1])


def test_a_jpeg_has_the_quality_asked_for_and_its_colours_in_full_resolution(tmp_path: Path) -> None:
    smooth = np.asarray(cv2.GaussianBlur(RESULT, (0, 0), 2), np.uint8)
    errors = []
    for quality in (60, 95):
        write_photo(tmp_path / "a.jpg", smooth, "jpg", quality=quality)
        with PillowImage.open(tmp_path / "a.jpg") as photo:
            assert [layer[1:3] for layer in photo.layer] == [(1, 1)] * 3
            errors.append(np.abs(np.asarray(photo).astype(int) - smooth[..., ::-1]).mean())
    assert errors[1] < errors[0] / 2
    assert errors[1] < 1


@pytest.mark.parametrize("format_", FORMATS)
def test_without_metadata_a_file_holds_pixels_alone(tmp_path: Path, format_: Format) -> None:
    with PillowImage.open(written(tmp_path, format_, None)) as photo:
        photo.load()
        assert not {"exif", "icc_profile", "xmp", "comment"} & photo.info.keys()
        assert not photo.getexif().get_ifd(known.EXIF)
        assert not getattr(photo, "text", {})


@pytest.mark.parametrize("main", [{}, {0x11A: Field(5, struct.pack("<2L", 300, 1))}], ids=["none", "half"])
def test_a_tiff_has_a_resolution_whatever_the_photo_said(tmp_path: Path, main: dict[int, Field]) -> None:
    with tifffile.TiffFile(written(tmp_path, "tiff", Metadata(main=main))) as file:
        tags = file.pages[0].tags
        assert [tags[name].value for name in ("XResolution", "YResolution")] == [(72, 1), (72, 1)]
        assert tags["ResolutionUnit"].value == 2


def test_a_tiff_keeps_the_resolution_of_its_photo(tmp_path: Path) -> None:
    px = Field(5, struct.pack("<2L", 300, 1))
    path = written(tmp_path, "tiff", Metadata(main={0x11A: px, 0x11B: px, 0x128: Field(3, b"\3\0")}))
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        assert [tags[name].value for name in ("XResolution", "YResolution", "ResolutionUnit")] == [(300, 1)] * 2 + [3]


def test_a_picture_wider_than_a_jpeg_holds_is_refused_before_it_is_made() -> None:
    check_size((65500, 10), "jpg")
    check_size((65501, 10), "png")
    with pytest.raises(Rejection, match="65501x10") as refused:
        check_size((65501, 10), "jpg")
    assert "PNG or TIFF" in refused.value.detail
