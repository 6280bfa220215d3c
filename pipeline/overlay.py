"""Pictures that show how well two photos lie on each other."""

from __future__ import annotations

import cv2
import numpy as np

from dataset.photos import Image

SQUARES_ACROSS = 8


def checkerboard(phone: Image, dslr: Image) -> Image:
    """Return squares of the phone image and of the DSLR image in turn: edges that break at a border are misaligned."""
    height, width = phone.shape[:2]
    side = max(1, round(width / SQUARES_ACROSS))
    rows, columns = np.arange(height) // side, np.arange(width) // side
    from_dslr = (rows[:, None] + columns[None, :]) % 2 == 1
    board: Image = np.where(from_dslr[..., None], dslr, phone)
    return board


def shrunk(image: Image, width: int) -> Image:
    """Return the image at most `width` px wide."""
    if image.shape[1] <= width:
        return image
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
