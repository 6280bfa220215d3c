"""Proves that a split does not leak, from the tables alone, without the code that made the split.

The sides are read from the tables, and scenes, files and views are collected from them again. Only the search for
near-duplicates, `dpedtool.pipeline.split.near_duplicates`, is the same one that the split used.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.regular_files import MOST_TEXT_BYTES, read_regular
from dpedtool.dataset.scene_table import group_key
from dpedtool.dataset.schema import Photo, Sample, Scene
from dpedtool.dataset.shards import Extent, member_name
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.sides import EXCLUDED, SPLITS
from dpedtool.dataset.tables import MOST_TABLE_BYTES, holds, read_frame, read_rows
from dpedtool.pipeline.split.near_duplicates import Limits, View, find_links

TEST_PHOTOS = "test_photos.csv"
"""List of the test photos in full size, for other tools."""


def is_current(folder: Path, verdict: Verdict) -> bool:
    """Return whether a verdict is about the tables that are in a folder now.

    Parameters
    ----------
    folder
        The folder that was given to `dpedtool split --verify`.
    verdict
        The verdict that --verdict wrote.

    """
    try:
        tables = tables_of(folder)
    except DpedtoolError:
        return False  # a table is damaged now, and verdicts are never about damaged tables
    return bool(tables) and tables == verdict.tables


def tables_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256, hex, of the tables that a check of a split looks at, by their names.

    Raises
    ------
    DpedtoolError
        A table is damaged, or too large to be one.

    """
    photos, phones = Photo.table_in(folder), set()
    if photos.is_file():
        frame = read_frame(photos, Photo, ["phone"], where={"status": "present"})
        phones = set(frame["phone"])
    files = [photos, *_tables_of_samples(folder, phones), folder / TEST_PHOTOS]
    return {file.name: _sha256(file) for file in files if file.exists()}


def _sha256(file: Path) -> str:
    try:
        return file_sha256(file, MOST_TEXT_BYTES if file.name == TEST_PHOTOS else MOST_TABLE_BYTES)
    except OSError as error:
        raise DpedtoolError(f"{file} cannot be read ({error.strerror}): run `dpedtool split` again.") from None


def verify_split(folder: Path) -> Verdict:
    """Check what `dpedtool split` wrote.

    Raises
    ------
    DpedtoolError
        A table is missing or damaged.

    """
    tables = tables_of(folder)
    photos = present_photos(folder)
    samples = read_samples(folder, {photo.phone for photo in photos})
    checks: list[Callable[[], tuple[list[str], str]]] = [
        *_one_side_each(folder, photos),
        lambda: check_near_duplicates(photos),
        lambda: _samples_follow(photos, samples),
        lambda: check_extents(samples),
        lambda: _listed(folder, photos),
    ]
    leaks, proven = [], []
    for check in checks:
        found, counted = check()
        leaks += found
        if not found:
            proven.append(counted)
    return Verdict(leaks, proven, is_proof=True, tables=tables)


def check_table(table: Path) -> list[str]:
    """Return what is wrong with one table of samples, found without looking at images, so that it takes seconds.

    `check_before_training` looks at images as well.

    Parameters
    ----------
    table
        The table. The tables of photos and scenes beside it are looked at, too, if they are there.

    Returns
    -------
    list of str
        A line for each fault that `dpedtool split --verify` would find as well.

    Raises
    ------
    DpedtoolError
        A table is missing or damaged.

    """
    samples, folder = read_frame(table, Sample), table.parent
    faults = [*misfits(samples), *check_extents(samples)[0]]
    if not Photo.table_in(folder).is_file():
        return faults
    photos = present_photos(folder)
    phones = set(samples["phone"])
    for check in _one_side_each(folder, photos):
        faults += check()[0]
    return [*faults, *_samples_follow([photo for photo in photos if photo.phone in phones], samples)[0]]


def present_photos(folder: Path) -> list[Photo]:
    """Return the photos of a split without those that are remembered from earlier runs only.

    Raises
    ------
    DpedtoolError
        The table of photos is missing or damaged.

    """
    return [photo for photo in read_rows(Photo.table_in(folder), Photo) if photo.status == "present"]


def _one_side_each(folder: Path, photos: Sequence[Photo]) -> list[Callable[[], tuple[list[str], str]]]:
    """Return the checks that nothing that has a name is on two sides."""
    return [
        lambda: check_one_side("scene", ((photo.scene_id, photo) for photo in photos)),
        lambda: check_one_side("DSLR frame, by SHA-256,", ((photo.dslr_sha256, photo) for photo in photos)),
        lambda: check_one_side("phone photo, by SHA-256,", ((photo.phone_sha256, photo) for photo in photos)),
        lambda: check_one_side("group of the table of scenes", _grouped(folder, photos)),
    ]


