"""Noise: that of each photo, and how much two photos differ by noise alone, as their plainest parts show it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.schema import Alignment
from dpedtool.pipeline.measure.differences import unexplained
from dpedtool.pipeline.measure.exposure import clipped
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.shifts import LEAST_SLOPE, SMOOTHING, gradients

Values = npt.NDArray[np.float64]

Bytes = npt.NDArray[np.uint8]

BLOCK = 16
_NO_SLOPES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Immerkaer's mask, which removes slopes, and leaves of white noise its standard deviation."""
LEVELS = np.array([0, 32, 64, 96, 128, 160, 192, 224, 256])
"""Edges of the classes of brightness, in grey levels of the phone's photo."""
PLAINEST = 0.5
"""Share of the blocks of a class, those with the least detail in the DSLR's photo, that are taken for noise alone."""
QUIETEST = 0.1
"""Quantile of the blocks of a class that shows the noise of a single photo."""
NOISE_SLOPE = LEAST_SLOPE / 2
"""Slopes of smoothed noise, in grey levels per px: half of what counts as detail."""
STRIP = 16
"""Rows of blocks that are measured at once."""
FEWEST = 8
"""Blocks of one brightness that are needed to tell the noise at it."""
LEAST_VARIANCE = 1.0
"""Squared grey levels: less detail says nothing about the gain."""
ROUNDING = 0.4
"""Standard deviation of the difference that rounding to whole grey levels makes between two photos."""
MOST_CLIPPED = 0.25
"""Share of a block that may be black or burnt out, for the block to show the noise."""


@dataclass(frozen=True)
class PairNoise:
    """The noise of the two photos of a pair before anything is smoothed: standard deviations, in grey levels."""

    phone: float
    dslr: float
    """At the phone's resolution."""

    @property
    def total(self) -> float:
        """Standard deviation of the difference that noise makes between the photos."""
        return math.hypot(self.phone, self.dslr)

    @property
    def smoothing(self) -> float:
        """Sigma, in px of the phone, of the Gaussian after which noise has gentler slopes than detail.

        Smoothed white noise has slopes of std / sqrt(8 pi) / sigma^2 grey levels per px, along each axis.
        """
        return max(SMOOTHING, math.sqrt(self.total / math.sqrt(8 * math.pi) / NOISE_SLOPE))

    def least_ncc(self, usual: float) -> float:
        """Return the NCC above which windows show the same, if it is `usual` without noise."""
        return usual * (SMOOTHING / self.smoothing) ** 2

    def reduced(self, factor: float) -> PairNoise:
        """Return the noise of means of squares of factor x factor px."""
        return PairNoise(self.phone / factor, self.dslr / factor)


NO_NOISE = PairNoise(0.0, 0.0)


