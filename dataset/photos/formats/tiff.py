"""TIFF: 8 bit and less are read by Pillow, 16 bit by OpenCV."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import IO, cast

import cv2
import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from dpedtool.dataset.photos.colours import Stated
from dpedtool.dataset.photos.exif import Taken, taken_by_block
from dpedtool.dataset.photos.file_bytes import FileBytes
from dpedtool.dataset.photos.formats.by_opencv import imdecode_colour
from dpedtool.dataset.photos.formats.by_pillow import ByPillow, profile_of
from dpedtool.dataset.photos.formats.conversion_losses import OPAQUE, ROUNDED, conversion
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, InputFormat
from dpedtool.dataset.photos.pixels import Image, Pixels
from dpedtool.dataset.photos.stored import DAMAGED, NO_PHOTO, Stored, unreadable
from dpedtool.dataset.photos.tiff_fields import MAGIC, SHORT, Field, TiffReader
from dpedtool.dataset.places import Place

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")
"""TIFF 6.0, BigTIFF, and TIFF 6.0 with its number in the wrong order of bytes, which Pillow reads too."""
_READER = ByPillow(TiffImageFile)
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
_KIND, _REDUCED, _MOST_PAGES = 254, 1, 100
"""NewSubfileType, and its bit for a reduced copy of another page."""
_COLORIMETRY = (301, 318, 319)
"""TransferFunction, WhitePoint and PrimaryChromaticities."""
_FLOAT = 3
_OF_RAW = frozenset({50706})
"""DNGVersion (DNG 1.7, chapter 4)."""
_UNSIGNED, _CONTIGUOUS, _BLACK_IS_ZERO, _RGB, _PREMULTIPLIED = 1, 1, 1, 2, 1


def _is_tiff(content: bytes) -> bool:
    return content.startswith(_MAGICS)


def _open(content: bytes, path: Place) -> Stored:
    _check_depth(content, path)
    with _READER.header(content, path) as opened:
        photo = cast(TiffImageFile, opened)
        page = _page(photo)
        # Pillow and cv2 turn a TIFF upright by themselves, and Pillow gives the size of the turned one.
        kind = _check(photo, path)
        note = "its colours are those of its TIFF fields, and are taken as sRGB" if _has_primaries(photo) else ""
        profile = profile_of(photo)
        stated = Stated(note="" if profile else note)
        return kind(content=content, path=path, size=photo.size, profile=profile, stated=stated, page=page)


def _page(photo: TiffImageFile) -> int:
    """Go to the picture and return its page: the first that is no reduced copy of another, such as a thumbnail."""
    for page in range(_MOST_PAGES):
        try:
            photo.seek(page)
        except DAMAGED:
            break
        if not int(photo.tag_v2.get(_KIND, 0)) & _REDUCED:
            return page
    photo.seek(0)
    return 0


def _has_primaries(photo: TiffImageFile) -> bool:
    return any(tag in photo.tag_v2 for tag in _COLORIMETRY)


@dataclass(frozen=True, kw_only=True)
class _Paged(Stored):
    """A TIFF file, which may have several pages."""

    page: int
    """The page that holds the picture, from 0."""


@dataclass(frozen=True, kw_only=True)
class _Deep(_Paged):
    """TIFF of 16 bit, by OpenCV."""

    def colour(self) -> Pixels:
        if self.page == 0:
            return imdecode_colour(self.content, self.path)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
        data = np.frombuffer(self.content, np.uint8)
        found, pages = cv2.imdecodemulti(data, flags, range=(self.page, self.page + 1))
        if not found:
            raise unreadable(self.path, NO_PHOTO)
        return np.asarray(pages[0], np.uint16)


@dataclass(frozen=True, kw_only=True)
class _Tiff(_Paged):
    """TIFF of 8 bit and less, by Pillow, since cv2 darkens half transparent pixels."""

    def colour(self) -> Image:
        try:
            with _READER.opened(io.BytesIO(self.content)) as photo:
                photo.seek(self.page)
                pixels = np.asarray(photo.convert("RGB"))
        except DAMAGED:
            raise unreadable(self.path, NO_PHOTO) from None
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)


def _check(photo: TiffImageFile, path: Place) -> type[_Paged]:
    """Return the class that decodes this kind of TIFF; decoders get the refused ones wrong without a word."""
    tags = photo.tag_v2
    bits = set(tags.get(_BITS, (1,)))
    if max(bits) <= 8:
        return _Tiff
    unsigned = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
    plain = tags.get(_PHOTOMETRIC) in (_BLACK_IS_ZERO, _RGB) and tags.get(_PLANAR, _CONTIGUOUS) == _CONTIGUOUS
    colours = tags.get(_SAMPLES, 1) in (1, 3, 4) and _PREMULTIPLIED not in tags.get(_EXTRA, ())
    if bits == {16} and unsigned and plain and colours:
        return _Deep
    raise unreadable(
        path, "this kind of TIFF cannot be read: save it as RGB or grey of 8 or 16 bit, with interleaved channels"
    )


def _check_depth(content: bytes, path: Place) -> None:
    """Say of sound files why they are not read; Pillow only says that it does not know them."""
    try:
        reader = TiffReader(content)
        tags = reader.first({_BITS, _SAMPLE_FORMAT, *_OF_RAW})
    except (ValueError, struct.error):
        # A BigTIFF file, for one.
        return
    if _OF_RAW & tags.keys():
        raise unreadable(path, "it is a camera's raw file (DNG) with the name of a TIFF file: name it .dng")
    kinds, bits = (_values(reader, tags.get(tag)) for tag in (_SAMPLE_FORMAT, _BITS))
    if _FLOAT in kinds:
        raise unreadable(path, "it is a TIFF file of floating point numbers: save it with 8 or 16 bit")
    if bits - {1, 2, 4, 8, 16}:
        raise unreadable(path, f"it is a TIFF file of {max(bits)} bit: save it with 8 or 16 bit")


def _values(reader: TiffReader, field: Field | None) -> set[int]:
    if field is None or field.kind != SHORT:
        return set()
    return set(np.frombuffer(field.data, f"{reader.order}u2").tolist())


def _exif(content: bytes) -> bytes:
    """Return the file as it is: an EXIF block is a TIFF file without a picture."""
    return content


def _taken(head: bytes, file: IO[bytes], path: Place) -> Taken:
    # Only Pillow reads BigTIFF.
    return taken_by_block(FileBytes(file)) if head[:4] in MAGIC else _READER.taken(head, file, path)


def _losses(photo: Stored) -> list[str]:
    return conversion(photo) + _losses_of_depth(photo.content)


def _losses_of_depth(content: bytes) -> list[str]:
    try:
        reader = TiffReader(content)
    except ValueError:
        return ["it was decoded to 8 bit"]
    tags = reader.first({_BITS, _EXTRA})
    bits = np.frombuffer(tags[_BITS].data, f"{reader.order}u2") if _BITS in tags else np.ones(1)
    return [ROUNDED] * bool(bits.max() > 8) + [OPAQUE] * (_EXTRA in tags)


FORMAT = InputFormat(
    name="TIFF",
    suffixes=frozenset({".tif", ".tiff"}),
    is_known=_is_tiff,
    open=_open,
    exif=_exif,
    taken=_taken,
    released=EncodedAgain("it is a TIFF file", _losses),
)
