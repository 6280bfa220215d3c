"""Stage patches: windows that move in parallel over both aligned photos, kept where both show the same.

`strict` leaves every window where it is and proves that it is aligned; `dped` lets the phone's window move and turn to
where it correlates best, as DPED (Ignatov et al. 2017, arXiv 1704.02470, section 3.2) describes it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import digest, replacing
from dpedtool.dataset.params import STRICT, PatchesParams, describe
from dpedtool.dataset.photos.decoding import PhotoFile, open_unchanged
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.stored import GreyPhoto, Image
from dpedtool.dataset.photos.thumbnails import thumbnail
from dpedtool.dataset.schema import Alignment, Frame, Patch
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.tables import TableWriter, read_frame, write_rows
from dpedtool.pipeline.geometry.aligned import crop_box, cut, from_patches, is_masked, required, transform
from dpedtool.pipeline.geometry.homographies import Box, corners, transform_points
from dpedtool.pipeline.geometry.node_files import STEPS_A_PX
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.geometry.warping import warp_dslr
from dpedtool.pipeline.measure.certainty import LEAST_AT_PLACE, MISPLACED_SHARE
from dpedtool.pipeline.measure.common_range import common_range, cut_off
from dpedtool.pipeline.measure.correlation import Corners, sample
from dpedtool.pipeline.measure.exposure import clipped
from dpedtool.pipeline.measure.keypoint_homography import FEWEST_OFF_PLANE
from dpedtool.pipeline.measure.noise import NO_NOISE, noise_of
from dpedtool.pipeline.measure.window_counts import WindowCounts
from dpedtool.pipeline.patches.filters import Measured, proof, rejection
from dpedtool.pipeline.patches.selection_figures import summary
from dpedtool.pipeline.patches.shelf import Shelf, is_stored, still_wanted, store
from dpedtool.pipeline.patches.windows import (
    NO_EVIDENCE,
    Evidence,
    Measures,
    corners_at,
    measure_windows,
    shared_places,
)
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
    """Cut the patches of all aligned moments, of one frame each, into `out/patches-NNNNN.tar`, and write their tables.

    `out/patches.parquet` has a row for every candidate window, kept or not, and `out/frames.parquet` one for every
    pair. `out/selection.json` says how many pairs were not aligned and why, and what share of the windows was kept by
    brightness, texture, noise and place.
    The photos in the table of alignments are read again, so that the DSLR's pixels are resampled only once.
    Tables and shards are the same bytes for any number of workers. What an earlier run finished is kept: shards whose
    patches are all wanted still stay as they are, and new patches go into new shards.

    Returns
    -------
    Path
        The table of patches.

    Raises
    ------
    DpedtoolError
        Another run is writing to `out`.

    """
    rows = sorted(standing_for_moments(alignments), key=lambda row: row.pair_id)
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


def standing_for_moments(alignments: Sequence[Alignment]) -> list[Alignment]:
    """Return one aligned pair for each phone and moment: that of the base frame, or the frame next to it in time.

    A frame of another size than the base cannot stand in for it. Moments of which no frame was aligned are left out.
    """
    bases = {(row.phone, row.scene_id): row for row in alignments if row.role == "base"}
    chosen: dict[tuple[str, str], tuple[tuple[bool, int, int, str], Alignment]] = {}
    for row in alignments:
        moment = row.phone, row.scene_id
        base = bases.get(moment)
        if row.status != "aligned" or (base and not _alike_in_size(row, base)):
            continue
        rank = row.role != "base", abs(row.frame - (base.frame if base else 0)), row.frame, row.pair_id
        if moment not in chosen or rank < chosen[moment][0]:
            chosen[moment] = rank, row
    return [row for _, row in chosen.values()]


def _alike_in_size(row: Alignment, base: Alignment) -> bool:
    """Whether two frames have the same size; it is not known of a photo that could not be read."""
    return base.phone_width is None or (row.phone_width, row.phone_height) == (base.phone_width, base.phone_height)


def cut_pair(alignment: Alignment, params: PatchesParams, parts: Path) -> list[Patch]:
    """Judge all windows of one aligned pair; the accepted ones go into a tar file of their own below `parts`."""
    key = _key(alignment, params)
    try:
        files, to = _open(alignment), transform(alignment)
        phone, dslr, small = _images(files, to, crop_box(alignment))
    except Rejection as problem:
        return [_failed(alignment, params, problem)]
    rows = _cut_windows(alignment, to, phone, dslr, params, parts / f"{key}.tar")
    save_aside(parts, key, _frame(alignment, files, small, rows, key))
    return rows or [_failed(alignment, params, small_crop(alignment, params))]


def small_crop(alignment: Alignment, params: PatchesParams) -> Rejection:
    """Return the rejection of a pair whose common crop holds no window."""
    box = crop_box(alignment)
    detail = f"The common crop of {box.width}x{box.height} px is too small for a window of {params.size_px} px."
    return Rejection("small_crop", detail)


def _open(alignment: Alignment) -> tuple[PhotoFile, PhotoFile]:
    phone = open_unchanged(alignment.phone_path, alignment.phone_sha256)
    return phone, open_unchanged(alignment.dslr_path, alignment.dslr_sha256)


def _images(files: tuple[PhotoFile, PhotoFile], to: Transform, box: Box) -> tuple[Image, Image, bytes]:
    """Return the whole phone photo, the DSLR's common crop on the phone's grid, and the DSLR photo's thumbnail."""
    dslr = files[1].colour()
    return files[0].colour(), warp_dslr(dslr, to, box), thumbnail(dslr)


