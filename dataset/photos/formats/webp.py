"""WebP."""

from __future__ import annotations

from PIL.WebPImagePlugin import WebPImageFile

from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.conversion_losses import OPAQUE, conversion
from dpedtool.dataset.photos.formats.input_format import EncodedAgain, InputFormat
from dpedtool.dataset.photos.stored import Stored

_READER = ByPillow(WebPImageFile)


def _is_webp(content: bytes) -> bool:
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP"


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
    taken=_READER.taken,
    released=EncodedAgain("it is a WebP file", _losses),
)
