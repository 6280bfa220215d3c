"""Shares of windows that nodes squeeze and stretch, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.node_files import rounded
from dpedtool.pipeline.patches.area_change import AreaChange

BOX = Box(0, 0, 320, 240)


def grid() -> np.ndarray:
    return np.zeros((30, 40, 2))


def shares(displacements: np.ndarray, corner: tuple[int, int], side: int = 80, box: Box = BOX) -> tuple[float, float]:
    found = AreaChange(rounded(displacements), box).shares(np.array([corner]), side)
    return float(found["squeezed"][0]), float(found["stretched"][0])


def test_no_displacement_and_a_slope_change_no_area() -> None:
    assert shares(grid(), (40, 40)) == (0, 0)
    slope = grid()
    slope[..., 0] = np.arange(40) * 8 * 0.2  # the area is 1.2 times as large
    assert shares(slope, (40, 40)) == (0, 0)
    slope[..., 0] *= -1
    assert shares(slope, (40, 40)) == (0, 0)


@pytest.mark.parametrize(("step", "squeezed"), [(-6.0, True), (6.0, False)])
def test_a_jump_squeezes_or_stretches_the_px_between_two_nodes(step: float, squeezed: bool) -> None:
    """From column 19 to column 20 the displacement changes by 6 px over 8: the nodes are at 155.5 and 163.5."""
    jump = grid()
    jump[:, 20:, 0] = step
    shrunk, grown = shares(jump, (120, 40))
    # 8 of 80 columns, and the two samples beside them that the gradient reaches.
    assert (shrunk if squeezed else grown) == pytest.approx(0.1, abs=0.03)
    assert (grown if squeezed else shrunk) == 0
    assert shares(jump, (0, 40)) == (0, 0)
    assert shares(jump, (170, 40)) == (0, 0)


def test_a_shift_along_the_edge_changes_no_area() -> None:
    sheared = grid()
    sheared[:, 20:, 1] = 6.0
    assert shares(sheared, (120, 40)) == (0, 0)


def test_corners_count_from_the_crop() -> None:
    jump = grid()
    jump[:, 20:, 0] = -6.0
    inner = Box(80, 40, 200, 160)
    assert shares(jump, (40, 0), box=inner) == shares(jump, (120, 40))


def test_windows_at_the_rim_and_tiny_ones_have_shares() -> None:
    jump = grid()
    jump[:, 38:, 0] = -6.0
    squeezed, _ = shares(jump, (240, 160))
    assert squeezed == pytest.approx(0.1, abs=0.03)
    assert shares(jump, (319, 239), side=1) == (0, 0)
