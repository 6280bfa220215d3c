"""Sub-pixel places of windows against known shifts, with noise, another exposure, and edges that fix one direction."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure.shifts import SMOOTHING
from dpedtool.pipeline.measure.subpixel import locate

CORNERS = np.array([[x, y] for y in range(60, 300, 80) for x in range(60, 300, 80)])


def pair(shift: tuple[float, float], noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Phone and DSLR, smoothed: the phone shows what the DSLR shows at x at x + shift, exactly, by its spectrum."""
    rng = np.random.default_rng(5)
    spectrum = np.fft.fft2(cv2.GaussianBlur(rng.normal(size=(420, 420)), (0, 0), 1.5))
    rows, columns = (np.fft.fftfreq(420)[:, None], np.fft.fftfreq(420)[None])
    moved = np.fft.ifft2(spectrum * np.exp(-2j * np.pi * (columns * shift[0] + rows * shift[1]))).real
    images = [image / 0.188 * 35 + 120 for image in (moved, np.fft.ifft2(spectrum).real)]
    images[0] = images[0] * 0.7 + 30
    noisy = [image + rng.normal(size=image.shape) * noise for image in images]
    phone, dslr = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), SMOOTHING) for image in noisy)
    return phone, dslr


def located(phone: np.ndarray, dslr: np.ndarray, found: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    shifts = np.tile(np.array(found, np.float64), (len(CORNERS), 1))
    places = locate(phone, dslr, (CORNERS, CORNERS), 80, shifts, np.zeros(len(CORNERS)))
    return places.shifts, places.errors


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.2), (0.5, 0.5), (2.25, -3.4)])
def test_known_shifts_come_back_to_a_hundredth(shift: tuple[float, float]) -> None:
    found, errors = located(*pair(shift), (round(shift[0]), round(shift[1])))
    np.testing.assert_allclose(found, np.tile(shift, (len(CORNERS), 1)), atol=0.012)
    assert (errors < 0.01).all()


def test_the_error_that_is_claimed_is_the_one_that_noise_makes() -> None:
    found, errors = located(*pair((0.2, 0.1), noise=12), (0, 0))
    off = found - (0.2, 0.1)
    rms = np.sqrt((off**2).mean())
    assert 0.01 < rms < 0.06
    # Careful, not exact: fine detail suffers less from smoothed noise than is assumed.
    assert rms * 0.8 < errors.mean() < 3 * rms


def test_a_search_that_was_a_pixel_off_is_corrected() -> None:
    found, _ = located(*pair((1.3, 0.0)), (0, 0))
    np.testing.assert_allclose(found, np.tile((1.3, 0.0), (len(CORNERS), 1)), atol=0.02)


def test_what_lies_farther_than_a_step_reaches_is_not_made_up() -> None:
    found, errors = located(*pair((5.0, 4.0)), (0, 0))
    assert np.isnan(found).all()
    assert np.isnan(errors).all()


def test_an_edge_tells_of_one_direction_only() -> None:
    edge = np.where(np.arange(420) < 210, 60, 180)[None].repeat(420, axis=0).astype(np.float32)
    rng = np.random.default_rng(0)
    noisy = [edge + rng.normal(size=edge.shape).astype(np.float32) for _ in range(2)]
    phone, dslr = (cv2.GaussianBlur(image, (0, 0), SMOOTHING) for image in noisy)
    corner = np.array([[170, 100]])
    places = locate(phone, dslr, (corner, corner), 80, np.zeros((1, 2)), np.zeros(1))
    assert np.isnan(places.errors[0]) or places.errors[0] > 0.3


def test_flat_windows_are_not_measured() -> None:
    flat = np.full((200, 200), 50, np.float32)
    corner = np.array([[60, 60]])
    places = locate(flat, flat, (corner, corner), 80, np.zeros((1, 2)), np.zeros(1))
    assert np.isnan(places.errors).all()


def test_windows_are_measured_alike_alone_and_together() -> None:
    phone, dslr = pair((0.4, -0.3), noise=4)
    together, _ = located(phone, dslr, (0, 0))
    for corner, expected in zip(CORNERS, together, strict=True):
        alone = locate(phone, dslr, (corner[None], corner[None]), 80, np.zeros((1, 2)), np.zeros(1))
        np.testing.assert_allclose(alone.shifts[0], expected, atol=1e-5)
