"""AVIF, by Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

import cv2
import numpy as np
from PIL.AvifImagePlugin import AvifImageFile

from dpedtool.dataset.photos.boxes import metadata_items
from dpedtool.dataset.photos.colours import HDR, NOTHING_STATED, Stated, by_h273
from dpedtool.dataset.photos.exif import Taken, taken_by_block
from dpedtool.dataset.photos.file_bytes import FileBytes
from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, InputFormat
from dpedtool.dataset.photos.pixels import Pixels
from dpedtool.dataset.photos.stored import DAMAGED, Stored, unreadable
from dpedtool.dataset.places import Place

_BRANDS = frozenset({b"avif", b"avis"})
_BOXES_OF_BOXES = frozenset({b"iprp", b"ipco"})
_FULL_BOX = 4
"""Bytes of version and flags before the boxes in the box `meta` (ISO/IEC 14496-12, 8.11.1)."""
_MOST_BOXES = 10_000


@dataclass(frozen=True, kw_only=True)
class _Avif(Stored):
    """AVIF; libavif reduces 10 and 12 bit to 8."""

    def colour(self) -> Pixels:
        try:
            with _READER.opened(io.BytesIO(self.content)) as photo:
                pixels = np.asarray(photo.convert("RGB"))
        except DAMAGED:
            raise unreadable(self.path, "it is not a complete AVIF file") from None
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)


_READER = ByPillow(AvifImageFile, _Avif)


def _is_avif(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in _BRANDS


def _open(content: bytes, path: Place) -> Stored:
    photo = _READER.open(content, path)
    stated = _stated(content)
    if stated.is_hdr and not photo.profile:
        raise unreadable(path, HDR)
    return replace(photo, stated=photo.stated if stated is NOTHING_STATED else stated)


def _stated(content: bytes) -> Stated:
    """Return what the first property `colr` with numbers says (ISO/IEC 14496-12, 12.1.5)."""
    for name, data in _boxes(content):
        if name == b"colr" and data[:4] == b"nclx" and len(data) >= 8:
            return by_h273(int.from_bytes(data[4:6], "big"), int.from_bytes(data[6:8], "big"))
    return NOTHING_STATED


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and data of each box that describes the photo, and of those inside it."""
    waiting = [content]
    for _ in range(_MOST_BOXES):
        if not waiting:
            return
        boxes = waiting.pop()
        length, name = int.from_bytes(boxes[:4], "big"), boxes[4:8]
        if length == 0:
            length = len(boxes)
        if length < 8 or len(boxes) < 8:
            # A box of more than 4 GB, or damage: no photo has its description behind it.
            continue
        waiting.append(boxes[length:])
        data = boxes[8:length]
        if name == b"meta":
            waiting.append(data[_FULL_BOX:])
        elif name in _BOXES_OF_BOXES:
            waiting.append(data)
        yield name, data


def _taken(_: bytes, file: IO[bytes], __: Place) -> Taken:
    return taken_by_block(*metadata_items(FileBytes(file)))


FORMAT = InputFormat(
    name="AVIF",
    suffixes=frozenset({".avif"}),
    is_known=_is_avif,
    open=_open,
    exif=_READER.exif,
    taken=_taken,
    is_beside_jpeg=True,
    released=EncodedAgain("it is an AVIF file"),
)
