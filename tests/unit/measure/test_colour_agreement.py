"""Colours of an aligned pair: what one smooth transform explains is no difference, false colours of a part are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.measure.colour_agreement import ColourAgreement, burnt_and_black

SIDE = 60
CORNERS = np.array([[0, 0], [120, 60], [240, 180], [300, 240]])


def scene(seed: int = 1) -> np.ndarray:
    """Patches of colour with fine detail, (360, 480, 3) BGR."""
    rng = np.random.default_rng(seed)
    colours = cv2.resize(rng.integers(30, 200, (18, 24, 3)).astype(np.uint8), (480, 360), interpolation=cv2.INTER_CUBIC)
    return np.clip(colours + rng.normal(0, 6, colours.shape), 10, 240).astype(np.uint8)


def differences(phone: np.ndarray, dslr: np.ndarray) -> np.ndarray:
    return ColourAgreement.of(phone, dslr, SIDE).differences(CORNERS, SIDE)


def other_camera(image: np.ndarray) -> np.ndarray:
    """Another white balance, contrast and mixture of channels, and a rim that is darker by a third."""
    mixed = image.astype(float) @ np.array([[0.9, 0.05, 0.0], [0.05, 0.85, 0.1], [0.0, 0.1, 1.1]])
    y, x = np.mgrid[-1:1:360j, -1:1:480j]
    return np.clip(mixed * (1 - 0.17 * (x**2 + y**2))[..., None] * 0.9 + 8, 0, 255).astype(np.uint8)


def test_cameras_may_differ_as_a_whole_and_towards_the_rim() -> None:
    # The first window lies in the darkest corner.
    assert differences(scene(), other_camera(scene())).max() < 12


def test_false_colours_of_a_part_are_seen_there_alone() -> None:
    phone = scene().astype(int)
    # As after damage: the means of two channels have changed, and the grey detail has not.
    phone[180:, 240:] += np.array([50, 0, -60])
    found = differences(np.clip(phone, 0, 255).astype(np.uint8), other_camera(scene()))
    assert found[:2].max() < 12
    assert found[2:].min() > 30


def test_a_quarter_of_a_window_is_enough() -> None:
    phone = scene().astype(int)
    phone[180:210, 240:270] += np.array([60, 0, -70])
    found = differences(np.clip(phone, 0, 255).astype(np.uint8), scene())
    assert found[2] > 35
    assert found[[0, 1, 3]].max() < 6


@pytest.mark.parametrize("part", [np.s_[200:], np.s_[:, 240:], np.s_[:150], np.s_[:, :200]], ids=str)
def test_half_of_the_photo_may_have_false_colours(part) -> None:
    phone = scene().astype(int)
    phone[part] += np.array([90, -30, 60])
    spoilt = np.zeros(phone.shape[:2], bool)
    spoilt[part] = True
    found = differences(np.clip(phone, 0, 255).astype(np.uint8), other_camera(scene()))
    shares = np.array([spoilt[y : y + SIDE, x : x + SIDE].mean() for x, y in CORNERS])
    apart = found[shares > 0.5].mean() - found[shares < 0.5].mean()
    # Nobody knows which of two halves is right; but one is refused, and the other is not.
    assert abs(apart) > 35


@pytest.mark.parametrize(("gain", "low", "high"), [(0.9, 0, 5), (1.12, 0, 5), (0.4, 25, 255)])
def test_a_window_may_be_darker_or_brighter_within_limits(gain: float, low: float, high: float) -> None:
    phone = scene().astype(float)
    phone[180:240, 240:300] *= gain
    found = differences(np.clip(phone, 0, 255).astype(np.uint8), scene())
    assert low <= found[2] <= high


def test_what_is_burnt_out_says_nothing() -> None:
    phone, dslr = scene(), scene()
    dslr[180:240, 240:300] = 255
    found = differences(phone, dslr)
    assert np.isnan(found[2])
    assert found[[0, 1, 3]].max() < 3


def test_too_few_cells_give_no_transform() -> None:
    assert ColourAgreement.of(scene()[:60, :60], scene()[:60, :60], SIDE) is None
    assert ColourAgreement.of(np.full((360, 480, 3), 255, np.uint8), scene(), SIDE) is None


@pytest.mark.parametrize("cell", [4, 13, 16, 23, 63])
@pytest.mark.parametrize(("level", "which"), [(255, 0), (0, 1)])
def test_clipped_cells_are_those_that_hold_the_clipped_parts(cell: int, level: int, which: int) -> None:
    """Cells whose side is no multiple of four as well, and far from the first one."""
    images = [np.full((5 * cell + 2, 30 * cell + 3, 3), 128, np.uint8) for _ in range(2)]
    images[1][2 * cell : 3 * cell, 25 * cell :, 1] = level
    found = burnt_and_black(images, cell)
    expected = np.zeros((5, 30), bool)
    expected[2, 25:] = True
    np.testing.assert_array_equal(found[which], expected)
    assert not found[1 - which].any()
