"""Write photos with their metadata to PNG, JPEG and TIFF files, each whole or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.io import replacing
from dpedtool.dataset.photos.encoding import PNG_HEADER, PNG_OPTIONS, png_chunk
from dpedtool.dataset.photos.kept_metadata import Metadata
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.photos.tiff_fields import HEADER, ByteOrder, Directory, header_bytes, longs, rationals, shorts

Format = Literal["png", "jpg", "tiff"]

MOST_JPEG_PX = 65500
"""Longest side of a JPEG that libjpeg writes; the format itself allows 65535."""
_LEVEL = 3
"""Level of zlib. Compared with its default, 6, it takes a third of the time and 3 % more bytes on a photo of 12 MP."""
_STRIP_ROWS = 64


def check_size(size: tuple[int, int], format_: Format) -> None:
    """Refuse a picture whose size (width, height) is too large for a format.

    Raises
    ------
    Rejection
        `too_large_for_format`.

    """
    if format_ == "jpg" and max(size) > MOST_JPEG_PX:
        width, height = size
        raise Rejection(
            "too_large_for_format",
            f"{width}x{height} px are too large for a JPEG, which has at most {MOST_JPEG_PX} px a side: write PNG or "
            "TIFF.",
        )


def write_photo(
    path: Path, image: Image, format_: Format, *, quality: int = 95, metadata: Metadata | None = None
) -> None:
    """Write a photo, whole or not at all.

    Parameters
    ----------
    path
        The file; earlier content is replaced.
    image
        (H, W, 3), BGR, uint8, sRGB, of a size that `check_size` accepts.
    format_
        PNG and TIFF keep every pixel; JPEG keeps the colours in full resolution (4:4:4).
    quality
        Of JPEG, 1..100.
    metadata
        What the file says about the photo; nothing by default.

    Raises
    ------
    OSError
        The file cannot be written; its earlier content is kept.

    """
    parts = _PARTS[format_](image, quality, metadata or Metadata())
    with replacing(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            file.write(part)


Parts = Iterator[bytes | memoryview]


def _png(image: Image, quality: int, metadata: Metadata) -> Parts:
    del quality
    yield from _with_segment(_encoded(".png", image, PNG_OPTIONS), PNG_HEADER, _exif_chunk(metadata.block()))


def _exif_chunk(block: bytes) -> bytes:
    """Return the chunk of an EXIF block (PNG specification, third edition, 11.3.4.5)."""
    return png_chunk(b"eXIf", block) if block else b""


_JPEG_START = 2
"""A JPEG begins with the marker SOI."""


def _jpeg(image: Image, quality: int, metadata: Metadata) -> Parts:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    yield from _with_segment(_encoded(".jpg", image, options), _JPEG_START, _exif_segment(metadata.block()))


def _exif_segment(block: bytes) -> bytes:
    """Return the segment APP1 of an EXIF block (EXIF 2.32, 4.7.2)."""
    return b"\xff\xe1" + (len(block) + 8).to_bytes(2, "big") + b"Exif\0\0" + block if block else b""


def _with_segment(encoded: memoryview, place: int, segment: bytes) -> Parts:
    yield encoded[:place]
    yield segment
    yield encoded[place:]


def _encoded(suffix: str, image: Image, options: list[int]) -> memoryview:
    """Encode without copying what was encoded."""
    done, encoded = cv2.imencode(suffix, image, options)
    if not done:
        raise ValueError(f"an image of {image.shape} could not be encoded as {suffix}")
    return np.ascontiguousarray(encoded, np.uint8).reshape(-1).data


_DEFLATE, _RGB, _CONTIGUOUS, _DIFFERENCES = 8, 2, 1, 2


def _tiff(image: Image, quality: int, metadata: Metadata) -> Parts:
    """Write RGB (TIFF 6.0, section 6), compressed by deflate (Adobe Photoshop TIFF Technical Notes, 2002).

    The directories come last.
    """
    del quality
    strips = [_deflated(image[row : row + _STRIP_ROWS]) for row in range(0, len(image), _STRIP_ROWS)]
    offsets = np.cumsum([HEADER, *map(len, strips)])
    # Directories begin at even bytes.
    end = int(offsets[-1] + offsets[-1] % 2)
    yield header_bytes(end, metadata.order)
    yield from strips
    yield bytes(end - int(offsets[-1]))
    picture = _picture(image, offsets[:-1].tolist(), [len(strip) for strip in strips], metadata.order)
    yield metadata.directories(end, picture | _resolution(metadata))


def _deflated(rows: Image) -> bytes:
    """Return rows as RGB, compressed; every px but the first of a row is the difference from its left neighbour."""
    differences = rows[..., ::-1].copy()
    differences[:, 1:] -= rows[:, :-1, ::-1]
    return zlib.compress(differences.data, _LEVEL)


def _picture(image: Image, offsets: list[int], lengths: list[int], order: ByteOrder) -> Directory:
    height, width, _ = image.shape
    return {
        0x100: longs(order, width),
        0x101: longs(order, height),
        0x102: shorts(order, 8, 8, 8),
        0x103: shorts(order, _DEFLATE),
        0x106: shorts(order, _RGB),
        0x111: longs(order, *offsets),
        0x115: shorts(order, 3),
        0x116: longs(order, _STRIP_ROWS),
        0x117: longs(order, *lengths),
        0x11C: shorts(order, _CONTIGUOUS),
        0x13D: shorts(order, _DIFFERENCES),
    }


_RESOLUTION = (0x11A, 0x11B, 0x128)
_ANY_PX, _INCH = 72, 2
"""What EXIF says if the resolution is not known (EXIF 2.32, 4.6.4 A)."""


def _resolution(metadata: Metadata) -> Directory:
    """Return the fields that TIFF 6.0 requires of every RGB picture, if the photo's own are incomplete."""
    if all(tag in metadata.main for tag in _RESOLUTION):
        return {}
    px = rationals(metadata.order, (_ANY_PX, 1))
    return dict(zip(_RESOLUTION, (px, px, shorts(metadata.order, _INCH)), strict=True))


_PARTS = {"png": _png, "jpg": _jpeg, "tiff": _tiff}
