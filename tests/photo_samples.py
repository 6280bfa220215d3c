"""A sample of every format of photos that is read, as a camera might write it, with all that tells of its owner."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import tifffile
from photo_exif import ARTIST, DATE_TIME, ORIENTATION, TIME, full_exif
from PIL import Image as PillowImage

from dpedtool.dataset.photos.formats.input_format import InputFormat


def sample(format_: InputFormat, scene: np.ndarray, orientation: int = 1) -> bytes:
    """Write a photo with the EXIF block of `full_exif`, as far as the format has place for it.

    Parameters
    ----------
    format_
        Of the file.
    scene
        (H, W, 3), BGR, uint8: the stored rows. Of raw files only the brightness is like that of the scene.
    orientation
        Of the EXIF block.

    """
    write = _WRITERS.get(format_.name) or _by_pillow(format_)
    return write(scene, orientation)


Writer = Callable[[np.ndarray, int], bytes]


def _by_pillow(format_: InputFormat) -> Writer:
    PillowImage.init()
    names = {PillowImage.registered_extensions().get(suffix) for suffix in format_.suffixes} & PillowImage.SAVE.keys()
    if not names:
        pytest.skip(f"Pillow writes no {format_.name} files: add a writer to {__file__}")

    def write(scene: np.ndarray, orientation: int) -> bytes:
        out = io.BytesIO()
        picture = PillowImage.fromarray(np.ascontiguousarray(scene[..., ::-1]))
        picture.save(out, min(names), quality=95, exif=full_exif(orientation), xmp=b"<x:xmpmeta>XMP-PLACE</x:xmpmeta>")
        return out.getvalue()

    return write


def heic(scene: np.ndarray, orientation: int) -> bytes:
    """A HEIC file as phones write it: the turn as a transform of the file, and in the EXIF block too."""
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    picture = pillow_heif.from_pillow(PillowImage.fromarray(np.ascontiguousarray(scene[..., ::-1])))
    picture.save(out, quality=95, chroma=444, exif=full_exif(orientation).tobytes())
    return out.getvalue()


def dng(
    cfa: np.ndarray, orientation: int = 1, texts: Mapping[int, str] | None = None, extra: Sequence[tuple] = ()
) -> bytes:
    """A Bayer mosaic of 16 bit as the least DNG that LibRaw reads (DNG 1.4): RGGB, white balance 2, 1, 2.

    `extra` are further tags as tifffile takes them.
    """
    byte, text, short, long, rational, signed = 1, 2, 3, 4, 5, 10
    colour = [6488, -1000, -400, -4000, 12000, 2000, -500, 1800, 6000]
    tags = [
        (ORIENTATION, short, 1, orientation, True),
        (33421, short, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, byte, 4, bytes([0, 1, 1, 2]), True),  # CFAPattern
        (50706, byte, 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, text, 0, "Test camera", True),
        (50714, long, 1, 0, True),  # BlackLevel
        (50717, long, 1, 65535, True),  # WhiteLevel
        (50721, signed, 9, tuple(part for value in colour for part in (value, 10000)), True),  # ColorMatrix1
        (50728, rational, 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, short, 1, 21, True),  # CalibrationIlluminant1: D65
        *((tag, text, 0, said, True) for tag, said in ({DATE_TIME: TIME} | dict(texts or {})).items()),
        *extra,
    ]
    out = io.BytesIO()
    tifffile.imwrite(out, cfa, photometric=32803, extratags=tags, metadata=None, datetime=None, software="test")
    return out.getvalue()


def mosaic(grey: np.ndarray) -> np.ndarray:
    """What the sensor counts of a neutral scene: red and blue half as much as green, which the balance undoes."""
    counts = grey.astype(float).copy()
    counts[::2, ::2] /= 2
    counts[1::2, 1::2] /= 2
    return np.rint(counts).astype(np.uint16)


_SERIAL_OF_DNG = 0xC62F


def _raw(scene: np.ndarray, orientation: int) -> bytes:
    return dng(mosaic(scene.mean(axis=2) * 257), orientation, {ARTIST: "A. Name", _SERIAL_OF_DNG: "SERIAL-7"})


_WRITERS: Mapping[str, Writer] = {"HEIC": heic, "camera raw": _raw}
"""For what Pillow does not write, by the name of the format."""
