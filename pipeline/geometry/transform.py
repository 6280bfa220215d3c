"""Where points of the phone photo lie in the DSLR photo: a homography, a field for lenses, and nodes for depth.

Field and nodes move a phone point before the homography takes it to the DSLR photo:
`dslr = homography(phone + field(phone) + nodes(phone))`. The field is a polynomial of the position in the photo, so
that a few numbers describe it everywhere. The nodes are a grid of displacements: things nearer or farther than the
plane of the homography lie elsewhere by up to many px.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.bilinear import bilinear
from dpedtool.pipeline.geometry.homographies import Box, Homography, Points, inverse, transform_points

NODE_PX = 8
"""Maps are exact at every eighth px and interpolated linearly between: with a homography and a field, that is off by
0.002 px at most. Nodes lie at the same distance, and where a box begins at a multiple of it, at the same places."""

INVERSE_STEPS, INVERSE_PX = 30, 0.05
"""Steps of the fixed-point iteration that inverts the displacement, which is smooth but for jumps of depth, and the
largest error in phone px of what counts as found."""

Coefficients = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Field:
    """A polynomial displacement of phone px."""

    size: tuple[int, int]
    """(width, height) of the phone photo in px."""
    coefficients: Coefficients
    """(K, 2) in px: x and y of the displacement for each of the terms u^i v^j of `monomials`, u and v of `relative`."""

    @property
    def degree(self) -> int:
        """Highest total power i + j."""
        return degree_of(len(self.coefficients))

    def __call__(self, points: Points) -> Points:
        """Return the displacement (N, 2) in px at points (N, 2)."""
        return monomials(relative(points, self.size), self.degree) @ self.coefficients


@dataclass(frozen=True, eq=False)
class Nodes:
    """A grid of displacements of phone px; bilinear between its nodes, constant beyond the outer ones.

    The nodes lie in the middles of squares of `NODE_PX` px that cover the photo from its top left corner.
    """

    displacements: Map
    """(rows, columns, 2) in px: x and y."""

    def __call__(self, points: Points) -> Points:
        """Return the displacement (N, 2) in px at points (N, 2)."""
        return bilinear(self.displacements, (points - (NODE_PX - 1) / 2) / NODE_PX)


@dataclass(frozen=True, eq=False)
class Transform:
    """From upright phone px to upright DSLR px."""

    homography: Homography
    field: Field | None = None
    nodes: Nodes | None = None

    def __call__(self, points: Points) -> Points:
        """Return where points (N, 2) of the phone photo lie in the DSLR photo, (N, 2)."""
        return transform_points(self.homography, points + self.displacement(points))

    def inverse(self, points: Points) -> Points:
        """Return where points (N, 2) of the DSLR photo lie in the phone photo, (N, 2); NaN where nothing leads there.

        Nodes may leave gaps where something nearer hides a part of the scene from the phone.
        """
        wanted = transform_points(inverse(self.homography), points)
        found = wanted
        for _ in range(INVERSE_STEPS):
            found = wanted - self.displacement(found)
        missed = np.linalg.norm(found + self.displacement(found) - wanted, axis=1) > INVERSE_PX
        found[missed] = np.nan
        return found

    def displacement(self, points: Points) -> Points:
        """Return how far points (N, 2) move before the homography, (N, 2) in px of the phone photo."""
        moved = np.zeros_like(points)
        for part in (self.field, self.nodes):
            if part:
                moved = moved + part(points)
        return moved

    def maps(self, box: Box, step: float = 1.0) -> tuple[Map, Map]:
        """Return the DSLR x and y, (box.height, box.width) each, of the pixels of a box.

        Parameters
        ----------
        box
            The pixels, of the phone photo or of that photo reduced by `step`.
        step
            Phone px from one pixel to the next. A reduced pixel lies in the middle of the pixels that it covers.

        """
        # The transform's own nodes are closer together on a reduced photo.
        spacing = max(1, int(NODE_PX / step)) if self.nodes else NODE_PX
        return between_nodes(self.map_nodes(box, step, spacing), Box(0, 0, box.width, box.height), spacing)

    def map_nodes(self, box: Box, step: float = 1.0, spacing: int = NODE_PX) -> Map:
        """Return the DSLR x and y at every `spacing` th px of a box, (rows, columns, 2), for `between_nodes`."""
        # The nodes are placed so that cv2.resize, which keeps the rim, interpolates exactly to the pixels. There is one
        # more node on each side.
        columns, rows = (np.arange(-1, -(-side // spacing) + 1) for side in (box.width, box.height))
        xs, ys = (steps * spacing + (spacing - 1) / 2 for steps in (columns, rows))
        nodes = np.stack(np.meshgrid(xs + box.x, ys + box.y), axis=-1).reshape(-1, 2)
        return self(nodes * step + (step - 1) / 2).reshape(len(ys), len(xs), 2).astype(np.float32)


def between_nodes(nodes: Map, part: Box, spacing: int = NODE_PX) -> tuple[Map, Map]:
    """Return the DSLR x and y, (part.height, part.width) each, of a part of the box whose nodes these are.

    The part's x and y count from the box's corner, and are multiples of `spacing`.
    """
    rows = slice(part.y // spacing, -(-(part.y + part.height) // spacing) + 2)
    columns = slice(part.x // spacing, -(-(part.x + part.width) // spacing) + 2)
    x, y = (_between(nodes[rows, columns, axis], part, spacing) for axis in (0, 1))
    return x, y


def relative(points: Points, size: tuple[int, int]) -> Points:
    """Return points (N, 2) relative to the photo's middle, in units of half its longer side."""
    return (points - (np.array(size) - 1) / 2) / (max(size) / 2)


def monomials(places: Points, degree: int) -> npt.NDArray[np.float64]:
    """Return u^i v^j at places (N, 2) for all i + j <= degree, (N, K); the order is that of `powers`."""
    u, v = (np.vander(places[:, axis], degree + 1, increasing=True) for axis in (0, 1))
    return np.stack([u[:, i] * v[:, j] for i, j in powers(degree)], axis=1)


def powers(degree: int) -> list[tuple[int, int]]:
    """Return (i, j) of the terms u^i v^j, by total power, then by j."""
    return [(total - j, j) for total in range(degree + 1) for j in range(total + 1)]


def degree_of(terms: int) -> int:
    """Return the degree of a polynomial in two variables with so many terms.

    Raises
    ------
    ValueError
        No degree has this many.

    """
    degree = int((8 * terms + 1) ** 0.5 - 3) // 2
    if degree < 0 or len(powers(degree)) != terms:
        raise ValueError(f"no polynomial in two variables has {terms} terms")
    return degree


def _between(values: Map, part: Box, spacing: int) -> Map:
    size = values.shape[1] * spacing, values.shape[0] * spacing
    whole = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(whole[spacing : spacing + part.height, spacing : spacing + part.width], np.float32)
