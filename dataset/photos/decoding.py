"""From the bytes of a photo to pixels, whatever its format."""

from __future__ import annotations

import cv2

from dpedtool.dataset.photos.formats import jpeg
from dpedtool.dataset.photos.formats.by_opencv import imdecode
from dpedtool.dataset.photos.formats.table import format_of
from dpedtool.dataset.photos.stored import Image, Stored, unreadable
from dpedtool.dataset.places import Place


def open_stored(content: bytes, path: Place) -> Stored:
    """Read a photo's header, and refuse what would fill the memory when decoded or is not all there.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, too large, of colours that are not read, or no photo at all.

    """
    _check_whole(content, path)
    photo = format_of(content, path).open(content, path)
    photo.check_size()
    return photo


def decode_plain(content: bytes, path: Place) -> Image:
    """Decode a PNG or JPEG of 8 bit as stored, (H, W, 3) BGR uint8, without a look at its header.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, or no image.

    """
    _check_whole(content, path)
    return imdecode(content, path, cv2.IMREAD_COLOR)


def _check_whole(content: bytes, path: Place) -> None:
    if not content:
        raise unreadable(path, "the file is empty")
    # Whatever its name: the sentence tells more than that of LibRaw, say, of a JPEG that is called a raw file.
    if jpeg.is_truncated(content):
        raise unreadable(path, "the JPEG data ends too early: copy it from the camera again")
