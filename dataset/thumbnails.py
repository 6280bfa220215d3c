"""A photo in small: enough to see whether two photos show the same scene, small enough to keep in a table."""

from __future__ import annotations

import cv2
import numpy as np

from dataset.photos import Image, encode_image

LONGER_SIDE_PX = 256
QUALITY = 85
SAMPLES = 4
"""Px, across and down, that a px of the thumbnail is the mean of, at least, where the photo has so many."""


def thumbnail(image: Image) -> bytes:
    """Return a photo (H, W, 3) in grey, its longer side reduced to 256 px, as the bytes of a JPEG file."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGER_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # A px of the thumbnail stands for hundreds of a large photo: some of them tell as much.
    step = max(1, int(1 / scale) // SAMPLES)
    grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return encode_image(small, ".jpg", QUALITY)  # type: ignore[arg-type]
