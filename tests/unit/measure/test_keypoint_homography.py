"""Registration against known truth: transforms recovered within stated px, and failures with their reasons."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.pipeline.geometry.homographies import full_from_reduced, transform_points
from dpedtool.pipeline.measure.exposure import clipped_share
from dpedtool.pipeline.measure.keypoint_homography import Keypoints, detect, fit_homography, match, register
from dpedtool.pipeline.rig import Camera, Look, simulate_pair

PARAMS = AlignParams()


def grey(photo: np.ndarray, factor: int = 1) -> ReducedGrey:
    """The photo as a decoder gives it, reduced by a factor that divides its sides."""
    height, width = photo.shape[:2]
    small = width // factor, height // factor
    image = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), small, interpolation=cv2.INTER_AREA)
    return ReducedGrey(image, full_from_reduced((width, height), small), (width, height))


def frame(photo: np.ndarray, step: int = 20) -> np.ndarray:
    """Points all over a photo, rim included."""
    height, width = photo.shape[:2]
    x, y = np.meshgrid(
        np.append(np.arange(0, width, step), width - 1), np.append(np.arange(0, height, step), height - 1)
    )
    return np.column_stack([x.ravel(), y.ravel()]).astype(float)


def errors(shots, found: np.ndarray) -> np.ndarray:
    """Distance from the truth, in DSLR px, at all points of the phone photo that the DSLR sees."""
    truth = shots.truth.dslr_from_phone(frame(shots.phone))
    seen = np.isfinite(truth).all(axis=1)
    assert seen.mean() > 0.5
    return np.linalg.norm(transform_points(found, frame(shots.phone)) - truth, axis=1)[seen]


def test_a_clean_pair_is_registered_to_a_fifth_of_a_pixel(shots) -> None:
    found = register(grey(shots.phone), grey(shots.dslr), PARAMS)
    assert errors(shots, found.dslr_from_phone).mean() < 0.2
    assert errors(shots, found.dslr_from_phone).max() < 0.5
    assert found.dslr_from_phone[2, 2] == 1
    assert found.inliers <= found.matches <= min(found.phone_keypoints, found.dslr_keypoints)
    assert 0 < found.reprojection_px < 0.5
    assert found.turn_deg == pytest.approx(-np.degrees(0.02), abs=0.2)
    assert found.off_plane == 0


def test_a_photo_that_is_reduced_for_detection_is_registered_in_px_of_the_full_one(shots) -> None:
    found = register(grey(shots.phone), grey(shots.dslr), AlignParams(detect_side_px=280))
    assert errors(shots, found.dslr_from_phone).mean() < 0.6


def test_a_photo_that_was_decoded_at_half_its_size_is_registered_in_px_of_the_full_one(shots) -> None:
    found = register(grey(shots.phone), grey(shots.dslr, 2), PARAMS)
    assert errors(shots, found.dslr_from_phone).mean() < 0.6


def test_other_brightness_and_contrast_do_no_harm(shots) -> None:
    dark = (0.5 * shots.phone + 20).astype(np.uint8)
    assert errors(shots, register(grey(dark), grey(shots.dslr), PARAMS).dslr_from_phone).mean() < 0.25


def test_registration_is_the_same_every_time(shots) -> None:
    first, second = (register(grey(shots.phone), grey(shots.dslr), PARAMS) for _ in range(2))
    np.testing.assert_array_equal(first.dslr_from_phone, second.dslr_from_phone)
    assert first.inliers == second.inliers


def test_a_quarter_turn_is_found(shots) -> None:
    turned = np.ascontiguousarray(np.rot90(shots.phone))  # (x, y) of the turned is (w - 1 - y, x) of the phone's
    registration = register(grey(turned), grey(shots.dslr), PARAMS)
    found = registration.dslr_from_phone
    phone_from_turned = np.array([[0.0, -1, shots.phone.shape[1] - 1], [1, 0, 0], [0, 0, 1]])
    straight = register(grey(shots.phone), grey(shots.dslr), PARAMS).dslr_from_phone
    points = frame(turned)
    gaps = transform_points(found, points) - transform_points(straight @ phone_from_turned, points)
    assert np.linalg.norm(gaps, axis=1).mean() < 0.3


# Failures


def reason(phone: np.ndarray, dslr: np.ndarray, params: AlignParams = PARAMS) -> Rejection:
    with pytest.raises(Rejection) as rejected:
        register(grey(phone), grey(dslr), params)
    return rejected.value


def test_a_blank_photo_has_too_little_texture(shots) -> None:
    blank = np.full((200, 300, 3), 127, np.uint8)
    assert reason(blank, shots.dslr).reason == "low_texture"
    assert "The phone photo" in reason(blank, shots.dslr).detail
    assert "The DSLR photo" in reason(shots.phone, blank).detail


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3), (8, 8, 3)])
def test_a_tiny_photo_has_too_little_texture(shots, shape: tuple[int, int, int]) -> None:
    assert reason(np.full(shape, 50, np.uint8), shots.dslr).reason == "low_texture"


@pytest.mark.parametrize("level", [0, 255])
def test_a_photo_without_exposure_is_not_called_plain(shots, level: int) -> None:
    found = reason(shots.phone, np.full((200, 300, 3), level, np.uint8))
    assert found.reason == "clipped_exposure"
    assert "100% of the DSLR photo" in found.detail


def test_the_share_of_clipped_px_by_hand() -> None:
    assert clipped_share(np.array([[0, 1, 2, 128], [200, 253, 254, 255]], np.uint8)) == 0.5


@pytest.mark.parametrize("seed", [99, 100, 101])
def test_photos_of_different_scenes_do_not_match(shots, texture, seed: int) -> None:
    assert reason(shots.phone, texture(400, 560, seed)).reason in ("few_matches", "wrong_pair")


def test_pairs_that_fail_on_small_copies_are_looked_at_in_larger_ones(shots) -> None:
    """At 100 px too few keypoints match; the retry finds what a first look at its size would."""
    asked = {"min_inliers": 200, "retry_features": 2000}
    found = register(grey(shots.phone), grey(shots.dslr), AlignParams(detect_side_px=100, **asked))
    larger = register(grey(shots.phone), grey(shots.dslr), AlignParams(detect_side_px=1600, features=2000))
    np.testing.assert_array_equal(found.dslr_from_phone, larger.dslr_from_phone)
    tiny = AlignParams(detect_side_px=100, retry_side_px=100, **asked)
    assert reason(shots.phone, shots.dslr, tiny).reason == "few_matches"


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_photo_is_called_so(shots, axis: int) -> None:
    found = reason(np.ascontiguousarray(np.flip(shots.phone, axis)), shots.dslr)
    assert found.reason == "mirrored_frame"
    assert "flip it back" in found.detail


def test_a_turned_photo_is_refused_where_the_params_ask_for_it(shots) -> None:
    turned = np.ascontiguousarray(np.rot90(shots.phone))  # anticlockwise
    found = reason(turned, shots.dslr, AlignParams(max_turn_deg=45))
    assert found.reason == "rotated_frame"
    assert "turned by 9" in found.detail or "turned by 8" in found.detail
    assert register(grey(shots.phone), grey(shots.dslr), AlignParams(max_turn_deg=5)).inliers > 100


def test_parallax_is_shown_by_the_matches_off_the_plane(texture) -> None:
    """The right third lies nearer and is seen elsewhere, as two lenses apart see it; the rest is one plane."""
    near, far = texture(400, 200, 1), texture(400, 700, 2)
    phone = np.concatenate([far[:, :400], near[:, 20:180]], axis=1)
    dslr = np.concatenate([far[:, 10:400], near[:, 60:180]], axis=1)
    found = register(grey(phone), grey(dslr), PARAMS)
    assert found.off_plane > 30
    assert found.inliers + found.off_plane <= found.matches
    flat = register(grey(far[:, :400]), grey(far[:, 10:400]), PARAMS)
    assert flat.off_plane < 0.03 * flat.matches


def test_matches_without_a_common_transform_are_of_a_wrong_pair() -> None:
    rng = np.random.default_rng(0)
    phone, dslr = rng.uniform(0, 500, (100, 2)), rng.uniform(0, 500, (100, 2))
    with pytest.raises(Rejection) as rejected:
        fit_homography(phone, dslr, 1.0, PARAMS)
    assert rejected.value.reason == "wrong_pair"
    assert "of 100 matches" in rejected.value.detail


def test_the_share_of_inliers_counts() -> None:
    rng = np.random.default_rng(0)
    phone = rng.uniform(0, 500, (100, 2))
    dslr = np.vstack([phone[:60] + 7, rng.uniform(0, 500, (40, 2))])
    matrix, inliers = fit_homography(phone, dslr, 1.0, PARAMS)
    np.testing.assert_allclose(transform_points(matrix, phone[:60]), dslr[:60], atol=1e-3)
    assert inliers[:60].all()
    with pytest.raises(Rejection, match="wrong_pair"):
        fit_homography(phone, dslr, 1.0, AlignParams(min_inlier_share=0.8))


# Matching by hand


def keypoints(*descriptors: tuple[float, ...]) -> Keypoints:
    rows = np.array(descriptors, np.float32)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Keypoints(np.column_stack([np.arange(len(rows)), np.zeros(len(rows))]).astype(float), rows)


def few(**changed: float) -> AlignParams:
    """Params that ask for no matches, which a params file may not."""
    params = replace(PARAMS, **changed)
    object.__setattr__(params, "min_inliers", 0)
    return params


def test_matches_are_mutual_and_pass_the_ratio() -> None:
    phone = keypoints((1, 0, 0), (0, 1, 0.05), (0, 1, 0.4), (1, 0, 1))
    dslr = keypoints((0, 1, 0), (1, 0.02, 0), (0, 0, 1))
    # 0 -> 1 and 1 -> 0 are each other's nearest; 2 -> 0 is not mutual; 3 is as near to 1 as to 2.
    phone_points, dslr_points = match(phone, dslr, few())
    assert phone_points[:, 0].tolist() == [0, 1]
    assert dslr_points[:, 0].tolist() == [1, 0]


def test_too_few_matches_are_counted() -> None:
    with pytest.raises(Rejection, match="few_matches"):
        match(keypoints((1, 0, 0), (0, 1, 0)), keypoints((1, 0, 0), (0, 1, 0)), PARAMS)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("side", [400, 200])
def test_keypoints_of_a_disc_lie_on_its_centre(factor: int, side: int) -> None:
    """Decoded at full size and reduced, looked at in full and reduced, in px of the full photo."""
    photo = np.full((300, 400, 3), 60, np.uint8)
    cv2.circle(photo, (200 << 4, 150 << 4), 24 << 4, (220, 220, 220), -1, cv2.LINE_AA, 4)
    found = detect(grey(photo, factor), AlignParams(detect_side_px=side))
    assert np.linalg.norm(found.points - (200, 150), axis=1).min() < 0.3
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)


def test_noise_between_the_photos_does_not_shift_the_transform(texture) -> None:
    noisy = Look(shot_noise=0.001, read_noise=0.004)
    phone = Camera(name="phone", width=320, height=240, focal_px=280, look=noisy)
    dslr = Camera(name="dslr", width=560, height=400, focal_px=450, position_m=(0.05, 0, 0))
    phone_photo, dslr_photo, truth = simulate_pair(texture(540, 740, 5), phone, dslr, np.random.default_rng(0))
    found = register(grey(phone_photo), grey(dslr_photo), PARAMS).dslr_from_phone
    points = frame(phone_photo)
    gaps = transform_points(found, points) - truth.dslr_from_phone(points)
    assert np.linalg.norm(np.nanmean(gaps, axis=0)) < 0.15
