"""A photo as its file stores it, in any format, and the turn that makes photos of all formats upright.

A format decodes to the rows that are stored. Only this module turns them by the orientation, so that the colour photo,
its grey and its reduced grey always agree.
"""

from __future__ import annotations

import abc
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike
from PIL import Image as PillowImage

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.colours import NOTHING_STATED, Stated
from dpedtool.dataset.photos.pixels import Factor, GreyPhoto, Pixels, eight_bit
from dpedtool.dataset.photos.profiles import ToSrgb, to_srgb
from dpedtool.dataset.places import Place

PixelsT = TypeVar("PixelsT", npt.NDArray[np.uint8], npt.NDArray[np.uint16], Pixels)

MAX_PIXELS = 250_000_000
"""Larger photos are refused: no camera makes them, and a damaged header may claim any size."""

DAMAGED = (
    *(OSError, ValueError, SyntaxError, EOFError, RuntimeError, TypeError, LookupError, ArithmeticError),
    *(AssertionError, struct.error, zlib.error, PillowImage.DecompressionBombError),
)
"""What Pillow and pillow_heif raise for damaged files: they trust the header, so that a missing value or one of the
wrong kind causes an error of Python. MemoryError is not included, as it is not the fault of a file."""

NO_PHOTO = "it is not a complete JPEG, PNG, TIFF or HEIC file"
"""Why nothing can be decoded, as a clause."""


@dataclass(frozen=True, eq=False)
class ReducedGrey:
    """A grey photo, upright, reduced by a whole factor."""

    image: GreyPhoto
    """(height, width); each side is that of the full photo over the factor, rounded up."""
    full_from_reduced: npt.NDArray[np.float64]
    """(3, 3) homography from px of `image` to px of the full photo, exact even if the factor does not divide a side."""
    size: tuple[int, int]
    """(width, height) of the full photo, upright, in px."""
    usable: tuple[int, int, int, int] | None = None
    """x, y, width and height of the part of the full photo that may be used, in px; None: all of it. The rest is
    damaged, and has one grey value in `image`."""
    shown: tuple[int, int] = (0, 255)
    """Lowest and highest grey level that the other photo of a pair shows, too."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with the coded pixels of a file that can be decoded all the same."""

    note: str = ""
    """As a clause; empty if nothing is."""
    first_row: int | None = None
    """The first stored row that must not be used; None if all may be, or if the place is not known."""
    is_fatal: bool = False
    """Whether nothing of the photo may be used."""


WHOLE = Damage()
"""Of a photo without damage."""


