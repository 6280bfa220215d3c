"""Tell things that moved from things at other depths, by the squares of a flow after the transform of the whole photo.

Depth displaces all things along the same lines, those through the epipole, and where a scene has depth, its background
is seldom flat. So three rules hold. A thing that is displaced across the lines of the others has moved. Where all else
lies on the plane, one compact thing alone has moved, too: two photos cannot prove it, but a mask costs no more than the
thing, while nodes would spoil what is around it. And where nothing is found again elsewhere, there is nothing to
follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Points
from dpedtool.pipeline.geometry.transform import NODE_PX
from dpedtool.pipeline.measure.epipolar import against_epipole
from dpedtool.pipeline.measure.flow import FAR_PX, Flags, FlowField

Shares = npt.NDArray[np.float64]

LEAST_DETAIL = 0.3
"""Share of a square that has detail, for the square to count as evidence."""
LEAST_FOUND = 0.5
"""Share of a square's px that the flow finds again, for the square to count as found."""
APART = 2
"""Things that are fewer squares apart than twice this are one thing."""
LEAST_SQUARES, LEAST_SHARE = 16, 0.004
"""A thing has so many squares, and this share of those with detail; fewer are errors of the flow."""
WIDE_SHARE = 0.1
"""A thing that spans more of the frame is not compact; parts without detail count, as they lie inside it."""
NEAR_PX, NEAR_SHARE = 0.5, 0.04
"""Of the squares away from all that is displaced or lost, flat scenes have up to 0.02 that are displaced by more than
this, and scenes with depth 0.07 and more."""
LEAST_REST = 0.25
"""With a smaller share of squares away from all that, nothing is known about the rest."""
ACROSS_PX, ACROSS_SHARE = 0.7, 0.2
"""Two things are displaced along one line if the one misses the other's direction by at most so many px, or by this
share of its length: the lines to an epipole are not quite parallel."""
AGAINST_SHARE = 0.7
"""Share of a thing's squares that are displaced across the lines, for the thing to have moved."""
MOST_COMPARED = 300
"""Of each thing, at most about twice as many squares are compared with epipolar lines, so that large ones do not decide
alone."""


@dataclass(frozen=True, eq=False)
class Told:
    """What the squares (rows, columns) of a flow say about a scene."""

    depth: bool
    """Whether anything is displaced as depth would do it, so that nodes have something to follow."""
    moved: Flags
    """Squares of things that have moved."""

    @property
    def whole(self) -> Flags:
        """The squares of things that have moved, without holes."""
        closed = cv2.morphologyEx(np.pad(self.moved, APART).astype(np.uint8), cv2.MORPH_CLOSE, _disc(APART))
        return np.asarray(closed[APART:-APART, APART:-APART] > 0)


def tell(displacements: FlowField, shares: Shares, detail: Shares) -> Told:
    """Tell depth from motion.

    Parameters
    ----------
    displacements
        (rows, columns, 2): the median flow of each square, in px of the full phone photo.
    shares
        (rows, columns): share of the square's px that the flow there and back finds again, 0..1.
    detail
        (rows, columns): share of its px that lie on detail, 0..1.

    """
    told = detail > LEAST_DETAIL
    found = told & (shares >= LEAST_FOUND)
    lengths = np.linalg.norm(displacements, axis=2)
    far = found & (lengths > FAR_PX)
    things = _things(far, max(LEAST_SQUARES, LEAST_SHARE * float(told.sum())))
    if any(_span(thing) > WIDE_SHARE for thing in things) or not _is_flat(told, found, far, lengths):
        moved = _across(things, displacements)
        return Told(depth=True, moved=_union(moved, far))
    deep = _alike(things, displacements)
    moved = [thing for thing, is_deep in zip(things, deep, strict=True) if not is_deep]
    return Told(depth=any(deep), moved=_union(moved, far))


def _things(far: Flags, fewest: float) -> list[Flags]:
    """Return the displaced squares (rows, columns) of each thing that has as many."""
    count, labels = cv2.connectedComponents(cv2.dilate(far.astype(np.uint8), _disc(APART)))
    things = [far & (labels == label) for label in range(1, count)]
    return [thing for thing in things if thing.sum() >= fewest]


def _span(thing: Flags) -> float:
    """Return the share of the frame, 0..1, inside the convex hull of a thing."""
    rows, columns = np.nonzero(thing)
    hull = cv2.convexHull(np.column_stack([columns, rows]).astype(np.int32))
    return float(cv2.contourArea(hull)) / thing.size


def _is_flat(told: Flags, found: Flags, far: Flags, lengths: npt.NDArray[np.floating]) -> bool:
    """Whether all lies on the plane that is not near something displaced or lost."""
    amiss = cv2.dilate((told & (far | ~found)).astype(np.uint8), _disc(APART)) > 0
    rest = lengths[found & ~amiss]
    return len(rest) > LEAST_REST * told.sum() and float((rest > NEAR_PX).mean()) < NEAR_SHARE


def _across(things: list[Flags], displacements: FlowField) -> list[Flags]:
    """Return the things that are displaced across the epipolar lines of the scene."""
    if not things:
        return []
    chosen = [np.argwhere(thing) for thing in things]
    chosen = [squares[:: max(1, len(squares) // MOST_COMPARED)] for squares in chosen]
    rows, columns = np.concatenate(chosen).T
    places: Points = np.column_stack([columns, rows]) * float(NODE_PX) + (NODE_PX - 1) / 2
    against = against_epipole(places, np.asarray(displacements[rows, columns], np.float64))
    parts = np.split(against, np.cumsum([len(squares) for squares in chosen])[:-1])
    return [thing for thing, part in zip(things, parts, strict=True) if part.mean() > AGAINST_SHARE]


def _alike(things: list[Flags], displacements: FlowField) -> list[bool]:
    """Return for each thing whether another one is displaced along the same line, either way."""
    medians = [np.median(displacements[thing], axis=0) for thing in things]
    return [
        any(one is not other and max(_missed(one, other), _missed(other, one)) <= 1 for other in medians)
        for one in medians
    ]


def _missed(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Return by how much one displacement misses the line of another, as a multiple of what is allowed."""
    across = abs(float(one[0] * other[1] - one[1] * other[0])) / float(np.linalg.norm(other))
    return across / max(ACROSS_PX, ACROSS_SHARE * float(np.linalg.norm(one)))


def _union(things: list[Flags], like: Flags) -> Flags:
    return np.asarray(np.logical_or.reduce([np.zeros_like(like), *things]))


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))  # type: ignore[return-value]
