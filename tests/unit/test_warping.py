"""The DSLR's photo on the phone's grid: where things lie, and that nothing aliases or is invented."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.geometry import Box, full_from_reduced, transform_points, translation
from pipeline.transform import Field, Transform
from pipeline.warping import common_box, scale_at, warp_dslr


def wave(x: np.ndarray, period: float) -> np.ndarray:
    return 128 + 80 * np.sin(2 * np.pi * x / period)


def waves(height: int, width: int, period: float) -> np.ndarray:
    """A wave along x in all channels."""
    row = wave(np.arange(width), period).round().astype(np.uint8)
    return np.repeat(np.broadcast_to(row, (height, width))[..., None], 3, axis=2)


def phase_px(image: np.ndarray, expected: np.ndarray, period: float) -> tuple[float, float]:
    """How far a wave lies from the expected places (px), and its amplitude over the expected one, by least squares."""
    values = image[..., 1].astype(float).mean(axis=0) - 128
    angle = 2 * np.pi * expected / period
    sine, cosine = np.linalg.lstsq(np.column_stack([np.sin(angle), np.cos(angle)]), values, rcond=None)[0]
    return float(np.arctan2(cosine, sine) * period / (2 * np.pi)), float(np.hypot(sine, cosine) / 80)


def test_a_shifted_wave_lies_where_it_should() -> None:
    period, shift = 16.0, 3.4
    warped = warp_dslr(waves(60, 200, period), Transform(translation(shift, 0)), Box(20, 10, 120, 30))
    assert warped.shape == (30, 120, 3)
    offset, amplitude = phase_px(warped, np.arange(120) + 20 + shift, period)
    assert abs(offset) < 0.013
    assert amplitude == pytest.approx(1, abs=0.03)


def test_at_half_the_size_a_wave_lies_where_it_should() -> None:
    """Each phone px covers two DSLR px: pixel 0 lies between DSLR pixels 0 and 1."""
    period = 32.0
    dslr_from_phone = full_from_reduced((200, 100), (100, 50))
    warped = warp_dslr(waves(100, 200, period), Transform(dslr_from_phone), Box(10, 5, 80, 40))
    offset, amplitude = phase_px(warped, 2 * (np.arange(80) + 10) + 0.5, period)
    assert abs(offset) < 0.02
    # The prefilter, sigma 0.5 * sqrt(3) px, leaves exp(-2 (pi sigma / period)^2).
    assert amplitude == pytest.approx(np.exp(-2 * (np.pi * 0.5 * 3**0.5 / period) ** 2), abs=0.02)


def test_detail_finer_than_the_phones_grid_does_not_alias() -> None:
    # Period 5 of 4 DSLR px a phone px: without a filter a wave of 5 phone px at full strength would appear.
    warped = warp_dslr(waves(200, 400, 5.0), Transform(np.diag([4.0, 4.0, 1.0])), Box(5, 5, 80, 30))
    assert warped.std() < 0.1 * waves(200, 400, 5.0).std()


def test_the_identity_keeps_every_pixel(texture) -> None:
    photo = texture(50, 70)
    np.testing.assert_array_equal(warp_dslr(photo, Transform(np.eye(3)), Box(0, 0, 70, 50)), photo)
    np.testing.assert_array_equal(warp_dslr(photo, Transform(np.eye(3)), Box(8, 6, 40, 30)), photo[6:36, 8:48])


def test_a_whole_shift_moves_whole_pixels(texture) -> None:
    photo = texture(50, 70)
    np.testing.assert_array_equal(warp_dslr(photo, Transform(translation(5, 3)), Box(0, 0, 40, 30)), photo[3:33, 5:45])


def test_a_flat_photo_stays_flat_within_the_common_box() -> None:
    dslr = np.full((200, 300, 3), 200, np.uint8)
    matrix = np.array([[2.1, 0.05, -30], [-0.04, 2.0, -25], [1e-5, 2e-5, 1]])
    box = common_box((200, 150), (300, 200), Transform(matrix))
    assert box is not None
    assert np.ptp(warp_dslr(dslr, Transform(matrix), box)) == 0


def test_the_common_box_leaves_the_rim_out() -> None:
    # margin 4 at scale 1: x from 4 to 95 of the DSLR are -6 .. 85 of the phone
    assert common_box((200, 150), (100, 80), Transform(translation(10, 0))) == Box(0, 4, 86, 72)


def test_photos_that_share_nothing_have_no_common_box() -> None:
    assert common_box((200, 150), (100, 80), Transform(translation(5000, 0))) is None


def test_the_scale_is_that_of_the_boxs_centre() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [0.001, 0, 1]])
    box = Box(100, 50, 21, 11)
    step = transform_points(matrix, np.array([[109.5, 55.0], [110.5, 55], [110, 54.5], [110, 55.5]]))
    area = np.linalg.det(np.array([step[1] - step[0], step[3] - step[2]]))
    assert scale_at(Transform(matrix), box) == pytest.approx(area**0.5, rel=1e-6)


# With a field, as lenses bend


def field(size: tuple[int, int], terms: int, **values: float) -> Field:
    """A displacement along x in px, by the number of its term."""
    coefficients = np.zeros((terms, 2))
    for name, value in values.items():
        coefficients[int(name.removeprefix("term")), 0] = value
    return Field(size, coefficients)


def test_a_field_that_moves_all_alike_moves_whole_pixels(texture) -> None:
    photo = texture(50, 70)
    moved = Transform(translation(2, 3), field((70, 50), 10, term0=3))
    np.testing.assert_array_equal(warp_dslr(photo, moved, Box(0, 0, 40, 30)), photo[3:33, 5:45])


def test_a_wave_behind_a_bend_lies_where_it_should() -> None:
    """u^2, 2 px at the rim, puts it where the transform maps the columns to."""
    period, box = 16.0, Box(20, 10, 160, 30)
    bent = Transform(np.eye(3), field((200, 60), 10, term3=2))
    columns = np.arange(160) + 20.0
    expected = columns + 2 * ((columns - 99.5) / 100) ** 2
    offset, amplitude = phase_px(warp_dslr(waves(60, 200, period), bent, box), expected, period)
    assert abs(offset) < 0.013
    assert amplitude == pytest.approx(1, abs=0.03)
    straight, _ = phase_px(warp_dslr(waves(60, 200, period), Transform(np.eye(3)), box), expected, period)
    assert abs(straight) > 0.3


def test_the_common_box_follows_a_bend() -> None:
    """Along x the phone's columns lie 6 u^2 px to the right, so that the right rim comes in by as much."""
    bent = Transform(np.eye(3), field((200, 100), 10, term3=6))
    straight = common_box((200, 100), (200, 100), Transform(np.eye(3)))
    assert straight == Box(4, 4, 192, 92)
    box = common_box((200, 100), (200, 100), bent)
    assert box is not None
    columns = np.arange(200.0)
    inside = np.flatnonzero(np.abs(columns + 6 * ((columns - 99.5) / 100) ** 2 - 99.5) <= 95.5)
    assert (box.x, box.x + box.width - 1) == (inside[0], inside[-1])
