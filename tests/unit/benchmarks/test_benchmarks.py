"""The benchmark's own measures, tested on pictures with known shifts and truths."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import plain, sets, table
from benchmarks.sets import PhotoSet
from benchmarks.table import PairFigures, SetFigures, ToolFigures
from benchmarks.tools import Ours, Plain, Tool
from benchmarks.usage import measure
from benchmarks.yardstick import Residual, TruthError, grid, patch_shift, residual, truth_error
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.measure.residuals import comparable, search

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path: Path, shots) -> PhotoSet:
    """One simulated pair as files."""
    for camera, photo in (("phone", shots.phone), ("dslr", shots.dslr)):
        (tmp_path / camera).mkdir()
        (tmp_path / camera / "a.png").write_bytes(encode_image(photo, ".png"))
    return PhotoSet("one pair", tmp_path / "phone", tmp_path / "dslr", {"a.png": shots.truth})


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0.3, -0.4), (2.25, 1.5), (-6, 3.7)])
def test_the_yardstick_measures_a_known_shift(texture, x: float, y: float) -> None:
    picture = texture(240, 300)
    left = residual(picture, shifted(picture, x, y))
    assert left.found == left.textured == 5 * 7
    assert left.median_px == pytest.approx(math.hypot(x, y), abs=0.04)
    assert left.p95_px == pytest.approx(math.hypot(x, y), abs=0.1)


def test_the_yardstick_agrees_with_the_pipelines_own_check(texture) -> None:
    picture = texture(240, 300)
    moved = shifted(picture, 0.8, -0.3)
    ours = residual(picture, moved)
    theirs = search(*comparable(picture, moved)[:2]).residual()
    assert ours.median_px == pytest.approx(theirs.median_px, abs=0.02)


def test_windows_that_are_flat_other_or_masked_do_not_count(texture) -> None:
    picture = texture(240, 300)
    flat = np.full_like(picture, 90)
    assert residual(flat, picture).textured == 0
    other = residual(picture, texture(240, 300, seed=1))
    assert other.textured > 0
    assert other.found == 0
    assert math.isnan(other.median_px)
    mask = np.ones(picture.shape[:2], bool)
    mask[120, 150] = False
    assert 0 < residual(picture, picture, mask).textured < residual(picture, picture).textured


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0.3, -0.4), (-6, 3.7)])
def test_the_yardstick_measures_the_shift_of_a_patch(texture, x: float, y: float) -> None:
    picture = texture(140, 140)
    moved = shifted(picture, x, y)
    core = np.s_[20:120, 20:120]
    assert patch_shift(picture[core], moved[core]) == pytest.approx(math.hypot(x, y), abs=0.08)


def test_the_yardstick_says_nothing_of_patches_that_are_flat_other_or_too_far(texture) -> None:
    picture = texture(140, 140)
    core = np.s_[20:120, 20:120]
    assert math.isnan(patch_shift(np.full((100, 100, 3), 90, np.uint8), picture[core]))
    assert math.isnan(patch_shift(texture(100, 100, seed=1), picture[core]))
    assert math.isnan(patch_shift(picture[core], shifted(picture, 12, 0)[core]))


def test_the_error_of_a_known_offset_is_told_in_px_of_the_phone(photos: PhotoSet) -> None:
    true = photos.true_mapping("a.png")
    points = photos.common_points("a.png")
    assert points.shape == (1200, 2)
    assert np.isfinite(true(points)).all()
    exact = truth_error(true, true, points)
    assert exact.max_px == pytest.approx(0, abs=1e-9)
    # Three px of the phone are three px at any scale between the photos.
    inner = points[points[:, 0] < points[:, 0].max() - 3]
    off = truth_error(lambda at: true(at + np.array([3.0, 0.0])), true, inner)
    assert [off.mean_px, off.p95_px, off.max_px] == pytest.approx([3, 3, 3], rel=0.01)


def test_a_point_without_a_place_is_infinitely_far_off() -> None:
    points = grid(0, 0, 100, 80)
    error = truth_error(lambda at: np.where(at > 90, np.nan, at), lambda at: at, points)
    assert error.max_px == error.mean_px == math.inf


def test_the_truth_of_a_resized_photo_is_that_of_its_file(photos: PhotoSet, tmp_path: Path) -> None:
    equal = sets.equal_sizes(photos, tmp_path / "equal")
    phone, dslr = equal.pair("a.png")
    assert phone.shape == dslr.shape
    corner, corner_in_resized = photos.true_mapping("a.png"), equal.true_mapping("a.png")
    points = photos.common_points("a.png")
    ratio = np.array([320 / 560, 240 / 400])
    assert corner_in_resized(points) == pytest.approx((corner(points) + 0.5) * ratio - 0.5)
    assert photos.pair("a.png")[1].shape == (400, 560, 3)


@pytest.mark.parametrize("tool", [Ours(), Plain()], ids=lambda tool: tool.name)
def test_a_tool_registers_a_pair(tool: Tool, photos: PhotoSet, tmp_path: Path) -> None:
    used = tool.run(photos, tmp_path / "out")
    assert 0 < used.cpu_s < 60
    assert used.peak_bytes > 30e6
    found = tool.found(photos, tmp_path / "out")["a.png"]
    error = truth_error(found.dslr_from_phone, photos.true_mapping("a.png"), photos.common_points("a.png"))
    assert error.mean_px < 0.5
    view = found.view()
    assert view.phone.shape == view.dslr.shape
    assert residual(view.phone, view.dslr, view.mask).median_px < 0.5
    assert not list(tmp_path.glob("out/*/*.png"))


def test_the_plain_script_finds_nothing_on_blank_photos() -> None:
    blank = np.full((80, 100, 3), 128, np.uint8)
    assert plain.register(blank, blank) is None


def test_a_command_is_measured_apart_from_this_process() -> None:
    ballast = np.ones(40_000_000, np.uint8)
    used = measure([sys.executable, "-c", "import sys; print('said'); sum(range(10**6)); sys.exit(3)"])
    assert used.code == 3
    assert used.said == "said\n"
    assert 0 < used.cpu_s <= used.wall_s + 0.1
    assert used.peak_bytes < len(ballast)


def test_what_is_measured_has_the_environment_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    # Dask sets it permanently when it starts workers.
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "12345")
    used = measure([sys.executable, "-c", "import os; print(os.environ.get('MALLOC_TRIM_THRESHOLD_'))"])
    assert used.said.strip() != "12345"


def test_the_tables_show_what_was_measured() -> None:
    pair = PairFigures("a", Residual(10, 9, 0.125, 0.5), 0.9, TruthError(0.0625, 0.25, 2000.0))
    tool = ToolFigures(
        "one tool", 3, [pair, replace(pair, name="b")], [1.0, 3.0, 2.0], [0.5], [1.0, 2.0], 1_500_000_000
    )
    nothing = ToolFigures("lame tool", 3, [])
    text = table.as_markdown(
        [SetFigures("walls", (640, 480), (800, 600), 2, [tool, nothing], {1: [4.0], 2: [2.0]})], ["A note."]
    )
    assert "A note." in text
    assert "| walls | 640x480, 800x600 | one tool | 2.00 | 1.50 | 0.50 | 1.50 GB |" in text
    assert "| walls | one tool | 2 of 3 | 0.125 | 0.500 | 0.125 | 90.0% | 90.0% |" in text
    assert "| walls | one tool | 2 of 3 | 0.062 | 0.250 | far off | 0.062 | 0.250 | far off |" in text
    assert "| walls | lame tool | 0 of 3 | - | - | - |" in text
    assert "| walls | 3 | 2 | 2.0 | 2.00 |" in text


def test_real_photos_that_are_not_there_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPEDTOOL_REAL_DATA", str(tmp_path))
    assert sets.city100(tmp_path / "work", 2) is None


def test_the_simulated_cameras_have_opposite_distortion_and_the_sizes_said() -> None:
    phone, dslr = sets.cameras(1, 0.003)
    assert (phone.k1, dslr.k1) == (0.003, -0.003)
    assert (phone.width, phone.height, dslr.width, dslr.height) == (2048, 1536, 4000, 3000)
    assert phone.rotation != sets.cameras(3, 0.003)[0].rotation
