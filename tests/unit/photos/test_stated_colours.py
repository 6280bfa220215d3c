"""Colours that a file states without an ICC profile: converted where their meaning is defined, else noted."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageCms, features

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.colours import ADOBE_RGB_PRIMARIES, SRGB_PRIMARIES, RgbSpace, by_h273, gamma_curve
from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.encoding import encode_image, png_chunk

COLOURS = np.random.default_rng(4).integers(0, 256, (40, 50, 3), np.uint8)


def png(pixels: np.ndarray, **chunks: bytes) -> PhotoFile:
    """A PNG file with chunks before its pixels; `pixels` are BGR."""
    whole = encode_image(pixels, ".png") if pixels.dtype == np.uint8 else cv2.imencode(".png", pixels)[1].tobytes()
    head = 8 + 12 + 13
    return PhotoFile(
        Path("a.png"), whole[:head] + b"".join(png_chunk(n.encode(), d) for n, d in chunks.items()) + whole[head:]
    )


def light(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def levels(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, 0, 1)
    return 255 * np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


# From linear Display P3 to linear sRGB: the matrix of CSS Color 4, section 17.
SRGB_FROM_P3 = np.array([[1.2249, -0.2249, 0.0], [-0.0420, 1.0420, 0.0], [-0.0197, -0.0786, 1.0979]])
# The same of Rec. 2020.
SRGB_FROM_2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
# The same of Adobe RGB (1998).
SRGB_FROM_ADOBE = np.array([[1.3984, -0.3984, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429, 1.0429]])


def wanted(bgr: np.ndarray, matrix: np.ndarray, curve=light) -> np.ndarray:
    return levels(curve(bgr[..., ::-1] / 255) @ matrix.T)[..., ::-1]


@pytest.mark.parametrize(
    ("numbers", "matrix"), [((12, 13), SRGB_FROM_P3), ((9, 13), SRGB_FROM_2020), ((1, 13), np.eye(3))]
)
def test_the_chunk_cicp_says_primaries_and_curve(numbers: tuple[int, int], matrix: np.ndarray) -> None:
    file = png(COLOURS, cICP=bytes([*numbers, 0, 1]))
    assert np.abs(file.colour() - wanted(COLOURS, matrix)).max() <= 1.5
    assert file.note == ""


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_any_colour_of_display_p3_is_converted(colour: tuple[int, int, int]) -> None:
    pixels = np.full((3, 4, 3), colour, np.uint8)
    assert np.abs(png(pixels, cICP=bytes([12, 13, 0, 1])).colour() - wanted(pixels, SRGB_FROM_P3)).max() <= 1.5


def test_cicp_comes_before_a_profile_and_both_before_gamma() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    chunk = b"icc\0\0" + zlib.compress(profile)
    file = png(COLOURS, cICP=bytes([12, 13, 0, 1]), iCCP=chunk, gAMA=struct.pack(">I", 100_000))
    assert np.abs(file.colour() - wanted(COLOURS, SRGB_FROM_P3)).max() <= 1.5
    file = png(COLOURS, iCCP=chunk, gAMA=struct.pack(">I", 100_000))
    np.testing.assert_array_equal(file.colour(), COLOURS)
    file = png(COLOURS, sRGB=b"\0", gAMA=struct.pack(">I", 100_000))
    np.testing.assert_array_equal(file.colour(), COLOURS)


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_refused_by_name(transfer: int) -> None:
    with pytest.raises(Rejection, match="high dynamic range"):
        png(COLOURS, cICP=bytes([9, transfer, 0, 1])).colour()


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((1, 1), "video cameras"),
        ((99, 13), "number 99"),
        ((1, 77), "number 77"),
        ((2, 2), ""),
    ],
)
def test_what_is_not_defined_is_noted_and_taken_as_srgb(numbers: tuple[int, int], said: str) -> None:
    file = png(COLOURS, cICP=bytes([*numbers, 0, 1]))
    np.testing.assert_array_equal(file.colour(), COLOURS)
    assert (said in file.note) if said else (file.note == "")


def test_another_matrix_or_range_of_cicp_is_noted() -> None:
    assert "another matrix or range" in png(COLOURS, cICP=bytes([12, 13, 0, 0])).note


def test_gamma_of_linear_light_is_applied_and_that_of_srgb_is_not() -> None:
    file = png(COLOURS, gAMA=struct.pack(">I", 100_000))
    assert np.abs(file.colour() - levels(COLOURS / 255)).max() <= 1
    for gamma in (45_455, 45_000, 50_000):
        np.testing.assert_array_equal(png(COLOURS, gAMA=struct.pack(">I", gamma)).colour(), COLOURS)


def test_chromaticities_are_applied_and_impossible_ones_are_noted() -> None:
    red, white = ADOBE_RGB_PRIMARIES[:6], ADOBE_RGB_PRIMARIES[6:]
    points = struct.pack(">8I", *(round(100_000 * value) for value in (*white, *red)))
    found = png(COLOURS, cHRM=points).colour()
    assert np.abs(found - wanted(COLOURS, SRGB_FROM_ADOBE)).max() <= 1.5
    assert "not possible" in png(COLOURS, cHRM=bytes(32)).note
    assert "not possible" in png(COLOURS, gAMA=struct.pack(">I", 1)).note


def test_linear_16_bit_are_converted_before_they_are_rounded() -> None:
    values = np.linspace(0, 0.02, 500)
    pixels = np.rint(65535 * np.repeat(values[None, :, None], 3, axis=2)).astype(np.uint16)
    file = png(np.repeat(pixels, 4, axis=0), gAMA=struct.pack(">I", 100_000))
    exact = levels(values)
    assert np.abs(file.colour()[0, :, 1] - exact).max() <= 0.6
    assert len(np.unique(file.colour())) == round(exact[-1]) + 1
    # What is measured is as fine: in steps of light, all of it would be 5 levels.
    assert len(np.unique(file.grey().image)) == round(exact[-1]) + 1


def matrix_profile(curve: bytes) -> bytes:
    """An ICC profile with sRGB's primaries and this curve (ICC.1:2010, 7 and 8.3)."""
    xyz = {b"r": (0.43607, 0.22249, 0.01392), b"g": (0.38515, 0.71687, 0.09708), b"b": (0.14307, 0.06061, 0.71410)}
    tags = {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)}
    tags |= {c + b"XYZ": b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * v) for v in xyz[c])) for c in xyz}
    tags |= {c + b"TRC": curve for c in xyz}
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


