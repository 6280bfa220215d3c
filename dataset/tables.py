"""Tables in parquet, as `dpedtool.dataset.schema` declares them: typed rows in, typed rows or pandas frames out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import relative_path, replacing
from dpedtool.dataset.places import Place, as_place
from dpedtool.dataset.regular_files import check_regular
from dpedtool.dataset.rows import ColumnSpec, Row, arrow_schema, columns

if TYPE_CHECKING:
    # Commands that need no frame start in less time without pandas.
    import pandas as pd

RowT = TypeVar("RowT", bound=Row)

MOST_TABLE_BYTES = 2**34
"""Most bytes of a table; one of the windows of 22,000 pairs has some hundreds of millions."""
MOST_ROWS = 20_000_000
"""Most rows of a table; 22,000 pairs have some two million windows. Equal rows take almost no bytes in a file."""
MOST_SHARED_BYTES = 2**33
"""Most bytes of the values of a column in one row group, which has 50,000 rows as `TableWriter` makes them."""
DAMAGED_TABLE = (pa.ArrowException, ValueError, LookupError, OverflowError, MemoryError)
"""What Arrow raises, beside OSError, for files that are damaged, or made to do harm."""


class TableWriter:
    """Writes rows of one type to a parquet file, a few thousand at a time; the file appears when `close` succeeds.

    Use it in a `with` block. After an error inside there is no new file, and an earlier file stays as it was.
    """

    ROWS_A_GROUP = 50_000
    VALUES_A_GROUP = 2_000_000
    """Most values in columns of lists, which take 32 bytes each while they wait."""

    def __init__(self, path: Path, row_type: type[Row]) -> None:
        self._path = path
        self._row_type = row_type
        self._schema = arrow_schema(row_type)
        self._waiting: list[Row] = []
        self._lists = [spec.name for spec in columns(row_type) if pa.types.is_list(spec.arrow_type)]
        self._values = 0
        self._stack = contextlib.ExitStack()
        self._names = PathNames(path.parent)

    def __enter__(self) -> TableWriter:
        temporary = self._stack.enter_context(replacing(self._path))
        self._file = self._stack.enter_context(pq.ParquetWriter(temporary.absolute(), self._schema, compression="zstd"))
        return self

    def __exit__(self, *error: Any) -> None:
        with self._stack:
            if error[0] is None:
                self._flush()
            else:
                # The rest of the stack gets the error, and so drops the file.
                self._stack.pop_all().__exit__(*error)

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows; raises ValueError for a status or reason that the row type does not declare."""
        for row in rows:
            check_words(row, self._row_type)
            self._waiting.append(row)
            self._values += sum(len(getattr(row, name) or ()) for name in self._lists)
        if len(self._waiting) >= self.ROWS_A_GROUP or self._values >= self.VALUES_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        arrays = _arrays(self._waiting, self._row_type, self._names)
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting.clear()
        self._values = 0


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> None:
    """Write a whole table, replacing an earlier one."""
    with TableWriter(path, row_type) as writer:
        writer.write(rows)


def read_rows(path: Path, row_type: type[RowT]) -> list[RowT]:
    """Read a table as typed rows.

    Raises
    ------
    DpedtoolError
        The file is missing, is not a parquet file, or lacks a column of the row type.

    """
    return _as_rows(_read_table(path, row_type), row_type, path.parent)


def check_words(row: Row, row_type: type[Row]) -> None:
    """Raise ValueError for a status or reason that the row type does not declare."""
    status, reason = getattr(row, "status", None), getattr(row, "reason", "")
    if row_type.STATUSES and status not in row_type.STATUSES:
        raise ValueError(f"{status!r} is not a status of {row_type.TABLE}")
    if reason and reason not in row_type.REASONS:
        raise ValueError(f"{reason!r} is not a reason of {row_type.TABLE}")


class KeyedTable(Generic[RowT]):
    """A table read key by key, with adjacent rows for each key; it keeps all keys and one group of rows in memory.

    Parameters
    ----------
    path
        A parquet file with the columns of the row type, `key` among them.

    Raises
    ------
    DpedtoolError
        The file is missing, is not a parquet file, or lacks a column of the row type.

    """

    def __init__(self, path: Path, row_type: type[RowT]) -> None:
        self._path, self._row_type = path, row_type
        self._names = [spec.name for spec in columns(row_type)]
        self._file = _open_table(path, row_type, self._names)
        with _readable(path):
            keys = self._file.read(columns=["key"])["key"].to_pylist()
        starts = [row for row, key in enumerate(keys) if row == 0 or key != keys[row - 1]]
        ends = [*starts[1:], len(keys)] if keys else []
        self._spans = dict(zip(map(keys.__getitem__, starts), zip(starts, ends, strict=True), strict=True))
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._group_starts = np.concatenate([[0], np.cumsum(sizes)])
        self._group: tuple[int, pa.Table] | None = None

    def get(self, key: str) -> list[RowT] | None:
        """Return the rows of a key, or None if it has no rows."""
        if key not in self._spans:
            return None
        start, end = self._spans[key]
        first, last = np.searchsorted(self._group_starts, [start, end - 1], side="right") - 1
        rows: list[RowT] = []
        for group in range(first, last + 1):
            offset = int(self._group_starts[group])
            part = self._read_group(group).slice(max(start - offset, 0), end - max(start, offset))
            rows += _as_rows(part, self._row_type, self._path.parent)
        return rows

    def keys(self) -> list[str]:
        """Return all keys in the order of the table."""
        return list(self._spans)

    def _read_group(self, group: int) -> pa.Table:
        if self._group is None or self._group[0] != group:
            with _readable(self._path):
                table = self._file.read_row_group(group, self._names)
            self._group = group, _checked(table, self._row_type, self._path)
        return self._group[1]


