"""The stage align: good pairs against the truth, bad ones as rows, and what an earlier run has done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import dpedtool.pipeline.align.stage
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.dataset.schema import Alignment, Pair, Timing
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.overlay import checkerboard, shrunk
from dpedtool.pipeline.align.stage import align, align_pair
from dpedtool.pipeline.geometry.aligned import (
    aligned_images,
    crop_box,
    cut,
    find_pair,
    is_masked,
    map_points,
    mask,
    transform,
)
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.warping import warp_dslr
from dpedtool.pipeline.measure.residuals import comparable, search
from dpedtool.pipeline.pair.stage import pair_files

PARAMS = AlignParams()
LAPS = ("read_s", "decode_s", "register_s", "refine_s", "check_s", "images_s")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> Path:
    """A finished run with images."""
    folder = tmp_path_factory.mktemp("aligned")
    align(pairs, folder, PARAMS)
    return folder


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pairs that were worked on, in this process."""
    names: list[str] = []
    real = align_pair

    def note(pair: Pair, params: AlignParams, out: Path, images: bool, parts: Path) -> list[Alignment]:
        names.append(pair.pair_id)
        return real(pair, params, out, images, parts)

    monkeypatch.setattr(dpedtool.pipeline.align.stage, "align_pair", note)
    return names


def grey(photo: np.ndarray) -> ReducedGrey:
    return ReducedGrey(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), np.eye(3), photo.shape[1::-1])


def rows_in(folder: Path) -> list[Alignment]:
    return read_rows(folder / "alignments.parquet", Alignment)


def test_every_pair_is_a_row_in_the_order_of_their_names(out: Path) -> None:
    rows = rows_in(out)
    assert [(row.pair_id, row.status, row.reason) for row in rows] == [
        ("phone--a", "aligned", ""),
        ("phone--b", "aligned", ""),
        ("phone--c", "aligned", ""),
        ("phone--d", "failed", "unreadable_photo"),
    ]
    assert "d.jpg" in rows[3].detail


def test_the_transform_and_the_figures_are_those_of_the_photos(out: Path, shots) -> None:
    row = rows_in(out)[0]
    points = np.array([[x, y] for x in range(10, 320, 60) for y in range(10, 240, 55)], float)
    truth = shots.truth.dslr_from_phone(points)
    found = map_points(row, points)
    assert np.nanmax(np.linalg.norm(found - truth, axis=1)) < 0.15
    assert np.isfinite(truth).all(axis=1).sum() > 15
    assert (row.phone_width, row.phone_height, row.dslr_width, row.dslr_height) == (320, 240, 560, 400)
    assert row.scale == pytest.approx(450 / 280, rel=0.02)
    box = crop_box(row)
    assert row.coverage == pytest.approx(box.width * box.height / (320 * 240))
    assert row.coverage > 0.8
    assert row.residual_windows > 10
    assert row.residual_px < 0.05
    assert row.residual_px <= row.residual_p95_px < 0.1
    assert row.at_place == 1
    assert row.masked == 0
    assert not mask(row).any()
    assert row.fit_windows > 10
    assert row.held_out_px < 0.1
    assert row.turn_deg == pytest.approx(-np.degrees(0.02), abs=0.2)
    assert row.blur_evenness > 0.8
    assert row.clipped < 0.05


def test_the_images_are_the_phones_pixels_and_the_dslrs_on_the_same_grid(out: Path) -> None:
    row = rows_in(out)[0]
    box = crop_box(row)
    phone, dslr = (load_photo(out / side / "phone--a.png") for side in ("phone", "dslr"))
    np.testing.assert_array_equal(phone, cut(load_photo(row.phone_path), box))
    np.testing.assert_array_equal(dslr, warp_dslr(load_photo(row.dslr_path), transform(row), box))
    measured = search(*comparable(phone, dslr)[:2]).residual()
    # The table's figure is from grey images of its own, resampled more simply.
    assert measured.median_px == pytest.approx(row.residual_px, abs=0.02)
    assert measured.p95_px == pytest.approx(row.residual_p95_px, abs=0.05)


