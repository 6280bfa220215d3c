"""What the windows of a pair agree on: shifts that are known, places that have no texture, windows that contradict."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure.consensus import Consensus
from dpedtool.pipeline.measure.shifts import SMOOTHING

MIDDLES = np.array([[100.0, 120.0], [320.0, 240.0], [560.0, 400.0]])


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(480, 640)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return 128 + 30 * smooth / smooth.std()


def moved(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """The image with its content moved to the right and down; OpenCV's cubic kernel is off by up to 0.06 px."""
    height, width = image.shape
    matrix = np.float32([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def agreed(phone: np.ndarray, dslr: np.ndarray, noise: float = 1.0) -> Consensus:
    rng = np.random.default_rng(5)
    noisy = (image + rng.normal(0, noise, image.shape).astype(np.float32) for image in (phone, dslr))
    found = Consensus.of(*(cv2.GaussianBlur(image, (0, 0), SMOOTHING) for image in noisy))
    assert found is not None
    return found


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.2)])
def test_a_shift_of_all_is_found_with_its_error(shift: tuple[float, float]) -> None:
    shifts, errors = agreed(texture(), moved(texture(), *shift)).at(MIDDLES)
    np.testing.assert_allclose(shifts, np.tile(shift, (3, 1)), atol=0.07)
    assert errors.max() < 0.05


def test_a_plain_place_is_known_by_those_around_it_less_well_the_farther_they_are() -> None:
    phone = texture()
    phone[120:360, 160:480] = 128
    found = agreed(phone, moved(phone, 0.25, 0.0), noise=8.0)
    shifts, errors = found.at(np.array([[80.0, 240.0], [180.0, 240.0], [320.0, 240.0]]))
    np.testing.assert_allclose(shifts[:, 0], 0.25, atol=0.07)
    assert errors[0] < errors[1] < errors[2] < 0.12


def test_where_nothing_has_texture_nothing_is_known() -> None:
    plain = np.full((480, 640), 128, np.float32)
    assert Consensus.of(plain, plain) is None
    # Noise alone agrees on nothing.
    rng = np.random.default_rng(5)
    noisy = [cv2.GaussianBlur(np.float32(plain + rng.normal(0, 8, plain.shape)), (0, 0), SMOOTHING) for _ in range(2)]
    found = Consensus.of(noisy[0], noisy[1])
    assert found is None or found.at(MIDDLES)[1].min() > 0.3


def test_the_error_grows_towards_places_that_no_window_has_seen() -> None:
    """A sky above a town: the bend of the photo is known less and less well there."""
    phone = texture()
    phone[:240] = 128
    heights = np.array([[320.0, 400.0], [320.0, 240.0], [320.0, 140.0], [320.0, 20.0]])
    shifts, errors = agreed(phone, moved(phone, 0.25, 0.0)).at(heights)
    assert (np.diff(errors) > 0).all()
    assert errors[0] < 0.05
    assert errors[3] > 3 * errors[1]
    assert (np.abs(shifts[:, 0] - 0.25) < 0.07 + 3 * errors).all()


def test_noise_makes_errors_larger_and_they_hold() -> None:
    quiet, loud = (agreed(texture(), texture(), noise).at(MIDDLES) for noise in (1.0, 25.0))
    assert loud[1].min() > 1.5 * quiet[1].max()
    assert np.linalg.norm(loud[0], axis=1).max() < 3 * loud[1].max()


def test_a_part_that_moved_does_not_pull_the_others() -> None:
    dslr = texture()
    dslr[200:280, 280:360] = moved(texture(), 1.5, 0.0)[200:280, 280:360]
    shifts, _ = agreed(texture(), dslr).at(MIDDLES[[0, 2]])
    assert np.abs(shifts).max() < 0.05


def test_images_without_a_window_have_no_consensus() -> None:
    small = np.zeros((40, 300), np.float32)
    assert Consensus.of(small, small) is None


def test_one_row_of_windows_is_enough() -> None:
    strip = texture()[:70]
    shifts, errors = agreed(strip, moved(strip, 0.2, 0.0)).at(np.array([[300.0, 35.0]]))
    assert shifts[0, 0] == pytest.approx(0.2, abs=0.07)
    assert np.isfinite(errors).all()
