"""Follow the depth of a scene: a dense flow, after the transform of the whole photo, becomes a grid of nodes.

The flow is computed there and back. Places where the two disagree are seen by one camera alone, or cannot be found.
Each node is the median of the flow around it, over the px where both agree: unlike a mean, it stays on one side of a
jump of the depth. A second flow, on the photos that the first nodes have brought together, measures what is left. The
nodes are believed only if the verdict on the pair, which knows nothing of them, passes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.pipeline.align.moved import LEAST_DETAIL, LEAST_FOUND, Told, tell
from dpedtool.pipeline.align.refinement import GREY_LEVELS, WarpedPair
from dpedtool.pipeline.geometry.homographies import Box, Homography, Points
from dpedtool.pipeline.geometry.node_files import grid_shape, rounded
from dpedtool.pipeline.geometry.transform import NODE_PX, Transform
from dpedtool.pipeline.measure.epipolar import against_epipole
from dpedtool.pipeline.measure.flow import (
    FAR_PX,
    RETURN_PX,
    STRETCH,
    Flags,
    Flow,
    FlowField,
    dis_flow,
    has_detail,
    return_px,
    stretch,
)
from dpedtool.pipeline.measure.noise import NO_NOISE, PairNoise

MOST_PX = 3_500_000
"""The flow of larger photos is computed on reduced ones."""
REDUCTIONS = (1, 2, 4)
OWN_SMOOTHING = 0.5
"""Sigma of the Gaussian, in px, for a flow of the user's own: networks are trained on photos that are not smoothed."""
SAMPLES = 8
"""A node is the median of at most so many px across and down, over twice its own square."""
STEP_PX = 2.0
"""What the second flow may change at most, in px of the images that it is computed on."""
MOST_COMPARED = 2000
"""At most about twice as many displaced nodes are compared with epipolar lines."""
FADE = 4.0
"""Nodes around those that are needed fade to zero over so many squares."""
CHUNK = 32
"""Rows of nodes that are computed at once, which bounds the memory."""


@dataclass(frozen=True)
class Motion:
    """What the flow says about the whole frame, as shares of the nodes that lie on detail, 0..1 each."""

    along: float
    """Displaced as depth would do it."""
    against: float
    """Displaced in directions that no depth explains: something moved."""
    lost: float
    """Not found again."""


