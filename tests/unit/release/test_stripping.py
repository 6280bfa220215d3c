"""Photos without metadata: the pixels stay the same if the format allows it, else a reason is given."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from photo_exif import SECRETS, full_exif, photo_bytes
from PIL import Image as PillowImage
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile, decode_photo
from dpedtool.dataset.photos.encoding import png_chunk
from dpedtool.pipeline.release.privacy.image_parts import (
    APP,
    COM,
    JPEG,
    SOS,
    Chunk,
    png_bytes,
    read_jpeg,
    read_png,
    segment_bytes,
)
from dpedtool.pipeline.release.privacy.plain_profiles import plain_profile
from dpedtool.pipeline.release.privacy.scan import scan
from dpedtool.pipeline.release.privacy.stripping import JFIF, Stripped, icc_segments, strip_photo, told

PIXELS = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8), (0, 0), 1.5)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Red, green and blue of Display P3 in XYZ, D50, as Apple's profile has them.
P3_XYZ = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))


def profile_with(colours: tuple[tuple[float, ...], ...]) -> bytes:
    """LittleCMS's sRGB profile with other primaries (ICC.1:2022, 7.3 and 10.31), and a serial number for an owner."""
    profile = bytearray(SRGB)
    for index in range(int.from_bytes(profile[128:132], "big")):
        name, offset = profile[132 + 12 * index :][:4], int.from_bytes(profile[136 + 12 * index :][:4], "big")
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            figures = [round(value * 65536).to_bytes(4, "big", signed=True) for value in colours[b"rgb".index(name[0])]]
            profile[offset + 8 : offset + 20] = b"".join(figures)
    profile[48:56] = b"SERIAL-7"
    return bytes(profile)


P3 = profile_with(P3_XYZ)
MONITOR = profile_with(((0.51, 0.25, 0.003), *P3_XYZ[1:]))


def photo(kind: str, pixels: np.ndarray = PIXELS, name: str = "", **options: object) -> PhotoFile:
    out = io.BytesIO()
    PillowImage.fromarray(pixels).save(out, kind, **options)
    return PhotoFile(Path(name or f"some.{kind.lower()}"), out.getvalue())


def with_parts(jpeg: bytes, *parts: bytes) -> PhotoFile:
    """A JPEG file with parts after its first marker."""
    return PhotoFile(Path("some.jpg"), JPEG + b"".join(parts) + jpeg[2:])


def stripped(file: PhotoFile) -> Stripped:
    """Strip a photo, and check what holds of every result."""
    result = strip_photo(file, 90)
    assert scan("it", result.content) == []
    assert not any(secret in result.content for secret in SECRETS)
    shown = decode_photo(result.content, Path(f"it{result.suffix}"))
    assert shown.shape == file.colour().shape
    if result.lossless or result.suffix == ".png":
        np.testing.assert_array_equal(shown, file.colour())
    assert result.lossless or result.note
    return result


def taken_over(file: PhotoFile) -> bytes:
    """Strip a photo whose pixels must be taken over as they lie in the file."""
    result = stripped(file)
    assert (result.lossless, result.note) == (True, "")
    return result.content


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": 0, "quality": 100},
        {"restart_marker_blocks": 2},
        {"restart_marker_blocks": 3, "progressive": True},
        {"keep_rgb": True},
        {"dpi": (300, 200), "comment": "SERIAL-7"},
        {"optimize": True, "icc_profile": SRGB},
    ],
)
def test_jpegs_keep_their_pixels_and_lose_the_rest(options: dict[str, object]) -> None:
    file = photo("JPEG", exif=full_exif(), xmp=b"XMP-PLACE", **options)
    content = taken_over(file)
    assert [data for _, data in read_jpeg(file.content).segments if _ == SOS] == [
        data for _, data in read_jpeg(content).segments if _ == SOS
    ]
    assert taken_over(PhotoFile(Path("a.jpg"), content)) == content


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_and_colour_have_the_header_of_jfif(mode: str) -> None:
    out = io.BytesIO()
    PillowImage.fromarray(PIXELS).convert(mode).save(out, "JPEG")
    segments = read_jpeg(out.getvalue()).segments
    bare = JPEG + b"".join(segment_bytes(*part) for part in segments if part.marker not in APP) + b"\xff\xd9"
    assert taken_over(PhotoFile(Path("a.jpg"), bare)).startswith(JPEG + segment_bytes(APP[0], JFIF))


