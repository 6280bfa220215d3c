"""Fit a smooth transform to the shifts of many windows, robustly, and choose how complex it may be.

Four models compete, each containing the ones before it: a homography; one with a radial lens (Brown 1966: one radial
and two decentering terms, by which two lenses with nearby centres differ); one with a smooth bend of degree 3; and one
of degree 5 (for paper that curls, or a lens with waves). A richer model is only chosen where it predicts windows that
it was not fitted to, and where the windows are spread widely enough over the photo: a bend that is fitted to one corner
would grow wild elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Homography, Points
from dpedtool.pipeline.geometry.transform import Field, monomials, relative
from dpedtool.pipeline.measure.shifts import Shifts

Model = Literal["homography", "lens", "cubic", "quintic"]
MODELS: tuple[Model, ...] = get_args(Model)

FEWEST_WINDOWS = 12
BEND = 1e-4
"""Usual size of a bend beyond the lens, as a share of the longer side: 0.2 px in 2000. Windows decide where there are
any; elsewhere, as in the sky, this keeps the field from inventing motion."""
LEAST_SCATTER_PX, MOST_SCATTER_PX = 0.01, 0.5
CUT = 12.0
"""Tukey's biweight: a window beyond this squared distance, in units of its own covariance, has no weight."""
ROUNDS = 6
SWING = 22.0
"""Largest ratio of a model's uncertainty at the worst place of the frame to that at the median place."""
FOLDS, TILES, TILE = 9, 6, 2
"""Windows are held out in `FOLDS` groups of tiles: at most `TILES` tiles a side, each at least `TILE` windows wide.
Windows that share px with held-out ones are left out of the fit too, as noise would look like a bend in small photos
otherwise."""
LEAST_GAIN = 0.125
"""Share of the squared error of held-out windows that a richer model must remove. Shading and noise that differ between
the cameras shift neighbouring windows alike, so that a little of the error can always be predicted."""

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]

_HOMOGRAPHY, _LENS = 8, 11
"""Columns of the basis that these models use."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A displacement of phone px: a homography near the identity, and a field for the rest."""

    homography: Homography
    """phone_from_phone"""
    field: Field | None
    model: Model
    windows: int
    """Windows with a weight above 0."""
    held_out_px: float | None
    """Root mean square distance of windows, except outliers, from the model that was fitted without them.

    None if there are too few windows to leave any out.
    """


@dataclass(frozen=True, eq=False)
class Posterior:
    """What windows say about the displacement anywhere in a photo, if it bends as the richest model can.

    The bends of that model have the size `BEND`, unless windows say otherwise. So the error grows where there are no
    windows, as in the sky: faster than any model that was chosen for its simplicity would say.
    """

    size: tuple[int, int]
    """(width, height) of the photo in px."""
    coefficients: Vector
    covariance: Matrix

    def at(self, points: Points) -> tuple[Points, Matrix]:
        """Return the displacements (N, 2) of points (N, 2), in px, and their covariances (N, 2, 2), in px^2."""
        basis = _basis(relative(points, self.size))
        return basis @ self.coefficients, basis @ self.covariance @ basis.swapaxes(1, 2)


def posterior(shifts: Shifts, size: tuple[int, int]) -> Posterior:
    """Return what at least `FEWEST_WINDOWS` windows, which share no px, say; parameters as for `fit`."""
    windows = _weighted(shifts, shifts.shifts, size)
    columns = _columns(MODELS[-1])
    return Posterior(size, windows.solve(columns), windows.covariance(columns))


@dataclass(frozen=True, eq=False)
class _Precisions:
    """The inverse covariances of N windows: of x, of x with y, and of y, (N,) each."""

    xx: Vector
    xy: Vector
    yy: Vector

    @classmethod
    def of(cls, own: Matrix, scatter: float) -> _Precisions:
        """Invert the windows' own covariances (N, 2, 2), after adding the common scatter."""
        xx, xy, yy = own[:, 0, 0] + scatter**2, own[:, 0, 1], own[:, 1, 1] + scatter**2
        determinant = xx * yy - xy * xy
        return cls(yy / determinant, -xy / determinant, xx / determinant)

    def squared(self, x: Vector, y: Vector) -> Vector:
        """Squared distances (N,) in units of the covariances."""
        return self.xx * x * x + 2 * self.xy * x * y + self.yy * y * y


