"""A split of simulated patches, as many as DPED has, for benchmarks of releases."""

from __future__ import annotations

import hashlib
import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.feeding import processors, texture
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.rows import Row, columns
from dpedtool.dataset.schema import Frame, Patch, Photo, Sample
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.patches.shelf import store

PHONE = "phone"
PATCHES_A_PAIR = 28
"""DPED cut this many patches from each photo of its iPhone."""
PATCHES_A_SHARD = 10_000
TEXTURES = 50


def write_split(folder: Path, count: int, suffix: str) -> Path:
    """Write `count` different pairs of patches with a split by scene; return the folder of the split.

    The split is not made by `dpedtool.pipeline.split.stage`, whose search for near-duplicates is measured elsewhere.
    """
    home = folder / "patches" / PHONE
    home.mkdir(parents=True)
    starts = range(0, count, PATCHES_A_SHARD)
    with multiprocessing.get_context("spawn").Pool(processors()) as pool:
        parts = pool.map(partial(_write_shard, home=home, count=count, suffix=suffix), starts)
    rows = [row for part in parts for row in part]
    frames = [_frame(scene, count) for scene in range(-(-count // PATCHES_A_PAIR))]
    write_rows(Patch.table_in(home), Patch, rows)
    write_rows(Frame.table_in(home), Frame, frames)
    Selection(windows=count, accepted=count, rejected={}, by={}, params={}, params_sha256="").write(
        Selection.file_in(home)
    )
    write_rows(folder / "splits" / f"{PHONE}.parquet", Sample, map(_sample, rows))
    write_rows(Photo.table_in(folder / "splits"), Photo, map(_placed, frames))
    return folder / "splits"


def _write_shard(start: int, home: Path, count: int, suffix: str) -> list[Patch]:
    cv2.setNumThreads(1)
    path = home / f"patches-{start // PATCHES_A_SHARD:05d}.tar"
    textures = [texture(seed) for seed in range(TEXTURES)]
    with ShardWriter(path) as shard:
        return [
            store(_row(index), encode_image(phone, suffix), encode_image(dslr, suffix), shard, path)
            for index in range(start, min(start + PATCHES_A_SHARD, count))
            for phone, dslr in [_pair(index, textures)]
        ]


def _pair(index: int, textures: list[Image]) -> tuple[Image, Image]:
    """Return two shifted textures, so that every pair differs; the DSLR's is upside down to differ from the phone's."""
    turns = (index // TEXTURES) % 97, (index // (97 * TEXTURES)) % 89
    phone, dslr = (np.roll(textures[(index + side) % TEXTURES], turns, axis=(0, 1)) for side in (0, 1))
    return np.ascontiguousarray(phone), np.ascontiguousarray(dslr[::-1])


def _row(index: int) -> Patch:
    scene = index // PATCHES_A_PAIR
    return Patch(
        patch_id=f"{PHONE}-{scene:05d}-{index % PATCHES_A_PAIR:02d}",
        pair_id=_pair_id(scene),
        phone=PHONE,
        scene_id=f"{scene:05d}",
        status="accepted",
        size=100,
        x=0,
        y=0,
        ncc=0.95,
        residual_px=0.1,
        mode="strict",
        phone_path=_photo(PHONE, scene),
        dslr_path=_photo("dslr", scene),
        phone_sha256=_sum(_photo(PHONE, scene)),
        dslr_sha256=_sum(_photo("dslr", scene)),
        params_sha256="",
        key="",
    )


def _frame(scene: int, count: int) -> Frame:
    return Frame(
        pair_id=_pair_id(scene),
        phone=PHONE,
        scene_id=f"{scene:05d}",
        phone_path=_photo(PHONE, scene),
        dslr_path=_photo("dslr", scene),
        phone_sha256=_sum(_photo(PHONE, scene)),
        dslr_sha256=_sum(_photo("dslr", scene)),
        phone_width=2048,
        phone_height=1536,
        thumbnail=b"",
        windows=300,
        accepted=min(PATCHES_A_PAIR, count - scene * PATCHES_A_PAIR),
        key="",
    )


def _placed(frame: Frame) -> Photo:
    return Photo(
        **_shared(frame, Photo),
        status="present",
        group=frame.scene_id,
        split=_side(frame.scene_id),
        reason="",
        detail="",
        near_duplicate_of=None,
        evidence="",
        drawn_by="its number",
        near_minutes=0.0,
        near_keypoints=12,
    )


def _sample(patch: Patch) -> Sample:
    return Sample(**_shared(patch, Sample), split=_side(patch.scene_id))


def _shared(row: Row, other: type[Row]) -> dict[str, Any]:
    """Return the values of a row for the columns that another table shares with it."""
    return {spec.name: getattr(row, spec.name) for spec in columns(other) if hasattr(row, spec.name)}


def _side(scene: str) -> str:
    """Put one scene of twenty into the test split and one into validation."""
    return {0: "test", 1: "validation"}.get(int(scene) % 20, "train")


def _pair_id(scene: int) -> str:
    return f"{PHONE}-{scene:05d}"


def _photo(camera: str, scene: int) -> Path:
    return Path(f"/photos/{camera}/{scene:05d}.jpg")


def _sum(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()
