"""What a photo's EXIF block says about the photo: its orientation, its colour space, its time and its exposure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from PIL import Image as PillowImage

from dpedtool.dataset.photos.file_bytes import Bytes
from dpedtool.dataset.photos.stored import DAMAGED
from dpedtool.dataset.photos.tiff_fields import ASCII, MAGIC, UNDEFINED, Directory, TiffReader
from dpedtool.dataset.photos.times import EXIF, GPS, GPS_TAGS, MAIN_TAGS, SHOT_TAGS, XMP, Values, moment_in

_EXPOSURE = _EXPOSURE_TIME, _F_NUMBER, _ISO = 33434, 33437, 34855
_OF_SHOT = SHOT_TAGS | {*_EXPOSURE}
_OF_MAIN = MAIN_TAGS | _OF_SHOT | {EXIF, GPS, XMP}
_TEXTS = (1, ASCII, UNDEFINED, 129)
"""Types of fields that hold bytes or texts."""
_PREFIX = b"Exif\0\0"
_ORIENTATION, _COLOUR_SPACE, _INTEROPERABILITY, _INDEX = 0x0112, 0xA001, 0xA005, 1


@dataclass(frozen=True)
class Said:
    """What an EXIF block says about the pixels; None for what it does not say, or what is damaged."""

    orientation: object = None
    colour_space: object = None
    interoperability: object = None


def exif_says(photo: PillowImage.Image) -> Said:
    """Return what the photo's EXIF block says; damage to one part of it leaves the others."""
    try:
        exif = photo.getexif()
    except DAMAGED:
        return Said()
    return Said(
        orientation=exif.get(_ORIENTATION),
        colour_space=_directory(exif, EXIF).get(_COLOUR_SPACE),
        interoperability=_text(_directory(exif, _INTEROPERABILITY).get(_INDEX)),
    )


def _directory(exif: PillowImage.Exif, tag: int) -> Mapping[int, object]:
    try:
        return exif.get_ifd(tag)
    except DAMAGED:
        return {}


def _text(value: object) -> object:
    return value.strip("\0 ") if isinstance(value, str) else value


@dataclass(frozen=True)
class Taken:
    """When and how a photo was taken; None for what is not known."""

    time: datetime | None = None
    """On the camera's own clock, without zone; or else when its file was changed."""
    exposure_s: float | None = None
    f_number: float | None = None
    iso: float | None = None
    utc_offset_s: float | None = None
    """How far that clock was ahead of UTC, in seconds."""

    @property
    def exposure_stops(self) -> float | None:
        """How much light the photo got, in stops, from an arbitrary zero; a stop more is twice as bright.

        A missing f-number counts as 1, as all frames of one phone's lens have the same.
        """
        if not self.exposure_s or not self.iso:
            return None
        return math.log2(self.exposure_s * self.iso / (self.f_number or 1.0) ** 2)

    def stops_above(self, other: Taken) -> float | None:
        """Return how many stops more light this photo got than another one of the same lens; None if not known."""
        own, others = self.exposure_stops, other.exposure_stops
        return None if own is None or others is None else round(own - others, 4)


def taken_by_block(block: Bytes, xmp: bytes = b"", magic: Mapping[bytes, str] = MAGIC) -> Taken:
    """Return when and how a photo was taken, by its EXIF block, or a TIFF file, and its XMP packet.

    Parameters
    ----------
    block
        With or without `Exif` before it; empty if there is none.
    xmp
        Empty if there is none; a TIFF file has it in a field.
    magic
        As `TiffReader` takes it.

    """
    while block[: len(_PREFIX)] == _PREFIX:
        block = block[len(_PREFIX) :]
    try:
        reader = TiffReader(block, magic)
    except ValueError:
        return _taken({}, {}, {}, xmp)
    first = reader.first(_OF_MAIN)
    packet = first.pop(XMP, None)
    shot, position = reader.below(first.get(EXIF), _OF_SHOT), reader.below(first.get(GPS), GPS_TAGS)
    main, details, place = (_values(reader, each) for each in (first, shot, position))
    return _taken(main, details, place, xmp or (packet.data if packet else b""))


def taken_by_directories(main: bytes, shot: bytes, position: bytes) -> Taken:
    """Return when and how a photo was taken, from three TIFF blocks. Each block holds one directory."""
    found: list[Values] = []
    for block, tags in ((main, _OF_MAIN), (shot, _OF_SHOT), (position, GPS_TAGS)):
        try:
            reader = TiffReader(block)
            found.append(_values(reader, reader.first(tags)))
        except ValueError:
            found.append({})
    return _taken(found[0], found[1], found[2], b"")


def taken_by_pillow(exif: PillowImage.Exif) -> Taken:
    """Return when and how a photo was taken, as Pillow has read it."""
    main = {tag: exif.get(tag) for tag in _OF_MAIN}
    xmp = main.pop(XMP)
    return _taken(main, _directory(exif, EXIF), _directory(exif, GPS), xmp if isinstance(xmp, bytes) else b"")


def _values(reader: TiffReader, directory: Directory) -> Values:
    return {
        tag: field.data if field.kind in _TEXTS else tuple(reader.numbers(field)) for tag, field in directory.items()
    }


def _taken(main: Values, shot: Values, position: Values, xmp: bytes) -> Taken:
    moment = moment_in(main, shot, position, xmp)
    exposure, f_number, iso = (positive(shot.get(tag, main.get(tag))) for tag in _EXPOSURE)
    time, utc_offset_s = (moment.time, moment.utc_offset_s) if moment else (None, None)
    return Taken(time, exposure, f_number, iso, utc_offset_s)


def positive(value: object) -> float | None:
    """Return a number of an EXIF block if it is finite and above 0; of several, the first."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if 0 < number < math.inf else None
