"""Further targets: what a further reference shows at the place of a patch, on its px, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import AlignParams, DemoParams, PairParams, PatchesParams
from dpedtool.dataset.photos.decoding import decode_photo, load_photo
from dpedtool.dataset.schema import Alignment, Patch, StackFrame
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import crop_box, map_points
from dpedtool.pipeline.moments import moments
from dpedtool.pipeline.pair.intake import Folders, pair_into
from dpedtool.pipeline.patches.stage import cut_patches
from dpedtool.pipeline.rig import Truth, load_truth, simulate_session

pytestmark = pytest.mark.slow

PARAMS = PatchesParams(size_px=60, stride_px=120)
WIDE = "dslr-wide"


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("targets") / "captures"
    simulate_session(DemoParams(scenes=2, references=2, missing=0, moving_object=False), out)
    return out


@pytest.fixture(scope="module")
def truths(captures: Path) -> Mapping[str, Truth]:
    found = load_truth(captures / "truth.json", "targets")
    return {name: truth for (phone, name), truth in found.items() if phone == "phone-a"}


@pytest.fixture(scope="module")
def rows(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Alignment]:
    """Two moments of one frame and two references each."""
    out = tmp_path_factory.mktemp("aligned")
    folders = Folders(captures / "phone-a", captures / "dslr", references={1: captures / WIDE})
    pairs = pair_into(out / "pairs", [folders], PairParams(by="order")).rows
    return align(pairs, out / "alignments", AlignParams(), images=False)


@pytest.fixture(scope="module")
def out(rows: list[Alignment], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patches")
    cut_patches(rows, folder, PARAMS)
    return folder


def accepted(folder: Path) -> dict[str, Patch]:
    found = read_rows(Patch.table_in(folder), Patch)
    return {row.patch_id: row for row in found if row.status == "accepted"}


def stack_in(folder: Path) -> list[StackFrame]:
    return read_rows(StackFrame.table_in(folder), StackFrame)


def image_of(shard: Path, offset: int, length: int) -> np.ndarray:
    return decode_photo(read_extent(shard, Extent(offset, length)), Path("a.png"))


def test_each_photo_of_the_further_reference_is_in_its_true_place(rows: list[Alignment], truths) -> None:
    targets = [row for row in rows if row.role == "target"]
    assert [(row.status, row.reference, row.frame) for row in targets] == [("aligned", WIDE, 1)] * 2
    for row in targets:
        truth = truths[row.phone_path.name]
        assert truth.dslr_file == row.dslr_path.name
        box = crop_box(row)
        xs, ys = np.arange(box.x, box.x + box.width, 4), np.arange(box.y, box.y + box.height, 4)
        points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(float)
        away = np.linalg.norm(map_points(row, points) - truth.dslr_from_phone(points), axis=1) / row.scale
        assert np.nanmedian(away) <= 0.05
        assert np.nanpercentile(away, 95) <= 0.15


def test_every_patch_has_a_row_of_its_base_and_of_its_target(out: Path) -> None:
    patches, stack = accepted(out), stack_in(out)
    assert len(patches) > 15
    assert [(row.patch_id, row.role, row.reference) for row in stack] == [
        (name, *kind) for name in patches for kind in (("base", ""), ("target", WIDE))
    ]
    kept = [row for row in stack if row.role == "target" and row.status == "accepted"]
    assert len(kept) > 0.9 * len(patches)
    assert {(row.f_number, row.exposure_s) for row in kept} == {(None, None)}
    assert all(row.path.parent.name == WIDE for row in stack if row.role == "target")


def test_the_target_shows_the_further_reference_on_the_px_of_the_patch(out: Path, truths) -> None:
    """Each px has the colour of the place in the photo of the further reference that the truth names."""
    patches = accepted(out)
    kept = [row for row in stack_in(out) if row.role == "target" and row.status == "accepted"]
    for row in kept[::5]:
        patch = patches[row.patch_id]
        ys, xs = np.mgrid[10:50, 10:50]
        places = np.column_stack([xs.ravel(), ys.ravel()]) + np.array([patch.x, patch.y], float)
        seen = truths[patch.phone_path.name].dslr_from_phone(places).reshape(40, 40, 2).astype(np.float32)
        # As much blur in its own px, which are 1.4 times as fine.
        photo = cv2.GaussianBlur(load_photo(row.path), (0, 0), 2.2)
        wanted = cv2.remap(photo, seen, None, cv2.INTER_LINEAR).astype(float)
        target = cv2.GaussianBlur(image_of(row.shard, row.offset, row.bytes), (0, 0), 1.5)[10:50, 10:50].astype(float)
        known = np.isfinite(seen).all(axis=2)
        assert np.median(np.abs(target - wanted)[known]) <= 2
        own = image_of(patch.shard, patch.dslr_offset, patch.dslr_bytes)
        assert not np.array_equal(own, image_of(row.shard, row.offset, row.bytes))


def test_the_selection_counts_targets(out: Path) -> None:
    counts = Selection.read(Selection.file_in(out)).stacks
    targets = [row for row in stack_in(out) if row.role == "target"]
    assert counts.all == 0
    assert counts.targets[WIDE]["accepted"] == sum(row.status == "accepted" for row in targets)
    assert sum(counts.targets[WIDE].values()) == len(targets)


def test_a_photo_that_was_not_aligned_is_a_row_with_the_reason(rows: list[Alignment], tmp_path: Path) -> None:
    first = moments(rows)[0]
    spoilt = replace(first.targets[0], status="rejected", reason="motion_blur", detail="It is blurred.", key="spoilt")
    cut_patches([first.base, spoilt], tmp_path, PARAMS)
    found = [row for row in stack_in(tmp_path) if row.role == "target"]
    assert found
    assert {(row.status, row.reason, row.detail) for row in found} == {
        ("rejected", "frame_not_aligned", "motion_blur: It is blurred.")
    }


def test_a_frame_that_stands_in_has_no_targets(rows: list[Alignment], tmp_path: Path) -> None:
    """The photos of further references are aligned with the base frame, not with the one that stands in for it."""
    first, second = moments(rows)
    base = replace(first.base, status="rejected", reason="motion_blur", detail="It is blurred.")
    stand_in = replace(second.base, scene_id=base.scene_id, role="frame", frame=1)
    cut_patches([base, stand_in, first.targets[0]], tmp_path, PARAMS)
    reasons = {(row.reason, row.detail) for row in stack_in(tmp_path) if row.role == "target"}
    assert reasons == {
        ("frame_not_aligned", f"It is aligned with {base.phone_path}, for which another frame stands in.")
    }


def test_a_patch_needs_as_many_references_as_wanted(rows: list[Alignment], tmp_path: Path) -> None:
    one, two = moments(rows)
    cut_patches([one.base, *one.targets, two.base], tmp_path, replace(PARAMS, min_references=2))
    assert {row.pair_id for row in accepted(tmp_path).values()} == {one.base.pair_id}
    too_few = [row for row in read_rows(Patch.table_in(tmp_path), Patch) if row.reason == "few_references"]
    assert {row.detail for row in too_few if row.pair_id == two.base.pair_id} == {
        "1 of 1 references of the moment show the place; patches.min_references is 2."
    }


def test_a_further_reference_leaves_the_patches_as_they_are(rows: list[Alignment], out: Path, tmp_path: Path) -> None:
    cut_patches([row for row in rows if row.role != "target"], tmp_path, PARAMS)
    assert not StackFrame.table_in(tmp_path).exists()
    measured = [{name: (row.ncc, row.residual_px) for name, row in accepted(each).items()} for each in (out, tmp_path)]
    assert measured[0] == measured[1]


def test_workers_change_no_byte_and_a_second_run_cuts_nothing(
    rows: list[Alignment], out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    cut_patches(rows[::-1], tmp_path, PARAMS, workers=2)
    before = files(tmp_path)
    assert before == files(out)
    capsys.readouterr()
    cut_patches(rows, tmp_path, PARAMS)
    assert "2 of 2 were done by an earlier run" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_another_number_of_the_reference_gives_what_a_first_run_gives(rows: list[Alignment], tmp_path: Path) -> None:
    one = moments(rows)[0]
    out = tmp_path / "out"
    cut_patches([one.base, *one.targets], out, PARAMS)
    second = [replace(target, frame=2) for target in one.targets]
    cut_patches([one.base, *second], out, PARAMS)
    assert {row.frame for row in stack_in(out) if row.role == "target"} == {2}
    shard = next(out.glob("*.tar")).read_bytes()
    assert b".dslr02.png" in shard
    assert b".dslr01.png" not in shard


def test_without_further_references_no_patch_has_two(rows: list[Alignment], tmp_path: Path) -> None:
    cut_patches([moments(rows)[0].base], tmp_path, replace(PARAMS, min_references=2))
    assert not accepted(tmp_path)


def test_windows_that_move_can_have_no_further_targets(rows: list[Alignment], tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"set patches\.mode to strict, or leave captures\.references empty"):
        cut_patches(rows, tmp_path, replace(PARAMS, mode="dped"))
