"""What changed from one release to the next: scenes and patches that were added, removed, moved or cut again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.regular_files import check_regular
from dpedtool.dataset.tables import DAMAGED_TABLE, MOST_TABLE_BYTES
from dpedtool.pipeline.release.columns import PAIRS, PATCHES, SCENES, STACKS
from dpedtool.pipeline.release.scenes import shortened

NEAR_SHARE = 0.1
"""A patch of the same pair whose place differs by at most this share of its side is the same one, cut again: another
transform has moved the crop by some px."""

_OF_PATCHES = ("patch_id", "pair_id", "phone", "scene_id", "split", "size", "x", "y")
_IMAGES = ("phone_image_sha256", "dslr_image_sha256")
_FRAMES = "frame_images"
_OF_PAIRS = ("pair_id", "phone", "scene_id", "split")
_OF_SCENES = ("session", "group", "tags", "licence", "consent")


@dataclass(frozen=True)
class Changes:
    """What differs between two releases. Lists are sorted; a scene or patch is in one list of its kind at most."""

    scenes_added: list[str]
    scenes_removed: list[str]
    scenes_moved: dict[str, tuple[str, str]]
    """Earlier and later split of scenes that are in both, by name."""
    patches_added: list[str]
    """Patches of pairs that only the later release has."""
    patches_removed: list[str]
    """Patches of pairs that only the earlier release has."""
    patches_accepted: list[str]
    """Patches of pairs that both have, and that only the later release has: other filters, or another alignment."""
    patches_rejected: list[str]
    """Patches of pairs that both have, and that only the earlier release has."""
    patches_cut_again: dict[str, str]
    """Patches that are in both, and whose images differ: the later name by the earlier one."""
    patches_unchanged: int
    scenes_redescribed: list[str] = field(default_factory=list)
    """Scenes that are in both, with another session, group, tags, licence or consent; empty if a release has no table
    of scenes."""

    @property
    def is_empty(self) -> bool:
        """Whether both releases hold the same patches on the same sides, and say the same about their scenes."""
        scenes = (self.scenes_added, self.scenes_removed, self.scenes_moved, self.scenes_redescribed)
        patches = (self.patches_added, self.patches_removed, self.patches_accepted, self.patches_rejected)
        return not any((*scenes, *patches, self.patches_cut_again))

    def sentences(self) -> list[str]:
        """Return what differs, with the names of some scenes, a sentence each; or that nothing does."""
        if self.is_empty:
            return [f"Both hold the same {self.patches_unchanged} patches, on the same sides."]
        return list(self._sentences())

    def _sentences(self) -> Iterator[str]:
        yield from _names("added", self.scenes_added)
        yield from _names("removed", self.scenes_removed)
        moves = [f"{name} (from {before} to {after})" for name, (before, after) in self.scenes_moved.items()]
        yield from _names("moved to another side", moves)
        yield from _names("with another session, group, tags, licence or consent", self.scenes_redescribed)
        counts = {
            "added with their pairs": len(self.patches_added),
            "removed with their pairs": len(self.patches_removed),
            "accepted in pairs that both have": len(self.patches_accepted),
            "rejected in pairs that both have": len(self.patches_rejected),
            "cut again, as their images differ": len(self.patches_cut_again),
            "unchanged": self.patches_unchanged,
        }
        yield "Patches: " + "; ".join(f"{count} {words}" for words, count in counts.items() if count) + "."


def compare(old: Path, new: Path) -> Changes:
    """Compare two releases that `dpedtool release build` wrote, by their tables alone.

    Releases of earlier versions have no table of scenes: what is said about scenes is compared if both have one.

    Raises
    ------
    DpedtoolError
        A folder is not such a release, or a table is damaged or lacks a column.

    """
    patches = [_read(folder / PATCHES, (*_OF_PATCHES, *_IMAGES)) for folder in (old, new)]
    pairs = [_read(folder / PAIRS, _OF_PAIRS) for folder in (old, new)]
    before, after = (dict(zip(table["scene_id"], table["split"], strict=True)) for table in pairs)
    both = before.keys() & after.keys()
    known = set(pairs[0]["pair_id"]) & set(pairs[1]["pair_id"])
    again, unchanged = _cut_again(*_with_frames(patches, old, new))
    gone = patches[0][~patches[0]["patch_id"].isin([*again, *unchanged])]
    fresh = patches[1][~patches[1]["patch_id"].isin([*again.values(), *unchanged])]
    return Changes(
        scenes_added=sorted(after.keys() - both),
        scenes_removed=sorted(before.keys() - both),
        scenes_moved={name: (before[name], after[name]) for name in sorted(both) if before[name] != after[name]},
        patches_added=sorted(fresh.loc[~fresh["pair_id"].isin(known), "patch_id"]),
        patches_removed=sorted(gone.loc[~gone["pair_id"].isin(known), "patch_id"]),
        patches_accepted=sorted(fresh.loc[fresh["pair_id"].isin(known), "patch_id"]),
        patches_rejected=sorted(gone.loc[gone["pair_id"].isin(known), "patch_id"]),
        patches_cut_again={name: again[name] for name in sorted(again)},
        patches_unchanged=len(unchanged),
        scenes_redescribed=_redescribed(old / SCENES, new / SCENES),
    )


def check_tables(folder: Path) -> None:
    """Check that a release can be compared, as far as the ends of its tables show.

    Raises
    ------
    DpedtoolError
        The folder is not such a release, or a table is damaged or lacks a column.

    """
    _check(folder / PATCHES, (*_OF_PATCHES, *_IMAGES))
    _check(folder / PAIRS, _OF_PAIRS)
    if (folder / SCENES).is_file():
        _check(folder / SCENES, ("scene_id", *_OF_SCENES))


def _check(table: Path, columns: tuple[str, ...]) -> None:
    if not table.exists():
        raise DpedtoolError(f"{table} is missing: `dpedtool release build` has not written {table.parent}.")
    try:
        check_regular(table, MOST_TABLE_BYTES)
        names = pq.read_schema(table.absolute()).names
    except (OSError, *DAMAGED_TABLE) as error:
        raise _unreadable(table, error) from None
    if lacking := [name for name in columns if name not in names]:
        raise DpedtoolError(f"{table} lacks the column {lacking[0]}: it is no table of a release of this version.")


def _read(table: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    _check(table, columns)
    try:
        found: pd.DataFrame = pq.read_table(table.absolute(), columns=list(columns)).to_pandas()
    except (OSError, *DAMAGED_TABLE) as error:
        raise _unreadable(table, error) from None
    return found


def _unreadable(table: Path, error: Exception) -> DpedtoolError:
    return DpedtoolError(f"{table} cannot be read: download or build the release again ({error})")


def _redescribed(old: Path, new: Path) -> list[str]:
    """Return the scenes of two tables about which these say something else; empty if one of them is missing."""
    if not old.is_file() or not new.is_file():
        return []
    before, after = _said(old), _said(new)
    return sorted(name for name in before.keys() & after.keys() if before[name] != after[name])


def _said(table: Path) -> dict[str, list[Any]]:
    rows = _read(table, ("scene_id", *_OF_SCENES))
    columns = [rows["scene_id"], *(map(_plain, rows[name]) for name in _OF_SCENES)]
    return {name: said for name, *said in zip(*columns, strict=True)}


def _plain(value: Any) -> Any:
    """Return a cell; a list is an array in pandas."""
    return value.tolist() if hasattr(value, "tolist") else value


def _names(what: str, names: list[str]) -> Iterator[str]:
    if names:
        yield f"{len(names)} {'scene' if len(names) == 1 else 'scenes'} {what}: {shortened(names)}."


def _with_frames(patches: list[pd.DataFrame], old: Path, new: Path) -> list[pd.DataFrame]:
    """Return both tables of patches with the images of their frames, if a release has stacks."""
    tables = [folder / STACKS for folder in (old, new)]
    if not any(table.is_file() for table in tables):
        return patches
    return [rows.assign(**{_FRAMES: _frames_of(rows, table)}) for rows, table in zip(patches, tables, strict=True)]


def _frames_of(patches: pd.DataFrame, table: Path) -> pd.Series[str]:
    """Return the SHA-256 of all frames of each patch, one after the other; of its own image where it has no stack."""
    own: pd.Series[str] = patches["phone_image_sha256"]
    if not table.is_file():
        return own
    frames = _read(table, ("patch_id", "image_sha256")).groupby("patch_id")["image_sha256"].agg(" ".join)
    return patches["patch_id"].map(frames).fillna(own)


def _cut_again(old: pd.DataFrame, new: pd.DataFrame) -> tuple[dict[str, str], set[str]]:
    """Return patches that were cut again, the later name by the earlier one, and the names of unchanged ones."""
    same = old.merge(new, on="patch_id", suffixes=("", "_new"))
    equal = pd.Series(True, index=same.index)
    for name in (*_IMAGES, *((_FRAMES,) if _FRAMES in old else ())):
        equal &= same[name] == same[f"{name}_new"]
    unchanged = set(same.loc[equal, "patch_id"])
    again = {name: name for name in same.loc[~equal, "patch_id"]}
    known = set(same["patch_id"])
    moved = old[~old["patch_id"].isin(known)].merge(
        new[~new["patch_id"].isin(known)], on="pair_id", suffixes=("", "_new")
    )
    away = pd.concat([(moved["x"] - moved["x_new"]).abs(), (moved["y"] - moved["y_new"]).abs()], axis=1).max(axis=1)
    moved = moved.assign(away=away)[(away <= NEAR_SHARE * moved["size"]) & (moved["size"] == moved["size_new"])]
    # Each patch has one successor at most: the nearest, and of equally near ones the first by name.
    taken: set[str] = set()
    for row in moved.sort_values(["away", "patch_id", "patch_id_new"]).itertuples():
        if row.patch_id not in again and row.patch_id_new not in taken:
            again[str(row.patch_id)] = str(row.patch_id_new)
            taken.add(str(row.patch_id_new))
    return again, unchanged
