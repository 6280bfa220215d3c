"""Camera raw files, developed by LibRaw, which needs the extra `raw` (rawpy)."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import cv2
import numpy as np

from dpedtool.dataset.photos.boxes import canon_directories
from dpedtool.dataset.photos.exif import Taken, taken_by_block, taken_by_directories
from dpedtool.dataset.photos.file_bytes import FileBytes
from dpedtool.dataset.photos.formats import jpeg
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, Extra, InputFormat
from dpedtool.dataset.photos.pixels import Factor, GreyPhoto, Image
from dpedtool.dataset.photos.stored import Stored, means, turn_of, unreadable
from dpedtool.dataset.photos.tiff_fields import MAGIC, OF_RAW, Directory, Field, TiffReader
from dpedtool.dataset.places import Place

if TYPE_CHECKING:
    import rawpy

_EXTRA = Extra("raw", "rawpy", "rawpy", "camera raw")
_SUFFIXES = frozenset(
    {
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".ori", ".rw2", ".raf"),
        *(".pef", ".ptx", ".srw", ".x3f", ".3fr", ".fff", ".iiq", ".cap", ".erf", ".mef", ".mos", ".mrw"),
        *(".mdc", ".rwl", ".raw", ".dcr", ".dcs", ".drf", ".kdc", ".k25", ".kc2", ".dc2", ".gpr", ".bay", ".cs1"),
        *(".ari", ".rwz", ".sti", ".qtk"),
    }
)
"""Of the cameras that LibRaw 0.21 lists; a file that it cannot develop after all is refused with its reason."""
_VERSION, _SUBFILES, _KIND, _EXPOSURE, _CROP = 50706, 330, 254, 50730, (50719, 50720)
"""Fields: DNGVersion, SubIFDs, NewSubFileType, BaselineExposure, and DefaultCropOrigin with DefaultCropSize."""
_MOST_EV = 8.0
_FUJI, _FUJI_JPEG, _MOST_PREVIEW = b"FUJIFILMCCD-", 84, 2**22
"""What a RAF file begins with, where it says where its JPEG is, and most bytes of that which are read."""
_TURN_OF_FLIP = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
"""LibRaw's flip (1: columns, 2: rows, 4: both axes swapped first) as EXIF orientation."""


def _open(content: bytes, path: Place) -> Stored:
    _EXTRA.check(path)
    with _raw(content, path) as raw:
        sizes = raw.sizes
        if sizes.pixel_aspect != 1:
            raise unreadable(path, "its pixels are not square: develop it to JPEG or TIFF first")
        pattern = raw.raw_pattern
        dng = _dng(content, (sizes.width, sizes.height))
        return _Raw(
            content=content,
            path=path,
            size=dng.crop[2:],
            turn=turn_of(_TURN_OF_FLIP.get(sizes.flip)),
            is_bayer=pattern is not None and pattern.shape == (2, 2),
            dng=dng,
        )


@dataclass(frozen=True)
class _Dng:
    """What a DNG file says about how it is to be shown (DNG 1.7, chapter 4); LibRaw leaves it to its users."""

    crop: tuple[int, int, int, int]
    """x, y, width and height of the part of the developed photo that is the picture."""
    exposure_ev: float = 0.0
    """BaselineExposure: by how many stops the photo is to be brightened."""


def _dng(content: bytes, size: tuple[int, int]) -> _Dng:
    """Return what a file of this developed size says; the whole photo for other raw files."""
    whole = _Dng((0, 0, *size))
    try:
        reader = TiffReader(content)
        first = reader.first({_VERSION, _SUBFILES, _EXPOSURE, *_CROP})
        if _VERSION not in first:
            return whole
        below = reader.all_below(first.get(_SUBFILES), {_KIND, *_CROP})
        main = next((one for one in below if reader.numbers(one.get(_KIND)) == [0.0]), {})
        origin, extent = ([round(value) for value in reader.numbers(_of(tag, main, first))] for tag in _CROP)
        exposure = reader.numbers(first.get(_EXPOSURE))
    except (ValueError, struct.error):
        return whole
    exposure_ev = exposure[0] if exposure and abs(exposure[0]) <= _MOST_EV else 0.0
    fits = len(origin) == len(extent) == 2 and min(*origin, *(side - 1 for side in extent)) >= 0
    if not fits or any(start + side > all_ for start, side, all_ in zip(origin, extent, size, strict=True)):
        return _Dng(whole.crop, exposure_ev)
    return _Dng((*origin, *extent), exposure_ev)  # type: ignore[arg-type]


