"""Locate windows to a few hundredths of a px, with the standard error.

Like the alignment's own measurement, this is least squares with a gain and an offset for each window. But it uses other
windows and unprocessed grey values, and starts where a search found the window, so that it shows a shift that the
alignment has overlooked. Steps are repeated until nothing moves any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Points
from dpedtool.pipeline.measure.correlation import Corners, sample, turned
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.shifts import SMOOTHING, gauss_newton, gradients, noise_correlation

Values = npt.NDArray[np.float64]

MOST_STEPS = 4
SETTLED_PX = 0.02
"""A step shorter than this is the last: another would only add a tenth of it."""
ASTRAY_PX = 1.5
"""Results farther than this from where the search found the window are dropped: steps are only right for small
shifts."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where the phone's image matches N windows of the DSLR's image best. NaN where it cannot be measured."""

    shifts: Points
    """(N, 2): how far to the right and below, in px."""
    errors: Values
    """(N,): standard error in the direction where the shift is known least well, in px."""
    other_errors: Values
    """(N,): the same across that direction, where it is known best."""
    slopes: Values
    """(N, 2): root mean square gradient of the DSLR's window, noise included, in these two directions, in grey levels
    per px. Never NaN."""
    axes: Values
    """(N, 2, 2): unit vectors along these two directions, one in each row. Never NaN."""


def locate(
    phone: GreyValues,
    dslr: GreyValues,
    corners: tuple[Corners, Corners],
    side: int,
    found: Points,
    turns_deg: Values,
    smoothing: float = SMOOTHING,
    noise: float = 0.0,
) -> Places:
    """Locate N windows (side, side) of the DSLR's image in the phone's.

    Parameters
    ----------
    phone, dslr
        Grey, smoothed by a Gaussian of the sigma `smoothing`.
    corners
        (N, 2) each: x, y of the windows' top left px in the phone's and in the DSLR's image.
    side
        Side of the windows, in px.
    found
        (N, 2): how far to the right and below a search found them in the phone's image, in whole px.
    turns_deg
        (N,): how far it found them turned, in degrees.
    smoothing
        In px.
    noise
        Standard deviation of the noise of the DSLR's image before it was smoothed, in grey levels.

    """
    windows = _features(dslr, corners[1], side)
    normal = windows @ windows.swapaxes(1, 2)
    shifts, errors = found.astype(np.float64), np.full((len(found), 2), np.nan)
    pending = np.arange(len(found))
    for _ in range(MOST_STEPS):
        samples = _samples(phone, corners[0][pending] + shifts[pending], side, turns_deg[pending])
        moments = (windows[pending] @ samples[..., None])[..., 0]
        energy = np.einsum("ij,ij->i", samples, samples)
        normals, *others = (sums.astype(np.float64) for sums in (normal[pending], moments, energy))
        steps, texture, unexplained = gauss_newton(normals, others[0], others[1])
        shifts[pending] -= [turned(step[None], turn)[0] for step, turn in zip(steps, turns_deg[pending], strict=True)]
        errors[pending] = _axis_errors(texture, unexplained / side**2, side, smoothing, noise)
        pending = pending[np.linalg.norm(steps, axis=1) > SETTLED_PX]
        if not len(pending):
            break
    astray = ~(np.linalg.norm(shifts - found, axis=1) <= ASTRAY_PX) | ~np.isfinite(errors[:, 0])
    shifts[astray], errors[astray] = np.nan, np.nan
    energies, vectors = np.linalg.eigh(normal[:, 1:, 1:].astype(np.float64))
    slopes = np.sqrt(np.maximum(energies, 0) / side**2)
    return Places(shifts, errors[:, 0], errors[:, 1], slopes, vectors.swapaxes(1, 2))


def _features(image: GreyValues, corners: Corners, side: int) -> GreyValues:
    """Return the windows of the image and of its gradients along x and y, minus their means, (N, 3, side * side)."""
    planes = [image, *gradients(image)]
    cut = [[plane[y : y + side, x : x + side].ravel() for plane in planes] for x, y in corners.tolist()]
    return _less_mean(np.array(cut, np.float32))


def _samples(image: GreyValues, corners: Points, side: int, turns_deg: Values) -> GreyValues:
    """Return interpolated windows of the image, each minus its mean, (N, side * side)."""
    windows = [_window(image, corner, side, turn) for corner, turn in zip(corners, turns_deg.tolist(), strict=True)]
    return _less_mean(np.array(windows, np.float32).reshape(len(windows), side * side))


def _window(image: GreyValues, corner: Points, side: int, turn: float) -> GreyValues:
    x, y = (int(value) for value in corner)
    inside = 0 <= x <= image.shape[1] - side and 0 <= y <= image.shape[0] - side
    if inside and not turn and (x, y) == tuple(corner):
        return image[y : y + side, x : x + side]
    return sample(image, corner.tolist(), side, turn, cv2.INTER_LINEAR)


def _less_mean(values: GreyValues) -> GreyValues:
    return np.asarray(values - values.mean(axis=-1, keepdims=True))


def _axis_errors(texture: npt.NDArray[np.float64], variance: Values, side: int, smoothing: float, own: float) -> Values:
    """Return standard errors (N, 2) along the worst and the best direction; infinite where noise is all there is."""
    # Smoothed noise has gradients too: its variance over 2 smoothing^2 per px. Along an edge, nothing else has. They
    # say nothing about the shift, but look like texture that proves a shift of 0, so they are subtracted. Half of the
    # unexplained variance is taken for noise of the DSLR's window, or its own noise if that is more.
    smoothed = np.maximum(0.5 * variance, own**2 / noise_correlation(smoothing))
    noise = smoothed * side**2 / (2 * smoothing**2)
    known = np.linalg.eigvalsh(texture) - noise[:, None]
    squared = np.full(known.shape, np.inf)
    np.divide((variance * noise_correlation(smoothing))[:, None], known, out=squared, where=known > 0)
    return np.asarray(np.sqrt(squared), np.float64)
