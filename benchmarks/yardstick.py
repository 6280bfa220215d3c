"""Measurements on aligned photos and patches, the same for every tool: shifts, and errors against a known truth.

The code is independent of the pipeline's own check of its residuals, so that one mistake cannot hide another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Mapping = Callable[[Points], Points]
"""Maps points (N, 2) of one photo to points (N, 2) of another."""

WINDOW, STRIDE, SEARCH = 64, 32, 8  # px
SIGMA = 1.2  # px
LEAST_STD = 6.0  # grey levels
LEAST_NCC = 0.9
LEAST_WINDOWS = 5
GRID = (40, 30)


@dataclass(frozen=True)
class Residual:
    """Lengths of the shifts left between two aligned photos, in px; NaN with fewer than five measurable windows."""

    textured: int
    found: int
    median_px: float
    p95_px: float


@dataclass(frozen=True)
class TruthError:
    """Distances of mapped points from their true places, in px of the phone photo."""

    mean_px: float
    p95_px: float
    max_px: float


def residual(phone: Image, dslr: Image, mask: Mask | None = None) -> Residual:
    """Measure the shifts between two photos (H, W, 3) BGR uint8 of one size.

    Windows of 64 px, 32 px apart, are searched for within 8 px in the other photo; both are grey and smoothed by a
    Gaussian of 1.2 px. A window counts as textured if both photos vary by 6 grey levels, and as found if its NCC is
    above 0.9 and its peak lies inside the search; a parabola through the peak gives the fraction.

    Parameters
    ----------
    phone, dslr
        The aligned photos.
    mask
        The area that both photos cover, (H, W); None: everywhere.

    """
    greys = _grey(phone), _grey(dslr)
    inside = np.ones(phone.shape[:2], bool) if mask is None else mask
    textured = [views for views in _windows(*greys, inside) if min(view.std() for view in views) >= LEAST_STD]
    lengths = [float(np.hypot(*shift)) for views in textured if (shift := _shift(*views)) is not None]
    if len(lengths) < LEAST_WINDOWS:
        return Residual(len(textured), len(lengths), float("nan"), float("nan"))
    median, p95 = np.percentile(lengths, [50, 95])
    return Residual(len(textured), len(lengths), float(median), float(p95))


def patch_shift(phone: Image, dslr: Image) -> float:
    """Measure how far the two images (S, S, 3) of a patch are apart, in px; NaN if it cannot be measured.

    The phone's image without 8 px at each side is searched for in the DSLR's, by the rules of `residual`.
    """
    area, window = _grey(dslr), _grey(phone)[SEARCH:-SEARCH, SEARCH:-SEARCH]
    if min(area.std(), window.std()) < LEAST_STD:
        return float("nan")
    shift = _shift(window, area)
    return float("nan") if shift is None else float(np.hypot(*shift))


def truth_error(found: Mapping, true: Mapping, points: Points) -> TruthError:
    """Compare where `found` and `true` map phone points (N, 2) in the DSLR photo.

    The true mapping's derivative at each point converts errors in the DSLR photo into px of the phone photo. A point
    that `found` maps to NaN is infinitely far off; points without a true place do not count.
    """
    places = true(points)
    derivative = np.stack([true(points + step) - true(points - step) for step in np.eye(2) / 2], axis=-1)
    known = np.isfinite(places).all(axis=1) & np.isfinite(derivative).all(axis=(1, 2))
    missed = found(points[known]) - places[known]
    lengths = np.linalg.norm(np.linalg.solve(derivative[known], missed[..., None])[..., 0], axis=1)
    lengths[~np.isfinite(lengths)] = np.inf
    return TruthError(float(lengths.mean()), float(np.quantile(lengths, 0.95, method="higher")), float(lengths.max()))


def grid(x: float, y: float, width: float, height: float) -> Points:
    """Return 40 x 30 points (1200, 2) in the middles of the cells of a box of pixels."""
    across, down = ((np.arange(count) + 0.5) / count for count in GRID)
    xs, ys = np.meshgrid(x - 0.5 + across * width, y - 0.5 + down * height)
    return np.column_stack([xs.ravel(), ys.ravel()])


def _grey(image: Image) -> NDArray[np.float32]:
    return cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), SIGMA).astype(np.float32)


def _windows(
    phone: NDArray[np.float32], dslr: NDArray[np.float32], inside: Mask
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Cut each window of the phone photo, and the area of the DSLR's photo in which it is searched for."""
    rows, columns = (range(0, length - WINDOW - 2 * SEARCH, STRIDE) for length in phone.shape)
    areas = [np.s_[y : y + WINDOW + 2 * SEARCH, x : x + WINDOW + 2 * SEARCH] for y in rows for x in columns]
    core = np.s_[SEARCH:-SEARCH, SEARCH:-SEARCH]
    return [(phone[area][core], dslr[area]) for area in areas if inside[area].all()]


def _shift(window: NDArray[np.float32], area: NDArray[np.float32]) -> tuple[float, float] | None:
    scores = cv2.matchTemplate(area, window, cv2.TM_CCOEFF_NORMED).astype(np.float64)
    y, x = np.unravel_index(int(scores.argmax()), scores.shape)
    if scores[y, x] <= LEAST_NCC or not (0 < x < 2 * SEARCH and 0 < y < 2 * SEARCH):
        return None
    return float(x - SEARCH + _peak(scores[y, x - 1 : x + 2])), float(y - SEARCH + _peak(scores[y - 1 : y + 2, x]))


def _peak(scores: NDArray[np.float64]) -> float:
    """Return where the parabola through three scores, at -1, 0 and 1, is highest."""
    slope, bend = scores[2] - scores[0], scores[0] - 2 * scores[1] + scores[2]
    return float(-slope / (2 * bend)) if bend < 0 else 0.0
