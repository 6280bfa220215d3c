"""Transforms: polynomials and fields by hand, and maps against the transform itself."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.pipeline.geometry.homographies import Box, transform_points
from dpedtool.pipeline.geometry.transform import Field, Transform, degree_of, monomials, powers, relative

HOMOGRAPHY = np.array([[1.8, 0.05, 12.0], [-0.04, 1.82, -7.0], [1e-5, -2e-5, 1.0]])
SIZE = (640, 480)


def pixels(box: Box) -> np.ndarray:
    x, y = np.meshgrid(np.arange(box.x, box.x + box.width), np.arange(box.y, box.y + box.height))
    return np.column_stack([x.ravel(), y.ravel()]).astype(float)


def bent(degree: int, most_px: float, seed: int = 0) -> Field:
    """A field that is nowhere longer than so many px."""
    rng = np.random.default_rng(seed)
    terms = len(powers(degree))
    return Field(SIZE, rng.uniform(-1, 1, (terms, 2)) * most_px / terms / np.sqrt(2))


def test_powers_by_hand() -> None:
    assert powers(0) == [(0, 0)]
    assert powers(2) == [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]


def test_monomials_by_hand() -> None:
    values = monomials(np.array([[2.0, 3.0], [0.0, -1.0]]), 2)
    np.testing.assert_array_equal(values, [[1, 2, 3, 4, 6, 9], [1, 0, -1, 0, 0, 1]])


@pytest.mark.parametrize(("terms", "degree"), [(1, 0), (3, 1), (6, 2), (10, 3), (15, 4), (21, 5), (28, 6)])
def test_the_degree_follows_from_the_number_of_terms(terms: int, degree: int) -> None:
    assert degree_of(terms) == degree
    assert len(powers(degree)) == terms


@pytest.mark.parametrize("terms", [0, 2, 4, 5, 7, 20, 22])
def test_no_polynomial_has_another_number_of_terms(terms: int) -> None:
    with pytest.raises(ValueError, match=f"{terms} terms"):
        degree_of(terms)


def test_places_are_relative_to_the_middle_in_halves_of_the_longer_side() -> None:
    places = relative(np.array([[319.5, 239.5], [-0.5, -0.5], [639.5, 479.5]]), SIZE)
    np.testing.assert_allclose(places, [[0, 0], [-1, -0.75], [1, 0.75]], atol=1e-15)
    np.testing.assert_allclose(relative(np.array([[-0.5, -0.5]]), (480, 640)), [[-0.75, -1]], atol=1e-15)


def test_a_field_by_hand() -> None:
    # x: 2 + u; y: -1 + 4 u v. At (479.5, 399.5): u = 0.5, v = 0.5.
    coefficients = np.zeros((6, 2))
    coefficients[0] = 2, -1
    coefficients[1, 0] = 1
    coefficients[4, 1] = 4
    field = Field(SIZE, coefficients)
    assert field.degree == 2
    np.testing.assert_allclose(field(np.array([[479.5, 399.5], [319.5, 239.5]])), [[2.5, 0], [2, -1]], atol=1e-12)


def test_the_field_moves_phone_points_before_the_homography() -> None:
    field = Field(SIZE, np.array([[3.0, -2.0]]))
    point = np.array([[100.0, 50.0]])
    moved = Transform(HOMOGRAPHY, field)(point)
    np.testing.assert_allclose(moved, transform_points(HOMOGRAPHY, np.array([[103.0, 48.0]])), atol=1e-12)
    np.testing.assert_allclose(Transform(HOMOGRAPHY)(point), transform_points(HOMOGRAPHY, point), atol=1e-12)


def test_a_homography_folded_into_another_is_their_product() -> None:
    """As refinement does: the correction of the windows, in phone px, is applied before the known transform."""
    small = np.array([[1.001, 0.0005, 2.0], [-0.0004, 0.999, -1.5], [1e-7, -2e-7, 1.0]])
    points = pixels(Box(0, 0, 640, 480))[::977]
    twice = Transform(HOMOGRAPHY)(Transform(small)(points))
    np.testing.assert_allclose(Transform(HOMOGRAPHY @ small)(points), twice, atol=1e-9)


@pytest.mark.parametrize("degree", [None, 3, 5])
@pytest.mark.parametrize("box", [Box(0, 0, 640, 480), Box(37, 101, 83, 61), Box(5, 6, 8, 8), Box(639, 479, 1, 1)])
def test_maps_are_the_transform_at_every_pixel(degree: int | None, box: Box) -> None:
    transform = Transform(HOMOGRAPHY, bent(degree, 5) if degree else None)
    x, y = transform.maps(box)
    assert x.shape == y.shape == (box.height, box.width)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(np.column_stack([x.ravel(), y.ravel()]), transform(pixels(box)), rtol=0, atol=0.002)


@pytest.mark.parametrize("step", [2, 3, 8])
def test_maps_of_a_reduced_photo_lie_in_the_middle_of_the_pixels_that_it_stands_for(step: int) -> None:
    """To 0.002 px of the reduced photo; both photos are as many times larger as they are reduced by."""
    larger = np.diag([step, step, 1.0])
    field = Field((640 * step, 480 * step), bent(5, 5).coefficients * step)
    transform = Transform(larger @ HOMOGRAPHY @ np.linalg.inv(larger), field)
    box = Box(2, 3, 630, 470)
    x, y = transform.maps(box, step)
    expected = transform(pixels(box) * step + (step - 1) / 2)
    np.testing.assert_allclose(np.column_stack([x.ravel(), y.ravel()]), expected, rtol=0, atol=0.002 * step)
