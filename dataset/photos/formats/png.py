"""PNG, of 8 and 16 bit."""

from __future__ import annotations

from PIL.PngImagePlugin import PngImageFile

from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.input_format import InputFormat, TakenOver

MAGIC = b"\x89PNG\r\n\x1a\n"
"""The signature (PNG specification, 5.2)."""
_RAW_PROFILE = "Raw profile type exif"
_READER = ByPillow(PngImageFile)


def _is_png(content: bytes) -> bool:
    return content.startswith(MAGIC)


def _exif(content: bytes) -> bytes:
    info = _READER.info(content)
    return b"" if info is None else _chunk(content, b"eXIf") or _from_text(info.get(_RAW_PROFILE))


def _chunk(content: bytes, name: bytes) -> bytes:
    """Return the data of a PNG file's first chunk of a name; Pillow decodes the picture to see chunks after it."""
    place = len(MAGIC)
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == name:
            return content[place + 8 : place + 8 + length]
        place += length + 12
    return b""


def _from_text(profile: object) -> bytes:
    """Return a block that ImageMagick has written into a PNG file, as lines of name, length and hexadecimal digits."""
    if not isinstance(profile, str):
        return b""
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:]))
    except ValueError:
        return b"damaged"


FORMAT = InputFormat(
    name="PNG",
    suffixes=frozenset({".png"}),
    is_known=_is_png,
    open=_READER.open,
    exif=_exif,
    taken=_READER.taken,
    released=TakenOver(".png"),
)
