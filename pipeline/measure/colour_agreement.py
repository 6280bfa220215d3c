"""Whether two aligned photos agree in colour, once one smooth transform for the whole pair is taken out.

Correlation of grey sees no colours: a JPEG that was damaged where no decoder notices shows the scene in false colours
from there on. Cameras differ in colour too, but all over the photo in the same way, or slowly from its middle to its
rim. So that transform is fitted to means of small cells, and what a cell differs by beyond it is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.measure.correlation import Corners

Values = npt.NDArray[np.float64]
Terms = npt.NDArray[np.float64]
"""(..., M)."""
Cells = npt.NDArray[np.float32]
"""(rows, columns, 3): means of cells, BGR, 0..255."""

MOST_CELL, LEAST_CELL, CELLS_A_SIDE = 16, 4, 6
"""A cell has up to 16 px a side, and a window at least 6 cells a side, unless these would be smaller than 4 px."""
BURNT, BLACK, PARTS = 250, 5, 4
"""A cell of PARTS x PARTS parts says nothing about colour if one of them is burnt out in a channel. If one is black,
the cell is not used for the fit, but judged: what is cut off there is only a few grey levels."""
STEPS, LEAST_SPREAD = 8, 2.0
"""Steps of the fit, and the least difference, in grey levels, that it takes for usual."""
USUAL = 8.0
"""A difference, in grey levels, that counts half as much as a large one when fits are compared."""
MOST_FITTED = 4000
"""More cells are not needed for the fit."""
FEWEST_CELLS = 60
"""With fewer cells, the transform cannot be told from what it should find."""
WORST_SHARE = 0.25
"""A window is judged by this share of its cells, the worst, so that false colours in a part of it are seen."""
GAINS = (0.75, 1.33)
"""Factors by which a window may be darker or brighter as a whole: phones brighten shadows locally."""
PENALTIES = (*[1e-6] * 7, *[1e-3] * 2)
"""On the weights of the terms, a cell: on those of other channels so that greys do not become false colours."""


@dataclass(frozen=True, eq=False)
class ColourAgreement:
    """The cells of an aligned pair: what the transform makes of the phone's colours, and the DSLR's."""

    expected: Cells
    found: Cells
    says_nothing: npt.NDArray[np.bool_]
    """(rows, columns): cells that are burnt out in either photo."""
    cell: int
    """Side of a cell, in px."""

    @staticmethod
    def of(phone: Image, dslr: Image, side: int) -> ColourAgreement | None:
        """Fit the transform; None if there are too few cells to fit it to.

        Parameters
        ----------
        phone, dslr
            (H, W, 3) BGR, uint8: the common crop of an aligned pair.
        side
            Side of the windows that will be asked for, in px.

        """
        cell = int(np.clip(side // CELLS_A_SIDE, LEAST_CELL, MOST_CELL))
        rows, columns = phone.shape[0] // cell, phone.shape[1] // cell
        if rows * columns < FEWEST_CELLS:
            return None
        own, others = (cell_means(image, cell) for image in (phone, dslr))
        burnt, black = burnt_and_black((phone, dslr), cell)
        known = ~(burnt | black)
        if known.sum() < FEWEST_CELLS:
            return None
        terms = _terms(own)
        weights = fitted([of[known] for of in terms], others[known].astype(np.float64), places_of(known), PENALTIES)
        return ColourAgreement(applied(terms, weights).astype(np.float32), others, burnt, cell)

    def differences(self, corners: Corners, side: int) -> Values:
        """Return by how much windows differ in colour: (N,), in grey levels; NaN where all is burnt out.

        It is the mean over the worst quarter of the window's cells, each taken in its worst channel, after one factor
        of brightness for the window.

        Parameters
        ----------
        corners
            (N, 2): x, y of the windows' top left px in the crop.
        side
            Side of the windows, in px.

        """
        found = np.full(len(corners), np.nan)
        for index, (x, y) in enumerate(corners.tolist()):
            # Cells wholly inside the window.
            part = np.s_[-(-y // self.cell) : (y + side) // self.cell, -(-x // self.cell) : (x + side) // self.cell]
            known = ~self.says_nothing[part]
            if known.any():
                found[index] = _difference(self.expected[part][known], self.found[part][known])
        return found


def _difference(expected: Cells, found: Cells) -> float:
    gain = float(np.clip(np.sum(expected * found) / max(float(np.sum(expected**2)), 1e-6), *GAINS))
    away = np.abs(gain * np.asarray(expected, np.float64) - np.asarray(found, np.float64))
    worst = sorted(np.max(away, axis=1).tolist())
    count = max(1, round(WORST_SHARE * len(worst)))
    return float(sum(worst[-count:]) / count)


def cell_means(image: Image, cell: int) -> Cells:
    """Return the means of the whole cells of an image (H, W, 3), uint8: (rows, columns, 3), 0..255."""
    rows, columns = image.shape[0] // cell, image.shape[1] // cell
    whole = image[: rows * cell, : columns * cell]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def burnt_and_black(images: Sequence[Image], cell: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the cells (rows, columns) that have burnt out parts in any of the images (H, W, 3), and black ones.

    A part is a quarter of a cell's side. Single px at night are black or white by their noise alone.
    """
    rows, columns = images[0].shape[0] // cell, images[0].shape[1] // cell
    size = columns * PARTS, rows * PARTS
    # Parts that are not whole px are fine, but all parts of a cell must lie in it.
    parts = [cv2.resize(image[: rows * cell, : columns * cell], size, interpolation=cv2.INTER_AREA) for image in images]
    whole = [part.reshape(rows, PARTS, columns, PARTS, 3) for part in parts]
    burnt = np.any([(of >= BURNT).any(axis=(1, 3, 4)) for of in whole], axis=0)
    black = np.any([(of <= BLACK).any(axis=(1, 3, 4)) for of in whole], axis=0)
    return np.asarray(burnt), np.asarray(black)


