"""Pure geometry of the plane: homographies, resized photos, the rectangle common to two photos.

Points are float64 arrays (N, 2) as (x, y) in px, pixel centres at integers. Homographies are float64 (3, 3) and
named target_from_source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Homography = npt.NDArray[np.float64]

RIM_POINTS = 33


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels: columns x..x+width-1, rows y..y+height-1."""

    x: int
    y: int
    width: int
    height: int


def transform_points(target_from_source: Homography, points: Points) -> Points:
    """Apply a homography to points (N, 2); points that it sends to infinity come back as infinity or NaN.

    Hartley and Zisserman, Multiple View Geometry, 2nd ed., section 2.3.
    """
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ target_from_source.T
    with np.errstate(divide="ignore", invalid="ignore"):
        projected: Points = homogeneous[:, :2] / homogeneous[:, 2:]
    return projected


def fit_homographies(sources: Points, targets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the homographies (N, 3, 3) that take points (K, 2) closest to each of N sets of targets (N, K, 2).

    The direct linear transform with centred and scaled points: it minimises the distances up to the denominators, which
    are nearly the same for all points of a small window (Hartley and Zisserman, section 4.1).
    """
    middle = sources.mean(axis=0)
    half = float(np.abs(sources - middle).max()) or 1.0
    own = (sources - middle) / half
    u, v = ((targets - middle) / half).transpose(2, 0, 1)
    x, y = np.broadcast_to(own[:, 0], u.shape), np.broadcast_to(own[:, 1], u.shape)
    one, zero = np.ones_like(u), np.zeros_like(u)
    rows = np.concatenate(
        [
            np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=-1),
            np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=-1),
        ],
        axis=1,
    )
    wanted = np.concatenate([u, v], axis=1)[..., None]
    crossed = rows.swapaxes(1, 2)
    solved = np.linalg.solve(crossed @ rows, crossed @ wanted)[..., 0]
    normalised = np.concatenate([solved, np.ones((len(solved), 1))], axis=1).reshape(-1, 3, 3)
    to_own = np.array([[1 / half, 0, -middle[0] / half], [0, 1 / half, -middle[1] / half], [0, 0, 1]])
    found = inverse(to_own) @ normalised @ to_own
    return np.asarray(found / found[:, 2:, 2:])


def inverse(target_from_source: Homography) -> Homography:
    """Return source_from_target, its last element 1."""
    inverted = np.asarray(np.linalg.inv(target_from_source), dtype=np.float64)
    return np.asarray(inverted / inverted[2, 2])


def full_from_reduced(full: tuple[int, int], reduced: tuple[int, int]) -> Homography:
    """Return the transform from a resized photo back to the full one; sizes as (width, height) in px.

    Resizing keeps the rim of the photo, which lies half a pixel outside the outermost centres: this causes the offset.
    """
    ratios = np.array(full) / np.array(reduced)
    matrix = np.diag([ratios[0], ratios[1], 1.0])
    matrix[:2, 2] = (ratios - 1) / 2
    return matrix


def translation(x: float, y: float) -> Homography:
    """Return the homography that adds (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def corners(width: int, height: int) -> Points:
    """Return the centres of the four corner pixels, clockwise from the top left one."""
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)


def local_scale(target_from_source: Homography, point: Points) -> float:
    """Return how many target px one source px covers at a point (2,): the square root of the area ratio."""
    step = 0.5
    around = point + np.array([[step, 0], [-step, 0], [0, step], [0, -step]])
    moved = transform_points(target_from_source, around)
    jacobian = np.column_stack([moved[0] - moved[1], moved[2] - moved[3]])
    return float(np.sqrt(abs(np.linalg.det(jacobian))))


def is_plausible(target_from_source: Homography, width: int, height: int) -> bool:
    """Whether a photo of this size stays convex, and is not mirrored, strongly sheared or strongly enlarged.

    A mirrored or folded photo has a negative Jacobian at a corner; two cameras on one tripod see the same things
    at scales that vary little over the picture.
    """
    if not np.isfinite(target_from_source).all():
        return False
    rim = corners(width, height)
    denominators = np.column_stack([rim, np.ones(4)]) @ target_from_source[2]
    if denominators.min() <= 0:
        return False
    sides = np.diff(transform_points(target_from_source, np.vstack([rim, rim[:2]])), axis=0)
    turns = sides[:-1, 0] * sides[1:, 1] - sides[:-1, 1] * sides[1:, 0]
    if turns.min() <= 0:
        return False
    scales = [local_scale(target_from_source, corner) for corner in rim]
    return min(scales) > 1 / 20 and max(scales) < 20 and max(scales) / min(scales) < 4


def largest_box(inside: Callable[[Points], npt.NDArray[np.bool_]], width: int, height: int) -> Box | None:
    """Return the largest box of a photo whose pixels all lie inside a region, or None when there is none.

    The region must be nearly convex: lenses may curve its sides, but it has no holes.

    Parameters
    ----------
    inside
        Returns for points (N, 2) whether they lie in the region, as booleans (N,).
    width, height
        Size of the photo in px.

    """
    # A coarse grid finds the rectangle roughly; then each side moves outwards as far as the region goes.
    xs, ys = _grid(width), _grid(height)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float64)
    found = _largest_rectangle(inside(grid).reshape(len(ys), len(xs)), np.diff(xs), np.diff(ys))
    if found is None:
        return None
    left, top, right, bottom = found
    sides = [int(xs[left]), int(ys[top]), int(xs[right]), int(ys[bottom])]
    _grow(sides, inside, width, height)
    return Box(sides[0], sides[1], sides[2] - sides[0] + 1, sides[3] - sides[1] + 1)


