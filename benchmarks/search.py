"""The search for windows: speed and exactness of dpedtool compared with loops of OpenCV's template matching."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.patches_table import SearchFigures
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.places import Place
from dpedtool.pipeline.measure.correlation import find, ncc_surfaces, search_area

AnyGrey = NDArray[Any]
"""(H, W), uint8 or float32, 0..255."""
Values = NDArray[np.float64]
Corners = NDArray[np.int64]
Scores = Callable[[AnyGrey, AnyGrey], Values]
"""Maps a window (S, S) and a search area (S + 2R, S + 2R) to the NCC at each place, (2R + 1, 2R + 1)."""

SIZE_PX = 2048, 1536
SIDE, REACH = 100, 5  # px
RIM = 8  # px; keeps search areas turned by up to 1 degree wholly inside the photo
TURNS = 0.0, 0.5, -0.5, 1.0, -1.0  # degrees
THRESHOLD = 0.9
SAMPLED = 12
"""Number of sampled windows of each kind in each photo."""
SINGLE_GREY = 1e-4
"""Squared grey levels: a window with less variance has no NCC."""


@dataclass(frozen=True)
class Greys:
    """A photo as two cameras might take it, (H, W) uint8 each."""

    phone: AnyGrey
    dslr: AnyGrey

    def corners(self) -> Corners:
        """Return x, y of the top left px of adjacent windows, (N, 2)."""
        ys, xs = (np.arange(RIM, length - SIDE - RIM + 1, SIDE) for length in self.dslr.shape)
        return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Method:
    """One way to search."""

    name: str
    pixels: type[np.generic]
    search: Callable[[AnyGrey, AnyGrey, Corners, Sequence[float]], Values]
    """Maps both photos, the windows' corners (N, 2) and turns to the highest NCC of each window, (N,)."""
    scores: Scores


def greys(path: Place, seed: int = 0) -> Greys:
    """Reduce a photo to 3.1 MP and make two versions: a fraction of a px apart, with other exposure and noise."""
    photo = cv2.cvtColor(load_photo(path), cv2.COLOR_BGR2GRAY)
    if photo.shape[0] > photo.shape[1]:
        photo = cv2.rotate(photo, cv2.ROTATE_90_CLOCKWISE)
    dslr = cv2.resize(photo, SIZE_PX, interpolation=cv2.INTER_AREA).astype(np.float32)
    matrix = np.array([[1, 0, 0.3], [0, 1, -0.4]])
    phone = 0.85 * cv2.warpAffine(dslr, matrix, SIZE_PX, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT) + 9
    rng = np.random.default_rng(seed)
    noisy = [image + rng.normal(0, sigma, image.shape) for image, sigma in ((phone, 2.0), (dslr, 0.7))]
    return Greys(*(np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in noisy))


def compare(photos: Sequence[Greys], repeats: int) -> list[SearchFigures]:
    """Time all methods in turn on the first photo, and measure how exact each is on windows of all photos."""
    figures = [_exactness(method, photos) for method in METHODS]
    for _ in range(repeats):
        for method, figure in zip(METHODS, figures, strict=True):
            for turns in (1, len(TURNS)):
                figure.per_s.setdefault(turns, []).append(speed(method, photos[0], TURNS[:turns]))
    return figures


def speed(method: Method, photo: Greys, turns: Sequence[float]) -> float:
    """Return windows per CPU-second, including the conversion of both photos from 8 bit."""
    corners = photo.corners()
    start = time.process_time()
    method.search(photo.phone, photo.dslr, corners, turns)
    return len(corners) / (time.process_time() - start)


def reference(window: AnyGrey, area: AnyGrey) -> Values:
    """Return the NCC by its definition, in float64; NaN where the window or the place has a single grey value."""
    places = np.lib.stride_tricks.sliding_window_view(area.astype(np.float64), window.shape)
    centred = places - places.mean(axis=(2, 3), keepdims=True)
    template = window - window.mean(dtype=np.float64)
    variances = (centred**2).mean(axis=(2, 3)), (template**2).mean()
    flat = np.minimum(*variances) < SINGLE_GREY
    with np.errstate(invalid="ignore", divide="ignore"):
        ncc = (centred * template).mean(axis=(2, 3)) / np.sqrt(variances[0] * variances[1])
    return np.where(flat, np.nan, ncc)


