"""All that is measured on the candidate windows of an aligned pair, one row of windows at a time.

A strip of both images is converted, smoothed and differentiated once for all windows of a row, so that memory does not
grow with the photo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.params import PatchesParams
from dpedtool.pipeline.geometry.homographies import Box, Points
from dpedtool.pipeline.measure.correlation import Corners, Matches, find, turned, turns_within
from dpedtool.pipeline.measure.exposure import clipped
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.shifts import SMOOTHING, gradients
from dpedtool.pipeline.measure.subpixel import Places, locate

Bytes = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]

MARGIN_PX = 8
"""Beyond a window and its search: what smoothing by `shifts.SMOOTHING` and interpolation reach for."""
DETAIL = 1.5
"""Grey levels a px, of smoothed images: noise changes by less, detail by more."""
REDUCTION = 4
"""Motion is looked for on images so much smaller: blur in one of them, and a residual shift, are none."""
CELL_SHARE, LEAST_CELL = 5, 3
"""Parts that are looked at for motion: a fifth of a window's side, and at least 3 px of the reduced images."""
CELL_CONTRAST, CELL_CONTRAST_SHARE = 5.0, 0.35
"""Standard deviation, in grey levels and as a share of the window's, above which a part has enough detail for its NCC
to mean something: in the sky beside a house, sharpening and shading differ from camera to camera."""
FEWEST_CELLS = 6


@dataclass(frozen=True, eq=False)
class Measures:
    """What is known of N windows, in the order of their corners. NaN where there is nothing to say."""

    corners: Corners
    """(N, 2): x, y of the top left px in the DSLR's image, the common crop."""
    matches: Matches
    places: Places
    residuals: Points
    """(N, 2): shift left between the two images of the patch: the DSLR's shows at x + residual what the phone's shows
    at x, in px."""
    looks: Mapping[str, Values]
    """(N,) each: brightness, contrast, clipping, flatness, sharpness and motion, by column."""

    @property
    def columns(self) -> dict[str, Values]:
        """All that was measured, (N,) each, by the column of `dpedtool.dataset.schema.Patch` that it goes into."""
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


def window_corners(height: int, width: int, params: PatchesParams) -> Corners:
    """Return x, y of the top left px of all windows that lie wholly in an image, row by row, (N, 2)."""
    ys, xs = (np.arange(0, length - params.size_px + 1, params.stride_px) for length in (height, width))
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def measure(phone: Bytes, dslr: Bytes, box: Box, params: PatchesParams) -> Iterator[Measures]:
    """Measure all windows of an aligned pair, and yield what is known of each row of windows.

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

    """
    corners = window_corners(dslr.shape[0], dslr.shape[1], params)
    for y in np.unique(corners[:, 1]):
        yield measure_row(phone, dslr, box, corners[corners[:, 1] == y], params)


def measure_row(phone: Bytes, dslr: Bytes, box: Box, corners: Corners, params: PatchesParams) -> Measures:
    """Measure the windows at these corners, (N, 2) in px of the DSLR's image and all of one y; otherwise as `measure`.

    What of the search reaches beyond the phone's image does not count.
    """
    moves = params.mode == "dped"
    turns = turns_within(params.max_angle_deg, params.angle_step_deg) if moves else (0.0,)
    side, top = params.size_px, int(corners[0, 1])
    # OpenCV cuts a Gaussian off at four times its sigma.
    margin = max(MARGIN_PX, math.ceil(4 * params.blur_px) + 1)
    # A turned search area reaches farther from its middle.
    beyond = params.search_px + margin + int(np.sin(np.radians(max(turns))) * (side / 2 + params.search_px))
    ours = _Strip.of(dslr, top - margin, top + side + margin)
    theirs = _Strip.of(phone, box.y + top - beyond, box.y + top + side + beyond)
    here, there = ours.within(corners), theirs.within(corners + np.array([box.x, box.y]))
    scored = [strip.blurred(params.blur_px) for strip in (ours, theirs)]
    matches = find(_cut(scored[0], here, side), scored[1], there, params.search_px, turns)
    smooth = [strip.blurred(SMOOTHING) for strip in (ours, theirs)]
    places = locate(smooth[1], smooth[0], (there, here), side, matches.shifts, matches.turns_deg)
    applied = matches.shifts if moves else np.zeros_like(matches.shifts)
    # The part of the phone's strip that lies under the DSLR's, px by px.
    left, upper = theirs.within(np.array([[box.x, box.y + ours.top]]))[0]
    under = np.s_[upper : upper + len(ours.image), left : left + dslr.shape[1]]
    pairs = (theirs.image[under], ours.image), (smooth[1][under], smooth[0])
    return Measures(
        corners=corners,
        matches=matches,
        places=places,
        residuals=_unturned(applied - places.shifts, matches.turns_deg),
        looks=_looks(*pairs[0], here, side) | _details(*pairs[1], here, side),
    )


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


