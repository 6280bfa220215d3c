"""Measured shifts: known sub-pixel shifts are found despite other differences, and windows know how exact they are."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure.shifts import SMOOTHING, WINDOW, Shifts, even_detail, measure_shifts, window_centres

HEIGHT, WIDTH = 320, 384
SHIFTS = [(0.0, 0.0), (0.1, 0.0), (0.25, -0.1), (0.5, 0.5), (-0.37, 0.8), (0.9, -0.63)]

Change = Callable[[np.ndarray], np.ndarray]


def picture(seed: int = 0) -> np.ndarray:
    """Detail of three sizes, 0..255, that repeats itself beyond its rim, so that it can be shifted exactly."""
    rng = np.random.default_rng(seed)
    layers = []
    for sigma in (1.0, 3.0, 8.0):
        noise = np.pad(rng.normal(size=(HEIGHT, WIDTH)), 40, mode="wrap")
        layers.append(cv2.GaussianBlur(noise, (0, 0), sigma)[40:-40, 40:-40])
    return np.asarray(128 + 20 * sum(layer / layer.std() for layer in layers))


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """What lies at (0, 0) of the image lies at (x, y) of the result: exact, by the Fourier transform."""
    height, width = image.shape
    ramp = np.exp(-2j * np.pi * (np.fft.fftfreq(height)[:, None] * y + np.fft.fftfreq(width)[None, :] * x))
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * ramp).real)


def smooth(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), SMOOTHING))


def inner(shifts: Shifts) -> Shifts:
    """The windows away from the rim, where a picture that was shifted shows its other side."""
    low, high = np.array([40, 40]), np.array([WIDTH, HEIGHT]) - 41
    return shifts.where(((shifts.centres > low) & (shifts.centres < high)).all(axis=1))


def found_shift(phone: np.ndarray, dslr: np.ndarray, passes: int = 4) -> np.ndarray:
    """The mean shift (2,), after warping by what was found and measuring again."""
    total, plain, wide = np.zeros(2), even_detail(smooth(phone)), smooth(dslr)
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    for _ in range(passes):
        maps = x + np.float32(total[0]), y + np.float32(total[1])
        warped = cv2.remap(wide, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        total = total + inner(measure_shifts(plain, even_detail(warped))).shifts.mean(axis=0)
    return total


def ramp(strength: float) -> np.ndarray:
    return 1 - strength * np.linspace(-1, 1, WIDTH)[None, :] ** 2


CHANGES: dict[str, Change] = {
    "nothing": lambda image: image,
    "gain and offset": lambda image: 0.6 * image + 30,
    "vignetting": lambda image: image * ramp(0.4),
    "brightness from side to side": lambda image: image + np.linspace(-40, 40, WIDTH)[None, :],
    "gamma": lambda image: 255 * (np.clip(image, 0, 255) / 255) ** 0.6,
    "rounding": lambda image: np.rint(np.clip(image, 0, 255)),
    "noise": lambda image: image + np.random.default_rng(5).normal(0, 4, image.shape),
}


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_known_shift_is_recovered_to_a_hundredth_of_a_px(shift: tuple[float, float], change: str) -> None:
    image = picture()
    found = found_shift(image, CHANGES[change](shifted(image, *shift)))
    np.testing.assert_allclose(found, shift, atol=0.01)


def test_noise_in_both_images_does_not_pull() -> None:
    rng = np.random.default_rng(2)
    image = picture()
    phone, dslr = (part + rng.normal(0, 6, image.shape) for part in (image, shifted(image, 0.5, -0.5)))
    np.testing.assert_allclose(found_shift(phone, dslr), (0.5, -0.5), atol=0.01)


@pytest.mark.parametrize(("grain", "noise"), [(1.0, 2.0), (1.0, 6.0), (2.0, 4.0), (5.0, 4.0)])
def test_windows_know_how_good_they_are(grain: float, noise: float) -> None:
    """Squared errors in units of the windows' own covariances have a mean of 2 if those are right.

    What the windows claim is too careful by a factor of up to 2.7, and never too good.
    """
    squared = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        texture = cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH)), (0, 0), grain)
        both = [128 + 30 * texture / texture.std() + rng.normal(0, noise, texture.shape) for _ in range(2)]
        shifts = measure_shifts(*(even_detail(smooth(image)) for image in both))
        squared.append(np.einsum("ni,nij,nj->n", shifts.shifts, shifts.information, shifts.shifts))
    assert 0.75 < np.concatenate(squared).mean() < 2.0


def test_an_edge_tells_of_one_direction_only() -> None:
    step = np.zeros((192, 192))
    step[:, 90:] = 100
    rng = np.random.default_rng(0)
    both = [even_detail(smooth(step + rng.normal(0, 1, step.shape))) for _ in range(2)]
    shifts = measure_shifts(*both)
    middle = shifts.where((np.abs(shifts.centres - 95.5) < 20).all(axis=1))
    assert len(middle) == 1
    across, along = middle.information[0, 0, 0], middle.information[0, 1, 1]
    assert across > 20 * along
    assert abs(middle.shifts[0, 0]) < 0.05


def test_equal_images_are_not_shifted_and_other_images_are_unlike() -> None:
    first, second = (even_detail(smooth(picture(seed))) for seed in (0, 1))
    equal = measure_shifts(first, first)
    np.testing.assert_allclose(equal.shifts, 0, atol=1e-6)
    np.testing.assert_allclose(equal.ncc, 1, atol=1e-5)
    assert np.abs(measure_shifts(first, second).ncc).max() < 0.5


def test_centres_by_hand() -> None:
    # Windows of 64 px, every 32 px, of 130 x 97 px: at x = 0, 32, 64 and y = 0, 32.
    xs, ys = [31.5, 63.5, 95.5], [31.5, 63.5]
    np.testing.assert_array_equal(window_centres(97, 130), [[x, y] for y in ys for x in xs])
    image = np.random.default_rng(0).normal(size=(97, 130)).astype(np.float32)
    np.testing.assert_array_equal(measure_shifts(image, image).centres, window_centres(97, 130))


@pytest.mark.parametrize("shape", [(WINDOW - 1, 500), (500, WINDOW - 1), (40, 40)])
def test_an_image_without_room_for_a_window_has_none(shape: tuple[int, int]) -> None:
    image = np.zeros(shape, np.float32)
    shifts = measure_shifts(image, image)
    assert len(shifts) == 0
    assert shifts.shifts.shape == (0, 2)
    assert shifts.information.shape == (0, 2, 2)


def test_a_flat_image_tells_nothing() -> None:
    flat, image = np.zeros((HEIGHT, WIDTH), np.float32), even_detail(smooth(picture()))
    for pair in ((flat, flat), (image, flat), (flat, image)):
        shifts = measure_shifts(*pair)
        assert np.isfinite(shifts.shifts).all()
        assert np.abs(shifts.ncc).max() < 0.5
        assert shifts.information.max() < 0.05  # a standard deviation of 4 px or more


def test_shading_and_contrast_are_evened_out() -> None:
    """A brightness that falls from side to side goes, and so does a gain; only near the rim something is left."""
    image = smooth(picture())
    plain = even_detail(image)
    core = np.s_[32:-32, 32:-32]
    assert abs(plain[core].mean()) < 0.02
    slope = (0.5 * np.arange(WIDTH, dtype=np.float32))[None, :]
    assert np.abs(even_detail(image + slope) - plain)[core].max() < 0.02 * plain.std()
    assert np.abs(even_detail(3 * image + 50) - plain)[core].max() < 0.02 * plain.std()
    assert plain[core].std() == pytest.approx(1, abs=0.1)


def test_chosen_windows_keep_all_that_belongs_to_them() -> None:
    shifts = measure_shifts(*(even_detail(smooth(picture(seed))) for seed in (0, 1)))
    chosen = np.arange(len(shifts)) % 3 == 1
    some = shifts.where(chosen)
    assert len(some) == chosen.sum()
    for name in ("centres", "shifts", "information", "ncc"):
        np.testing.assert_array_equal(getattr(some, name), getattr(shifts, name)[chosen])
