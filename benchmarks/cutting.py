"""Runs of the stage patches: the cost of a pair, and the patches kept from real pairs and from falsified pairs."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.output import fresh
from benchmarks.patches_table import CostFigures, RejectionFigures, YieldFigures
from benchmarks.sets import PhotoSet
from benchmarks.usage import Usage, measure
from benchmarks.yardstick import Image, Mask, patch_shift
from dpedtool.dataset.io import digest
from dpedtool.dataset.params import AlignParams, PairParams, PatchesParams
from dpedtool.dataset.photos.decoding import decode_photo, load_photo
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import crop_box, mask, mask_columns, required, transform
from dpedtool.pipeline.geometry.homographies import translation
from dpedtool.pipeline.pair.stage import pair_folders
from dpedtool.pipeline.patches.stage import cut_patches

Mode = Literal["strict", "dped"]

MODES: tuple[Mode, ...] = ("strict", "dped")
FORMATS = ("png", "jpg")
SHIFTS_PX = 1.0, 2.0, 3.0
DIRECTIONS = [(math.cos(angle), math.sin(angle)) for angle in np.arange(8) * math.pi / 4]
OTHERS = 1, 7, 19
"""A falsified pair takes the DSLR photo this many scenes later."""


def aligned_pairs(photos: PhotoSet, out: Path, workers: int) -> list[Alignment]:
    """Align a set, which writes the table to `out`, and return the pairs that were aligned."""
    pairing = pair_folders(photos.phone, photos.dslr, PairParams())
    rows = align(pairing.rows, out, AlignParams(), images=False, workers=workers)
    return [row for row in rows if row.status == "aligned"]


# Cost of a pair


def costs(photos: PhotoSet, rows: Sequence[Alignment], work: Path, repeats: int) -> list[CostFigures]:
    """Run the stage on all pairs and on one pair, for each mode and format, one after the other."""
    folders = [_table_of(rows[:count], work / f"{count} pairs") for count in (1, len(rows))]
    figures = [_cost(photos, rows, mode, suffix) for mode in MODES for suffix in FORMATS]
    for _ in range(repeats):
        for figure in figures:
            one, all_of_them = (_run(folder, fresh(work / "out"), figure) for folder in folders)
            figure.cpu_s.append((all_of_them.cpu_s - one.cpu_s) / (len(rows) - 1))
            figure.peak_bytes = max(figure.peak_bytes, all_of_them.peak_bytes)
            windows = _windows(work / "out")
            figure.windows = len(windows) / len(rows)
            figure.accepted = sum(row.status == "accepted" for row in windows) / len(rows)
    return figures


def _cost(photos: PhotoSet, rows: Sequence[Alignment], mode: str, suffix: str) -> CostFigures:
    width, height = required(rows[0].phone_width), required(rows[0].phone_height)
    dslr = required(rows[0].dslr_width), required(rows[0].dslr_height)
    return CostFigures(photos.title, (width, height), dslr, mode, suffix, windows=0, accepted=0)


def _table_of(rows: Sequence[Alignment], folder: Path) -> Path:
    write_rows(Alignment.table_in(folder), Alignment, rows)
    return folder


def _run(aligned: Path, out: Path, figure: CostFigures) -> Usage:
    command: list[str | Path] = [sys.executable, "-m", "dpedtool", "patches", aligned, "-o", out, "--workers", "1"]
    used = measure([*command, "-S", f"patches.mode={figure.mode}", "-S", f"patches.format={figure.format}"])
    if used.code:
        raise RuntimeError(f"dpedtool patches failed with status {used.code}:\n{used.said}")
    return used


# Kept patches


def yields(photos: PhotoSet, rows: Sequence[Alignment], work: Path, workers: int) -> list[YieldFigures]:
    """Cut the patches in both modes, and measure the accepted ones as they are in the shards."""
    figures = []
    for mode in MODES:
        windows = _cut(rows, work, mode, workers)
        shifts = [patch_shift(*images(row)) for row in windows if row.status == "accepted"]
        reasons = Counter(row.reason for row in windows if row.reason)
        figures.append(YieldFigures(photos.title, mode, len(rows), len(windows), shifts, dict(reasons.most_common())))
    return figures


def released(folder: Path) -> YieldFigures:
    """Measure patches that DPED released: files of equal names in `folder/iphone` and `folder/canon`."""
    names = sorted(path.name for path in (folder / "iphone").iterdir())
    pairs = [[load_photo(folder / camera / name) for camera in ("iphone", "canon")] for name in names]
    return YieldFigures("DPED as released, iPhone", "", None, None, [patch_shift(*pair) for pair in pairs])


def images(row: Patch) -> tuple[Image, Image]:
    """Read both images of an accepted patch, (S, S, 3) BGR uint8, the phone's first."""
    extents = (row.phone_offset, row.phone_bytes), (row.dslr_offset, row.dslr_bytes)
    if (shard := row.shard) is None:
        raise ValueError(f"{row.patch_id} was not accepted, so it has no images")
    places = (Extent(required(at), required(length)) for at, length in extents)
    phone, dslr = (decode_photo(read_extent(shard, place), shard) for place in places)
    return phone, dslr