def _looks(phone: GreyValues, dslr: GreyValues, corners: Corners, side: int) -> dict[str, Values]:
    """Brightness, contrast and clipping of windows of both images."""
    columns: dict[str, Values] = {}
    worst = np.zeros(len(corners))
    for name, image in (("phone", phone), ("dslr", dslr)):
        moments = np.array([cv2.meanStdDev(window) for window in _cut(image, corners, side)]).reshape(-1, 2)
        columns[f"{name}_brightness"], columns[f"{name}_contrast"] = moments.T
        dead = clipped(image)
        worst = np.maximum(worst, [window.mean() for window in _cut(dead, corners, side)])
    return columns | {"clipped": worst}


def _details(phone: GreyValues, dslr: GreyValues, corners: Corners, side: int) -> dict[str, Values]:
    """Flatness, sharpness and motion of windows of two smoothed images."""
    plain = np.logical_and(*(_slope(image) < DETAIL for image in (phone, dslr)))
    flatness = np.array([window.mean() for window in _cut(plain, corners, side)])
    return {
        "flatness": flatness,
        "phone_sharpness": _sharpness(phone, corners, side),
        "dslr_sharpness": _sharpness(dslr, corners, side),
        "motion": _motion(phone, dslr, corners, side),
    }


def _sharpness(image: GreyValues, corners: Corners, side: int) -> Values:
    """How curved grey values are against how much they vary; of smoothed windows, as noise is curved most of all."""
    curved = _cut(cv2.Laplacian(image, cv2.CV_32F), corners, side)
    rms = np.array([cv2.norm(window) for window in curved]) / side
    spread = np.array([cv2.meanStdDev(window)[1].item() for window in _cut(image, corners, side)])
    return np.asarray(np.divide(rms, spread, out=np.full_like(rms, np.nan), where=spread > 0))


def _slope(image: GreyValues) -> GreyValues:
    return cv2.magnitude(*gradients(image))  # type: ignore[return-value]


def _motion(phone: GreyValues, dslr: GreyValues, corners: Corners, side: int) -> Values:
    """How far the NCC of the worst part of each window falls below the median of its parts; NaN where they are few."""
    size = max(1, dslr.shape[1] // REDUCTION), max(1, dslr.shape[0] // REDUCTION)
    small_phone, small_dslr = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (phone, dslr))
    cell = max(LEAST_CELL, side // CELL_SHARE // REDUCTION)
    scores, contrasts = _cells(small_phone, small_dslr, cell)
    # Parts overlap by half, and lie wholly in the window.
    steps = np.arange(cell // 2, side // REDUCTION - (cell - 1) // 2, max(1, cell // 2))
    if not len(steps):
        return np.full(len(corners), np.nan)
    rows, columns = (corners[:, axis, None] // REDUCTION + steps for axis in (1, 0))
    places = np.minimum(rows, size[1] - 1)[:, :, None], np.minimum(columns, size[0] - 1)[:, None, :]
    parts = scores[places].reshape(len(corners), -1)
    enough = np.zeros(parts.shape, bool)
    for image, contrast in zip((phone, dslr), contrasts, strict=True):
        whole = np.array([cv2.meanStdDev(window)[1][0] for window in _cut(image, corners, side)])
        enough |= contrast[places].reshape(parts.shape) >= np.maximum(CELL_CONTRAST, CELL_CONTRAST_SHARE * whole)
    parts = np.sort(np.where(enough, parts, np.inf), axis=1)
    counts, each = enough.sum(axis=1), np.arange(len(parts))
    medians = (parts[each, np.maximum(counts - 1, 0) // 2] + parts[each, counts // 2]) / 2
    told = counts >= FEWEST_CELLS
    return np.where(told, np.where(told, medians, 0) - np.where(told, parts[:, 0], 0), np.nan)


def _cells(phone: Any, dslr: Any, cell: int) -> tuple[GreyValues, tuple[GreyValues, GreyValues]]:
    """NCC of the (cell, cell) surroundings of every px, and their standard deviations, (H, W) each."""

    def mean(image: Any) -> Any:
        return cv2.blur(image, (cell, cell))

    means = mean(phone), mean(dslr)
    variances = [np.maximum(mean(i * i) - m * m, 0) for i, m in zip((phone, dslr), means, strict=True)]
    covariance = mean(phone * dslr) - means[0] * means[1]
    # Detail in one image alone is a low score, not none; a little is added so that noise alone makes none.
    scores = covariance / np.sqrt((variances[0] + 1) * (variances[1] + 1))
    return np.asarray(scores, np.float32), (np.sqrt(variances[0]), np.sqrt(variances[1]))


def _cut(image: Any, corners: Corners, side: int) -> list[Any]:
    return [image[y : y + side, x : x + side] for x, y in corners.tolist()]


def _unturned(shifts: Points, turns_deg: Values) -> Points:
    """Shifts (N, 2) along the axes of windows that are turned."""
    return np.array([turned(shift[None], -turn)[0] for shift, turn in zip(shifts, turns_deg, strict=True)])
