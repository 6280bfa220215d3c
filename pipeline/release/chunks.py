"""The patches of a release in chunks: each chunk is one tar shard, one parquet file, and some loose files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.release.columns import FRAME_FACTS

_PLACE = ["phone", "split", "number", "file", "frames", "targets"]
"""Columns that say in which file a patch is, and where, and which frames and further targets it has."""
_TARGETS = re.compile(r"(?:[1-9]\d?(?:,[1-9]\d?)*)?")


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
    """The row group of the table of patches that holds its rows; that of the table of stacks has the same number."""
    frames: tuple[int, ...] = ()
    """The number of frames of each of its patches."""
    targets: tuple[tuple[int, ...], ...] = ()
    """The numbers of the further references that each of its patches has a target of."""

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
    frames: tuple[bytes, ...] = ()
    """Those of its frames other than the base, then its further targets, each by number."""
    stack: tuple[Mapping[str, Any], ...] = ()
    """The values of `FRAME_FACTS` of all its frames and further targets, in the order of the table of stacks; empty in
    a release without stacks."""

    @property
    def further(self) -> list[Mapping[str, Any]]:
        """Those other than the base, in the order of `frames`."""
        return [frame for frame in self.stack if frame["role"] != "base"]


def as_facts(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the values of `FRAME_FACTS` of rows of the table of stacks, ready for JSON."""
    return tuple({name: row[name] for name in FRAME_FACTS} for row in rows)


def numbers_of(targets: str) -> tuple[int, ...]:
    """Return the numbers in a text of the column `targets`.

    Raises
    ------
    ValueError
        It is no such text, or its numbers are not in order.

    """
    if not isinstance(targets, str) or not _TARGETS.fullmatch(targets):
        raise ValueError(f"{targets!r:.80} does not name further targets in order")
    numbers = tuple(int(number) for number in targets.split(",") if number)
    if list(numbers) != sorted(set(numbers)):
        raise ValueError(f"{targets!r:.80} does not name further targets in order")
    return numbers


def by_patch(rows: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Return rows of the table of stacks by patch; those of a patch are adjacent."""
    return {name: list(of) for name, of in groupby(rows.to_pylist(), key=lambda row: row["patch_id"])}


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
        try:
            targets = tuple(map(numbers_of, rows["targets"]))
        except ValueError as error:
            raise DpedtoolError(f"{table}: row group {group}: {error}.") from None
        found.append(Chunk(phone[0], split[0], index, first, len(phone), group, tuple(rows["frames"]), targets))
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


def content_of(path: Path) -> bytes:
    """Return the bytes of a file; nothing for a missing file, or for a link, which could lead out of the release."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""