@dataclass(frozen=True, eq=False)
class Followed:
    """A transform, with nodes if there is depth to follow, and what the flow says about the frame."""

    transform: Transform
    motion: Motion
    told: Told
    """By squares of the grid of nodes."""
    factor: int
    """The flags belong to images reduced by this factor."""
    detail: Flags
    hidden: Flags
    jumps: Flags

    def shares(self, box: Box) -> dict[str, float]:
        """Return the columns `hidden` and `jump` of a row of alignments, for its common crop."""
        rows, columns = (
            slice(start // self.factor, -(-(start + length) // self.factor))
            for start, length in ((box.y, box.height), (box.x, box.width))
        )
        detail = self.detail[rows, columns]
        hidden = detail & self.hidden[rows, columns]
        return {"hidden": float(hidden.sum() / max(1, detail.sum())), "jump": float(self.jumps[rows, columns].mean())}


def follow(
    phone: ReducedGrey,
    dslr: ReducedGrey,
    dslr_from_phone: Homography,
    transform: Transform,
    needed: Flags | None = None,
    flow: Flow | None = None,
    noise: PairNoise = NO_NOISE,
    *,
    is_doubtful: bool = False,
) -> Followed:
    """Add nodes to a transform, if anything is displaced as depth would do it. They do not follow what moved.

    Parameters
    ----------
    phone, dslr
        The photos, as for `dpedtool.pipeline.align.refinement.refine`.
    dslr_from_phone
        A coarse homography, for the scales of the photos alone.
    transform
        The refined transform, without nodes.
    needed
        (rows, columns) by square of the grid of nodes: where the transform does not suffice. Elsewhere the nodes fade
        to zero, since the transform, which all windows share, is more exact than they are. None: everywhere.
    flow
        Computes the flow in place of DIS, on images that are smoothed less.
    noise
        That of both photos.
    is_doubtful
        Whether depth is unlikely. Then the flow of photos of half the size, which costs a quarter, is looked at first,
        and the other one is computed only if the first shows depth.

    """
    width, height = phone.size
    factor = next((factor for factor in REDUCTIONS if width * height <= MOST_PX * factor**2), REDUCTIONS[-1])
    photos = phone, dslr, dslr_from_phone
    look = _Look.at(*photos, transform, 2 * factor if is_doubtful else factor, flow, noise)
    if look.told.depth:
        look = _Look.at(*photos, transform, factor, flow, noise) if is_doubtful else look
        transform = _with_nodes(transform, look, needed, phone.size)
    return Followed(
        transform=transform,
        motion=_motion(look.nodes * look.factor, look.shares, look.details),
        told=look.told,
        factor=look.factor,
        detail=look.detail,
        hidden=~look.usable,
        jumps=stretch(look.there) > STRETCH,
    )


@dataclass(frozen=True, eq=False)
class _Look:
    """The flow after a transform, there and back, and its medians over squares; all in px of reduced photos."""

    factor: int
    """The photos are reduced by it."""
    find: _Return
    there: FlowField
    detail: Flags
    usable: Flags
    """Px that the flow there and back finds again."""
    nodes: FlowField
    shares: npt.NDArray[np.float64]
    """Of the px around each node that are usable, 0..1."""
    details: npt.NDArray[np.float64]
    """Of the px of each square that lie on detail, 0..1."""
    told: Told

    @classmethod
    def at(
        cls,
        phone: ReducedGrey,
        dslr: ReducedGrey,
        dslr_from_phone: Homography,
        transform: Transform,
        factor: int,
        flow: Flow | None,
        noise: PairNoise,
    ) -> _Look:
        """Compute the flow of photos that are reduced by a factor."""
        pair = WarpedPair.of(phone, dslr, dslr_from_phone, factor, GREY_LEVELS, noise.reduced(factor).smoothing)
        seen = WarpedPair.of(phone, dslr, dslr_from_phone, factor, GREY_LEVELS, OWN_SMOOTHING) if flow else pair
        find = _Return(seen, flow or dis_flow)
        there, returned = find(transform)
        detail, usable = has_detail(pair.phone), returned * factor < RETURN_PX
        nodes, shares = _medians(there, usable, NODE_PX // factor)
        details = _means(detail, NODE_PX // factor)
        told = tell(nodes * factor, shares, details)
        return cls(factor, find, there, detail, usable, nodes, shares, details, told)


def _with_nodes(transform: Transform, look: _Look, needed: Flags | None, size: tuple[int, int]) -> Transform:
    """Return a transform with the nodes that a flow gives, and that a second flow has corrected."""
    factor, still = look.factor, ~look.told.whole
    nodes = _filled(look.nodes, still & (look.shares > 0)) * factor
    moved = dataclasses.replace(transform, nodes=rounded(_nodes_of(nodes, transform, size)))
    left, returned = look.find(moved)
    near = (np.linalg.norm(left, axis=2) < STEP_PX) & (returned * factor < RETURN_PX)
    more, known = _medians(left, near, NODE_PX // factor)
    nodes = nodes + _filled(more, still & (known > 0)) * factor
    if needed is not None:
        nodes = nodes * _faded(needed, nodes.shape[:2])[..., None]
    return dataclasses.replace(transform, nodes=rounded(_nodes_of(nodes, transform, size)))


@dataclass(frozen=True, eq=False)
class _Return:
    """Computes the flow of a pair there and back."""

    pair: WarpedPair
    flow: Flow

    def __call__(self, transform: Transform) -> tuple[FlowField, npt.NDArray[np.float32]]:
        """Return the flow from the phone's image to the DSLR's, and how far from its start a px ends there and back."""
        warped = self.pair.warped(transform)
        there = self.flow(self.pair.phone, warped)
        return there, return_px(there, self.flow(warped, self.pair.phone))


def _medians(flow: FlowField, usable: Flags, cell: int) -> tuple[FlowField, npt.NDArray[np.float64]]:
    """Return the medians (rows, columns, 2) of the usable flow around squares of `cell` px, and the usable shares."""
    height, width = usable.shape
    rows, columns, rim = -(-height // cell), -(-width // cell), cell // 2
    step = max(1, 2 * cell // SAMPLES)
    pads = (rim, rows * cell - height + rim), (rim, columns * cell - width + rim)
    # Infinite values sort behind all others.
    values = np.pad(np.where(usable[..., None], flow, np.inf), (*pads, (0, 0)), constant_values=np.inf)
    nodes, shares = np.zeros((rows, columns, 2), np.float32), np.zeros((rows, columns))
    for first in range(0, rows, CHUNK):
        part = slice(first, min(first + CHUNK, rows))
        strip = values[first * cell : part.stop * cell + 2 * rim]
        around = np.lib.stride_tricks.sliding_window_view(strip, (2 * cell, 2 * cell), axis=(0, 1))
        samples = around[::cell, ::cell, :, ::step, ::step].reshape(part.stop - first, columns, 2, -1)
        counts = np.isfinite(samples[:, :, 0]).sum(axis=-1)
        ordered = np.sort(samples, axis=-1)
        middle = [np.maximum(counts - 1, 0) // 2, counts // 2]
        middle[1] = np.minimum(middle[1], samples.shape[-1] - 1)
        two = [np.take_along_axis(ordered, place[:, :, None, None], axis=-1)[..., 0] for place in middle]
        known = counts[..., None] > 0
        nodes[part] = np.where(known, np.where(known, two[0], 0) / 2 + np.where(known, two[1], 0) / 2, 0)
        shares[part] = counts / samples.shape[-1]
    return nodes, shares


def _means(flags: Flags, cell: int) -> npt.NDArray[np.float64]:
    """Return the shares (rows, columns) of squares of `cell` px that are flagged."""
    height, width = flags.shape
    rows, columns = -(-height // cell), -(-width // cell)
    padded = np.pad(flags, ((0, rows * cell - height), (0, columns * cell - width)), mode="edge")
    return np.asarray(padded.reshape(rows, cell, columns, cell).mean(axis=(1, 3)))


def _filled(nodes: FlowField, known: Flags) -> FlowField:
    """Return the nodes with those that are not known taken from the known ones around them."""
    filled, have, sigma = nodes.copy(), known.copy(), 1.0
    values, weights = nodes * known[..., None], known.astype(np.float32)
    while not have.all() and sigma < max(known.shape):
        sums, total = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (values, weights))
        new = ~have & (total > 0.05)
        filled[new] = (sums / np.maximum(total, 1e-9)[..., None])[new]
        have |= new
        sigma *= 2
    return filled


def _faded(needed: Flags, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return weights (rows, columns) that are 1 where nodes are needed, and fall to 0 within `FADE` nodes around."""
    away = cv2.distanceTransform((~needed[: shape[0], : shape[1]]).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.clip(1 - away / FADE, 0, 1), np.float32)


def _nodes_of(displacements: FlowField, transform: Transform, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return what to add to the field, so that field and nodes together move phone px as the flow says.

    The flow was measured on the DSLR's photo as the transform has warped it, so that a px that it moves meets the field
    of another place.
    """
    rows, columns = grid_shape(*size)
    # Reduced images lack the px at the rim that do not fill a square.
    short = rows - displacements.shape[0], columns - displacements.shape[1]
    whole = np.pad(displacements, ((0, max(0, short[0])), (0, max(0, short[1])), (0, 0)), mode="edge")[:rows, :columns]
    if transform.field is None:
        return np.asarray(whole, np.float64)
    middles = (np.arange(count) * NODE_PX + (NODE_PX - 1) / 2 for count in (columns, rows))
    places: Points = np.stack(np.meshgrid(*middles), axis=-1).reshape(-1, 2)
    moved = whole.reshape(-1, 2).astype(np.float64)
    bent = transform.field(places + moved) - transform.field(places)
    return np.asarray((moved + bent).reshape(whole.shape))


def _motion(nodes: FlowField, shares: npt.NDArray[np.float64], detail: npt.NDArray[np.float64]) -> Motion:
    told = detail > LEAST_DETAIL
    rows, columns = np.nonzero(told)
    if not len(rows):
        return Motion(0.0, 0.0, 0.0)
    found = shares[told] >= LEAST_FOUND
    places = np.asarray(np.column_stack([columns, rows]) * NODE_PX + (NODE_PX - 1) / 2, np.float64)
    far = found & (np.linalg.norm(nodes[told], axis=1) > FAR_PX)
    displaced = np.flatnonzero(far)
    some = displaced[:: max(1, len(displaced) // MOST_COMPARED)]
    against = against_epipole(places[some], np.asarray(nodes[told][some], np.float64))
    share, against_share = len(displaced) / len(rows), float(against.mean()) if len(some) else 0.0
    return Motion(
        along=share * (1 - against_share), against=share * against_share, lost=float((~found).sum() / len(rows))
    )
