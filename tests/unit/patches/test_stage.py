"""The stage patches: windows by hand, files against rows, and the same bytes however the work was done."""

from __future__ import annotations

import itertools
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import webdataset
from dying import dying_after

import dpedtool.pipeline.patches.stage
from dpedtool.dataset.io import digest
from dpedtool.dataset.params import AlignParams, PatchesParams
from dpedtool.dataset.photos.decoding import decode_photo, load_photo
from dpedtool.dataset.schema import Alignment, Frame, Pair, Patch, StackFrame
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import crop_box, cut, map_points, mask, mask_columns, transform
from dpedtool.pipeline.geometry.homographies import transform_points
from dpedtool.pipeline.geometry.warping import warp_dslr
from dpedtool.pipeline.measure.correlation import sample
from dpedtool.pipeline.moments import Moment, moments, standing
from dpedtool.pipeline.patches.judging import params_sha256
from dpedtool.pipeline.patches.shelf import Shelf
from dpedtool.pipeline.patches.stage import cut_moment, cut_patches

PARAMS = PatchesParams(size_px=60, stride_px=60, shard_patches=7)


@pytest.fixture(scope="module")
def alignments(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> list[Alignment]:
    return align(pairs, tmp_path_factory.mktemp("aligned"), AlignParams(), images=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, alignments: list[Alignment]) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("patches")
    table = cut_patches(alignments, folder, PARAMS)
    assert sum(row.status == "accepted" for row in read_rows(table, Patch)) > 20
    return folder


def rows_in(folder: Path) -> list[Patch]:
    return read_rows(folder / "patches.parquet", Patch)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def beside(folder: Path, name: str) -> Path:
    """A folder as deep as another, so that relative paths from it are the same."""
    return folder.parent / f"{folder.name}-{name}"


def refuse(moment: Moment, params: PatchesParams, parts: Path, *, is_stacked: bool) -> list[Patch]:
    raise AssertionError(f"{moment.standing.pair_id} is cut again, {params}, {parts}, {is_stacked}")


def image_of(row: Patch, side: str) -> np.ndarray:
    extent = Extent(getattr(row, f"{side}_offset"), getattr(row, f"{side}_bytes"))
    return decode_photo(read_extent(row.shard, extent), row.shard)


# Windows


def test_every_window_is_a_row_and_only_good_ones_are_stored(out: Path, alignments: list[Alignment]) -> None:
    rows = rows_in(out)
    expected = [
        (row.pair_id, crop_box(row).x + x, crop_box(row).y + y)
        for row in alignments
        if row.status == "aligned"
        for y in range(0, crop_box(row).height - 59, 60)
        for x in range(0, crop_box(row).width - 59, 60)
    ]
    assert [(row.pair_id, row.x, row.y) for row in rows] == expected
    assert len({row.patch_id for row in rows}) == len(rows)
    for row in rows:
        assert (row.status == "accepted") == (row.reason == "") == (row.shard is not None)
        assert (row.mode, row.angle_deg) == ("strict", 0)
        if row.status == "accepted":
            assert row.ncc >= 0.9
            assert row.residual_px <= 0.5
            assert row.residual_error_px <= 0.12


def test_a_stored_patch_is_the_window_of_both_photos(out: Path, alignments: list[Alignment]) -> None:
    row = [row for row in rows_in(out) if row.status == "accepted"][-1]
    (alignment,) = [found for found in alignments if found.pair_id == row.pair_id]
    box = crop_box(alignment)
    window = np.s_[row.y - box.y : row.y - box.y + 60, row.x - box.x : row.x - box.x + 60]
    np.testing.assert_array_equal(image_of(row, "phone"), cut(load_photo(alignment.phone_path), box)[window])
    warped = warp_dslr(load_photo(alignment.dslr_path), transform(alignment), box)
    np.testing.assert_array_equal(image_of(row, "dslr"), warped[window])


def test_in_dped_mode_the_phone_window_is_taken_where_it_correlates_best(
    tmp_path: Path, alignments: list[Alignment]
) -> None:
    """The alignment is turned by half a degree about a window's middle, and pushed 3 px to the left."""
    alignment = alignments[0]
    params = replace(PARAMS, mode="dped")
    box = crop_box(alignment)
    middle = np.array([box.x + 89.5, box.y + 89.5])
    cos, sin = np.cos(np.radians(0.5)), np.sin(np.radians(0.5))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    turn[:2, 2] = middle - turn[:2, :2] @ middle + (3, 0)
    wrong = (transform(alignment).homography @ np.linalg.inv(turn)).ravel()
    cut_patches([replace(alignment, dslr_from_phone=tuple(wrong / wrong[8]), key="wrong")], tmp_path, params)
    (row,) = [row for row in rows_in(tmp_path) if (row.x, row.y) == (box.x + 60, box.y + 60)]
    assert (row.status, row.mode) == ("accepted", "dped")
    # What the DSLR's window shows lies 3 px to the left in the phone photo, and half a degree back.
    assert row.angle_deg == -0.5
    assert (row.dx, row.dy) == pytest.approx((-3, 0), abs=0.2)
    assert (row.phone_x, row.phone_y) == (row.x + row.dx, row.y + row.dy)
    assert row.best_ncc > row.ncc + 0.01
    assert row.residual_px < 0.5
    expected = sample(load_photo(alignment.phone_path), (row.phone_x, row.phone_y), 60, -0.5, cv2.INTER_LANCZOS4)
    np.testing.assert_array_equal(image_of(row, "phone"), expected)


def test_in_strict_mode_a_window_that_would_have_to_move_is_rejected(
    tmp_path: Path, alignments: list[Alignment]
) -> None:
    shifts = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]
    for number, (dx, dy) in enumerate(shifts):
        push = np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]], float)
        wrong = tuple((transform(alignments[0]).homography @ push).ravel())
        cut_patches([replace(alignments[0], dslr_from_phone=wrong, key=f"{number}")], tmp_path / f"{number}", PARAMS)
        rows = rows_in(tmp_path / f"{number}")
        assert {row.status for row in rows} == {"rejected"}
        assert sum(row.reason == "shifted" for row in rows) > len(rows) / 2
        told = [row for row in rows if row.reason == "shifted"]
        # The DSLR's image shows at x what the phone's shows at x + shift.
        assert np.median([row.residual_x for row in told]) == pytest.approx(-dx, abs=0.1)
        assert np.median([row.residual_y for row in told]) == pytest.approx(-dy, abs=0.1)
        assert (np.median([row.dx for row in told]), np.median([row.dy for row in told])) == (dx, dy)


