"""Bytes in tar shards and parquet files that no reader reads. Anything could hide there."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq

from dpedtool.dataset.shards import open_tar

_MAGIC = b"PAR1"
_BLOCK = 2**20


def unclaimed_bytes(path: Path) -> list[str]:
    """Return what a tar shard or parquet file (by its suffix) holds outside of its directory, one clause each.

    In tar files these are the unused ends of header fields, the padding of blocks, and the bytes after the last member;
    all must be zeros. In parquet files they are bytes between the magic, the column chunks and the footer. A page index
    counts as such, as no release has one. For other files the list is empty.

    Raises
    ------
    tarfile.TarError, pa.ArrowException, OSError, ValueError
        The file is damaged, or cannot be read.

    """
    finders: dict[str, Callable[[Path], Iterator[str]]] = {".tar": _in_tar, ".parquet": _in_parquet}
    return list(finders[path.suffix](path)) if path.suffix in finders else []


def _in_tar(path: Path) -> Iterator[str]:
    end = 0
    with open_tar(path) as shard, path.open("rb") as file:
        for member in shard:
            file.seek(end)
            header = file.read(max(0, member.offset_data - end))
            if header != member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape"):
                yield f"the header of its member {member.name!r:.120} holds more than such headers should."
            end = member.offset_data + member.size + -member.size % tarfile.BLOCKSIZE
            file.seek(member.offset_data + member.size)
            if file.read(-member.size % tarfile.BLOCKSIZE).strip(b"\0"):
                yield f"the padding of its member {member.name!r:.120} is not all zeros."
        file.seek(end)
        if any(block.strip(b"\0") for block in iter(lambda: file.read(_BLOCK), b"")):
            yield f"the bytes after its last member, from byte {end} on, are not all zeros."


def _in_parquet(path: Path) -> Iterator[str]:
    with path.open("rb") as file, pq.ParquetFile(path) as table:
        metadata = table.metadata
        size = path.stat().st_size
        footer = size - metadata.serialized_size - len(_MAGIC) - 4
        if not _has_magic(file, size):
            yield "it does not begin and end like a parquet file."
        end = len(_MAGIC)
        for start, length in [*sorted(_column_chunks(metadata)), (footer, 0)]:
            if start != end:
                what = "belong to no column" if start > end else "belong to two columns"
                yield f"its bytes {min(start, end)} to {max(start, end)} {what}."
            end = max(end, start + length)


def _has_magic(file: IO[bytes], size: int) -> bool:
    begins = file.read(len(_MAGIC)) == _MAGIC
    file.seek(size - len(_MAGIC))
    return begins and file.read() == _MAGIC


def _column_chunks(metadata: pq.FileMetaData) -> Iterator[tuple[int, int]]:
    """Yield the start and the length in bytes of each column of each row group."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            first = column.dictionary_page_offset if column.has_dictionary_page else None
            start = column.data_page_offset if first is None else min(first, column.data_page_offset)
            yield start, column.total_compressed_size
