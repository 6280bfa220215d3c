"""WebP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from PIL.WebPImagePlugin import WebPImageFile

from dpedtool.dataset.photos.exif import Taken, taken_by_block
from dpedtool.dataset.photos.file_bytes import Bytes, FileBytes
from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.conversion_losses import OPAQUE, conversion
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, InputFormat
from dpedtool.dataset.photos.stored import Stored
from dpedtool.dataset.places import Place

_READER = ByPillow(WebPImageFile)
_MOST_METADATA = 2**24


def _is_webp(content: bytes) -> bool:
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP"


def _taken(_: bytes, file: IO[bytes], __: Place) -> Taken:
    content = FileBytes(file)
    found = {name: content[start:end] for name, start, end in _chunks(content) if name in (b"EXIF", b"XMP ")}
    return taken_by_block(found.get(b"EXIF", b""), found.get(b"XMP ", b""))


def _chunks(content: Bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and where its data begin and end (RFC 9649, 2.3)."""
    place = 12
    while len(head := content[place : place + 8]) == 8:
        length = int.from_bytes(head[4:], "little")
        yield head[:4], place + 8, place + 8 + min(length, _MOST_METADATA)
        place += 8 + length + length % 2


def _losses(photo: Stored) -> list[str]:
    content = photo.content
    # An extended WebP file has a flag for alpha (RFC 9649, 2.7); a lossless one has a bit for it after the sizes.
    has_alpha = (content[12:16] == b"VP8X" and content[20] & 0x10) or (content[12:16] == b"VP8L" and content[24] & 0x10)
    return conversion(photo) + [OPAQUE] * bool(has_alpha)


FORMAT = InputFormat(
    name="WebP",
    suffixes=frozenset({".webp"}),
    is_known=_is_webp,
    open=_READER.open,
    exif=_READER.exif,
    taken=_taken,
    released=EncodedAgain("it is a WebP file", _losses),
)
