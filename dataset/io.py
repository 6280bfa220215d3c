"""Files of the contract: tables in parquet, written whole or not at all, and digests of what they were made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dataset.errors import DpedtoolError
from dataset.schema import ColumnSpec, Row, arrow_schema, columns

RowT = TypeVar("RowT", bound=Row)


_TEMPORARY = ".dpedtool-part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block ends well and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=_TEMPORARY, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files for the owner alone; what replaces them is made as any other file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        # The user knows the file by its own name; a failed write bears none.
        if error.filename in (None, name):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Return the name beside `path` of a file that is being written and will take its place."""
    return path.with_name(f".{path.name}{_TEMPORARY}")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process has left in a folder and in the folders below it."""
    for pattern in (f".*{_TEMPORARY}", f"*/.*{_TEMPORARY}"):
        for leftover in folder.glob(pattern):
            leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON with sorted keys and two spaces, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    DpedtoolError
        The file is missing or holds no JSON object.

    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror}): run the stage that writes it.") from None
    except ValueError as error:
        raise DpedtoolError(f"{path} is damaged ({error}): run the stage that writes it again.") from None
    if not isinstance(data, dict):
        raise DpedtoolError(f"{path} holds no JSON object: run the stage that writes it again.")
    return data


class TableWriter:
    """Writes rows of one type to a parquet file, a few thousand at a time; the file appears when `close` succeeds.

    Use it in a `with` block; an error inside leaves no file, and an earlier file as it was.
    """

    ROWS_A_GROUP = 50_000

    def __init__(self, path: Path, row_type: type[Row]) -> None:
        self._path = path
        self._columns = columns(row_type)
        self._row_type = row_type
        self._schema = arrow_schema(row_type)
        self._waiting: list[Row] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> TableWriter:
        temporary = self._stack.enter_context(replacing(self._path))
        self._file = self._stack.enter_context(pq.ParquetWriter(temporary.absolute(), self._schema, compression="zstd"))
        return self

    def __exit__(self, *error: Any) -> None:
        with self._stack:
            if error[0] is None:
                self._flush()
            else:
                # What is left on the stack learns of the error, and so drops the file.
                self._stack.pop_all().__exit__(*error)

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows; raises ValueError for a status or reason that the row type does not declare."""
        for row in rows:
            _check_words(row, self._row_type)
            self._waiting.append(row)
        if len(self._waiting) >= self.ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        folder = self._path.parent
        arrays = [
            pa.array([_to_file(getattr(row, spec.name), spec, folder) for row in self._waiting], spec.arrow_type)
            for spec in self._columns
        ]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting.clear()


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> None:
    """Write a whole table, replacing an earlier one."""
    with TableWriter(path, row_type) as writer:
        writer.write(rows)


def read_rows(path: Path, row_type: type[RowT]) -> list[RowT]:
    """Read a table as typed rows.

    Raises
    ------
    DpedtoolError
        The file is missing, no parquet, or lacks a column of the row type.

    """
    specs = columns(row_type)
    table = _read_table(path, row_type)
    values = [[_from_file(value, spec, path.parent) for value in table[spec.name].to_pylist()] for spec in specs]
    names = [spec.name for spec in specs]
    return [row_type(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


def read_frame(path: Path, row_type: type[Row], only: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table, or the columns `only`, as a pandas frame; paths are text that can be opened.

    Raises
    ------
    DpedtoolError
        The file is missing, no parquet, or lacks a column of the row type.

    """
    table = _read_table(path, row_type, only)
    frame: pd.DataFrame = table.to_pandas()
    for spec in columns(row_type):
        if spec.is_path and spec.name in frame:
            frame[spec.name] = [None if pd.isna(name) else str(path.parent / name) for name in frame[spec.name]]
    return frame


def relative_path(path: Path, folder: Path) -> str:
    """Return how files in `folder` name `path`: relative, with forward slashes.

    Folders are resolved, since '..' leads out of where a linked folder really is; a linked file keeps its own place.
    """
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def digest(data: Any) -> str:
    """Return the SHA-256, hex, of JSON-ready data, independent of the order of keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(*modules: ModuleType) -> str:
    """Return a digest of the modules' source, so that results of other code are not taken for this code's."""
    sources = [Path(module.__file__).read_bytes() for module in modules if module.__file__]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()


def _read_table(path: Path, row_type: type[Row], only: Sequence[str] | None = None) -> pa.Table:
    wanted = list(only) if only else [spec.name for spec in columns(row_type)]
    if not path.is_file():
        raise DpedtoolError(f"There is no table {path}: run the stage that writes it first.")
    try:
        # Absolute, since Arrow takes a relative name such as s3:x for an address.
        found = pq.read_schema(path.absolute())
        table = pq.read_table(
            path.absolute(), columns=[name for name in wanted if name in found.names], partitioning=None
        )
    except (pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise DpedtoolError(f"{path} is not a readable parquet file ({reason}): make it anew.") from None
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise DpedtoolError(
            f"{path} is no table of {row_type.TABLE} as this version writes it "
            f"(without {', '.join(missing)}): run the stage that writes it again."
        )
    return table.select(wanted)


def _check_words(row: Row, row_type: type[Row]) -> None:
    status, reason = getattr(row, "status", None), getattr(row, "reason", "")
    if row_type.STATUSES and status not in row_type.STATUSES:
        raise ValueError(f"{status!r} is no status of {row_type.TABLE}")
    if reason and reason not in row_type.REASONS:
        raise ValueError(f"{reason!r} is no reason of {row_type.TABLE}")


def _to_file(value: Any, spec: ColumnSpec, folder: Path) -> Any:
    if value is None:
        if not spec.nullable:
            raise ValueError(f"column {spec.name} must not be empty")
        return None
    if spec.is_path:
        return relative_path(value, folder)
    return list(value) if isinstance(value, tuple) else value


def _from_file(value: Any, spec: ColumnSpec, folder: Path) -> Any:
    if value is None:
        return None
    if spec.is_path:
        return folder / value
    return tuple(value) if isinstance(value, list) else value


def _umask() -> int:
    # The mask can only be read by setting it; stages write files from one thread.
    mask = os.umask(0)
    os.umask(mask)
    return mask
