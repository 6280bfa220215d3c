"""How much the two photos of a pair differ by noise alone, by brightness, as the plainest parts of the pair show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.shifts import gradients

Values = npt.NDArray[np.float64]

BLOCK = 16
LEVELS = np.array([0, 32, 64, 96, 128, 160, 192, 224, 256])
"""Edges of the classes of brightness, in grey levels of the phone's photo."""
PLAINEST = 0.5
"""Share of the blocks of a class, those with the least detail in the DSLR's photo, that are taken for noise alone."""
FEWEST = 8


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """The root mean square difference of the two photos that noise explains, in grey levels."""

    by_level: Values
    """(classes,) for the classes of `LEVELS`."""

    @staticmethod
    def of(phone: GreyValues, dslr: GreyValues) -> NoiseModel:
        """Measure two aligned grey images, (H, W) each, 0..255, not smoothed."""
        rows, columns = (length // BLOCK for length in phone.shape)
        if not (rows and columns):
            return NoiseModel(np.zeros(len(LEVELS) - 1))
        first, second = (_blocks(image, rows, columns) for image in (phone, dslr))
        x, y = (_blocks(slope, rows, columns) for slope in gradients(dslr))
        detail = (x**2 + y**2).mean(axis=1)
        rms = unexplained(first, second)
        classes = np.digitize(first.mean(axis=1), LEVELS[1:-1])
        known = np.full(len(LEVELS) - 1, np.nan)
        for level in range(len(known)):
            chosen = np.flatnonzero(classes == level)
            if len(chosen) >= FEWEST:
                plain = chosen[np.argsort(detail[chosen], kind="stable")][: max(FEWEST, int(PLAINEST * len(chosen)))]
                known[level] = np.median(rms[plain])
        return NoiseModel(_without_gaps(known))

    def at(self, brightness: Values) -> Values:
        """Return the noise at levels (N,) of the phone's photo, (N,)."""
        middles = (LEVELS[1:] + LEVELS[:-1]) / 2
        return np.interp(brightness, middles, self.by_level)


def unexplained(phone: npt.NDArray[np.float32], dslr: npt.NDArray[np.float32]) -> Values:
    """Return what gain and offset leave of the differences of windows (N, px): root mean squares (N,), grey levels."""
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (phone, dslr))
    gain = (one * other).sum(axis=1) / np.maximum((other * other).sum(axis=1), 1e-6)
    return np.asarray(np.sqrt(((one - gain[:, None] * other) ** 2).mean(axis=1)), np.float64)


def _blocks(image: GreyValues, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Return squares of an image as rows of values, (N, BLOCK * BLOCK)."""
    whole = image[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return np.ascontiguousarray(whole.transpose(0, 2, 1, 3)).reshape(rows * columns, BLOCK * BLOCK)


def _without_gaps(known: Values) -> Values:
    """Return values with those that are NaN taken from their neighbours; 0 if none is known."""
    there = np.flatnonzero(np.isfinite(known))
    return np.interp(np.arange(len(known)), there, known[there]) if len(there) else np.zeros(len(known))