def _grid(length: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, length - 1, min(length, 97)).round().astype(np.int64))


def _largest_rectangle(
    mask: npt.NDArray[np.bool_], widths: npt.NDArray[np.int64], heights: npt.NDArray[np.int64]
) -> tuple[int, int, int, int] | None:
    """Return columns and rows (left, top, right, bottom) of the largest rectangle of true grid points, by area in px.

    For each pair of columns, the run of rows that are true between them is followed downwards; all pairs of columns are
    handled at once.
    """
    columns = np.concatenate([[0], np.cumsum(widths)])
    rows = np.concatenate([[0], np.cumsum(heights)])
    lefts, rights = np.triu_indices(mask.shape[1], k=1)
    if not len(lefts):
        return None
    sums = np.concatenate([np.zeros((mask.shape[0], 1), np.int64), np.cumsum(mask, axis=1)], axis=1)
    tops = np.full(len(lefts), -1)
    best, best_area = None, 0
    for row in range(mask.shape[0]):
        whole = sums[row, rights + 1] - sums[row, lefts] == rights - lefts + 1
        tops = np.where(whole, np.where(tops < 0, row, tops), -1)
        areas = np.where(tops < 0, 0, (columns[rights] - columns[lefts]) * (rows[row] - rows[tops]))
        widest = int(areas.argmax())
        if areas[widest] > best_area:
            best_area = int(areas[widest])
            best = (int(lefts[widest]), int(tops[widest]), int(rights[widest]), row)
    return best


def _grow(sides: list[int], inside: Callable[[Points], npt.NDArray[np.bool_]], width: int, height: int) -> None:
    """Move left, top, right, bottom outwards pixel by pixel while the whole rim stays inside."""
    limits = (0, 0, width - 1, height - 1)
    moving = [0, 1, 2, 3]
    while moving:
        for side in tuple(moving):
            moved = list(sides)
            moved[side] += -1 if side < 2 else 1
            if sides[side] == limits[side] or not inside(_rim(*moved)).all():
                moving.remove(side)
            else:
                sides[:] = moved


def _rim(left: int, top: int, right: int, bottom: int) -> Points:
    """Return points on the four sides of a box, including its corners."""
    xs, ys = np.linspace(left, right, RIM_POINTS), np.linspace(top, bottom, RIM_POINTS)
    return np.concatenate(
        [np.column_stack([xs, np.full_like(xs, y)]) for y in (top, bottom)]
        + [np.column_stack([np.full_like(ys, x), ys]) for x in (left, right)]
    )
