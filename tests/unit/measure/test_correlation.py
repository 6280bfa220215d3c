"""The search for windows: by hand, against brute force in float64, at the photo's rim, and turned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure.correlation import find, ncc_surfaces, sample, search_area, turns_within


def grey(height: int, width: int, seed: int = 0, sigma: float = 1.5, contrast: float = 30) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(height, width)), (0, 0), sigma)
    return np.clip(128 + contrast * noise / noise.std(), 0, 255).round().astype(np.float32)


def brute_force(window: np.ndarray, area: np.ndarray) -> np.ndarray:
    """NCC as its definition has it, place by place, in float64; NaN where one is flat."""
    side, places = len(window), len(area) - len(window) + 1
    a = window.astype(np.float64) - window.mean(dtype=np.float64)
    found = np.full((places, places), np.nan)
    for row in range(places):
        for column in range(places):
            b = area[row : row + side, column : column + side].astype(np.float64)
            b = b - b.mean()
            if a.any() and b.any():
                found[row, column] = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    return found


def test_by_hand() -> None:
    ramp = np.array([[0, 1], [2, 3]], np.float32)
    # deviations (-1.5, -.5, .5, 1.5) and (-.75, .25, .25, .25): 1.5 / sqrt(5 * 0.75)
    step = np.array([[0, 1], [1, 1]], np.float32)
    flat = np.full((2, 2), 9, np.float32)
    found = ncc_surfaces(ramp, [ramp * 5 + 7, 3 - ramp, step, flat])[:, 0, 0]
    assert found[:3] == pytest.approx([1, -1, 1.5 / np.sqrt(5 * 0.75)], abs=1e-6)
    assert np.isnan(found[3])
    assert np.isnan(ncc_surfaces(flat, [ramp])).all()


@pytest.mark.parametrize(("side", "reach"), [(100, 5), (37, 3), (64, 8), (8, 1)])
@pytest.mark.parametrize("areas", [1, 2, 5])
def test_equals_brute_force_in_float64(side: int, reach: int, areas: int) -> None:
    photo = grey(side + 2 * reach, areas * (side + 2 * reach))
    window = grey(side, side, seed=1)
    cut = np.split(photo, areas, axis=1)
    found = ncc_surfaces(window, cut)
    assert found.shape == (areas, 2 * reach + 1, 2 * reach + 1)
    for surface, area in zip(found, cut, strict=True):
        np.testing.assert_allclose(surface, brute_force(window, area), atol=1e-6)


@pytest.mark.parametrize("contrast", [0.3, 2.0])
def test_is_as_exact_for_a_weak_window_next_to_a_glaring_edge(contrast: float) -> None:
    area = 20 + grey(110, 110, contrast=contrast) - 128
    area[:, :4] = 255
    window = 200 + grey(100, 100, seed=2, contrast=contrast) - 128
    np.testing.assert_allclose(ncc_surfaces(window, [area])[0], brute_force(window, area), atol=1e-5)


def test_single_flat_places_are_left_out() -> None:
    area = grey(24, 24)
    area[2:22, :20] = 7
    found = ncc_surfaces(grey(20, 20, seed=1), [area])[0]
    expected = brute_force(grey(20, 20, seed=1), area)
    assert np.isnan(expected).sum() == 1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_window_is_found_where_it_was_cut() -> None:
    photo = grey(200, 220)
    corners = np.array([[60, 70], [90, 40], [100, 80]])
    shifts = np.array([[3, -5], [0, 0], [-4, 1]])
    windows = [photo[y : y + 50, x : x + 50] * 0.5 + 20 for x, y in corners + shifts]
    found = find(windows, photo, corners, 5)
    np.testing.assert_array_equal(found.shifts, shifts)
    np.testing.assert_allclose(found.ncc, 1, atol=1e-6)
    assert found.ncc_here[1] == pytest.approx(1)
    assert found.ncc_here[0] < 0.9
    np.testing.assert_array_equal(found.turns_deg, 0)


def test_places_beyond_the_photo_do_not_count() -> None:
    photo = grey(80, 80)
    beyond = cv2.copyMakeBorder(photo, 5, 5, 5, 5, cv2.BORDER_REFLECT_101)
    corners = np.array([[0, 0], [28, 26]])
    # Shown best 2 px beyond the left and upper rim, where the search may not look.
    windows = [beyond[3:53, 3:53], beyond[35:85, 38:88]]
    found = find(windows, photo, corners, 5)
    assert (found.shifts[0] >= 0).all()
    assert found.ncc[0] < 0.99
    assert (corners[1] + found.shifts[1] + 50 <= 80).all()
    inside = find([photo[:50, :50]], photo, np.array([[0, 0]]), 5)
    np.testing.assert_array_equal(inside.shifts, [[0, 0]])


@pytest.mark.parametrize("turn", [-1.0, -0.5, 0.5, 1.0])
def test_a_turned_window_is_found_turned_and_at_its_place(turn: float) -> None:
    photo = grey(240, 240, sigma=3)
    corner = np.array([[70, 60]])
    # A window that shows what lies (3, -2) px off, turned about its middle.
    window = sample(photo, (73, 58), 100, turn, cv2.INTER_CUBIC)
    found = find([window], photo, corner, 5, turns_within(1.0, 0.5))
    assert found.turns_deg[0] == turn
    np.testing.assert_allclose(found.shifts[0], (3, -2), atol=0.08)
    assert found.ncc[0] > 0.995


def test_clockwise_is_what_one_sees() -> None:
    photo = np.zeros((41, 41), np.float32)
    photo[20, 30] = 1  # to the right of the middle
    # A camera turned clockwise sees the world turned counterclockwise: what is right goes up.
    seen = sample(photo, (0, 0), 41, 90, cv2.INTER_LINEAR)
    assert np.unravel_index(seen.argmax(), seen.shape) == (10, 20)


def test_the_turned_search_equals_brute_force_on_the_turned_photo() -> None:
    photo, window = grey(200, 200), grey(60, 60, seed=3)
    found = find([window], photo, np.array([[70, 70]]), 4, turns_within(1, 0.5))
    surfaces = {turn: brute_force(window, search_area(photo, (70, 70), 60, 4, turn)) for turn in (0, 0.5, -0.5, 1, -1)}
    best = max(surfaces, key=lambda turn: surfaces[turn].max())
    assert found.turns_deg[0] == best
    assert found.ncc[0] == pytest.approx(surfaces[best].max(), abs=1e-6)


def test_the_second_peak_is_that_of_a_repeating_window() -> None:
    ramp = np.arange(120, dtype=np.float32)
    stripes = np.sin(ramp * 2 * np.pi / 4)[None] * 40 + np.sin(ramp * 2 * np.pi / 33)[:, None] * 20 + 128
    repeating = find([stripes[20:80, 20:80]], stripes, np.array([[20, 20]]), 6)
    assert repeating.second_ncc[0] == pytest.approx(repeating.ncc[0], abs=1e-3)
    once = find([grey(120, 120)[20:80, 20:80]], grey(120, 120), np.array([[20, 20]]), 6)
    assert np.isnan(once.second_ncc[0]) or once.second_ncc[0] < 0.5


def test_flat_windows_have_no_score_and_stay() -> None:
    found = find([np.full((20, 20), 7, np.float32)], grey(60, 60), np.array([[10, 10]]), 3)
    assert np.isnan(found.ncc[0])
    assert np.isnan(found.ncc_here[0])
    np.testing.assert_array_equal(found.shifts, [[0, 0]])


def test_turns_begin_with_none_and_keep_within_the_largest() -> None:
    assert turns_within(1.0, 0.5) == (0.0, 0.5, -0.5, 1.0, -1.0)
    assert turns_within(1.0, 0.4) == (0.0, 0.4, -0.4, 0.8, -0.8)
    assert turns_within(0.3, 0.1) == pytest.approx((0.0, 0.1, -0.1, 0.2, -0.2, 0.3, -0.3))
    assert turns_within(0.0, 0.5) == (0.0,)
