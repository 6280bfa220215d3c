"""The DSLR's photo on the phone's grid: where things lie, and that nothing aliases or is invented."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.pipeline.geometry import warping
from dpedtool.pipeline.geometry.homographies import Box, full_from_reduced, transform_points, translation
from dpedtool.pipeline.geometry.transform import Field, Nodes, Transform
from dpedtool.pipeline.geometry.warping import (
    Resampler,
    common_box,
    cubic_weights,
    prefilter_sigma,
    scale_at,
    warp_dslr,
)


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


# What the kernels do to waves


def test_the_cubic_kernels_weights_by_hand() -> None:
    np.testing.assert_allclose(cubic_weights(np.array([0.0])), [[0, 1, 0, 0]], atol=1e-15)
    np.testing.assert_allclose(cubic_weights(np.array([0.5])), [[-0.09375, 0.59375, 0.59375, -0.09375]], atol=1e-15)


def test_the_cubic_kernels_weights_are_opencvs() -> None:
    phases = np.arange(32) / 32
    impulse = np.eye(1, 9, 4, dtype=np.float32)
    places = (4 + phases[:, None] - np.arange(-1, 3)).astype(np.float32)
    weights = cv2.remap(impulse, places, np.zeros_like(places), cv2.INTER_CUBIC)
    np.testing.assert_allclose(weights, cubic_weights(phases), atol=1e-6)


@pytest.mark.parametrize(("radians", "most_px"), [(0.01, 0.008), (0.3, 0.008), (0.6, 0.002), (0.8, 0.008)])
def test_the_phases_asked_for_move_waves_by_the_shifts_wanted(radians: float, most_px: float) -> None:
    shifts = np.arange(100) / 100
    weights = cubic_weights(warping._asked(shifts.astype(np.float32)).astype(float))
    moved = np.angle(weights @ np.exp(1j * radians * np.arange(-1, 3))) / radians
    assert np.abs(moved - shifts).max() < most_px
    plain = np.angle(cubic_weights(shifts) @ np.exp(1j * radians * np.arange(-1, 3))) / radians
    assert np.abs(plain - shifts).max() > 0.025


@pytest.mark.parametrize("scale", [1.0, 1.1, 1.249, 1.251, 1.35, 2.0, 2.7])
@pytest.mark.parametrize("period", [8.0, 12.0, 30.0])
def test_waves_keep_their_place_and_their_gaussian_at_every_scale_and_phase(scale: float, period: float) -> None:
    """Periods in DSLR px; OpenCV 4 rounds places to 1/32 px, so the limit is 0.02 px and not 0.012."""
    photo = waves(40, 700, period)
    gaussian = np.exp(-2 * (np.pi * prefilter_sigma(scale) / period) ** 2)
    for shift in np.arange(8) / 8:
        moved = Transform(np.array([[scale, 0, shift], [0, scale, 0], [0, 0, 1.0]]))
        columns = np.arange(12, 200)
        warped = warp_dslr(photo, moved, Box(12, 10, 188, 4))
        offset, amplitude = phase_px(warped, columns * scale + shift, period)
        assert abs(offset) < 0.02
        assert amplitude == pytest.approx(gaussian, abs=0.025)


@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_an_edge_does_not_ring_more_than_with_lanczos(scale: float) -> None:
    photo = np.full((60, 300, 3), 60, np.uint8)
    photo[:, 150:] = 190
    for shift in np.arange(8) / 8:
        transform = Transform(np.array([[scale, 0, shift], [0, scale, 0], [0, 0, 1.0]]))
        box = Box(10, 10, 210, 20)
        lanczos = cv2.remap(photo, *transform.maps(box), cv2.INTER_LANCZOS4)
        warped = warp_dslr(photo, transform, box)
        assert warped.max() <= max(lanczos.max(), 206)
        assert warped.min() >= min(lanczos.min(), 44)


# Tile by tile


def turned(degrees: int, scale: float, size: tuple[int, int]) -> np.ndarray:
    """About the middle of a DSLR photo of this (width, height), which is that of a phone photo of 400 by 400 px."""
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    scaled = np.diag([scale, scale, 1.0])
    middle = translation((size[0] - 1) / 2, (size[1] - 1) / 2)
    return middle @ rotation @ scaled @ translation(-199.5, -199.5)


@pytest.mark.parametrize("scale", [1.0, 1.1, 1.4, 2.1])
@pytest.mark.parametrize("degrees", [0, 3, 90, 180])
def test_the_size_of_the_tiles_does_not_show(monkeypatch, texture, scale: float, degrees: int) -> None:
    photo = texture(560, 700)
    transform = Transform(turned(degrees, scale, (700, 560)), field((400, 400), 10, term0=0.3, term3=2))
    box = common_box((400, 400), (700, 560), transform)
    assert box is not None
    results = []
    for side in (4096, 512, 173, 96):
        monkeypatch.setattr(warping, "TILE_PX", side)
        results.append(warp_dslr(photo, transform, box))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_quarter_turn_moves_whole_pixels(texture) -> None:
    photo = texture(400, 400)
    warped = warp_dslr(photo, Transform(turned(90, 1.0, (400, 400))), Box(20, 30, 350, 330))
    np.testing.assert_array_equal(warped, np.rot90(photo)[30:360, 20:370])


@pytest.mark.parametrize("scale", [1.0, 1.2, 1.3, 2.0, 3.3])
def test_the_rim_does_not_reach_the_common_box(texture, scale: float) -> None:
    """All that lies beyond the rim is taken from a larger photo instead: no value moves by more than rounding."""
    larger = texture(560, 700)
    photo = larger[30:-30, 30:-30]
    transform = Transform(np.array([[scale, 0, 3.3], [0, scale, 2.7], [0, 0, 1.0]]))
    box = common_box((600, 500), (640, 500), transform)
    assert box is not None
    inner = warp_dslr(photo, transform, box).astype(int)
    outer = warp_dslr(larger, Transform(translation(30, 30) @ transform.homography), box).astype(int)
    assert np.abs(inner - outer).max() <= 1


def test_what_the_dslr_does_not_show_is_black(texture) -> None:
    warped = warp_dslr(texture(50, 70), Transform(translation(-300, 0)), Box(0, 0, 400, 40))
    assert not warped[:, :270].any()
    assert warped[:, 301:369].all(axis=2).any()


# On a finer grid


@pytest.mark.parametrize(("finer", "scale"), [(1, 1.3), (2, 2.0), (2, 3.1), (4, 3.7)])
def test_a_part_is_that_of_the_whole(texture, finer: int, scale: float) -> None:
    nodes = np.random.default_rng(0).normal(size=(17, 19, 2)).astype(np.float32)
    transform = Transform(np.diag([scale, scale, 1.0]), field((150, 130), 10, term0=0.3, term3=2), Nodes(nodes))
    photo, box = texture(560, 700), Box(11, 9, 120, 100)
    resampler = Resampler.of(photo, transform, box, finer)
    whole = resampler.part(Box(0, 0, box.width, box.height))
    assert whole.shape == (100 * finer, 120 * finer, 3)
    for part in (Box(0, 0, 30, 20), Box(8, 16, 40, 40), Box(37, 13, 83, 87)):
        rows = slice(part.y * finer, (part.y + part.height) * finer)
        columns = slice(part.x * finer, (part.x + part.width) * finer)
        np.testing.assert_array_equal(resampler.part(part), whole[rows, columns])


@pytest.mark.parametrize(("finer", "scale"), [(2, 1.9), (2, 2.6), (4, 3.6), (4, 5.2)])
def test_finer_px_divide_those_of_the_phone(finer: int, scale: float) -> None:
    """Px j of the px x of the phone has its centre at x + (j + 0.5) / finer - 0.5."""
    period = 16.0
    transform = Transform(np.diag([scale, scale, 1.0]))
    resampler = Resampler.of(waves(160, 600, period), transform, Box(10, 5, 80, 20), finer)
    offset, amplitude = phase_px(
        resampler.part(Box(3, 2, 70, 10)), ((np.arange(70 * finer) + 0.5) / finer - 0.5 + 13) * scale, period
    )
    assert abs(offset) / scale < 0.01
    wanted = np.exp(-2 * (np.pi * prefilter_sigma(scale / finer) / period) ** 2)
    assert amplitude == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize(("finer", "scale"), [(2, 1.8), (2, 2.4), (4, 3.6), (4, 5.1)])
def test_the_rim_does_not_reach_finer_px_of_the_common_box(texture, finer: int, scale: float) -> None:
    larger = texture(560, 700)
    photo = larger[30:-30, 30:-30]
    transform = Transform(np.array([[scale, 0, 3.3], [0, scale, 2.7], [0, 0, 1.0]]))
    box = common_box((600, 500), (640, 500), transform)
    assert box is not None
    whole = Box(0, 0, box.width, box.height)
    inner = Resampler.of(photo, transform, box, finer).part(whole).astype(int)
    moved = Transform(translation(30, 30) @ transform.homography)
    outer = Resampler.of(larger, moved, box, finer).part(whole).astype(int)
    assert np.abs(inner - outer).max() <= 1
