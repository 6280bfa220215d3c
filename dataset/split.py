"""Stage split: scenes to training, validation and test, so that no scene is in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from dataset.params import SplitParams
from dataset.schema import Patch, Sample, columns
from dataset.tables import read_frame, write_rows

SPLITS = ("train", "validation", "test")


def split_scenes(scenes: Iterable[str], params: SplitParams) -> dict[str, str]:
    """Return the split of each scene.

    A digest of seed and name puts each scene at a place between 0 and 1: the lowest share is for the test, the next
    for validation. So a scene's split depends on no other scene, and photos that are added later move none. Only
    where that leaves a split empty whose share is above zero does the scene nearest to it move there, as long as one
    is left to train on.
    """
    places = {scene: _place(scene, params.seed) for scene in scenes}
    ranked = sorted(places, key=lambda scene: places[scene])
    shares = {"test": params.test, "validation": params.validation}
    counts: dict[str, int] = {}
    end = 0.0
    for name, share in shares.items():
        end += share
        inside = sum(place < end for place in places.values()) - sum(counts.values())
        spare = len(ranked) - 1 - sum(counts.values())
        counts[name] = max(0, min(max(inside, 1 if share > 0 else 0), spare))
    names = [name for name, count in counts.items() for _ in range(count)]
    return {scene: names[rank] if rank < len(names) else "train" for rank, scene in enumerate(ranked)}


def split(patches: Mapping[str, Path], out: Path, params: SplitParams) -> pd.DataFrame:
    """Write `out/<phone>.parquet` for each phone: its accepted patches and their split.

    Parameters
    ----------
    patches
        The table of patches of each phone.
    out
        Folder of the new tables.
    params
        Shares and seed.

    Returns
    -------
    DataFrame
        Patches by phone (rows) and split (columns).

    Raises
    ------
    DpedtoolError
        A table is missing.

    """
    accepted = {phone: _accepted(table) for phone, table in patches.items()}
    split_of = split_scenes((scene for frame in accepted.values() for scene in frame["scene_id"]), params)
    samples = {phone: _samples(frame, split_of) for phone, frame in accepted.items()}
    for phone, rows in samples.items():
        write_rows(out / f"{phone}.parquet", Sample, rows)
    return pd.DataFrame(
        {name: {phone: sum(row.split == name for row in rows) for phone, rows in samples.items()} for name in SPLITS}
    )


def _accepted(table: Path) -> pd.DataFrame:
    names = [spec.name for spec in columns(Sample) if spec.name != "split"]
    return read_frame(table, Patch, names, where={"status": "accepted"})


def _samples(frame: pd.DataFrame, split_of: Mapping[str, str]) -> list[Sample]:
    return [
        Sample(
            patch_id=row["patch_id"],
            pair_id=row["pair_id"],
            phone=row["phone"],
            scene_id=row["scene_id"],
            split=split_of[row["scene_id"]],
            shard=Path(row["shard"]),
            phone_offset=int(row["phone_offset"]),
            phone_bytes=int(row["phone_bytes"]),
            dslr_offset=int(row["dslr_offset"]),
            dslr_bytes=int(row["dslr_bytes"]),
        )
        for row in frame.to_dict("records")
    ]


def _place(scene: str, seed: int) -> float:
    """A number in 0..1 that looks drawn at random, and is the same for ever."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{scene}".encode()).digest()[:7], "big") / 256**7
