"""Colour profiles: wide ones are brought to sRGB, sRGB is left alone, and damage is reported."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageCms

from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.profiles import to_srgb

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Primaries in XYZ, D50, of Display P3 as Apple's profile has them, and of sRGB.
P3_XYZ = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def with_primaries(xyz: np.ndarray) -> bytes:
    """Write other primaries into LittleCMS's sRGB profile (ICC.1:2010, 7.3 and 10.31)."""
    profile = bytearray(SRGB)
    for index in range(struct.unpack(">I", profile[128:132])[0]):
        name, offset, _ = struct.unpack(">4sII", profile[132 + 12 * index : 144 + 12 * index])
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            column = xyz[:, b"rgb".index(name[0])]
            profile[offset + 8 : offset + 20] = struct.pack(">3i", *(round(value * 65536) for value in column))
    return bytes(profile)


P3 = with_primaries(P3_XYZ)


def photo(bgr: np.ndarray, kind: str = "PNG", profile: bytes = b"", **options: object) -> PhotoFile:
    out = io.BytesIO()
    PillowImage.fromarray(bgr[..., ::-1]).save(out, kind, icc_profile=profile or None, **options)
    return PhotoFile(Path("some.jpg"), out.getvalue())


def srgb_of_p3(colour: np.ndarray) -> np.ndarray:
    """The definition: to light, through XYZ, back to sRGB (IEC 61966-2-1); clipped."""
    encoded = colour / 255
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    light = np.clip(light @ (np.linalg.inv(SRGB_XYZ) @ P3_XYZ).T, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_display_p3_becomes_srgb(rgb: tuple[int, int, int]) -> None:
    bgr = np.full((4, 5, 3), rgb[::-1], np.uint8)
    np.testing.assert_allclose(photo(bgr, profile=P3).colour()[0, 0, ::-1], srgb_of_p3(np.array(rgb)), atol=2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_profile_is_found_in_every_format(kind: str, texture) -> None:
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    plain = photo(texture(40, 50), kind, **options).colour()
    converted = photo(texture(40, 50), kind, P3, **options).colour()
    np.testing.assert_allclose(converted[..., ::-1], srgb_of_p3(plain[..., ::-1]), atol=3)
    assert np.abs(converted.astype(int) - plain).max() > 10


def test_grey_keeps_the_photos_own_colours(texture) -> None:
    plain, wide = photo(texture(40, 50)), photo(texture(40, 50), profile=P3)
    for factor in (1, 2):
        np.testing.assert_array_equal(wide.grey(factor).image, plain.grey(factor).image)


def test_a_photo_in_srgb_is_not_touched(texture) -> None:
    assert to_srgb(SRGB).transform is None
    assert to_srgb(with_primaries(SRGB_XYZ + 0.00005)).transform is None
    assert to_srgb(P3).transform is not None
    file = photo(texture(40, 50), profile=SRGB)
    np.testing.assert_array_equal(file.colour(), texture(40, 50))
    assert file.note == ""


def test_white_black_and_greys_stay() -> None:
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert np.abs(photo(greys, profile=P3).colour().astype(int) - greys).max() <= 1


DAMAGED = {
    "too short": b"x",
    "half a head": SRGB[:100],
    "cut": P3[:300],
    "blank": bytes(500),
    "overwritten": P3[:200] + b"\xff" * 200 + P3[400:],
}


# Named, since a profile holds the second at which it was made: two processes of pytest would not agree on its test.
@pytest.mark.parametrize("profile", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_profile_is_ignored_and_told(profile: bytes, texture) -> None:
    file = photo(texture(40, 50), profile=profile)
    np.testing.assert_array_equal(file.colour(), texture(40, 50))
    assert file.note.startswith("some.jpg: its colour profile is damaged and was ignored")


@given(st.integers(0, len(P3) - 1), st.integers(0, 255))
def test_any_damage_to_a_profile_leaves_a_photo(position: int, value: int) -> None:
    damaged = P3[:position] + bytes([value]) + P3[position + 1 :]
    file = photo(np.full((4, 5, 3), 99, np.uint8), profile=damaged)
    assert file.colour().shape == (4, 5, 3)
    assert file.note.count("\n") == 0


def test_a_grey_photo_with_a_wide_profile_stays_grey() -> None:
    out = io.BytesIO()
    PillowImage.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(out, "PNG", icc_profile=P3)
    colour = PhotoFile(Path("some.png"), out.getvalue()).colour().astype(int)
    assert np.abs(colour - np.arange(200).reshape(10, 20, 1)).max() <= 1


def test_a_profile_for_other_colours_is_told() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert "not one for RGB" in photo(np.zeros((4, 5, 3), np.uint8), profile=lab).note


def test_the_profile_is_applied_to_the_upright_photo() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    tall = photo(np.full((4, 6, 3), (0, 0, 200), np.uint8), "PNG", P3, exif=exif).colour()
    assert tall.shape == (6, 4, 3)
    assert cv2.mean(tall)[2] > 210