@dataclass(frozen=True, eq=False)
class _Weighted:
    """The windows and their weights, for least squares."""

    basis: Matrix
    """(2, N, K): what each column of a model adds to the displacements along x and along y."""
    wanted: Points
    """(N, 2)"""
    precisions: _Precisions
    trust: Vector
    """(N,): 0..1"""
    penalty: Matrix
    """(K, K)"""

    def solve(self, columns: int) -> Vector:
        """The coefficients (columns,) that fit all windows."""
        return self.solved(*self.normal(columns))

    def solved(self, normal: Matrix, moments: Vector) -> Vector:
        """The coefficients of the normal equations of any windows, with the penalty."""
        return np.asarray(np.linalg.solve(self._penalised(normal), moments), np.float64)

    def normal(self, columns: int, chosen: npt.NDArray[np.int64] | None = None) -> tuple[Matrix, Vector]:
        """The normal equations (columns, columns) and (columns,) of all windows, or of those with these indices.

        Those of a model are the beginning of those of a richer one.
        """
        x, y = self.basis[..., :columns] if chosen is None else self.basis[:, chosen, :columns]
        weights = (self.trust * values for values in (self.precisions.xx, self.precisions.xy, self.precisions.yy))
        xx, xy, yy = (values if chosen is None else values[chosen] for values in weights)
        from_x, from_y = xx[:, None] * x + xy[:, None] * y, xy[:, None] * x + yy[:, None] * y
        wanted = self.wanted if chosen is None else self.wanted[chosen]
        return x.T @ from_x + y.T @ from_y, from_x.T @ wanted[:, 0] + from_y.T @ wanted[:, 1]

    def covariance(self, columns: int) -> Matrix:
        """The covariance (columns, columns) of the coefficients that fit all windows."""
        return np.asarray(np.linalg.inv(self._penalised(self.normal(columns)[0])), np.float64)

    def _penalised(self, normal: Matrix) -> Matrix:
        columns = len(normal)
        whole = normal + self.penalty[:columns, :columns]
        return np.asarray(whole + 1e-9 * np.trace(whole) / columns * np.eye(columns), np.float64)

    def left(self, coefficients: Vector) -> Points:
        """What a model leaves of the displacements, (N, 2)."""
        return self.wanted - (self.basis[..., : len(coefficients)] @ coefficients).T

    def distances(self, coefficients: Vector) -> Vector:
        """Squared distances (N,) of the windows from a model, in units of their covariances."""
        return self.precisions.squared(*self.left(coefficients).T)


def fit(shifts: Shifts, wanted: Points, size: tuple[int, int], richest: Model = "quintic") -> Fit | None:
    """Fit a model to the displacements of windows; None if there are too few windows.

    Parameters
    ----------
    shifts
        The windows, with the information that each carries.
    wanted
        The displacements (N, 2) of their centres that the model should reproduce, in px.
    size
        (width, height) of the phone photo in px.
    richest
        The richest model that may be chosen.

    """
    if len(shifts) < FEWEST_WINDOWS:
        return None
    windows = _weighted(shifts, wanted, size)
    models = [
        model
        for model in _within(richest, shifts.centres, size)
        if model == "homography" or _is_held(windows, _columns(model), size)
    ]
    held_out = dict(zip(models, _held_out(windows, [_columns(model) for model in models], shifts, size), strict=True))
    model = _simplest({name: distances for name, (distances, _) in held_out.items()})
    coefficients = windows.solve(_columns(model))
    return Fit(
        homography=_as_homography(coefficients[:_HOMOGRAPHY], size),
        field=_as_field(coefficients[_HOMOGRAPHY:], size) if model != "homography" else None,
        model=model,
        windows=int((windows.trust > 0).sum()),
        held_out_px=held_out[model][1],
    )


def _within(richest: Model, centres: Points, size: tuple[int, int]) -> list[Model]:
    """Return the models up to the richest that the windows are spread widely enough for: a tile gives two numbers."""
    tiles = len(np.unique(_tiles(centres, size), axis=0))
    known = MODELS[: MODELS.index(richest) + 1]
    return [model for model in known if model == "homography" or _columns(model) <= 2 * tiles]


