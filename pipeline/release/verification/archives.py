"""Checks of whole tar shards and parquet files: they must hold the patches of the table, and nothing else."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpedtool.pipeline.geometry.aligned import nodes_per_side
from dpedtool.pipeline.release.columns import FACTS, PATCHES
from dpedtool.pipeline.release.layouts import embedded
from dpedtool.pipeline.release.layouts.webdataset import known_of

_MEMBER = re.compile(r"(.+?)\.(?:(?:phone|dslr|(?:frame|dslr)\d{2,4})\.(?:png|jpg)|json)")
_MOST_FACTS = 2**26
"""Most bytes, unpacked, of the columns of a file other than the images."""
_MOST_SHARED = 2**16
"""Most bytes of a value that is stored once for many rows; a thumbnail has fewer."""
_MOST_VALUES_A_ROW = 16
"""Most values in a row of columns other than `bends` and `tags`; a homography has nine."""
_MOST_TAGS_A_ROW = _MOST_FRAMES_A_ROW = 1000
_MOST_NODES_A_ROW, _MOST_NODES = 2 * nodes_per_side(2048) ** 2, 2**28
"""Most values of `bends` in a row, and in a row group, so that reading it takes at most 2 GB."""
_HUBS = b"huggingface"
Stacks = Mapping[str, Sequence[Mapping[str, Any]]]
"""The facts of the frames of each patch; empty for a release without stacks."""


def faults_of_tar(path: Path, rows: pa.Table, stacks: Stacks) -> tuple[list[str], list[str]]:
    """Compare the members of a tar shard with the rows of the table of patches, and with the facts of their frames.

    Returns
    -------
    stopping, others
        What is wrong with it. The shard must not be read any further if there is anything in `stopping`.

    Raises
    ------
    tarfile.TarError, OSError
        The file is damaged, or cannot be read.

    """
    known = rows.select(["patch_id", *FACTS]).to_pylist()
    facts = {row["patch_id"]: known_of(row, stacks.get(row["patch_id"], ())) for row in known}
    most = path.stat().st_size
    faults: list[str] = []
    names: set[str] = set()
    with tarfile.open(path, "r:") as shard:
        for member in shard:
            if not member.isreg() or member.issparse() or member.size > most:
                return [f"its member {member.name!r} is not a plain file: it was not unpacked."], faults
            if member.name in names:
                faults.append(f"it contains the member {member.name!r} twice.")
            names.add(member.name)
            faults += _faults_of_member(shard, member, facts)
    lacking = [name for name in facts if f"{name}.json" not in names]
    return [], [*faults, *(f"patch {name}: its json is missing." for name in lacking)]


def _faults_of_member(shard: tarfile.TarFile, member: tarfile.TarInfo, facts: dict[str, Any]) -> Iterator[str]:
    found = _MEMBER.fullmatch(member.name)
    if not found or found[1] not in facts:
        yield f"its member {member.name!r} does not belong to any of its patches."
    elif member.name.endswith(".json"):
        file = shard.extractfile(member)
        if file and not _says(file.read(), facts[found[1]]):
            yield f"patch {found[1]}: its json differs from {PATCHES}."


def _says(content: bytes, facts: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(content) == facts)
    except (ValueError, RecursionError):
        return False


def faults_of_parquet(path: Path, rows: pa.Table, stacks: Stacks) -> tuple[list[str], list[str]]:
    """Compare a parquet file of images with the rows of the table of patches; returns the same as `faults_of_tar`.

    Raises
    ------
    pa.ArrowException, OSError
        The file is damaged, or cannot be read.

    """
    schema = embedded.STACKS_SCHEMA if stacks else embedded.SCHEMA
    if stacks:
        texts = [embedded.frames_text(stacks[name]) for name in rows["patch_id"].to_pylist()]
        rows = rows.append_column(embedded.FRAMES, pa.array(texts))
    names = ["patch_id", *FACTS, *([embedded.FRAMES] if stacks else [])]
    with pq.ParquetFile(path) as file:
        if fault := _fault_of_schema(file, schema) or _fault_of_extent(file, path.stat().st_size, rows.num_rows):
            return [fault], []
        facts = file.read(names)
        hubs = (file.schema_arrow.metadata or {}).get(_HUBS) == schema.metadata[_HUBS]
    differing = [name for name in facts.column_names if not _equal(facts[name], rows[name])]
    others = [f"its column {name} differs from {PATCHES}." for name in differing]
    return [], others + ([] if hubs else ["it does not say which of its columns are images, as `datasets` needs."])


def fault_of_unpacking(path: Path) -> str:
    """Say whether a parquet file holds so much more than its size suggests that reading it could fill the memory.

    It checks the metadata at the end of the file, and texts and bytes that are stored once and used in many rows.

    Raises
    ------
    pa.ArrowException, OSError
        The file is damaged, or cannot be read.

    """
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        columns = [group.column(index) for group in groups for index in range(group.num_columns)]
        if any(_is_wide(column, metadata.num_rows) for column in columns):
            return "it has far more values than rows: it was not read."
        shared = {
            column.path_in_schema
            for column in columns
            if column.physical_type == "BYTE_ARRAY" and any("DICTIONARY" in encoding for encoding in column.encodings)
        }
    return next((fault for name in sorted(shared) if (fault := _fault_of_shared(path, name))), "")


def _is_wide(column: pq.ColumnChunkMetaData, rows: int) -> bool:
    """Whether a column of one row group holds more values than a release has."""
    if column.path_in_schema.startswith("bends."):
        return bool(column.num_values > min(_MOST_NODES_A_ROW * rows, _MOST_NODES))
    if column.path_in_schema.startswith((f"{embedded.FRAME_IMAGES}.", f"{embedded.TARGET_IMAGES}.")):
        return bool(column.num_values > _MOST_FRAMES_A_ROW * rows)
    if column.path_in_schema.startswith("tags."):
        return bool(column.num_values > _MOST_TAGS_A_ROW * rows)
    return bool(column.num_values > _MOST_VALUES_A_ROW * rows)


def _fault_of_shared(path: Path, name: str) -> str:
    if "." in name:
        return f"its column {name} is stored as a dictionary, which may unpack to any size: it was not read."
    with pq.ParquetFile(path, read_dictionary=[name]) as file:
        for group in range(file.num_row_groups):
            for chunk in file.read_row_group(group, [name])[name].chunks:
                if (pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0) > _MOST_SHARED:
                    return f"its column {name} has a value of more than {_MOST_SHARED} bytes: it was not read."
    return ""


def _fault_of_schema(file: pq.ParquetFile, schema: pa.Schema) -> str:
    wanted = {column.name: column.type for column in schema}
    found = {column.name: column.type for column in file.schema_arrow}
    if wanted == found:
        return ""
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    return f"its columns are not those of a release: {', '.join(differing)[:200]}."


def _fault_of_extent(file: pq.ParquetFile, size: int, count: int) -> str:
    """Refuse a file whose metadata says that it unpacks to too much: images are not compressed, and facts are small."""
    if file.metadata.num_rows != count:
        return f"it has {file.metadata.num_rows} patches, but the table of patches lists {count} in it."
    images = facts = 0
    for group in range(file.metadata.num_row_groups):
        for index in range(file.metadata.num_columns):
            column = file.metadata.row_group(group).column(index)
            if "." in column.path_in_schema:
                images += column.total_uncompressed_size
            else:
                facts += column.total_uncompressed_size
    return "it unpacks to far more than its size: it was not read." if images > size or facts > _MOST_FACTS else ""


def _equal(one: pa.ChunkedArray, two: pa.ChunkedArray) -> bool:
    # For Arrow, NaN differs from NaN.
    return bool(one.equals(two) or one.to_pandas().equals(two.to_pandas()))
