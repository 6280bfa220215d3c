"""Pixels of photos: the kinds of arrays, and 16 bit brought to 8."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(height, width, 3), BGR, 0..255."""
GreyPhoto = npt.NDArray[np.uint8]
"""(height, width), 0..255."""
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(height, width, 3), BGR; all values of the type are used, so that the largest is white."""
Factor = Literal[1, 2, 4, 8]
"""By what each side of a photo may be reduced."""

_EIGHT_BIT = np.rint(np.arange(65536) / 257).astype(np.uint8)
"""From 16 bit to 8, rounded to the nearest level with white on white, which a shift by 8 bit does not give."""


def eight_bit(pixels: Pixels) -> Image:
    """Return pixels of 8 or 16 bit in 8."""
    return np.asarray(pixels, np.uint8) if pixels.dtype == np.uint8 else _EIGHT_BIT[pixels]
