"""The benchmark of scenes with depth: truth and verdicts on hand-made pictures, the plain warp, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import depth, depth_table
from benchmarks.depth_flow import cut, warped_by_flow
from benchmarks.depth_judging import SIDE, Reference, Verdict
from benchmarks.depth_scenes import real_pairs
from benchmarks.depth_table import PairFigures, WayFigures
from benchmarks.depth_truth import DenseTruth, filled, measured_truth, rendered_truth
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.measure.correlation import sample

CORNER = (60, 50)
AT_CORNER = np.s_[50 : 50 + SIDE, 60 : 60 + SIDE]


def grid(width: int, height: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(float(width)), np.arange(float(height))), axis=2)


@pytest.fixture
def picture(texture) -> np.ndarray:
    """The DSLR's photo, (200, 260, 3)."""
    return texture(200, 260)


@pytest.fixture
def truth() -> DenseTruth:
    """The DSLR sees everything, 4 px to the right of where the phone sees it."""
    everywhere = np.ones((200, 240), bool)
    return DenseTruth(grid(240, 200) + np.array([4.0, 0.0]), everywhere, everywhere, scale=1.0, range_px=0.0)


def patch(picture: np.ndarray, move: float = 0.0) -> np.ndarray:
    """The DSLR's image of the window at CORNER, as a way cuts it that is off by so many px."""
    shift = np.array([[1, 0, 4.0 + move], [0, 1, 0]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, shift, (240, 200), flags=flags, borderMode=cv2.BORDER_REFLECT)[AT_CORNER]


# Verdicts


def test_a_patch_in_its_true_place_is_right(picture: np.ndarray, truth: DenseTruth) -> None:
    verdict = Reference(picture, truth).judge(patch(picture), CORNER)
    assert (verdict.told, verdict.wrong, verdict.mixed) == (True, False, False)
    assert (verdict.parts, verdict.off, verdict.lost, verdict.seen) == (16, 0, 0, 1.0)
    assert verdict.shift_px < 0.01


@pytest.mark.parametrize("move", [0.25, 2.0])
def test_the_shift_of_a_patch_is_told_in_px(picture: np.ndarray, truth: DenseTruth, move: float) -> None:
    verdict = Reference(picture, truth).judge(patch(picture, move), CORNER)
    assert verdict.shift_px == pytest.approx(move, abs=0.03)
    assert verdict.part_shifts_px == pytest.approx([move] * 16, abs=0.06)
    assert (verdict.wrong, verdict.mixed) == (move > 1, False)


def test_a_patch_that_spans_two_depths_is_mixed(picture: np.ndarray, truth: DenseTruth) -> None:
    """A third of it lies 5 px off."""
    two = patch(picture)
    two[:, 70:] = patch(picture, 5.0)[:, 70:]
    verdict = Reference(picture, truth).judge(two, CORNER)
    assert verdict.shift_px < 0.05
    assert verdict.off >= 4
    assert (verdict.wrong, verdict.mixed) == (False, True)


def test_a_patch_whose_half_the_dslr_does_not_see_is_mixed(picture: np.ndarray, truth: DenseTruth) -> None:
    seen = truth.seen.copy()
    seen[:, 110:] = False
    verdict = Reference(picture, replace(truth, seen=seen)).judge(patch(picture), CORNER)
    assert verdict.seen == pytest.approx(0.5)
    assert (verdict.off, verdict.lost) == (8, 0)
    assert (verdict.wrong, verdict.mixed) == (False, True)


def test_a_patch_of_something_else_is_wrong(picture: np.ndarray, truth: DenseTruth, texture) -> None:
    verdict = Reference(picture, truth).judge(texture(SIDE, SIDE, seed=7), CORNER)
    assert verdict.lost > 8
    assert (verdict.told, verdict.wrong, verdict.mixed) == (True, True, False)


def test_one_part_that_is_off_is_no_evidence() -> None:
    verdict = Verdict(known=True, seen=1.0, parts=3, off=1, lost=0, shift_px=0.1)
    assert not verdict.mixed
    assert replace(verdict, off=2).mixed
    assert not replace(verdict, parts=16, off=2).mixed


def test_nothing_is_said_where_detail_or_truth_is_missing(picture: np.ndarray, truth: DenseTruth) -> None:
    flat = np.full_like(picture, 90)
    assert not Reference(flat, truth).judge(patch(flat), CORNER).told
    known = truth.known.copy()
    known[:, 130:] = False
    half = replace(truth, known=known)
    assert not Reference(picture, half).judge(patch(picture), CORNER).told
    assert Reference(picture, replace(half, least_known=0.55)).judge(patch(picture), CORNER).told


def test_a_patch_whose_phone_window_is_turned_is_judged_where_that_window_lies(
    picture: np.ndarray, truth: DenseTruth
) -> None:
    shifted = np.roll(picture, -4, axis=1)
    turned = sample(shifted, CORNER, SIDE, 1.5, cv2.INTER_LANCZOS4)
    reference = Reference(picture, truth)
    straight, right = reference.judge(turned, CORNER), reference.judge(turned, CORNER, 1.5)
    assert right.off == 0
    assert max(right.part_shifts_px) < 0.1
    assert max(straight.part_shifts_px) > 0.8


def test_windows_count_if_they_have_detail_and_both_cameras_see_them(picture: np.ndarray, truth: DenseTruth) -> None:
    assert Reference(picture, truth).windows() == 3 * 3
    seen = truth.seen.copy()
    seen[:, 160:] = False
    assert Reference(picture, replace(truth, seen=seen)).windows() == 2 * 3
    assert Reference(np.full_like(picture, 90), truth).windows() == 0


# Truth


def test_places_without_truth_take_the_depth_of_the_nearest_px() -> None:
    places = grid(30, 20) * 1.5
    places[:, 15:] += [6.0, 0.0]
    known = places.copy()
    known[5:9, 20:24] = np.nan
    assert filled(known) == pytest.approx(places, abs=1.0)


def test_the_truth_of_a_real_pair_is_read_from_its_files(tmp_path: Path) -> None:
    record = {"phone": [40, 30], "G": [1, 0, 2, 0, 1, 0, 0, 0, 1], "k1": 0.0, "up": [2.0, 2.0], "ratio": 0.8}
    record |= {"range_phone_px": 7.5, "source": "ETH3D two-view"}
    # Terms: 1, across (-1 to 1), down (-1 to 1), depth.
    record["corr"] = {"x": [0.5, 0, 0, 0.25], "y": [0, 0, 1, 0], "mid": 3.0, "sc": 2.0, "size": [40, 30]}
    (tmp_path / "a.json").write_text(json.dumps(record), encoding="utf-8")
    coded = np.full((30, 40), (5.0 + 400) * 64, np.uint16)
    coded[0, 0] = 0
    cv2.imwrite(str(tmp_path / "a.png"), coded)
    seen = np.full((30, 40), 255, np.uint8)
    seen[:2, 0] = 0
    cv2.imwrite(str(tmp_path / "a.seen.png"), seen)
    truth = measured_truth(tmp_path, "a")
    down = (10 + 0.5) / 30 * 2 - 1
    assert truth.places[10, 20] == pytest.approx([(20 + 2 + 5 + 0.75 + 0.5) * 2 - 0.5, (10 + down + 0.5) * 2 - 0.5])
    assert np.isfinite(truth.places).all()
    assert np.argwhere(~truth.known).tolist() == [[0, 0]]
    assert np.argwhere(~truth.seen).tolist() == [[0, 0], [1, 0]]
    assert (truth.scale, truth.range_px, truth.least_known) == (2.5, 7.5, 0.55)


def test_the_lens_of_a_real_pairs_phone_bends_its_truth(tmp_path: Path) -> None:
    record = {"phone": [41, 31], "G": np.eye(3).ravel().tolist(), "k1": 0.1, "up": [1.0, 1.0], "ratio": 1.0}
    record |= {"range_phone_px": 1.0, "source": "Middlebury 2014"}
    (tmp_path / "a.json").write_text(json.dumps(record), encoding="utf-8")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((31, 41), 400 * 64, np.uint16))
    cv2.imwrite(str(tmp_path / "a.seen.png"), np.full((31, 41), 255, np.uint8))
    places = measured_truth(tmp_path, "a").places
    assert places[15, 20] == pytest.approx([20, 15])
    assert places[15, 40] == pytest.approx([20 + 20 * (1 + 0.1 * (20 / 20.5) ** 2), 15])


