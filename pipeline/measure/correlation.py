"""Find windows again: their NCC at every shift and turn of a small search.

The zero-mean normalised cross-correlation of a window with all places of a search area takes its products from the
discrete Fourier transform, and its variances from integral images (Lewis, Fast Normalized Cross-Correlation, Vision
Interface 1995). It is exact to a few 1e-7. Template matching in 8 bit is off by 3e-3, enough to flip a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Points
from dpedtool.pipeline.measure.grey_values import GreyValues

Values = npt.NDArray[np.float64]
Corners = npt.NDArray[np.int64]
Pixels = TypeVar("Pixels", npt.NDArray[np.uint8], npt.NDArray[np.float32])

APART_PX = 2
"""Peaks of the search that are at most this far apart count as one."""
LEAST_VARIANCE = 1e-4
"""In squared grey levels: a window below this counts as a single grey value, and correlates with nothing."""
GLARE = 1000
"""An area with this many times the energy of a place in it is transformed in float64, since float32 is too coarse for a
weak window next to a strong edge."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Where a search found N windows. NaN where there is no value: for a flat window, or without a second peak."""

    ncc_here: Values
    """(N,): NCC at no shift and no turn, -1..1."""
    ncc: Values
    """(N,): the highest of the search."""
    shifts: Points
    """(N, 2): how far the middle of the best place lies to the right and below, in px."""
    turns_deg: Values
    """(N,): how far the best place is turned, clockwise as one sees it."""
    second_ncc: Values
    """(N,): NCC of the second peak at the same turn."""


def turns_within(largest_deg: float, step_deg: float) -> tuple[float, ...]:
    """Return the turns of a search in degrees, 0 first: 0, step, -step, 2 step, ..."""
    steps = int(largest_deg / step_deg + 1e-9)
    return (0.0, *(sign * step * step_deg for step in range(1, steps + 1) for sign in (1, -1)))


def find(
    windows: Sequence[GreyValues], photo: GreyValues, corners: Corners, reach: int, turns: Sequence[float] = (0.0,)
) -> Matches:
    """Search a photo for windows, each around its expected place.

    Parameters
    ----------
    windows
        N of (S, S), grey levels.
    photo
        (H, W), grey levels; places that reach beyond it do not count.
    corners
        (N, 2): x, y of the photo's px on which the top left px of each window should lie.
    reach
        Largest shift to each side, in whole px.
    turns
        Angles to try, in degrees, clockwise as one sees it; the first is 0. The photo is interpolated for the others,
        and their shifts are whole px along the turned axes.

    """
    side, places = len(windows[0]), 2 * reach + 1
    surfaces = np.empty((len(windows), len(turns), places, places))
    for surface, window, corner in zip(surfaces, windows, corners.tolist(), strict=True):
        areas = [search_area(photo, corner, side, reach, turn) for turn in turns]
        surface[:] = ncc_surfaces(window, areas)
    for number, turn in enumerate(turns):
        _exclude_outside(surfaces[:, number], photo.shape, corners, side, turn)
    return _matches(surfaces, np.array(turns))


def search_area(photo: GreyValues, corner: Sequence[int], side: int, reach: int, turn: float = 0.0) -> GreyValues:
    """Return the square search area, side + 2 reach wide, around a place, turned about its middle; mirrored outside."""
    length = side + 2 * reach
    x, y = corner[0] - reach, corner[1] - reach
    if turn:
        return sample(photo, (x, y), length, turn, cv2.INTER_CUBIC)
    left, top = max(0, -x), max(0, -y)
    right, bottom = max(0, x + length - photo.shape[1]), max(0, y + length - photo.shape[0])
    inside = photo[y + top : y + length - bottom, x + left : x + length - right]
    if not (left or top or right or bottom):
        return inside
    return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REFLECT_101)  # type: ignore[return-value]


def sample(photo: Pixels, corner: Sequence[float], length: int, turn: float, interpolation: int) -> Pixels:
    """Return a window (length, length) of a photo (H, W) or (H, W, 3), between its px; mirrored outside.

    `corner` (x, y) is where the top left px of the window would lie before it is turned about its middle, clockwise as
    one sees it, by degrees.
    """
    half = (length - 1) / 2
    rotation = turned(np.eye(2), turn).T
    matrix = np.column_stack([rotation, np.asarray(corner) + half - rotation @ np.full(2, half)])
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(photo, matrix, (length, length), flags=flags, borderMode=cv2.BORDER_REFLECT_101)  # type: ignore[return-value]


def ncc_surfaces(window: GreyValues, areas: Sequence[GreyValues]) -> Values:
    """Return the NCC of a window (S, S) at all places of each of K areas (S + 2R, S + 2R), as (K, 2R + 1, 2R + 1).

    NaN where the window or the place is flat.
    """
    side = len(window)
    mean = cv2.mean(window)[0]
    sums = [cv2.integral2(area, sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F) for area in areas]
    # Means are subtracted first, so that the values are small and float32 is exact enough.
    variances = np.stack([_boxes(squares, side) - _boxes(one, side) ** 2 / side**2 for one, squares in sums])
    least = LEAST_VARIANCE * side**2
    whole = max(squares[-1, -1] - one[-1, -1] ** 2 / areas[0].size for one, squares in sums)
    precision = np.float32 if whole < GLARE * max(variances.min(), least) else np.float64
    centred = [_centred(area, one[-1, -1] / area.size, precision) for area, (one, _) in zip(areas, sums, strict=True)]
    template = _centred(window, mean, precision, len(areas[0]))
    energy = float(np.vdot(template, template))
    products = _products(template, centred, len(areas[0]) - side + 1)
    if energy > least and variances.min() > least:
        return np.asarray(products / np.sqrt(variances * energy))
    flat = (variances <= least) | (energy <= least)
    return np.where(flat, np.nan, products / np.sqrt(np.where(flat, 1.0, variances * energy)))


