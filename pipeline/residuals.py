"""How far two aligned images still are from each other: sub-pixel shifts of windows, by correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dataset.photos import Image

Grey = npt.NDArray[np.float32]

WINDOW, SEARCH, SIGMA, MIN_NCC, MIN_STD, MOST_WINDOWS = 64, 8, 1.2, 0.9, 6.0, 400


@dataclass(frozen=True)
class Residual:
    """Shifts left between two images, over the windows on which one could be measured."""

    textured: int
    """Windows with enough texture to measure a shift on."""
    windows: int
    """Those of them that were found: within 8 px, with an NCC above 0.9."""
    median_px: float | None
    """None where fewer than five windows tell."""
    p95_px: float | None


def residual(phone: Image, dslr: Image) -> Residual:
    """Measure the shift between equal-size images (H, W, 3) BGR uint8 on 64 px windows.

    Windows without texture tell nothing. Those with an NCC below 0.9 everywhere within 8 px have no measured shift;
    how many they are says how far the residual can be trusted. At most about 400 windows, spread evenly, are looked at.
    """
    textured, shifts = window_shifts(smooth_grey(phone), smooth_grey(dslr))
    lengths = np.linalg.norm(shifts, axis=1)
    if len(lengths) < 5:
        return Residual(textured, len(lengths), None, None)
    return Residual(textured, len(lengths), float(np.median(lengths)), float(np.percentile(lengths, 95)))


def smooth_grey(image: Image) -> Grey:
    """Return the grey image, Gaussian-smoothed with sigma 1.2 px so that noise does not pull the peak."""
    return cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), SIGMA).astype(np.float32)


def window_shifts(phone: Grey, dslr: Grey) -> tuple[int, npt.NDArray[np.float64]]:
    """Return the number of textured windows, and (N, 2) for those found in the DSLR image: how far off, in px."""
    height, width = phone.shape
    ys, xs = (np.arange(SEARCH, length - WINDOW - SEARCH + 1, WINDOW // 2) for length in (height, width))
    places = [(int(x), int(y)) for y in ys for x in xs]
    step = -(-len(places) // MOST_WINDOWS) or 1
    textured = [(x, y) for x, y in places[::step] if _is_textured(phone, dslr, x, y)]
    shifts = [shift for x, y in textured if (shift := _window_shift(phone, dslr, x, y)) is not None]
    return len(textured), np.array(shifts, np.float64).reshape(-1, 2)


def _is_textured(phone: Grey, dslr: Grey, x: int, y: int) -> bool:
    window, area = _window_and_area(phone, dslr, x, y)
    return bool(min(window.std(), area.std()) >= MIN_STD)


def _window_and_area(phone: Grey, dslr: Grey, x: int, y: int) -> tuple[Grey, Grey]:
    area = dslr[y - SEARCH : y + WINDOW + SEARCH, x - SEARCH : x + WINDOW + SEARCH]
    return phone[y : y + WINDOW, x : x + WINDOW], area


def _window_shift(phone: Grey, dslr: Grey, x: int, y: int) -> tuple[float, float] | None:
    window, area = _window_and_area(phone, dslr, x, y)
    scores = cv2.matchTemplate(area, window, cv2.TM_CCOEFF_NORMED)
    _, peak, _, (px, py) = cv2.minMaxLoc(scores)
    if peak < MIN_NCC or not (0 < px < 2 * SEARCH and 0 < py < 2 * SEARCH):
        return None
    return px - SEARCH + _vertex(scores[py, px - 1 : px + 2]), py - SEARCH + _vertex(scores[py - 1 : py + 2, px])


def _vertex(values: npt.NDArray[Any]) -> float:
    """Where the parabola through three values at -1, 0, 1 has its peak."""
    left, middle, right = (float(value) for value in values)
    curvature = left - 2 * middle + right
    return (left - right) / (2 * curvature) if curvature else 0.0
