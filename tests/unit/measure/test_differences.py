"""What gain, offset and slopes leave of the differences of two windows."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.pipeline.measure.differences import differences, unexplained

SIDE = 100
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32)


def row(window: np.ndarray) -> np.ndarray:
    return np.float32(window).reshape(1, -1)


def noisy(window: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    return np.float32(window + np.random.default_rng(seed).normal(0, sigma, window.shape))


def test_what_is_left_by_hand() -> None:
    dslr = np.float32([[0, 2, 4, 6]])
    assert unexplained(3 * dslr + 7, dslr) == pytest.approx(0, abs=1e-5)
    # 1, -1, -1, 1 is orthogonal to the ramp and to a constant.
    assert unexplained(3 * dslr + np.float32([[1, -1, -1, 1]]), dslr) == pytest.approx(1, abs=1e-5)
    # A window of one grey value explains nothing.
    assert unexplained(np.float32([[1, -1, 1, -1]]), np.float32([[5, 5, 5, 5]])) == pytest.approx(1, abs=1e-5)


def test_a_slope_that_one_camera_adds_is_no_difference() -> None:
    texture = noisy(np.zeros((SIDE, SIDE)), 10.0, 0)
    shaded = 0.8 * texture + 0.2 * ROWS - 0.1 * COLUMNS + 12
    assert differences(row(shaded), row(texture), SIDE).rms == pytest.approx(0, abs=1e-3)
    assert unexplained(row(shaded), row(texture))[0] > 5


def test_noise_has_no_peak_and_a_thing_in_one_window_has() -> None:
    sky, thing = 90 + 0.1 * ROWS, 20 * np.exp(-((ROWS - 40) ** 2 + (COLUMNS - 60) ** 2) / (2 * 8**2))
    dslr = noisy(sky, 0.5, 1)
    quiet = differences(row(noisy(sky, 1.5, 2)), row(dslr), SIDE)
    bird = differences(row(noisy(sky - thing, 1.5, 2)), row(dslr), SIDE)
    assert quiet.rms == pytest.approx(1.5, rel=0.05)
    assert quiet.peaks[0] < 5
    assert bird.peaks[0] > 10


@pytest.mark.parametrize("side", [8, 33, 256])
def test_windows_of_any_size_and_of_one_grey_value(side: int) -> None:
    flat = np.full((2, side * side), 7, np.float32)
    found = differences(flat, flat, side)
    assert found.rms == pytest.approx([0, 0], abs=1e-4)
    assert np.isfinite(found.peaks).all()


def test_a_negative_does_not_show_the_same() -> None:
    texture = noisy(np.zeros((SIDE, SIDE)), 10.0, 0)
    assert unexplained(row(-texture), row(texture))[0] == pytest.approx(10, rel=0.03)
    assert differences(row(-texture), row(texture), SIDE).rms[0] == pytest.approx(10, rel=0.03)
