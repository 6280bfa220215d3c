"""Homographies and rectangles, by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.geometry.homographies import (
    Box,
    corners,
    full_from_reduced,
    inverse,
    is_plausible,
    largest_box,
    local_scale,
    transform_points,
    translation,
)

IDENTITY = np.eye(3)


def test_a_homography_by_hand() -> None:
    matrix = np.array([[2.0, 0, 1], [0, 3, -1], [0.5, 0, 1]])
    # (2, 4): (5, 11) / 2
    np.testing.assert_allclose(transform_points(matrix, np.array([[2.0, 4.0], [0, 0]])), [[2.5, 5.5], [1, -1]])


def test_a_point_on_the_horizon_is_not_finite_and_warns_of_nothing() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, -2]])
    assert not np.isfinite(transform_points(matrix, np.array([[2.0, 1.0]]))).any()


def test_translation_and_inverse() -> None:
    np.testing.assert_allclose(transform_points(translation(3, -2), np.array([[1.0, 1.0]])), [[4, -1]])
    matrix = np.array([[1.2, 0.1, 4], [0.02, 0.9, -3], [1e-4, 2e-4, 1]])
    np.testing.assert_allclose(inverse(matrix) @ matrix / (inverse(matrix) @ matrix)[2, 2], IDENTITY, atol=1e-12)
    assert inverse(matrix)[2, 2] == 1


def test_a_reduced_photo_keeps_the_rim_and_so_shifts_the_centres() -> None:
    # At a third of the size pixel 0 averages pixels 0, 1, 2, whose middle is 1.
    np.testing.assert_allclose(transform_points(full_from_reduced((300, 90), (100, 30)), np.zeros((1, 2))), [[1, 1]])
    rim = transform_points(full_from_reduced((301, 90), (100, 40)), np.array([[-0.5, -0.5], [99.5, 39.5]]))
    np.testing.assert_allclose(rim, [[-0.5, -0.5], [300.5, 89.5]])


@pytest.mark.parametrize("reduced", [(100, 60), (75, 40), (60, 30)])
def test_a_reduced_photo_agrees_with_opencv(reduced: tuple[int, int]) -> None:
    """In a gradient the value is the place; area averaging keeps it."""
    y, x = np.mgrid[:120, :300].astype(np.float32)
    small = [cv2.resize(plane, reduced, interpolation=cv2.INTER_AREA) for plane in (x, y)]
    column, row = np.meshgrid(np.arange(reduced[0]), np.arange(reduced[1]))
    points = np.column_stack([column.ravel(), row.ravel()]).astype(float)
    mapped = transform_points(full_from_reduced((300, 120), reduced), points)
    np.testing.assert_allclose(mapped, np.column_stack([plane.ravel() for plane in small]), atol=1e-3)


def test_corners_are_clockwise_pixel_centres() -> None:
    assert corners(4, 3).tolist() == [[0, 0], [3, 0], [3, 2], [0, 2]]


def test_local_scale_by_hand() -> None:
    assert local_scale(np.diag([2.0, 8.0, 1.0]), np.array([5.0, 5.0])) == pytest.approx(4)
    # x / (1 + x / 100): slope 1 / (1 + x/100)^2 along x, 1 / (1 + x/100) along y
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [0.01, 0, 1]])
    assert local_scale(matrix, np.array([100.0, 0.0])) == pytest.approx((0.25 * 0.5) ** 0.5, rel=1e-4)


TURNED = np.array([[0.0, -1, 99], [1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("matrix", "plausible"),
    [
        (IDENTITY, True),
        (TURNED, True),
        (np.diag([3.0, 3.0, 1.0]), True),
        (np.array([[1, 0.1, 5], [0.1, 1, 5], [2e-4, 1e-4, 1]]), True),
        (np.diag([-1.0, 1.0, 1.0]), False),
        (np.diag([1.0, -1.0, 1.0]), False),
        (np.diag([25.0, 25.0, 1.0]), False),
        (np.diag([0.04, 0.04, 1.0]), False),
        (np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1]]), False),
        (np.array([[1, 0, 0], [0, 1, 0], [0.05, 0, 1]]), False),
        (np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]), False),
        (np.full((3, 3), np.nan), False),
    ],
    ids=[
        "same",
        "turned",
        "magnified",
        "tilted",
        "mirrored",
        "upside",
        "huge",
        "tiny",
        "fold",
        "keystone",
        "flat",
        "nan",
    ],
)
def test_what_two_cameras_on_one_tripod_can_see(matrix: np.ndarray, plausible: bool) -> None:
    assert is_plausible(matrix, 100, 80) is plausible


def half_plane(low: tuple[float, float], high: tuple[float, float]):
    return lambda points: ((points >= low) & (points <= high)).all(axis=1)


def test_the_box_of_a_rectangle_is_its_whole_pixels() -> None:
    assert largest_box(half_plane((10.2, 20), (300.9, 200)), 400, 300) == Box(11, 20, 290, 181)


def test_the_box_of_everything_is_the_photo() -> None:
    assert largest_box(half_plane((-1, -1), (1e9, 1e9)), 641, 333) == Box(0, 0, 641, 333)


def test_nothing_has_no_box() -> None:
    assert largest_box(half_plane((5000, 0), (6000, 10)), 400, 300) is None


def test_the_box_of_a_diamond_is_half_of_it() -> None:
    # |x - 50| + |y - 50| <= 40: the largest rectangle is the square of side 40.
    box = largest_box(lambda points: np.abs(points - 50).sum(axis=1) <= 40, 101, 101)
    assert box is not None
    assert (box.width - 1) * (box.height - 1) == 1600


def test_the_box_of_a_region_with_sides_that_curve_inwards_is_as_wide_as_they_are_narrow() -> None:
    """A lens pulls the middles of the sides in by 6 px; the corners alone would not show it."""

    def inside(points: np.ndarray) -> np.ndarray:
        middle = 1 - ((points - 100) / 100)[:, ::-1] ** 2
        return np.asarray((np.abs(points - 100) <= 90 - 6 * middle).all(axis=1))

    box = largest_box(inside, 201, 201)
    assert box is not None
    x, y = np.meshgrid(np.arange(box.x, box.x + box.width), np.arange(box.y, box.y + box.height))
    assert inside(np.column_stack([x.ravel(), y.ravel()]).astype(float)).all()
    assert (box.x, box.y, box.width, box.height) == (16, 16, 169, 169)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_a_photo_of_one_row_or_column_has_a_box_or_none_but_no_traceback(size: tuple[int, int]) -> None:
    box = largest_box(half_plane((-1, -1), (1e9, 1e9)), *size)
    assert box is None or (box.width, box.height) == size
