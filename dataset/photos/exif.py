"""What a photo's EXIF block says about the photo: its orientation, its colour space, its time and its exposure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from PIL import Image as PillowImage

from dpedtool.dataset.photos.stored import DAMAGED

_EXIF_IFD, _DATE_TIME, _DATE_TIME_ORIGINAL, _SUBSEC_ORIGINAL = 0x8769, 306, 36867, 37521
_EXPOSURE_TIME, _F_NUMBER, _ISO = 33434, 33437, 34855
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
        colour_space=_directory(exif, _EXIF_IFD).get(_COLOUR_SPACE),
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


def exif_taken(exif: PillowImage.Exif) -> Taken:
    """Return when and how the photo was taken."""
    details = exif.get_ifd(_EXIF_IFD)
    text = details.get(_DATE_TIME_ORIGINAL) or exif.get(_DATE_TIME)
    time = _parse_exif_time(text, details.get(_SUBSEC_ORIGINAL))
    return Taken(time, *(positive(details.get(tag)) for tag in (_EXPOSURE_TIME, _F_NUMBER, _ISO)))


def positive(value: object) -> float | None:
    """Return a number of an EXIF block if it is finite and above 0; of several, the first."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if 0 < number < math.inf else None


def _parse_exif_time(text: object, fraction: object) -> datetime | None:
    try:
        moment = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    digits = str(fraction or "").strip("\0 ")
    return moment.replace(microsecond=int(f"{digits:0<6}"[:6])) if digits.isdecimal() else moment
