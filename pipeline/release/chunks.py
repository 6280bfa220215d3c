"""The patches of a release in chunks: each chunk is one tar shard, one parquet file, and some loose files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError

_PLACE = ["phone", "split", "number", "file"]
"""Columns that say in which file a patch is, and where."""


@dataclass(frozen=True)
class Chunk:
    """Some patches of one phone and split, in the order of their numbers."""

    phone: str
    split: str
    index: int
    """Its number within its phone and split, from 0."""
    first: int
    """Number of its first patch."""
    count: int
    row_group: int
    """The row group of the table of patches that holds its rows."""

    @property
    def numbers(self) -> range:
        """The numbers of its patches."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True)
class Images:
    """The image files of one patch; empty bytes where a file is missing."""

    name: str
    """The name of the patch in the layout: its `patch_id`, or its number in layout dped."""
    phone: bytes
    dslr: bytes


def chunks_of(table: Path) -> list[Chunk]:
    """Return the chunks of a release, read from its table of patches.

    Raises
    ------
    DpedtoolError
        The table cannot be read, or a row group holds more than one phone or split.

    """
    found: list[Chunk] = []
    for group, rows in enumerate(_groups(table)):
        phone, split = rows["phone"], rows["split"]
        if not phone:
            raise DpedtoolError(f"{table}: row group {group} is empty.")
        first, index = rows["number"][0], rows["file"][0]
        if set(phone) != {phone[0]} or set(split) != {split[0]} or set(rows["file"]) != {index}:
            raise DpedtoolError(f"{table}: row group {group} mixes phones, splits or files.")
        if rows["number"] != list(range(first, first + len(phone))):
            raise DpedtoolError(f"{table}: the numbers of row group {group} are not consecutive.")
        found.append(Chunk(phone[0], split[0], index, first, len(phone), group))
    return found


def _groups(table: Path) -> Iterator[dict[str, list[Any]]]:
    try:
        with pq.ParquetFile(table) as file:
            if missing := set(_PLACE) - set(file.schema_arrow.names):
                raise DpedtoolError(f"{table} has no column {min(missing)}.")
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, _PLACE).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise DpedtoolError(f"{table} cannot be read: {' '.join(str(error).split())}.") from None


def read_rows_of(table: Path, chunk: Chunk, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a chunk, with the given columns or all of them."""
    with pq.ParquetFile(table) as file:
        return file.read_row_group(chunk.row_group, columns)
