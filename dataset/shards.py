"""Tar shards of patches: the same members give the same bytes, and each can be read with one pread.

The members of a patch follow each other as `<patch_id>.phone.<ext>` and `<patch_id>.dslr.<ext>`, the names that
WebDataset groups by. Time, owner and mode are fixed.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from dpedtool.dataset.regular_files import check_regular, open_regular

MOST_BYTES_A_MEMBER = 2**28
"""Most bytes of an image or a description in a shard; a patch of 2048 px takes at most 13 MB as PNG, and its
target of four times the side 200 MB."""


_HEADERS = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
"""Members that say more about the member after them, and that `tarfile` reads into memory by itself."""
_MOST_BYTES_OF_HEADERS = 2**16


@dataclass(frozen=True)
class Extent:
    """Where a member's content lies in its shard, in bytes."""

    offset: int
    length: int


class ShardWriter:
    """Writes one tar file in the order of the calls; use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._end = 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # An archive ends with two blocks of zeros, and consists of whole records (POSIX.1-1988, ustar).
            self._file.write(bytes(2 * tarfile.BLOCKSIZE + -(self._end + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE))
        finally:
            self._file.close()

    def add(self, name: str, content: bytes) -> Extent:
        """Append a member; `name` has at most 100 bytes, so that its header is one block."""
        member = tarfile.TarInfo(name)
        member.size = len(content)
        member.mode = 0o644
        header = member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
        extent = Extent(self._end + len(header), len(content))
        padding = bytes(-len(content) % tarfile.BLOCKSIZE)
        self._file.write(header + content + padding)
        self._end = extent.offset + len(content) + len(padding)
        return extent


class _Member(tarfile.TarInfo):
    """A member of an archive from unknown authors: reading its header takes neither endless time nor any memory."""

    def _block(self, count: int) -> int:
        # Python goes back by a size below 0, and would read the same header again and again (CVE-2025-8194).
        if count < 0:
            raise tarfile.ReadError(f"the size of its member {self.name!r:.100} is below 0")
        if self.type in _HEADERS and count > _MOST_BYTES_OF_HEADERS:
            raise tarfile.ReadError(f"the header of a member has {count} bytes")
        return int(super()._block(count))  # type: ignore[misc]


def open_tar(path: Path) -> tarfile.TarFile:
    """Open an archive that is not compressed, from unknown authors, to read.

    Raises
    ------
    tarfile.TarError
        It is damaged, or made to do harm. Reading its members may raise this as well.
    OSError
        It cannot be read, or is not a regular file.

    """
    check_regular(path)
    return tarfile.open(path, "r:", tarinfo=_Member)


def suffix_of(content: bytes) -> str:
    """Return the suffix of an image file, png or jpg, by its first bytes."""
    return "png" if content.startswith(b"\x89PNG") else "jpg"


def member_name(path: Path, extent: Extent) -> str:
    """Return the name of the member with this extent in a shard; empty if no member of an archive begins there.

    Raises
    ------
    OSError
        The shard is missing, or ends before the extent does.

    """
    if extent.offset < tarfile.BLOCKSIZE:
        return ""
    header = read_extent(path, Extent(extent.offset - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE))
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").name
    except tarfile.HeaderError:
        return ""


def read_extent(path: Path, extent: Extent) -> bytes:
    """Read one member's content without opening the archive as such.

    Raises
    ------
    OSError
        The shard is missing or is not a file, ends before the extent does, or the extent cannot be a member's: it
        begins before the file, or has more than `MOST_BYTES_A_MEMBER` bytes.

    """
    if extent.offset < 0 or not 0 <= extent.length <= MOST_BYTES_A_MEMBER:
        raise OSError(f"{path} has no member of {extent.length} bytes at byte {extent.offset}")
    with open_regular(path) as file:
        content = os.pread(file.fileno(), extent.length, extent.offset)
    if len(content) < extent.length:
        raise OSError(f"{path} ends before byte {extent.offset + extent.length}")
    return content