class PathNames:
    """The names that files in one folder use for paths; URLs stay as they are. Each folder is looked up once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, str] = {}
        self._last: tuple[Place | None, str] = (None, "")

    def __getitem__(self, path: Place) -> str:
        # Rows that follow each other mostly name the same files.
        if path is not self._last[0]:
            self._last = path, self._name(path)
        return self._last[1]

    def _name(self, path: Place) -> str:
        if not isinstance(path, Path):
            return str(path)
        if path.parent not in self._known:
            self._known[path.parent] = relative_path(path.parent / "x", self._folder)[:-1]
        return self._known[path.parent] + path.name


def read_frame(
    path: Path, row_type: type[Row], only: Sequence[str] | None = None, where: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Read a table, or the columns `only`, as a pandas frame; paths are text that can be opened.

    Parameters
    ----------
    path
        The parquet file.
    row_type
        The type of its rows.
    only
        The columns to read; all by default.
    where
        Columns and the value that each must have; other rows are left out.

    Raises
    ------
    DpedtoolError
        The file is missing, is not a parquet file, or lacks a column of the row type.

    """
    where = where or {}
    table = _read_table(path, row_type, [*only, *(name for name in where if name not in only)] if only else None)
    for name, value in where.items():
        # This comes before pandas makes an object of every text.
        table = table.filter(pc.equal(table[name], value))
    frame: pd.DataFrame = (table.select(list(only)) if only else table).to_pandas()
    for spec in columns(row_type):
        if spec.is_path and spec.name in frame:
            opened = {name: str(as_place(name, path.parent)) for name in frame[spec.name].dropna().unique()}
            frame[spec.name] = [opened.get(name) for name in frame[spec.name]]
    return frame


def holds(path: Path, row_type: type[Row]) -> bool:
    """Return whether a file is a table of this type, of any version.

    Raises
    ------
    DpedtoolError
        The file is not a parquet file.

    """
    with _readable(path):
        check_regular(path, MOST_TABLE_BYTES)
        metadata = pq.read_schema(path.absolute()).metadata or {}
    return bool(metadata.get(b"dpedtool.table") == row_type.TABLE.encode())


def _read_table(path: Path, row_type: type[Row], only: Sequence[str] | None = None) -> pa.Table:
    wanted = list(only) if only else [spec.name for spec in columns(row_type)]
    with _readable(path), _open_table(path, row_type, wanted) as file:
        there = [name for name in wanted if name in file.schema_arrow.names]
        table = file.read(columns=there)
    table = _checked(table, row_type, path)
    for spec in columns(row_type):
        if spec.name in wanted and spec.name not in there:
            table = table.append_column(spec.name, pa.array([spec.default] * table.num_rows, spec.arrow_type))
    return table.select(wanted)


def _open_table(path: Path, row_type: type[Row], wanted: Sequence[str]) -> pq.ParquetFile:
    if path.is_dir():
        meant = next((file for file in sorted(path.glob("*.parquet")) if holds(file, row_type)), None)
        words = f"did you mean {meant}?" if meant else f"it holds none either; run `dpedtool {row_type.MADE_BY}` first."
        raise DpedtoolError(f"{path} is a folder, and not a table of {row_type.TABLE}: {words}")
    if not path.exists():
        raise DpedtoolError(f"There is no table {path}: run `dpedtool {row_type.MADE_BY}` first.")
    with _readable(path):
        check_regular(path, MOST_TABLE_BYTES)
        # Absolute, since Arrow takes a relative name such as s3:x for an address.
        file = pq.ParquetFile(path.absolute())
    if file.metadata.num_rows > MOST_ROWS:
        raise DpedtoolError(f"{path} has {file.metadata.num_rows} rows, more than any table: make it again.")
    missing = [name for name in wanted if name not in file.schema_arrow.names and name not in row_type.ADDED]
    if missing:
        raise DpedtoolError(
            f"{path} is not a table of {row_type.TABLE} as this version writes it "
            f"(it lacks {', '.join(missing)}): run `dpedtool {row_type.MADE_BY}` again."
        )
    with _readable(path):
        grown = next((name for name in wanted if _unpacks_too_far(path, file, name)), None)
    if grown:
        raise DpedtoolError(
            f"{path} cannot be used: its column {grown} unpacks to far more than any table has; run `dpedtool "
            f"{row_type.MADE_BY}` again."
        )
    return file