@dataclass(frozen=True, kw_only=True)
class Stored(abc.ABC):
    """A photo whose header is read; each format has a class of its own, which decodes when asked."""

    content: bytes
    path: Place
    """Names the photo in messages."""
    size: tuple[int, int]
    """(width, height) as stored, in px."""
    turn: int = 1
    """EXIF orientation, 1..8, that takes the stored rows to the photo as seen."""
    profile: bytes = b""
    """The embedded ICC profile; empty if there is none."""
    stated: Stated = NOTHING_STATED
    """What the file says about its colours without a profile."""
    note: str = ""
    """What was ignored or assumed, other than about colours, as a clause; empty if nothing was."""

    @property
    def conversion(self) -> ToSrgb:
        """What takes the colours to sRGB."""
        return to_srgb(self.profile, self.stated)

    @abc.abstractmethod
    def colour(self) -> Pixels:
        """Decode the stored rows to BGR, (H, W, 3), uint8 or uint16, in the photo's own colour space."""

    def damage(self) -> Damage:
        """Return what is wrong with the coded pixels; this may decode them."""
        return WHOLE

    def grey(self, factor: Factor) -> GreyPhoto:
        """Decode the stored rows to grey; pixel 0 of a reduced row covers the full pixels 0..factor-1."""
        return means(np.asarray(cv2.cvtColor(eight_bit(self.colour()), cv2.COLOR_BGR2GRAY), np.uint8), factor)

    def checked(self, image: PixelsT, factor: int = 1) -> PixelsT:
        """Return what was decoded if it has the size that the header gave; transforms would be wrong otherwise."""
        if image.shape[1::-1] != tuple(-(-side // factor) for side in self.size):
            raise unreadable(self.path, "it has another size than its header says: export it again")
        return image

    def check_size(self) -> None:
        """Refuse a photo that would fill the memory when decoded."""
        width, height = self.size
        if width * height > MAX_PIXELS:
            raise unreadable(
                self.path, f"its header claims {width}x{height} px; at most {MAX_PIXELS // 10**6} megapixels are read"
            )


def upright_colour(photo: Stored) -> Pixels:
    """Return the photo as seen, (H, W, 3) BGR, uint8 or uint16, in its own colour space."""
    return _upright(photo.checked(photo.colour()), photo.turn)


def upright_size(photo: Stored) -> tuple[int, int]:
    """Return (width, height) of the photo as seen, in px."""
    return photo.size[::-1] if photo.turn >= 5 else photo.size


def upright_grey(photo: Stored, factor: Factor) -> ReducedGrey:
    """Return the photo as seen in grey, with the exact transform to full px.

    Colours are converted to sRGB first only if greys would be clearly lighter or darker otherwise, as with linear
    values: for anything else it takes time and changes little.
    """
    if (conversion := photo.conversion).changes_greys:
        colour = conversion.apply(photo.checked(photo.colour()))
        grey = means(np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8), factor)
    else:
        grey = photo.grey(factor)
    image = _upright(photo.checked(grey, factor), photo.turn)
    size = upright_size(photo)
    full_from_reduced = _full_from_reduced(size, photo.turn, factor)
    usable = usable_part(photo)
    return ReducedGrey(_blanked(image, usable, full_from_reduced), full_from_reduced, size, usable)


def _blanked(
    image: GreyPhoto, usable: tuple[int, int, int, int] | None, full_from_reduced: npt.NDArray[np.float64]
) -> GreyPhoto:
    """Return a reduced grey photo with the mean of its usable part in place of the rest."""
    if usable is None:
        return image
    (x, y, width, height), factor = usable, full_from_reduced[0, 0]
    starts, ends = (
        (np.array(corner) - full_from_reduced[:2, 2]) / factor for corner in ((x, y), (x + width, y + height))
    )
    (left, top), (right, low) = np.ceil(np.maximum(starts, 0)).astype(int), np.floor(np.maximum(ends, 0)).astype(int)
    inside = image[top:low, left:right]
    blanked = np.full_like(image, round(float(inside.mean())) if inside.size else 128)
    blanked[top:low, left:right] = inside
    return blanked


def usable_part(photo: Stored) -> tuple[int, int, int, int] | None:
    """Return x, y, width and height of the part of the upright photo that damage leaves; None if it is all of it."""
    first, (width, height) = photo.damage().first_row, photo.size
    if first is None:
        return None
    spoilt = height - first
    # Where the turn takes the first stored row: to the top, to the bottom, to the left, or to the right.
    if photo.turn in (1, 2):
        return 0, 0, width, first
    if photo.turn in (3, 4):
        return 0, spoilt, width, first
    return (0, 0, first, width) if photo.turn in (5, 8) else (spoilt, 0, first, width)


def turn_of(orientation: object) -> int:
    """Return an EXIF orientation as a turn; an invalid one turns nothing."""
    return orientation if isinstance(orientation, int) and orientation in _TURNS else 1


def unreadable(path: Place, why: str) -> Rejection:
    """Return the rejection of a photo that cannot be decoded; `why` is a clause without a full stop."""
    return Rejection("unreadable_photo", f"{path}: {why}.")


# These take the stored rows to the photo as seen (EXIF 2.32, 4.6.4 A, Orientation).
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


def _upright(image: PixelsT, turn: int) -> PixelsT:
    return cast("PixelsT", _TURNS[turn](image))


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


def means(grey: GreyPhoto, factor: int) -> GreyPhoto:
    """Reduce by means over squares; an incomplete square at the rim is filled up by repeating the rim."""
    if factor == 1:
        return grey
    height, width = grey.shape
    filled = cv2.copyMakeBorder(grey, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    small = (filled.shape[1] // factor, filled.shape[0] // factor)
    return np.asarray(cv2.resize(filled, small, interpolation=cv2.INTER_AREA), np.uint8)
