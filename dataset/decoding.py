"""From the bytes of a photo to pixels: every check and every turn that all formats share.

Each photo is turned upright once, by its EXIF orientation as Pillow reads it, never by the decoder's own reading: so
the colour photo, its grey and its reduced grey always lie alike.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike
from PIL import Image as PillowImage

from dataset.errors import Rejection

Image = npt.NDArray[np.uint8]
"""(height, width, 3), BGR, 0..255."""
Grey = npt.NDArray[np.uint8]
"""(height, width), 0..255."""
Factor = Literal[1, 2, 4, 8]

MAX_PIXELS = 250_000_000
"""Larger photos are refused: beyond every camera's, and a header may lie."""

_ORIENTATION = 0x0112
_REDUCED_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


@dataclass(frozen=True, eq=False)
class ReducedGrey:
    """A grey photo, upright, reduced by a whole factor."""

    image: Grey
    """(height, width); each side is that of the full photo over the factor, rounded up."""
    full_from_reduced: npt.NDArray[np.float64]
    """(3, 3) homography from px of `image` to px of the full photo, exact also where the factor divides no side."""
    size: tuple[int, int]
    """(width, height) of the full photo, upright, in px."""


@dataclass(frozen=True)
class _Header:
    size: tuple[int, int]
    """(width, height) as stored."""
    turn: int
    """EXIF orientation, 1..8, that is still to be applied to what the decoder returns."""
    is_jpeg: bool


def decode_colour(content: bytes, path: Path) -> Image:
    """Decode a photo's bytes, upright, as (H, W, 3) BGR uint8; `path` only names it in messages.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, too large, or no photo at all.

    """
    header = _check(content, path)
    return _upright(_decode(content, cv2.IMREAD_COLOR, header, path), header.turn)


def decode_grey(content: bytes, path: Path, factor: Factor) -> ReducedGrey:
    """Decode a photo's bytes in grey and reduced; a JPEG is reduced while it is decoded, in a fraction of the time.

    Raises
    ------
    Rejection
        As `decode_colour`.

    """
    header = _check(content, path)
    if not header.is_jpeg:
        return reduced(_upright(_decode(content, cv2.IMREAD_GRAYSCALE, header, path), header.turn), factor)
    image = _decode(content, _REDUCED_GREY[factor], header, path, factor)
    size = header.size[::-1] if header.turn >= 5 else header.size
    return ReducedGrey(_upright(image, header.turn), _full_from_reduced(size, header.turn, factor), size)


def reduced(grey: Grey, factor: Factor) -> ReducedGrey:
    """Reduce an upright grey photo by means over squares; a last part of a square is filled up with its own rim."""
    height, width = grey.shape
    matrix = _full_from_reduced((width, height), 1, factor)
    if factor == 1:
        return ReducedGrey(grey, matrix, (width, height))
    filled = cv2.copyMakeBorder(grey, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    small = cv2.resize(filled, (filled.shape[1] // factor, filled.shape[0] // factor), interpolation=cv2.INTER_AREA)
    return ReducedGrey(np.asarray(small, np.uint8), matrix, (width, height))


def _full_from_reduced(size: tuple[int, int], turn: int, factor: int) -> npt.NDArray[np.float64]:
    """Return the exact transform from reduced to full px of an upright photo of this size (width, height).

    Reduced pixel 0 of the stored photo covers its full pixels 0..factor-1, and the last one what is left. Where the
    turn reverses an axis, that partial pixel comes first, and reaches beyond the rim of the upright photo.
    """
    matrix = np.diag([factor, factor, 1.0])
    for axis, reversing in enumerate(((2, 3, 6, 7), (3, 4, 7, 8))):
        beyond = -size[axis] % factor if turn in reversing else 0
        matrix[axis, 2] = (factor - 1) / 2 - beyond
    return matrix


# What takes the stored rows to the photo as seen (EXIF 2.32, 4.6.4 A, Orientation).
_TURNS: dict[int, Callable[[MatLike], MatLike]] = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: lambda image: cv2.transpose(image),
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def _upright(image: npt.NDArray[np.uint8], turn: int) -> npt.NDArray[np.uint8]:
    return np.asarray(_TURNS[turn](image), np.uint8)


def _check(content: bytes, path: Path) -> _Header:
    """Read the header, and refuse what would fill the memory when decoded or is not all there."""
    if not content:
        raise unreadable(path, "the file is empty")
    if _is_truncated_jpeg(content):
        raise unreadable(path, "the JPEG data ends too early: copy it from the camera again")
    header = _read_header(content, path)
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise unreadable(path, f"its header claims {width}x{height} px; at most {MAX_PIXELS // 10**6} megapixels")
    return header


def _read_header(content: bytes, path: Path) -> _Header:
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF blocks and of large headers; the latter are checked by the caller.
            warnings.simplefilter("ignore")
            with PillowImage.open(io.BytesIO(content)) as photo:
                # cv2 turns a TIFF upright by itself, whatever it is told, and Pillow gives the size of the turned one.
                turn = 1 if photo.format == "TIFF" else _orientation(photo)
                return _Header(photo.size, turn, is_jpeg=photo.format in ("JPEG", "MPO"))
    except PillowImage.DecompressionBombError:
        raise unreadable(path, f"its header claims more than {MAX_PIXELS // 10**6} megapixels") from None
    except (OSError, ValueError, SyntaxError):
        raise unreadable(path, "it is no complete JPEG, PNG or TIFF file") from None


def _orientation(photo: PillowImage.Image) -> int:
    try:
        orientation = photo.getexif().get(_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError):
        # A damaged block says nothing.
        return 1
    return orientation if orientation in _TURNS else 1


def _decode(content: bytes, flags: int, header: _Header, path: Path, factor: int = 1) -> npt.NDArray[np.uint8]:
    """Decode by cv2 as stored; other sizes than the header's are refused, since transforms would be wrong."""
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise unreadable(path, f"decoding failed: {error.err or error.code}") from None
    if image is None:
        raise unreadable(path, "it is no complete JPEG, PNG or TIFF file")
    if image.shape[1::-1] != tuple(-(-side // factor) for side in header.size):
        raise unreadable(path, "it has another size than its header says: export it anew")
    return np.asarray(image, np.uint8)


def _is_truncated_jpeg(content: bytes) -> bool:
    """Whether a JPEG lacks its end marker; decoders fill what is missing with grey and hardly complain.

    Inside the coded data 0xFF is always followed by 0x00 or a restart marker (ITU T.81, B.1.1.5), so the first
    FF D9 behind the start of the scan is the end. Headers before it, thumbnails too, are skipped by their lengths.
    """
    if not content.startswith(b"\xff\xd8"):
        return False
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            break
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    # Behind the headers, or where stray bytes hide how they go on.
    return content.find(b"\xff\xd9", position) < 0


def unreadable(path: Path, why: str) -> Rejection:
    """Return the rejection of a photo that cannot be decoded; `why` is a clause without a full stop."""
    return Rejection("unreadable_photo", f"{path}: {why}.")
