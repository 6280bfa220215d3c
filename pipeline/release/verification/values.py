"""Impossible numbers in the tables of a release."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

_MOST_PX = 1e6
"""Larger than the side of any photo."""
_RANGES = {
    "px": (-_MOST_PX, _MOST_PX),
    "phone px": (-_MOST_PX, _MOST_PX),
    "-1..1": (-1.0, 1.0),
    "0..1": (0.0, 1.0),
    "grey levels": (0.0, 255.0),
}
"""Lowest and highest value by unit."""
_NEVER_BELOW_0 = frozenset(
    {
        *("size", "residual_px", "residual_error_px", "phone_sharpness", "dslr_sharpness", "dslr_width", "dslr_height"),
        *("phone_width", "phone_height", "windows", "accepted", "number", "file", "minute", "bend_px"),
    }
)
_ROUNDING = 1e-6


def faults_of_values(path: Path, schema: pa.Schema) -> list[str]:
    """Return which columns of a table hold impossible numbers, one sentence each. Row groups are read one at a time.

    Floats must be finite, and numbers must be in the range of their unit, which `schema` has in the fields' metadata.
    Empty values are accepted.

    Raises
    ------
    pa.ArrowException, OSError
        The file is damaged, or cannot be read.

    """
    columns = [field for field in schema if _is_number(_innermost(field.type))]
    faults: dict[str, str] = {}
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, [field.name for field in columns])
            for field in columns:
                for fault in _faults_of(field, rows[field.name]):
                    faults.setdefault(field.name, fault)
    return list(faults.values())


def _faults_of(field: pa.Field, column: pa.ChunkedArray) -> Iterator[str]:
    numbers = _numbers(column)
    low, high = _RANGES.get(field.metadata[b"unit"].decode(), (-math.inf, math.inf))
    low = max(low, 0.0) if field.name in _NEVER_BELOW_0 else low
    if len(infinite := numbers[~np.isfinite(numbers)]):
        yield f"its column {field.name} has a value that is not a finite number: {infinite[0]}."
    elif len(others := numbers[(numbers < low - _ROUNDING) | (numbers > high + _ROUNDING)]):
        yield f"its column {field.name} has {others[0]:g}, which is not between {low:g} and {high:g}."


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    values = pc.list_flatten(column) if pt.is_list(column.type) else column
    return np.asarray(values.drop_null().cast(pa.float64(), safe=False).to_numpy())


def _innermost(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pt.is_list(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_floating(kind) or pt.is_integer(kind))
