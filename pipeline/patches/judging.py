"""Judge the windows of one aligned pair: where each lies in both photos, what was measured on it, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.io import digest
from dpedtool.dataset.params import STRICT, PatchesParams, describe
from dpedtool.dataset.photos.pixels import GreyPhoto, Image
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.pipeline.geometry.aligned import crop_box, cut, from_patches, is_masked, required
from dpedtool.pipeline.geometry.homographies import Box, corners, local_scale, transform_points
from dpedtool.pipeline.geometry.node_files import STEPS_A_PX
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.geometry.warping import Resampler
from dpedtool.pipeline.measure.certainty import LEAST_AT_PLACE, MISPLACED_SHARE
from dpedtool.pipeline.measure.colour_agreement import ColourAgreement
from dpedtool.pipeline.measure.common_range import common_range, cut_off
from dpedtool.pipeline.measure.correlation import Corners, sample
from dpedtool.pipeline.measure.exposure import clipped
from dpedtool.pipeline.measure.keypoint_homography import FEWEST_OFF_PLANE
from dpedtool.pipeline.measure.noise import NO_NOISE, noise_of
from dpedtool.pipeline.measure.window_counts import WindowCounts
from dpedtool.pipeline.patches.filters import Measured, proof, rejection
from dpedtool.pipeline.patches.windows import (
    NO_EVIDENCE,
    Evidence,
    Measures,
    corners_at,
    measure_windows,
    shared_places,
)

LEAST_DETAIL = 0.9
"""Fewest DSLR px for each px of a target, along a side: with fewer, the target's own px would be interpolated ones."""


def judge_windows(
    alignment: Alignment,
    to: Transform,
    phone: Image,
    dslr: Image,
    params: PatchesParams,
    *,
    at: Corners | None = None,
    key: str = "",
    target: Resampler | None = None,
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
    at
        (N, 2): x, y of the windows' top left px in the common crop; by default the parameters say where they lie.
    key
        The digest of what the rows are made from.
    target
        The DSLR's photo on a finer grid, for the images of accepted windows; by default they are cut from `dslr`.
        Windows are judged on the phone's grid in either case.

    Yields
    ------
    tuple
        The row, and the phone's and the DSLR's image of an accepted window, (size, size, 3) each, or the DSLR's as
        many times as fine as `target`; None for others.

    """
    box, blank = crop_box(alignment), blank_row(alignment, params, key)
    greys = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in (phone, dslr)]
    if params.mode == "strict":
        evidence, greys = _strict_evidence(alignment, to, greys, box)
    else:
        crops = cut(greys[0], box), greys[1]
        evidence = Evidence.of_jumps(*crops, to.nodes, box) if may_have_depth(alignment) else NO_EVIDENCE
    if params.limit("max_colour") is not None:
        evidence = replace(evidence, colours=ColourAgreement.of(cut(phone, box), dslr, params.size_px))
    corners, places = (at, {}) if at is not None else _chosen(alignment, to, box, params)
    for measures in measure_windows(greys[0], greys[1], box, params, evidence, corners):
        for window in _windows(measures, to, box, params, places):
            place = Box(window.x, window.y, window.size, window.size)
            reason, detail = rejection(window.measured, is_masked(alignment, place), params)
            images = None if reason else (_phone_window(phone, window), _dslr_window(dslr, window, box, target))
            yield _row(blank, window, reason, detail, proof(window.measured, params)), images


def small_crop(alignment: Alignment, params: PatchesParams) -> Rejection:
    """Return the rejection of a pair whose common crop holds no window."""
    box = crop_box(alignment)
    detail = f"The common crop of {box.width}x{box.height} px is too small for a window of {params.size_px} px."
    return Rejection("small_crop", detail)


def finer_target(dslr: Image, to: Transform, box: Box, params: PatchesParams) -> Resampler | None:
    """Return the DSLR's photo on the grid of the targets; None if that is the phone's own.

    Parameters
    ----------
    dslr
        (H, W, 3) BGR: the whole DSLR photo.
    to
        The pair's transform.
    box
        The common crop in the phone photo.
    params
        `target_scale` is used.

    Raises
    ------
    Rejection
        `too_coarse`, as the function of this name says.

    """
    if params.target_scale == 1:
        return None
    if refusal := too_coarse(to, box, params):
        raise refusal
    return Resampler.of(dslr, to, box, params.target_scale)


def too_coarse(to: Transform, box: Box, params: PatchesParams) -> Rejection | None:
    """Return the rejection of a pair whose DSLR photo has too few px for targets of `params.target_scale`; or None.

    It counts where in the common crop `box` the DSLR's photo has the fewest px for each phone px.
    """
    wanted = params.target_scale
    if wanted == 1:
        return None
    # The scale of a homography is a power of a linear function of the place, so that it is least in a corner.
    rim = corners(box.width, box.height) + np.array([box.x, box.y])
    least = min(local_scale(to.homography, corner) for corner in rim)
    if least >= LEAST_DETAIL * wanted:
        return None
    return Rejection(
        "too_coarse",
        f"The DSLR's photo has only {least:.2f} px for each phone px, along a side, where it has fewest; "
        f"patches.target_scale {wanted} needs {LEAST_DETAIL * wanted:.1f}.",
    )


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


def blank_row(alignment: Alignment, params: PatchesParams, key: str) -> dict[str, Any]:
    """Return the columns of `Patch` that all windows of a pair share; they are rejected unless something else is said.

    `key` is the digest of what the rows are made from.
    """
    return {
        "pair_id": alignment.pair_id,
        "phone": alignment.phone,
        "scene_id": alignment.scene_id,
        "status": "rejected",
        "mode": params.mode,
        "target_scale": params.target_scale,
        "phone_path": alignment.phone_path,
        "dslr_path": alignment.dslr_path,
        "phone_sha256": alignment.phone_sha256,
        "dslr_sha256": alignment.dslr_sha256,
        "params_sha256": params_sha256(params),
        "key": key,
    }


def params_sha256(params: PatchesParams) -> str:
    """Return the SHA-256, hex, of the parameters that decide on windows and images, as JSON with sorted keys."""
    return digest(telling(params))


def telling(params: PatchesParams) -> dict[str, Any]:
    """Return the parameters that change the patches, with the limits that hold."""
    own = describe(params) | {name: params.limit(name) for name in STRICT}
    # How many patches share a shard says nothing about the patches.
    own.pop("shard_patches")
    return own


def telling_of_windows(params: PatchesParams) -> dict[str, Any]:
    """Return the parameters that change what a pair's windows say by themselves, without its session."""
    own = telling(params)
    own.pop("max_exposure_difference")
    return own


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


def _dslr_window(dslr: Image, window: _Window, box: Box, target: Resampler | None) -> Image:
    left, top = window.x - box.x, window.y - box.y
    if target:
        return target.part(Box(left, top, window.size, window.size))
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