def sample(photo: Greys) -> Corners:
    """Return corners of windows with least contrast, of windows plainer than their surroundings, and of others."""
    corners = photo.corners()
    windows = np.array([photo.dslr[y : y + SIDE, x : x + SIDE].std() for x, y in corners])
    areas = np.array([photo.phone[y - REACH :, x - REACH :][: SIDE + 10, : SIDE + 10].std() for x, y in corners])
    plainest = np.argsort(windows, kind="stable")[:SAMPLED]
    beside_edges = np.argsort(-areas / (windows + 1), kind="stable")[:SAMPLED]
    others = np.linspace(0, len(corners) - 1, SAMPLED).astype(int)
    return np.asarray(corners[np.unique(np.concatenate([plainest, beside_edges, others]))])


def _exactness(method: Method, photos: Sequence[Greys]) -> SearchFigures:
    figures = SearchFigures(method.name)
    for photo in photos:
        phone, dslr = (image.astype(method.pixels) for image in (photo.phone, photo.dslr))
        for corner in sample(photo):
            window = _cut(dslr, corner)
            areas = [search_area(phone, corner.tolist(), SIDE, REACH, turn) for turn in TURNS]
            found = np.stack([method.scores(window, area) for area in areas])
            exact = np.stack([reference(window, area) for area in areas])
            _note(figures, found, exact)
    return figures


def _note(figures: SearchFigures, found: Values, exact: Values) -> None:
    """Add one window, (K, 2R + 1, 2R + 1) each, to the figures."""
    known = np.isfinite(exact)
    if not known.any():
        return
    figures.sampled += 1
    figures.largest_error = max(figures.largest_error, float(np.abs(found - exact)[known].max()))
    found = np.where(known, found, np.nan)
    sides = [(values[0, REACH, REACH] >= THRESHOLD, np.nanmax(values) >= THRESHOLD) for values in (found, exact)]
    figures.changed_side += sides[0] != sides[1]


def _ours(phone: AnyGrey, dslr: AnyGrey, corners: Corners, turns: Sequence[float]) -> Values:
    windows = [_cut(image, corner) for image in (dslr.astype(np.float32),) for corner in corners]
    return find(windows, phone.astype(np.float32), corners, REACH, turns).ncc


def _our_scores(window: AnyGrey, area: AnyGrey) -> Values:
    return np.asarray(ncc_surfaces(window, [area])[0])


def _template_8_bit(phone: AnyGrey, dslr: AnyGrey, corners: Corners, turns: Sequence[float]) -> Values:
    return np.array([_best(areas, _cut(dslr, corner)) for corner, areas in _areas(phone, corners, turns)])


def _template_float(phone: AnyGrey, dslr: AnyGrey, corners: Corners, turns: Sequence[float]) -> Values:
    return _template_8_bit(phone.astype(np.float32), dslr.astype(np.float32), corners, turns)


def _areas(phone: AnyGrey, corners: Corners, turns: Sequence[float]) -> Iterator[tuple[Corners, list[AnyGrey]]]:
    """Yield the search areas of each window, as a simple loop would cut them."""
    length = SIDE + 2 * REACH
    for corner in corners:
        x, y = (corner - REACH).tolist()
        middle = x + (length - 1) / 2, y + (length - 1) / 2
        areas = []
        for turn in turns:
            if not turn:
                areas.append(phone[y : y + length, x : x + length])
                continue
            matrix = cv2.getRotationMatrix2D(middle, turn, 1.0) - np.array([[0, 0, x], [0, 0, y]])
            areas.append(np.asarray(cv2.warpAffine(phone, matrix, (length, length), flags=cv2.INTER_CUBIC)))
        yield corner, areas


def _best(areas: Sequence[AnyGrey], window: AnyGrey) -> float:
    return max(cv2.minMaxLoc(cv2.matchTemplate(area, window, cv2.TM_CCOEFF_NORMED))[1] for area in areas)


def _template_scores(window: AnyGrey, area: AnyGrey) -> Values:
    return cv2.matchTemplate(area, window, cv2.TM_CCOEFF_NORMED).astype(np.float64)


def _cut(image: AnyGrey, corner: Corners) -> AnyGrey:
    x, y = corner.tolist()
    return image[y : y + SIDE, x : x + SIDE]


METHODS = (
    Method("dpedtool", np.float32, _ours, _our_scores),
    Method("matchTemplate, 8 bit", np.uint8, _template_8_bit, _template_scores),
    Method("matchTemplate, float32", np.float32, _template_float, _template_scores),
)
