"""Bytes in tar shards and parquet files that no reader reads, so that anything could hide there."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_BLOCK = 2**20


def unclaimed_bytes(path: Path) -> list[str]:
    """Return what a tar shard or parquet file, by its suffix, holds beside what its directory names, a clause each.

    In tar files these are the fields of headers behind their ends, what fills blocks up, and what follows the last
    member; all of it must be zeros. In parquet files, bytes between the magic, the column chunks and the footer; an
    index of pages, which no release has, is one. Of other files it is nothing.

    Raises
    ------
    tarfile.TarError, pa.ArrowException, OSError, ValueError
        It is damaged, or cannot be read.

    """
    finders: dict[str, Callable[[Path], Iterator[str]]] = {".tar": _in_tar, ".parquet": _in_parquet}
    return list(finders[path.suffix](path)) if path.suffix in finders else []


def _in_tar(path: Path) -> Iterator[str]:
    end = 0
    with tarfile.open(path, "r:") as shard, path.open("rb") as file:
        for member in shard:
            file.seek(end)
            header = file.read(max(0, member.offset_data - end))
            if header != member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape"):
                yield f"the header of its member {member.name!r:.120} holds more than such headers do."
            end = member.offset_data + member.size + -member.size % tarfile.BLOCKSIZE
            file.seek(member.offset_data + member.size)
            if file.read(-member.size % tarfile.BLOCKSIZE).strip(b"\0"):
                yield f"what fills up its member {member.name!r:.120} is not zeros."
        file.seek(end)
        if any(block.strip(b"\0") for block in iter(lambda: file.read(_BLOCK), b"")):
            yield f"what follows its last member, from byte {end}, is not zeros."


def _in_parquet(path: Path) -> Iterator[str]:
    with path.open("rb") as file, pq.ParquetFile(path) as table:
        metadata = table.metadata
        size = path.stat().st_size
        footer = size - metadata.serialized_size - len(_MAGIC) - 4
        if not _has_magic(file, size):
            yield "it does not begin and end as parquet files do."
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
    """Yield where each column of each row group begins, and its bytes."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            first = column.dictionary_page_offset if column.has_dictionary_page else None
            start = column.data_page_offset if first is None else min(first, column.data_page_offset)
            yield start, column.total_compressed_size
