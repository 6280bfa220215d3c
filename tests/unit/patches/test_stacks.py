"""Stacks: every frame of a burst or bracket shows the place of its patch, to a fraction of a px, or says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.params import AlignParams, DemoParams, PairParams, PatchesParams
from dpedtool.dataset.photos.decoding import decode_photo, load_photo
from dpedtool.dataset.schema import Alignment, Patch, StackFrame
from dpedtool.dataset.shards import Extent, member_name, read_extent
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.homographies import transform_points
from dpedtool.pipeline.moments import Moment, moments
from dpedtool.pipeline.pair.intake import Folders, pair_into
from dpedtool.pipeline.patches.stage import cut_patches
from dpedtool.pipeline.rig import Truth, load_truth, simulate_session

pytestmark = pytest.mark.slow

BRACKET, STILL_BURST = 3, 5
FRAMES = 3
PARAMS = PatchesParams(size_px=60, stride_px=60, frames="all")


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stacks") / "captures"
    simulate_session(DemoParams(scenes=STILL_BURST + 1, burst=FRAMES, bracket=True, missing=0), out)
    return out


@pytest.fixture(scope="module")
def truths(captures: Path) -> Mapping[str, Truth]:
    return {name: truth for (phone, name), truth in load_truth(captures / "truth.json").items() if phone == "phone-a"}


@pytest.fixture(scope="module")
def rows(captures: Path, truths: Mapping[str, Truth], tmp_path_factory: pytest.TempPathFactory) -> list[Alignment]:
    """Two moments: a bracket and a burst, of three frames each."""
    out = tmp_path_factory.mktemp("aligned")
    found = pair_into(out / "pairs", [Folders(captures / "phone-a", captures / "dslr")], PairParams(by="clock"))
    wanted = [pair for pair in found.rows if pair.phone_path and truths[pair.phone_path.name].scene >= BRACKET]
    pairs = [pair for pair in wanted if truths[pair.phone_path.name].scene in (BRACKET, STILL_BURST)]
    return align(pairs, out / "alignments", AlignParams(), images=False)


@pytest.fixture(scope="module")
def out(rows: list[Alignment], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patches")
    cut_patches(rows, folder, PARAMS)
    return folder


def accepted(folder: Path) -> dict[str, Patch]:
    found = read_rows(Patch.table_in(folder), Patch)
    return {row.patch_id: row for row in found if row.status == "accepted"}


def frames_in(folder: Path) -> list[StackFrame]:
    return read_rows(StackFrame.table_in(folder), StackFrame)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def by_pair(rows: list[Alignment]) -> list[Moment]:
    return sorted(moments(rows), key=lambda moment: moment.standing.pair_id)


def scene_of(row: StackFrame, truths: Mapping[str, Truth]) -> int:
    return truths[row.path.name].scene


def test_every_patch_has_a_row_for_each_frame_of_its_moment(out: Path) -> None:
    patches, stack = accepted(out), frames_in(out)
    assert len(patches) > 30
    assert [row.patch_id for row in stack] == [name for name in patches for _ in range(FRAMES)]
    assert [row.frame for row in stack] == [0, 1, 2] * len(patches)
    assert all((row.role == "base") == (row.pair_id == patches[row.patch_id].pair_id) for row in stack)


def test_most_frames_of_a_burst_are_accepted_and_lie_in_their_true_place(out: Path, truths) -> None:
    patches = accepted(out)
    stack = [row for row in frames_in(out) if scene_of(row, truths) == STILL_BURST]
    kept = [row for row in stack if row.status == "accepted"]
    assert len(kept) > 0.85 * len(stack)
    away = []
    for row in (row for row in kept if row.role == "frame"):
        patch = patches[row.patch_id]
        middle = np.array([[29.5, 29.5]])
        seen = truths[patch.phone_path.name].dslr_from_phone(middle + np.array([patch.x, patch.y]))
        true = truths[row.path.name].phone_from_dslr(seen) - (row.x, row.y)
        found = transform_points(np.array(row.frame_from_patch).reshape(3, 3), middle)
        away.append(float(np.linalg.norm(found - true)))
        # Whole px: what is left is at most half a px across and down.
        assert np.all(np.abs(found - middle) <= 0.5 + 1e-6)
        assert row.bend_px < 0.05
    assert len(away) > 20
    assert np.nanmedian(away) < 0.06
    assert np.nanpercentile(away, 95) < 0.2


def test_the_images_are_px_of_the_photos(out: Path) -> None:
    patches = accepted(out)
    for row in [row for row in frames_in(out) if row.status == "accepted"][::17]:
        content = read_extent(row.shard, Extent(row.offset, row.bytes))
        photo = load_photo(row.path)
        assert np.array_equal(decode_photo(content, Path("a.png")), photo[row.y : row.y + 60, row.x : row.x + 60])
        kind = "phone" if row.role == "base" else f"frame{row.frame:02d}"
        assert member_name(row.shard, Extent(row.offset, row.bytes)) == f"{row.patch_id}.{kind}.png"
        if row.role == "base":
            patch = patches[row.patch_id]
            assert (row.offset, row.bytes, row.x, row.y) == (patch.phone_offset, patch.phone_bytes, patch.x, patch.y)
            assert row.frame_from_patch == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_exposures_stand_in_the_rows_and_rejected_frames_say_why(out: Path, truths) -> None:
    stack = [row for row in frames_in(out) if scene_of(row, truths) == BRACKET]
    assert {(row.frame, row.ev) for row in stack} == {(0, -2.0), (1, 0.0), (2, 2.0)}
    assert all(row.exposure_s and row.iso for row in stack)
    rejected = [row for row in stack if row.status == "rejected"]
    assert {row.frame for row in rejected} <= {0, 2}
    assert rejected
    assert all(row.reason and row.detail and row.shard is None for row in rejected)
    # Both other exposures are of use in most places.
    for number in (0, 2):
        own = [row.status for row in stack if row.frame == number]
        assert own.count("accepted") > 0.4 * len(own)


def test_the_selection_counts_further_frames(out: Path) -> None:
    counts = Selection.read(Selection.file_in(out)).stacks
    further = [row for row in frames_in(out) if row.role == "frame"]
    assert counts.all == len(further)
    assert counts.accepted == sum(row.status == "accepted" for row in further)
    assert sum(counts.reasons.values()) == counts.all - counts.accepted > 0


def test_a_frame_that_was_not_aligned_is_a_row_with_the_reason(rows: list[Alignment], tmp_path: Path) -> None:
    burst = next(moment for moment in by_pair(rows) if len({row.reason for row in moment.frames}) == 1)
    spoilt = replace(burst.others[0], status="rejected", reason="motion_blur", detail="It is blurred.", key="spoilt")
    cut_patches([burst.standing, spoilt, burst.others[1]], tmp_path, PARAMS)
    found = [row for row in frames_in(tmp_path) if row.pair_id == spoilt.pair_id]
    assert found
    assert {(row.status, row.reason, row.detail) for row in found} == {
        ("rejected", "frame_not_aligned", "motion_blur: It is blurred.")
    }


def test_a_photo_that_cannot_be_read_any_more_costs_its_frame_and_is_tried_again(
    rows: list[Alignment], tmp_path: Path
) -> None:
    burst = by_pair(rows)[0]
    lost = replace(burst.others[0], phone_path=tmp_path / "lost.jpg")
    out = tmp_path / "out"
    cut_patches([burst.standing, lost, *burst.others[1:]], out, PARAMS)
    found = [row for row in frames_in(out) if row.pair_id == lost.pair_id]
    assert {row.reason for row in found} == {"unreadable_photo"}
    cut_patches(list(burst.frames), out, PARAMS)
    assert "unreadable_photo" not in {row.reason for row in frames_in(out)}


def test_a_patch_needs_as_many_frames_as_wanted(rows: list[Alignment], out: Path, tmp_path: Path) -> None:
    cut_patches(rows, tmp_path, replace(PARAMS, min_frames=FRAMES))
    counts: dict[str, int] = {}
    for row in frames_in(out):
        counts[row.patch_id] = counts.get(row.patch_id, 0) + (row.status == "accepted")
    assert set(accepted(tmp_path)) == {name for name, count in counts.items() if count == FRAMES}
    too_few = [row for row in read_rows(Patch.table_in(tmp_path), Patch) if row.reason == "few_frames"]
    assert {row.patch_id for row in too_few} == {name for name, count in counts.items() if count < FRAMES}
    assert too_few[0].detail.endswith("frames show the place; patches.min_frames is 3.")
    names = {row.patch_id for row in too_few}
    assert all(row.shard is None for row in frames_in(tmp_path) if row.patch_id in names)


def test_workers_and_the_order_of_the_rows_change_no_byte(rows: list[Alignment], out: Path, tmp_path: Path) -> None:
    cut_patches(rows[::-1], tmp_path, PARAMS, workers=2)
    assert files(tmp_path) == files(out)


def test_a_set_that_grows_keeps_its_shards_and_frames(rows: list[Alignment], tmp_path: Path) -> None:
    one, two = by_pair(rows)
    cut_patches(list(two.frames), tmp_path, PARAMS)
    before, shard = frames_in(tmp_path), (tmp_path / "patches-00000.tar").read_bytes()
    cut_patches([*one.frames, *two.frames], tmp_path, PARAMS)
    assert (tmp_path / "patches-00000.tar").read_bytes() == shard
    kept = [row for row in frames_in(tmp_path) if row.pair_id in {pair.pair_id for pair in two.frames}]
    assert kept == before


def test_another_shard_size_takes_the_frames_along(rows: list[Alignment], out: Path, tmp_path: Path) -> None:
    cut_patches(rows, tmp_path, PARAMS)
    cut_patches(rows, tmp_path, replace(PARAMS, shard_patches=7))
    assert len(list(tmp_path.glob("*.tar"))) > 4
    for row in [row for row in frames_in(tmp_path) if row.status == "accepted"][::23]:
        old = next(one for one in frames_in(out) if (one.patch_id, one.frame) == (row.patch_id, row.frame))
        new = read_extent(row.shard, Extent(row.offset, row.bytes))
        assert new == read_extent(old.shard, Extent(old.offset, old.bytes))


def test_the_base_alone_leaves_no_stacks(rows: list[Alignment], tmp_path: Path) -> None:
    cut_patches(rows, tmp_path, PARAMS)
    cut_patches(rows, tmp_path, replace(PARAMS, frames="base"))
    assert not StackFrame.table_in(tmp_path).exists()
    assert accepted(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"frames": "all", "mode": "dped"}, "use the mode strict"), ({"min_frames": 2}, "set frames to all")],
)
def test_parameters_that_contradict_each_other_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        PatchesParams(**given)