def read_samples(folder: Path, phones: Container[str]) -> pd.DataFrame:
    """Read all tables of samples in a folder as one; tables of `phones` may be written by other programs.

    Raises
    ------
    DpedtoolError
        There are no such tables, or one is damaged.

    """
    if not (tables := _tables_of_samples(folder, phones)):
        raise DpedtoolError(f"{folder} holds no table of a phone's samples: run `dpedtool split` again.")
    return pd.concat([read_frame(table, Sample) for table in tables], ignore_index=True)


def _tables_of_samples(folder: Path, phones: Container[str]) -> list[Path]:
    # A table that another program has rewritten lacks our mark, but training still reads it.
    return [path for path in sorted(folder.glob("*.parquet")) if path.stem in phones or holds(path, Sample)]


class Sided(Protocol):
    """A pair of photos on a side of a split."""

    @property
    def pair_id(self) -> str:
        """The pair."""
        ...

    @property
    def split(self) -> str:
        """Its side, or excluded if it is on none."""
        ...


def _grouped(folder: Path, photos: Iterable[Photo]) -> list[tuple[str, Photo]]:
    """Return the photos of scenes in a group of the table of scenes, each with the name of the group."""
    table = Scene.table_in(folder)
    scenes = read_rows(table, Scene) if table.is_file() else []
    groups = {scene.scene_id: group_key(scene.group) for scene in scenes if scene.group}
    return [(groups[photo.scene_id], photo) for photo in photos if photo.scene_id in groups]


def check_one_side(what: str, named: Iterable[tuple[str, Sided]]) -> tuple[list[str], str]:
    """Check that all photos of one name are on one side; excluded photos do not count.

    Parameters
    ----------
    what
        The kind of things that have the names.
    named
        Photos, each with its name.

    Returns
    -------
    leaks, said
        A line for each name that is on several sides, and a line on what was looked at.

    """
    found: dict[str, dict[str, Sided]] = {}
    for name, photo in named:
        if photo.split != EXCLUDED:
            found.setdefault(name, {}).setdefault(photo.split, photo)
    leaks = [
        f"The {what} {name} is on {len(sides)} sides: "
        + ", ".join(f"{photo.pair_id} in {side}" for side, photo in sorted(sides.items()))
        for name, sides in sorted(found.items())
        if len(sides) > 1
    ]
    return leaks, f"No {what} is on two sides ({len(found)} checked)."


def check_views(kept: Mapping[str, Sided], views: Sequence[View], limits: Limits) -> tuple[list[str], str]:
    """Check that no two near-duplicate views are on two sides.

    Parameters
    ----------
    kept
        The photos, by the name of their view.
    views
        How they look.
    limits
        What makes two of them near-duplicates.

    Returns
    -------
    leaks, said
        A line for each two such views, and a line on what was compared.

    Raises
    ------
    DpedtoolError
        A thumbnail cannot be decoded.

    """
    links = find_links(views, limits, {name: photo.split for name, photo in kept.items()})
    leaks = [
        f"{kept[link.one].pair_id} in {kept[link.one].split} and {kept[link.two].pair_id} in {kept[link.two].split} "
        f"show the same view: {link.evidence}"
        for link in links
    ]
    return leaks, (
        f"No two near-duplicate views are on two sides: {len(views)} DSLR frames were compared, and {limits.keypoints} "
        f"keypoints in agreement are the limit, or fewer within {limits.minutes:g} minutes."
    )


def check_near_duplicates(photos: Iterable[Photo]) -> tuple[list[str], str]:
    """Check that no two near-duplicate views among photos are on two sides, by the limits of their split.

    Returns
    -------
    leaks, said
        As `check_views` gives them.

    Raises
    ------
    DpedtoolError
        A thumbnail cannot be decoded.

    """
    kept = {photo.dslr_sha256: photo for photo in photos if photo.split != EXCLUDED}
    limits = Limits(
        max((photo.near_minutes for photo in kept.values()), default=0.0),
        min((photo.near_keypoints for photo in kept.values()), default=1),
    )
    return check_views(kept, [View(name, photo.thumbnail, _time(photo)) for name, photo in kept.items()], limits)


def _time(photo: Photo) -> datetime | None:
    return datetime.fromisoformat(photo.dslr_time) if photo.dslr_time else None


