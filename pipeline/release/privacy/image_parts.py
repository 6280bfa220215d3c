"""JPEG and PNG files in their parts, without a look at their pixels: for what takes parts out, and what looks at all.

JPEG: ITU-T T.81, annex B, as libjpeg reads it, which skips stray bytes between segments. PNG: W3C, third edition, 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from dataset.photos import png_chunk

JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
"""How such files begin."""

SOI, EOI, SOS, DRI, COM = 0xD8, 0xD9, 0xDA, 0xDD, 0xFE
APP = range(0xE0, 0xF0)
CODING = frozenset({*range(0xC0, 0xC8), *range(0xC9, 0xE0)} - {SOI, EOI, *range(0xD0, 0xD8)})
"""Markers of what the pixels are decoded by: frames, tables, scans. 0xC8 is reserved, 0xD0 and on are restarts."""
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})

_MARKER = re.compile(rb"\xff[^\x00\xff]")
# In coded data 0xFF is followed by 0x00, by fill bytes, or by a restart marker (T.81, B.1.1.5).
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


class Segment(NamedTuple):
    """One segment of a JPEG file."""

    marker: int
    """The second byte of its marker."""
    data: bytes
    """What follows its length; of a scan also the coded data, restart markers among them."""


class Jpeg(NamedTuple):
    """The first image in a JPEG file."""

    segments: Sequence[Segment]
    """All between the markers of start and end."""
    stray: bytes
    """Bytes between segments that belong to none; fill bytes are not among them."""
    rest: bytes
    """What lies behind the end of the image."""
    is_whole: bool
    """Whether there is an end marker where one is due."""


def read_jpeg(content: bytes) -> Jpeg:
    """Take the first image of a JPEG file to its parts; the end marker is looked for behind its scans alone."""
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
    """Return a segment as it is stored; of a scan, `data` begins with its header."""
    # Coded data are not counted: a scan's header counts its own bytes (T.81, B.2.3).
    length = min(4 + 2 * data[0], len(data)) if marker == SOS and data else len(data)
    return bytes((0xFF, marker)) + (length + 2).to_bytes(2, "big") + data


class Chunk(NamedTuple):
    """One chunk of a PNG file."""

    name: bytes
    data: bytes


class Png(NamedTuple):
    """A PNG file."""

    chunks: Sequence[Chunk]
    """All chunks, IEND, which has no data, left out."""
    rest: bytes
    """What lies behind the end of the image."""
    is_whole: bool
    """Whether the image has its end."""


def read_png(content: bytes) -> Png:
    """Take a PNG file to its parts; checksums are not looked at."""
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


def png_bytes(chunks: Sequence[Chunk]) -> bytes:
    """Return a PNG file of chunks, with its end."""
    return PNG + b"".join(png_chunk(*chunk) for chunk in (*chunks, Chunk(b"IEND", b"")))
