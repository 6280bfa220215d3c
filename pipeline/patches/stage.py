"""Stage patches: windows that move in parallel over both aligned photos, kept where both show the same.

`strict` leaves every window where it is and proves that it is aligned; `dped` lets the phone's window move and turn to
where it correlates best, as DPED (Ignatov et al. 2017, arXiv 1704.02470, section 3.2) describes it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset import shards
from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.io import code_digest, digest, replacing
from dpedtool.dataset.params import STRICT, PatchesParams, describe
from dpedtool.dataset.photos import files as photos
from dpedtool.dataset.photos import thumbnails
from dpedtool.dataset.photos.files import PhotoFile, encode_image, open_unchanged
from dpedtool.dataset.photos.stored import Image
from dpedtool.dataset.photos.thumbnails import thumbnail
from dpedtool.dataset.schema import Alignment, Frame, Patch
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.tables import TableWriter, read_frame, write_rows
from dpedtool.pipeline.geometry import aligned, transform, warping
from dpedtool.pipeline.geometry import homographies as geometry
from dpedtool.pipeline.geometry.aligned import crop_box, from_patches, is_masked, there
from dpedtool.pipeline.geometry.homographies import Box, corners, transform_points
from dpedtool.pipeline.geometry.warping import warp_dslr
from dpedtool.pipeline.measure import correlation, exposure, shifts, subpixel
from dpedtool.pipeline.measure.correlation import sample
from dpedtool.pipeline.patches import selection, shelf, windows
from dpedtool.pipeline.patches.selection import rejection, summary
from dpedtool.pipeline.patches.shelf import Shelf, is_stored, store
from dpedtool.pipeline.patches.windows import Measures, measure
from dpedtool.pipeline.resume import Finished, save_aside, work_off
from dpedtool.pipeline.runner import Lost

RowT = TypeVar("RowT", Patch, Frame)


def cut_patches(
    alignments: Sequence[Alignment],
    out: Path,
    params: PatchesParams,
    *,
    workers: int = 1,
    scheduler: str | None = None,
) -> Path:
    """Cut the patches of all aligned pairs into `out/patches-NNNNN.tar`, and write the tables on them.

    `out/patches.parquet` has a row for every candidate window, kept or not, `out/frames.parquet` one for every pair;
    `out/selection.json` says how many pairs were not aligned and why, and what share of the windows was kept by
    brightness, texture and place.
    The photos are read again from where the table of alignments says, so that the DSLR's pixels are resampled once.
    Tables and shards are the same bytes for any number of workers; what an earlier run finished is kept.

    Returns
    -------
    Path
        The table of patches.

    Raises
    ------
    DpedtoolError
        Another run is writing to `out`.

    """
    rows = sorted((row for row in alignments if row.status == "aligned"), key=lambda row: row.pair_id)
    items = {_key(row, params): row for row in rows}
    table = Patch.table_in(out)
    with Finished(table, Patch) as finished:
        known = set(finished.aside(items, Frame))
        work_off(
            items,
            partial(cut_pair, params=params, parts=finished.parts),
            partial(_lost, params=params),
            finished,
            usable=lambda rows: _is_usable(rows, known),
            reads=[path for row in rows for path in (row.phone_path, row.dslr_path)],
            workers=workers,
            scheduler=scheduler,
            label="patches",
        )
        _collect(items, finished, table, params)
        _write_summary(out, alignments, params)
        finished.clear()
    return table


def cut_pair(alignment: Alignment, params: PatchesParams, parts: Path) -> list[Patch]:
    """Judge all windows of one aligned pair; the accepted ones go into a tar file of their own below `parts`."""
    key = _key(alignment, params)
    try:
        files = _open(alignment)
        phone, dslr, small = _images(files, alignment)
    except Rejection as problem:
        return [_failed(alignment, params, problem)]
    rows = _cut_windows(alignment, phone, dslr, params, parts / f"{key}.tar")
    save_aside(parts, key, _frame(alignment, files, small, rows, key))
    if not rows:
        height, width = dslr.shape[:2]
        detail = f"The common crop of {width}x{height} px holds no window of {params.size_px} px."
        return [_failed(alignment, params, Rejection("small_crop", detail))]
    return rows


def _open(alignment: Alignment) -> tuple[PhotoFile, PhotoFile]:
    phone = open_unchanged(alignment.phone_path, alignment.phone_sha256)
    return phone, open_unchanged(alignment.dslr_path, alignment.dslr_sha256)


def _images(files: tuple[PhotoFile, PhotoFile], alignment: Alignment) -> tuple[Image, Image, bytes]:
    """The whole phone photo, the DSLR's common crop on the phone's grid, and the DSLR's photo in small."""
    dslr = files[1].colour()
    crop = warp_dslr(dslr, aligned.transform(alignment), crop_box(alignment))
    return files[0].colour(), crop, thumbnail(dslr)


