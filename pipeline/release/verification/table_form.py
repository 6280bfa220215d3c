"""The form of the tables of a release: their columns, and how large they say that they are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dpedtool.pipeline.release.verification.listing import one_line

DAMAGED = (pa.ArrowException, OSError, ValueError, LookupError)
"""What pyarrow raises for tables that are damaged; a name that differs between two places of one gives a KeyError."""
MOST_ROWS_A_GROUP = 100_000
"""The largest allowed `patches_a_file`."""
_MOST_UNPACKED = 2**31
"""Most bytes of a table, enough for more than a million patches."""


def faults_of_form(folder: Path, name: str, schema: pa.Schema, most_rows_a_group: int = MOST_ROWS_A_GROUP) -> list[str]:
    """Return how a file differs from the schema of a table, one line each. Only the end of the file is read.

    Parameters
    ----------
    folder
        The release.
    name
        The file's name in it.
    schema
        The schema that it must have.
    most_rows_a_group
        Most rows in a row group.

    """
    try:
        with pq.ParquetFile(folder / name) as file:
            found, metadata = file.schema_arrow, file.metadata
    except FileNotFoundError:
        return [f"{name}: it is missing."]
    except DAMAGED as error:
        return [f"{name}: it is not a readable parquet file: {one_line(error)}."]
    faults = [f"it has no column {column.name}." for column in schema if column.name not in found.names]
    faults += [f"its column {column} is not part of a release." for column in found.names if column not in schema.names]
    faults += [
        f"its column {column.name} is {kind}, but should be {column.type}{'' if column.nullable else ', never empty'}."
        for column in schema
        if column.name in found.names
        and ((kind := (other := found.field(column.name)).type) != column.type or other.nullable != column.nullable)
    ]
    return [f"{name}: {fault}" for fault in faults + _faults_of_extent(metadata, most_rows_a_group)]


def _faults_of_extent(metadata: pq.FileMetaData, most: int) -> list[str]:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    if not metadata.num_rows or not all(group.num_rows for group in groups):
        return ["it has no rows, or an empty row group."]
    largest = max(group.num_rows for group in groups)
    if largest > most or sum(group.total_byte_size for group in groups) > _MOST_UNPACKED:
        return [f"it unpacks to far more than a release has ({metadata.num_rows} rows): it was not read."]
    return []
