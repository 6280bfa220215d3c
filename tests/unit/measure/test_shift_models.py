"""Fitted models: given displacements recovered, outliers without a say, no more bend than the windows prove."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.pipeline.geometry.homographies import transform_points
from dpedtool.pipeline.geometry.transform import Field, monomials, relative
from dpedtool.pipeline.measure.shift_models import FEWEST_WINDOWS, MODELS, Fit, fit
from dpedtool.pipeline.measure.shifts import Shifts, window_centres

pytestmark = pytest.mark.slow

SIZE = (1200, 900)
CENTRES = window_centres(SIZE[1], SIZE[0])
NOISE_PX = 0.03
FRAME = window_centres(SIZE[1] + 64, SIZE[0] + 64) - 32
"""Places all over the photo, its rim included."""


def windows(centres: np.ndarray = CENTRES, noise_px: float = NOISE_PX) -> Shifts:
    count = len(centres)
    information = np.tile(np.eye(2) / noise_px**2, (count, 1, 1))
    return Shifts(centres, np.zeros((count, 2)), information, np.ones(count))


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, NOISE_PX, (count, 2))


def places(points: np.ndarray) -> np.ndarray:
    return relative(points, SIZE)


def straight(points: np.ndarray) -> np.ndarray:
    """A homography near the identity: up to 2 px."""
    matrix = np.array([[1.001, 0.0004, -1.2], [-0.0003, 0.9992, 0.9], [2e-7, -3e-7, 1.0]])
    return transform_points(matrix, points) - points


def lens(points: np.ndarray, px: float = 3.0) -> np.ndarray:
    """One radial term: so many px at the middle of the shorter side."""
    uv = places(points)
    return px * uv * (uv**2).sum(axis=1, keepdims=True)


def curl(points: np.ndarray, degree: int = 3, px: float = 1.5) -> np.ndarray:
    """Paper that curls: of one degree in one direction, with an axis off the middle."""
    u, v = places(points).T
    return np.column_stack([np.zeros_like(u), px * (0.8 * u + 0.6 * v) ** degree])


def waves(points: np.ndarray, px: float = 1.0) -> np.ndarray:
    """The Chebyshev polynomial of degree 5: its waves cannot be described by degree 3."""
    u = places(points)[:, 0]
    return np.column_stack([np.zeros_like(u), px * (16 * u**5 - 20 * u**3 + 5 * u)])


def moved(found: Fit, points: np.ndarray) -> np.ndarray:
    inner = points + found.field(points) if found.field else points
    return transform_points(found.homography, inner) - points


def off(found: Fit | None, wanted: np.ndarray, points: np.ndarray = CENTRES) -> np.ndarray:
    assert found is not None
    return np.linalg.norm(moved(found, points) - wanted, axis=1)


# Exact windows


@pytest.mark.parametrize("bend", [lens, curl, waves])
def test_a_given_displacement_is_recovered(bend) -> None:
    wanted = bend(CENTRES)
    assert off(fit(windows(noise_px=0.001), wanted, SIZE), wanted).max() < 0.01


def test_a_homography_is_recovered_and_nothing_else_found() -> None:
    wanted = straight(CENTRES)
    found = fit(windows(noise_px=0.001), wanted, SIZE)
    assert off(found, wanted).max() < 0.01
    assert found.windows == len(CENTRES)
    assert found.held_out_px < 0.01


def test_nothing_wanted_is_the_identity() -> None:
    found = fit(windows(), np.zeros_like(CENTRES), SIZE)
    assert found.model == "homography"
    assert found.field is None
    np.testing.assert_allclose(found.homography, np.eye(3), atol=1e-12)


# Which model


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("model", "bend"),
    [
        ("homography", straight),
        ("lens", lens),
        ("cubic", curl),
        ("quintic", lambda points: curl(points, 5)),
        ("quintic", waves),
    ],
)
def test_the_model_is_the_simplest_that_tells_it_all(model: str, bend, seed: int) -> None:
    wanted = bend(CENTRES)
    found = fit(windows(), wanted + noise(len(CENTRES), seed), SIZE)
    assert found.model == model
    assert (found.field is None) == (model == "homography")
    assert off(found, bend(FRAME), FRAME).mean() < 0.02
    assert off(found, wanted).max() < 0.05
    assert found.held_out_px == pytest.approx(NOISE_PX * np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("richest", MODELS)
def test_no_model_is_richer_than_asked_for(richest: str) -> None:
    found = fit(windows(), waves(CENTRES) + lens(CENTRES), SIZE, richest)
    assert MODELS.index(found.model) <= MODELS.index(richest)
    assert fit(windows(), waves(CENTRES), SIZE, "homography").field is None


def test_the_field_is_a_polynomial_of_the_models_degree() -> None:
    assert fit(windows(), lens(CENTRES) + noise(len(CENTRES)), SIZE).field.degree == 3
    assert fit(windows(), waves(CENTRES) + noise(len(CENTRES)), SIZE).field.degree == 5


def test_a_lens_by_hand() -> None:
    """Three px outwards at the end of the longer half axis, of windows that lie still."""
    found = fit(windows(noise_px=0.001), lens(CENTRES, 3.0) + noise(len(CENTRES)), SIZE)
    assert found.model == "lens"
    end = np.array([[(SIZE[0] - 1) / 2 + SIZE[0] / 2, (SIZE[1] - 1) / 2]])
    np.testing.assert_allclose(moved(found, end), [[3.0, 0.0]], atol=0.02)


# Outliers


@pytest.mark.parametrize("where", ["left", "middle"])
@pytest.mark.parametrize(("model", "bend"), [("homography", straight), ("lens", lens), ("cubic", curl)])
def test_a_fifth_of_the_windows_that_moved_together_has_no_say(model: str, bend, where: str) -> None:
    """A thing that moved by 1.5 px, or that is nearer than the rest: neither model nor place follow it."""
    middle = (0.25, 0.2) if where == "left" else (0.5, 0.5)
    thing = (np.abs(CENTRES / SIZE - middle) < (0.25, 0.2)).all(axis=1)
    assert 0.17 < thing.mean() < 0.23
    wanted = bend(CENTRES) + noise(len(CENTRES)) + np.where(thing[:, None], [1.5, 0], 0)
    found = fit(windows(), wanted, SIZE)
    assert found.model == model
    assert off(found, bend(CENTRES)).max() < 0.05
    assert found.windows == pytest.approx((~thing).sum(), abs=0.01 * len(CENTRES))


def test_windows_that_moved_here_and_there_have_no_say() -> None:
    rng = np.random.default_rng(3)
    wanted = straight(CENTRES) + noise(len(CENTRES))
    some = rng.permutation(len(CENTRES)) < 0.2 * len(CENTRES)
    found = fit(windows(), wanted + np.where(some[:, None], [1.2, -0.9], 0), SIZE)
    assert found.model == "homography"
    assert off(found, straight(CENTRES)).max() < 0.02
    assert found.windows == pytest.approx((~some).sum(), abs=0.02 * len(CENTRES))


def test_a_window_has_as_much_say_as_it_knows() -> None:
    """Every other window is right, the others wrong by 0.3 px all alike: they say that they know no better."""
    unsure = np.arange(len(CENTRES)) % 2 == 0
    shifts = windows(noise_px=0.01)
    shifts.information[unsure] = np.eye(2) / 0.5**2
    wanted = straight(CENTRES) + np.where(unsure[:, None], [0.3, 0.3], 0)
    assert off(fit(shifts, wanted, SIZE), straight(CENTRES)).max() < 0.02


# Few windows, or in one place only


def test_too_few_windows_give_no_fit() -> None:
    few = CENTRES[:: len(CENTRES) // FEWEST_WINDOWS]
    assert fit(windows(few[: FEWEST_WINDOWS - 1]), np.zeros((FEWEST_WINDOWS - 1, 2)), SIZE) is None
    assert fit(windows(few[:FEWEST_WINDOWS]), np.zeros((FEWEST_WINDOWS, 2)), SIZE) is not None
    assert fit(windows(few[:0]), np.empty((0, 2)), SIZE) is None


@pytest.mark.parametrize("seed", range(5))
def test_windows_in_one_corner_do_not_blow_up_the_rest(seed: int) -> None:
    """A ninth of the photo; windows that lie wrong there, neighbours alike, are not taken for a bend elsewhere."""
    corner = CENTRES[(CENTRES / SIZE < 1 / 3).all(axis=1)]
    rng = np.random.default_rng(seed)
    u, v = places(corner).T * np.pi * 4
    alike = 0.05 * np.column_stack([np.sin(u + rng.uniform(0, 6)), np.sin(v + rng.uniform(0, 6))])
    found = fit(windows(corner), alike + noise(len(corner), seed), SIZE)
    assert found.model in ("homography", "lens")
    assert np.linalg.norm(moved(found, FRAME), axis=1).mean() < 3
    exact = fit(windows(corner), noise(len(corner), seed), SIZE)
    assert exact.model == "homography"
    assert np.linalg.norm(moved(exact, FRAME), axis=1).max() < 1


@pytest.mark.parametrize("seed", range(3))
def test_a_third_without_windows_is_bent_no_more_than_is_known(seed: int) -> None:
    """Sky above, a lens that is known from below."""
    below = CENTRES[CENTRES[:, 1] > SIZE[1] / 3]
    found = fit(windows(below), lens(below) + noise(len(below), seed), SIZE)
    assert found.model == "lens"
    assert off(found, lens(FRAME), FRAME).max() < 0.1


# The same for all orders


@pytest.mark.parametrize("bend", [straight, lens, curl, waves])
def test_the_order_of_the_windows_does_not_matter(bend) -> None:
    wanted = bend(CENTRES) + noise(len(CENTRES))
    order = np.random.default_rng(1).permutation(len(CENTRES))
    first, second = fit(windows(), wanted, SIZE), fit(windows(CENTRES[order]), wanted[order], SIZE)
    assert first.model == second.model
    assert first.windows == second.windows
    np.testing.assert_allclose(moved(first, FRAME), moved(second, FRAME), rtol=0, atol=1e-9)


def test_the_same_windows_give_the_same_bits() -> None:
    wanted = curl(CENTRES) + noise(len(CENTRES))
    first, second = (fit(windows(), wanted, SIZE) for _ in range(2))
    np.testing.assert_array_equal(first.homography, second.homography)
    np.testing.assert_array_equal(first.field.coefficients, second.field.coefficients)


def test_the_field_of_a_fit_reads_as_one_polynomial() -> None:
    found = fit(windows(), waves(CENTRES), SIZE)
    again = Field(SIZE, found.field.coefficients.copy())
    values = monomials(places(FRAME), 5) @ found.field.coefficients
    np.testing.assert_allclose(again(FRAME), values, atol=1e-12)