def test_without_images_there_is_the_table_alone(tmp_path: Path, pairs: list[Pair]) -> None:
    align(pairs[:1], tmp_path, PARAMS, images=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alignments.parquet", "nodes", "timings.parquet"]


def test_unpaired_photos_are_no_rows(tmp_path: Path, pairs: list[Pair]) -> None:
    alone = replace(pairs[1], status="unpaired", reason="no_dslr_photo", dslr_path=None)
    assert [row.pair_id for row in align([pairs[0], alone], tmp_path, PARAMS, images=False)] == ["phone--a"]


# Failures as data


def rejected(phone: np.ndarray, dslr: np.ndarray, folder: Path, params: AlignParams = PARAMS) -> Alignment:
    save_image(folder / "p.png", phone)
    save_image(folder / "d.png", dslr)
    (row,) = align(pair_files(folder / "p.png", folder / "d.png").rows, folder / "out", params)
    assert row.status == "rejected"
    assert row.detail
    assert not (folder / "out" / "phone").exists()
    return row


def test_a_missing_photo_is_a_row(tmp_path: Path, pairs: list[Pair]) -> None:
    (row,) = align([replace(pairs[0], dslr_path=tmp_path / "none.jpg")], tmp_path, PARAMS)
    assert (row.status, row.reason) == ("failed", "unreadable_photo")
    assert "none.jpg" in row.detail


def test_a_blank_photo_is_a_row_with_its_size(tmp_path: Path, shots) -> None:
    row = rejected(np.full((90, 120, 3), 7, np.uint8), shots.dslr, tmp_path)
    assert row.reason == "low_texture"
    assert (row.phone_width, row.phone_height) == (120, 90)
    assert row.dslr_from_phone is None


def test_a_poor_coverage_is_a_row_with_its_figures(tmp_path: Path, shots) -> None:
    row = rejected(shots.phone, shots.dslr[:, :200], tmp_path, AlignParams(min_coverage=0.6))
    assert row.reason == "poor_coverage"
    assert 0 < row.coverage < 0.6
    assert row.inliers >= PARAMS.min_inliers


def test_a_burnt_out_photo_is_a_row_with_its_share(tmp_path: Path, shots) -> None:
    burnt = shots.phone.copy()
    burnt[:180] = 255
    row = rejected(burnt, shots.dslr, tmp_path)
    assert row.reason == "clipped_exposure"
    assert row.clipped == pytest.approx(0.75, abs=0.02)
    assert "75%" in row.detail


def test_a_mirrored_photo_is_a_row(tmp_path: Path, shots) -> None:
    assert rejected(np.ascontiguousarray(shots.phone[:, ::-1]), shots.dslr, tmp_path).reason == "mirrored_frame"


def test_a_camera_that_moved_is_a_row_with_the_direction_of_its_blur(tmp_path: Path, shots) -> None:
    params = AlignParams(min_blur_evenness=0.5)
    row = rejected(cv2.blur(shots.phone, (13, 1)), shots.dslr, tmp_path, params)
    assert row.reason == "motion_blur"
    assert row.blur_evenness < 0.5
    assert f"{row.blur_evenness:.0%}" in row.detail


def test_where_most_has_moved_the_pair_is_rejected_unless_it_is_followed(tmp_path: Path, shots) -> None:
    """A transform that fits the keypoints of one fifth, while the rest is shifted by more than windows reach."""
    shifted = shots.phone.copy()
    shifted[:, :250] = np.roll(shots.phone, 7, axis=1)[:, :250]
    found = dpedtool.pipeline.align.stage.register(grey(shots.phone), grey(shots.dslr), PARAMS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dpedtool.pipeline.align.stage, "register", lambda *_: found)
        row = rejected(shifted, shots.dslr, tmp_path, AlignParams(refine=False, local=False))
        (followed,) = align(pair_files(tmp_path / "p.png", tmp_path / "d.png").rows, tmp_path / "out", PARAMS)
    assert row.reason == "misaligned"
    assert row.residual_px == pytest.approx(7, abs=0.5)
    assert row.at_place < 0.3
    assert (followed.status, followed.model) == ("aligned", "local")
    assert followed.at_place > 0.95
    point = np.array([[120.0, 100.0]])
    # What lies at 120 px now lay at 113 px when the DSLR saw it.
    np.testing.assert_allclose(map_points(followed, point), shots.truth.dslr_from_phone(point - [7, 0]), atol=0.3)


def with_a_moved_part(folder: Path, shots) -> list[Pair]:
    moved = shots.phone.copy()
    moved[60:180, 120:240] = np.roll(shots.phone, 5, axis=1)[60:180, 120:240]
    save_image(folder / "p.png", moved)
    save_image(folder / "d.png", shots.dslr)
    return pair_files(folder / "p.png", folder / "d.png").rows


def test_a_part_that_moved_is_masked_and_the_rest_used(tmp_path: Path, shots) -> None:
    (row,) = align(with_a_moved_part(tmp_path, shots), tmp_path / "out", AlignParams(local=False))
    assert row.status == "aligned"
    box = crop_box(row)
    assert is_masked(row, Box(160, 100, 40, 40))
    assert not is_masked(row, Box(box.x, box.y, 60, 40))
    assert 0.1 < row.masked < 0.5
    assert row.masked == mask(row).mean()
    assert row.residual_p95_px < 0.6  # of windows at the mask's rim
    assert row.residual_px < 0.05
    assert 0.3 < row.at_place < 1


# Nodes


def test_nodes_have_files_that_rows_name_and_their_folder_holds_no_others(tmp_path: Path, shots) -> None:
    pairs, out = with_a_moved_part(tmp_path, shots), tmp_path / "out"
    (row,) = align(pairs, out, PARAMS)
    assert (row.status, row.model) == ("aligned", "local")
    assert row.nodes_path == out / "nodes" / f"{row.pair_id}.npy"
    (stored,) = rows_in(out)
    np.testing.assert_array_equal(transform(stored).nodes.displacements, transform(row).nodes.displacements)
    assert np.median(transform(row).nodes.displacements[10:20, 18:27, 0]) == pytest.approx(-5, abs=0.2)
    (out / "nodes" / "old.npy").write_bytes(b"")
    align(pairs, out, replace(PARAMS, local=False))
    assert not list((out / "nodes").iterdir())
    assert rows_in(out)[0].nodes_path is None


@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_a_pair_whose_nodes_are_gone_is_aligned_again(harm: str, tmp_path: Path, shots, worked: list[str]) -> None:
    pairs, out = with_a_moved_part(tmp_path, shots), tmp_path / "out"
    (row,) = align(pairs, out, PARAMS, images=False)
    content = row.nodes_path.read_bytes()
    align(pairs, out, PARAMS, images=False)
    assert len(worked) == 1
    if harm == "removed":
        row.nodes_path.unlink()
    else:
        row.nodes_path.write_bytes(content[:-1] + b"x")
    (again,) = align(pairs, out, PARAMS, images=False)
    assert len(worked) == 2
    assert again == row
    assert row.nodes_path.read_bytes() == content


def test_the_images_of_a_pair_with_nodes_are_those_of_its_transform(tmp_path: Path, shots) -> None:
    (row,) = align(with_a_moved_part(tmp_path, shots), tmp_path / "out", PARAMS)
    written = load_photo(tmp_path / "out" / "dslr" / f"{row.pair_id}.png")
    np.testing.assert_array_equal(written, warp_dslr(load_photo(row.dslr_path), transform(row), crop_box(row)))
    flat = warp_dslr(load_photo(row.dslr_path), replace(transform(row), nodes=None), crop_box(row))
    assert np.abs(written.astype(int) - flat).mean() > 1


def test_every_reason_is_declared_and_its_status_follows_from_it(out: Path) -> None:
    assert set(Alignment.RETRIED) < set(Alignment.REASONS)
    for row in rows_in(out):
        assert row.status in Alignment.STATUSES
        assert (row.status == "failed") == (row.reason in Alignment.RETRIED)


# How long it took


def test_every_pair_has_its_times_and_they_add_up(out: Path) -> None:
    rows, timings = rows_in(out), read_rows(out / "timings.parquet", Timing)
    assert [(timing.pair_id, timing.key) for timing in timings] == [(row.pair_id, row.key) for row in rows]
    for timing in timings:
        laps = [getattr(timing, name) for name in LAPS]
        assert min(laps) >= 0
        assert sum(laps) == pytest.approx(timing.total_s)
    assert all(min(getattr(timing, name) for name in LAPS) > 0 for timing in timings[:3])
    assert timings[3].register_s == 0  # nothing was registered, since it could not be read


def test_times_of_pairs_that_were_kept_are_those_of_the_run_that_did_them(tmp_path: Path, pairs: list[Pair]) -> None:
    align(pairs[:1], tmp_path, PARAMS, images=False)
    (first,) = read_rows(tmp_path / "timings.parquet", Timing)
    align(pairs[:2], tmp_path, PARAMS, images=False)
    again, second = read_rows(tmp_path / "timings.parquet", Timing)
    assert again == first
    assert second.pair_id == "phone--b"
    align(pairs[1:2], tmp_path, PARAMS, images=False)
    assert read_rows(tmp_path / "timings.parquet", Timing) == [second]


def test_a_damaged_table_of_times_stops_no_run(tmp_path: Path, pairs: list[Pair]) -> None:
    align(pairs[:1], tmp_path, PARAMS, images=False)
    (tmp_path / "timings.parquet").write_bytes(b"no table")
    align(pairs[:1], tmp_path, PARAMS, images=False)
    assert read_rows(tmp_path / "timings.parquet", Timing) == []


# What an earlier run has done


def test_a_finished_pair_is_not_done_again(out: Path, pairs: list[Pair], worked: list[str]) -> None:
    before = (out / "alignments.parquet").read_bytes()
    align(pairs, out, PARAMS)
    assert worked == ["phone--d"]  # its photo could not be read, which may have been the disk's fault
    assert (out / "alignments.parquet").read_bytes() == before
    assert not (out / ".parts").exists()


def test_the_place_in_the_moment_is_that_of_today(tmp_path: Path, pairs: list[Pair], worked: list[str]) -> None:
    """A sharper frame was added since, so that another one is the base now; the alignment itself does not change."""
    first = [replace(pairs[0], role="base", frame=0)]
    (before,) = align(first, tmp_path, PARAMS, images=False)
    (after,) = align([replace(first[0], role="frame", frame=1)], tmp_path, PARAMS, images=False)
    assert (before.role, before.frame, after.role, after.frame) == ("base", 0, "frame", 1)
    assert after == replace(before, role="frame", frame=1)
    assert len(worked) == 1


def test_a_new_pair_is_done_and_the_others_kept(tmp_path: Path, pairs: list[Pair], worked: list[str]) -> None:
    align(pairs[:1], tmp_path, PARAMS)
    rows = align(pairs[:2], tmp_path, PARAMS)
    assert worked == ["phone--a", "phone--b"]
    assert [row.pair_id for row in rows] == ["phone--a", "phone--b"]


def test_other_parameters_do_everything_again(tmp_path: Path, pairs: list[Pair], worked: list[str]) -> None:
    align(pairs[:2], tmp_path, PARAMS, images=False)
    align(pairs[:2], tmp_path, AlignParams(ratio=0.75), images=False)
    assert worked == ["phone--a", "phone--b"] * 2


def test_a_photo_with_other_content_is_aligned_again(tmp_path: Path, pairs: list[Pair], worked: list[str]) -> None:
    align(pairs[:2], tmp_path, PARAMS, images=False)
    align([replace(pairs[0], phone_sha256="0" * 64), pairs[1]], tmp_path, PARAMS, images=False)
    assert worked == ["phone--a", "phone--b", "phone--a"]


def test_a_photo_that_moved_is_not_aligned_again_but_named_where_it_is(
    tmp_path: Path, pairs: list[Pair], worked: list[str]
) -> None:
    align(pairs[:1], tmp_path, PARAMS, images=False)
    moved = tmp_path / "moved.jpg"
    moved.write_bytes(pairs[0].phone_path.read_bytes())
    (row,) = align([replace(pairs[0], phone_path=moved)], tmp_path, PARAMS, images=False)
    assert worked == ["phone--a"]
    assert row.phone_path == moved


def test_deleted_images_are_made_again(tmp_path: Path, pairs: list[Pair], worked: list[str]) -> None:
    align(pairs[:2], tmp_path, PARAMS, images=False)
    align(pairs[:2], tmp_path, PARAMS)
    (tmp_path / "dslr" / "phone--b.png").unlink()
    align(pairs[:2], tmp_path, PARAMS)
    assert worked == ["phone--a", "phone--b", "phone--a", "phone--b", "phone--b"]
    assert (tmp_path / "dslr" / "phone--b.png").exists()


def test_images_of_another_day_are_not_taken_for_those_of_today(tmp_path: Path, pairs: list[Pair]) -> None:
    align(pairs[:1], tmp_path, PARAMS)
    expected = [(tmp_path / side / "phone--a.png").read_bytes() for side in ("phone", "dslr")]
    other = AlignParams(ransac_px=1.0)
    align(pairs[:1], tmp_path, other)
    align(pairs[:1], tmp_path, PARAMS, images=False)
    align(pairs[:1], tmp_path, PARAMS)
    assert [(tmp_path / side / "phone--a.png").read_bytes() for side in ("phone", "dslr")] == expected


def test_images_of_pairs_that_are_gone_go_too_and_those_of_others_stay(tmp_path: Path, pairs: list[Pair]) -> None:
    align(pairs[:2], tmp_path, PARAMS)
    mine = tmp_path / "phone" / "mine.png"
    save_image(mine, np.zeros((4, 4, 3), np.uint8))
    align(pairs[:1], tmp_path, PARAMS)
    assert sorted(path.name for path in (tmp_path / "phone").iterdir()) == ["mine.png", "phone--a.png"]
    assert [path.name for path in (tmp_path / "dslr").iterdir()] == ["phone--a.png"]


def test_images_are_not_written_among_the_photos(tmp_path: Path, pairs: list[Pair]) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    there = folder / pairs[0].phone_path.name
    there.write_bytes(pairs[0].phone_path.read_bytes())
    with pytest.raises(DpedtoolError, match="among the photos"):
        align([replace(pairs[0], phone_path=there)], tmp_path, PARAMS)
    assert [path.name for path in folder.iterdir()] == [there.name]


def test_a_photo_that_was_away_for_a_run_is_looked_at_again(tmp_path: Path, pairs: list[Pair]) -> None:
    away = tmp_path / pairs[0].phone_path.name
    pair = replace(pairs[0], phone_path=away)
    (row,) = align([pair], tmp_path / "out", PARAMS)
    assert row.reason == "unreadable_photo"
    away.write_bytes(pairs[0].phone_path.read_bytes())
    (row,) = align([pair], tmp_path / "out", PARAMS)
    assert row.status == "aligned"


def test_a_photo_that_changed_since_it_was_paired_is_not_aligned(tmp_path: Path, pairs: list[Pair]) -> None:
    (row,) = align([replace(pairs[0], phone_path=pairs[1].phone_path)], tmp_path, PARAMS)
    assert (row.status, row.reason) == ("failed", "photo_changed")


def test_a_pair_that_no_longer_aligns_leaves_no_images(tmp_path: Path, pairs: list[Pair]) -> None:
    align(pairs[:1], tmp_path, PARAMS)
    (row,) = align(pairs[:1], tmp_path, AlignParams(min_coverage=1.0))
    assert (row.status, row.reason) == ("rejected", "poor_coverage")
    assert not (tmp_path / "phone" / "phone--a.png").exists()
    assert not (tmp_path / "dslr" / "phone--a.png").exists()


def test_two_processes_give_the_same_bytes_as_one(out: Path, pairs: list[Pair]) -> None:
    # As far below the common root as the other run, so that relative paths are the same.
    other = out.parent / f"{out.name}-two"
    align(pairs, other, PARAMS, workers=2)
    names = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file()) == names
    names.remove(Path("timings.parquet"))  # times differ
    assert all((other / name).read_bytes() == (out / name).read_bytes() for name in names)


# Looking up


def test_an_unknown_pair_and_one_that_failed_are_refused(out: Path) -> None:
    rows = rows_in(out)
    assert find_pair(rows, "phone--a") is rows[0]
    with pytest.raises(DpedtoolError, match=r"did you mean phone--\w\?"):
        find_pair(rows, "phone--x")
    with pytest.raises(DpedtoolError, match="unreadable_photo"):
        find_pair(rows, "phone--d")


def test_a_checkerboard_shows_both_in_turn(out: Path) -> None:
    phone, dslr = aligned_images(rows_in(out)[0])
    board = checkerboard(phone, dslr)
    side = round(phone.shape[1] / 8)
    np.testing.assert_array_equal(board[:side, :side], phone[:side, :side])
    np.testing.assert_array_equal(board[:side, side : 2 * side], dslr[:side, side : 2 * side])
    np.testing.assert_array_equal(board[side : 2 * side, :side], dslr[side : 2 * side, :side])
    assert shrunk(board, 100).shape[1] == 100
    assert shrunk(board, 10_000) is board
