"""JPEG, and MPO, which is a JPEG followed by further ones."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
from PIL.JpegImagePlugin import JpegImageFile

from dpedtool.dataset.photos.formats.by_opencv import ByOpencv, imdecode
from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.input_format import InputFormat, TakenOver
from dpedtool.dataset.photos.stored import Factor, GreyPhoto

MAGIC = b"\xff\xd8"
"""The marker SOI."""
_REDUCED_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


@dataclass(frozen=True, kw_only=True)
class _Jpeg(ByOpencv):
    """JPEG; libjpeg reduces while decoding, in a fraction of the time, exactly by the factor, with sides rounded up."""

    def grey(self, factor: Factor) -> GreyPhoto:
        return imdecode(self.content, self.path, _REDUCED_GREY[factor])


def is_jpeg(content: bytes) -> bool:
    """Whether a file begins like a JPEG."""
    return content.startswith(MAGIC)


def is_truncated(content: bytes) -> bool:
    """Whether a JPEG lacks its end marker; decoders fill what is missing with grey and hardly complain.

    Inside the coded data 0xFF is always followed by 0x00 or a restart marker (ITU T.81, B.1.1.5), so the first
    FF D9 after the start of the scan is the end. Headers before it, including thumbnails, are skipped by their lengths.
    """
    if not is_jpeg(content):
        return False
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            break
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    # The search begins after the headers, or where stray bytes hide how they go on.
    return content.find(b"\xff\xd9", position) < 0


_READER = ByPillow(JpegImageFile, _Jpeg)
FORMAT = InputFormat(
    name="JPEG",
    suffixes=frozenset({".jpg", ".jpeg"}),
    is_known=is_jpeg,
    open=_READER.open,
    exif=_READER.exif,
    taken=_READER.taken,
    released=TakenOver(".jpg"),
)
