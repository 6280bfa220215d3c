"""Depths, palettes, channels and layouts: every kind of file is decoded right or refused, never silently wrong."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import PhotoFile

DEEP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
"""Every value of 16 bit."""
SHALLOW = np.rint(DEEP / 257).astype(np.uint8)
RGB = np.dstack([SHALLOW, SHALLOW[::-1], SHALLOW.T])
DEEP_RGB = np.dstack([DEEP, DEEP[::-1], DEEP.T])


def decoded(content: bytes) -> np.ndarray:
    """RGB."""
    return PhotoFile(Path("some.tif"), content).colour()[..., ::-1]


def tiff(image: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, image, **options)
    return out.getvalue()


def pillow(image: PillowImage.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.mark.parametrize("encode", [png, lambda deep: tiff(deep, photometric="minisblack")])
def test_grey_of_16_bit_is_rounded_to_8(encode) -> None:
    content = encode(DEEP)
    np.testing.assert_array_equal(decoded(content), np.dstack([SHALLOW] * 3))
    np.testing.assert_array_equal(PhotoFile(Path("some"), content).grey().image, SHALLOW)


ALPHA = np.full((256, 256, 1), 20_000, np.uint16)


@pytest.mark.parametrize(
    "content",
    [
        png(DEEP_RGB[..., ::-1]),
        png(np.dstack([DEEP_RGB[..., ::-1], ALPHA])),
        tiff(DEEP_RGB, photometric="rgb"),
        tiff(DEEP_RGB, photometric="rgb", byteorder=">"),
        tiff(DEEP_RGB, photometric="rgb", tile=(64, 64)),
        tiff(DEEP_RGB, photometric="rgb", rowsperstrip=7),
        tiff(DEEP_RGB, photometric="rgb", bigtiff=True),
        tiff(np.dstack([DEEP_RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]),
    ],
    ids=["png", "png-alpha", "tiff", "tiff-big-endian", "tiff-tiled", "tiff-strips", "bigtiff", "tiff-alpha"],
)
def test_colour_of_16_bit_is_rounded_to_8(content: bytes) -> None:
    np.testing.assert_array_equal(decoded(content), np.rint(DEEP_RGB / 257))


HALF = np.full((256, 256, 1), 50, np.uint8)
PICTURE = PillowImage.fromarray(RGB)


@pytest.mark.parametrize(
    "content",
    [
        tiff(RGB, photometric="rgb"),
        tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"),
        tiff(np.dstack([RGB, HALF]), photometric="rgb", extrasamples=["unassalpha"]),
        tiff(np.stack([RGB, 255 - RGB]), photometric="rgb"),
        pillow(PICTURE, "TIFF", compression="tiff_lzw"),
        pillow(PICTURE, "TIFF", compression="tiff_deflate"),
        pillow(PICTURE, "PNG"),
        pillow(PICTURE, "BMP"),
        pillow(PICTURE, "WEBP", lossless=True),
        pillow(PillowImage.fromarray(np.dstack([RGB, HALF])), "PNG"),
        pillow(PillowImage.fromarray(np.dstack([RGB, HALF])), "WEBP", lossless=True, exact=True),
    ],
    ids=["tiff", "planar", "alpha", "pages", "lzw", "deflate", "png", "bmp", "webp", "png-alpha", "webp-alpha"],
)
def test_colour_of_8_bit_is_exact_and_transparency_is_dropped(content: bytes) -> None:
    np.testing.assert_array_equal(decoded(content), RGB)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("colours", [2, 16, 256])
def test_palettes_are_looked_up(kind: str, colours: int) -> None:
    picture = PICTURE.quantize(colours)
    np.testing.assert_array_equal(decoded(pillow(picture, kind)), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_black_and_white_is_0_and_255(kind: str) -> None:
    picture = PICTURE.convert("1")
    np.testing.assert_array_equal(decoded(pillow(picture, kind)), np.asarray(picture.convert("RGB")))


def test_white_may_be_zero() -> None:
    grey = decoded(tiff(255 - SHALLOW, photometric="miniswhite"))
    np.testing.assert_array_equal(grey[..., 0], SHALLOW)


def lab() -> bytes:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return pillow(ImageCms.applyTransform(PICTURE, to_lab), "TIFF")


@pytest.mark.parametrize(
    "content",
    [
        pillow(PICTURE.convert("CMYK"), "JPEG"),
        pillow(PICTURE.convert("CMYK"), "TIFF"),
        lab(),
        tiff(np.moveaxis(DEEP_RGB, -1, 0), photometric="rgb", planarconfig="separate"),
        tiff(DEEP, photometric="miniswhite"),
        tiff(np.dstack([DEEP_RGB, ALPHA]), photometric="rgb", extrasamples=["assocalpha"]),
        tiff(DEEP.astype(np.int16), photometric="minisblack"),
        tiff(DEEP.astype(np.float32) / 65535, photometric="minisblack"),
        tiff(DEEP_RGB.astype(np.float32) / 65535, photometric="rgb"),
        tiff(DEEP.astype(np.uint32), photometric="minisblack"),
    ],
    ids=[
        "cmyk-jpeg",
        "cmyk-tiff",
        "lab",
        "planar-16",
        "white-0-16",
        "premultiplied",
        "int16",
        "float",
        "float-rgb",
        "uint32",
    ],
)
def test_what_decoders_get_wrong_is_refused_in_a_sentence(content: bytes) -> None:
    for decode in (lambda photo: photo.colour(), lambda photo: photo.grey(2)):
        with pytest.raises(Rejection) as refused:
            decode(PhotoFile(Path("some.tif"), content))
        assert refused.value.reason == "unreadable_photo"
        assert refused.value.detail.startswith("some.tif: ")
        assert refused.value.detail.count(". ") == 0
