"""Photos with everything in their EXIF blocks, for tests of what becomes of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import IFDRational

MAKE, MODEL, DESCRIPTION, ORIENTATION, ARTIST, COPYRIGHT, DATE_TIME = 0x10F, 0x110, 0x10E, 0x112, 0x13B, 0x8298, 0x132
EXIF, GPS, MAKER_NOTE, TAKEN, BIAS, COMMENT, LENS, SERIAL = (
    *(0x8769, 0x8825, 0x927C, 0x9003, 0x9204, 0x9286, 0xA434, 0xA431),
)
COLOUR_SPACE, WIDTH, HEIGHT, VERSION = 0xA001, 0xA002, 0xA003, 0x9000
TIME = "2024:05:06 07:08:09"
MAIN = {
    MAKE: "Maker",
    MODEL: "Model 1",
    DESCRIPTION: "A wall",
    ARTIST: "A. Name",
    COPYRIGHT: "A. Name",
    DATE_TIME: TIME,
}
SHOT = {
    TAKEN: TIME,
    BIAS: IFDRational(-1, 3),
    COMMENT: b"ASCII\0\0\0a comment",
    LENS: "A lens",
    0x829A: IFDRational(1, 60),
}
SECRETS = (b"SERIAL-7", b"MAKER-NOTE", b"XMP-PLACE")
"""What must not be found in any result."""
NORTH = 0x01


def full_exif(orientation: int = 1) -> PillowImage.Exif:
    """An EXIF block of a photo of 60 x 40 px."""
    exif = PillowImage.Exif()
    for tag, value in MAIN.items():
        exif[tag] = value
    exif[ORIENTATION] = orientation
    shot = exif.get_ifd(EXIF)
    shot |= SHOT
    shot |= {SERIAL: "SERIAL-7", MAKER_NOTE: b"MAKER-NOTE at no place", COLOUR_SPACE: 65535, WIDTH: 60, HEIGHT: 40}
    exif[EXIF] = shot
    exif[GPS] = {NORTH: "N", 2: (IFDRational(50), IFDRational(30), IFDRational(0))}
    # Of directories that are no file's yet Pillow writes none into a TIFF.
    stored = PillowImage.Exif()
    stored.load(exif.tobytes())
    return stored


def photo_bytes(kind: str, exif: PillowImage.Exif | bytes | None, pixels: np.ndarray | None = None) -> bytes:
    """A photo, 60 x 40 px unless its pixels are given, in a format of Pillow's."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8) if pixels is None else pixels
    picture = PillowImage.fromarray(noise)
    options: dict[str, object] = {} if exif is None else {"exif": exif}
    if kind in ("JPEG", "WEBP"):
        options["xmp"] = b"<x:xmpmeta>XMP-PLACE</x:xmpmeta>"
    out = io.BytesIO()
    if kind == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(picture).save(out, exif=exif.tobytes() if isinstance(exif, PillowImage.Exif) else exif)
    else:
        picture.save(out, kind, **options)
    return out.getvalue()