def _cut_windows(
    alignment: Alignment, to: Transform, phone: Image, dslr: Image, params: PatchesParams, part: Path
) -> list[Patch]:
    """Return the rows of all windows; the images of the accepted ones go into the tar file `part`."""
    rows = []
    with replacing(part) as temporary, ShardWriter(temporary) as shard:
        for row, images in judge_windows(alignment, to, phone, dslr, params):
            if images:
                phone_bytes, dslr_bytes = (
                    encode_image(image, f".{params.format}", params.jpeg_quality) for image in images
                )
                rows.append(store(row, phone_bytes, dslr_bytes, shard, part))
            else:
                rows.append(row)
    return rows


def judge_windows(
    alignment: Alignment, to: Transform, phone: Image, dslr: Image, params: PatchesParams
) -> Iterator[tuple[Patch, tuple[Image, Image] | None]]:
    """Yield the row of every window of an aligned pair, row by row from the top left corner.

    Parameters
    ----------
    alignment
        The aligned pair.
    to
        Its transform.
    phone
        (H, W, 3) BGR: the whole phone photo.
    dslr
        (h, w, 3) BGR: the DSLR's image of the common crop, on the phone's grid.
    params
        Mode and limits.

    Yields
    ------
    tuple
        The row, and the phone's and the DSLR's image of an accepted window, (size, size, 3) each; None for others.

    """
    box, blank = crop_box(alignment), _blank(alignment, params)
    greys = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in (phone, dslr)]
    if params.mode == "strict":
        evidence, greys = _strict_evidence(alignment, to, greys, box)
    else:
        crops = cut(greys[0], box), greys[1]
        evidence = Evidence.of_jumps(*crops, to.nodes, box) if may_have_depth(alignment) else NO_EVIDENCE
    corners, places = _chosen(alignment, to, box, params)
    for measures in measure_windows(greys[0], greys[1], box, params, evidence, corners):
        for window in _windows(measures, to, box, params, places):
            place = Box(window.x, window.y, window.size, window.size)
            reason, detail = rejection(window.measured, is_masked(alignment, place), params)
            images = None if reason else (_phone_window(phone, window), _dslr_window(dslr, window, box))
            yield _row(blank, window, reason, detail, proof(window.measured, params)), images


def _chosen(
    alignment: Alignment, to: Transform, box: Box, params: PatchesParams
) -> tuple[Corners | None, Mapping[tuple[int, int], tuple[float, float]]]:
    """Return the corners of the windows in the crop, and the shared place of each; None for the phone's own grid."""
    if params.places == "own":
        return None, {}
    size = required(alignment.dslr_width), required(alignment.dslr_height)
    corners, places = corners_at(shared_places(*size, params), to, box, params)
    return corners, {(x, y): (u, v) for (x, y), (u, v) in zip(corners.tolist(), places.tolist(), strict=True)}


def _strict_evidence(
    alignment: Alignment, to: Transform, greys: Sequence[GreyPhoto], box: Box
) -> tuple[Evidence, list[GreyPhoto]]:
    """Return what the whole pair says, and both grey images in the range of brightness that both show."""
    clips = clipped(cut(greys[0], box)), clipped(greys[1])
    limits = common_range(cut(greys[0], box), greys[1])
    shown = [cut_off(grey, ends) for grey, ends in zip(greys, limits, strict=True)]
    crops, noise = (cut(shown[0], box), shown[1]), noise_of(alignment) or NO_NOISE
    has_depth = may_have_depth(alignment)
    found = Evidence.of_depth(*crops, to.nodes, box, noise) if has_depth else Evidence.of_flat(*crops, noise)
    return replace(found, clips=(WindowCounts(clips[0]), WindowCounts(clips[1]))), shown


