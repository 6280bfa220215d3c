"""HEIC and camera raw files, which need the extras `heic` (pillow-heif) and `raw` (rawpy)."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.stored import DAMAGED, Factor, Grey, Image, Stored, means, turn_of, unreadable
from dpedtool.dataset.places import Place

if TYPE_CHECKING:
    import rawpy

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"})

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_EXTRAS = {"pillow_heif": ("HEIC", "heic"), "rawpy": ("camera raw", "raw")}
_PQ, _HLG = 16, 18
"""Transfer characteristics of high dynamic range (ITU-T H.273, table 3)."""
_TURN_OF_FLIP = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
"""LibRaw's flip (1: columns, 2: rows, 4: both axes swapped first) as EXIF orientation."""


def is_raw(path: Place) -> bool:
    """Whether the name is that of a camera raw file; most of them look like TIFF files inside."""
    return path.suffix.lower() in RAW_SUFFIXES


def is_heif(content: bytes) -> bool:
    """Whether these are the bytes of a HEIC or HEIF photo, whatever its name (ISO/IEC 23008-12, annex B)."""
    return content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS


def missing_extra(path: Place) -> str:
    """Return how to install what reads a file of this name, as a clause; empty where nothing is missing."""
    suffix = path.suffix.lower()
    module = "rawpy" if suffix in RAW_SUFFIXES else "pillow_heif" if suffix in HEIF_SUFFIXES else ""
    return _how_to_install(module) if module and not _is_installed(module) else ""


def open_heif(content: bytes, path: Place) -> Stored:
    """Read the header of a HEIC photo.

    Raises
    ------
    Rejection
        `unreadable_photo`: damaged, of high dynamic range, or the extra is not installed.

    """
    _check_installed("pillow_heif", path)
    with _heif_errors(path):
        photo = _heif(content)
        nclx = photo.info.get("nclx_profile") or {}
        profile = photo.info.get("icc_profile") or b""
        size = photo.size
    if not profile and nclx.get("transfer_characteristics") in (_PQ, _HLG):
        raise unreadable(path, "it is of high dynamic range (HDR): set the camera or phone to standard photos")
    return _Heif(content=content, path=path, size=size, profile=profile)


def heif_exif(content: bytes) -> bytes:
    """Return the EXIF block of a HEIC photo; empty where there is none, or nothing that reads it."""
    if not _is_installed("pillow_heif"):
        return b""
    try:
        return bytes(_heif(content).info.get("exif") or b"")
    except DAMAGED:
        return b""


@dataclass(frozen=True, kw_only=True)
class _Heif(Stored):
    """HEIC; libheif turns it upright by the file's own transforms, and the EXIF orientation beside them is void.

    ISO/IEC 23008-12, A.2.3 says so of the orientation. Deeper photos are reduced to 8 bit.
    """

    def colour(self) -> Image:
        with _heif_errors(self.path):
            pixels = np.asarray(_heif(self.content), np.uint8)
        if pixels.ndim == 2:
            return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
        return np.ascontiguousarray(pixels[..., :3])


def _heif(content: bytes) -> Any:
    import pillow_heif

    return pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=True, bgr_mode=True)


@contextlib.contextmanager
def _heif_errors(path: Place) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError):
        # It stumbled over what the file lacks; what Python says of that is of no use to anybody.
        raise unreadable(path, "it is no complete HEIC file") from None
    except DAMAGED as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise unreadable(path, f"it is no complete HEIC file ({reason})") from None


def open_raw(content: bytes, path: Place) -> Stored:
    """Read the header of a camera raw file.

    Raises
    ------
    Rejection
        `unreadable_photo`: damaged, of no known camera, or the extra is not installed.

    """
    _check_installed("rawpy", path)
    with _raw(content, path) as raw:
        sizes = raw.sizes
        if sizes.pixel_aspect != 1:
            raise unreadable(path, "its pixels are not square: develop it to JPEG or TIFF first")
        pattern = raw.raw_pattern
        return _Raw(
            content=content,
            path=path,
            size=(sizes.width, sizes.height),
            turn=turn_of(_TURN_OF_FLIP.get(sizes.flip)),
            is_bayer=pattern is not None and pattern.shape == (2, 2),
        )


def raw_time(content: bytes, path: Place) -> datetime | None:
    """Return the capture time of a raw file to the second; None where there is none, or nothing that reads it."""
    if not _is_installed("rawpy"):
        return None
    try:
        with _raw(content, path) as raw:
            moment: datetime | None = raw.other.timestamp
    except Rejection:
        return None
    # LibRaw counts from 1970, and gives that where it found no time.
    return moment if moment and moment.year > 1970 else None


@dataclass(frozen=True, kw_only=True)
class _Raw(Stored):
    """A raw file, developed by LibRaw: camera white balance, no automatic brightness, sRGB with its own curve."""

    is_bayer: bool

    def colour(self) -> Image:
        return self._develop(half_size=False)

    def grey(self, factor: Factor) -> Grey:
        """Decode to grey; reduced, one of a Bayer pattern is its green, each 2 x 2 square at a time.

        The two greens of a square lie around its centre, as the pixel of the reduced photo must; red and blue do not.
        """
        if factor == 1 or not self.is_bayer:
            return super().grey(factor)
        green = self.checked(self._develop(half_size=True)[..., 1], 2)
        return means(np.ascontiguousarray(green), factor // 2)

    def _develop(self, *, half_size: bool) -> Image:
        import rawpy

        with _raw(self.content, self.path) as raw:
            pixels = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
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


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _how_to_install(module: str) -> str:
    what, extra = _EXTRAS[module]
    return f"{what} files need an extra: pip install 'dpedtool[{extra}]' (in a checkout: pip install -e '.[{extra}]')"


def _check_installed(module: str, path: Place) -> None:
    if not _is_installed(module):
        raise unreadable(path, _how_to_install(module))