def _unpacks_too_far(path: Path, file: pq.ParquetFile, name: str) -> bool:
    """Whether a column stores a large value once for many rows, so that it takes far more memory than its file.

    The metadata bound the values; where that does not suffice, the values that are stored once are read.
    """
    at = {file.schema.column(index).path: index for index in range(len(file.schema))}.get(name)
    if at is None or file.schema.column(at).physical_type != "BYTE_ARRAY":
        return False
    for group in range(file.num_row_groups):
        chunk = file.metadata.row_group(group).column(at)
        if not chunk.has_dictionary_page or chunk.num_values * chunk.total_uncompressed_size <= MOST_SHARED_BYTES:
            continue
        with pq.ParquetFile(path.absolute(), read_dictionary=[name]) as shared:
            parts = shared.read_row_group(group, [name])[name].chunks
        if sum(_unpacked_bytes(part) for part in parts) > MOST_SHARED_BYTES:
            return True
    return False


def _unpacked_bytes(part: pa.DictionaryArray) -> int:
    """Return the bytes that values take that are stored once each."""
    lengths = pc.binary_length(part.dictionary).cast(pa.int64())
    return int(pc.sum(pc.take(lengths, part.indices)).as_py() or 0)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn Arrow's error on a damaged file into a sentence."""
    try:
        yield
    except (*DAMAGED_TABLE, OSError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or " ".join(str(error).split())[:300]
        raise DpedtoolError(f"{path} is not a readable parquet file ({reason}): make it again.") from None


def _checked(table: pa.Table, row_type: type[Row], path: Path) -> pa.Table:
    """Return a table with the types that the row type declares, since other programs write others for equal values.

    Raises
    ------
    DpedtoolError
        A value is missing, is of another kind, or is a name that would lead out of a folder.

    """
    for number, name in enumerate(table.column_names):
        spec = next(spec for spec in columns(row_type) if spec.name == name)
        column = table[name]
        try:
            column = column if column.type == spec.arrow_type else column.cast(spec.arrow_type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = " ".join(str(error).split())
            raise DpedtoolError(_refusal(path, name, row_type, f"holds other values ({reason:.200})")) from None
        if column.null_count and not spec.nullable:
            raise DpedtoolError(_refusal(path, name, row_type, f"is empty in {column.null_count} rows"))
        table = table.set_column(number, table.schema.field(name).with_type(spec.arrow_type), column)
    _check_names(table, row_type, path)
    return table


def _refusal(path: Path, name: str, row_type: type[Row], what: str) -> str:
    return (
        f"{path} cannot be used, as after a change by another program: its column {name} {what}; run `dpedtool "
        f"{row_type.MADE_BY}` again."
    )


def _check_names(table: pa.Table, row_type: type[Row], path: Path) -> None:
    """Refuse names that would lead out of a folder, since files are named after them.

    Raises
    ------
    DpedtoolError
        A table has such a name, so that it is not one that dpedtool wrote.

    """
    for spec in columns(row_type):
        if spec.pattern is None or spec.name not in table.column_names:
            continue
        values = table[spec.name].drop_null().unique()
        bad = values.filter(pc.invert(pc.match_substring_regex(values, spec.pattern.regex)))
        if len(bad):
            raise DpedtoolError(
                f"{path} cannot be used: its column {spec.name} holds {bad[0].as_py()!r:.100}, which is not "
                f"{spec.pattern.words}; make the table again."
            )


def _as_rows(table: pa.Table, row_type: type[RowT], folder: Path) -> list[RowT]:
    specs = columns(row_type)
    values = [_from_file(table[spec.name].to_pylist(), spec, folder) for spec in specs]
    names = [spec.name for spec in specs]
    return [row_type(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


def _arrays(rows: Sequence[Row], row_type: type[Row], names: PathNames) -> list[pa.Array]:
    """Return the columns of rows."""
    return [
        pa.array(_to_file(list(map(attrgetter(spec.name), rows)), spec, names), spec.arrow_type)
        for spec in columns(row_type)
    ]


def _to_file(values: list[Any], spec: ColumnSpec, names: PathNames) -> list[Any]:
    """Return a column of rows in the form of the file."""
    if not spec.nullable and any(value is None for value in values):
        raise ValueError(f"column {spec.name} must not be empty")
    return [None if path is None else names[path] for path in values] if spec.is_path else values


def _from_file(values: list[Any], spec: ColumnSpec, folder: Path) -> list[Any]:
    """Return a column of the file in the form of the rows."""
    if spec.is_path:
        places = {name: as_place(name, folder) for name in set(values) if name is not None}
        return [places.get(name) for name in values]
    if pa.types.is_list(spec.arrow_type):
        return [None if value is None else tuple(value) for value in values]
    return values