def _cut_windows(alignment: Alignment, phone: Image, dslr: Image, params: PatchesParams, part: Path) -> list[Patch]:
    """The rows of all windows; the images of those that are accepted go into the tar file `part`."""
    box, blank = crop_box(alignment), _blank(alignment, params)
    greys = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in (phone, dslr)]
    rows = []
    with replacing(part) as temporary, ShardWriter(temporary) as shard:
        for measures in measure(greys[0], greys[1], box, params):
            for facts in _facts(measures, alignment, params):
                window = Box(facts["x"], facts["y"], params.size_px, params.size_px)
                reason, detail = rejection(facts, is_masked(alignment, window), params)
                row = _row(blank, facts, reason, detail)
                if not reason:
                    top, left = window.y - box.y, window.x - box.x
                    patch = dslr[top : top + window.height, left : left + window.width]
                    phone_bytes, dslr_bytes = (
                        encode_image(image, f".{params.format}", params.jpeg_quality)
                        for image in (_phone_window(phone, facts, params), patch)
                    )
                    row = store(row, phone_bytes, dslr_bytes, shard, part)
                rows.append(row)
    return rows


def _facts(measures: Measures, alignment: Alignment, params: PatchesParams) -> Iterator[dict[str, Any]]:
    """The columns of each window that say where it lies and what was measured on it."""
    box, side = crop_box(alignment), params.size_px
    windows = measures.corners + np.array([box.x, box.y])
    phone = windows + (measures.matches.shifts if params.mode == "dped" else 0)
    homographies = from_patches(alignment, windows, side)
    columns = measures.columns | {"phone_x": phone[:, 0], "phone_y": phone[:, 1]} | _dslr_boxes(homographies, side)
    names, values = list(columns), np.column_stack(list(columns.values())).tolist()
    for (x, y), homography, known in zip(windows.tolist(), homographies, values, strict=True):
        numbers = {name: None if math.isnan(value) else value for name, value in zip(names, known, strict=True)}
        yield {"x": x, "y": y, "size": side, "dslr_from_patch": tuple(homography.ravel().tolist()), **numbers}


def _dslr_boxes(homographies: npt.NDArray[np.float64], side: int) -> dict[str, npt.NDArray[np.float64]]:
    """The boxes in the DSLR photo that windows cover, to the outer edges of their px."""
    rim = corners(side, side) + np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    covered = np.stack([transform_points(one, rim) for one in homographies])
    low, high = covered.min(axis=1), covered.max(axis=1)
    size = high - low
    return {"dslr_x": low[:, 0], "dslr_y": low[:, 1], "dslr_width": size[:, 0], "dslr_height": size[:, 1]}


def _phone_window(phone: Image, facts: Mapping[str, Any], params: PatchesParams) -> Image:
    """The phone's image of a patch: its own px, or px between them where it is turned."""
    side, place, turn = params.size_px, (facts["phone_x"], facts["phone_y"]), facts["angle_deg"]
    if turn:
        return sample(phone, place, side, turn, cv2.INTER_LANCZOS4)
    x, y = (int(value) for value in place)
    return phone[y : y + side, x : x + side]


def _row(blank: Mapping[str, Any], facts: Mapping[str, Any], reason: str, detail: str) -> Patch:
    name = f"{blank['pair_id']}--x{facts['x']:05d}-y{facts['y']:05d}"
    return Patch(**{**blank, **facts, "patch_id": name, "reason": reason, "detail": detail})


def _frame(
    alignment: Alignment, files: tuple[PhotoFile, PhotoFile], small: bytes, rows: Sequence[Patch], key: str
) -> Frame:
    phone_time, dslr_time = (time.isoformat() if time else None for time in (file.time for file in files))
    return Frame(
        pair_id=alignment.pair_id,
        phone=alignment.phone,
        scene_id=alignment.scene_id,
        phone_path=alignment.phone_path,
        dslr_path=alignment.dslr_path,
        phone_sha256=alignment.phone_sha256,
        dslr_sha256=alignment.dslr_sha256,
        phone_width=there(alignment.phone_width),
        phone_height=there(alignment.phone_height),
        phone_time=phone_time,
        dslr_time=dslr_time,
        thumbnail=small,
        windows=len(rows),
        accepted=sum(row.status == "accepted" for row in rows),
        key=key,
    )


