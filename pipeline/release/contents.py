"""The contents of a release: patches, pairs and scenes of a split, in final order, without this machine's paths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import replacing
from dpedtool.dataset.names import published
from dpedtool.dataset.places import as_place
from dpedtool.dataset.schema import Frame, Patch, Photo, Sample
from dpedtool.dataset.shards import Extent, read_extent, suffix_of
from dpedtool.dataset.sides import EXCLUDED, SPLITS
from dpedtool.dataset.tables import holds, read_frame, read_rows
from dpedtool.pipeline.release.chunks import numbers_of
from dpedtool.pipeline.release.columns import CUT_SUMS, LOOSE_SUMS, PAIRS_SCHEMA, PATCHES_SCHEMA
from dpedtool.pipeline.release.scenes import check_consent, scene_table
from dpedtool.pipeline.release.stacks import STACKS_PLAN_SCHEMA, released_stacks
from dpedtool.pipeline.split.samples_alone import holds_samples

PLAN_SCHEMA = pa.schema(
    [
        *(field for field in PATCHES_SCHEMA if field.name not in {*CUT_SUMS.values(), *LOOSE_SUMS.values()}),
        *(pa.field("shard", pa.string()), pa.field("phone_offset", pa.int64()), pa.field("phone_bytes", pa.int64())),
        *(pa.field("dslr_offset", pa.int64()), pa.field("dslr_bytes", pa.int64())),
    ]
)
"""The table of patches before their images are written, with the place of each image in the shards."""
_EXTENTS = ["shard", "phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes"]


@dataclass(frozen=True, eq=False)
class Contents:
    """The patches, pairs and scenes of a release."""

    plan: pa.Table
    """Patches by phone, split and number, with the columns of `PLAN_SCHEMA`."""
    pairs: pa.Table
    """The pairs that have patches, with the columns of `PAIRS_SCHEMA`."""
    scenes: pa.Table
    """Their scenes, with the columns of `SCENES_SCHEMA`."""
    stacks: pa.Table | None
    """The frames of the patches, with the columns of `STACKS_PLAN_SCHEMA`; None if no phone has stacks."""
    photos: Sequence[Photo]
    """The photos of the pairs, with their paths."""
    folders: Mapping[str, Path]
    """The folder that each phone's patches come from, by phone in alphabetical order."""

    @property
    def size_px(self) -> int:
        """The side of all patches, in px.

        Raises
        ------
        DpedtoolError
            The patches have several sizes.

        """
        sizes = self.plan["size"].unique().to_pylist()
        if len(sizes) > 1:
            raise DpedtoolError(
                f"The patches have several sizes ({', '.join(map(str, sorted(sizes)))} px), but a release has one: "
                "cut the patches of all phones with the same patches.size_px."
            )
        return int(sizes[0])

    @property
    def target_scale(self) -> int:
        """Px of the DSLR's images for each px of the phone's, along a side, of all patches.

        Raises
        ------
        DpedtoolError
            It differs between patches.

        """
        scales = self.plan["target_scale"].unique().to_pylist()
        if len(scales) > 1:
            raise DpedtoolError(
                f"The DSLR's images are {' or '.join(map(str, sorted(scales)))} times as large as the phone's, but a "
                "release has one scale: cut the patches of all phones with the same patches.target_scale."
            )
        return int(scales[0])

    def are_png(self) -> bool:
        """Whether the images of the patches are PNG files, as the first of each phone shows."""
        firsts = [self.plan.filter(pc.equal(self.plan["phone"], phone)).slice(0, 1) for phone in self.folders]
        places = [row for first in firsts for row in first.to_pylist()]
        return all(suffix_of(_beginning(row)) == "png" for row in places)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of patches by phone, then by split."""
        rows = self.plan.select(["phone", "split"]).to_pandas().value_counts()
        return {phone: {split: int(rows.get((phone, split), 0)) for split in SPLITS} for phone in self.folders}

    def write_plan(self, path: Path, stacks_path: Path, patches_a_file: int) -> None:
        """Write the plans of patches and, if there are any, of stacks; a row group is a file of the release."""
        with replacing(path) as temporary, pq.ParquetWriter(temporary, PLAN_SCHEMA, compression="zstd") as file:
            for start, length in self._spans(patches_a_file):
                file.write_table(self.plan.slice(start, length), row_group_size=length)
        if self.stacks is None:
            stacks_path.unlink(missing_ok=True)
            return
        further = [len(numbers_of(targets)) for targets in self.plan["targets"].to_pylist()]
        ends = np.concatenate([[0], np.cumsum(self.plan["frames"].to_numpy() + further)])
        with (
            replacing(stacks_path) as temporary,
            pq.ParquetWriter(temporary, STACKS_PLAN_SCHEMA, compression="zstd") as file,
        ):
            for start, length in self._spans(patches_a_file):
                first, last = int(ends[start]), int(ends[start + length])
                file.write_table(self.stacks.slice(first, last - first), row_group_size=last - first)

    def _spans(self, patches_a_file: int) -> Iterator[tuple[int, int]]:
        """Yield the first patch of each file, and the number of its patches."""
        start = 0
        for count in (count for splits in self.counts().values() for count in splits.values()):
            for first in range(0, count, patches_a_file):
                yield start + first, min(patches_a_file, count - first)
            start += count


def gather(splits: Path, patches_a_file: int, *, thumbnails: bool) -> Contents:
    """Collect the patches that `dpedtool split` placed, and what `dpedtool patches` measured on them.

    Parameters
    ----------
    splits
        Folder with `photos.parquet`, `scenes.parquet` and a table for each phone.
    patches_a_file
        Largest number of patches in one file.
    thumbnails
        Keep the thumbnails of the DSLR's photos.

    Raises
    ------
    DpedtoolError
        A table is missing or contradicts another, there are no patches, or the people in a scene do not agree.

    """
    if not Photo.table_in(splits).is_file() and splits.is_dir() and holds_samples(splits):
        raise DpedtoolError(
            f"{splits} holds an imported data set. Its scenes and photos are not known, so it cannot be released again."
        )
    photos = [photo for photo in read_rows(Photo.table_in(splits), Photo) if photo.status == "present"]
    photos = [photo for photo in photos if photo.split != EXCLUDED]
    tables = {name: splits / f"{phone}.parquet" for phone, name in _names({photo.phone for photo in photos}).items()}
    photos = sorted((replace(photo, phone=published(photo.phone)) for photo in photos), key=_order)
    _check_foreign(splits, tables)
    frames = [_patches(table, phone, patches_a_file) for phone, table in tables.items()]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        raise DpedtoolError(f"{splits} holds no patches, so there is nothing to release: see why none was accepted.")
    patches = pd.concat(frames, ignore_index=True)
    folders = {str(frame["phone"].iloc[0]): Path(str(frame["shard"].iloc[0])).parent for frame in frames}
    stacks = released_stacks(patches, {Path(shard).parent for shard in patches["shard"].unique()})
    if stacks is not None:
        own = stacks.select(["patch_id", "frame", "role"]).to_pandas()
        is_target = own["role"] == "target"
        patches["frames"] = patches["patch_id"].map(own["patch_id"][~is_target].value_counts())
        numbers = own[is_target].astype({"frame": str}).groupby("patch_id")["frame"].agg(",".join)
        patches["targets"] = patches["patch_id"].map(numbers).fillna("")
    plan = pa.Table.from_pandas(patches, PLAN_SCHEMA, preserve_index=False)
    used = set(plan["pair_id"].unique().to_pylist())
    photos = [photo for photo in photos if photo.pair_id in used]
    scenes = scene_table(splits, photos)
    check_consent(scenes)
    return Contents(plan, _pairs(photos, folders, thumbnails=thumbnails), scenes, stacks, photos, folders)


def _names(phones: Iterable[str]) -> dict[str, str]:
    """Return the name of each phone in the release."""
    names = {phone: published(phone) for phone in sorted(phones)}
    if len(set(names.values())) < len(names):
        raise DpedtoolError(
            f"The names {', '.join(names)} of phones are equal in a release, where blanks become '_': rename a folder, "
            "and start again with `dpedtool pair`."
        )
    return dict(sorted(names.items(), key=lambda item: item[1]))


def _beginning(row: Mapping[str, Any]) -> bytes:
    """Return the first bytes of the phone's image of a patch."""
    return read_extent(Path(row["shard"]), Extent(row["phone_offset"], min(row["phone_bytes"], 8)))