def test_a_rendered_wall_has_no_parallax(shots) -> None:
    truth = rendered_truth(shots.truth)
    assert truth.range_px == pytest.approx(0, abs=1e-6)
    assert truth.scale == pytest.approx(450 / 280)
    assert truth.seen.all()
    assert truth.places[100, 120] == pytest.approx(shots.truth.dslr_from_phone(np.array([[120.0, 100.0]]))[0])


# The plain warp


def test_the_plain_warp_follows_what_the_transform_leaves(shots, tmp_path: Path) -> None:
    points, mapped = shots.seen(20)
    wrong = cv2.findHomography(points + 3.0, mapped)[0]
    warped, inside = warped_by_flow(shots.phone, shots.dslr, Transform(wrong))
    cut(shots.phone, warped, inside, tmp_path / "a")
    names = sorted(path.name for path in (tmp_path / "a" / "dslr").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "a" / "phone").iterdir())
    assert "100-50.png" in names
    image = cv2.imread(str(tmp_path / "a" / "dslr" / "100-50.png"))
    verdict = Reference(shots.dslr, rendered_truth(shots.truth)).judge(image, (100, 50))
    assert verdict.shift_px < 0.5
    assert not verdict.wrong


def test_the_plain_warp_keeps_nothing_that_is_flat_or_outside(texture, tmp_path: Path) -> None:
    phone = texture(SIDE, 3 * SIDE)
    phone[:, :SIDE] = 90
    inside = np.ones(phone.shape[:2], bool)
    inside[0, -1] = False
    cut(phone, phone, inside, tmp_path)
    assert sorted(path.name for path in (tmp_path / "dslr").iterdir()) == ["100-0.png", "150-0.png", "50-0.png"]


