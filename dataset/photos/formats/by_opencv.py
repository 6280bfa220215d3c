"""Decode pixels with OpenCV, which recognises a format by its bytes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.stored import NO_PHOTO, Image, Stored, unreadable
from dpedtool.dataset.places import Place

_EIGHT_BIT = np.rint(np.arange(65536) / 257).astype(np.uint8)
"""From 16 bit to 8, rounded to the nearest level with white on white, which a shift by 8 bit does not give."""


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


@dataclass(frozen=True, kw_only=True)
class ByOpencv(Stored):
    """A photo that OpenCV decodes correctly; transparency is dropped, and 16 bit are reduced to 8."""

    def colour(self) -> Image:
        """Decode the stored rows."""
        image = imdecode(self.content, self.path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        return image if image.dtype == np.uint8 else _EIGHT_BIT[image]
