"""The stacks of a release: the frames of its patches, in the order of the patches, without this machine's paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import published
from dpedtool.dataset.places import as_place
from dpedtool.dataset.schema import StackFrame
from dpedtool.dataset.tables import read_frame
from dpedtool.pipeline.release.columns import STACKS_SCHEMA

STACKS_PLAN_SCHEMA = pa.schema(
    [
        *(field for field in STACKS_SCHEMA if field.name != "image_sha256"),
        *(pa.field("shard", pa.string()), pa.field("offset", pa.int64()), pa.field("bytes", pa.int64())),
    ]
)
"""The table of stacks before the images are written, with the place of each image in the shards."""
_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
_WANTED = [name for name in STACKS_PLAN_SCHEMA.names if name != "photo"]


def released_stacks(patches: pd.DataFrame, folders: Iterable[Path]) -> pa.Table | None:
    """Return the accepted frames and further targets of all patches, with the columns of `STACKS_PLAN_SCHEMA`.

    A patch of a phone whose patches were cut from one frame alone (patches.frames: base) has that frame.

    Parameters
    ----------
    patches
        The patches in their final order, with their measurements and the places of their images.
    folders
        The folders of the patches.

    Returns
    -------
    pa.Table or None
        Rows in the order of the patches, then frames before targets, each by number; None if no folder has stacks.

    Raises
    ------
    DpedtoolError
        A table is damaged, or lacks the frames of a patch.

    """
    tables = [table for folder in folders if (table := StackFrame.table_in(folder)).is_file()]
    if not tables:
        return None
    found = [read_frame(table, StackFrame, [*_WANTED, "path"], where={"status": "accepted"}) for table in tables]
    frames = pd.concat([frame[frame["patch_id"].isin(patches["patch_id"])] for frame in found], ignore_index=True)
    frames["photo"] = [as_place(path).name for path in frames["path"]]
    frames["reference"] = frames["reference"].map(published)
    targets = frames[frames["role"] == "target"]
    names = targets.groupby("frame")["reference"].unique()
    if mixed := [sorted(of) for of in names if len(of) > 1]:
        raise DpedtoolError(
            f"The further references {' and '.join(mixed[0])} have the same number in different patches: run `dpedtool "
            "pair`, `align` and `patches` for all phones with the same captures.references."
        )
    without = {Path(shard).parent for shard in patches["shard"].unique()} - {table.parent for table in tables}
    alone = patches[[Path(shard).parent in without for shard in patches["shard"]]]
    frames = pd.concat([frames, _bases(alone)], ignore_index=True) if len(alone) else frames
    if lost := set(patches["patch_id"]) - set(frames.loc[frames["role"] == "base", "patch_id"]):
        raise DpedtoolError(f"{tables[0]} has no base frame of the patch {min(lost)}: run `dpedtool patches` again.")
    order = {name: place for place, name in enumerate(patches["patch_id"])}
    frames["place"] = frames["patch_id"].map(order)
    frames["is_target"] = frames["role"] == "target"
    frames = frames.sort_values(["place", "is_target", "frame"], ignore_index=True)
    return pa.Table.from_pandas(frames[STACKS_PLAN_SCHEMA.names], STACKS_PLAN_SCHEMA, preserve_index=False)


def _bases(patches: pd.DataFrame) -> pd.DataFrame:
    """Return the one frame that patches without a stack have."""
    same = {name: patches[name] for name in _WANTED if name in patches and name not in ("x", "y")}
    same |= {"sha256": patches["phone_sha256"]}
    place = {"x": patches["phone_x"], "y": patches["phone_y"]}
    return pd.DataFrame(
        same
        | {name: values.round().astype("Int64") for name, values in place.items()}
        | {"frame": 0, "role": "base", "reference": "", "bend_px": 0.0, "photo": patches["phone_photo"]}
        | {"frame_from_patch": [_IDENTITY] * len(patches)}
        | {"offset": patches["phone_offset"], "bytes": patches["phone_bytes"]}
        | dict.fromkeys(("exposure_s", "f_number", "iso", "ev"), float("nan"))
    )
