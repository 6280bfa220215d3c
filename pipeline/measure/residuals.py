"""Search for shifts that are left between two aligned images, independently of what aligned them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.measure.common_range import in_common_range
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import PairNoise, sensor_noise

Flags = npt.NDArray[np.bool_]

WINDOW, SEARCH, MIN_NCC, MIN_STD = 64, 8, 0.9, 6.0
STEP, MOST_WINDOWS = 32, 1000
MOVED_PX = 1.0
"""A window whose NCC is better by `CLEARLY` at a place farther off than this shows something that has moved."""
CLEARLY = 0.05
ALIKE, UNLIKE = 0.7, 0.5
"""A window with an NCC above the first shows the same thing, one below the second another; blur and noise are allowed
for."""


@dataclass(frozen=True)
class Residual:
    """Shifts left between two images, over the windows where one could be measured."""

    textured: int
    """Windows with enough texture to measure a shift."""
    windows: int
    """Those of them that were found: within 8 px, with an NCC above 0.9."""
    edge: int
    """Those whose best place lies at the edge of the search, so that the true one may lie beyond."""
    median_px: float | None
    """None if fewer than five windows were found."""
    p95_px: float | None


@dataclass(frozen=True, eq=False)
class Search:
    """What the search found for N textured windows of the phone's image, in px."""

    places: npt.NDArray[np.int64]
    """(N, 2): left column and top row."""
    step: int
    """From one window to the next."""
    shifts: npt.NDArray[np.float64]
    """(N, 2): shift at which the DSLR's image matches the window best, to a fraction of a px."""
    ncc: npt.NDArray[np.float64]
    """(N,): zero-mean normalised cross-correlation there, -1..1."""
    ncc_here: npt.NDArray[np.float64]
    """(N,): the same at no shift."""
    at_edge: Flags
    """(N,): the best place lies at the edge of the search."""

    @property
    def lengths(self) -> npt.NDArray[np.float64]:
        """Length (N,) of the shifts."""
        return np.asarray(np.linalg.norm(self.shifts, axis=1))

    @property
    def found(self) -> Flags:
        """(N,): the window was found, and its shift can be trusted."""
        return (self.ncc > MIN_NCC) & ~self.at_edge

    @property
    def amiss(self) -> Flags:
        """(N,): the DSLR's image shows the content of the window clearly elsewhere, or not at all."""
        elsewhere = (self.lengths > MOVED_PX) | self.at_edge
        return (elsewhere & (self.ncc > ALIKE) & (self.ncc - self.ncc_here > CLEARLY)) | (self.ncc < UNLIKE)

    @property
    def right(self) -> Flags:
        """(N,): the DSLR's image shows the content of the window where it should be."""
        return (self.ncc_here > ALIKE) & ~self.amiss

    def residual(self, chosen: Flags | None = None) -> Residual:
        """Return the shifts' statistics over the chosen windows (N,), or all."""
        chosen = np.ones(len(self.places), bool) if chosen is None else chosen
        lengths = self.lengths[chosen & self.found]
        counts = int(chosen.sum()), len(lengths), int((chosen & self.at_edge).sum())
        if len(lengths) < 5:
            return Residual(*counts, None, None)
        return Residual(*counts, float(np.median(lengths)), float(np.percentile(lengths, 95)))


def comparable(phone: Image, dslr: Image, noise: PairNoise | None = None) -> tuple[GreyValues, GreyValues, PairNoise]:
    """Return two aligned images as the search wants them, and their noise.

    Both become grey, lose what only one of them shows because the other is burnt out or black, and are smoothed as
    their noise asks for.

    Parameters
    ----------
    phone, dslr
        (H, W, 3) each, BGR uint8.
    noise
        That of the photos, if it is known; None: it is measured on the images.

    """
    greys = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in (phone, dslr)]
    noise = noise or PairNoise(*map(sensor_noise, greys))
    one, other = (
        cv2.GaussianBlur(grey, (0, 0), noise.smoothing).astype(np.float32) for grey in in_common_range(*greys)
    )
    return one, other, noise


def search(phone: GreyValues, dslr: GreyValues) -> Search:
    """Look for 64 px windows of the phone's image within 8 px in the DSLR's, both (H, W) of `comparable`.

    Windows without texture are left out, since they cannot be found again. At most about 1000 are searched for, spread
    evenly.
    """
    step = _step(*phone.shape)
    ys, xs = (np.arange(SEARCH, length - WINDOW - SEARCH + 1, step) for length in phone.shape)
    found = [
        (x, y, *_look(window, area))
        for y in ys.tolist()
        for x in xs.tolist()
        for window, area in [_window_and_area(phone, dslr, x, y)]
        if min(cv2.meanStdDev(part)[1].item() for part in (window, area)) >= MIN_STD
    ]
    table = np.array(found, np.float64).reshape(-1, 7)
    return Search(
        places=table[:, :2].astype(np.int64),
        step=step,
        shifts=table[:, 2:4],
        ncc=table[:, 4],
        ncc_here=table[:, 5],
        at_edge=table[:, 6].astype(bool),
    )


def _step(height: int, width: int) -> int:
    step = STEP
    while (height // step) * (width // step) > MOST_WINDOWS:
        step *= 2
    return step


def _window_and_area(phone: GreyValues, dslr: GreyValues, x: int, y: int) -> tuple[GreyValues, GreyValues]:
    area = dslr[y - SEARCH : y + WINDOW + SEARCH, x - SEARCH : x + WINDOW + SEARCH]
    return phone[y : y + WINDOW, x : x + WINDOW], area


def _look(window: GreyValues, area: GreyValues) -> tuple[float, float, float, float, bool]:
    """Return shift x and y, NCC there, NCC at no shift, and whether the best place lies at the edge."""
    scores = cv2.matchTemplate(area, window, cv2.TM_CCOEFF_NORMED)
    _, peak, _, (px, py) = cv2.minMaxLoc(scores)
    at_edge = not (0 < px < 2 * SEARCH and 0 < py < 2 * SEARCH)
    x, y = float(px - SEARCH), float(py - SEARCH)
    if not at_edge:
        x, y = x + _vertex(scores[py, px - 1 : px + 2]), y + _vertex(scores[py - 1 : py + 2, px])
    return x, y, peak, float(scores[SEARCH, SEARCH]), at_edge


def _vertex(values: npt.NDArray[Any]) -> float:
    """Return where the parabola through three values at -1, 0, 1 has its peak."""
    left, middle, right = (float(value) for value in values)
    curvature = left - 2 * middle + right
    return (left - right) / (2 * curvature) if curvature else 0.0
