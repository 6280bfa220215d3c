"""Places of an aligned pair that are worth showing enlarged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.geometry.aligned import cut
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.residuals import WINDOW, Flags, Search

SPOT_PX = 96
"""Side of the squares: a window of the search with its surroundings."""
MIDDLE_SHARE = 1 / 3
"""The middle of the image is the middle third of both sides."""
CERTAIN = 2
"""The largest shift is chosen after subtracting this many standard errors."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """A window of the search that is to be shown."""

    title: str
    index: int


def choose(found: Search, errors: Values, usable: Flags, phone: GreyValues) -> list[Choice]:
    """Return up to four different windows by which a person can judge the alignment.

    Parameters
    ----------
    found
        The result of the search for N windows.
    errors
        (N,): standard errors of the shifts in px; NaN if a shift is not certain.
    usable
        (N,): whether the window touches no masked cell.
    phone
        (H, W): the phone's image that the windows are from.

    """
    chosen: dict[int, Choice] = {}
    measured = _measured(found, np.where(usable, errors, np.nan))
    for choice in (*measured, *_amiss(found, usable), *_middle(found, errors, usable, phone)):
        chosen.setdefault(choice.index, choice)
    return list(chosen.values())


def square(image: Image, x: float, y: float) -> Image:
    """Return the square of `SPOT_PX` around a place, in px of the image. At an edge it is moved inside if possible."""
    height, width = image.shape[:2]
    return cut(image, Box(_start(x, width), _start(y, height), SPOT_PX, SPOT_PX))


def _start(middle: float, length: int) -> int:
    return max(0, min(round(middle - (SPOT_PX - 1) / 2), length - SPOT_PX))


def _measured(found: Search, errors: Values) -> Iterator[Choice]:
    """Yield the largest shift, taking the errors into account, and the median one."""
    known = np.flatnonzero(~np.isnan(errors))
    if len(known):
        lengths = found.lengths
        largest = int(known[np.argmax(lengths[known] - CERTAIN * errors[known])])
        yield Choice(f"Largest certain shift: {lengths[largest]:.2f} px", largest)
        median = int(known[np.argsort(lengths[known], kind="stable")][(len(known) - 1) // 2])
        yield Choice(f"Median shift: {lengths[median]:.2f} px", median)


def _amiss(found: Search, usable: Flags) -> Iterator[Choice]:
    """Yield the misplaced window that fits worst in the DSLR's image, if there is any."""
    amiss = np.flatnonzero(found.amiss & ~found.found & usable)
    if len(amiss):
        worst = int(amiss[np.argmin(found.ncc_here[amiss])])
        yield Choice(f"Not found where it should be: NCC {found.ncc_here[worst]:.2f}", worst)


def _middle(found: Search, errors: Values, usable: Flags, phone: GreyValues) -> Iterator[Choice]:
    """Yield the window with the most contrast in the middle of the image, so that good pairs have a spot too."""
    middles = (found.places + WINDOW / 2) / np.array(phone.shape[::-1])
    central = np.flatnonzero(usable & (np.abs(middles - 0.5) <= MIDDLE_SHARE / 2).all(axis=1))
    if len(central):
        best = int(central[np.argmax([_contrast(phone, *found.places[index].tolist()) for index in central])])
        known = not np.isnan(errors[best])
        shift = f"shift {found.lengths[best]:.2f} px" if known else "its shift could not be measured"
        yield Choice(f"Most contrast near the middle: {shift}", best)


def _contrast(image: GreyValues, x: int, y: int) -> float:
    return cv2.meanStdDev(image[y : y + WINDOW, x : x + WINDOW])[1].item()
