"""Checks of the table of scenes of a release: it must describe the scenes of the pairs, on their sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.release.columns import PAIRS, SCENES, SCENES_SCHEMA
from dpedtool.pipeline.release.scenes import refused
from dpedtool.pipeline.release.verification.archives import fault_of_unpacking
from dpedtool.pipeline.release.verification.listing import Listing, one_line
from dpedtool.pipeline.release.verification.statement import Statement
from dpedtool.pipeline.release.verification.table_form import DAMAGED, faults_of_form
from dpedtool.pipeline.split.verification import check_one_side


@dataclass(frozen=True)
class _Scene:
    """A scene and its side, as the check of groups needs them."""

    pair_id: str
    """Name of the scene."""
    split: str


def check_scenes(
    folder: Path, listing: Listing, statement: Statement | None, pairs: pd.DataFrame | None
) -> tuple[list[str], list[str]]:
    """Check the columns and values of `scenes.parquet`, and compare its scenes and sides with those of the pairs.

    Nothing is said of a release without the table: `check_documents` says whether it should have one.

    Parameters
    ----------
    folder
        The release.
    listing
        Its files.
    statement
        What `release.json` says; None if it cannot be used.
    pairs
        The table of pairs; None if it cannot be used.

    Returns
    -------
    faults, said
        What is wrong, and what was found to be right, one line each.

    """
    if not listing.holds(SCENES) or (statement and not statement.has_scenes):
        return [], []
    rows, faults = _read(folder)
    if rows is not None:
        faults = [*_faults_of_values(rows), *([] if pairs is None else _faults_of_sides(rows, pairs))]
    if faults or rows is None or pairs is None:
        return [f"{SCENES}: {fault}" for fault in faults], []
    scenes = "1 scene" if len(rows) == 1 else f"{len(rows)} scenes"
    return [], [f"{SCENES} describes the {scenes} of {PAIRS}, on the same sides."]


def _read(folder: Path) -> tuple[Sequence[Mapping[str, Any]] | None, list[str]]:
    """Return the rows; or None, and what is wrong with the file."""
    if faults := faults_of_form(folder, SCENES, SCENES_SCHEMA):
        return None, [fault.removeprefix(f"{SCENES}: ") for fault in faults]
    try:
        if fault := fault_of_unpacking(folder / SCENES):
            return None, [fault]
        with pq.ParquetFile(folder / SCENES) as file:
            return file.read().to_pylist(), []
    except DAMAGED as error:
        return None, [f"it is damaged: {one_line(error)}."]


def _faults_of_values(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for row in rows:
        name = row["scene_id"]
        if name in seen:
            yield f"{name:.80} appears more than once."
        seen.add(name)
        if row["split"] not in SPLITS:
            yield f"scene {name:.80}: its split {row['split']!r:.80} is not one of {', '.join(SPLITS)}."
        if fault := _fault_of_tags(row["tags"]):
            yield f"scene {name:.80}: {fault}"
        if refused(row["consent"]):
            yield f"scene {name:.80}: it must not be released, as its consent is {row['consent']!r:.80}."
    grouped = ((row["group"], _Scene(row["scene_id"], row["split"])) for row in rows if row["group"])
    leaks, _ = check_one_side("group of the table of scenes", grouped)
    yield from (f"{leak}." for leak in leaks)


def _fault_of_tags(tags: Sequence[str | None]) -> str:
    for tag in tags:
        if not tag or not tag.partition("=")[0] or not tag.partition("=")[2]:
            return f"its tag {tag!r:.80} is not KEY=VALUE."
    keys = Counter(str(tag).partition("=")[0] for tag in tags)
    twice = next((key for key, count in keys.items() if count > 1), None)
    return f"it has two values of the tag {twice!r:.80}." if twice else ""


def _faults_of_sides(rows: Sequence[Mapping[str, Any]], pairs: pd.DataFrame) -> Iterator[str]:
    sides = {row["scene_id"]: row["split"] for row in rows}
    wanted = dict(zip(pairs["scene_id"], pairs["split"], strict=True))
    for name in sorted(wanted.keys() - sides.keys()):
        yield f"it lacks the scene {name:.80} of {PAIRS}."
    for name in sorted(sides.keys() - wanted.keys()):
        yield f"its scene {name:.80} is not in {PAIRS}."
    for name in sorted(sides.keys() & wanted.keys()):
        if sides[name] != wanted[name]:
            yield f"its scene {name:.80} is in {sides[name]!r:.80}, but in {PAIRS} in {wanted[name]!r:.80}."
