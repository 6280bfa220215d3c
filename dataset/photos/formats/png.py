"""PNG, of 8 and 16 bit."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

from PIL.PngImagePlugin import PngImageFile

from dpedtool.dataset.photos.colours import HDR as HAS_HDR
from dpedtool.dataset.photos.colours import NOTHING_STATED, Primaries, Stated, by_gamma, by_h273
from dpedtool.dataset.photos.exif import Taken, taken_by_block
from dpedtool.dataset.photos.file_bytes import Bytes, FileBytes
from dpedtool.dataset.photos.formats.by_opencv import ByOpencv, imdecode_colour
from dpedtool.dataset.photos.formats.by_pillow import ByPillow
from dpedtool.dataset.photos.formats.input_format import InputFormat, TakenOver
from dpedtool.dataset.photos.pixels import Pixels
from dpedtool.dataset.photos.stored import Stored, unreadable
from dpedtool.dataset.places import Place

MAGIC = b"\x89PNG\r\n\x1a\n"
"""The signature (PNG specification, 5.2)."""
_RAW_PROFILE = "Raw profile type exif"
_XMP_TEXT = b"XML:com.adobe.xmp"
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_MOST_PROFILE = 2**24
"""Most bytes of an unpacked profile; printers' profiles have some millions."""


@dataclass(frozen=True, kw_only=True)
class _Png(ByOpencv):
    """PNG; an animated one is its default image, which every reader without animations shows."""

    def colour(self) -> Pixels:
        return imdecode_colour(_without(self.content, _ANIMATION), self.path)


_READER = ByPillow(PngImageFile, _Png)


def _is_png(content: bytes) -> bool:
    return content.startswith(MAGIC)


def _open(content: bytes, path: Place) -> Stored:
    # Texts say nothing about pixels, and Pillow refuses photos with long ones; a long profile likewise.
    chunks = dict(_first_chunks(content))
    photo = _READER.open(_without(content, _TEXTS | {b"iCCP"}), path)
    profile, stated = _unpacked(chunks.get(b"iCCP", b"")), _stated(chunks)
    if stated.is_hdr:
        raise unreadable(path, HAS_HDR)
    # What the file itself states comes before its EXIF block; cICP comes before a profile (third edition, 4.3).
    has_own = chunks.keys() & {b"cICP", b"sRGB", b"gAMA", b"cHRM"}
    return replace(
        photo,
        content=content,
        profile=b"" if b"cICP" in chunks else profile,
        stated=stated if has_own else photo.stated,
    )


def _stated(chunks: dict[bytes, bytes]) -> Stated:
    """Return what chunks other than a profile say about the colours (PNG specification, third edition, 4.3)."""
    cicp, gamma, points = (chunks.get(name, b"") for name in (b"cICP", b"gAMA", b"cHRM"))
    if len(cicp) == 4:
        found = by_h273(cicp[0], cicp[1])
        if not found.is_hdr and (cicp[2] or not cicp[3]):
            return replace(found, note="its chunk cICP asks for another matrix or range, which was ignored")
        return found
    if b"sRGB" in chunks:
        return NOTHING_STATED
    power = 100_000 / value if len(gamma) == 4 and (value := int.from_bytes(gamma, "big")) else None
    return by_gamma(power, _chromaticities(points) if len(points) == 32 else None)


def _chromaticities(data: bytes) -> Primaries:
    white_x, white_y, *others = (value / 100_000 for value in struct.unpack(">8I", data))
    red_x, red_y, green_x, green_y, blue_x, blue_y = others
    return red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y


def _unpacked(data: bytes) -> bytes:
    """Return the profile of a chunk iCCP; for a damaged one, bytes that are no profile."""
    name, _, rest = data.partition(b"\0")
    if not data:
        return b""
    try:
        unpacker = zlib.decompressobj()
        profile = unpacker.decompress(rest[1:], _MOST_PROFILE)
    except zlib.error:
        return b"damaged"
    return profile if name and unpacker.eof and profile else b"damaged"


def _exif(content: bytes) -> bytes:
    chunks = dict(_first_chunks(content, until_pixels=False))
    return chunks.get(b"eXIf") or _from_text(content)


def _first_chunks(content: bytes, *, until_pixels: bool = True) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and data of chunks, of equal names only the first; by default those before the pixels."""
    seen: set[bytes] = set()
    for name, start, end in _chunks(content):
        if until_pixels and name == b"IDAT":
            return
        if name not in seen and name != b"IDAT":
            seen.add(name)
            yield name, content[start:end]


def _chunks(content: Bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and where its data begin and end."""
    place = len(MAGIC)
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        yield content[place + 4 : place + 8], place + 8, min(place + 8 + length, len(content))
        place += length + 12


def _taken(_: bytes, file: IO[bytes], __: Place) -> Taken:
    content = FileBytes(file)
    block, texts = b"", dict[bytes, bytes]()
    for name, start, end in _chunks(content):
        if name == b"eXIf":
            block = block or content[start:end]
        elif name in _TEXTS:
            keyword, text = _text(name, content[start : min(end, start + _MOST_PROFILE)])
            texts.setdefault(keyword, text)
    return taken_by_block(block or _unwrapped(texts.get(_RAW_PROFILE.encode(), b"")), texts.get(_XMP_TEXT, b""))


def _text(name: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Return the keyword and the text of a chunk, unpacked (PNG specification, 11.3.3)."""
    keyword, _, rest = data.partition(b"\0")
    is_packed = name == b"zTXt"
    if name == b"iTXt":
        is_packed, rest = rest[:1] == b"\1", [*rest[2:].split(b"\0", 2), b"", b""][2]
    elif is_packed:
        rest = rest[1:]
    if is_packed and keyword in (_RAW_PROFILE.encode(), _XMP_TEXT):
        try:
            rest = zlib.decompressobj().decompress(rest, _MOST_PROFILE)
        except zlib.error:
            rest = b""
    return keyword, rest


def _unwrapped(profile: bytes) -> bytes:
    """Return the block in lines of name, length and hexadecimal digits, as ImageMagick writes it."""
    try:
        return bytes.fromhex(b"".join(profile.split(b"\n")[3:]).decode("latin-1"))
    except ValueError:
        return b""


def _without(content: bytes, names: frozenset[bytes]) -> bytes:
    """Return the file without chunks of these names; the same bytes if it has none."""
    unwanted = [(start - 8, end + 4) for name, start, end in _chunks(content) if name in names]
    if not unwanted:
        return content
    kept, place = [], 0
    for start, end in unwanted:
        kept.append(content[place:start])
        place = end
    return b"".join([*kept, content[place:]])


def _from_text(content: bytes) -> bytes:
    """Return a block that ImageMagick has written into a PNG file, as lines of name, length and hexadecimal digits."""
    info = _READER.info(content)
    profile = None if info is None else info.get(_RAW_PROFILE)
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
    open=_open,
    exif=_exif,
    taken=_taken,
    released=TakenOver(".png"),
)
