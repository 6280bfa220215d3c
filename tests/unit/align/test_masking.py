"""Masks reach the rim of what moved, and no farther."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.align.masking import grown, moved_cells
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.measure.noise import NO_NOISE

SIDE = 32
ROWS, COLUMNS = 8, 10


@pytest.fixture
def wall() -> np.ndarray:
    grey = np.random.default_rng(0).normal(128, 150, (ROWS * SIDE, COLUMNS * SIDE))
    return cv2.GaussianBlur(grey, (0, 0), 1.5).astype(np.float32)


def cells(*places: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((ROWS, COLUMNS), bool)
    for place in places:
        mask[place] = True
    return mask


def test_squares_become_the_cells_that_hold_a_quarter_of_them() -> None:
    """The crop begins at (16, 8): its first cell holds columns 2 to 5 and rows 1 to 4 of the squares."""
    squares = np.zeros((20, 30), bool)
    squares[1:3, 2:4] = True  # 4 of 16 squares of the first cell
    squares[9, 10:13] = True  # 3 of 16 squares of the cell in row 2, column 2
    found = moved_cells(squares, Box(16, 8, 200, 140), SIDE)
    assert found.shape == (5, 7)
    assert np.argwhere(found).tolist() == [[0, 0]]


def test_squares_at_the_ends_of_the_crop_count_as_shares_of_whole_cells() -> None:
    squares = np.ones((20, 30), bool)
    assert moved_cells(squares, Box(0, 0, 96 + 8, 64), SIDE).tolist() == [[True] * 4] * 2
    assert moved_cells(squares, Box(0, 0, 96 + 4, 64), SIDE).tolist() == [[True, True, True, False]] * 2


def test_a_cell_beside_the_mask_that_shows_something_else_joins_it(wall: np.ndarray) -> None:
    other = wall.copy()
    other[2 * SIDE : 4 * SIDE, 3 * SIDE : 6 * SIDE] = wall[5 * SIDE : 7 * SIDE, 0 : 3 * SIDE]
    found = grown(cells((2, 4), (3, 4)), wall, other, SIDE, NO_NOISE)
    assert found[2:4, 3:6].all()
    assert not grown(cells((7, 9)), wall, other, SIDE, NO_NOISE)[:5, :7].any()


def test_a_cell_that_lies_2_px_away_joins_it(wall: np.ndarray) -> None:
    other = wall.copy()
    other[SIDE : 5 * SIDE, SIDE : 6 * SIDE] = wall[SIDE : 5 * SIDE, SIDE - 2 : 6 * SIDE - 2]
    assert grown(cells((2, 3)), wall, other, SIDE, NO_NOISE)[1:4, 2:5].all()


def test_equal_images_give_the_mask_as_it_was_but_for_holes(wall: np.ndarray) -> None:
    ring = cells((2, 2), (2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3), (4, 4))
    found = grown(ring, wall, wall, SIDE, NO_NOISE)
    assert np.argwhere(found & ~ring).tolist() == [[3, 3]]
    open_ring = ring & ~cells((2, 2), (2, 3), (2, 4))
    np.testing.assert_array_equal(grown(open_ring, wall, wall, SIDE, NO_NOISE), open_ring)


def test_plain_cells_and_empty_masks_stay(wall: np.ndarray) -> None:
    grey = np.full_like(wall, 128)
    np.testing.assert_array_equal(grown(cells((2, 2)), grey, grey + 20, SIDE, NO_NOISE), cells((2, 2)))
    assert not grown(cells(), wall, wall[::-1].copy(), SIDE, NO_NOISE).any()
