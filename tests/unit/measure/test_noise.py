"""The noise of a pair by brightness, that of a single photo, and the smoothing that fits it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure.noise import NO_NOISE, NoiseModel, PairNoise, sensor_noise
from dpedtool.pipeline.measure.shifts import SMOOTHING, gradients


def pair(sigma_dark: float, sigma_bright: float) -> tuple[np.ndarray, np.ndarray]:
    """A dark half and a bright one, with detail in the lower half of both, and noise in the phone's photo."""
    rng = np.random.default_rng(0)
    dslr = np.where(np.arange(320) < 160, 48.0, 208.0) * np.ones((320, 1))
    dslr[160:] += np.kron(rng.normal(0, 12, (80, 160)), np.ones((2, 2)))
    sigma = np.where(np.arange(320) < 160, sigma_dark, sigma_bright)
    phone = dslr + rng.normal(0, 1, dslr.shape) * sigma
    # What sharpening leaves on detail is not noise.
    phone[160:] += 0.5 * (dslr[160:] - np.roll(dslr[160:], 1, axis=1))
    return phone.astype(np.float32), dslr.astype(np.float32)


def test_noise_is_measured_by_brightness_and_without_detail() -> None:
    model = NoiseModel.of(*pair(4.0, 1.5))
    dark, bright = model.at(np.array([48.0, 208.0]))
    assert dark == pytest.approx(4.0, rel=0.1)
    assert bright == pytest.approx(1.5, rel=0.1)
    # Brightness that the pair does not show takes the noise of the nearest that it does.
    assert model.at(np.array([0.0, 255.0])).tolist() == pytest.approx([dark, bright])


def test_the_gain_is_that_of_the_exposures() -> None:
    dslr = np.float32(scene(0)) / 2
    phone = dslr + np.random.default_rng(4).normal(0, 2, dslr.shape).astype(np.float32)
    assert NoiseModel.of(phone, dslr).gain == pytest.approx(1.0, rel=0.02)
    assert NoiseModel.of(0.25 * phone, dslr).gain == pytest.approx(0.25, rel=0.02)
    # Vignetting is no gain.
    shade = np.linspace(1, 0.3, 640, dtype=np.float32) * 160
    assert NoiseModel.of(phone, dslr + shade).gain == pytest.approx(1.0, rel=0.05)
    flat = np.full((64, 64), 9, np.float32)
    assert NoiseModel.of(flat, flat).gain == 0


def scene(sigma: float) -> np.ndarray:
    """Slopes everywhere, edges in a third, and noise."""
    rows, columns = np.mgrid[:480, :640]
    image = 40 + 0.2 * rows + 0.1 * columns
    image[320:] += 40 * ((columns[320:] // 7) % 2)
    noise = np.random.default_rng(1).normal(0, sigma, image.shape) if sigma else 0
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [3.0, 15.0, 30.0])
def test_the_noise_of_one_photo_is_told_from_its_detail(sigma: float) -> None:
    # The quietest blocks are a little quieter than the noise.
    assert 0.85 * sigma < sensor_noise(scene(sigma)) < 1.02 * sigma


def test_a_photo_without_noise_has_nearly_none() -> None:
    # 8 bit round to 0.29 grey levels.
    assert sensor_noise(scene(0)) < 0.5
    assert sensor_noise(np.zeros((480, 640), np.uint8)) == 0
    assert sensor_noise(np.zeros((15, 640), np.uint8)) == 0


def test_black_parts_do_not_hide_the_noise_of_others() -> None:
    night = scene(20.0)
    night[:200] = 0
    assert 0.85 * 20 < sensor_noise(night) < 1.02 * 20
    assert sensor_noise(np.full((64, 64), 255, np.uint8)) == 0


def test_rounding_alone_makes_a_difference() -> None:
    flat = np.full((64, 64), 9, np.float32)
    assert NoiseModel.of(flat, flat).at(np.array([9.0])) == pytest.approx(0.4)


def test_the_smoothing_makes_noise_gentler_than_detail() -> None:
    assert NO_NOISE.smoothing == SMOOTHING
    assert PairNoise(3.0, 4.0).smoothing == SMOOTHING
    loud = PairNoise(30.0, 16.0)
    # By hand: 34 / sqrt(8 pi) / 0.75 = 9.04 = 3.01^2.
    assert loud.smoothing == pytest.approx(3.007, abs=0.001)
    assert loud.reduced(4) == PairNoise(7.5, 4.0)
    white = np.random.default_rng(2).normal(0, 34, (400, 400)).astype(np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), loud.smoothing)
    assert gradients(smooth)[0][20:-20, 20:-20].std() == pytest.approx(0.75, rel=0.05)


def test_images_too_small_for_a_block_have_no_noise() -> None:
    empty = np.zeros((9, 400), np.float32)
    assert NoiseModel.of(empty, empty).at(np.array([100.0])) == 0
