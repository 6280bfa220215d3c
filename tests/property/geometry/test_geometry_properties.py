"""What holds for any homography, size and convex region."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from dpedtool.pipeline.geometry.homographies import (
    Box,
    corners,
    full_from_reduced,
    inverse,
    is_plausible,
    largest_box,
    local_scale,
    transform_points,
)
from dpedtool.pipeline.geometry.transform import Field, Transform
from dpedtool.pipeline.geometry.warping import common_box

sides = st.integers(2, 5000)
unit = st.floats(0, 1)
corner_shift = st.tuples(st.floats(-0.12, 0.12), st.floats(-0.12, 0.12))


@st.composite
def homographies(draw: st.DrawFn, width: int = 200, height: int = 150) -> np.ndarray:
    """A photo's corners moved by up to an eighth of its size: always a convex quadrangle."""
    moved = corners(width, height) + np.array([draw(corner_shift) for _ in range(4)]) * (width, height)
    scale = draw(st.floats(0.3, 4))
    return cv2.getPerspectiveTransform(corners(width, height).astype(np.float32), (scale * moved).astype(np.float32))


@given(homographies(), unit, unit)
def test_there_and_back_is_the_same_point(matrix: np.ndarray, x: float, y: float) -> None:
    points = np.array([[x * 199, y * 149]])
    back = transform_points(inverse(matrix), transform_points(matrix, points))
    np.testing.assert_allclose(back, points, atol=1e-6)


@given(homographies())
def test_what_keeps_a_quadrangle_convex_is_plausible_and_its_mirror_image_never(matrix: np.ndarray) -> None:
    assert is_plausible(matrix, 200, 150)
    assert not is_plausible(np.diag([-1.0, 1.0, 1.0]) @ matrix, 200, 150)
    assert not is_plausible(matrix @ np.array([[-1.0, 0, 199], [0, 1, 0], [0, 0, 1]]), 200, 150)


@given(homographies(), unit, unit)
def test_scales_multiply(matrix: np.ndarray, x: float, y: float) -> None:
    point = np.array([x * 199, y * 149])
    there = local_scale(matrix, point)
    assert there > 0
    back = local_scale(inverse(matrix), transform_points(matrix, point[None])[0])
    np.testing.assert_allclose(there * back, 1, rtol=0.02)


@given(sides, sides, sides, sides)
def test_resizing_keeps_the_rim(width: int, height: int, small_width: int, small_height: int) -> None:
    rim = np.array([[-0.5, -0.5], [small_width - 0.5, small_height - 0.5]])
    mapped = transform_points(full_from_reduced((width, height), (small_width, small_height)), rim)
    np.testing.assert_allclose(mapped, [[-0.5, -0.5], [width - 0.5, height - 0.5]], atol=1e-6)


def pixels(box: Box) -> np.ndarray:
    x, y = np.meshgrid(np.arange(box.x, box.x + box.width), np.arange(box.y, box.y + box.height))
    return np.column_stack([x.ravel(), y.ravel()]).astype(float)


def grown(box: Box) -> list[Box]:
    return [
        Box(box.x - 1, box.y, box.width + 1, box.height),
        Box(box.x, box.y - 1, box.width, box.height + 1),
        Box(box.x, box.y, box.width + 1, box.height),
        Box(box.x, box.y, box.width, box.height + 1),
    ]


@given(st.integers(30, 260), st.integers(30, 260), st.data())
def test_all_pixels_of_the_largest_box_are_inside_and_no_side_can_grow(
    width: int, height: int, data: st.DataObject
) -> None:
    matrix = data.draw(homographies(width, height))
    shift = data.draw(st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)))
    low = transform_points(matrix, corners(width, height)).min(axis=0)
    span = np.ptp(transform_points(matrix, corners(width, height)), axis=0)
    low = low + (0.1 + np.array(shift)) * span
    high = low + 0.8 * span

    def inside(points: np.ndarray, slack: float = 0.0) -> np.ndarray:
        mapped = transform_points(matrix, points)
        return np.asarray(((mapped >= low - slack) & (mapped <= high + slack)).all(axis=1))

    box = largest_box(inside, width, height)
    assume(box is not None)
    # Where a side of the region lies on the pixels, they are on either side of it by rounding.
    assert inside(pixels(box), slack=1e-9).all()
    assert box.x >= 0
    assert box.y >= 0
    assert box.x + box.width <= width
    assert box.y + box.height <= height
    for larger in grown(box):
        on_photo = larger.x >= 0 and larger.y >= 0
        on_photo &= larger.x + larger.width <= width and larger.y + larger.height <= height
        assert not (on_photo and inside(pixels(larger)).all())


bends = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=10, max_size=10)


@given(st.integers(60, 260), st.integers(60, 260), st.data())
def test_what_a_bend_puts_into_the_common_box_lies_in_the_dslr_photo(
    width: int, height: int, data: st.DataObject
) -> None:
    bent = Transform(data.draw(homographies(width, height)), Field((width, height), np.array(data.draw(bends))))
    dslr_size = data.draw(st.integers(40, 400)), data.draw(st.integers(40, 400))
    box = common_box((width, height), dslr_size, bent)
    assume(box is not None)
    mapped = bent(pixels(box))
    # Four px at the rim are left out; a bend between two points of the box's rim takes a part of them.
    assert mapped.min() >= 3.5
    assert (mapped <= np.array(dslr_size) - 1 - 3.5).all()