def noise_of(alignment: Alignment) -> PairNoise | None:
    """Return the noise that the alignment of a pair has measured; None if it has not come that far."""
    if alignment.phone_noise is None or alignment.dslr_noise is None:
        return None
    return PairNoise(alignment.phone_noise, alignment.dslr_noise)


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """The root mean square difference of the two photos that noise explains, in grey levels."""

    by_level: Values
    """(classes,) for the classes of `LEVELS`."""
    gain: float = 1.0
    """Contrast of the phone's detail as a multiple of the DSLR's: small if its photo was exposed less."""

    @staticmethod
    def of(phone: GreyValues, dslr: GreyValues) -> NoiseModel:
        """Measure two aligned grey images, (H, W) each, 0..255, not smoothed."""
        rows, columns = (length // BLOCK for length in phone.shape)
        if not (rows and columns):
            return NoiseModel(np.zeros(len(LEVELS) - 1))
        # Strips bound the memory.
        strips = [_measured(phone, dslr, slice(top, min(top + STRIP, rows)), columns) for top in range(0, rows, STRIP)]
        means, detail, rms, shared, own = (np.concatenate(parts) for parts in zip(*strips, strict=True))
        classes = np.digitize(means, LEVELS[1:-1])
        known = np.full(len(LEVELS) - 1, np.nan)
        for level in range(len(known)):
            chosen = np.flatnonzero(classes == level)
            if len(chosen) >= FEWEST:
                plain = chosen[np.argsort(detail[chosen], kind="stable")][: max(FEWEST, int(PLAINEST * len(chosen)))]
                known[level] = np.median(rms[plain])
        # Detail says the gain; the shading of a lens does not.
        textured = detail >= np.median(detail)
        gain = float(shared[textured].sum() / max(own[textured].sum(), LEAST_VARIANCE))
        return NoiseModel(np.maximum(_without_gaps(known), ROUNDING), gain)

    def at(self, brightness: Values) -> Values:
        """Return the noise at levels (N,) of the phone's photo, (N,)."""
        middles = (LEVELS[1:] + LEVELS[:-1]) / 2
        return np.interp(brightness, middles, self.by_level)


def sensor_noise(image: Bytes) -> float:
    """Return the standard deviation of the noise of a grey photo (H, W), in grey levels.

    The plainest blocks of every brightness show it: what Immerkaer's mask (1996, doi:10.1006/cviu.1996.0060) leaves of
    them is noise, as it removes all slopes. Noise that a camera has smoothed away, or made coarse, is not seen.
    """
    rows, columns = (length // BLOCK for length in image.shape)
    whole = image[: rows * BLOCK, : columns * BLOCK].astype(np.float32)
    if not whole.size:
        return 0.0
    energies, means, dead = (
        cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
        for part in (cv2.filter2D(whole, -1, _NO_SLOPES) ** 2, whole, clipped(whole).astype(np.float32))
    )
    # What is black or burnt out shows no noise.
    energies, means = energies[dead <= MOST_CLIPPED], means[dead <= MOST_CLIPPED]
    if not len(energies):
        return 0.0
    classes = np.digitize(means, LEVELS[1:-1])
    quietest = {level: np.quantile(energies[classes == level], QUIETEST) for level in np.unique(classes).tolist()}
    return float(np.sqrt(np.mean([quietest[level] for level in classes.tolist()])))


def _measured(phone: GreyValues, dslr: GreyValues, rows: slice, columns: int) -> tuple[Values, ...]:
    """Measure the blocks in some rows, (N,) each.

    Return means of the phone's image, squared slopes of the DSLR's, differences, covariances of both, and variances of
    the DSLR's.
    """
    strip = np.s_[rows.start * BLOCK : rows.stop * BLOCK, : columns * BLOCK]
    # Slopes need the px around.
    above = min(rows.start * BLOCK, 1)
    x, y = gradients(dslr[rows.start * BLOCK - above : rows.stop * BLOCK + 1])
    count = rows.stop - rows.start
    first, second = (_blocks(image[strip], count, columns) for image in (phone, dslr))
    slopes = (_blocks(slope[above:], count, columns) for slope in (x, y))
    detail = sum((slope**2).mean(axis=1) for slope in slopes)
    means, other_means = (blocks.mean(axis=1, dtype=np.float64) for blocks in (first, second))
    shared = (first * second).mean(axis=1, dtype=np.float64) - means * other_means
    own = (second * second).mean(axis=1, dtype=np.float64) - other_means**2
    return means, np.asarray(detail, np.float64), unexplained(first, second), shared, own


def _blocks(image: GreyValues, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Return squares of an image as rows of values, (N, BLOCK * BLOCK)."""
    whole = image[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return np.ascontiguousarray(whole.transpose(0, 2, 1, 3)).reshape(rows * columns, BLOCK * BLOCK)


def _without_gaps(known: Values) -> Values:
    """Return values with those that are NaN taken from their neighbours; 0 if none is known."""
    there = np.flatnonzero(np.isfinite(known))
    return np.interp(np.arange(len(known)), there, known[there]) if len(there) else np.zeros(len(known))
