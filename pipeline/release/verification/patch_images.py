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

Means = npt.NDArray[np.int16]
"""(MEANS_SIDE, MEANS_SIDE, 3), BGR: a small copy of an image."""

MEANS_SIDE = 4
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Number of channels by the colour type of a PNG (PNG specification, 11.2.1)."""
_NO_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
"""Markers of a JPEG within the range of frame markers that do not begin a frame (ITU T.81, table B.1)."""


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


def stored_shape(content: bytes) -> tuple[int, int, int, int] | None:
    """Return height and width in px, channels, and bits of each, from the header of a PNG or JPEG; else None."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 26 and content[25] in _CHANNELS:
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        return height, width, _CHANNELS[content[25]], content[24]
    return _jpeg_shape(content) if content.startswith(b"\xff\xd8") else None


def _jpeg_shape(content: bytes) -> tuple[int, int, int, int] | None:
    """Return what the header of the frame says (ITU T.81, B.2.2)."""
    at = 2
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            height, width = (int.from_bytes(content[at + i : at + i + 2], "big") for i in (5, 7))
            return height, width, content[at + 9], content[at + 4]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def means_of(image: Image) -> Means:
    """Return a small copy of an image, enough to see whether two images show the same."""
    small = cv2.resize(image, (MEANS_SIDE, MEANS_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.int16)
