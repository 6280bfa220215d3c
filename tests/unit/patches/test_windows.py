"""What is measured on windows, against images whose measures are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dpedtool.dataset.params import PatchesParams
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.transform import Nodes
from dpedtool.pipeline.patches.windows import Evidence, Measures, measure_windows, window_corners

PARAMS = PatchesParams(size_px=60, stride_px=60)
BOX = Box(10, 20, 190, 140)


def texture(height: int = 180, width: int = 240, seed: int = 0, sigma: float = 2, contrast: float = 30) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(height, width)), (0, 0), sigma)
    return np.clip(128 + contrast * noise / noise.std(), 3, 252).round().astype(np.uint8)


def crop(phone: np.ndarray) -> np.ndarray:
    return phone[BOX.y : BOX.y + BOX.height, BOX.x : BOX.x + BOX.width].copy()


def measured(phone: np.ndarray, dslr: np.ndarray, params: PatchesParams = PARAMS) -> dict[str, np.ndarray]:
    """All columns of all windows."""
    rows = list(measure_windows(phone, dslr, BOX, params))
    columns = {name: np.concatenate([row.columns[name] for row in rows]) for name in rows[0].columns}

    def joined(of: str, name: str) -> np.ndarray:
        return np.concatenate([getattr(getattr(row, of), name) for row in rows])

    columns |= {name: joined("matches", name) for name in ("ncc", "ncc_here", "shifts", "turns_deg", "second_ncc")}
    columns["errors"] = joined("places", "errors")
    columns["residuals"] = np.concatenate([row.residuals for row in rows])
    columns["corners"] = np.concatenate([row.corners for row in rows])
    return columns


def test_windows_lie_wholly_inside_row_by_row() -> None:
    def corners(height: int, width: int, **params: int) -> list[list[int]]:
        return window_corners(height, width, PatchesParams(**params)).tolist()

    assert corners(250, 199) == [[0, 0], [0, 100]]
    assert corners(250, 199, stride_px=50) == [[x, y] for y in (0, 50, 100, 150) for x in (0, 50)]
    assert corners(100, 100) == [[0, 0]]
    assert corners(99, 300) == []


def test_equal_images_agree_everywhere_and_are_not_shifted() -> None:
    phone = texture()
    found = measured(phone, crop(phone))
    assert found["corners"].tolist() == [[x, y] for y in (0, 60) for x in (0, 60, 120)]
    np.testing.assert_allclose(found["ncc_here"], 1, atol=1e-6)
    # At the rim of the crop the DSLR's image is smoothed with what it mirrors, the phone's with what lies there.
    np.testing.assert_allclose(found["residuals"], 0, atol=0.01)
    np.testing.assert_allclose(found["motion"], 0, atol=0.04)
    np.testing.assert_allclose(found["phone_sharpness"], found["dslr_sharpness"], rtol=0.15)


@pytest.mark.parametrize(("dx", "dy"), [(2, -1), (-3, 4)])
def test_what_the_dslr_shows_elsewhere_is_a_residual_in_strict_and_a_move_in_dped(dx: int, dy: int) -> None:
    phone = texture()
    dslr = phone[BOX.y + dy : BOX.y + dy + BOX.height, BOX.x + dx : BOX.x + dx + BOX.width].copy()
    strict = measured(phone, dslr)
    np.testing.assert_array_equal(strict["shifts"], np.tile((dx, dy), (6, 1)))
    np.testing.assert_allclose(strict["residuals"], np.tile((-dx, -dy), (6, 1)), atol=0.01)
    dped = measured(phone, dslr, PatchesParams(size_px=60, stride_px=60, mode="dped"))
    np.testing.assert_array_equal(dped["shifts"], strict["shifts"])
    np.testing.assert_array_equal(dped["turns_deg"], 0)
    np.testing.assert_allclose(dped["residuals"], 0, atol=0.01)


def test_brightness_contrast_and_clipping_by_hand() -> None:
    """Left half 40, right half 80: mean 60, deviation 20. A fifth of one DSLR window is burnt out."""
    phone = np.full((180, 240), 40, np.uint8)
    phone[:, BOX.x + 30 :] = 80
    dslr = crop(phone)
    dslr[:12, :60] = 255
    found = measured(phone, dslr)
    assert (found["phone_brightness"][0], found["phone_contrast"][0]) == pytest.approx((60, 20))
    assert found["clipped"][0] == pytest.approx(0.2)
    assert found["clipped"][3] == 0
    assert found["dslr_brightness"][3] == pytest.approx(60)


def test_sharpness_is_the_laplacian_over_the_deviation() -> None:
    """Stripes of two px: -2, 2 around the mean; the Laplacian of each px is 2 times its step to one neighbour."""
    stripes = np.tile(np.array([98, 98, 102, 102], np.uint8), (180, 60))
    found = measured(stripes, crop(stripes))
    # Each px has one equal and one other neighbour, 4 levels off: |Laplacian| 4, deviation 2.
    np.testing.assert_allclose(found["phone_sharpness"][[1, 2]], 2)
    np.testing.assert_allclose(found["dslr_sharpness"][[1, 2]], 2)


def test_blur_lowers_the_sharpness_whatever_the_exposure() -> None:
    phone = texture(sigma=1)
    dslr = cv2.GaussianBlur(crop(phone), (0, 0), 2)
    found = measured(phone, dslr)
    assert (found["dslr_sharpness"] < 0.6 * found["phone_sharpness"]).all()
    darker = measured((phone * 0.5).astype(np.uint8), dslr)
    np.testing.assert_allclose(darker["phone_sharpness"], found["phone_sharpness"], rtol=0.02)


def test_noise_does_not_pass_for_sharpness() -> None:
    phone = texture()
    noisy = np.clip(phone + np.random.default_rng(3).normal(size=phone.shape) * 8, 0, 255).astype(np.uint8)
    found = measured(noisy, crop(phone))
    assert (found["dslr_sharpness"] > 0.8 * found["phone_sharpness"]).all()


def test_flatness_is_the_share_without_detail() -> None:
    phone = texture()
    phone[:, : BOX.x + 30] = 90
    found = measured(phone, crop(phone))
    # The left half of the first window; smoothing lets the right half reach over by some px.
    assert found["flatness"][0] == pytest.approx(0.5, abs=0.1)
    assert found["flatness"][2] < 0.1


@pytest.mark.parametrize("side", [14, 20])
def test_a_thing_that_moved_is_an_island_and_blur_noise_and_exposure_are_none(side: int) -> None:
    phone = texture(contrast=35, sigma=4)
    rng = np.random.default_rng(1)
    dslr = cv2.GaussianBlur(crop(phone), (0, 0), 1.5) * 0.8 + 30 + rng.normal(size=(BOX.height, BOX.width)) * 4
    still = measured(phone, np.clip(dslr, 0, 255).astype(np.uint8))
    assert (still["motion"] < 0.15).all()
    other = texture(seed=9, contrast=45, sigma=4)[:side, :side]
    dslr[20 : 20 + side, 25 : 25 + side] = other
    moved = measured(phone, np.clip(dslr, 0, 255).astype(np.uint8))
    assert moved["motion"][0] > 0.4
    np.testing.assert_allclose(moved["motion"][1:], still["motion"][1:], atol=0.05)


def test_a_repeating_window_has_a_second_peak() -> None:
    x = np.arange(240)
    phone = (128 + 40 * np.sin(x * 2 * np.pi / 4)[None] + 20 * np.sin(np.arange(180) / 5)[:, None]).astype(np.uint8)
    found = measured(phone, crop(phone))
    assert (found["second_ncc"] > 0.95 * found["ncc"]).all()
    once = measured(texture(), crop(texture()))
    assert not (once["second_ncc"] > 0.7).any()


def test_flat_windows_say_nothing() -> None:
    phone = np.full((180, 240), 90, np.uint8)
    found = measured(phone, crop(phone))
    for name in ("ncc", "ncc_here", "errors", "motion", "phone_sharpness", "second_ncc"):
        assert np.isnan(found[name]).all()
    np.testing.assert_array_equal(found["flatness"], 1)


def test_a_window_is_measured_alike_whatever_other_windows_there_are() -> None:
    """A crop of one window, and a photo that ends with it: only its own surroundings count."""
    phone = texture()
    dslr = cv2.GaussianBlur(crop(phone), (0, 0), 0.8)
    (one,) = measure_windows(phone, dslr, BOX, PatchesParams(size_px=100, stride_px=100))
    assert isinstance(one, Measures)
    dense = list(measure_windows(phone, dslr, BOX, PatchesParams(size_px=100, stride_px=20)))
    np.testing.assert_allclose(dense[0].residuals[0], one.residuals[0], atol=1e-6)
    assert dense[0].matches.ncc[0] == one.matches.ncc[0]
    for name, values in one.columns.items():
        np.testing.assert_allclose(dense[0].columns[name][0], values[0], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("side", [8, 11, 12])
def test_small_windows_are_measured_but_for_their_motion(side: int) -> None:
    phone = texture()
    found = measured(phone, crop(phone), PatchesParams(size_px=side, stride_px=50))
    assert np.isnan(found["motion"]).all()
    np.testing.assert_allclose(found["ncc_here"], 1, atol=1e-6)
    # At the rim of the crop what smoothing mirrors is much of so small a window.
    inside = (found["corners"] > 0).all(axis=1)
    np.testing.assert_allclose(found["residuals"][inside], 0, atol=0.01)


def test_a_wide_blur_sees_as_far_as_it_reaches() -> None:
    """Not only the strip of its row: a window is scored as it is cut from the whole blurred images."""
    phone = np.tile(texture(), (3, 1))
    dslr = np.clip(phone[20:-20, 10:-10] + 0.5 * np.roll(phone, 60, axis=1)[20:-20, 10:-10], 0, 255).astype(np.uint8)
    box, sigma, side = Box(10, 20, dslr.shape[1], dslr.shape[0]), 8.0, 40
    params = PatchesParams(size_px=side, stride_px=side, blur_px=sigma)
    rows = list(measure_windows(phone, dslr, box, params))
    row = rows[len(rows) // 2]
    theirs, ours = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma) for image in (phone, dslr))
    (x, y), score = row.corners[2], row.matches.ncc_here[2]
    windows = ours[y : y + side, x : x + side], theirs[y + box.y :, x + box.x :][:side, :side]
    expected = np.corrcoef(windows[0].ravel(), windows[1].ravel())[0, 1]
    assert score == pytest.approx(expected, abs=1e-5)


def test_in_dped_edges_of_depth_are_measured_and_noise_is_not() -> None:
    phone = texture()
    nodes = Nodes(np.zeros((23, 30, 2)))
    jumps, depth = (of(crop(phone), crop(phone), nodes, BOX) for of in (Evidence.of_jumps, Evidence.of_depth))
    corners, unknown = np.array([[0, 0], [60, 60]]), np.full(2, np.nan)
    seen = {"phone_brightness": np.full(2, 128.0), "phone_contrast": np.full(2, 30.0), "noise": np.full(2, 1.0)}
    told = [evidence.about(corners, 60, np.full((2, 2), np.nan), unknown, seen) for evidence in (jumps, depth)]
    assert set(told[0]) == {"hidden", "jump", "unfollowed", "squeezed", "stretched"}
    assert set(told[1]) - set(told[0]) == {"pair_noise", "ncc_without_noise"}
    assert max(told[0]["squeezed"]) == 0