def _of(tag: int, main: Directory, first: Directory) -> Field | None:
    return main.get(tag) or first.get(tag)


def _exif(content: bytes) -> bytes:
    """Return the file as it is: most raw files are TIFF files, whose directories are those of an EXIF block."""
    return content


def _taken(head: bytes, file: IO[bytes], _: Place) -> Taken:
    """Return the capture time and the exposure, by the headers, whether the extra is installed or not.

    LibRaw is not asked, since it gives times on this machine's clock, which depend on its time zone.
    """
    content = FileBytes(file)
    if head[4:12] == b"ftypcrx ":
        return taken_by_directories(*canon_directories(content))
    if head.startswith(_FUJI):
        start, length = struct.unpack(">LL", content[_FUJI_JPEG : _FUJI_JPEG + 8])
        return jpeg.taken_in(content[start : start + min(length, _MOST_PREVIEW)])
    return taken_by_block(content, magic={**MAGIC, **OF_RAW})


@dataclass(frozen=True, kw_only=True)
class _Raw(Stored):
    """A raw file, developed by LibRaw: camera white balance, no automatic brightness, sRGB with its own curve."""

    is_bayer: bool
    dng: _Dng

    def colour(self) -> Image:
        return self._cropped(self._develop(half_size=False))

    def grey(self, factor: Factor) -> GreyPhoto:
        """Decode to grey; when a photo with a Bayer pattern is reduced, its grey is the green of each 2 x 2 square.

        The two greens of a square are centred on it, as the pixel of the reduced photo must be; red and blue are not.
        """
        # A crop that begins within a square has other squares.
        if factor == 1 or not self.is_bayer or self.dng.crop[0] % 2 or self.dng.crop[1] % 2:
            return super().grey(factor)
        green = self.checked(self._cropped(self._develop(half_size=True), 2)[..., 1], 2)
        return means(np.ascontiguousarray(green), factor // 2)

    def _cropped(self, image: Image, factor: int = 1) -> Image:
        """Return the picture's part of the developed photo, which may be reduced by the factor."""
        x, y, width, height = self.dng.crop
        right, low = -(-(x + width) // factor), -(-(y + height) // factor)
        return image[y // factor : low, x // factor : right]

    def _develop(self, *, half_size: bool) -> Image:
        import rawpy

        with _raw(self.content, self.path) as raw:
            pixels = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                bright=2.0**self.dng.exposure_ev,
                # Camera colours keep the channels apart; sRGB mixes them.
                output_color=rawpy.ColorSpace.raw if half_size else rawpy.ColorSpace.sRGB,
                gamma=(2.4, 12.92),
                output_bps=8,
                user_flip=0,
                half_size=half_size,
            )
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)


@contextlib.contextmanager
def _raw(content: bytes, path: Place) -> Iterator[rawpy.RawPy]:
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            yield raw
    except rawpy.LibRawError as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise unreadable(path, f"it cannot be developed ({reason})") from None


def _losses(_: Stored) -> list[str]:
    return ["it was developed to sRGB of 8 bit"]


FORMAT = InputFormat(
    name="camera raw",
    suffixes=_SUFFIXES,
    # Most raw files look like TIFF files inside.
    is_known=None,
    open=_open,
    exif=_exif,
    taken=_taken,
    extra=_EXTRA,
    is_beside_jpeg=True,
    has_other_metadata=True,
    released=EncodedAgain("it is a camera's raw file", _losses),
)
