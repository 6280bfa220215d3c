"""Mask what moved to its rim: cells that the windows alone cannot tell, as a window is wider than a cell."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.aligned import cut
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.transform import NODE_PX
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import PairNoise
from dpedtool.pipeline.measure.residuals import ALIKE, CLEARLY, MIN_STD, MOVED_PX, Flags

Mask = npt.NDArray[np.bool_]
"""(rows, columns) of cells of the common crop; true: not to be used."""

MOVED_SHARE = 0.25
"""A cell is masked if the flow shows that at least this share of it has moved."""
MARGIN = 4
"""A cell is compared together with a margin of its side divided by this."""
REACH = 8
"""How far a cell is searched for, in px."""
MOST_NEIGHBOURS = 5
"""A cell with more masked neighbours, of eight, is a hole in the mask."""


def moved_cells(squares: Flags, box: Box, side: int) -> Mask:
    """Return the cells of `side` px of a crop of which a good part has moved, by the squares of the grid of nodes."""
    height, width = (length * NODE_PX for length in squares.shape)
    whole = cv2.resize(squares.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    inside = np.asarray(cut(np.asarray(whole, np.uint8), box))
    missing = [(0, -length % side) for length in inside.shape]
    padded = np.pad(inside, missing)
    rows, columns = (length // side for length in padded.shape)
    return np.asarray(padded.reshape(rows, side, columns, side).mean(axis=(1, 3)) >= MOVED_SHARE)


def grown(mask: Mask, phone: GreyValues, dslr: GreyValues, side: int, noise: PairNoise) -> Mask:
    """Return the mask with its holes, and with the cells at its rim that show something else in the other image.

    Parameters
    ----------
    mask
        Cells of `side` px of the images.
    phone, dslr
        (H, W) grey, 0..255, aligned and smoothed.
    side
        In px.
    noise
        That of the photos. It lowers the NCC of cells that show the same.

    """
    if not mask.any():
        return mask
    rim = (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~mask
    wider = mask.copy()
    for row, column in np.argwhere(rim).tolist():
        wider[row, column] = _is_amiss(phone, dslr, (row, column), side, noise.least_ncc(ALIKE))
    kernel = np.ones((3, 3), np.float32)
    counts = cv2.filter2D(wider.astype(np.float32), -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(wider | (counts > MOST_NEIGHBOURS))


def _is_amiss(phone: GreyValues, dslr: GreyValues, cell: tuple[int, int], side: int, least_ncc: float) -> bool:
    """Whether a cell does not show the same in both images, or shows it better more than 1 px away."""
    height, width = phone.shape
    margin = side // MARGIN
    top, left = (max(0, place * side - margin) for place in cell)
    bottom, right = (
        min(length, (place + 1) * side + margin) for place, length in zip(cell, (height, width), strict=True)
    )
    own = phone[top:bottom, left:right]
    up, before = min(REACH, top), min(REACH, left)
    around = dslr[top - up : bottom + REACH, left - before : right + REACH]
    here = around[up : up + own.shape[0], before : before + own.shape[1]]
    if max(float(own.std()), float(here.std())) < MIN_STD:
        # Two plain parts show nothing that could have moved.
        return False
    scores = cv2.matchTemplate(around, own, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    at_place = float(scores[up, before])
    is_elsewhere = np.hypot(x - before, y - up) > MOVED_PX and best - at_place > CLEARLY
    return bool(at_place < least_ncc or is_elsewhere)