def test_every_row_tells_where_its_pixels_come_from(out: Path, alignments: list[Alignment]) -> None:
    by_id = {row.pair_id: row for row in alignments}
    for row in rows_in(out):
        alignment = by_id[row.pair_id]
        assert row.phone_path.samefile(alignment.phone_path)
        assert row.dslr_path.samefile(alignment.dslr_path)
        assert (row.phone_sha256, row.dslr_sha256) == (alignment.phone_sha256, alignment.dslr_sha256)
        assert (row.phone_x, row.phone_y) == (row.x, row.y)
        assert row.params_sha256 == params_sha256(PARAMS)
        rim = np.array([[0, 0], [59, 0], [30, 30], [0, 59], [59, 59]], float)
        expected = map_points(alignment, rim + np.array([row.x, row.y]))
        there = transform_points(np.array(row.dslr_from_patch).reshape(3, 3), rim)
        np.testing.assert_allclose(there, expected, atol=0.02)
        assert row.bend_px is not None
        assert np.linalg.norm(there - expected, axis=1).max() <= row.bend_px * 1.1 * alignment.scale + 1e-9
        low, high = np.array([row.dslr_x, row.dslr_y]), np.array([row.dslr_width, row.dslr_height])
        assert (there > low).all()
        assert (there < low + high).all()
        assert (high < 60 * 1.1 * alignment.scale).all()


def test_frames_hold_one_row_a_pair_with_the_scene_in_small(out: Path, alignments: list[Alignment]) -> None:
    frames = read_rows(out / "frames.parquet", Frame)
    rows = rows_in(out)
    assert [frame.pair_id for frame in frames] == [row.pair_id for row in alignments if row.status == "aligned"]
    by_id = {row.pair_id: row for row in alignments}
    for frame in frames:
        alignment = by_id[frame.pair_id]
        own = [row for row in rows if row.pair_id == frame.pair_id]
        assert (frame.windows, frame.accepted) == (len(own), sum(row.status == "accepted" for row in own))
        assert (frame.phone_width, frame.phone_height) == (320, 240)
        assert frame.dslr_sha256 == alignment.dslr_sha256
        small = cv2.imdecode(np.frombuffer(frame.thumbnail, np.uint8), cv2.IMREAD_GRAYSCALE)
        photo = cv2.cvtColor(load_photo(alignment.dslr_path), cv2.COLOR_BGR2GRAY)
        assert small.shape == (183, 256)
        resized = cv2.resize(photo, (256, 183), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - resized).mean() < 5


