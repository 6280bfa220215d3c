"""The stacks of patches: the window of each patch in every frame of its moment, and its further targets.

A burst or bracket is worth more than its base frame, but only if every frame shows the same place and is proven to. So
each frame is registered to the DSLR's photo like a pair, and its windows are judged by the same filters. They are cut
at whole px of the frame, so that no px of the phone is resampled.

A further target is what a further reference shows at the place of the patch. Its photo is registered to the base frame,
resampled onto its grid, and judged by the same filters.
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
from dpedtool.pipeline.patches.judging import finer_target, judge_windows
from dpedtool.pipeline.patches.windows import nearest_corners

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

LEAST_SEEN = 0.75
"""Least share of these places that both frames must see: something nearer may hide the others."""


@dataclass(frozen=True)
class Cut:
    """One frame or further target of a patch, and its image if it is accepted."""

    row: StackFrame
    image: Image | None
    """(size, size, 3) BGR, of a target `target_scale` times as large; None for the base, whose image is that of the
    patch, and for a rejected frame."""


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
        yield from _or_rejected(_cut_frame(frame, to, dslr, patches, blanks, params), blanks)


def targets(moment: Moment, phone: Image, patches: Sequence[Patch], params: PatchesParams, key: str) -> Iterator[Cut]:
    """Yield the further targets of all patches of a moment, reference by reference.

    Parameters
    ----------
    moment
        The moment.
    phone
        (H, W, 3) BGR: the whole photo of the frame that stands for it.
    patches
        The accepted patches of that frame, in any order.
    params
        Size and limits.
    key
        The digest of what the rows are made from.

    """
    base = required(moment.standing)
    known = how_taken(base.dslr_path) if moment.targets else Taken()
    for target in moment.targets:
        taken = how_taken(target.dslr_path)
        blanks = [_blank(target, patch.patch_id, taken, known, key) for patch in patches]
        yield from _or_rejected(_cut_target(target, base, phone, patches, blanks, params), blanks)


def _or_rejected(cuts: Iterator[Cut], blanks: Sequence[StackFrame]) -> Iterator[Cut]:
    """Yield the cuts of one photo; if it cannot be used at all, its blank rows with the reason."""
    try:
        yield from cuts
    except Rejection as problem:
        yield from (Cut(replace(row, reason=problem.reason, detail=problem.detail), None) for row in blanks)


def place_in_stack(row: StackFrame) -> tuple[bool, int]:
    """Return the key that sorts the rows of a patch: the phone's frames, then the further targets, by their numbers."""
    return row.role == "target", row.frame


def enough_frames(patch: Patch, frames: Sequence[StackFrame], params: PatchesParams) -> Patch:
    """Return an accepted patch, or its rejection if too few of its frames or targets are accepted.

    `params.min_frames` and `params.min_references` say how many are enough.
    """
    own = [frame.status == "accepted" for frame in frames if frame.role != "target"]
    if sum(own) < params.min_frames:
        return _too_few(
            patch,
            "few_frames",
            f"{sum(own)} of {len(own)} frames show the place; patches.min_frames is {params.min_frames}.",
        )
    # The base reference shows the place of every accepted patch.
    of_targets = [True, *(frame.status == "accepted" for frame in frames if frame.role == "target")]
    if sum(of_targets) < params.min_references:
        return _too_few(
            patch,
            "few_references",
            f"{sum(of_targets)} of {len(of_targets)} references of the moment show the place; patches.min_references "
            f"is {params.min_references}.",
        )
    return patch


def _too_few(patch: Patch, reason: str, detail: str) -> Patch:
    blank: dict[str, Any] = dict.fromkeys((*_OF_SHARD, "bends", "proved_by"))
    return replace(patch, status="rejected", reason=reason, detail=detail, **blank)


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


def _cut_target(
    target: Alignment,
    base: Alignment,
    phone: Image,
    patches: Sequence[Patch],
    blanks: Sequence[StackFrame],
    params: PatchesParams,
) -> Iterator[Cut]:
    """Yield the target of all patches from one further reference.

    Raises
    ------
    Rejection
        Its photo was not aligned with the frame that patches are cut from, cannot be read any more, or has too few px
        for `params.target_scale`.

    """
    if target.status != "aligned":
        raise Rejection("frame_not_aligned", f"{target.reason}: {target.detail}")
    if target.phone_sha256 != base.phone_sha256:
        raise Rejection(
            "frame_not_aligned", f"It is aligned with {target.phone_path}, for which another frame stands in."
        )
    file = open_unchanged(target.dslr_path, target.dslr_sha256)
    own, box, side = transform(target), crop_box(target), params.size_px
    photo = file.colour()
    target_image = finer_target(photo, own, box, params)
    crop = warp_dslr(photo, own, box)
    waiting: dict[tuple[int, int], StackFrame] = {}
    for row, patch in zip(blanks, patches, strict=True):
        x, y = int(patch.phone_x or 0), int(patch.phone_y or 0)
        if box.x <= x <= box.x + box.width - side and box.y <= y <= box.y + box.height - side:
            waiting[x, y] = replace(row, x=x, y=y, frame_from_patch=IDENTITY, bend_px=0.0)
        else:
            detail = "The window does not lie wholly in what the base frame and this reference's photo both show."
            yield Cut(replace(row, reason="outside_frame", detail=detail), None)
    at = np.array(list(waiting), np.int64).reshape(-1, 2) - np.array([box.x, box.y])
    for window, images in judge_windows(target, own, phone, crop, params, at=at, target=target_image):
        verdict = {name: getattr(window, name) for name in ("status", "reason", "detail", *_MEASURED)}
        yield Cut(replace(waiting[window.x or 0, window.y or 0], **verdict), images[1] if images else None)


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
    is_target = pair.role == "target"
    return StackFrame(
        patch_id=patch_id,
        pair_id=pair.pair_id,
        role=pair.role,
        frame=pair.frame,
        reference=pair.reference,
        status="rejected",
        exposure_s=taken.exposure_s,
        f_number=taken.f_number,
        iso=taken.iso,
        ev=taken.stops_above(base),
        path=pair.dslr_path if is_target else pair.phone_path,
        sha256=pair.dslr_sha256 if is_target else pair.phone_sha256,
        key=key,
    )
