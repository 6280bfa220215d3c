"""Refinement against the simulated rig's exact truth: px of the phone, over all that both photos show."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from real_data import real_folder

from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.pipeline.align.refinement import WarpedPair, refine
from dpedtool.pipeline.geometry.homographies import transform_points
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.rig import Camera, Look

pytestmark = pytest.mark.slow

UNLIKE = Look(shot_noise=0.001, read_noise=0.004, vignetting=0.4, gamma=(1.8, 2.0, 2.2), contrast=0.3)
PHONE = Camera(name="phone", width=800, height=600, focal_px=700, rotation=(0.01, -0.015, 0.02), look=UNLIKE)
DSLR = Camera(name="dslr", width=1500, height=1125, focal_px=1200, position_m=(0.07, 0.02, 0.0))
BENT_PHONE, BENT_DSLR = replace(PHONE, k1=-0.012, k2=0.004), replace(DSLR, k1=0.015)


@pytest.fixture(scope="module")
def straight(take, texture):
    return take(texture(1150, 1550, 3), PHONE, DSLR)


@pytest.fixture(scope="module")
def bent(take, texture):
    return take(texture(1150, 1550, 3), BENT_PHONE, BENT_DSLR)


def assert_fine(errors: np.ndarray) -> None:
    assert errors.mean() <= 0.03
    assert np.percentile(errors, 95) <= 0.07


@pytest.mark.parametrize("most_px", [0, 1.5, 3])
@pytest.mark.parametrize("seed", range(2))
def test_without_distortion_a_homography_is_found(straight, most_px: float, seed: int) -> None:
    found = refine(*straight.greys(), straight.coarse(most_px, seed))
    assert_fine(straight.errors(found.transform))
    assert found.fit.model == "homography"
    assert found.transform.field is None
    assert found.fit.held_out_px < 0.05


@pytest.mark.parametrize("most_px", [0, 1.5, 3])
@pytest.mark.parametrize("seed", range(2))
def test_with_distortion_the_lenses_are_found(bent, most_px: float, seed: int) -> None:
    coarse = bent.coarse(most_px, seed)
    assert bent.errors(Transform(coarse)).max() > 2.5
    found = refine(*bent.greys(), coarse)
    assert_fine(bent.errors(found.transform))
    assert found.fit.model != "homography"
    assert found.transform.field is not None


@pytest.mark.parametrize("scene", ["straight", "bent"])
def test_the_coarse_homography_leaves_no_trace(scene: str, request: pytest.FixtureRequest) -> None:
    shots = request.getfixturevalue(scene)
    points, _ = shots.seen(30)
    places = [refine(*shots.greys(), shots.coarse(3, seed)).transform(points) for seed in range(3)]
    for place in places[1:]:
        assert np.linalg.norm(place - places[0], axis=1).max() < 0.02


@pytest.mark.parametrize("scene", ["straight", "bent"])
def test_a_dslr_photo_reduced_by_two_gives_the_same(scene: str, request: pytest.FixtureRequest) -> None:
    """Its 1125 rows are not a multiple of two."""
    shots = request.getfixturevalue(scene)
    points, _ = shots.seen(30)
    full, reduced = (refine(*shots.greys(factor), shots.coarse(2)).transform for factor in (1, 2))
    gaps = np.linalg.norm(full(points) - reduced(points), axis=1) / (1200 / 700)
    assert gaps.mean() < 0.02
    assert np.percentile(gaps, 95) < 0.07
    assert_fine(shots.errors(reduced))


def test_a_dslr_hardly_finer_than_the_phone_will_do(take, texture) -> None:
    shots = take(texture(700, 940, 4), PHONE, replace(DSLR, width=820, height=620, focal_px=690))
    assert_fine(shots.errors(refine(*shots.greys(), shots.coarse(2)).transform))


def test_the_transform_stays_when_no_bend_is_asked_for(bent) -> None:
    coarse = bent.coarse(1)
    found = refine(*bent.greys(), coarse, bend=False)
    np.testing.assert_array_equal(found.transform.homography, coarse)
    assert found.transform.field is None
    assert found.fit is None


def test_without_texture_the_coarse_homography_stays(take) -> None:
    shots = take(np.full((400, 540, 3), 128, np.uint8), PHONE, DSLR)
    coarse = shots.coarse(1)
    found = refine(*shots.greys(), coarse)
    assert found.fit is None
    np.testing.assert_array_equal(found.transform.homography, coarse)


def test_the_same_photos_give_the_same_bits(bent) -> None:
    first, second = (refine(*bent.greys(), bent.coarse(2)).transform for _ in range(2))
    np.testing.assert_array_equal(first.homography, second.homography)
    np.testing.assert_array_equal(first.field.coefficients, second.field.coefficients)


def test_the_warped_image_is_the_phones_grid(bent) -> None:
    found = refine(*bent.greys(), bent.coarse(2))
    pair = WarpedPair.of(*bent.greys(), bent.coarse(2))
    warped = pair.warped(found.transform)
    assert warped.shape == pair.phone.shape == (600, 800)
    left = pair.shifts(found.transform)
    assert (left.ncc > 0.9).mean() > 0.95
    assert np.linalg.norm(np.median(left.shifts, axis=0)) < 0.01
    outside = transform_points(found.transform.homography, left.centres)
    assert (outside >= 0).all()


# Little texture


def wall(picture: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """A nearly plain wall, shaded from side to side, with a part of a picture (1150, 1550, 3) on it."""
    mask = np.zeros((1150, 1550), np.float32)
    mask[top:bottom, left:right] = 1
    detail = (picture.astype(float) - 128) * cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
    grain = np.random.default_rng(0).normal(0, 0.5, detail.shape)
    return np.clip(128 + np.linspace(0, 30, 1550)[None, :, None] + detail + grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def nearly_plain(take, texture):
    """Return a function that photographs a `wall`: (its thing, seed) to `Shots`."""

    @cache
    def photograph(thing: tuple[int, int, int, int], seed: int):
        clean = Look(shot_noise=0.0005, read_noise=0.002)
        picture = wall(texture(1150, 1550, seed), *thing)
        return take(picture, replace(PHONE, look=clean), replace(DSLR, look=clean), seed)

    return photograph


@pytest.mark.parametrize("most_px", [0, 2])
@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("thing", [(300, 430, 700, 780), (0, 770, 1550, 1150)], ids=["thing", "ground"])
def test_where_nothing_is_to_be_seen_no_motion_is_invented(
    nearly_plain, thing: tuple[int, int, int, int], seed: int, most_px: float
) -> None:
    """One thing on a plain wall, or the lower third of the photo alone."""
    shots = nearly_plain(thing, seed)
    found = refine(*shots.greys(), shots.coarse(most_px, seed))
    assert found.fit.model == "homography"
    assert shots.errors(found.transform).mean() <= 0.15


# Real photos as the scene


@pytest.mark.parametrize("name", ["canon_eos_450d.jpg", "sony_d5403_xperia_z2.jpg"])
def test_a_wall_of_a_real_photo(take, name: str) -> None:
    """A 1 MP phone and a 3.1 MP DSLR before a print of a photo; much of it is out of focus, so that noise decides."""
    file = real_folder("photos") / name
    daylight = replace(UNLIKE, shot_noise=0.0002, read_noise=0.002)
    phone = replace(PHONE, width=1152, height=864, focal_px=1000, k1=-0.006, look=daylight)
    dslr = replace(DSLR, width=2048, height=1536, focal_px=1640, k1=0.006)
    shots = take(load_photo(file), phone, dslr)
    found = refine(*shots.greys(), shots.coarse(3))
    errors = shots.errors(found.transform)
    assert errors.mean() <= 0.05
    assert np.percentile(errors, 95) <= 0.15
