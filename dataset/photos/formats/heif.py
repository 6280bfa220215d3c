"""HEIC and HEIF, by libheif (pillow-heif)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import cv2
import numpy as np

from dpedtool.dataset.photos.boxes import metadata_items
from dpedtool.dataset.photos.colours import HDR, by_h273
from dpedtool.dataset.photos.exif import Taken, taken_by_block
from dpedtool.dataset.photos.file_bytes import FileBytes
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, Extra, InputFormat
from dpedtool.dataset.photos.pixels import Pixels
from dpedtool.dataset.photos.stored import DAMAGED, Stored, unreadable
from dpedtool.dataset.places import Place

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_EXTRA = Extra("heic", "pillow_heif", "pillow-heif", "HEIC")


def _is_heif(content: bytes) -> bool:
    """Whether a file begins as a HEIC or HEIF photo (ISO/IEC 23008-12, annex B)."""
    return content[4:8] == b"ftyp" and content[8:12] in _BRANDS


def _open(content: bytes, path: Place) -> Stored:
    _EXTRA.check(path)
    with _errors(path):
        photo = _heif(content)
        nclx = photo.info.get("nclx_profile") or {}
        profile = photo.info.get("icc_profile") or b""
        size = photo.size
    stated = by_h273(nclx.get("color_primaries", 2), nclx.get("transfer_characteristics", 2))
    if stated.is_hdr and not profile:
        raise unreadable(path, HDR)
    return _Heif(content=content, path=path, size=size, profile=profile, stated=stated)


def _exif(content: bytes) -> bytes:
    if not _EXTRA.is_installed:
        return b""
    try:
        return bytes(_heif(content).info.get("exif") or b"")
    except DAMAGED:
        return b""


def _taken(_: bytes, file: IO[bytes], __: Place) -> Taken:
    return taken_by_block(*metadata_items(FileBytes(file)))


@dataclass(frozen=True, kw_only=True)
class _Heif(Stored):
    """HEIC; libheif turns it upright by the file's own transforms, and the EXIF orientation is ignored.

    ISO/IEC 23008-12, A.2.3 says that the orientation is to be ignored. Photos of 10 and 12 bit come in 16.
    """

    def colour(self) -> Pixels:
        with _errors(self.path):
            pixels = np.asarray(_heif(self.content))
        if pixels.ndim == 2:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), pixels.dtype)
        return np.ascontiguousarray(pixels[..., :3])


def _heif(content: bytes) -> Any:
    import pillow_heif

    return pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False, bgr_mode=True)


@contextlib.contextmanager
def _errors(path: Place) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError):
        # Something is missing in the file, and Python's message about it would not help anybody.
        raise unreadable(path, "it is not a complete HEIC file") from None
    except DAMAGED as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise unreadable(path, f"it is not a complete HEIC file ({reason})") from None


def _losses(_: Stored) -> list[str]:
    return ["it was decoded to sRGB of 8 bit"]


FORMAT = InputFormat(
    name="HEIC",
    suffixes=frozenset({".heic", ".heif", ".hif"}),
    is_known=_is_heif,
    open=_open,
    exif=_exif,
    taken=_taken,
    extra=_EXTRA,
    is_beside_jpeg=True,
    released=EncodedAgain("it is a HEIC file", _losses),
)
