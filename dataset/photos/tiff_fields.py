"""Fields of TIFF directories, in TIFF files and in EXIF blocks, which are TIFF files without a picture.

Values are copied as they are in the file. Pillow would read and write them too, but it chooses types of its own, and
turns letters outside ASCII, such as the © of a copyright, into question marks (TIFF 6.0, section 2; EXIF 2.32, 4.6.2).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from dpedtool.dataset.photos.file_bytes import Bytes

ByteOrder = Literal["<", ">"]
Directory = dict[int, "Field"]
"""Fields by tag."""

ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
"""Length of one value by type: the types of TIFF 6.0, pointers to directories (13), and UTF-8 of EXIF 3.0 (129)."""
_POINTERS = (LONG, 13)
SIGNED_SHORT, SIGNED_LONG, SIGNED_RATIONAL, FLOAT, DOUBLE = 8, 9, 10, 11, 12
_NUMBERS = {SHORT: "H", LONG: "L", RATIONAL: "L", SIGNED_SHORT: "h", SIGNED_LONG: "l", SIGNED_RATIONAL: "l"}
_NUMBERS |= {FLOAT: "f", DOUBLE: "d"}
_SIZES = {SHORT: 2, LONG: 4, RATIONAL: 4, SIGNED_SHORT: 2, SIGNED_LONG: 4, SIGNED_RATIONAL: 4, FLOAT: 4, DOUBLE: 8}
MOST_BELOW = 32
"""Most directories that are looked at below one field."""
LONGEST = 65535
"""Longest field that is read, in bytes: more than an EXIF block in a JPEG can hold."""
MAGIC: Mapping[bytes, str] = {b"II*\0": "<", b"MM\0*": ">"}
"""First bytes of TIFF files, and the order of bytes."""
OF_RAW: Mapping[bytes, str] = {b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}
"""First bytes of raw files of Olympus and Panasonic, which are TIFF files but for these."""
HEADER = 8
"""Length of the header in bytes; directories come after it."""


@dataclass(frozen=True)
class Field:
    """One field's values."""

    kind: int
    """The type by its number in TIFF 6.0."""
    data: bytes
    """The values, in the byte order of the file."""

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.data) // _BYTES[self.kind]


def shorts(order: ByteOrder, *values: int) -> Field:
    """Return a field of whole numbers up to 65535."""
    return Field(SHORT, struct.pack(f"{order}{len(values)}H", *values))


def longs(order: ByteOrder, *values: int) -> Field:
    """Return a field of whole numbers up to 2**32 - 1."""
    return Field(LONG, struct.pack(f"{order}{len(values)}L", *values))


def rationals(order: ByteOrder, *values: tuple[int, int]) -> Field:
    """Return a field of fractions, each of two whole numbers up to 2**32 - 1."""
    return Field(RATIONAL, b"".join(longs(order, *value).data for value in values))


class TiffReader:
    """The directories of a TIFF file or an EXIF block.

    Attributes
    ----------
    order
        Byte order of all numbers.
    damaged
        Whether a field or a directory that was asked for could not be read, and was left out.

    """

    def __init__(self, content: Bytes, magic: Mapping[bytes, str] = MAGIC) -> None:
        """Read the header.

        Parameters
        ----------
        content
            The file; only what is asked for is read of it.
        magic
            The first four bytes of files that are read, and their order of bytes.

        Raises
        ------
        ValueError
            This is not a TIFF file, or it is a BigTIFF file, which is not read.

        """
        order = magic.get(content[:4])
        if order is None or len(content) < HEADER:
            raise ValueError("no TIFF header")
        self.order: ByteOrder = "<" if order == "<" else ">"
        self.damaged = False
        self._content = content

    def first(self, tags: Collection[int]) -> Directory:
        """Return those fields of the first directory that have one of the tags."""
        return self._directory(self._number("L", 4), tags)

    def below(self, pointer: Field | None, tags: Collection[int]) -> Directory:
        """Return those fields of the directory that a field points to; nothing if there is no such field."""
        if pointer is None:
            return {}
        if pointer.kind not in _POINTERS or pointer.count != 1:
            self.damaged = True
            return {}
        (offset,) = struct.unpack(f"{self.order}L", pointer.data)
        return self._directory(offset, tags)

    def all_below(self, pointers: Field | None, tags: Collection[int]) -> list[Directory]:
        """Return those fields of each of the directories that a field points to; nothing if there is no such field."""
        if pointers is None or pointers.kind not in _POINTERS:
            return []
        offsets = struct.unpack(f"{self.order}{min(pointers.count, MOST_BELOW)}L", pointers.data[: 4 * MOST_BELOW])
        return [self._directory(offset, tags) for offset in offsets]

    def numbers(self, field: Field | None) -> list[float]:
        """Return the values of a field of numbers; nothing for other types, or without a field."""
        if field is None or field.kind not in _NUMBERS:
            return []
        values = struct.unpack(f"{self.order}{len(field.data) // _SIZES[field.kind]}{_NUMBERS[field.kind]}", field.data)
        if field.kind not in (RATIONAL, SIGNED_RATIONAL):
            return [float(value) for value in values]
        pairs = zip(values[::2], values[1::2], strict=True)
        return [above / below for above, below in pairs if below]

    def _directory(self, offset: int, tags: Collection[int]) -> Directory:
        if offset < HEADER or offset + 2 > len(self._content):
            self.damaged = True
            return {}
        found: Directory = {}
        for place in range(offset + 2, offset + 2 + 12 * self._number("H", offset), 12):
            if place + 12 > len(self._content):
                self.damaged = True
                break
            tag = self._number("H", place)
            if tag in tags and tag not in found and (field := self._field(place)):
                found[tag] = field
        return found

    def _field(self, place: int) -> Field | None:
        kind, count = self._number("H", place + 2), self._number("L", place + 4)
        length = count * _BYTES.get(kind, 0)
        start = place + 8 if length <= 4 else self._number("L", place + 8)
        if not 0 < length <= LONGEST or start + length > len(self._content):
            # Cameras write fields without a value: these say nothing, but they are not damaged.
            self.damaged = self.damaged or count > 0
            return None
        return Field(kind, self._content[start : start + length])

    def _number(self, kind: Literal["H", "L"], offset: int) -> int:
        size = struct.calcsize(self.order + kind)
        (value,) = struct.unpack(self.order + kind, self._content[offset : offset + size])
        return int(value)


def directory_bytes(fields: Mapping[int, Field], offset: int, order: ByteOrder) -> bytes:
    """Return the last directory of a file as it is written at an offset, followed by its values."""
    head = struct.pack(f"{order}H", len(fields))
    values = offset + len(head) + 12 * len(fields) + 4
    entries, rest = [], b""
    for tag, field in sorted(fields.items()):
        place = field.data.ljust(4, b"\0")
        if len(field.data) > 4:
            place = struct.pack(f"{order}L", values + len(rest))
            rest += field.data + b"\0" * (len(field.data) % 2)
        entries.append(struct.pack(f"{order}HHL", tag, field.kind, field.count) + place)
    return head + b"".join(entries) + bytes(4) + rest


def header_bytes(first_directory: int, order: ByteOrder) -> bytes:
    """Return the header of a file whose first directory lies at an offset."""
    return struct.pack(f"{order}2sHL", b"II" if order == "<" else b"MM", 42, first_directory)