def test_the_header_of_jfif_does_not_come_where_it_would_change_colours() -> None:
    """Channels named R, G and B are RGB, but not in a file with a JFIF header."""
    segments = read_jpeg(photo("JPEG", keep_rgb=True).content).segments
    bare = JPEG + b"".join(segment_bytes(*part) for part in segments if part.marker not in APP) + b"\xff\xd9"
    assert JFIF not in taken_over(PhotoFile(Path("a.jpg"), bare))


def test_thumbnails_maker_segments_fill_bytes_and_stray_bytes_go() -> None:
    jpeg = photo("JPEG").content
    thumbnail = JFIF[:-2] + b"\x01\x01" + b"abc"
    parts = [segment_bytes(APP[0], thumbnail), segment_bytes(APP[0], b"JFXX\0\x13abc")]
    parts += [segment_bytes(marker, b"SERIAL-7") for marker in (*APP[1:], COM)]
    parts += [b"\xff\xff\xff", segment_bytes(COM, b"\xff\xd9 XMP-PLACE"), b"stray"]
    parts += [segment_bytes(APP[14], b"Adobe\0\x64\0\0\0\0\x01 SERIAL-7"), b"\xff\xff"]
    assert taken_over(with_parts(jpeg, *parts)).count(b"Adobe") == 1


def test_what_lies_behind_the_image_goes() -> None:
    jpeg = photo("JPEG", progressive=True).content
    preview = photo_bytes("JPEG", full_exif())
    content = taken_over(PhotoFile(Path("a.jpg"), jpeg + b"\0" * 10 + preview + b"MAKER-NOTE"))
    assert content == taken_over(PhotoFile(Path("a.jpg"), jpeg))


def test_films_of_two_pictures_keep_the_first() -> None:
    out = io.BytesIO()
    first, second = (PillowImage.fromarray(picture) for picture in (PIXELS, 255 - PIXELS))
    first.save(out, "MPO", save_all=True, append_images=[second])
    content = taken_over(PhotoFile(Path("a.jpg"), out.getvalue()))
    assert len(content) < len(out.getvalue()) * 0.6


def test_an_end_that_no_segment_leads_to_is_written_anew() -> None:
    jpeg = photo("JPEG").content
    assert taken_over(PhotoFile(Path("a.jpg"), jpeg[:-2] + b"\xff\xfe\0\xff\xd9")) == jpeg


def test_damaged_scans_are_encoded_anew() -> None:
    """Decoders guess where the data continue after an unexpected restart marker."""
    jpeg = photo("JPEG", restart_marker_blocks=2).content
    place = jpeg.index(b"\xff\xd3")
    damaged = jpeg[:place] + b"\xff\x01" + jpeg[place + 2 :]
    result = stripped(PhotoFile(Path("a.jpg"), damaged))
    assert (result.suffix, result.lossless) == (".jpg", False)
    assert "damaged" in result.note


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_files_are_rejected_as_decoding_does(kind: str) -> None:
    content = photo(kind).content
    for damaged in (b"", content[: len(content) // 2], content[:30]):
        with pytest.raises(Rejection):
            strip_photo(PhotoFile(Path("a"), damaged), 90)


def test_cmyk_is_rejected() -> None:
    out = io.BytesIO()
    PillowImage.fromarray(PIXELS).convert("CMYK").save(out, "JPEG")
    with pytest.raises(Rejection, match="CMYK"):
        strip_photo(PhotoFile(Path("a.jpg"), out.getvalue()), 90)


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 8])
def test_turned_jpegs_are_encoded_upright(orientation: int) -> None:
    file = photo("JPEG", exif=full_exif(orientation))
    result = stripped(file)
    assert (result.suffix, result.lossless) == (".jpg", False)
    assert "turn it upright" in result.note
    assert "without loss" in result.note
    shown = decode_photo(result.content, Path("a.jpg")).astype(int)
    assert np.abs(shown - file.colour()).mean() < 4


