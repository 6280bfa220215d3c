"""Compare two windows that should show the same: how much they differ, and whether they do so at one place."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.measure.grey_values import GreyValues

Values = npt.NDArray[np.float64]

SMOOTHING_SHARE = 0.05
"""Sigma of the Gaussian that shows things of some size, as a share of the side of a window."""
LEAST_USUAL = 0.05
"""In grey levels: rounding leaves as much."""
MAD_OF_NORMAL = 0.6745
"""Median absolute deviation of a normal distribution of the variance 1."""


@dataclass(frozen=True, eq=False)
class Differences:
    """What gain, offset and a slope of the brightness leave of the differences of N windows."""

    rms: Values
    """(N,): root mean squares, in grey levels."""
    peaks: Values
    """(N,): largest value once the differences are smoothed, as a multiple of their usual size, a robust standard
    deviation: about 3 for noise, more for a thing that only one of the windows shows."""


def differences(phone: GreyValues, dslr: GreyValues, side: int) -> Differences:
    """Compare windows (N, side * side) of the phone's photo with those of the DSLR's.

    A gradient of the sky, or the shading of a lens, differs between two cameras. So each window loses its slope before
    they are compared.
    """
    level = _without_slope(phone, side), _without_slope(dslr, side)
    # A negative of a window does not show the same.
    gains = np.maximum((level[0] * level[1]).sum(axis=1), 0) / np.maximum((level[1] ** 2).sum(axis=1), 1e-6)
    left = level[0] - gains[:, None] * level[1]
    smooth = [
        cv2.GaussianBlur(window, (0, 0), SMOOTHING_SHARE * side).ravel() for window in left.reshape(-1, side, side)
    ]
    peaks = [np.abs(values).max() / max(_usual(values), LEAST_USUAL) for values in smooth]
    return Differences(np.sqrt((left.astype(np.float64) ** 2).mean(axis=1)), np.array(peaks, np.float64))


def unexplained(phone: GreyValues, dslr: GreyValues) -> Values:
    """Return what gain and offset leave of the differences of windows (N, px): root mean squares (N,), grey levels.

    The gain is 0 where one window is a negative of the other one.
    """
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (phone, dslr))
    gain = np.maximum((one * other).sum(axis=1), 0) / np.maximum((other * other).sum(axis=1), 1e-6)
    return np.asarray(np.sqrt(((one - gain[:, None] * other) ** 2).mean(axis=1)), np.float64)


def _without_slope(windows: GreyValues, side: int) -> GreyValues:
    """Return the windows (N, side * side) without offset and slope."""
    rows = np.linspace(-1, 1, side, dtype=np.float32)
    basis = np.column_stack([np.ones(side**2), np.tile(rows, side), np.repeat(rows, side)]).astype(np.float32)
    # These columns are orthogonal already.
    basis /= np.linalg.norm(basis, axis=0)
    return np.asarray(windows - (windows @ basis) @ basis.T, np.float32)


def _usual(values: npt.NDArray[np.float32]) -> float:
    return float(np.median(np.abs(values - np.median(values)))) / MAD_OF_NORMAL
