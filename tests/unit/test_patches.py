"""The stage patches: windows by hand, files against rows, and the same bytes however the work was done."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pipeline.patches
from dataset.params import AlignParams, PatchesParams
from dataset.photos import decode_photo, load_photo
from dataset.schema import Alignment, Pair, Patch
from dataset.shards import Extent, read_extent
from dataset.tables import read_rows
from pipeline.align import align
from pipeline.aligned import crop_box, cut, mask, mask_columns, transform
from pipeline.patches import cut_pair, cut_patches, ncc, window_places
from pipeline.warping import warp_dslr

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


def refuse(alignment: Alignment, params: PatchesParams, parts: Path) -> list[Patch]:
    raise AssertionError(f"{alignment.pair_id} is cut again, {params}, {parts}")


# Windows


def test_windows_lie_wholly_inside_row_by_row() -> None:
    image = np.zeros((250, 199, 3), np.uint8)
    assert list(window_places(image, PatchesParams())) == [(0, 0), (0, 100)]
    overlapping = list(window_places(image, PatchesParams(stride_px=50)))
    assert overlapping == [(x, y) for y in (0, 50, 100, 150) for x in (0, 50)]
    assert list(window_places(image[:100, :100], PatchesParams())) == [(0, 0)]
    assert list(window_places(image[:99], PatchesParams())) == []


def test_correlation_by_hand() -> None:
    ramp = np.array([[0, 1], [2, 3]], np.uint8)
    assert ncc(ramp, ramp * 5 + 7) == pytest.approx(1)
    assert ncc(ramp, 3 - ramp) == pytest.approx(-1)
    # deviations (-1.5, -.5, .5, 1.5) and (-.75, .25, .25, .25): 1.5 / sqrt(5 * 0.75)
    assert ncc(ramp, np.array([[0, 1], [1, 1]], np.uint8)) == pytest.approx(1.5 / np.sqrt(5 * 0.75))
    assert ncc(ramp, np.full((2, 2), 9, np.uint8)) is None


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
        assert (row.status == "accepted") == (row.ncc is not None and row.ncc >= 0.9) == (row.shard is not None)


def test_a_stored_patch_is_the_window_of_both_photos(out: Path, alignments: list[Alignment]) -> None:
    row = [row for row in rows_in(out) if row.status == "accepted"][-1]
    (alignment,) = [found for found in alignments if found.pair_id == row.pair_id]
    phone = decode_photo(read_extent(row.shard, Extent(row.phone_offset, row.phone_bytes)), row.shard)
    dslr = decode_photo(read_extent(row.shard, Extent(row.dslr_offset, row.dslr_bytes)), row.shard)
    box = crop_box(alignment)
    window = np.s_[row.y - box.y : row.y - box.y + 60, row.x - box.x : row.x - box.x + 60]
    np.testing.assert_array_equal(phone, cut(load_photo(alignment.phone_path), box)[window])
    np.testing.assert_array_equal(dslr, warp_dslr(load_photo(alignment.dslr_path), transform(alignment), box)[window])


def test_shards_hold_as_many_patches_as_asked_and_a_tar_reader_finds_them(out: Path) -> None:
    accepted = [row for row in rows_in(out) if row.status == "accepted"]
    shards = sorted(out.glob("patches-*.tar"))
    assert len(shards) == -(-len(accepted) // 7)
    names = []
    for shard in shards:
        with tarfile.open(shard) as archive:
            names += archive.getnames()
    assert names == [f"{row.patch_id}.{side}.png" for row in accepted for side in ("phone", "dslr")]
    assert sorted(path.name for path in out.iterdir()) == [*(shard.name for shard in shards), "patches.parquet"]


def test_thresholds_reject_with_a_reason(tmp_path: Path, alignments: list[Alignment]) -> None:
    cut_patches(alignments[:1], tmp_path, replace(PARAMS, min_ncc=1.0))
    rows = rows_in(tmp_path)
    assert {row.status for row in rows} == {"rejected"}
    assert {row.reason for row in rows} == {"low_ncc"}
    assert list(tmp_path.glob("*.tar")) == []


def test_windows_that_touch_a_masked_cell_are_rejected_and_no_other(
    tmp_path: Path, alignments: list[Alignment]
) -> None:
    """One cell at (96, 64) of the crop, 32 px: it touches the windows of 60 px that begin at 60 or at 120."""
    cells = mask(alignments[0]).copy()
    cells[:] = False
    cells[2, 3] = True
    params = replace(PARAMS, min_ncc=-1.0)
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


def test_two_processes_give_the_same_bytes_as_one(out: Path, alignments: list[Alignment]) -> None:
    cut_patches(alignments, beside(out, "two"), PARAMS, workers=2)
    assert files(beside(out, "two")) == files(out)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, done = beside(out, "interrupted"), []

    def stop(alignment: Alignment, params: PatchesParams, parts: Path) -> list[Patch]:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(alignment.pair_id)
        return cut_pair(alignment, params, parts)

    def note(alignment: Alignment, params: PatchesParams, parts: Path) -> list[Patch]:
        done.append(alignment.pair_id)
        return cut_pair(alignment, params, parts)

    monkeypatch.setattr(pipeline.patches, "cut_pair", stop)
    with pytest.raises(KeyboardInterrupt):
        cut_patches(alignments, other, PARAMS)
    assert not (other / "patches.parquet").exists()
    monkeypatch.setattr(pipeline.patches, "cut_pair", note)
    cut_patches(alignments, other, PARAMS)
    assert done == ["phone--a", "phone--b", "phone--c"]
    assert files(other) == files(out)


def test_a_run_after_a_finished_one_works_on_nothing_and_keeps_the_bytes(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(out)
    monkeypatch.setattr(pipeline.patches, "cut_pair", refuse)
    cut_patches(alignments, out, PARAMS)
    assert files(out) == before


def test_another_shard_size_rearranges_without_cutting_again(
    out: Path, alignments: list[Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, fresh = beside(out, "rearranged"), beside(out, "fresh")
    cut_patches(alignments, other, PARAMS)
    cut_patches(alignments, fresh, replace(PARAMS, shard_patches=1000))
    monkeypatch.setattr(pipeline.patches, "cut_pair", refuse)
    cut_patches(alignments, other, replace(PARAMS, shard_patches=1000))
    assert files(other) == files(fresh)
    assert len(list(other.glob("*.tar"))) == 1


def test_fewer_pairs_leave_no_old_patches(out: Path, alignments: list[Alignment]) -> None:
    other, fresh = beside(out, "fewer"), beside(out, "one")
    cut_patches(alignments, other, PARAMS)
    cut_patches(alignments[:1], other, PARAMS)
    cut_patches(alignments[:1], fresh, PARAMS)
    assert files(other) == files(fresh)


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
    real = pipeline.patches._Shelf.take

    def fail(shelf: object, row: Patch) -> Patch:
        taken.append(row)
        if len(taken) > 9:
            raise OSError(28, "No space left on device")
        return real(shelf, row)

    monkeypatch.setattr(pipeline.patches._Shelf, "take", fail)
    with pytest.raises(OSError, match="No space"):
        cut_patches(alignments, other, replace(PARAMS, shard_patches=5))
    assert files(other) == before