def _order(photo: Photo) -> tuple[str, int, str]:
    return photo.phone, SPLITS.index(photo.split), photo.pair_id


def _check_foreign(splits: Path, tables: Mapping[str, Path]) -> None:
    """Refuse a table of a phone that the record of photos does not know."""
    known = {table.name for table in tables.values()}
    for path in sorted(splits.glob("*.parquet")):
        if path.name not in known and path != Photo.table_in(splits) and holds(path, Sample):
            frame = read_frame(path, Sample, ["patch_id"])
            if len(frame):
                raise DpedtoolError(
                    f"{path} holds patches, but {Photo.table_in(splits)} has no photo of that phone: run "
                    "`dpedtool split` again."
                )


def _patches(table: Path, phone: str, patches_a_file: int) -> pd.DataFrame:
    """Return the patches of one phone in their final order: by split, then by the digest of their names."""
    samples = read_frame(table, Sample, ["patch_id", "split", *_EXTENTS])
    if samples.empty:
        return samples
    if unknown := sorted(set(samples["split"]) - set(SPLITS)):
        raise DpedtoolError(f"{table} has patches in an unknown split, {unknown[0]}: run `dpedtool split` again.")
    patches = _measured({Path(shard).parent for shard in samples["shard"].unique()})
    frame = samples.merge(patches, on="patch_id", how="left", validate="one_to_one", indicator=True)
    if len(lost := frame["patch_id"][frame["_merge"] != "both"]):
        raise DpedtoolError(
            f"{table} names the patch {lost.iloc[0]}, which was not cut: run `dpedtool patches`, then `dpedtool split`."
        )
    # This makes every file, and the first files together, a random sample, whichever patches are added later.
    frame["order"] = [hashlib.sha256(name.encode()).digest() for name in frame["patch_id"]]
    frame["side"] = frame["split"].map(SPLITS.index)
    frame = frame.sort_values(["side", "order"], ignore_index=True)
    frame["number"] = frame.groupby("side").cumcount()
    frame["file"] = frame["number"] // patches_a_file
    for side in ("phone", "dslr"):
        names = {path: as_place(path).name for path in frame[f"{side}_path"].unique()}
        frame[f"{side}_photo"] = frame[f"{side}_path"].map(names)
    # Without stacks, a patch has one frame and one target.
    placed: pd.DataFrame = frame.assign(phone=phone, frames=1, targets="")[PLAN_SCHEMA.names]
    return placed


