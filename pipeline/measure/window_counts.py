"""Count flagged px in many windows of one image at once."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.measure.correlation import Corners

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class WindowCounts:
    """Counts of flagged px.

    Parameters
    ----------
    flags
        (rows, columns) of places, one for every `step` px of the image in both directions.
    step
        Distance of two places, in px.

    """

    def __init__(self, flags: Flags, step: int = 1) -> None:
        # Sums over all places above and left of one.
        self._sums = cv2.integral(flags.astype(np.uint8))
        self.step = step

    def counts(self, corners: Corners, side: int) -> Values:
        """Return the flagged places of windows, (N,); corners (N, 2), x and y of the top left px, and side in px."""
        (left, top), (right, bottom) = (ends.T for ends in self._ends(corners, side))
        sums = self._sums
        return np.asarray(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left], np.float64)

    def shares(self, corners: Corners, side: int) -> Values:
        """Return the shares of the places of windows that are flagged, (N,), 0..1."""
        low, high = self._ends(corners, side)
        return np.asarray(self.counts(corners, side) / np.maximum(np.prod(high - low, axis=1), 1))

    def _ends(self, corners: Corners, side: int) -> tuple[Corners, Corners]:
        low = corners // self.step
        high = np.maximum((corners + side) // self.step, low + 1)
        return low, np.minimum(high, np.array(self._sums.shape[::-1]) - 1)