def test_turned_pngs_lose_nothing_but_what_is_told() -> None:
    exif = full_exif(6)
    result = stripped(photo("PNG", exif=exif))
    assert (result.suffix, result.lossless) == (".png", True)
    assert "turn it upright" in result.note
    seen = np.dstack([PIXELS, PIXELS[..., :1]])
    result = stripped(photo("PNG", seen, exif=exif, icc_profile=P3))
    assert not result.lossless
    assert "converted to sRGB; its transparency was dropped" in result.note
    deep = cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes()
    turned = deep[:33] + png_chunk(b"eXIf", full_exif(3).tobytes()) + deep[33:]
    result = stripped(PhotoFile(Path("a.png"), turned))
    assert not result.lossless
    assert "16 bit were rounded" in result.note


@pytest.mark.parametrize("depth", [8, 16])
def test_pngs_keep_what_their_pixels_need(depth: int) -> None:
    pixels = PIXELS if depth == 8 else PIXELS.astype(np.uint16) * 257
    png = cv2.imencode(".png", pixels)[1].tobytes()
    colours = [(b"gAMA", (45455).to_bytes(4, "big")), (b"sRGB", b"\0"), (b"sBIT", b"\5\6\5")]
    others = [(b"tEXt", b"Author\0SERIAL-7"), (b"tIME", bytes(7)), (b"eXIf", full_exif().tobytes()), (b"prVt", b"a")]
    too_long = [(b"sBIT", b"\5\6\5 MAKER-NOTE"), (b"gAMA", bytes(4))]
    parts = b"".join(png_chunk(*part) for part in (*colours, *others, *too_long))
    content = taken_over(PhotoFile(Path("a.png"), png[:33] + parts + png[33:] + b"MAKER-NOTE"))
    assert content == png[:33] + b"".join(png_chunk(*part) for part in colours) + png[33:]


def test_pngs_lose_what_lies_behind_their_pixels() -> None:
    png = photo("PNG").content
    chunks = read_png(png).chunks
    rows = zlib.decompress(b"".join(chunk.data for chunk in chunks if chunk.name == b"IDAT"))
    palette = Chunk(b"PLTE", b"SERIAL-7!")
    for data in (zlib.compress(rows) + b"SERIAL-7", zlib.compress(rows + b"SERIAL-7")):
        file = PhotoFile(Path("a.png"), png_bytes([chunks[0], palette, Chunk(b"IDAT", data)]))
        assert taken_over(file) == png_bytes([chunks[0], Chunk(b"IDAT", zlib.compress(rows))])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_what_lies_behind_the_coded_data_of_a_jpeg_is_left_out(options: dict[str, object]) -> None:
    plain = photo("JPEG", **options).content
    result = stripped(PhotoFile(Path("a.jpg"), plain[:-2] + b"XMP-PLACE SERIAL-7" + plain[-2:]))
    assert (result.lossless, "damaged" in result.note) == (False, True)


