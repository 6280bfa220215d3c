"""The shift on which the windows of an aligned pair agree, place by place, and how well they know it.

One window of sky, or one full of noise, cannot prove where it lies. But the transform of a pair is smooth, so that the
windows around it can: their shifts, weighted by what each one knows, say where the transform is off and by how much at
most. This holds for flat scenes alone. In a scene with depth, neighbours may lie elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.bilinear import bilinear
from dpedtool.pipeline.geometry.homographies import Points
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import NO_NOISE, PairNoise
from dpedtool.pipeline.measure.shift_models import FEWEST_WINDOWS, Posterior, posterior
from dpedtool.pipeline.measure.shifts import BLOCK, WINDOW, even_detail, measure_shifts

Values = npt.NDArray[np.float64]

REACH_PX = 110.0
"""Sigma of the weights of the windows around a place."""
LEAST_NCC, MOST_PX = 0.5, 2.0
"""Windows that are less alike, or shifted by more, have nothing to say."""
OVERLAP = 4
"""Windows are half a side apart, so that each px belongs to so many of them: their sum knows as much less."""
ROUNDS = 3
LEAST_SCATTER_PX, MOST_SCATTER_PX = 0.01, 0.5
CUT = 12.0
"""Squared distance, in standard errors, of the windows around, at which a window counts for nothing (Tukey)."""


@dataclass(frozen=True, eq=False)
class Consensus:
    """A field of shifts over the common crop, in px."""

    information: Values
    """(rows, columns, 2, 2) by window of `measure_shifts`: the inverse covariance of the agreed shift."""
    moments: Values
    """(rows, columns, 2): that information times the shift."""
    scatter_px: float
    """By how much windows differ from those around them beyond their own noise: so much may a place."""
    bend: Posterior
    """How well all windows together know the bend that is left."""

    @staticmethod
    def of(phone: GreyValues, dslr: GreyValues, noise: PairNoise = NO_NOISE) -> Consensus | None:
        """Let the windows of two aligned images agree.

        Parameters
        ----------
        phone, dslr
            (H, W) grey, 0..255, smoothed by `shifts.SMOOTHING`.
        noise
            That of both before they were smoothed. It lowers the NCC of windows that show the same.

        Returns
        -------
        Consensus or None
            None if too few windows show the same in both.

        """
        found = measure_shifts(even_detail(phone), even_detail(dslr))
        usable = (found.ncc > noise.least_ncc(LEAST_NCC)) & (np.linalg.norm(found.shifts, axis=1) < MOST_PX)
        if usable.sum() < FEWEST_WINDOWS:
            return None
        shape = phone.shape[0] // BLOCK - 1, phone.shape[1] // BLOCK - 1
        own = np.linalg.inv(found.information + 1e-6 * np.eye(2))
        trust, scatter = usable.astype(np.float64), 2 * LEAST_SCATTER_PX
        for _ in range(ROUNDS):
            each = np.linalg.inv(own + scatter**2 * np.eye(2)) * trust[:, None, None]
            information, moments = _around(each, found.shifts, shape)
            # A window must not vouch for itself.
            others = information - each + 1e-6 * np.eye(2)
            agreed = np.linalg.solve(others, (moments - np.einsum("nij,nj->ni", each, found.shifts))[..., None])[..., 0]
            away = found.shifts - agreed
            distances = np.einsum("ni,nij,nj->n", away, np.linalg.inv(own + scatter**2 * np.eye(2)), away)
            # The median of a chi-squared of two degrees of freedom is 1.386.
            excess = np.sqrt(np.median(distances[usable]) / 1.386)
            scatter = float(np.clip(scatter * excess, LEAST_SCATTER_PX, MOST_SCATTER_PX))
            trust = usable * np.clip(1 - distances / CUT, 0, None) ** 2
        each = np.linalg.inv(own + scatter**2 * np.eye(2)) * trust[:, None, None]
        information, moments = _around(each, found.shifts, shape)
        return Consensus(
            information=information.reshape(*shape, 2, 2) / OVERLAP,
            moments=moments.reshape(*shape, 2) / OVERLAP,
            scatter_px=float(scatter),
            # Each px belongs to several windows, so that all of them together know less.
            bend=posterior(replace(found, information=found.information / OVERLAP).where(usable), phone.shape[::-1]),
        )

    def at(self, points: Points) -> tuple[Points, Values]:
        """Return the agreed shift (N, 2) at points (N, 2) of the crop, and its standard error (N,), in px.

        The shift is that of `measure_shifts`: the DSLR's image shows at a point + shift what the phone's shows at the
        point. The error is that in the direction in which it is largest. It grows with the distance to the windows that
        know something, as the bend of the whole photo is less well known there.
        """
        places = (points - (WINDOW - 1) / 2) / BLOCK
        information, moments = (
            bilinear(values.reshape(*values.shape[:2], -1), places) for values in (self.information, self.moments)
        )
        matrices = information.reshape(-1, 2, 2) + 1e-6 * np.eye(2)
        shifts = np.asarray(np.linalg.solve(matrices, moments[..., None])[..., 0], np.float64)
        largest = 1 / np.linalg.eigvalsh(matrices)[:, 0] + np.linalg.eigvalsh(self.bend.at(points)[1])[:, -1]
        return shifts, np.asarray(np.sqrt(largest + self.scatter_px**2), np.float64)


def _around(each: Values, shifts: Points, shape: tuple[int, int]) -> tuple[Values, Values]:
    """Return the weighted sums of the information (N, 2, 2) around each window, and of information times shift."""
    sigma = REACH_PX / BLOCK
    # OpenCV's kernel has the sum 1; here the window in the middle has the weight 1.
    size = int(6 * sigma) | 1
    middle = float(cv2.getGaussianKernel(size, sigma).max()) ** 2
    parts = np.column_stack([each.reshape(-1, 4), np.einsum("nij,nj->ni", each, shifts)]).reshape(*shape, 6)
    planes = (np.ascontiguousarray(parts[..., index]) for index in range(6))
    blurred = [cv2.GaussianBlur(plane, (size, size), sigma, borderType=cv2.BORDER_CONSTANT) for plane in planes]
    sums: Values = np.stack(blurred, axis=-1).reshape(-1, 6).astype(np.float64)
    return sums[:, :4].reshape(-1, 2, 2) / middle, sums[:, 4:] / middle
