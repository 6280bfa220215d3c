"""Thumbnails: large enough to see whether two photos show the same scene, small enough to keep in a table."""

from __future__ import annotations

import cv2

from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.photos.stored_shape import stored_shape

LONGER_SIDE_PX = 256
QUALITY = 85


def is_small(content: bytes) -> bool:
    """Whether a file has the size of a thumbnail in px by its header, which may claim more than the memory holds."""
    height, width, *_ = stored_shape(content) or (0, 0)
    return min(height, width) > 0 and max(height, width) <= LONGER_SIDE_PX


def thumbnail(image: Image) -> bytes:
    """Return a photo (H, W, 3) in grey, its longer side reduced to 256 px, as the bytes of a JPEG file."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGER_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    # Halving is fast, and means of means are means: only the last step has another factor.
    while min(grey.shape) >= 8 * min(size):
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return encode_image(small, ".jpg", QUALITY)  # type: ignore[arg-type]