# The command


def test_the_tables_show_what_was_measured() -> None:
    near = PairFigures("a", 3.0, 20, True, kept=14, told=10, wrong=1, mixed=2, shifts=[0.125, 0.25], part_shifts=[0.5])
    far = PairFigures("b", 30.0, 10, True, kept=12, told=12, shifts=[float("nan")])
    lost = PairFigures("c", 31.0, 10, False)
    text = depth_table.as_markdown([WayFigures("rooms", "a way", 1.5, [near, far, lost])], ["A note."])
    assert "A note." in text
    assert "| rooms | a way | 2 of 3 | 42.5% | 35.0% | - | 50.0% | 1.50 |" in text
    assert "| rooms | a way | 26 | 22 | 0.188 | 0.244 | 0.500 | 4.5% | 9.1% |" in text


def test_without_real_pairs_only_rendered_ones_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DPEDTOOL_REAL_DATA", str(tmp_path))
    assert real_pairs(tmp_path / "work") is None
    with pytest.raises(SystemExit, match="choose a set that exists"):
        depth.main(["--sets", "real", "--out", str(tmp_path)])
    assert "holds no pairs" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_try_runs_all_ways_on_a_rendered_scene(tmp_path: Path) -> None:
    threads = cv2.getNumThreads()
    try:
        depth.main(["--quick", "--sets", "rig", "--out", str(tmp_path)])
    finally:
        cv2.setNumThreads(threads)
    figures = json.loads((tmp_path / "depth.json").read_text(encoding="utf-8"))
    assert len(figures) == 4
    by_way = {one["way"]: one["pairs"][0] for one in figures}
    assert all(pair["aligned"] for pair in by_way.values())
    ours = by_way["dpedtool, defaults"]
    assert ours["told"] > 40
    assert ours["wrong"] == ours["mixed"] == 0
    plain = by_way["one transform, plain DIS warp"]
    assert plain["mixed"] > 5
    assert "| rendered | dpedtool, defaults | 1 of 1 |" in (tmp_path / "depth.md").read_text(encoding="utf-8")
