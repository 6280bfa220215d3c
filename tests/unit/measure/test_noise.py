"""The noise of a pair: what gain and offset leave, by brightness, on the plainest parts."""

from __future__ import annotations

import numpy as np
import pytest

from dpedtool.pipeline.measure.noise import NoiseModel, unexplained


def test_what_is_left_by_hand() -> None:
    dslr = np.float32([[0, 2, 4, 6]])
    assert unexplained(3 * dslr + 7, dslr) == pytest.approx(0, abs=1e-5)
    # 1, -1, -1, 1 is orthogonal to the ramp and to a constant.
    assert unexplained(3 * dslr + np.float32([[1, -1, -1, 1]]), dslr) == pytest.approx(1, abs=1e-5)
    # A window of one grey value explains nothing.
    assert unexplained(np.float32([[1, -1, 1, -1]]), np.float32([[5, 5, 5, 5]])) == pytest.approx(1, abs=1e-5)


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


def test_images_too_small_for_a_block_have_no_noise() -> None:
    assert NoiseModel.of(np.zeros((9, 400), np.float32), np.zeros((9, 400), np.float32)).at(np.array([100.0])) == 0
