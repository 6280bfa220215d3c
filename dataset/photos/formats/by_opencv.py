"""Decode pixels with OpenCV, which recognises a format by its bytes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Pixels
from dpedtool.dataset.photos.stored import NO_PHOTO, Stored, unreadable
from dpedtool.dataset.places import Place


def imdecode(content: bytes, path: Place, flags: int) -> npt.NDArray[np.uint8]:
    """Decode the stored rows as OpenCV's flags say, but never turned.

    Raises
    ------
    Rejection
        `unreadable_photo`: truncated, damaged, or not an image.

    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise unreadable(path, f"decoding failed: {error.err or error.code}") from None
    if image is None:
        raise unreadable(path, NO_PHOTO)
    return image  # type: ignore[return-value]


def imdecode_colour(content: bytes, path: Place) -> Pixels:
    """Decode the stored rows to BGR of 8 or 16 bit, never turned; raises what `imdecode` raises."""
    return imdecode(content, path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)


@dataclass(frozen=True, kw_only=True)
class ByOpencv(Stored):
    """A photo that OpenCV decodes correctly; transparency is dropped."""

    def colour(self) -> Pixels:
        """Decode the stored rows."""
        return imdecode_colour(self.content, self.path)