# Falsified pairs


def rejections(photos: PhotoSet, rows: Sequence[Alignment], work: Path, workers: int) -> Iterator[RejectionFigures]:
    """Shift all alignments, then swap the DSLR's photos, and count the rejected windows."""
    for length in SHIFTS_PX:
        moved = [shifted(row, x * length, y * length) for row in rows for x, y in DIRECTIONS]
        yield _rejection(photos, f"a shift of {length:g} px", _cut(moved, work, "strict", workers))
    yield _rejection(photos, "another scene", _cut(list(exchanged(rows)), work, "strict", workers))


def shifted(row: Alignment, x: float, y: float) -> Alignment:
    """Return the row as if the DSLR showed everything shifted by (x, y) px of the phone photo.

    The crop loses the parts that would lie outside the DSLR's photo; the mask stays in place.
    """
    crop, side = crop_box(row), required(row.mask_cell_px)
    left, top, right, bottom = (max(0, math.ceil(room)) for room in (-x, -y, x, y))
    px = np.repeat(np.repeat(mask(row), side, axis=0), side, axis=1)[: crop.height, : crop.width]
    px = px[top : crop.height - bottom, left : crop.width - right]
    columns: dict[str, Any] = mask_columns(_cells(px, side), side)
    return replace(
        _renamed(row, f"{x:+.2f}{y:+.2f}"),
        dslr_from_phone=tuple((transform(row).homography @ translation(x, y)).ravel().tolist()),
        crop_x=crop.x + left,
        crop_y=crop.y + top,
        crop_width=px.shape[1],
        crop_height=px.shape[0],
        **columns,
    )


def exchanged(rows: Sequence[Alignment]) -> Iterator[Alignment]:
    """Yield each row with DSLR photos of other scenes, if they have equal size and other content."""
    for number, row in enumerate(rows):
        for step in OTHERS:
            other = rows[(number + step) % len(rows)]
            size = (row.dslr_width, row.dslr_height)
            if size == (other.dslr_width, other.dslr_height) and row.dslr_sha256 != other.dslr_sha256:
                renamed = _renamed(row, f"of {step}")
                yield replace(renamed, dslr_path=other.dslr_path, dslr_sha256=other.dslr_sha256)


def _renamed(row: Alignment, change: str) -> Alignment:
    """Give a changed row its own id and key: the id names its patches, and the key decides which rows are reused."""
    key = digest([row.key, change])
    return replace(row, pair_id=f"{row.pair_id}-{key[:8]}", key=key)


def _cells(px: Mask, side: int) -> Mask:
    """Return the cells that contain a masked px."""
    rows = np.logical_or.reduceat(px, np.arange(0, px.shape[0], side), axis=0)
    return np.asarray(np.logical_or.reduceat(rows, np.arange(0, px.shape[1], side), axis=1))


def _rejection(photos: PhotoSet, change: str, windows: Sequence[Patch]) -> RejectionFigures:
    return RejectionFigures(
        photos.title,
        change,
        windows=len(windows),
        strict=sum(row.status == "rejected" for row in windows),
        ncc=sum(row.ncc is None or row.ncc < PatchesParams().min_ncc for row in windows),
    )


def _cut(rows: Sequence[Alignment], work: Path, mode: Mode, workers: int) -> list[Patch]:
    """Cut patches of these pairs into `work/out`."""
    out = fresh(work / "out")
    cut_patches(rows, out, PatchesParams(mode=mode), workers=workers)
    return _windows(out)


def _windows(out: Path) -> list[Patch]:
    """Return the windows of a run; the row of a pair without windows must not be counted as a window."""
    rows = read_rows(Patch.table_in(out), Patch)
    if lost := [row for row in rows if row.x is None and row.reason != "small_crop"]:
        raise RuntimeError(f"{len(lost)} pairs gave no windows, {lost[0].pair_id} first: {lost[0].detail}")
    return [row for row in rows if row.x is not None]
