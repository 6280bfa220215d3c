"""JPEG, and MPO, which is a JPEG followed by further ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

import cv2
from PIL.JpegImagePlugin import JpegImageFile

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoder_messages import collected
from dpedtool.dataset.photos.exif import Taken, taken_by_block
from dpedtool.dataset.photos.file_bytes import Bytes, FileBytes
from dpedtool.dataset.photos.formats.by_opencv import ByOpencv, imdecode, imdecode_colour
from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.input_format import InputFormat, TakenOver
from dpedtool.dataset.photos.formats.jpeg_damage import BASELINE, FRAMES, TOO_EARLY, damage_of, segments
from dpedtool.dataset.photos.pixels import Factor, GreyPhoto, Pixels
from dpedtool.dataset.photos.stored import Damage, PixelsT, Stored, unreadable
from dpedtool.dataset.places import Place

MAGIC = b"\xff\xd8"
"""The marker SOI."""
_APP1, _EXIF_HEAD, _XMP_HEAD = 0xE1, 6, b"http://ns.adobe.com/xap/1.0/\0"
_WITHOUT_LENGTH = frozenset({0x00, 0x01, 0xD8, 0xFF, *range(0xD0, 0xD8)})
_MOST_SEGMENTS, _STRAY = 1000, 4096
"""Segments that are looked at, and stray bytes between two of them that are passed over."""
_REDUCED_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


@dataclass(frozen=True, kw_only=True)
class _Jpeg(ByOpencv):
    """JPEG; libjpeg reduces while decoding, in a fraction of the time, exactly by the factor, with sides rounded up."""

    found: list[Damage] = field(default_factory=list, compare=False, repr=False)
    """The damage, once the photo has been decoded."""

    def colour(self) -> Pixels:
        return self._undamaged(lambda: imdecode_colour(ended(self.content), self.path))

    def grey(self, factor: Factor) -> GreyPhoto:
        return self._undamaged(lambda: imdecode(ended(self.content), self.path, _REDUCED_GREY[factor]))

    def damage(self) -> Damage:
        if not self.found:
            self.grey(8)
        return self.found[0]

    def _undamaged(self, decode: Callable[[], PixelsT]) -> PixelsT:
        """Decode the photo, and refuse it if no part of it can be used."""
        try:
            with collected() as messages:
                pixels = decode()
        except Rejection:
            if lacks_end(self.content):
                raise unreadable(self.path, TOO_EARLY) from None
            raise
        if not self.found:
            self.found.append(damage_of(self.content, messages))
        if self.found[0].is_fatal:
            raise unreadable(self.path, self.found[0].note)
        return pixels


def is_jpeg(content: bytes) -> bool:
    """Whether a file begins like a JPEG."""
    return content.startswith(MAGIC)


def lacks_end(content: bytes) -> bool:
    """Whether a file is a JPEG without an end marker; what is missing may be its last rows, or nothing."""
    return is_jpeg(content) and ended(content) is not content


def ended(content: bytes) -> bytes:
    """Return a JPEG file with an end marker: phones leave it out before data of their own, such as a panorama's.

    Inside the coded data 0xFF is always followed by 0x00 or a restart marker (ITU T.81, B.1.1.5), so the first
    FF D9 after the start of the scan is the end. Whether all rows are there, only decoding shows.
    """
    return content if content.find(b"\xff\xd9", _scan(content)) >= 0 else content + b"\xff\xd9"


def _scan(content: bytes) -> int:
    """Return where the search for the end begins: behind the headers, or where stray bytes hide how they go on."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            break
        # Headers, including thumbnails, are skipped by their lengths.
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return position


def _open(content: bytes, path: Place) -> Stored:
    # The headers end too early, or a later scan of a progressive photo may be missing, which decoding does not show.
    if _scan(content) + 1 >= len(content) or (lacks_end(content) and _frame(content)[0] not in BASELINE):
        raise unreadable(path, TOO_EARLY)
    if (bits := _frame(content)[1]) not in (None, 8):
        raise unreadable(
            path, f"it is a JPEG of {bits} bit, and only 8 bit are read: export it as TIFF or PNG of 16 bit"
        )
    try:
        return _READER.open(content, path)
    except Rejection:
        if lacks_end(content):
            raise unreadable(path, TOO_EARLY) from None
        raise


def _frame(content: bytes) -> tuple[int | None, int | None]:
    """Return the marker of the frame, and the bits of a sample (ITU T.81, B.2.2); None if it is not found."""
    for marker, start, _ in segments(content):
        if marker in FRAMES and start < len(content):
            return marker, content[start]
    return None, None


def taken_in(content: Bytes) -> Taken:
    """Return when and how a photo was taken, by the headers before its coded data."""
    blocks, xmp = list[bytes](), b""
    for data in _applications(content):
        if data.startswith(b"Exif\0"):
            blocks.append(data[_EXIF_HEAD:])
        elif data.startswith(_XMP_HEAD):
            xmp = xmp or data[len(_XMP_HEAD) :]
    found = [taken_by_block(block) for block in blocks]
    return next((one for one in found if one.time), taken_by_block(blocks[0] if blocks else b"", xmp))


def _applications(content: Bytes) -> Iterator[bytes]:
    """Yield the data of each segment APP1; bytes that are no marker are passed over."""
    place = 2
    for _ in range(_MOST_SEGMENTS):
        head = content[place : place + _STRAY]
        skipped = head.find(b"\xff")
        if skipped < 0 or len(head) < skipped + 4:
            return
        place, marker = place + skipped, head[skipped + 1]
        if marker in (0xDA, 0xD9):
            return
        if marker in _WITHOUT_LENGTH:
            place += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(head[skipped + 2 : skipped + 4], "big")
        if marker == _APP1:
            yield content[place + 4 : place + 2 + length]
        place += 2 + max(length, 2)


def _taken(_: bytes, file: IO[bytes], __: Place) -> Taken:
    return taken_in(FileBytes(file))


_READER = ByPillow(JpegImageFile, _Jpeg)
FORMAT = InputFormat(
    name="JPEG",
    suffixes=frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"}),
    is_known=is_jpeg,
    open=_open,
    exif=_READER.exif,
    taken=_taken,
    released=TakenOver(".jpg"),
)
