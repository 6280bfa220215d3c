"""What a photo's EXIF block says about the photo: its orientation, its colour space and its time."""

from __future__ import annotations

from datetime import datetime

from PIL import Image as PillowImage

from dpedtool.dataset.photos.stored import DAMAGED

_EXIF_IFD, _DATE_TIME, _DATE_TIME_ORIGINAL, _SUBSEC_ORIGINAL = 0x8769, 306, 36867, 37521
_ORIENTATION, _INTEROPERABILITY, _INDEX = 0x0112, 0xA005, 1


def exif_says(photo: PillowImage.Image) -> tuple[object, object]:
    """Return orientation and interoperability index; None for both if the block is damaged."""
    try:
        exif = photo.getexif()
        return exif.get(_ORIENTATION), exif.get_ifd(_INTEROPERABILITY).get(_INDEX)
    except DAMAGED:
        return None, None


def exif_time(exif: PillowImage.Exif) -> datetime | None:
    """Return when the photo was taken, or else when its file was changed; None if neither is known."""
    details = exif.get_ifd(_EXIF_IFD)
    text = details.get(_DATE_TIME_ORIGINAL) or exif.get(_DATE_TIME)
    return _parse_exif_time(text, details.get(_SUBSEC_ORIGINAL))


def _parse_exif_time(text: object, fraction: object) -> datetime | None:
    try:
        moment = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    digits = str(fraction or "").strip("\0 ")
    return moment.replace(microsecond=int(f"{digits:0<6}"[:6])) if digits.isdecimal() else moment