LINEAR = b"curv\0\0\0\0" + struct.pack(">I", 0)
GAMMA_18 = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.8 * 256))
TABLE = b"curv\0\0\0\0" + struct.pack(">I5H", 5, *(round(65535 * value**2) for value in np.linspace(0, 1, 5)))
POWER = b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(1.5 * 65536))
LIKE_SRGB = b"para\0\0\0\0" + struct.pack(
    ">HH5i", 3, 0, *(round(65536 * v) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)


@pytest.mark.parametrize(
    ("curve", "to_light"),
    [
        (LINEAR, lambda v: v),
        (GAMMA_18, lambda v: v**1.8),
        (TABLE, lambda v: np.interp(v, np.linspace(0, 1, 5), np.linspace(0, 1, 5) ** 2)),
        (POWER, lambda v: v**1.5),
        (LIKE_SRGB, light),
    ],
    ids=["linear", "gamma", "table", "power", "like sRGB"],
)
def test_16_bit_with_a_profile_of_matrix_and_curve_keep_their_dark_levels(curve: bytes, to_light) -> None:
    values = np.linspace(0, 0.05, 800)
    pixels = np.rint(65535 * np.repeat(values[None, :, None], 3, axis=2)).astype(np.uint16)
    chunk = b"icc\0\0" + zlib.compress(matrix_profile(curve))
    file = png(np.repeat(pixels, 4, axis=0), iCCP=chunk)
    assert np.abs(file.colour()[0, :, 1] - levels(to_light(values))).max() <= 1
    assert file.note == ""


def jpeg(pixels: np.ndarray, space: int | None = None, index: str | None = None) -> PhotoFile:
    exif = PillowImage.Exif()
    if space is not None:
        exif.get_ifd(0x8769)[0xA001] = space
    if index is not None:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    out = io.BytesIO()
    PillowImage.fromarray(pixels[..., ::-1]).save(out, "JPEG", quality=100, subsampling=0, exif=exif)
    return PhotoFile(Path("a.jpg"), out.getvalue())


@pytest.mark.parametrize(("space", "index"), [(2, None), (65535, "R03"), (None, "R03"), (2, "R03")])
def test_adobe_rgb_that_only_the_exif_block_names_is_converted(space: int | None, index: str | None) -> None:
    pixels = np.full((32, 32, 3), (60, 180, 90), np.uint8)
    exact = wanted(pixels, SRGB_FROM_ADOBE, lambda v: v ** (563 / 256))
    file = jpeg(pixels, space, index)
    assert np.abs(file.colour() - exact).mean() <= 1.5
    assert np.abs(pixels - exact).mean() > 8
    # The number 2 is no part of EXIF, so that the photo's row says how it was read.
    assert ("colour space 2" in file.note) == (index is None)


@pytest.mark.parametrize(
    ("space", "index", "said"), [(1, None, ""), (None, None, ""), (1, "R98", ""), (65535, None, "uncalibrated")]
)
def test_other_words_of_the_exif_block_leave_the_colours(space: int | None, index: str | None, said: str) -> None:
    file, plain = jpeg(COLOURS, space, index), jpeg(COLOURS)
    np.testing.assert_array_equal(file.colour(), plain.colour())
    assert (said in file.note) if said else (file.note == "")


def test_a_damaged_directory_of_the_exif_block_costs_no_orientation() -> None:
    """The pointer to the directory of interoperability leads nowhere."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    out = io.BytesIO()
    PillowImage.fromarray(COLOURS).save(out, "JPEG", exif=exif)
    content = out.getvalue()
    place = content.index(
        struct.pack(">HHI", 0xA005, 4, 1) if b"MM\0*" in content else struct.pack("<HHI", 0xA005, 4, 1)
    )
    for pointer in (b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x7f\0\0\x7f"):
        damaged = content[: place + 8] + pointer + content[place + 12 :]
        assert PhotoFile(Path("a.jpg"), damaged).colour().shape == (50, 40, 3)


def heic(pixels: np.ndarray, mode: str, **options: object) -> PhotoFile:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    made = pillow_heif.from_bytes(mode=mode, size=pixels.shape[1::-1], data=pixels.tobytes())
    made.save(out, quality=-1, chroma=444, **options)
    return PhotoFile(Path("a.heic"), out.getvalue())


SMOOTH = cv2.resize(COLOURS[:4, :5], (64, 48), interpolation=cv2.INTER_CUBIC)


def test_numbers_of_a_heic_photo_are_converted() -> None:
    options = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 0, "full_range_flag": 1}
    file = heic(np.ascontiguousarray(SMOOTH[..., ::-1]), "RGB", save_nclx_profile=True, **options)
    assert np.abs(file.colour() - wanted(SMOOTH, SRGB_FROM_P3)).mean() < 2
    assert np.abs(SMOOTH - wanted(SMOOTH, SRGB_FROM_P3)).mean() > 4


def test_grey_heic_photos_of_10_bit_keep_their_greys() -> None:
    ramp = np.repeat(np.linspace(0, 1, 64)[None], 48, axis=0)
    file = heic(np.rint(65535 * ramp).astype(np.uint16), "I;16")
    assert np.abs(file.colour()[..., 0] - 255 * ramp).max() <= 3


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_numbers_of_an_avif_photo_are_converted_and_hdr_is_refused() -> None:
    out = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(SMOOTH[..., ::-1])).save(out, "AVIF", quality=100, subsampling="4:4:4")
    content = out.getvalue()
    place = content.index(b"colrnclx") + 8
    for primaries, matrix in ((1, np.eye(3)), (12, SRGB_FROM_P3)):
        changed = content[:place] + struct.pack(">HH", primaries, 13) + content[place + 4 :]
        assert np.abs(PhotoFile(Path("a.avif"), changed).colour() - wanted(SMOOTH, matrix)).mean() < 2
    with pytest.raises(Rejection, match="high dynamic range"):
        PhotoFile(Path("a.avif"), content[:place] + struct.pack(">HH", 9, 16) + content[place + 4 :]).colour()


def test_spaces_are_compared_by_what_they_do() -> None:
    assert RgbSpace.of(SRGB_PRIMARIES, light).is_srgb
    assert not RgbSpace.of(SRGB_PRIMARIES, gamma_curve(1.0)).is_srgb
    assert RgbSpace.of(SRGB_PRIMARIES, gamma_curve(1.0)).has_other_curve
    assert not RgbSpace.of(ADOBE_RGB_PRIMARIES, light).has_other_curve
    assert by_h273(1, 13).space is None
