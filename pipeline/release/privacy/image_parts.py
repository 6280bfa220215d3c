"""Splits JPEG and PNG files into their parts without decoding pixels, so that parts can be removed or checked.

JPEG: ITU-T T.81, annex B, as libjpeg reads it, which skips stray bytes between segments. PNG: W3C, third edition, 5.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from dpedtool.dataset.photos.encoding import png_chunk
from dpedtool.dataset.photos.formats import jpeg, png

JPEG, PNG = jpeg.MAGIC, png.MAGIC
"""First bytes of such files."""

SOI, EOI, SOS, DRI, COM = 0xD8, 0xD9, 0xDA, 0xDD, 0xFE
APP = range(0xE0, 0xF0)
CODING = frozenset({*range(0xC0, 0xC8), *range(0xC9, 0xD0), SOS, DRI, 0xDB})
"""Markers of the segments that decoding needs: frames, tables, scans. 0xC8 is reserved; restarts begin at 0xD0.

0xDC (DNL) is not among them, as decoders skip it, nor are 0xDE and 0xDF (hierarchical images), which they refuse.
"""
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})

_MARKER = re.compile(rb"\xff[^\x00\xff]")
# In coded data 0xFF is followed by 0x00, by fill bytes, or by a restart marker (T.81, B.1.1.5).
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


class Segment(NamedTuple):
    """One segment of a JPEG file."""

    marker: int
    """The second byte of its marker."""
    data: bytes
    """The bytes after its length. For a scan they include the coded data and its restart markers."""


class Jpeg(NamedTuple):
    """The first image in a JPEG file."""

    segments: Sequence[Segment]
    """All segments between the start and end markers."""
    stray: bytes
    """Bytes between segments that belong to no segment, except fill bytes."""
    rest: bytes
    """Bytes after the end of the image."""
    is_whole: bool
    """Whether the image has its end marker."""


def read_jpeg(content: bytes) -> Jpeg:
    """Split the first image of a JPEG file into its parts. Coded data are searched only for the end of their scan."""
    segments: list[Segment] = []
    stray, place = b"", len(JPEG)
    while found := _MARKER.search(content, place):
        start, marker = found.end(), content[found.end() - 1]
        stray += content[place : found.start()].rstrip(b"\xff")
        if marker in (SOI, EOI):
            rest = start if marker == EOI else found.start()
            return Jpeg(segments, stray, content[rest:], marker == EOI)
        if marker in _WITHOUT_LENGTH:
            place = start
            continue
        end = start + int.from_bytes(content[start : start + 2], "big")
        if not start + 2 <= end <= len(content):
            place = start
            break
        if marker == SOS:
            behind = _END_OF_SCAN.search(content, end)
            end = behind.start() if behind else len(content)
        segments.append(Segment(marker, content[start + 2 : end]))
        place = end
    return Jpeg(segments, stray, content[place:], is_whole=False)


def segment_bytes(marker: int, data: bytes) -> bytes:
    """Return a segment as it is stored. For a scan, `data` begins with its header."""
    # The length of a scan covers only its header, not the coded data (T.81, B.2.3).
    length = min(4 + 2 * data[0], len(data)) if marker == SOS and data else len(data)
    return bytes((0xFF, marker)) + (length + 2).to_bytes(2, "big") + data


class Chunk(NamedTuple):
    """One chunk of a PNG file."""

    name: bytes
    data: bytes


class Png(NamedTuple):
    """A PNG file."""

    chunks: Sequence[Chunk]
    """All chunks except IEND, which has no data."""
    rest: bytes
    """Bytes after the end of the image."""
    is_whole: bool
    """Whether the image has its end chunk."""


def read_png(content: bytes) -> Png:
    """Split a PNG file into its parts. Checksums are not checked."""
    chunks: list[Chunk] = []
    place = len(PNG)
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        name = content[place + 4 : place + 8]
        if end > len(content):
            break
        data = content[place + 8 : end - 4]
        place = end
        if name == b"IEND":
            return Png(chunks, data + content[place:], is_whole=True)
        chunks.append(Chunk(name, data))
    return Png(chunks, content[place:], is_whole=False)


PALETTE = 3
_CHANNELS = {0: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}
"""Values per pixel by colour type (PNG, 11.2.1)."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row and steps of the small images that form an interlaced one (PNG, 8.2)."""
_HEADER = struct.Struct(">LL5B")
_BLOCK, _MOST_AT_ONCE = 1 << 16, 1 << 20


class Header(NamedTuple):
    """The chunk IHDR."""

    width: int
    height: int
    depth: int
    """Bits per value."""
    colours: int
    """The colour type."""
    compression: int
    filters: int
    interlaced: int

    def stored_bytes(self) -> int:
        """Return the bytes of all rows of pixels, including the filter number before each row (PNG, 9.2)."""
        bits = self.depth * _CHANNELS.get(self.colours, 4)
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        sizes = [
            (-(-(self.width - left) // across), -(-(self.height - top) // down)) for left, top, across, down in passes
        ]
        return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def png_header(chunks: Sequence[Chunk]) -> Header | None:
    """Return the header of a PNG file; None if it is damaged."""
    if not chunks or chunks[0].name != b"IHDR" or len(chunks[0].data) != _HEADER.size:
        return None
    return Header(*_HEADER.unpack(chunks[0].data))


class PixelData(NamedTuple):
    """What was found in the IDAT chunks."""

    is_whole: bool
    """Whether the compressed data are complete, and hold all pixels."""
    behind: bytes
    """Bytes after the compressed data."""
    has_more: bool
    """Whether the compressed data hold more than the pixels. How much more is not checked."""


def pixel_data(chunks: Sequence[Chunk], header: Header) -> PixelData:
    """Return what follows the pixels of a PNG file. Pixels are decompressed one megabyte at a time, and not kept."""
    stream, due = zlib.decompressobj(), header.stored_bytes()
    data = (chunk.data for chunk in chunks if chunk.name == b"IDAT")
    behind: list[bytes] = []
    try:
        for block in (part[start : start + _BLOCK] for part in data for start in range(0, len(part), _BLOCK)):
            waiting = b"" if stream.eof else block
            behind += [block] * stream.eof
            while waiting and due >= 0:
                due -= len(stream.decompress(waiting, _MOST_AT_ONCE))
                waiting = stream.unconsumed_tail
    except zlib.error:
        return PixelData(is_whole=False, behind=b"", has_more=False)
    return PixelData(due < 0 or (stream.eof and due == 0), stream.unused_data + b"".join(behind), due < 0)


def packed(chunks: Sequence[Chunk], header: Header) -> Chunk:
    """Return one chunk with only the pixels, compressed again."""
    data = b"".join(chunk.data for chunk in chunks if chunk.name == b"IDAT")
    return Chunk(b"IDAT", zlib.compress(zlib.decompressobj().decompress(data, header.stored_bytes())))


def png_bytes(chunks: Sequence[Chunk]) -> bytes:
    """Return a PNG file made of the chunks and the end chunk."""
    return PNG + b"".join(png_chunk(*chunk) for chunk in (*chunks, Chunk(b"IEND", b"")))