def _is_usable(rows: Sequence[Patch], frames: Container[str]) -> bool:
    """Whether what the rows speak of is there: the bytes of their patches, and the frame of their pair."""
    return all(is_stored(row) for row in rows if row.status == "accepted") and (
        rows[0].key in frames or rows[0].reason in UNSEEN
    )


def _collect(items: Mapping[str, Alignment], finished: Finished[Patch], table: Path, params: PatchesParams) -> None:
    """Join the parts, in the order of the items, into shards and tables that take the earlier ones' place."""
    shelf = Shelf(table.parent, params.shard_patches)
    frames = finished.aside(items, Frame)
    with TableWriter(table, Patch) as writer, shelf:
        for key, alignment in items.items():
            rows = (_at_home(row, alignment) for row in finished.get(key))
            writer.write(shelf.take(row) if row.status == "accepted" else row for row in rows)
        # From here to the new table's appearance the old table would name bytes that have moved.
        table.unlink(missing_ok=True)
        shelf.publish()
    write_rows(
        Frame.table_in(table.parent), Frame, [_at_home(frames[key], items[key]) for key in items if key in frames]
    )


def _write_summary(out: Path, alignments: Sequence[Alignment], params: PatchesParams) -> None:
    """Say in `selection.json` what became of the pairs and what the filters removed, beside the parameters."""
    looks = ["pair_id", "status", "reason", "x", "y", "size", "dslr_brightness", "dslr_contrast"]
    patches = read_frame(Patch.table_in(out), Patch, looks)
    frames = read_frame(Frame.table_in(out), Frame, ["pair_id", "phone_width", "phone_height"])
    summary(patches, frames, alignments, _telling(params)).write(Selection.file_in(out))


def _at_home(row: RowT, alignment: Alignment) -> RowT:
    """The same photos may have moved since an earlier run: the paths are those of today."""
    if (row.phone_path, row.dslr_path) == (alignment.phone_path, alignment.dslr_path):
        return row
    return replace(row, phone_path=alignment.phone_path, dslr_path=alignment.dslr_path)


def _failed(alignment: Alignment, params: PatchesParams, rejection: Rejection) -> Patch:
    blank = _blank(alignment, params)
    return Patch(**blank, patch_id=alignment.pair_id, reason=rejection.reason, detail=rejection.detail)


def _lost(alignment: Alignment, lost: Lost, params: PatchesParams) -> list[Patch]:
    return [_failed(alignment, params, Rejection(lost.reason, lost.detail))]


def _blank(alignment: Alignment, params: PatchesParams) -> dict[str, Any]:
    """The columns that all windows of a pair share, before anything is known of one."""
    return {
        "pair_id": alignment.pair_id,
        "phone": alignment.phone,
        "scene_id": alignment.scene_id,
        "status": "rejected",
        "mode": params.mode,
        "phone_path": alignment.phone_path,
        "dslr_path": alignment.dslr_path,
        "phone_sha256": alignment.phone_sha256,
        "dslr_sha256": alignment.dslr_sha256,
        "params_sha256": params_sha256(params),
        "key": _key(alignment, params),
    }


def params_sha256(params: PatchesParams) -> str:
    """Return the SHA-256, hex, of the parameters that decide on windows and images, as JSON with sorted keys."""
    return digest(_telling(params))


def _telling(params: PatchesParams) -> dict[str, Any]:
    """The parameters that tell one run's patches from another's, with the limits that hold."""
    own = describe(params) | {name: params.limit(name) for name in STRICT}
    # How many patches share a shard says nothing about the patches.
    own.pop("shard_patches")
    return own


def _key(alignment: Alignment, params: PatchesParams) -> str:
    return digest([_CODE, cv2.__version__, _telling(params), alignment.key])


UNSEEN = Patch.RETRIED
"""Reasons of pairs whose photos were not seen, so that there is no frame of them."""

_CODE = code_digest(
    sys.modules[__name__],
    aligned,
    correlation,
    exposure,
    geometry,
    selection,
    shards,
    shelf,
    shifts,
    subpixel,
    thumbnails,
    transform,
    warping,
    windows,
    *photos.CODE,
)
