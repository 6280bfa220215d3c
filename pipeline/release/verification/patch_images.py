"""Images of patches in a release, decoded at the lowest cost that proves that they are whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoder_messages import collected
from dpedtool.dataset.photos.decoding import decode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.photos.stored_shape import stored_shape

Means = npt.NDArray[np.int16]
"""(MEANS_SIDE, MEANS_SIDE, 3), BGR: a small copy of an image."""

MEANS_SIDE = 4


def read_patch(content: bytes, side: int) -> tuple[Image | None, str]:
    """Decode an image of a patch if its header has the format of one.

    All pixels are decoded, as nothing less reads an image to its end. Images of another size are not decoded, so that
    no header can fill the memory.

    Returns
    -------
    image, fault
        (side, side, 3) BGR uint8 and an empty text, or None and a clause that says what is wrong.

    """
    shape = stored_shape(content)
    if shape is None:
        return None, "is neither a PNG nor a JPEG file"
    if shape != (side, side, 3, 8):
        height, width, channels, bits = shape
        return None, f"is {width} x {height} px of {channels} x {bits} bit, not {side} x {side} px of 3 x 8 bit"
    try:
        with collected() as messages:
            image = decode_image(content, Path("image"))
    except Rejection:
        return None, "cannot be decoded: it is damaged, or ends too early"
    return (None, f"is damaged: {messages[0]}") if messages else (image, "")


def means_of(image: Image) -> Means:
    """Return a small copy of an image, enough to see whether two images show the same."""
    small = cv2.resize(image, (MEANS_SIDE, MEANS_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.int16)
