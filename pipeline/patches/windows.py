"""Measure the candidate windows of an aligned pair, one row of windows at a time.

A strip of both images is converted, smoothed and differentiated once for all windows of a row, so that memory does not
grow with the photo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.params import PatchesParams
from dpedtool.pipeline.geometry.homographies import Box, Points
from dpedtool.pipeline.geometry.transform import Nodes, Transform
from dpedtool.pipeline.measure.colour_agreement import ColourAgreement
from dpedtool.pipeline.measure.consensus import Consensus
from dpedtool.pipeline.measure.correlation import Corners, Matches, find, sample, turned, turns_within
from dpedtool.pipeline.measure.flow import FlowEvidence, compare
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import NO_NOISE, ROUNDING, NoiseModel, PairNoise
from dpedtool.pipeline.measure.shifts import SMOOTHING
from dpedtool.pipeline.measure.subpixel import Places, locate
from dpedtool.pipeline.measure.window_counts import WindowCounts
from dpedtool.pipeline.patches.area_change import AreaChange
from dpedtool.pipeline.patches.filters import Measured, Values, cut_windows, details, looks

Bytes = npt.NDArray[np.uint8]

HARM_PX = 3.0
"""A shift that a window cannot know is taken for as large as this."""
MOST_NOISE = 1.5
"""At some levels, noise is larger than that of the photo by up to this factor."""
NOISE_SCATTER = 1.1
"""The noise of a window differs by about this factor from that of the pair."""
HARM_RIM_PX = 4
"""Rim of a window that its change leaves out: a little more than the shift."""
USUAL_GAIN = 0.8
"""Photos of two cameras that were exposed alike differ in contrast by this factor at most, up or down."""
MARGIN_PX = 8
"""Px around a window and its search that smoothing by `shifts.SMOOTHING` and interpolation need."""


@dataclass(frozen=True, eq=False)
class Measures:
    """What was measured on N windows, in the order of their corners. NaN where there is no value."""

    corners: Corners
    """(N, 2): x, y of the top left px in the DSLR's image, the common crop."""
    matches: Matches
    places: Places
    residuals: Points
    """(N, 2): shift left between the two images of the patch: the DSLR's shows at x + residual what the phone's shows
    at x, in px."""
    looks: Mapping[str, Values]
    """(N,) each: brightness, contrast, clipping, flatness, sharpness, motion and depth, by column."""

    def each(self) -> Iterator[Measured]:
        """Yield what was measured, window by window."""
        columns = self.columns
        for values in np.column_stack(list(columns.values())).tolist():
            named = zip(columns, values, strict=True)
            known: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in named}
            yield Measured(**known)

    @property
    def columns(self) -> dict[str, Values]:
        """Everything that was measured, (N,) each, by field of `Measured`."""
        return {
            **self.looks,
            "ncc": self.matches.ncc_here,
            "best_ncc": self.matches.ncc,
            "dx": self.matches.shifts[:, 0],
            "dy": self.matches.shifts[:, 1],
            "angle_deg": self.matches.turns_deg,
            "second_ncc": self.matches.second_ncc,
            "residual_x": self.residuals[:, 0],
            "residual_y": self.residuals[:, 1],
            "residual_px": np.hypot(*self.residuals.T),
            "residual_error_px": self.places.errors,
        }


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the whole of an aligned pair says about its windows; None for what was not measured."""

    flow: FlowEvidence | None = None
    area_change: AreaChange | None = None
    consensus: Consensus | None = None
    noise: NoiseModel | None = None
    clips: tuple[WindowCounts, WindowCounts] | None = None
    """What is black or burnt out in the phone's photo, and in the DSLR's, before they were cut off."""
    colours: ColourAgreement | None = None
    sensor: PairNoise = NO_NOISE
    """Noise of the two photos, which decides how much is smoothed."""

    @property
    def most_noise(self) -> float:
        """The largest difference, in grey levels, that the noise of the sensors explains, dark or bright."""
        return math.hypot(MOST_NOISE * self.sensor.total, ROUNDING)

    @staticmethod
    def of_flat(phone: Bytes, dslr: Bytes, noise: PairNoise = NO_NOISE) -> Evidence:
        """Let the windows of a pair without depth vouch for each other; (H, W) grey each, the common crop."""
        raw = phone.astype(np.float32), dslr.astype(np.float32)
        model = NoiseModel.of(*raw)
        for image in raw:
            # In place, as large photos fill the memory.
            cv2.GaussianBlur(image, (0, 0), SMOOTHING, dst=image)
        return Evidence(consensus=Consensus.of(raw[0], raw[1], noise), noise=model, sensor=noise)

    @staticmethod
    def of_depth(phone: Bytes, dslr: Bytes, nodes: Nodes | None, box: Box, noise: PairNoise = NO_NOISE) -> Evidence:
        """Look for edges of depth, where neighbours cannot vouch, and for noise; parameters as for `of_jumps`."""
        model = NoiseModel.of(phone.astype(np.float32), dslr.astype(np.float32))
        return replace(Evidence.of_jumps(phone, dslr, nodes, box, noise), noise=model, sensor=noise)

    @staticmethod
    def of_jumps(phone: Bytes, dslr: Bytes, nodes: Nodes | None, box: Box, noise: PairNoise = NO_NOISE) -> Evidence:
        """Look for edges of depth alone.

        Both (H, W) grey, the common crop; `nodes` of the transform, `box` of the crop, and `noise` of both photos.
        """
        return Evidence(flow=compare(phone, dslr, noise), area_change=AreaChange(nodes, box) if nodes else None)

    def about(
        self, corners: Corners, side: int, residuals: Points, errors: Values, looks: Mapping[str, Values]
    ) -> dict[str, Values]:
        """Return the measures of windows (N,), by field of `Measured`.

        Parameters
        ----------
        corners
            (N, 2): x, y of the windows' top left px in the crop.
        side
            Side of the windows, in px.
        residuals, errors
            (N, 2) and (N,): their own shifts and standard errors, in px; NaN where they are not known.
        looks
            (N,) each: what `filters.looks` says about the windows.

        """
        known: dict[str, Values] = {}
        if self.clips:
            known["clipped"] = np.maximum(*(counts.shares(corners, side) for counts in self.clips))
        for part in (self.flow, self.area_change):
            known |= part.shares(corners, side) if part else {}
        if self.colours:
            known["colour"] = self.colours.differences(corners, side)
        if self.noise:
            known["pair_noise"] = expected = self.noise.at(looks["phone_brightness"])
            known["ncc_without_noise"] = _ncc_without_noise(
                looks["phone_contrast"], looks["noise"], np.minimum(expected, self.most_noise)
            )
        if self.consensus:
            shifts, own = self.consensus.at(np.asarray(corners + (side - 1) / 2, np.float64))
            away = np.linalg.norm(residuals - shifts, axis=1) / np.hypot(errors, own)
            known |= {"pair_shift_px": np.linalg.norm(shifts, axis=1), "pair_error_px": own, "pair_distance": away}
        return known


NO_EVIDENCE = Evidence()


def window_corners(height: int, width: int, params: PatchesParams) -> Corners:
    """Return x, y of the top left px of all windows that lie wholly in an image, row by row, (N, 2)."""
    ys, xs = (np.arange(0, length - params.size_px + 1, params.stride_px) for length in (height, width))
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def measure_windows(
    phone: Bytes,
    dslr: Bytes,
    box: Box,
    params: PatchesParams,
    evidence: Evidence = NO_EVIDENCE,
    corners: Corners | None = None,
) -> Iterator[Measures]:
    """Measure all windows of an aligned pair, and yield what was measured on each row of windows.

    Parameters
    ----------
    phone
        (H, W) grey, the whole phone photo: windows may move beyond the common crop.
    dslr
        (box.height, box.width) grey, on the phone's grid.
    box
        The common crop in the phone photo.
    params
        Size, stride, mode and search.
    evidence
        What the whole pair says about its windows.
    corners
        (N, 2): x, y of the top left px of the windows in the DSLR's image; by default the grid of `window_corners`.

    """
    if corners is None:
        corners = window_corners(dslr.shape[0], dslr.shape[1], params)
        depth = 1
    else:
        # Windows at any places: those of a band are measured together, in a strip that is at most twice as high.
        depth = params.size_px
    left = corners
    while len(left):
        inside = left[:, 1] < left[:, 1].min() + depth
        yield measure_row_of_windows(phone, dslr, box, left[inside], params, evidence)
        left = left[~inside]


def measure_row_of_windows(
    phone: Bytes,
    dslr: Bytes,
    box: Box,
    corners: Corners,
    params: PatchesParams,
    evidence: Evidence = NO_EVIDENCE,
) -> Measures:
    """Measure the windows at these corners, (N, 2) in px of the DSLR's image, in one strip that holds them all.

    The other parameters are those of `measure_windows`. Places beyond the phone's image do not count in the search.
    """
    moves = params.mode == "dped"
    turns = turns_within(params.max_angle_deg, params.angle_step_deg) if moves else (0.0,)
    side, top, last = params.size_px, int(corners[:, 1].min()), int(corners[:, 1].max())
    # OpenCV cuts a Gaussian off at four times its sigma.
    margin = max(MARGIN_PX, math.ceil(4 * max(params.blur_px, evidence.sensor.smoothing)) + 1)
    # A turned search area reaches farther from its middle.
    beyond = params.search_px + margin + int(np.sin(np.radians(max(turns))) * (side / 2 + params.search_px))
    ours = _Strip.of(dslr, top - margin, last + side + margin)
    theirs = _Strip.of(phone, box.y + top - beyond, box.y + last + side + beyond)
    here, there = ours.within(corners), theirs.within(corners + np.array([box.x, box.y]))
    scored = [strip.blurred(params.blur_px) for strip in (ours, theirs)]
    matches = find(cut_windows(scored[0], here, side), scored[1], there, params.search_px, turns)
    smooth = [strip.blurred(SMOOTHING) for strip in (ours, theirs)]
    places = locate(smooth[1], smooth[0], (there, here), side, matches.shifts, matches.turns_deg)
    applied = matches.shifts if moves else np.zeros_like(matches.shifts)
    # The part of the phone's strip that matches the DSLR's px by px.
    left, upper = theirs.within(np.array([[box.x, box.y + ours.top]]))[0]
    under = np.s_[upper : upper + len(ours.image), left : left + dslr.shape[1]]
    smoothing = evidence.sensor.smoothing
    calm = smooth if smoothing == SMOOTHING else [strip.blurred(smoothing) for strip in (ours, theirs)]
    pairs = (theirs.image[under], ours.image), (calm[1][under], calm[0])
    residuals = _unturned(applied - places.shifts, matches.turns_deg)
    seen = looks(*pairs[0], here, side)
    told = evidence.about(corners, side, residuals, places.errors, seen)
    # Harm is compared with noise, which is that of the phone's photo, dark or bright as it is.
    gain = _beyond_usual(evidence.noise.gain) if evidence.noise else 1.0
    harm = {"harm": gain * _harm(smooth[0], here, side, places, params.limit("max_residual_error_px") or 0.0)}
    return Measures(
        corners=corners,
        matches=matches,
        places=places,
        residuals=residuals,
        looks=seen | details(*pairs[1], here, side, evidence.sensor) | told | harm,
    )


def shared_places(width: int, height: int, params: PatchesParams) -> Points:
    """Return the places of a DSLR photo that all phones share, row by row, (N, 2): middles of cells of `place_px`."""
    step = params.place_px or 0
    xs, ys = ((np.arange(length // step) + 0.5) * step - 0.5 for length in (width, height))
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def corners_at(places: Points, to: Transform, box: Box, params: PatchesParams) -> tuple[Corners, Points]:
    """Return the windows whose middles lie nearest to places of the DSLR photo, and these places, (N, 2) each.

    Windows that do not lie wholly in the common crop are left out, and so are places that the phone does not see. If
    two places have the same window, the first has it.

    Parameters
    ----------
    places
        (N, 2) in px of the DSLR photo.
    to
        The pair's transform.
    box
        The common crop in the phone photo.
    params
        Size of the windows.

    Returns
    -------
    tuple
        x, y of the windows' top left px in the crop, and their places.

    """
    corners, seen = nearest_corners(places, to, box, params.size_px)
    corners, places = corners[seen], places[seen]
    _, first = np.unique(corners, axis=0, return_index=True)
    # The order of measure_windows, so that rows stay in the order of the places.
    order = np.sort(first)
    return corners[order], places[order]


def nearest_corners(places: Points, to: Transform, box: Box, side: int) -> tuple[Corners, npt.NDArray[np.bool_]]:
    """Return the windows of `side` px whose middles lie nearest to places (N, 2) of the DSLR photo.

    Returns
    -------
    tuple
        (N, 2): x, y of the top left px of each window in the common crop `box`; and (N,): whether the window lies
        wholly in the crop, and the phone sees the place. The corners of other places mean nothing.

    """
    middles = to.inverse(places) - np.array([box.x, box.y])
    seen = np.isfinite(middles).all(axis=1)
    corners = np.rint(np.where(seen[:, None], middles, 0) - (side - 1) / 2).astype(np.int64)
    most = np.array([box.width, box.height]) - side
    return corners, seen & np.all((corners >= 0) & (corners <= most), axis=1)


def _beyond_usual(gain: float) -> float:
    """Return a gain without what two cameras differ by that were exposed alike."""
    return min(gain / USUAL_GAIN, 1.0) if gain < 1 else max(gain * USUAL_GAIN, 1.0)


def _ncc_without_noise(contrast: Values, difference: Values, noise: Values) -> Values:
    """Return the NCC (N,) of windows, 0..1, as it would be without noise; NaN where the phone's window is only noise.

    Noise lowers the NCC of windows that show the same. It belongs neither to the phone's contrast (N,) nor to the
    difference (N,) that gain and offset leave; all in grey levels.
    """
    explained = (NOISE_SCATTER * noise) ** 2
    signal, left = contrast**2 - explained, np.maximum(difference**2 - explained, 0)
    share = np.divide(left, signal, out=np.full_like(signal, np.nan), where=signal > 0)
    return np.asarray(np.sqrt(np.maximum(1 - share, 0)), np.float64)


def _harm(image: GreyValues, corners: Corners, side: int, places: Places, most_error: float) -> Values:
    """Return by how much windows (N,) of an image change, in grey levels, by a shift that they cannot know.

    In a direction in which the error is larger than `most_error`, or not known, they are shifted by `HARM_PX`; in
    others by three times the error, for which their slope says the change.
    """
    errors = np.column_stack([places.errors, places.other_errors])
    known = errors <= most_error
    harm = np.where(known, 3 * errors * places.slopes, 0.0)
    for index, axis in np.argwhere(~known).tolist():
        shift = HARM_PX * places.axes[index, axis]
        harm[index, axis] = max(change_by(image, corners[index], side, step) for step in (shift, -shift))
    return np.asarray(harm.max(axis=1))


def change_by(image: GreyValues, corner: Corners, side: int, shift: Points) -> float:
    """Return the root mean square change of a window of an image if it is shifted by x, y in px, in grey levels.

    Without its rim: a patch does not show what a shift would bring into it.
    """
    rim = min(HARM_RIM_PX, side // 4)
    inner, length = corner + rim, side - 2 * rim
    moved = sample(image, (inner + shift).tolist(), length, 0.0, cv2.INTER_LINEAR)
    (window,) = cut_windows(image, inner[None], length)
    return float(cv2.norm(window, moved, cv2.NORM_L2)) / length


@dataclass(frozen=True, eq=False)
class _Strip:
    """Some rows of an image as float32."""

    image: GreyValues
    top: int

    @staticmethod
    def of(image: Bytes, top: int, bottom: int) -> _Strip:
        """The rows from top to bottom, as far as the image has them."""
        top = max(0, top)
        return _Strip(image[top:bottom].astype(np.float32), top)

    def within(self, corners: Corners) -> Corners:
        """Corners (N, 2) of the image in px of the strip."""
        return np.asarray(corners - np.array([0, self.top]))

    def blurred(self, sigma: float) -> GreyValues:
        """The strip, Gaussian-smoothed."""
        return cv2.GaussianBlur(self.image, (0, 0), sigma) if sigma else self.image  # type: ignore[return-value]


def _unturned(shifts: Points, turns_deg: Values) -> Points:
    """Return shifts (N, 2) along the axes of the turned windows."""
    return np.array([turned(shift[None], -turn)[0] for shift, turn in zip(shifts, turns_deg, strict=True)])
