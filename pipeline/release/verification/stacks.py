"""Checks of the table of stacks of a release: it must describe the frames of the patches, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dpedtool.pipeline.release.chunks import numbers_of
from dpedtool.pipeline.release.columns import PATCHES, STACKS, STACKS_SCHEMA
from dpedtool.pipeline.release.description import RELEASE
from dpedtool.pipeline.release.verification.archives import fault_of_unpacking
from dpedtool.pipeline.release.verification.listing import Listing, one_line
from dpedtool.pipeline.release.verification.provenance import Tables
from dpedtool.pipeline.release.verification.statement import Statement
from dpedtool.pipeline.release.verification.table_form import DAMAGED, MOST_ROWS_A_GROUP, faults_of_form
from dpedtool.pipeline.release.verification.values import faults_of_values

MOST_FRAMES = 1000
"""Most frames of a patch."""


def check_stacks(
    folder: Path, listing: Listing, statement: Statement | None, tables: Tables | None
) -> tuple[list[str], list[str]]:
    """Check the columns and values of `stacks.parquet`, and compare its frames with the patches.

    Nothing is said of a release without stacks: `check_documents` says whether it should have the table.

    Parameters
    ----------
    folder
        The release.
    listing
        Its files.
    statement
        What `release.json` says; None if it cannot be used.
    tables
        Its other tables; None if they cannot be used.

    Returns
    -------
    faults, said
        What is wrong, and what was found to be right, one line each. The table must not be used if there are faults.

    """
    if not listing.holds(STACKS) or (statement and not statement.stacks):
        return [], []
    faults = [fault.removeprefix(f"{STACKS}: ") for fault in _faults_of_form(folder)]
    if not faults and tables:
        try:
            faults = [*faults_of_values(folder / STACKS, STACKS_SCHEMA), *_faults_of_frames(folder, statement, tables)]
        except DAMAGED as error:
            faults = [f"it is damaged: {one_line(error)}."]
    if faults or not tables:
        return [f"{STACKS}: {fault}" for fault in faults], []
    return [], [f"{STACKS} describes the frames of all patches in the order of {PATCHES}."]


def _faults_of_form(folder: Path) -> list[str]:
    if faults := faults_of_form(folder, STACKS, STACKS_SCHEMA, MOST_ROWS_A_GROUP * MOST_FRAMES):
        return faults
    try:
        fault = fault_of_unpacking(folder / STACKS)
    except DAMAGED as error:
        fault = f"it is damaged: {one_line(error)}."
    return [fault] if fault else []


def _faults_of_frames(folder: Path, statement: Statement | None, tables: Tables) -> Iterator[str]:
    """Compare the frames with the patches, row group by row group, and stop at the first fault of order."""
    with pq.ParquetFile(folder / STACKS) as frames, pq.ParquetFile(folder / PATCHES) as patches:
        if statement and frames.metadata.num_rows != statement.stacks:
            yield f"it has {frames.metadata.num_rows} rows, but {RELEASE} says {statement.stacks}."
        if frames.num_row_groups != len(tables.chunks):
            yield f"it has {frames.num_row_groups} row groups, but {PATCHES} has {len(tables.chunks)}."
            return
        for chunk in tables.chunks:
            of = frames.read_row_group(chunk.row_group, ["patch_id", "frame", "role", "reference", "image_sha256"])
            names = patches.read_row_group(chunk.row_group, ["patch_id", "frames", "targets", "phone_image_sha256"])
            if fault := _fault_of_group(of, names):
                yield f"row group {chunk.row_group}: {fault}"
                return


def _fault_of_group(frames: pa.Table, patches: pa.Table) -> str:
    rows = iter(frames.to_pylist())
    for patch in patches.to_pylist():
        name, count, further = patch["patch_id"], patch["frames"], numbers_of(patch["targets"])
        own = [row for _, row in zip(range(count), rows, strict=False)]
        if len(own) != count or not count or any(row["patch_id"] != name for row in own):
            return f"its rows are not the {count} frames of the patch {name:.80}, as {PATCHES} says."
        targets = [row for _, row in zip(range(len(further)), rows, strict=False)]
        if any(row["patch_id"] != name or row["role"] != "target" or not row["reference"] for row in targets):
            return f"its rows are not the further targets of the patch {name:.80}, as {PATCHES} says."
        if tuple(row["frame"] for row in targets) != further:
            return f"the numbers of the further targets of the patch {name:.80} are not those in {PATCHES}."
        numbers, bases = [row["frame"] for row in own], [row for row in own if row["role"] == "base"]
        if numbers != sorted(set(numbers)):
            return f"the frames of the patch {name:.80} are not in the order of their numbers, each once."
        if len(bases) != 1 or any(row["role"] not in ("base", "frame") for row in own):
            return f"the patch {name:.80} does not have one base frame."
        if bases[0]["image_sha256"] != patch["phone_image_sha256"]:
            return f"the base frame of the patch {name:.80} is not the image of the patch."
    return f"it has frames of no patch of {PATCHES}." if next(rows, None) else ""
