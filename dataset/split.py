"""Stage split: scenes to training, validation and test, so that no scene is in two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from dataset.errors import DpedtoolError
from dataset.io import read_frame, write_rows
from dataset.params import SplitParams
from dataset.schema import Patch, Sample

SPLITS = ("train", "validation", "test")


def split_scenes(scenes: Iterable[str], params: SplitParams) -> dict[str, str]:
    """Return the split of each scene.

    Scenes are ranked by a digest of seed and name, so the outcome depends neither on their order nor on a random
    generator; the first in rank are for the test, the next for validation. A share above zero gets one scene at
    least, as long as one is left to train on.
    """
    ranked = sorted(set(scenes), key=lambda scene: _rank(scene, params.seed))
    test = _count(params.test, len(ranked), spare=len(ranked) - 1)
    validation = _count(params.validation, len(ranked), spare=len(ranked) - 1 - test)
    names = ["test"] * test + ["validation"] * validation
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
        A table is missing, or no phone has an accepted patch.

    """
    accepted = {phone: _accepted(table) for phone, table in patches.items()}
    split_of = split_scenes((scene for frame in accepted.values() for scene in frame["scene_id"]), params)
    if not split_of:
        raise DpedtoolError(
            "No patch was accepted, so there is nothing to split: the tables of patches name the reasons; "
            "a lower patches.min_ncc accepts more."
        )
    samples = {phone: _samples(frame, split_of) for phone, frame in accepted.items()}
    for phone, rows in samples.items():
        write_rows(out / f"{phone}.parquet", Sample, rows)
    return pd.DataFrame(
        {name: {phone: sum(row.split == name for row in rows) for phone, rows in samples.items()} for name in SPLITS}
    )


def _accepted(table: Path) -> pd.DataFrame:
    names = [name for name in Sample.__dataclass_fields__ if name not in {"split", "TABLE"}]
    frame = read_frame(table, Patch, [*names, "status"])
    return frame[frame["status"] == "accepted"].drop(columns="status")


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


def _rank(scene: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{scene}".encode()).hexdigest()


def _count(share: float, scenes: int, spare: int) -> int:
    wanted = max(1, round(share * scenes)) if share > 0 else 0
    return max(0, min(wanted, spare))