def may_have_depth(alignment: Alignment) -> bool:
    """Whether an aligned pair shows signs of depth, so that its windows may span several depths.

    A flow costs time and has errors of its own. In flat scenes it finds nothing.
    """
    at_place, misplaced, off_plane = alignment.at_place, alignment.misplaced, alignment.off_plane
    return (
        alignment.model == "local"
        or (at_place is not None and at_place < LEAST_AT_PLACE)
        or (misplaced or 0) > MISPLACED_SHARE
        or (off_plane or 0) >= FEWEST_OFF_PLANE
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """A candidate: where it lies, as columns of `Patch` of these names, and what was measured on it."""

    x: int
    y: int
    size: int
    phone_x: float
    phone_y: float
    dslr_x: float
    dslr_y: float
    dslr_width: float
    dslr_height: float
    dslr_from_patch: tuple[float, ...]
    bend_px: float
    bends: tuple[float, ...] | None
    place_x: float | None
    place_y: float | None
    measured: Measured


def _windows(
    measures: Measures,
    to: Transform,
    box: Box,
    params: PatchesParams,
    shared: Mapping[tuple[int, int], tuple[float, float]],
) -> Iterator[_Window]:
    side = params.size_px
    places = measures.corners + np.array([box.x, box.y])
    phone = places + (measures.matches.shifts if params.mode == "dped" else 0)
    found = from_patches(to, places, side)
    boxes = _dslr_boxes(found.homographies, side)
    columns = zip(
        places.tolist(), phone.tolist(), boxes.tolist(), found.bends_px.tolist(), measures.each(), strict=True
    )
    for index, ((x, y), (phone_x, phone_y), (left, top, width, height), bend, measured) in enumerate(columns):
        yield _Window(
            x=x,
            y=y,
            size=side,
            phone_x=float(phone_x),
            phone_y=float(phone_y),
            dslr_x=left,
            dslr_y=top,
            dslr_width=width,
            dslr_height=height,
            dslr_from_patch=tuple(found.homographies[index].ravel().tolist()),
            bend_px=bend,
            bends=None if found.nodes is None else _in_steps(found.nodes[index]),
            place_x=place[0] if (place := shared.get((x - box.x, y - box.y))) else None,
            place_y=place[1] if place else None,
            measured=measured,
        )


def _in_steps(nodes: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Return displacements as finely as the alignment knows them, which takes less room than all digits."""
    return tuple((np.rint(nodes.ravel() * STEPS_A_PX) / STEPS_A_PX).tolist())


def _dslr_boxes(homographies: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    """Return the boxes that windows cover in the DSLR photo, to the outer edges of px: (N, 4), x, y, width, height."""
    rim = corners(side, side) + np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    covered = np.stack([transform_points(one, rim) for one in homographies])
    low, high = covered.min(axis=1), covered.max(axis=1)
    return np.column_stack([low, high - low])


def _phone_window(phone: Image, window: _Window) -> Image:
    """Return the phone's image of a patch: its own px, or interpolated px if it is turned."""
    side, turn = window.size, window.measured.angle_deg
    if turn:
        return sample(phone, (window.phone_x, window.phone_y), side, turn, cv2.INTER_LANCZOS4)
    x, y = int(window.phone_x), int(window.phone_y)
    return phone[y : y + side, x : x + side]


def _dslr_window(dslr: Image, window: _Window, box: Box) -> Image:
    left, top = window.x - box.x, window.y - box.y
    return dslr[top : top + window.size, left : left + window.size]


def _row(blank: Mapping[str, Any], window: _Window, reason: str, detail: str, proved_by: str) -> Patch:
    columns = asdict(window)
    columns |= columns.pop("measured")
    if reason:
        columns["bends"] = None
    columns["patch_id"] = f"{blank['pair_id']}--x{window.x:05d}-y{window.y:05d}"
    columns["status"] = "rejected" if reason else "accepted"
    columns["proved_by"] = None if reason else proved_by or None
    return Patch(**{**blank, **columns, "reason": reason, "detail": detail})


def _frame(
    alignment: Alignment, files: tuple[PhotoFile, PhotoFile], small: bytes, rows: Sequence[Patch], key: str
) -> Frame:
    phone_time, dslr_time = (time.isoformat() if time else None for time in (file.time for file in files))
    return Frame(
        pair_id=alignment.pair_id,
        phone=alignment.phone,
        session=alignment.session,
        scene_id=alignment.scene_id,
        phone_path=alignment.phone_path,
        dslr_path=alignment.dslr_path,
        phone_sha256=alignment.phone_sha256,
        dslr_sha256=alignment.dslr_sha256,
        phone_width=required(alignment.phone_width),
        phone_height=required(alignment.phone_height),
        phone_time=phone_time,
        dslr_time=dslr_time,
        thumbnail=small,
        windows=len(rows),
        accepted=sum(row.status == "accepted" for row in rows),
        key=key,
    )


def _is_usable(rows: Sequence[Patch], frames: Container[str]) -> bool:
    """Whether the bytes of the rows' patches and the frame of their pair exist."""
    return all(is_stored(row) for row in rows if row.status == "accepted") and (
        rows[0].key in frames or rows[0].reason in UNSEEN
    )


def _collect(items: Mapping[str, Alignment], finished: Finished[Patch], table: Path, params: PatchesParams) -> None:
    """Join the parts, in the order of the items, into shards and tables that replace the earlier ones.

    Shards whose patches are all wanted as they are stay.
    """
    old = {key for key in items if not finished.is_part(key)}
    has_grown = _packed_by(table.parent) == params.shard_patches
    shelf = Shelf(table.parent, params.shard_patches, still_wanted(table, old) if has_grown else ())
    frames = finished.aside(items, Frame)
    with TableWriter(table, Patch) as writer, shelf:
        for key, alignment in items.items():
            rows = (_at_home(row, alignment) for row in finished.get(key))
            writer.write(shelf.take(row) if row.status == "accepted" else row for row in rows)
        # The old table is removed first if it would name bytes that have moved until the new one is there. Otherwise it
        # stays, so that a run that is killed here loses nothing.
        if shelf.replaced():
            table.unlink(missing_ok=True)
        shelf.publish()
    write_rows(
        Frame.table_in(table.parent), Frame, [_at_home(frames[key], items[key]) for key in items if key in frames]
    )


def _packed_by(folder: Path) -> int | None:
    """Return the number of patches a shard by which the shards in a folder were filled; None if it is not known."""
    try:
        return Selection.read(Selection.file_in(folder)).shard_patches
    except DpedtoolError:
        return None


def _write_summary(out: Path, alignments: Sequence[Alignment], params: PatchesParams) -> None:
    """Write `selection.json`: what became of the pairs, what the filters removed, and the parameters."""
    looks = ["pair_id", "status", "reason", "proved_by", "x", "y", "size", "dslr_brightness", "dslr_contrast"]
    patches = read_frame(Patch.table_in(out), Patch, looks)
    frames = read_frame(Frame.table_in(out), Frame, ["pair_id", "phone_width", "phone_height"])
    told = summary(patches, frames, alignments, _telling(params))
    replace(told, shard_patches=params.shard_patches).write(Selection.file_in(out))


def _at_home(row: RowT, alignment: Alignment) -> RowT:
    """Return the row with today's paths, since the photos may have moved since an earlier run."""
    if (row.phone_path, row.dslr_path) == (alignment.phone_path, alignment.dslr_path):
        return row
    return replace(row, phone_path=alignment.phone_path, dslr_path=alignment.dslr_path)


def _failed(alignment: Alignment, params: PatchesParams, rejection: Rejection) -> Patch:
    blank = _blank(alignment, params)
    return Patch(**blank, patch_id=alignment.pair_id, reason=rejection.reason, detail=rejection.detail)


def _lost(alignment: Alignment, lost: Lost, params: PatchesParams) -> list[Patch]:
    return [_failed(alignment, params, Rejection(lost.reason, lost.detail))]


def _blank(alignment: Alignment, params: PatchesParams) -> dict[str, Any]:
    """Return the columns that all windows of a pair share."""
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
    """Return the parameters that change the patches, with the limits that hold."""
    own = describe(params) | {name: params.limit(name) for name in STRICT}
    # How many patches share a shard says nothing about the patches.
    own.pop("shard_patches")
    return own


def _key(alignment: Alignment, params: PatchesParams) -> str:
    return digest([_CODE, cv2.__version__, _telling(params), alignment.key])


UNSEEN = Patch.RETRIED
"""Reasons of pairs whose photos were not read, so that they have no frame."""

_CODE = code_digest(__name__)
