"""How well the shifts found by a search are known. Along a straight edge, or in a clear sky, any shift fits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import NO_NOISE, PairNoise
from dpedtool.pipeline.measure.residuals import WINDOW, Flags, Search
from dpedtool.pipeline.measure.subpixel import locate

MOST_ERROR_PX = 0.25
"""Largest standard error of a shift that is shown as certain."""
LEAST_AT_PLACE = 0.97
"""A pair with a smaller share of windows at their place may have depth."""
FEWEST_CERTAIN = 20
"""If fewer windows have a shift that is known, they say little about the pair."""
MISPLACED_PX, MISPLACED_SHARE = 0.5, 0.125
"""So may one with more than this share of its certain shifts longer than this. Pairs of flat scenes have up to 0.10,
those with 3 px of parallax 0.17 and more."""
RIM_PX = 2
"""Margin around a window that its gradients and interpolation need."""


def shift_errors(
    phone: GreyValues, dslr: GreyValues, found: Search, noise: PairNoise = NO_NOISE
) -> npt.NDArray[np.float64]:
    """Return the standard errors (N,) of the shifts of a search, in px, in the direction in which they are largest.

    An error is NaN if the window was not found, or if it is larger than `MOST_ERROR_PX`.

    Parameters
    ----------
    phone, dslr
        (H, W): the images from `residuals.comparable` that were searched.
    found
        The search for N windows.
    noise
        That of the photos before they were smoothed by a Gaussian of the sigma `noise.smoothing`.

    """
    errors = np.full(len(found.places), np.nan)
    # Working row by row keeps only the gradients of a strip in memory.
    for y in np.unique(found.places[:, 1]).tolist():
        chosen = np.flatnonzero((found.places[:, 1] == y) & found.found)
        if len(chosen):
            errors[chosen] = _errors_in_row((phone, dslr), found, chosen, y, noise)
    return np.where(errors <= MOST_ERROR_PX, errors, np.nan)


def misplaced(found: Search, certain: Flags) -> float:
    """Return the share of the windows with a certain shift whose shift is long, 0..1; 0 if there are too few."""
    return float((found.lengths[certain] > MISPLACED_PX).mean()) if certain.sum() >= FEWEST_CERTAIN else 0.0


def _errors_in_row(
    images: tuple[GreyValues, GreyValues], found: Search, chosen: npt.NDArray[np.int64], y: int, noise: PairNoise
) -> npt.NDArray[np.float64]:
    phone, dslr = images
    shifts = np.rint(found.shifts[chosen])
    beyond = RIM_PX + int(np.abs(shifts[:, 1]).max())
    top = max(0, y - beyond)
    rows = np.s_[top : y + WINDOW + beyond]
    corners = found.places[chosen] - np.array([0, top])
    unturned = np.zeros(len(chosen))
    return locate(
        dslr[rows], phone[rows], (corners, corners), WINDOW, shifts, unturned, noise.smoothing, noise.phone
    ).errors
