"""How the colours of two images relate, against changes of light that are made by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.exposures import exposed
from dpedtool.pipeline.measure.colour_relation import colour_relation

Image = np.ndarray


@pytest.fixture(scope="module")
def picture(texture: Callable[..., Image]) -> Image:
    """Darker than its copies of one stop more, so that few of their px are burnt out."""
    return np.asarray(40 + 0.4 * texture(240, 320, 3)).astype(np.uint8)


def changed(image: Image, blue: float, green: float, red: float) -> Image:
    """Each channel with so many stops more light."""
    return np.dstack([exposed(image[..., index], stops) for index, stops in enumerate((blue, green, red))])


@pytest.mark.parametrize("stops", [-1.0, 0.0, 0.5, 1.0])
def test_a_brighter_dslr_is_so_many_stops_brighter(picture: Image, stops: float) -> None:
    found = colour_relation(picture, exposed(picture, stops))
    assert found is not None
    assert found.exposure_difference == pytest.approx(stops, abs=0.02)
    assert (found.red_gain, found.blue_gain) == pytest.approx((0, 0), abs=0.02)


def test_gains_of_red_and_blue_are_told_apart_and_from_exposure(picture: Image) -> None:
    found = colour_relation(picture, changed(picture, blue=0.75, green=0.5, red=0.2))
    assert found is not None
    assert found.red_gain == pytest.approx(-0.3, abs=0.02)
    assert found.blue_gain == pytest.approx(0.25, abs=0.02)
    # Of a grey, by the weights of luminance: 0.0722 * 2^0.75 + 0.7152 * 2^0.5 + 0.2126 * 2^0.2 = 2^0.46.
    assert found.exposure_difference == pytest.approx(0.46, abs=0.05)
    back = colour_relation(changed(picture, blue=0.75, green=0.5, red=0.2), picture)
    assert back is not None
    assert back.red_gain == pytest.approx(0.3, abs=0.02)
    assert back.blue_gain == pytest.approx(-0.25, abs=0.02)


def test_the_affine_transform_is_found_in_the_order_red_green_blue(picture: Image) -> None:
    factors = np.array([[0.8, 0.1, 0.05], [0.0, 0.9, -0.1], [0.1, 0.0, 0.7]])
    offset = np.array([12.0, 4.0, 20.0])
    in_rgb = picture[..., ::-1] @ factors.T + offset
    found = colour_relation(picture, np.rint(in_rgb[..., ::-1]).astype(np.uint8))
    assert found is not None
    told = np.reshape(found.colour_transform, (3, 4))
    np.testing.assert_allclose(told[:, :3], factors, atol=0.03)
    # A wrong factor is made up for by the offset, so what counts is what becomes of a colour in the middle.
    middle = np.array([100.0, 90, 80])
    np.testing.assert_allclose(told[:, :3] @ middle + told[:, 3], factors @ middle + offset, atol=0.5)
    assert found.colour_residual < 0.5


def test_a_grey_scene_has_a_transform_without_other_channels(picture: Image) -> None:
    grey = np.repeat(picture[..., :1], 3, axis=2)
    found = colour_relation(grey, np.rint(grey * 0.5 + 10).astype(np.uint8))
    assert found is not None
    expected = np.hstack([np.eye(3) * 0.5, np.full((3, 1), 10.0)])
    np.testing.assert_allclose(np.reshape(found.colour_transform, (3, 4)), expected, atol=0.2, rtol=0.02)


def test_what_the_transform_cannot_explain_is_its_residual(picture: Image) -> None:
    rng = np.random.default_rng(0)
    cells = np.repeat(np.repeat(rng.normal(0, 8, (60, 80, 3)), 4, axis=0), 4, axis=1)
    found = colour_relation(picture, np.rint(picture + 10 + cells).astype(np.uint8))
    assert found is not None
    # The median of chi square with 3 degrees of freedom is 2.366.
    assert found.colour_residual == pytest.approx(8 * (2.366 / 3) ** 0.5, abs=0.5)


def test_something_else_in_a_third_of_the_photo_changes_little(picture: Image) -> None:
    other = exposed(picture, 0.5)
    other[:80] = (200, 60, 90)
    found = colour_relation(picture, other)
    assert found is not None
    assert found.exposure_difference == pytest.approx(0.5, abs=0.1)
    assert np.reshape(found.colour_transform, (3, 4))[:, :3].trace() == pytest.approx(
        np.reshape(clean(picture, 0.5), (3, 4))[:, :3].trace(), abs=0.1
    )


def clean(picture: Image, stops: float) -> tuple[float, ...]:
    found = colour_relation(picture, exposed(picture, stops))
    assert found is not None
    return found.colour_transform


def test_masked_cells_do_not_count(picture: Image) -> None:
    """Two thirds show something else, and are masked by cells of another size."""
    other = exposed(picture, 0.5)
    other[:, 110:] = exposed(picture, -1)[:, 110:]
    masked = np.zeros((8, 10), bool)
    masked[:, 3:] = True
    wrong, right = colour_relation(picture, other), colour_relation(picture, other, masked, 32)
    assert wrong is not None
    assert right is not None
    assert wrong.exposure_difference == pytest.approx(-1, abs=0.05)
    assert right.exposure_difference == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("level", [255, 0])
def test_clipped_parts_do_not_count(picture: Image, level: int) -> None:
    """Two thirds are burnt out, or black, in one of the photos."""
    other = exposed(picture, 1)
    other[:, 110:] = level
    found = colour_relation(picture, other)
    assert found is not None
    assert found.exposure_difference == pytest.approx(1, abs=0.02)


def test_nothing_is_said_of_photos_without_cells_that_can_be_used(picture: Image) -> None:
    assert colour_relation(picture, np.full_like(picture, 255)) is None
    assert colour_relation(picture[:20, :20], picture[:20, :20]) is None
    assert colour_relation(picture, picture, np.ones((8, 10), bool), 32) is None
