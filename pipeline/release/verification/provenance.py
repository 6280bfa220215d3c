"""Checks of the two tables of a release: they must agree with each other and with `release.json`, and not leak."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.photos.stored_shape import stored_shape
from dpedtool.dataset.photos.thumbnails import LONGER_SIDE_PX, is_small
from dpedtool.dataset.sections import PUBLISHED_NAME
from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.release.chunks import Chunk, chunks_of
from dpedtool.pipeline.release.columns import PAIRS, PAIRS_SCHEMA, PATCHES, PATCHES_SCHEMA
from dpedtool.pipeline.release.description import RELEASE
from dpedtool.pipeline.release.verification.archives import fault_of_unpacking
from dpedtool.pipeline.release.verification.listing import one_line
from dpedtool.pipeline.release.verification.statement import Statement
from dpedtool.pipeline.release.verification.table_form import DAMAGED, MOST_ROWS_A_GROUP, faults_of_form
from dpedtool.pipeline.release.verification.values import faults_of_values
from dpedtool.pipeline.split.near_duplicates import Limits, View
from dpedtool.pipeline.split.verification import check_one_side, check_views

_OF_PATCHES = (
    *("patch_id", "phone", "split", "number", "file", "pair_id", "scene_id", "size", "target_scale"),
    *("phone_photo", "dslr_photo"),
    *("phone_sha256", "dslr_sha256", "phone_image_sha256", "dslr_image_sha256"),
)
_SHARED = ("phone", "split", "scene_id", "phone_photo", "dslr_photo", "phone_sha256", "dslr_sha256")
"""Columns in which a patch must agree with its pair."""
_MOST_MINUTES = 1e8
NO_VIEWS = (
    "Views could not be compared across the sides of the split: the release has no thumbnails of its photos "
    "(release.thumbnails)."
)
"""What is said about a release in which `has_views` finds none."""
_EARLIEST = datetime(2000, 1, 1)
"""The day from which minutes are counted. Any day will do, since they are only compared."""


@dataclass(frozen=True)
class Tables:
    """The contents of the tables."""

    patches: pd.DataFrame
    """All patches, without their measurements."""
    pairs: pd.DataFrame
    """All pairs."""
    chunks: Sequence[Chunk]


@dataclass(frozen=True)
class _Pair:
    """A pair of photos and its side."""

    pair_id: str
    split: str


def read_tables(folder: Path) -> tuple[Tables | None, list[str]]:
    """Return the tables, or None and the reasons if one of them is not as this version writes it.

    Impossible numbers are faults. If the rows are not grouped like the files of the layouts, that is a fault too, and
    no chunks are returned.
    """
    faults = [*faults_of_form(folder, PATCHES, PATCHES_SCHEMA), *faults_of_form(folder, PAIRS, PAIRS_SCHEMA)]
    if faults:
        return None, faults
    try:
        unread = [f"{name}: {fault}" for name in (PATCHES, PAIRS) if (fault := fault_of_unpacking(folder / name))]
        if unread:
            return None, unread
        patches = _read(folder / PATCHES, _OF_PATCHES)
        if bad := [f"{PATCHES}: {fault}" for fault in _unusable(patches)]:
            return None, bad
        pairs = _read(folder / PAIRS)
        schemas = {PATCHES: PATCHES_SCHEMA, PAIRS: PAIRS_SCHEMA}
        faults = [f"{name}: {fault}" for name, of in schemas.items() for fault in faults_of_values(folder / name, of)]
    except DAMAGED as error:
        return None, [f"{PATCHES} or {PAIRS}: it is damaged: {one_line(error)}."]
    try:
        return Tables(patches, pairs, chunks_of(folder / PATCHES)), faults
    except DpedtoolError as error:
        return Tables(patches, pairs, ()), [*faults, str(error).replace(str(folder / PATCHES), PATCHES)]


def check_tables(tables: Tables, statement: Statement | None) -> tuple[list[str], list[str]]:
    """Check that patches, pairs and `release.json` agree.

    Returns
    -------
    faults, said
        What is wrong, and what was found to be right, one line each.

    """
    patches, pairs = tables.patches, tables.pairs
    faults = [
        *_twice(patches["patch_id"], PATCHES),
        *_twice(pairs["pair_id"], PAIRS),
        *_faults_of_order(tables.chunks, statement),
        *_faults_of_pairs(patches, pairs),
    ]
    if statement:
        faults += _faults_of_counts(tables, statement)
        if has_views(pairs) != statement.params.thumbnails:
            has, says = ("has", "says that it has none") if has_views(pairs) else ("has no", "says that it has")
            faults.append(f"{PAIRS}: it {has} thumbnails, but {RELEASE} {says}.")
    if faults:
        return faults, []
    return [], [
        f"The tables agree with each other and with {RELEASE}: {_counted(len(patches), 'patch')} of "
        f"{_counted(len(pairs), 'pair')}, {_counted(patches['phone'].nunique(), 'phone')} and "
        f"{_counted(patches['scene_id'].nunique(), 'scene')}."
    ]


def check_sides(tables: Tables) -> tuple[list[str], list[str]]:
    """Check that nothing is on two sides of the split. Views are compared if the table of pairs has thumbnails.

    The limits are those of the split. If they are laxer than the defaults of `SplitParams`, the result also says what
    the defaults would find: a release cannot hide similar views by stating lax limits.

    Returns
    -------
    faults, said
        What leaks, and what does not, one line each.

    """
    pairs = tables.pairs
    sided = [_Pair(*row) for row in zip(pairs["pair_id"], pairs["split"], strict=True)]
    names = {
        "scene": "scene_id",
        "group of scenes": "group",
        "DSLR frame, by SHA-256,": "dslr_sha256",
        "phone photo, by SHA-256,": "phone_sha256",
    }
    checks = [_check_images(tables.patches)]
    checks += [check_one_side(what, zip(pairs[column], sided, strict=True)) for what, column in names.items()]
    faults: list[str] = []
    if has_views(pairs):
        unusable = _faults_of_thumbnails(pairs)
        faults += [f"{PAIRS}: pair {name}: {fault}" for name, fault in unusable.items()]
        checks.append(_check_views(pairs, set(unusable)))
    faults += [
        f"{PATCHES if number == 0 else PAIRS}: {leak}." for number, (leaks, _) in enumerate(checks) for leak in leaks
    ]
    return [*faults, *_faults_of_limits(pairs)], [counted for leaks, counted in checks if not leaks]


def _read(path: Path, names: Sequence[str] | None = None) -> pd.DataFrame:
    with pq.ParquetFile(path) as file:
        frame: pd.DataFrame = file.read(list(names) if names else None).to_pandas()
    return frame


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def _unusable(patches: pd.DataFrame) -> Iterator[str]:
    """Report phones that would lead out of the folder, as file names are made from them, and unknown splits."""
    for phone in patches["phone"].unique():
        if not re.fullmatch(PUBLISHED_NAME, phone):
            yield f"its phone {phone!r:.80} cannot be the name of a folder."
    for split in sorted(set(patches["split"].unique()) - set(SPLITS)):
        yield f"its split {split!r:.80} is not one of {', '.join(SPLITS)}."


def _twice(names: pd.Series[str], table: str) -> list[str]:
    return [f"{table}: {name} appears more than once." for name in sorted(names[names.duplicated()].unique())]


def _faults_of_order(chunks: Sequence[Chunk], statement: Statement | None) -> Iterator[str]:
    """Check that the files of each phone and split are consecutive, and that all but the last are full."""
    most = statement.params.patches_a_file if statement else MOST_ROWS_A_GROUP
    seen: set[tuple[str, str]] = set()
    for key, group in groupby(chunks, key=lambda chunk: (chunk.phone, chunk.split)):
        pieces = list(group)
        if key in seen:
            yield f"{PATCHES}: the rows of {key[0]}, {key[1]} are not in one block."
        seen.add(key)
        first = 0
        for index, piece in enumerate(pieces):
            if (piece.index, piece.first) != (index, first):
                yield (
                    f"{PATCHES}: row group {piece.row_group}, {key[0]}, {key[1]}, is file {piece.index} from number "
                    f"{piece.first}, but should be file {index} from number {first}."
                )
            first = piece.first + piece.count
        full = [piece.count for piece in pieces[:-1]]
        if statement and (any(count != most for count in full) or pieces[-1].count > most):
            yield f"{PATCHES}: the files of {key[0]}, {key[1]} do not hold {most} patches each, as {RELEASE} says."


def _faults_of_pairs(patches: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[str]:
    """Check that each patch belongs to a pair of the table, and agrees with it."""
    known = {row["pair_id"]: row for row in _records(pairs[["pair_id", "accepted", *_SHARED]])}
    combined = patches.groupby(["pair_id", *_SHARED], sort=True).size().rename("count").reset_index()
    for row in _records(combined):
        pair_id, count = row["pair_id"], row["count"]
        if pair_id not in known:
            yield f"{PATCHES}: {_patches(count)} of the pair {pair_id}, which is not in {PAIRS}."
            continue
        for name in _SHARED:
            if row[name] != (other := known[pair_id][name]):
                yield (
                    f"{PATCHES}: {_patches(count)} of the pair {pair_id} with {name} {row[name]!r:.80}, but {PAIRS} "
                    f"has {other!r:.80}."
                )
    counts = patches["pair_id"].value_counts()
    for pair_id, pair in known.items():
        if (found := int(counts.get(pair_id, 0))) != (accepted := pair["accepted"]):
            yield f"{PAIRS}: pair {pair_id}: {PATCHES} has {found} of the {accepted} patches that were cut from it."


def _faults_of_counts(tables: Tables, statement: Statement) -> Iterator[str]:
    patches = tables.patches
    found = patches.groupby(["phone", "split"]).size().to_dict()
    for phone in sorted({*statement.counts, *patches["phone"].unique()}):
        for split in SPLITS:
            told, there = statement.counts.get(phone, {}).get(split, 0), found.get((phone, split), 0)
            if told != there:
                yield f"{RELEASE}: its count of patches of {phone}, {split} is {told}, but {PATCHES} has {there}."
    if statement.pairs != len(tables.pairs):
        yield f"{RELEASE}: its count of pairs is {statement.pairs}, but {PAIRS} has {len(tables.pairs)}."
    sizes = sorted(set(patches["size"].unique()) - {statement.size_px})
    if sizes:
        found_px = ", ".join(map(str, sizes[:5]))
        yield f"{PATCHES}: it has patches of {found_px} px, but {RELEASE} says {statement.size_px} px."
    scales = sorted(set(patches["target_scale"].unique()) - {statement.target_scale})
    if scales:
        found_scales = ", ".join(map(str, scales[:5]))
        yield f"{PATCHES}: its target_scale is {found_scales}, but {RELEASE} says {statement.target_scale}."
    splits = dict(zip(tables.pairs["pair_id"], tables.pairs["split"], strict=True))
    for photo in statement.photos:
        if (side := splits.get(photo["pair_id"], "")) != "test":
            side = f"is in {side}" if side else f"is not in {PAIRS}"
            yield f"{photo['file']}: it is a full-size test photo, but its pair {photo['pair_id']} {side}."


def _patches(count: int) -> str:
    return f"there {'is' if count == 1 else 'are'} {_counted(count, 'patch')}"


def _counted(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def _check_images(patches: pd.DataFrame) -> tuple[list[str], str]:
    images = pd.concat(
        patches[["patch_id", "split", f"{side}_image_sha256"]].set_axis(["patch", "split", "sha256"], axis=1)
        for side in ("phone", "dslr")
    )
    sides = images.groupby("sha256")["split"].nunique()
    twice = images[images["sha256"].isin(sides.index[sides > 1])]
    leaks = [
        f"The same image is on {rows['split'].nunique()} sides: "
        + ", ".join(f"{row.patch} in {row.split}" for row in rows.sort_values(["split", "patch"]).itertuples())
        for _, rows in twice.groupby("sha256", sort=True)
    ]
    return leaks, f"No image of a patch, by SHA-256, is on two sides: {len(sides)} checked."


def has_views(pairs: pd.DataFrame) -> bool:
    """Return whether the table of pairs has thumbnails. Views are compared by them."""
    return not pairs["thumbnail"].isna().all()


def _faults_of_thumbnails(pairs: pd.DataFrame) -> dict[str, str]:
    """Return pairs whose view cannot be compared, and why."""
    faults = {}
    for pair_id, thumbnail, minute in zip(pairs["pair_id"], pairs["thumbnail"], pairs["minute"], strict=True):
        if thumbnail is None:
            faults[pair_id] = "it has no thumbnail, but others have."
        elif not _is_thumbnail(thumbnail):
            faults[pair_id] = f"its thumbnail is not a grey JPEG of at most {LONGER_SIDE_PX} px."
        elif not pd.isna(minute) and not 0 <= minute <= _MOST_MINUTES:
            faults[pair_id] = f"its minute {minute} is not a time after the earliest photo."
    return faults


def _is_thumbnail(content: bytes) -> bool:
    # The header is read first, as it may claim an image that is larger than the memory.
    channels = (stored_shape(content) or (0, 0, 0, 0))[2]
    return (
        is_small(content)
        and channels == 1
        and cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) is not None
    )


def _check_views(pairs: pd.DataFrame, left_out: Container[str]) -> tuple[list[str], str]:
    usable = pairs[[name not in left_out for name in pairs["pair_id"]]].drop_duplicates("dslr_sha256")
    if usable.empty:
        return [], "No view could be compared."
    limits, usual = _limits(usable), _usual_limits()
    rows = {row["dslr_sha256"]: row for row in _records(usable)}
    kept = {name: _Pair(row["pair_id"], row["split"]) for name, row in rows.items()}
    views = [View(name, row["thumbnail"], _time(row["minute"])) for name, row in rows.items()]
    leaks, said = check_views(kept, views, limits)
    if limits.minutes >= usual.minutes and limits.keypoints <= usual.keypoints:
        return leaks, said
    stricter = Limits(max(limits.minutes, usual.minutes), min(limits.keypoints, usual.keypoints))
    others = check_views(kept, views, stricter)[0]
    first = f", the first: {others[0]}" if others else "."
    return leaks, (
        f"{said} These limits are laxer than the usual {usual.keypoints} and {usual.minutes:g}. By the usual ones "
        f"{len(others)} more would be on two sides{first}"
    )


def _usual_limits() -> Limits:
    usual = SplitParams()
    return Limits(usual.near_minutes, usual.near_keypoints)


def _limits(pairs: pd.DataFrame) -> Limits:
    """Return the limits of the split, the strictest ones if they differ, or the defaults if they are impossible."""
    if _faults_of_limits(pairs):
        return _usual_limits()
    return Limits(float(pairs["near_minutes"].max()), int(pairs["near_keypoints"].min()))


def _faults_of_limits(pairs: pd.DataFrame) -> list[str]:
    faults = []
    for name in ("near_minutes", "near_keypoints"):
        for value in dict.fromkeys([pairs[name].min(), pairs[name].max()]):
            try:
                SplitParams(**{name: value.item()})
            except DpedtoolError as error:
                faults.append(f"{PAIRS}: its {name} cannot be those of a split: {error}")
    return faults


def _time(minute: float) -> datetime | None:
    return None if pd.isna(minute) else _EARLIEST + timedelta(minutes=minute)
