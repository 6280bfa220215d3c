"""A photo's metadata, adapted to another file with a picture that was made from the photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain

from dpedtool.dataset.photos.decoding import PhotoFile
from dpedtool.dataset.photos.tiff_fields import (
    HEADER,
    UNDEFINED,
    ByteOrder,
    Directory,
    Field,
    TiffReader,
    directory_bytes,
    header_bytes,
    longs,
    shorts,
)


def _tags(*parts: int | Iterable[int]) -> frozenset[int]:
    return frozenset(chain.from_iterable((part,) if isinstance(part, int) else part for part in parts))


EXIF, GPS = 0x8769, 0x8825
"""Tags that point to the directories of the shot and of the position."""
_WIDTH, _HEIGHT, _ORIENTATION, _COLOUR_SPACE, _EXIF_WIDTH, _EXIF_HEIGHT = 0x100, 0x101, 0x112, 0xA001, 0xA002, 0xA003
_VERSION = 0x9000
_SRGB, _UPRIGHT = 1, 1

# These are named one by one, since all others may describe the old file, a person or a place: positions in pixels of
# the stored photo, serial numbers, the maker's note, and the fields of a TIFF's own picture.
_KEPT = _tags(
    # ImageDescription, Make, Model; resolution; Software, DateTime; Artist, HostComputer
    *(range(0x10E, 0x111), 0x11A, 0x11B, 0x128, 0x131, 0x132, 0x13B, 0x13C),
    # Rating, in stars and percent; Copyright; title, comment, author, keywords and subject by Windows
    *(0x4746, 0x4749, 0x8298, range(0x9C9B, 0x9CA0)),
)
_KEPT_OF_SHOT = _tags(
    # ExposureTime, FNumber, ExposureProgram, SpectralSensitivity, sensitivity
    *(0x829A, 0x829D, 0x8822, 0x8824, 0x8827, range(0x8830, 0x8836)),
    # ExifVersion, times and their zones
    *(_VERSION, 0x9003, 0x9004, range(0x9010, 0x9013)),
    # from ShutterSpeedValue to FocalLength; UserComment; fractions of seconds; temperature to camera's elevation
    *(range(0x9201, 0x920B), 0x9286, range(0x9290, 0x9293), range(0x9400, 0x9406)),
    # FlashpixVersion, FlashEnergy, resolution of the focal plane, ExposureIndex, SensingMethod, FileSource, SceneType
    *(0xA000, 0xA20B, range(0xA20E, 0xA211), 0xA215, 0xA217, 0xA300, 0xA301),
    # from CustomRendered to Sharpness; SubjectDistanceRange; owner; lens; title to software (EXIF 3.0); CompositeImage
    *(range(0xA401, 0xA40B), 0xA40C, 0xA430, range(0xA432, 0xA435), range(0xA436, 0xA43D), 0xA460),
)
_KEPT_OF_POSITION = _tags(range(0x20))

MOST_BYTES = 0xFFFF - 2 - 6
"""Longest block in a JPEG: a segment's length has 16 bit, and includes the bytes of the length and of `Exif`."""


@dataclass(frozen=True)
class Metadata:
    """What a result says about the photo that it was made from."""

    order: ByteOrder = "<"
    main: Directory = field(default_factory=dict)
    """What the picture is, who made it, and with which camera."""
    shot: Directory = field(default_factory=dict)
    """How and when it was taken."""
    position: Directory = field(default_factory=dict)
    """Where it was taken."""
    note: str = ""
    """What could not be read, as a clause; empty if everything was read."""

    def directories(self, offset: int, more: Directory | None = None) -> bytes:
        """Return all directories as they are written at an offset; `more` are further fields of the first of them."""
        below = {EXIF: self.shot, GPS: self.position}
        pointers = {tag: longs(self.order, 0) for tag, fields in below.items() if fields}
        main = self.main | pointers | (more or {})
        place, parts = offset + len(directory_bytes(main, offset, self.order)), []
        for tag in pointers:
            main[tag] = longs(self.order, place)
            parts.append(directory_bytes(below[tag], place, self.order))
            place += len(parts[-1])
        return b"".join([directory_bytes(main, offset, self.order), *parts])

    def block(self) -> bytes:
        """Return the EXIF block; empty if nothing is known."""
        if not self.main and not self.shot:
            return b""
        return header_bytes(HEADER, self.order) + self.directories(HEADER)


def kept_metadata(photo: PhotoFile, size: tuple[int, int], *, gps: bool = False) -> Metadata:
    """Return what is kept of a photo's metadata for an upright sRGB picture that was made from it.

    Camera, lens, exposure, times, descriptions, names and copyright are kept as they are; orientation, colour space and
    sizes are those of the picture. The position is left out unless `gps` is set. Thumbnails, serial numbers, maker's
    notes and everything that is not EXIF (XMP, IPTC, texts of PNG files) are always left out.

    Parameters
    ----------
    photo
        Any photo that can be decoded.
    size
        (width, height) of the picture, in px.
    gps
        Keep the position.

    """
    block = exif_block(photo)
    if not block:
        return Metadata(note=_WITHOUT_EXIF if photo.format.has_other_metadata else "")
    try:
        reader = TiffReader(block)
    except ValueError:
        unknown = photo.format.has_other_metadata or block.startswith((b"II+", b"MM\0+"))
        return Metadata(note=_WITHOUT_EXIF if unknown else _DAMAGED)
    main = reader.first(_KEPT | {EXIF, GPS, _WIDTH, _HEIGHT})
    pointers = {tag: main.pop(tag, None) for tag in (EXIF, GPS)}
    shot = reader.below(pointers[EXIF], _KEPT_OF_SHOT)
    position = reader.below(pointers[GPS], _KEPT_OF_POSITION) if gps else {}
    if not (main or shot or position):
        return Metadata(note=_DAMAGED if reader.damaged else "")
    note = _PARTLY_DAMAGED if reader.damaged else ""
    return _fit(Metadata(reader.order, main, shot, position, note), size)


_WITHOUT_EXIF = "its metadata are of a kind that cannot be read, and were left out"
_DAMAGED = "its EXIF block is damaged and was left out"
_PARTLY_DAMAGED = "parts of its EXIF block are damaged and were left out"
_TOO_LONG = "its EXIF block is longer than photos can hold and was left out"


def _fit(metadata: Metadata, size: tuple[int, int]) -> Metadata:
    """Set the fields that describe the picture itself."""
    order, (width, height) = metadata.order, size
    sizes = {_WIDTH: longs(order, width), _HEIGHT: longs(order, height)}
    main = metadata.main | {tag: value for tag, value in sizes.items() if tag in metadata.main}
    main[_ORIENTATION] = shorts(order, _UPRIGHT)
    shot = {_VERSION: Field(UNDEFINED, b"0232")} | metadata.shot
    shot |= {_COLOUR_SPACE: shorts(order, _SRGB), _EXIF_WIDTH: longs(order, width), _EXIF_HEIGHT: longs(order, height)}
    fit = replace(metadata, main=main, shot=shot)
    return fit if len(fit.block()) <= MOST_BYTES else Metadata(note=_TOO_LONG)


def exif_block(photo: PhotoFile) -> bytes:
    """Return the photo's EXIF block from its TIFF header on; for TIFF and raw files, this is the whole file."""
    block = photo.format.exif(photo.content)
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    return block


_PREFIX = b"Exif\0\0"