def _columns(model: Model) -> int:
    return {"homography": _HOMOGRAPHY, "lens": _LENS, "cubic": _LENS + 14, "quintic": _LENS + 36}[model]


def _basis(places: Points) -> Matrix:
    """Displacements (N, 2, K) at places (N, 2) relative to the photo: homography, lens, then bends by degree."""
    u, v = places.T
    one, zero, r2 = np.ones_like(u), np.zeros_like(u), u * u + v * v
    terms = [(one, zero), (zero, one), (u, zero), (zero, u), (v, zero), (zero, v), (u * u, u * v), (u * v, v * v)]
    terms += [(u * r2, v * r2), (r2 + 2 * u * u, 2 * u * v), (2 * u * v, r2 + 2 * v * v)]
    for term in monomials(places, 5).T[3:]:
        terms += [(term, zero), (zero, term)]
    return np.moveaxis(np.array(terms), 2, 0).swapaxes(1, 2)


def _penalty(size: tuple[int, int]) -> Matrix:
    """Return the cost of a bend: its mean square over the photo in units of `BEND`; homography and lens are free."""
    basis = _basis(relative(_frame(size), size))
    basis[..., :_LENS] = 0
    return np.asarray(np.einsum("nik,nil->kl", basis, basis) / len(basis) / (BEND * max(size)) ** 2)


def _frame(size: tuple[int, int]) -> Points:
    """Return points all over a photo of this size (width, height), including its rim."""
    x, y = np.meshgrid(*(np.linspace(0, side - 1, 21) for side in size))
    return np.column_stack([x.ravel(), y.ravel()])


def _is_held(windows: _Weighted, columns: int, size: tuple[int, int]) -> bool:
    """Whether the windows determine a model all over the frame, so that it cannot swing beyond the last windows."""
    basis = _basis(relative(_frame(size), size))[..., :columns]
    uncertainty = np.einsum("nik,kl,nil->n", basis, windows.covariance(columns), basis)
    return bool(uncertainty.max() <= SWING**2 * np.median(uncertainty))


def _weighted(shifts: Shifts, wanted: Points, size: tuple[int, int]) -> _Weighted:
    """Weigh the windows by their own noise and a common scatter beyond it, and suppress outliers.

    The models are fitted one after the other, the stiffest first, each starting from the weights of the one before. If
    a bend came first, it would follow an object that moved or that is nearer than the rest.
    """
    basis, penalty = np.moveaxis(_basis(relative(shifts.centres, size)), 1, 0).copy(), _penalty(size)
    own = np.asarray(np.linalg.inv(shifts.information + 1e-6 * np.eye(2)), np.float64)
    scatter = 2 * LEAST_SCATTER_PX
    windows = _Weighted(basis, wanted, _Precisions.of(own, scatter), np.ones(len(shifts)), penalty)
    for model in MODELS:
        most = MOST_SCATTER_PX if model == MODELS[-1] else np.inf
        for _ in range(ROUNDS):
            coefficients = windows.solve(_columns(model))
            left = windows.left(coefficients).T
            # The median of a chi-squared of two degrees of freedom is 1.386.
            excess = np.sqrt(np.median(windows.precisions.squared(*left)) / 1.386)
            scatter = float(np.clip(scatter * excess, LEAST_SCATTER_PX, most))
            precisions = _Precisions.of(own, scatter)
            trust = np.clip(1 - precisions.squared(*left) / CUT, 0, None) ** 2
            windows = _Weighted(basis, wanted, precisions, trust, penalty)
    return windows


