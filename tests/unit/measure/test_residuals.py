"""The shift left between aligned images: known shifts are measured within 0.03 px."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure.noise import NO_NOISE
from dpedtool.pipeline.measure.residuals import Residual, Search, comparable, search


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """What lies at (0, 0) of the image lies at (x, y) of the result; exact up to rounding, by the Fourier transform."""
    height, width = image.shape[:2]
    ramp = np.exp(-2j * np.pi * (np.fft.fftfreq(height)[:, None] * y + np.fft.fftfreq(width)[None, :] * x))
    moved = np.fft.ifft2(np.fft.fft2(image, axes=(0, 1)) * ramp[..., None], axes=(0, 1)).real
    return np.clip(np.round(moved), 0, 255).astype(np.uint8)


def look(phone: np.ndarray, dslr: np.ndarray) -> Search:
    return search(*comparable(phone, dslr, NO_NOISE)[:2])


def residual(phone: np.ndarray, dslr: np.ndarray) -> Residual:
    return look(phone, dslr).residual()


@pytest.fixture(scope="module")
def image(texture) -> np.ndarray:
    smooth = cv2.GaussianBlur(texture(360, 440), (0, 0), 0.7)
    return ((smooth.astype(float) - 128) * 0.7 + 128).astype(np.uint8)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0.25, 0), (0.5, -0.3), (-1.4, 0.75), (3, -4), (-5.2, 5.6)])
def test_a_known_shift_is_measured_with_its_sign(image: np.ndarray, x: float, y: float) -> None:
    found = look(image, shifted(image, x, y))
    assert found.found.sum() > 40
    np.testing.assert_allclose(np.median(found.shifts[found.found], axis=0), (x, y), atol=0.03)
    left = found.residual()
    assert left.windows == found.found.sum()
    assert left.textured == len(found.places)
    assert left.median_px == pytest.approx(np.hypot(x, y), abs=0.03)


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
    found = search(grey, grey)
    assert 250 <= len(found.places) <= 1000
    assert found.step == 64
    for axis in (0, 1):
        assert np.unique(np.diff(np.unique(found.places[:, axis]))).tolist() == [64]


def test_places_are_windows_inside_whatever_lies_around_them(image: np.ndarray) -> None:
    found = look(image, image)
    assert found.step == 32
    assert found.places.min() == 8
    assert (found.places + 64 + 8 <= np.array(image.shape[1::-1])).all()


def test_a_shift_beyond_the_search_is_not_taken_for_a_small_one(image: np.ndarray) -> None:
    found = residual(image, shifted(image, 30, 0))
    assert found.windows < 5
    assert found.median_px is None


# Windows at their place, and wrong ones


def test_windows_of_one_scene_are_right_and_those_that_moved_are_wrong(image: np.ndarray) -> None:
    part = image.copy()
    part[:, :160] = shifted(image, 4, 0)[:, :160]
    found = look(image, part)
    moved, still = found.places[:, 0] + 64 + 8 <= 156, found.places[:, 0] >= 160
    assert moved.sum() > 10
    assert found.amiss[moved].all()
    assert not found.right[moved].any()
    assert found.right[still].all()
    assert not found.amiss[still].any()


def test_windows_farther_off_than_the_search_are_wrong(image: np.ndarray) -> None:
    found = look(image, shifted(image, 8, 0))
    assert found.at_edge.mean() > 0.9
    assert found.amiss[found.at_edge].all()
    assert found.residual().edge == found.at_edge.sum()
    assert found.residual().windows == (~found.at_edge).sum()


def test_windows_that_show_another_thing_are_wrong(image: np.ndarray, texture) -> None:
    found = look(image, texture(360, 440, seed=7))
    assert found.amiss.mean() > 0.9
    assert found.right.mean() < 0.05


def test_blur_and_noise_make_no_window_wrong(image: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    blurred = cv2.GaussianBlur(image, (0, 0), 1.5) + rng.normal(0, 3, image.shape)
    found = look(image, blurred.round().clip(0, 255).astype(np.uint8))
    assert found.right.all()
    assert not found.amiss.any()


def test_the_residual_of_some_windows_is_theirs(image: np.ndarray) -> None:
    part = image.copy()
    part[:, :160] = shifted(image, 4, 0)[:, :160]
    found = look(image, part)
    still = found.places[:, 0] >= 160
    left = found.residual(still)
    assert left.textured == left.windows == still.sum()
    assert left.p95_px < 0.05
    assert found.residual().p95_px > 1