def turned(points: Points, turn: float) -> Points:
    """Return points (N, 2) turned about the origin, clockwise as one sees it (y down), by degrees."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def _centred(image: GreyValues, mean: float, precision: Any, length: int | None = None) -> Any:
    """Return the image minus its mean, padded with zeros to a size that is transformed fast."""
    padded = -(-(length or len(image)) // 16) * 16
    whole = np.zeros((padded, padded), precision)
    np.subtract(image, precision(mean), out=whole[: image.shape[0], : image.shape[1]])
    return whole


def _products(template: Any, areas: Sequence[Any], places: int) -> Values:
    """Sums of products of the template with each place of K areas, (K, places, places)."""
    result = np.empty((len(areas), places, places))
    if len(areas) == 1:
        product = cv2.mulSpectrums(cv2.dft(areas[0]), cv2.dft(template), 0, conjB=True)
        found = cv2.dft(product, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
        result[0] = found[:places, :places]
        return result
    # Two areas at a time, one as real and one as imaginary part: the template's spectrum serves both.
    spectrum = cv2.dft(cv2.merge([template, np.zeros_like(template)]))
    for first in range(0, len(areas), 2):
        real, imaginary = areas[first], areas[min(first + 1, len(areas) - 1)]
        product = cv2.mulSpectrums(cv2.dft(cv2.merge([real, imaginary])), spectrum, 0, conjB=True)
        found = cv2.dft(product, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)[:places, :places]
        result[first : first + 2] = np.moveaxis(found, -1, 0)[: len(areas) - first]
    return result


def _boxes(integral: cv2.typing.MatLike, side: int) -> Values:
    values = np.asarray(integral, np.float64)
    return values[side:, side:] - values[side:, :-side] - values[:-side, side:] + values[:-side, :-side]


def _exclude_outside(surfaces: Values, shape: tuple[int, ...], corners: Corners, side: int, turn: float) -> None:
    """Set places that reach beyond a photo (H, W) to NaN, in (N, P, P)."""
    reach = surfaces.shape[-1] // 2
    half = (side - 1) / 2
    extent = half * (abs(np.cos(np.radians(turn))) + abs(np.sin(np.radians(turn))))
    # The room to each side, with a tolerance of a thousandth of a px for rounding.
    low = corners + half - extent + 1e-3
    high = np.array([shape[1], shape[0]]) - 1 - (corners + half + extent) + 1e-3
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    shifts = turned(np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2), turn)
    for number in np.flatnonzero(np.minimum(low, high).min(axis=1) < np.abs(shifts).max()):
        outside = ((shifts < -low[number]) | (shifts > high[number])).any(axis=1)
        surfaces[number][outside.reshape(surfaces.shape[1:])] = np.nan


def _matches(surfaces: Values, turns: Values) -> Matches:
    """Read the surfaces (N, K, P, P) of K turns."""
    count, _, places, _ = surfaces.shape
    reach = places // 2
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    shifts = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    # Among equal values the nearest place of the first turn wins, so that a tie moves nothing.
    order = np.argsort((shifts**2).sum(axis=1), kind="stable")
    known = np.where(np.isnan(surfaces), -np.inf, surfaces).reshape(count, len(turns), -1)
    best = known[..., order].reshape(count, -1).argmax(axis=1)
    turn, place = best // len(order), order[best % len(order)]
    each = np.arange(count)
    ncc = known[each, turn, place]
    found = np.isfinite(ncc)
    moved = np.array([turned(shifts[[one]], turns[number])[0] for one, number in zip(place, turn, strict=True)])
    return Matches(
        ncc_here=surfaces[:, 0, reach, reach],
        ncc=np.where(found, ncc, np.nan),
        shifts=np.where(found[:, None], moved.reshape(-1, 2), 0.0),
        turns_deg=np.where(found, turns[turn], 0.0),
        second_ncc=_second_peaks(known[each, turn].reshape(count, places, places), place),
    )


def _second_peaks(surfaces: Values, best: npt.NDArray[np.int64]) -> Values:
    """Return the highest other local maximum of each (N, P, P); the rim is left out, as its neighbours are unknown."""
    count, places, _ = surfaces.shape
    inner = surfaces[:, 1:-1, 1:-1]
    peaks = np.isfinite(inner)
    for down in range(3):
        for right in range(3):
            peaks &= inner >= surfaces[:, down : down + places - 2, right : right + places - 2]
    rows, columns = (np.arange(1, places - 1) - middle[:, None] for middle in (best // places, best % places))
    near = (np.abs(rows) <= APART_PX)[:, :, None] & (np.abs(columns) <= APART_PX)[:, None, :]
    highest = np.where(peaks & ~near, inner, -np.inf).reshape(count, -1).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(highest), highest, np.nan)
