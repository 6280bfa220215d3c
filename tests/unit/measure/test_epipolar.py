"""Depth displaces along lines through one point; what moves otherwise is told apart."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.pipeline.measure.epipolar import against_epipole

POINTS = np.random.default_rng(0).uniform(0, 600, (200, 2))
DEPTHS = np.random.default_rng(1).uniform(0.01, 0.04, 200)


@pytest.mark.parametrize("epipole", [(300.0, 220.0), (-4000.0, 900.0), (1e9, 0.0)])
def test_depth_is_told_from_motion(epipole: tuple[float, float]) -> None:
    """The epipole inside the frame, outside, and at infinity, as for two cameras side by side."""
    towards = np.array(epipole) - POINTS
    depth = towards * (DEPTHS * 300 / np.linalg.norm(towards, axis=1))[:, None] + np.random.default_rng(2).normal(
        0, 0.1, POINTS.shape
    )
    assert against_epipole(POINTS, depth).mean() < 0.01
    # A third of the frame moves across these lines.
    thing = POINTS[:, 0] < 200
    across = np.column_stack([-towards[:, 1], towards[:, 0]]) / np.linalg.norm(towards, axis=1)[:, None] * 5
    moved = np.where(thing[:, None], across, depth)
    np.testing.assert_array_equal(against_epipole(POINTS, moved), thing)


def test_the_same_displacement_everywhere_is_depth() -> None:
    assert not against_epipole(POINTS, np.tile([3.0, 1.0], (200, 1))).any()


def test_directions_at_random_fit_no_epipole() -> None:
    assert against_epipole(POINTS, np.random.default_rng(3).normal(0, 8, (200, 2))).mean() > 0.5


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_displacements_contradict_nothing(count: int) -> None:
    assert not against_epipole(POINTS[:count], np.ones((count, 2))).any()


def test_the_answer_does_not_depend_on_a_global_seed() -> None:
    displacements = np.random.default_rng(4).normal(0, 8, (200, 2))
    np.random.seed(1)  # noqa: NPY002
    first = against_epipole(POINTS, displacements)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, against_epipole(POINTS, displacements))