def places_of(known: npt.NDArray[np.bool_]) -> Terms:
    """Return the places of the true cells of (rows, columns): (N, 2), y before x, -1..1 from rim to rim."""
    return np.asarray(np.argwhere(known) / (np.array(known.shape) - 1) * 2 - 1, np.float64)


def _terms(cells: Cells) -> list[Terms]:
    """Return the terms of the transform for B, G and R, (rows, columns, 9) each.

    A channel has a curve of its own, a rim that lenses darken by a share of the light, and a little of the others. With
    more terms, of products of channels or of the place, the transform would follow false colours.
    """
    rows, columns = cells.shape[:2]
    channels = np.moveaxis(cells.astype(np.float64) / 255, 2, 0)
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    light = channels.mean(axis=0)
    found = []
    for index, own in enumerate(channels):
        curve = np.ones_like(own), own, own**2, own**3
        rim = light * x, light * y, light * (x * x + y * y)
        others = (channels[other] - own for other in range(3) if other != index)
        found.append(np.stack([*curve, *rim, *others], axis=-1))
    return found


def applied(terms: Sequence[Terms], weights: Sequence[Terms]) -> Terms:
    """Return the expected colours, (..., 3), of terms (..., M) for each channel."""
    return np.stack([of @ weight for of, weight in zip(terms, weights, strict=True)], axis=-1)


def fitted(terms: Sequence[Terms], targets: Terms, places: Terms, penalties: Sequence[float]) -> list[Terms]:
    """Return the weights (M,) for each channel that take terms (N, M) to targets (N, 3) in most of the cells.

    A part with false colours may be a half of the photo. So the fit begins with all cells and, in turn, with each side
    of the photo, and the weights that explain the most cells win. `places` are those of `places_of`, and `penalties`,
    (M,), are on the weights, a cell.
    """
    step = -(-len(targets) // MOST_FITTED)
    terms, targets, (y, x) = [of[::step] for of in terms], targets[::step], places[::step].T
    parts = (np.ones_like(x, bool), y < 0, y > 0, x < 0, x > 0)
    found = [_refined(terms, targets, part, penalties) for part in parts if part.sum() >= FEWEST_CELLS]
    return min(found, key=lambda weights: _unexplained(applied(terms, weights) - targets))


def _unexplained(away: Terms) -> float:
    """Return how many cells (N, 3) are not explained, as a share; one that is off by much counts as one."""
    squares = np.sum(away**2, axis=1)
    return float(np.mean(squares / (squares + USUAL**2)))


def _refined(
    terms: Sequence[Terms], targets: Terms, part: npt.NDArray[np.bool_], penalties: Sequence[float]
) -> list[Terms]:
    """Return the weights that a fit which begins with the cells of a part (N,) ends with."""
    trust = part.astype(np.float64)
    weights: list[Terms] = []
    for _ in range(STEPS):
        weights = [_solved(of, targets[:, index], trust, penalties) for index, of in enumerate(terms)]
        away = np.linalg.norm(applied(terms, weights) - targets, axis=1)
        spread = max(LEAST_SPREAD, 1.5 * float(np.median(away[part])))
        trust = 1 / (1 + (away / spread) ** 2) ** 2
    return weights


def _solved(
    terms: Terms, targets: npt.NDArray[np.float64], trust: npt.NDArray[np.float64], penalties: Sequence[float]
) -> Terms:
    """Return the weights (M,) that take terms (N, M) to targets (N,), as far as each is trusted, 0..1."""
    weighted = terms * trust[:, None]
    crossed = weighted.T @ terms + np.diag(penalties) * float(trust.sum())
    return np.asarray(np.linalg.solve(crossed, weighted.T @ targets))
