"""The stacks of patches: the window of each patch in every frame of its moment (patches.frames: all).

A burst or bracket is worth more than its base frame, but only if every frame shows the same place and is proven to. So
each frame is registered to the DSLR's photo like a pair, and its windows are judged by the same filters. They are cut
at whole px of the frame, so that no px of the phone is resampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.photos.decoding import how_taken, open_unchanged
from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.schema import Alignment, Patch, StackFrame
from dpedtool.pipeline.geometry.aligned import PLACES_PER_SIDE, crop_box, required, transform
from dpedtool.pipeline.geometry.homographies import Points, fit_homographies, transform_points
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.geometry.warping import warp_dslr
from dpedtool.pipeline.moments import Moment
from dpedtool.pipeline.patches.judging import judge_windows
from dpedtool.pipeline.patches.windows import nearest_corners

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

LEAST_SEEN = 0.75
"""Least share of these places that both frames must see: something nearer may hide the others."""


@dataclass(frozen=True)
class Cut:
    """One frame of a patch, and its image if it is accepted."""

    row: StackFrame
    image: Image | None
    """(size, size, 3) BGR; None for the base, whose image is the patch's own, and for a rejected frame."""


def stacks(
    moment: Moment, to: Transform, dslr: Image, patches: Sequence[Patch], params: PatchesParams, key: str
) -> Iterator[Cut]:
    """Yield the frames of all patches of a moment: the base frames first, then frame by frame.

    Parameters
    ----------
    moment
        The moment.
    to
        The transform of the frame that stands for it.
    dslr
        (H, W, 3) BGR: the whole DSLR photo.
    patches
        The accepted patches of that frame, in any order.
    params
        Size and limits.
    key
        The digest of what the rows are made from.

    """
    base = required(moment.standing)
    known = how_taken(base.phone_path)
    for patch in patches:
        row = _blank(base, patch.patch_id, known, known, key)
        measured = {name: getattr(patch, name) for name in _MEASURED}
        x, y = int(patch.phone_x or 0), int(patch.phone_y or 0)
        row = replace(row, status="accepted", x=x, y=y, frame_from_patch=IDENTITY, bend_px=0.0)
        yield Cut(replace(row, **measured), None)
    for frame in moment.others:
        taken = how_taken(frame.phone_path)
        blanks = [_blank(frame, patch.patch_id, taken, known, key) for patch in patches]
        try:
            yield from _cut_frame(frame, to, dslr, patches, blanks, params)
        except Rejection as problem:
            yield from (Cut(replace(row, reason=problem.reason, detail=problem.detail), None) for row in blanks)


def enough_frames(patch: Patch, frames: Sequence[StackFrame], params: PatchesParams) -> Patch:
    """Return an accepted patch, or its rejection if fewer frames of it are accepted than `params.min_frames`."""
    accepted = sum(frame.status == "accepted" for frame in frames)
    if accepted >= params.min_frames:
        return patch
    detail = f"{accepted} of {len(frames)} frames show the place; patches.min_frames is {params.min_frames}."
    blank: dict[str, Any] = dict.fromkeys((*_OF_SHARD, "bends", "proved_by"))
    return replace(patch, status="rejected", reason="few_frames", detail=detail, **blank)


_MEASURED = ("ncc", "residual_px", "residual_error_px", "proved_by")
_OF_SHARD = ("shard", "phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes")


def _cut_frame(
    frame: Alignment,
    to: Transform,
    dslr: Image,
    patches: Sequence[Patch],
    blanks: Sequence[StackFrame],
    params: PatchesParams,
) -> Iterator[Cut]:
    """Yield one frame of all patches.

    Raises
    ------
    Rejection
        The photo was not aligned, or cannot be read any more.

    """
    if frame.status != "aligned":
        raise Rejection("frame_not_aligned", f"{frame.reason}: {frame.detail}")
    file = open_unchanged(frame.phone_path, frame.phone_sha256)
    own, box, side = transform(frame), crop_box(frame), params.size_px
    phone = file.colour()
    starts = np.array([[patch.phone_x, patch.phone_y] for patch in patches], np.float64).reshape(-1, 2)
    corners, inside = nearest_corners(to(starts + (side - 1) / 2), own, box, side)
    places = corners + np.array([box.x, box.y])
    waiting: dict[tuple[int, int], list[StackFrame]] = {}
    for row, start, place, is_inside in zip(blanks, starts, places, inside, strict=True):
        found = _between(to, own, start, place, side) if is_inside else None
        if found is None:
            detail = "The window would not lie wholly in what this frame and the DSLR's photo both show."
            yield Cut(replace(row, reason="outside_frame", detail=detail), None)
        else:
            x, y = place.tolist()
            homography, bend_px = tuple(found[0].ravel().tolist()), found[1]
            row = replace(row, x=x, y=y, frame_from_patch=homography, bend_px=bend_px)
            waiting.setdefault((x, y), []).append(row)
    at = np.array(list(waiting), np.int64).reshape(-1, 2) - np.array([box.x, box.y])
    for window, images in judge_windows(frame, own, phone, warp_dslr(dslr, own, box), params, at=at):
        verdict = {name: getattr(window, name) for name in ("status", "reason", "detail", *_MEASURED)}
        for row in waiting[window.x or 0, window.y or 0]:
            yield Cut(replace(row, **verdict), images[0] if images else None)


def _between(base: Transform, frame: Transform, start: Points, end: Points, side: int) -> tuple[Points, float] | None:
    """Return what takes px of a window of the base frame to px of the window of another frame.

    Parameters
    ----------
    base, frame
        The transforms of both to the DSLR's photo.
    start, end
        (2,): x, y of the windows' top left px in the photo of each frame.
    side
        Side of the windows, in px.

    Returns
    -------
    tuple
        (3, 3): the closest homography; and the largest distance from what the transforms say, in phone px. None if the
        other frame does not see enough of the window.

    """
    axis = np.linspace(0, side - 1, PLACES_PER_SIDE)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    there = frame.inverse(base(places + start)) - end
    seen = np.isfinite(there).all(axis=1)
    if seen.mean() < LEAST_SEEN:
        return None
    found = fit_homographies(places[seen], there[None, seen])[0]
    away = transform_points(found, places[seen]) - there[seen]
    return found, float(np.linalg.norm(away, axis=1).max())


def _blank(pair: Alignment, patch_id: str, taken: Taken, base: Taken, key: str) -> StackFrame:
    """Return a rejected row without a reason, which the caller completes."""
    return StackFrame(
        patch_id=patch_id,
        pair_id=pair.pair_id,
        role=pair.role,
        frame=pair.frame,
        status="rejected",
        exposure_s=taken.exposure_s,
        f_number=taken.f_number,
        iso=taken.iso,
        ev=taken.stops_above(base),
        phone_path=pair.phone_path,
        phone_sha256=pair.phone_sha256,
        key=key,
    )