def _samples_follow(photos: Iterable[Photo], samples: pd.DataFrame) -> tuple[list[str], str]:
    """Check that each sample belongs to a photo, is on its side, and occurs once."""
    known = {photo.pair_id: photo for photo in photos}
    leaks = [
        f"{name} occurs more than once."
        for name in sorted(samples["patch_id"][samples["patch_id"].duplicated()].unique())
    ]
    for (pair_id, phone, scene_id, split), rows in samples.groupby(
        ["pair_id", "phone", "scene_id", "split"], sort=True
    ):
        photo = known.get(str(pair_id))
        if photo is None:
            leaks.append(f"{split} holds {count_patches(len(rows))} of {pair_id}, which is not in the table of photos.")
        elif photo.split != split or split not in SPLITS:
            leaks.append(f"{split} holds {count_patches(len(rows))} of {pair_id}, but the photo is in {photo.split}.")
        elif (photo.phone, photo.scene_id) != (phone, scene_id):
            leaks.append(
                f"{split} holds {count_patches(len(rows))} of {pair_id} for the scene {scene_id} of {phone}, but the "
                f"photo is of the scene {photo.scene_id} of {photo.phone}."
            )
    counts = samples["pair_id"].value_counts()
    leaks += [
        f"{photo.pair_id} has {count_patches(found)}, but {photo.accepted} were cut from it."
        for photo in known.values()
        if photo.split != EXCLUDED and (found := int(counts.get(photo.pair_id, 0))) != photo.accepted
    ]
    left_out = sum(photo.split == EXCLUDED for photo in known.values())
    return leaks, (
        f"Every patch is on its photo's side and occurs once: {len(samples)} patches of {samples['pair_id'].nunique()} "
        f"pairs{f' ({left_out} left out)' if left_out else ''}."
    )


def misfits(samples: pd.DataFrame) -> list[str]:
    """Return a line for each sample that occurs more than once, and for each side that no split has."""
    twice = samples["patch_id"][samples["patch_id"].duplicated()].unique()
    sides = sorted(set(samples["split"]) - set(SPLITS))
    return [f"{name} occurs more than once." for name in sorted(twice)] + [
        f"{side} is not a side of a split, but the table puts {count_patches((samples['split'] == side).sum())} there."
        for side in sides
    ]


def count_patches(number: int) -> str:
    """Return a number of patches in words, in the singular if there is one."""
    return f"{number} patch{'' if number == 1 else 'es'}"


def check_extents(samples: pd.DataFrame) -> tuple[list[str], str]:
    """Check that the bytes of samples lie where the table says, under their names, and on one side only."""
    leaks = []
    for shard, rows in samples.groupby("shard", sort=True):
        path = Path(str(shard))
        size = path.stat().st_size if path.is_file() else 0
        ends = pd.concat([rows["phone_offset"] + rows["phone_bytes"], rows["dslr_offset"] + rows["dslr_bytes"]])
        if ends.max() > size:
            leaks.append(
                f"{path} is missing or ends before the patches that it should hold ({size} of {ends.max()} bytes): run "
                "`dpedtool patches` and `dpedtool split` again."
            )
        elif count := sum(_is_another(path, row) for row in rows.itertuples()):
            leaks.append(
                f"{path} does not hold {count} of {len(rows)} patches where the split says: if they were cut again "
                "since, run `dpedtool split` again; otherwise the file is damaged, so remove it and run `dpedtool "
                "patches` and `dpedtool split` again."
            )
        for side in ("phone", "dslr"):
            sides = rows.groupby(f"{side}_offset")["split"].nunique()
            leaks += [
                f"{path} holds an image at byte {offset} that is on two sides." for offset in sides.index[sides > 1]
            ]
    shards = samples["shard"].nunique()
    return leaks, f"Every patch lies in its shard ({shards} shard{'s' if shards != 1 else ''})."


def _is_another(shard: Path, row: Any) -> bool:
    """Whether the archive holds another patch, by its name, where a sample should lie."""
    extents = ((row.phone_offset, row.phone_bytes), (row.dslr_offset, row.dslr_bytes))
    try:
        found = [member_name(shard, Extent(int(offset), int(length))) for offset, length in extents]
    except OSError:
        # The end of an extent in the table may be too large for a number of 64 bits, and then counts as small.
        return True
    return any(
        not name.startswith(f"{row.patch_id}.{side}.") for name, side in zip(found, ("phone", "dslr"), strict=True)
    )


def _listed(folder: Path, photos: Iterable[Photo]) -> tuple[list[str], str]:
    """Check that the list of full-size test photos holds exactly the photos of the test."""
    path = folder / TEST_PHOTOS
    if not path.exists():
        return [f"{path} is missing: run `dpedtool split` again."], ""
    # Names in a damaged list are wrong, and are reported like other wrong names.
    text = read_regular(path).decode(errors="replace")
    listed = {row.get("pair_id") for row in csv.DictReader(io.StringIO(text, newline=""))}
    wanted = {photo.pair_id for photo in photos if photo.split == "test"}
    leaks = [f"{path.name} lists {name}, which is not in the test." for name in sorted(map(str, listed - wanted))]
    leaks += [f"{path.name} does not list {name}, which is in the test." for name in sorted(wanted - listed)]
    return leaks, f"{path.name} lists all photos of the test and no others ({len(wanted)})."
