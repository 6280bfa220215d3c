"""The EXIF block and the XMP packet in files of boxes: HEIC, AVIF and Canon's CR3 (ISO/IEC 14496-12, 23008-12).

Nothing is decoded, and only the boxes that are needed are read.
"""

from __future__ import annotations

from collections.abc import Iterator

from dpedtool.dataset.photos.file_bytes import Bytes

_MOST_BOXES = 10_000
_MOST_META = 2**24
"""Most bytes of the description of a photo; those of large photos, in hundreds of tiles, take some thousands."""
MOST_ITEM = 2**20
"""Most bytes of an EXIF block or a packet."""
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CANON_DIRECTORIES = (b"CMT1", b"CMT2", b"CMT4")


def metadata_items(content: Bytes) -> tuple[bytes, bytes]:
    """Return the EXIF block and the XMP packet of a HEIC or AVIF file; empty if there is none."""
    meta = next(
        (content[start : min(end, start + _MOST_META)] for name, start, end in _boxes(content) if name == b"meta"), b""
    )
    # The box has a version and flags before the boxes in it.
    inside = {name: meta[4:][start:end] for name, start, end in _boxes(meta[4:])}
    places = dict(_places(inside.get(b"iloc", b"")))
    exif = xmp = b""
    for number, kind in _kinds(inside.get(b"iinf", b"")):
        if kind == b"Exif" and not exif:
            # The data begin with the length of what comes before the block (ISO/IEC 23008-12, A.2.1).
            data = _data(content, inside.get(b"idat", b""), places.get(number, (0, [])))
            exif = data[4 + int.from_bytes(data[:4], "big") :]
        elif kind == b"application/rdf+xml" and not xmp:
            xmp = _data(content, inside.get(b"idat", b""), places.get(number, (0, [])))
    return exif, xmp


def canon_directories(content: Bytes) -> list[bytes]:
    """Return the TIFF blocks in a CR3 file whose first directories are those of picture, shot and position."""
    found = dict.fromkeys(_CANON_DIRECTORIES, b"")
    for name, start, end in _boxes(content):
        if name == b"moov":
            for kind, first, last in _boxes(content, start, end):
                if kind == b"uuid" and content[first : first + 16] == _CANON:
                    for block, here, there in _boxes(content, first + 16, last):
                        if block in found:
                            found[block] = content[here : min(there, here + MOST_ITEM)]
    return list(found.values())


def _boxes(content: Bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box, and where its data begin and end; boxes inside others are not looked for."""
    end = len(content) if end is None else min(end, len(content))
    for _ in range(_MOST_BOXES):
        head = content[start : min(start + 16, end)]
        if len(head) < 8:
            return
        length, data = int.from_bytes(head[:4], "big"), start + 8
        if length == 1:
            length, data = int.from_bytes(head[8:16], "big"), start + 16
        after = end if length == 0 else start + length
        if after < data:
            return
        yield head[4:8], data, min(after, end)
        start = after


def _kinds(table: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and type of each item of a box `iinf`; of a file inside, its media type."""
    for name, start, end in _boxes(table, 6 if table[:1] == b"\0" else 8):
        entry = table[start:end]
        if name != b"infe" or entry[:1] not in (b"\2", b"\3"):
            continue
        width = 2 if entry[0] == 2 else 4
        kind = entry[4 + width + 2 : 4 + width + 6]
        if kind == b"mime":
            kind = [*entry[4 + width + 6 :].split(b"\0"), b""][1]
        yield int.from_bytes(entry[4 : 4 + width], "big"), kind


def _places(table: bytes) -> Iterator[tuple[int, tuple[int, list[tuple[int, int]]]]]:
    """Yield each item's number, how its data are found, and their offsets and lengths, as the box `iloc` says."""
    version, place = table[0] if table else 0, 6

    def number(width: int) -> int:
        nonlocal place
        place += width
        return int.from_bytes(table[place - width : place], "big")

    if len(table) < 8:
        return
    widths = [table[4] >> 4, table[4] & 15, table[5] >> 4, table[5] & 15 if version else 0]
    for _ in range(min(number(4 if version == 2 else 2), _MOST_BOXES)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(widths[2])
        extents = []
        for _ in range(number(2)):
            if place >= len(table):
                return
            number(widths[3])
            offset = base + number(widths[0])
            extents.append((offset, number(widths[1])))
        yield item, (method, extents)


def _data(content: Bytes, idat: bytes, place: tuple[int, list[tuple[int, int]]]) -> bytes:
    method, extents = place
    source = {0: content, 1: idat}.get(method, b"")
    return b"".join(source[offset : offset + min(length, MOST_ITEM)] for offset, length in extents[:16])
