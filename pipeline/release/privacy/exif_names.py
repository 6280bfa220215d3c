"""What an EXIF block says about the person who took a photo, the individual device, and the place."""

from __future__ import annotations

from collections.abc import Mapping

from dpedtool.dataset.photos.kept_metadata import EXIF, GPS
from dpedtool.dataset.photos.tiff_fields import ASCII, Field, TiffReader

_KINDS: Mapping[int, str] = {
    0x013B: "artist",
    0x8298: "copyright",
    0x9C9D: "artist",  # by Windows, XPAuthor
    0xA420: "unique image ID",
    0xA430: "owner's name",
    0xA431: "serial number",
    0xA435: "serial number of the lens",
    0xA437: "artist",  # Photographer of EXIF 3.0
    0xA438: "artist",  # ImageEditor of EXIF 3.0
    0xC62F: "serial number",  # CameraSerialNumber of DNG
}
"""Kinds of private texts by tag; EXIF 2.32, 4.6.4 and 4.6.5; EXIF 3.0; DNG 1.7."""
_WINDOWS = range(0x9C9B, 0x9CA0)
_TEXTS = (ASCII, 129)


def names_in(block: bytes) -> dict[str, list[str]]:
    """Return the texts of a block that identify a device or a person, by kind.

    Maker's notes are not read. For a damaged block, whatever can be read is returned.

    Parameters
    ----------
    block
        The EXIF block, from the TIFF header on.

    """
    try:
        reader = TiffReader(block)
    except ValueError:
        return {}
    main = reader.first({*_KINDS, EXIF})
    found: dict[str, list[str]] = {}
    for tag, field in (main | reader.below(main.pop(EXIF, None), set(_KINDS))).items():
        if texts := _texts(tag, field):
            found.setdefault(_KINDS[tag], []).extend(texts)
    return found


def has_position(block: bytes) -> bool:
    """Return whether a block has a GPS directory that is not empty."""
    try:
        reader = TiffReader(block)
    except ValueError:
        return False
    return bool(reader.below(reader.first({GPS}).get(GPS), range(0x20)))


def _texts(tag: int, field: Field) -> list[str]:
    if tag in _WINDOWS:
        parts = field.data.decode("utf-16-le", "replace").split("\0")
    elif field.kind in _TEXTS:
        # A copyright consists of the photographer's and the editor's, with a zero between them.
        parts = [_decoded(part) for part in field.data.split(b"\0")]
    else:
        parts = []
    return [part.strip() for part in parts if part.strip()]


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
