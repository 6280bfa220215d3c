"""The rows of one item of a stage in a file of its own, until the table of all items is written.

A part has few rows and many columns, and there is one for every pair. So it is JSON, which takes a tenth of the time of
Arrow's formats for such a file. The file holds what the table will hold, to the last bit.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import replacing
from dpedtool.dataset.places import as_place
from dpedtool.dataset.regular_files import read_regular
from dpedtool.dataset.rows import ColumnSpec, Row, columns
from dpedtool.dataset.tables import PathNames, check_words

RowT = TypeVar("RowT", bound=Row)

MOST_PART_BYTES = 2**30
"""Most bytes of a part; the windows of a photo of 100 megapixels have some ten millions."""


def write_part(path: Path, row_type: type[Row], rows: Sequence[Row]) -> None:
    """Write a few rows that only `read_part` of the same version reads.

    The file appears whole, and replaces an earlier one.

    Raises
    ------
    ValueError
        A row has a status or a reason that the row type does not declare, or lacks a value.

    """
    names = PathNames(path.parent)
    specs = columns(row_type)
    for row in rows:
        check_words(row, row_type)
    values = [[_to_file(getattr(row, spec.name), spec, names) for spec in specs] for row in rows]
    text = json.dumps({**_head(row_type), "rows": values}, separators=(",", ":"), default=_number)
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def read_part(path: Path, row_type: type[RowT]) -> list[RowT]:
    """Read what `write_part` wrote.

    Raises
    ------
    DpedtoolError
        The file is damaged, or another version wrote it.

    """
    specs = columns(row_type)
    try:
        content = json.loads(read_regular(path, MOST_PART_BYTES))
        if not isinstance(content, dict) or {**content, "rows": None} != {**_head(row_type), "rows": None}:
            raise ValueError(f"it holds no rows of {row_type.TABLE} as this version writes them")
        return [
            row_type(
                **{spec.name: _from_file(value, spec, path.parent) for spec, value in zip(specs, row, strict=True)}
            )
            for row in content["rows"]
        ]
    except (OSError, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or " ".join(str(error).split())[:300]
        raise DpedtoolError(f"{path} cannot be used ({reason}): remove it.") from None


def _head(row_type: type[Row]) -> Mapping[str, Any]:
    """Return what a part says about its rows, which tells it from parts of other tables and versions."""
    kinds = {spec.name: f"{spec.arrow_type}{' or null' if spec.nullable else ''}" for spec in columns(row_type)}
    return {"table": row_type.TABLE, "columns": kinds}


def _to_file(value: Any, spec: ColumnSpec, names: PathNames) -> Any:
    if value is None:
        if not spec.nullable:
            raise ValueError(f"column {spec.name} must not be empty")
        return None
    if spec.is_path:
        return names[value]
    return base64.b64encode(value).decode() if spec.kind is bytes else value


def _from_file(value: Any, spec: ColumnSpec, folder: Path) -> Any:
    if value is None and spec.nullable:
        return None
    try:
        found = _READERS[spec.kind](value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"its column {spec.name} holds {value!r:.100}") from None
    # Python keeps compiled patterns.
    if spec.pattern and not re.fullmatch(spec.pattern.regex, found):
        raise ValueError(f"its column {spec.name} holds {found!r:.100}, which is not {spec.pattern.words}")
    return as_place(found, folder) if spec.is_path else found


def _one_of(*kinds: type) -> Callable[[Any], Any]:
    """Return a function that returns a value of one of these types as the first of them, and refuses others."""

    def read(value: Any) -> Any:
        # A bool is an int to Python.
        if type(value) not in kinds:
            raise TypeError
        return kinds[0](value)

    return read


def _list_of(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: tuple(read(item) for item in _one_of(list)(value))


def _text(value: Any) -> str:
    """Return a text that a table can hold: one without half of a pair of surrogates."""
    text: str = _one_of(str)(value)
    text.encode()
    return text


def _whole_number(value: Any) -> int:
    """Return a number that a table can hold, in 64 bits."""
    number: int = _one_of(int)(value)
    number.to_bytes(8, "little", signed=True)
    return number


_READERS: Mapping[Any, Callable[[Any], Any]] = {
    str: _text,
    Path: _one_of(str),
    int: _whole_number,
    float: _one_of(float, int),
    bytes: lambda value: base64.b64decode(_one_of(str)(value), validate=True),
    tuple[float, ...]: _list_of(_one_of(float, int)),
    tuple[str, ...]: _list_of(_text),
}
"""How the values of each kind of column are read from JSON; TypeError and ValueError say that one is of another."""


def _number(value: Any) -> int | float:
    """Return a number of numpy's as one of Python's."""
    if isinstance(value, np.integer | np.floating):
        return value.item()
    raise TypeError(f"no column holds values such as {value!r:.100}")