def _held_out(
    windows: _Weighted, columns: Sequence[int], shifts: Shifts, size: tuple[int, int]
) -> list[tuple[Vector, float | None]]:
    """Measure how far windows are from models, of so many columns each, that were fitted without them.

    Return for each model the mean squared distance in each tile of the photo, NaN where none was measured, and the root
    mean square in px over all windows but the outliers.
    """
    most = np.array(size) / (TILE * shifts.side)
    tiles = _tiles(shifts.centres, size, np.clip(most, 2, TILES).astype(np.int64))
    fold = tiles[:, 0] % 3 + 3 * (tiles[:, 1] % 3)
    distances = np.full((len(columns), len(shifts)), np.nan)
    left = np.zeros((len(columns), len(shifts), 2))
    for held in range(FOLDS):
        out = fold == held
        apart = np.flatnonzero(~_touched(shifts, out))
        if out.any() and len(apart) >= FEWEST_WINDOWS:
            normal, moments = windows.normal(max(columns), apart)
            for at, count in enumerate(columns):
                rest = windows.left(windows.solved(normal[:count, :count], moments[:count]))
                distances[at, out] = np.minimum(windows.precisions.squared(*rest.T), CUT)[out]
                left[at, out] = rest[out]
    number = tiles[:, 0] + TILES * tiles[:, 1]
    return [_by_tile(number, *of, windows.trust) for of in zip(distances, left, strict=True)]


def _by_tile(
    number: npt.NDArray[np.int64], distances: Vector, left: Points, trust: Vector
) -> tuple[Vector, float | None]:
    """Return what `_held_out` returns of one model."""
    told = (trust > 0) & np.isfinite(distances)
    counts = np.bincount(number[told], minlength=TILES**2)
    sums = np.bincount(number[told], distances[told], minlength=TILES**2)
    px = float(np.sqrt((left[told] ** 2).sum(axis=1).mean())) if told.any() else None
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), px


def _tiles(
    centres: Points, size: tuple[int, int], counts: npt.NDArray[np.int64] | tuple[int, int] = (TILES, TILES)
) -> npt.NDArray[np.int64]:
    """Return the column and row (N, 2) of each window's tile, in a grid of `counts` columns and rows."""
    places: npt.NDArray[np.int64] = ((centres + 0.5) / np.array(size) * counts).astype(np.int64)
    return np.clip(places, 0, np.array(counts) - 1)


def _touched(shifts: Shifts, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which windows (N,) share px with the chosen ones (N,) or are chosen; windows are half a side apart."""
    columns, rows = np.round((shifts.centres - shifts.centres.min(axis=0)) / (shifts.side / 2)).astype(int).T
    grid = np.zeros((rows.max() + 1, columns.max() + 1), np.uint8)
    grid[rows[chosen], columns[chosen]] = 1
    return np.asarray(cv2.dilate(grid, np.ones((3, 3), np.uint8))[rows, columns] > 0)


def _simplest(scores: dict[Model, Vector]) -> Model:
    """The simplest model that no richer one beats by more than a standard error over the tiles."""
    best: Model = "homography"
    for model in list(scores)[1:]:
        better = scores[best] - scores[model]
        better = better[np.isfinite(better)]
        if not len(better):
            return best
        needed = max(1.5 * better.std() / np.sqrt(len(better)), LEAST_GAIN * float(np.nanmean(scores[best])))
        if better.mean() > needed:
            best = model
    return best


def _as_homography(coefficients: Vector, size: tuple[int, int]) -> Homography:
    """Return phone_from_phone of the first eight columns, exact to first order, which is enough as they are small."""
    x, y, ux, uy, vx, vy, p, q = coefficients / (max(size) / 2)
    moved = np.array([[1 + ux, vx, x], [uy, 1 + vy, y], [-p, -q, 1]])
    relative_from_px = np.diag([2 / max(size), 2 / max(size), 1.0])
    relative_from_px[:2, 2] = -(np.array(size) - 1) / max(size)
    return np.asarray(np.linalg.inv(relative_from_px) @ moved @ relative_from_px)


def _as_field(coefficients: Vector, size: tuple[int, int]) -> Field:
    """Return the columns after the homography's as one polynomial."""
    degree = 3 if len(coefficients) + _HOMOGRAPHY <= _columns("cubic") else 5
    u, v = np.meshgrid(*[np.linspace(-1, 1, 9)] * 2)
    places = np.column_stack([u.ravel(), v.ravel()])
    values = _basis(places)[..., _HOMOGRAPHY : _HOMOGRAPHY + len(coefficients)] @ coefficients
    # Both sides are polynomials of this degree, so that the least squares have no residual.
    solved = np.linalg.lstsq(monomials(places, degree), values, rcond=None)[0]
    return Field(size, np.asarray(solved, np.float64))
