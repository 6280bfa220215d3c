"""Frames, patches and shards by hand, for the tests of the split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dpedtool.dataset.names import identifier
from dpedtool.dataset.schema import Frame, Patch, StackFrame
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.patches.shelf import store, store_frame

PATCH_BYTES = 100
SIZE_PX = 32


def picture(seed: int, height: int = 170, width: int = 256) -> np.ndarray:
    """Grey detail of two sizes everywhere; each seed gives another picture."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), sigma) for sigma in (2, 6)]
    total = sum(layer / layer.std() for layer in layers)
    return np.clip(128 + 40 * total, 0, 255).astype(np.uint8)


def jpeg(grey: np.ndarray, quality: int = 85) -> bytes:
    return cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def frame(scene: str, phone: str = "a", accepted: int = 2, **changes: object) -> Frame:
    """A frame whose files and picture follow from its scene."""
    facts = {
        "pair_id": f"{identifier(phone)}-{scene}",
        "phone": phone,
        "scene_id": scene,
        "phone_path": Path(f"/photos/{phone}/{scene}.jpg"),
        "dslr_path": Path(f"/photos/dslr/{scene}.jpg"),
        "phone_sha256": sha(f"{phone}/{scene}"),
        "dslr_sha256": sha(f"dslr/{scene}"),
        "phone_width": 640,
        "phone_height": 480,
        "windows": accepted + 1,
        "accepted": accepted,
        "key": "k",
    }
    if "thumbnail" not in changes:
        facts["thumbnail"] = jpeg(picture(int(sha(scene)[:8], 16)))
    return Frame(**{**facts, **changes})


Content = Callable[[str], tuple[bytes, bytes]]
"""The image files of a patch, the phone's and the DSLR's, by its name."""


def no_images(name: str) -> tuple[bytes, bytes]:
    """Bytes that no test decodes."""
    del name
    return bytes(PATCH_BYTES), bytes(PATCH_BYTES)


def write_patches(folder: Path, phone: str, frames: Sequence[Frame], images: Content = no_images) -> Path:
    """The tables of a phone, its shard, and a rejected patch for each frame."""
    home = folder / phone
    write_rows(Frame.table_in(home), Frame, frames)
    with ShardWriter(home / "patches-00000.tar") as shard:
        write_rows(Patch.table_in(home), Patch, _patches(frames, home / "patches-00000.tar", shard, images))
    return Patch.table_in(home)


def _patches(frames: Iterable[Frame], path: Path, shard: ShardWriter, images: Content) -> Iterable[Patch]:
    for one in frames:
        for index in range(one.windows):
            row = Patch(
                patch_id=f"{one.pair_id}-{index}",
                pair_id=one.pair_id,
                phone=one.phone,
                scene_id=one.scene_id,
                status="rejected",
                reason="low_ncc",
                phone_path=one.phone_path,
                dslr_path=one.dslr_path,
                phone_sha256=one.phone_sha256,
                dslr_sha256=one.dslr_sha256,
                size=SIZE_PX,
                x=SIZE_PX * index,
                y=0,
                params_sha256="p",
                key="k",
            )
            if index < one.accepted:
                row = replace(store(row, *images(row.patch_id), shard, path), reason="")
            yield row


REFERENCES = ("sony wide", "nikon")
"""The further references of stacks."""


def write_stacks(table: Path, image: Callable[[str], bytes], frames: int = 3) -> None:
    """The stacks of a table of patches: the base is frame 1, frame 0 is rejected for patches that end in 0.

    Of the two further references, so is the target of the first.
    """
    rows, tar = [], table.with_name("frames.tar")
    with ShardWriter(tar) as shard:
        for patch in (row for row in read_rows(table, Patch) if row.status == "accepted"):
            own = [(number, "") for number in range(frames)]
            for number, reference in [*own, *enumerate(REFERENCES, start=1)]:
                is_base = number == 1 and not reference
                row = StackFrame(
                    patch_id=patch.patch_id,
                    pair_id=patch.pair_id if is_base else f"{patch.pair_id}-{reference.replace(' ', '_')}{number}",
                    role="target" if reference else "base" if is_base else "frame",
                    frame=number,
                    reference=reference,
                    status="rejected",
                    x=patch.x,
                    y=patch.y,
                    frame_from_patch=(1.0, 0.0, 0.25 * (number - 1), 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
                    bend_px=0.0,
                    exposure_s=0.01,
                    iso=100.0,
                    ev=float(number - 1),
                    path=patch.phone_path.with_stem(f"{patch.phone_path.stem}_{reference}{number}"),
                    sha256=sha(f"{patch.pair_id}/{reference}{number}"),
                    key="k",
                )
                if (number, reference) in ((0, ""), (1, REFERENCES[0])) and patch.patch_id.endswith("0"):
                    row = replace(row, reason="masked", detail="It is masked.")
                else:
                    content = image(f"{patch.patch_id}/{reference}{number}")
                    row = store_frame(replace(row, status="accepted"), content, patch, shard, tar)
                    row = replace(row, shard=patch.shard) if is_base else row
                rows.append(row)
    write_rows(StackFrame.table_in(table.parent), StackFrame, rows)


def selection(**changes: Any) -> Selection:
    facts: dict[str, Any] = {"windows": 0, "accepted": 0, "rejected": {}, "by": {}, "params": {}, "params_sha256": ""}
    return Selection(**facts | changes)
