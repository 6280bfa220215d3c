"""The shift left between aligned images: known shifts are measured within 0.03 px."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.residuals import residual, smooth_grey, window_shifts


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """What lies at (0, 0) of the image lies at (x, y) of the result; exact up to rounding, by the Fourier transform."""
    height, width = image.shape[:2]
    ramp = np.exp(-2j * np.pi * (np.fft.fftfreq(height)[:, None] * y + np.fft.fftfreq(width)[None, :] * x))
    moved = np.fft.ifft2(np.fft.fft2(image, axes=(0, 1)) * ramp[..., None], axes=(0, 1)).real
    return np.clip(np.round(moved), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def image(texture) -> np.ndarray:
    smooth = cv2.GaussianBlur(texture(360, 440), (0, 0), 0.7)
    return ((smooth.astype(float) - 128) * 0.7 + 128).astype(np.uint8)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0.25, 0), (0.5, -0.3), (-1.4, 0.75), (3, -4), (-5.2, 5.6)])
def test_a_known_shift_is_measured_with_its_sign(image: np.ndarray, x: float, y: float) -> None:
    _, shifts = window_shifts(smooth_grey(image), smooth_grey(shifted(image, x, y)))
    assert len(shifts) > 40
    np.testing.assert_allclose(np.median(shifts, axis=0), (x, y), atol=0.03)
    found = residual(image, shifted(image, x, y))
    assert found.windows == len(shifts)
    assert found.median_px == pytest.approx(np.hypot(x, y), abs=0.03)


def test_brightness_contrast_and_noise_do_not_matter(image: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    moved = 0.6 * shifted(image, 0.7, 0) + 40 + rng.normal(0, 3, image.shape)
    assert residual(image, moved.round().clip(0, 255).astype(np.uint8)).median_px == pytest.approx(0.7, abs=0.04)


def test_the_95th_percentile_tells_of_a_part_that_moved(image: np.ndarray) -> None:
    half = image.copy()
    half[:, :110] = shifted(image, 4, 0)[:, :110]
    found = residual(image, half)
    assert found.median_px == pytest.approx(0, abs=0.03)
    assert found.p95_px == pytest.approx(4, abs=0.1)


def test_windows_that_are_flat_or_differ_tell_nothing(image: np.ndarray, texture) -> None:
    flat = np.full_like(image, 128)
    for first, second in ((flat, flat), (image, flat), (flat, image), (image, texture(360, 440, seed=7))):
        found = residual(first, second)
        assert found.windows < 5
        assert found.median_px is None
        assert found.p95_px is None


@pytest.mark.parametrize("shape", [(1, 1, 3), (79, 79, 3), (64, 500, 3)])
def test_an_image_too_small_for_windows_tells_nothing(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert residual(image, image).windows == 0


def test_a_large_image_is_sampled_evenly() -> None:
    side = 1400
    noise = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    grey = cv2.GaussianBlur(noise, (0, 0), 2) * 200 + 128
    assert 200 <= len(window_shifts(grey, grey)[1]) <= 400


def test_a_shift_beyond_the_search_is_not_taken_for_a_small_one(image: np.ndarray) -> None:
    found = residual(image, shifted(image, 30, 0))
    assert found.windows < 5