def _measured(folders: set[Path]) -> pd.DataFrame:
    names = [name for name in PLAN_SCHEMA.names if name in Patch.__dataclass_fields__ and name not in _EXTENTS]
    wanted = [*(name for name in names if name != "phone"), "phone_path", "dslr_path"]
    frames = [read_frame(Patch.table_in(folder), Patch, wanted, where={"status": "accepted"}) for folder in folders]
    return pd.concat(frames, ignore_index=True)


def _pairs(photos: Sequence[Photo], folders: Mapping[str, Path], *, thumbnails: bool) -> pa.Table:
    frames = {frame.pair_id: frame for folder in folders.values() for frame in read_rows(Frame.table_in(folder), Frame)}
    times = {photo.pair_id: datetime.fromisoformat(photo.dslr_time) for photo in photos if photo.dslr_time}
    earliest = min(times.values(), default=None)
    rows = []
    for photo in photos:
        if photo.pair_id not in frames:
            raise DpedtoolError(
                f"{photo.pair_id} is in the split, but not among the frames that patches were cut from: run "
                "`dpedtool split` again."
            )
        frame, time = frames[photo.pair_id], times.get(photo.pair_id)
        known = {
            name: getattr(frame if hasattr(frame, name) else photo, name)
            for name in PAIRS_SCHEMA.names
            if hasattr(frame, name) or hasattr(photo, name)
        }
        rows.append(
            known
            | {
                "phone": photo.phone,
                "phone_photo": photo.phone_path.name,
                "dslr_photo": photo.dslr_path.name,
                "minute": round((time - earliest).total_seconds() / 60, 4) if time and earliest else None,
                "thumbnail": photo.thumbnail if thumbnails else None,
            }
        )
    return pa.Table.from_pylist(rows, PAIRS_SCHEMA)