def test_the_summary_counts_what_the_table_holds(out: Path) -> None:
    rows, told = rows_in(out), Selection.read(out / "selection.json")
    accepted = sum(row.status == "accepted" for row in rows)
    assert (told.windows, told.accepted) == (len(rows), accepted)
    assert sum(told.rejected.values()) == len(rows) - accepted
    for bins in told.by.values():
        assert (sum(one.windows for one in bins), sum(one.accepted for one in bins)) == (len(rows), accepted)
    assert told.params_sha256 == digest(told.params)


def test_shards_hold_as_many_patches_as_asked_and_a_tar_reader_finds_them(out: Path) -> None:
    accepted = [row for row in rows_in(out) if row.status == "accepted"]
    shards = sorted(out.glob("patches-*.tar"))
    assert len(shards) == -(-len(accepted) // 7)
    names = []
    for shard in shards:
        with tarfile.open(shard) as archive:
            names += archive.getnames()
    assert names == [f"{row.patch_id}.{side}.png" for row in accepted for side in ("phone", "dslr")]
    others = ["frames.parquet", "patches.parquet", "selection.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*others, *(shard.name for shard in shards)])


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_webdataset_reads_the_shards(out: Path) -> None:
    """It leaves closing the shards to the garbage collector."""
    urls = [str(shard) for shard in sorted(out.glob("patches-*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    accepted = [row for row in rows_in(out) if row.status == "accepted"]
    assert [sample["__key__"] for sample in samples] == [row.patch_id for row in accepted]
    np.testing.assert_array_equal(samples[-1]["phone.png"][..., ::-1], image_of(accepted[-1], "phone"))
    np.testing.assert_array_equal(samples[-1]["dslr.png"][..., ::-1], image_of(accepted[-1], "dslr"))


def test_thresholds_reject_with_a_reason(tmp_path: Path, alignments: list[Alignment]) -> None:
    cut_patches(alignments[:1], tmp_path, replace(PARAMS, min_contrast=255.0))
    rows = rows_in(tmp_path)
    assert {(row.status, row.reason) for row in rows} == {("rejected", "flat")}
    assert list(tmp_path.glob("*.tar")) == []


def test_windows_that_touch_a_masked_cell_are_rejected_and_no_other(
    tmp_path: Path, alignments: list[Alignment]
) -> None:
    """One cell at (96, 64) of the crop, 32 px: it touches the windows of 60 px that begin at 60 or at 120."""
    cells = mask(alignments[0]).copy()
    cells[:] = False
    cells[2, 3] = True
    params = replace(PARAMS, mode="dped", min_ncc=-1.0, reject_masked=True)
    cut_patches([replace(alignments[0], **mask_columns(cells, 32), key="masked")], tmp_path / "masked", params)
    box = crop_box(alignments[0])
    touched = {(row.x - box.x, row.y - box.y) for row in rows_in(tmp_path / "masked") if row.reason == "masked"}
    assert touched == {(60, 60), (120, 60)}
    for row in rows_in(tmp_path / "masked"):
        assert (row.status == "rejected") == (row.reason == "masked") == (row.shard is None)
        assert row.ncc is not None
    cut_patches(alignments[:1], tmp_path / "whole", params)
    whole, masked = rows_in(tmp_path / "whole"), rows_in(tmp_path / "masked")
    assert [(row.x, row.y, row.ncc) for row in whole] == [(row.x, row.y, row.ncc) for row in masked]
    assert {row.reason for row in whole} == {""}


def test_jpeg_patches_are_smaller_and_named_so(tmp_path: Path, out: Path, alignments: list[Alignment]) -> None:
    cut_patches(alignments, tmp_path, replace(PARAMS, format="jpg", jpeg_quality=80))
    with tarfile.open(tmp_path / "patches-00000.tar") as archive:
        assert all(name.endswith(".jpg") for name in archive.getnames())
    assert (tmp_path / "patches-00000.tar").stat().st_size < (out / "patches-00000.tar").stat().st_size


def test_a_crop_too_small_for_a_window_is_a_row_with_its_reason(tmp_path: Path, alignments: list[Alignment]) -> None:
    cut_patches(alignments, tmp_path, PatchesParams(size_px=500, stride_px=500))
    aligned = [row.pair_id for row in alignments if row.status == "aligned"]
    assert [(row.pair_id, row.reason, row.x) for row in rows_in(tmp_path)] == [
        (name, "small_crop", None) for name in aligned
    ]


# Photos that are no longer those


def test_a_photo_that_changed_or_vanished_is_a_row(tmp_path: Path, alignments: list[Alignment]) -> None:
    (tmp_path / "other.jpg").write_bytes(alignments[1].phone_path.read_bytes())
    changed = replace(alignments[0], phone_path=tmp_path / "other.jpg")
    vanished = replace(alignments[1], dslr_path=tmp_path / "none.jpg")
    cut_patches([changed, vanished], tmp_path / "out", PARAMS)
    assert [(row.pair_id, row.reason) for row in rows_in(tmp_path / "out")] == [
        ("phone--a", "photo_changed"),
        ("phone--b", "unreadable_photo"),
    ]


# The same bytes however the work was done


@pytest.mark.parametrize("workers", [2, 4])
def test_more_processes_give_the_same_bytes_as_one(out: Path, alignments: list[Alignment], workers: int) -> None:
    other = beside(out, f"by-{workers}")
    cut_patches(alignments[::-1], other, PARAMS, workers=workers)
    assert files(other) == files(out)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, done = beside(out, "interrupted"), []

    def stop(moment: Moment, params: PatchesParams, parts: Path, *, is_stacked: bool) -> list[Patch]:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(moment.standing.pair_id)
        return cut_moment(moment, params, parts, is_stacked=is_stacked)

    def note(moment: Moment, params: PatchesParams, parts: Path, *, is_stacked: bool) -> list[Patch]:
        done.append(moment.standing.pair_id)
        return cut_moment(moment, params, parts, is_stacked=is_stacked)

    monkeypatch.setattr(dpedtool.pipeline.patches.stage, "cut_moment", stop)
    with pytest.raises(KeyboardInterrupt):
        cut_patches(alignments, other, PARAMS)
    assert not (other / "patches.parquet").exists()
    monkeypatch.setattr(dpedtool.pipeline.patches.stage, "cut_moment", note)
    cut_patches(alignments, other, PARAMS)
    assert done == ["phone--a", "phone--b", "phone--c"]
    assert files(other) == files(out)


def test_a_run_after_a_finished_one_works_on_nothing_and_keeps_the_bytes(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(out)
    monkeypatch.setattr(dpedtool.pipeline.patches.stage, "cut_moment", refuse)
    cut_patches(alignments, out, PARAMS)
    assert files(out) == before


def test_the_digest_of_the_parameters_is_that_of_the_limits_that_hold() -> None:
    assert params_sha256(PARAMS) == params_sha256(replace(PARAMS, max_residual_px=0.5, shard_patches=9))
    others = [replace(PARAMS, mode="dped"), replace(PARAMS, max_residual_px=0.4), replace(PARAMS, format="jpg")]
    assert len({params_sha256(params) for params in [PARAMS, *others]}) == 4


def test_another_shard_size_rearranges_without_cutting_again(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, fresh = beside(out, "rearranged"), beside(out, "fresh")
    cut_patches(alignments, other, PARAMS)
    cut_patches(alignments, fresh, replace(PARAMS, shard_patches=1000))
    monkeypatch.setattr(dpedtool.pipeline.patches.stage, "cut_moment", refuse)
    cut_patches(alignments, other, replace(PARAMS, shard_patches=1000))
    assert files(other) == files(fresh)
    assert len(list(other.glob("*.tar"))) == 1


def test_fewer_pairs_leave_no_old_patches(out: Path, alignments: list[Alignment]) -> None:
    other, fresh = beside(out, "fewer"), beside(out, "one")
    cut_patches(alignments, other, PARAMS)
    cut_patches(alignments[:1], other, PARAMS)
    cut_patches(alignments[:1], fresh, PARAMS)
    assert files(other) == files(fresh)


def test_a_kill_or_a_full_disk_while_results_are_published_loses_nothing(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All shards are filled from scratch, because one pair is no longer wanted and shards hold more."""
    wanted, params = alignments[:2], replace(PARAMS, shard_patches=10)
    monkeypatch.setattr(dpedtool.pipeline.patches.stage, "cut_moment", refuse)
    fresh = beside(out, "published")
    shutil.copytree(out, fresh)
    cut_patches(wanted, fresh, params)
    assert 1 < len(list(fresh.glob("*.tar"))) < len(list(out.glob("*.tar")))
    for step in itertools.count():
        killed = beside(out, f"killed-{step}")
        shutil.copytree(out, killed)
        with dying_after(step) as refused:
            cut_patches(wanted, killed, params)
        cut_patches(wanted, killed, params)
        assert files(killed) == files(fresh), step
        if not refused:
            break
    assert step > 10


def test_one_frame_stands_for_each_moment(alignments: list[Alignment]) -> None:
    def frame(
        number: int, role: str = "frame", status: str = "aligned", scene: str = "s", phone: str = "p"
    ) -> Alignment:
        place = {"pair_id": f"{phone}-{scene}-{number}", "phone": phone, "scene_id": scene}
        return replace(alignments[0], **place, role=role, frame=number, status=status)

    def chosen(*rows: Alignment) -> list[str]:
        return sorted(row.pair_id for row in standing(moments(rows)))

    assert chosen(frame(0), frame(1, "base"), frame(2)) == ["p-s-1"]
    assert chosen(frame(0), frame(1), frame(2, "base", "rejected"), frame(3, "frame", "failed")) == ["p-s-1"]
    assert chosen(frame(1), frame(3), frame(2, "base", "rejected")) == ["p-s-1"]
    assert chosen(frame(0, "base", "rejected"), frame(1, "frame", "rejected")) == []
    small = replace(frame(1), phone_width=10)
    assert chosen(frame(0, "base", "rejected"), small, frame(3)) == ["p-s-3"]
    assert chosen(replace(frame(0, "base", "failed"), phone_width=None), small) == ["p-s-1"]
    # Two bases would make two patches of one place; the table of alignments has one.
    assert chosen(frame(0, "base"), frame(2, "base")) == ["p-s-2"]
    others = frame(0, "base", scene="t"), frame(0, "base", phone="q")
    assert chosen(frame(0, "base"), frame(1), *others) == ["p-s-0", "p-t-0", "q-s-0"]


def test_a_set_that_grows_keeps_the_bytes_of_its_rows_and_shards(out: Path, alignments: list[Alignment]) -> None:
    """The new pair sorts before the others, and so do its rows; its patches go to a shard of their own."""
    grown = beside(out, "grown")
    first = [
        replace(row, pair_id=f"z-{row.pair_id}", scene_id=f"z-{row.scene_id}", key=f"z{row.key}") for row in alignments
    ]
    cut_patches(first, grown, PARAMS)
    before, rows = files(grown), rows_in(grown)
    shards = {name: content for name, content in before.items() if name.endswith(".tar")}
    cut_patches([*first, alignments[0]], grown, PARAMS)
    after = files(grown)
    assert {name: after[name] for name in shards} == shards
    assert [row for row in rows_in(grown) if row.pair_id.startswith("z-")] == rows
    new = [row for row in rows_in(grown) if row.pair_id == alignments[0].pair_id and row.shard]
    assert new
    assert not {row.shard.name for row in new} & shards.keys()
    assert {row.shard.name for row in new} == {name for name in after if name.endswith(".tar")} - shards.keys()
    for row in new:
        np.testing.assert_array_equal(
            image_of(row, "phone"), load_photo(row.phone_path)[row.y : row.y + 60, row.x : row.x + 60]
        )
    cut_patches([*first, alignments[0]], grown, PARAMS)
    assert files(grown) == after
    cut_patches(first, grown, PARAMS)
    assert {name: content for name, content in files(grown).items() if name.endswith(".tar")} == shards


def test_a_shard_that_was_deleted_is_cut_again(out: Path, alignments: list[Alignment]) -> None:
    other = beside(out, "deleted")
    cut_patches(alignments, other, PARAMS)
    (other / "patches-00001.tar").unlink()
    cut_patches(alignments, other, PARAMS)
    assert files(other) == files(out)


def test_a_failure_while_shards_are_filled_leaves_the_earlier_ones(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, taken = beside(out, "failing"), []
    cut_patches(alignments, other, PARAMS)
    before = files(other)
    real = Shelf.take

    def fail(shelf: Shelf, row: Patch, frames: Sequence[StackFrame]) -> tuple[Patch, list[StackFrame]]:
        taken.append(row)
        if len(taken) > 9:
            raise OSError(28, "No space left on device")
        return real(shelf, row, frames)

    monkeypatch.setattr(Shelf, "take", fail)
    with pytest.raises(OSError, match="No space"):
        cut_patches(alignments, other, replace(PARAMS, shard_patches=5))
    assert files(other) == before


def test_tar_files_of_others_in_the_folder_are_left_alone(tmp_path: Path, alignments: list[Alignment]) -> None:
    (tmp_path / "patches-old.tar").write_text("mine")
    (tmp_path / "patches-00099.tar").write_text("of an earlier run")
    cut_patches(alignments[:1], tmp_path, PARAMS)
    assert (tmp_path / "patches-old.tar").read_text() == "mine"
    assert not (tmp_path / "patches-00099.tar").exists()