def test_palettes_and_interlaced_pictures_keep_their_pixels() -> None:
    info = PngInfo()
    info.add_itxt("Comment", "SERIAL-7", zip=True)
    palette = io.BytesIO()
    PillowImage.fromarray(PIXELS).quantize(30).save(palette, "PNG", pnginfo=info, transparency=3)
    assert b"tRNS" in taken_over(PhotoFile(Path("a.png"), palette.getvalue()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_profiles_of_known_spaces_lose_their_texts_alone(kind: str) -> None:
    file = photo(kind, icc_profile=P3, exif=full_exif())
    content = taken_over(file)
    with PillowImage.open(io.BytesIO(content)) as shown:
        profile = shown.info["icc_profile"]
        assert "exif" not in shown.info
    assert profile == plain_profile(P3) == plain_profile(profile)
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip() == "Display P3"
    assert b"SERIAL-7" not in profile
    assert np.abs(decode_photo(content, file.path).astype(int) - PIXELS[..., ::-1]).max() > 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_monitors_profile_is_applied_and_left_out(kind: str) -> None:
    file = photo(kind, icc_profile=MONITOR)
    result = stripped(file)
    assert not result.lossless
    assert "not that of a well-known space" in result.note
    with PillowImage.open(io.BytesIO(result.content)) as shown:
        assert "icc_profile" not in shown.info
    assert np.abs(decode_photo(result.content, file.path).astype(int) - file.colour()).mean() < 4


# They have names, as a profile contains the time at which it was made: two processes of pytest would differ in ids.
@pytest.mark.parametrize(
    "profile", [b"x", SRGB[:100], P3[:300], bytes(500), SRGB], ids=["too short", "half a head", "cut", "blank", "sRGB"]
)
def test_profiles_that_change_nothing_are_left_out(profile: bytes) -> None:
    for kind in ("JPEG", "PNG"):
        content = taken_over(photo(kind, icc_profile=profile))
        assert b"iCCP" not in content
        assert b"ICC_PROFILE" not in content


def test_profiles_with_tables_or_of_other_colours_are_not_kept() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert plain_profile(lab) == b""
    assert plain_profile(P3.replace(b"chrm", b"A2B0")) == b""
    assert plain_profile(P3.replace(b"rTRC", b"xTRC")) == b""


def test_long_profiles_are_read_from_all_their_segments() -> None:
    long = P3 + bytes(70_000)
    long = len(long).to_bytes(4, "big") + long[4:]
    parts = icc_segments(long)
    assert len(parts) == 2
    taken_over(with_parts(photo("JPEG").content, *parts))


def test_other_formats_become_png() -> None:
    for kind, options in (("TIFF", {}), ("BMP", {}), ("WEBP", {"lossless": True})):
        result = stripped(photo(kind, **options))
        assert (result.suffix, result.lossless) == (".png", True)
        assert result.note == f"it is a {'WebP' if kind == 'WEBP' else kind} file"


def test_other_formats_tell_what_was_lost() -> None:
    seen = np.dstack([PIXELS, PIXELS[..., :1]])
    for kind, options in (("WEBP", {"lossless": True}), ("WEBP", {}), ("TIFF", {})):
        result = stripped(photo(kind, seen, **options))
        assert (result.lossless, "transparency" in result.note) == (False, True)
    deep = cv2.imencode(".tiff", PIXELS.astype(np.uint16) * 257)[1].tobytes()
    result = stripped(PhotoFile(Path("a.tiff"), deep))
    assert (result.lossless, result.note) == (False, "it is a TIFF file; its 16 bit were rounded to 8")
    result = stripped(photo("TIFF", icc_profile=P3))
    assert (result.lossless, result.note) == (False, "it is a TIFF file; its colours were converted to sRGB")


def test_heic_becomes_png() -> None:
    result = stripped(PhotoFile(Path("a.heic"), photo_bytes("HEIF", full_exif())))
    assert (result.suffix, result.lossless) == (".png", False)
    assert "HEIC" in result.note


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "HEIF"])
def test_names_are_told_whatever_the_format(kind: str) -> None:
    assert told(PhotoFile(Path("a"), photo_bytes(kind, full_exif()))) == {"A. Name", "SERIAL-7"}


def test_only_names_that_identify_are_told() -> None:
    exif = PillowImage.Exif()
    exif[0x8298] = "Anna Ö.\0Bert and sons"
    exif[0x9C9D] = "Dora 5".encode("utf-16-le") + b"\0\0"
    shot = exif.get_ifd(0x8769)
    shot |= {0xA420: "0000000000", 0xA430: "Abc", 0xA431: "12345", 0xA435: "0123456", 0x9003: "2024:01:01 00:00:00"}
    shot |= {0x927C: b"MAKER-NOTE"}
    # Pillow writes no letters beyond ASCII.
    jpeg = photo_bytes("JPEG", exif).replace(b"Anna ?.", "Anna Ö.".encode("latin-1"))
    file = PhotoFile(Path("a.jpg"), jpeg)
    assert told(file) == {"Anna Ö.", "Bert and sons", "Dora 5", "0123456"}
    assert told(PhotoFile(Path("a.jpg"), photo_bytes("JPEG", b"Exif\0\0damaged"))) == frozenset()
    assert told(photo("PNG")) == frozenset()
