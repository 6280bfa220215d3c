"""The bytes of a file, read piece by piece, for headers of files that are much longer than their headers."""

from __future__ import annotations

import io
from typing import IO


class FileBytes:
    """A file as a sequence of bytes. Only the bytes that are asked for are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._length = file.seek(0, io.SEEK_END)

    def __len__(self) -> int:
        """Return the length of the file in bytes."""
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        """Return a part of the file; what lies behind its end is left out, as with bytes."""
        start, end, _ = part.indices(self._length)
        self._file.seek(start)
        return self._file.read(max(0, end - start))


Bytes = bytes | FileBytes
"""A file's content: in memory, or where it is."""
