"""Further references: their photos belong to the moments of the base reference, or stand alone with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from timed_photos import photo

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.params import CapturesParams, PairParams
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.pair import stage
from dpedtool.pipeline.pair.intake import PairedFolders, camera_folders, pair_into
from dpedtool.pipeline.pair.references import targets_of
from dpedtool.pipeline.pair.stage import pair_folders

TIMES_S = (0, 11, 31, 38, 80, 95, 140, 151)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One phone and two DSLRs by clock; the second one misses the third moment and has a shot of its own."""
    for index, seconds in enumerate(TIMES_S):
        photo(tmp_path / "captures" / "pixel" / f"PXL_{index}.jpg", seconds)
        photo(tmp_path / "captures" / "canon" / f"IMG_{index}.jpg", seconds + 37)
        if index != 2:
            photo(tmp_path / "captures" / "sony a7" / f"DSC_{index}.jpg", seconds - 3600)
    photo(tmp_path / "captures" / "sony a7" / "DSC_8.jpg", 400 - 3600)
    return tmp_path / "captures"


def two_sessions(root: Path, tmp_path: Path) -> Path:
    """The captures as session one, and session two without the further reference."""
    both = tmp_path / "both"
    both.mkdir()
    root.rename(both / "one")
    for camera in ("pixel", "canon"):
        for path in (both / "one" / camera).iterdir():
            photo(both / "two" / camera / path.name, 86_400 + TIMES_S[int(path.stem[-1])])
    return both


def captured(root: Path, **changes: object) -> CapturesParams:
    given = {"reference": "canon", "references": ("sony a7",), "phones": ("pixel",)} | changes
    return CapturesParams(root=str(root), **given)


def paired(out: Path, captures: CapturesParams, params: PairParams | None = None) -> PairedFolders:
    return pair_into(out, camera_folders(captures, "pixel"), params or PairParams(by="clock"))


def targets(rows: list[Pair]) -> dict[str, tuple[str, str, int]]:
    """The photo of the further reference, its name and its number by the phone's photo."""
    return {row.phone_path.name: (row.dslr_path.name, row.reference, row.frame) for row in rows if row.role == "target"}


def test_each_moment_has_its_photo_of_the_further_reference(root: Path, tmp_path: Path) -> None:
    found = paired(tmp_path / "out", captured(root))
    assert targets(found.rows) == {
        f"PXL_{index}.jpg": (f"DSC_{index}.jpg", "sony a7", 1) for index in range(len(TIMES_S)) if index != 2
    }
    bases = {row.scene_id: row for row in found.rows if row.role == "base"}
    for row in (row for row in found.rows if row.role == "target"):
        base = bases[row.scene_id]
        assert (row.phone_path, row.phone_sha256) == (base.phone_path, base.phone_sha256)
        assert row.pair_id.startswith(f"{base.pair_id}--sony_a7")
        assert row.clock_offset_s == pytest.approx(-3600, abs=1)
    assert len({row.pair_id for row in found.rows}) == len(found.rows)
    assert "sony a7: 1 moment has no photo of sony a7: PXL_2.jpg." in found.notes


def test_the_photos_of_the_phone_are_read_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(stage, "file_sha256", lambda path, most: read.append(path) or file_sha256(path, most))
    paired(tmp_path / "out", captured(root))
    of_phone = [path.name for path in read if path.parent.name == "pixel"]
    assert sorted(of_phone) == sorted({path.name for path in (root / "pixel").iterdir()})


def test_photos_of_a_further_reference_change_nothing_else(root: Path, tmp_path: Path) -> None:
    with_it = paired(tmp_path / "a", captured(root))
    without = paired(tmp_path / "b", captured(root, references=()))
    assert [row for row in with_it.rows if not row.reference] == without.rows
    assert with_it.report.shots == without.report.shots
    assert with_it.report.clocks == without.report.clocks
    assert with_it.scenes() == without.scenes()


def test_a_shot_of_the_further_reference_alone_is_a_row_with_the_reason(root: Path, tmp_path: Path) -> None:
    found = paired(tmp_path / "out", captured(root))
    alone = [row for row in found.rows if row.reference and row.status == "unpaired"]
    assert [(row.dslr_path.name, row.reason, row.scene_id, row.role) for row in alone] == [
        ("DSC_8.jpg", "no_phone_photo", None, None)
    ]


def test_a_photo_of_no_moment_of_the_base_says_so(root: Path, tmp_path: Path) -> None:
    (root / "canon" / "IMG_5.jpg").unlink()
    found = paired(tmp_path / "out", captured(root))
    assert "PXL_5.jpg" not in targets(found.rows)
    row = next(row for row in found.rows if row.dslr_path and row.dslr_path.name == "DSC_5.jpg")
    assert (row.status, row.reason) == ("unpaired", "no_moment")
    assert "belongs to no moment of the base reference" in row.detail


def test_the_table_of_shots_has_them_with_their_moments(root: Path, tmp_path: Path) -> None:
    paired(tmp_path / "out", captured(root))
    shots = read_rows(CameraShot.table_in(tmp_path / "out"), CameraShot)
    own = [shot for shot in shots if shot.camera == "sony a7"]
    assert {shot.path.name: (shot.role, shot.scene_id) for shot in own} == {
        **{f"DSC_{index}.jpg": ("target", f"IMG_{index}") for index in range(len(TIMES_S)) if index != 2},
        "DSC_8.jpg": ("alone", None),
    }


def test_a_burst_takes_its_target_from_any_of_its_frames(root: Path, tmp_path: Path) -> None:
    """The base frame is nearest to the base reference's shot, and another frame to that of the further one."""
    photo(root / "pixel" / "PXL_4b.jpg", TIMES_S[4] + 2)
    (root / "sony a7" / "DSC_4.jpg").unlink()
    photo(root / "sony a7" / "DSC_4.jpg", TIMES_S[4] + 2 - 3600)
    found = paired(tmp_path / "out", captured(root))
    moment = [row for row in found.rows if row.scene_id == "IMG_4"]
    assert {(row.phone_path.name, row.role) for row in moment} == {
        ("PXL_4.jpg", "base"),
        ("PXL_4b.jpg", "frame"),
        ("PXL_4.jpg", "target"),
    }


def test_a_frame_that_cannot_be_read_costs_no_target(root: Path) -> None:
    """The base frame has the mate itself, so that its row counts, and not that of another frame."""
    photo(root / "pixel" / "PXL_4b.jpg", TIMES_S[4] + 2)
    rows, others = (
        pair_folders(root / "pixel", root / name, PairParams(by="clock")).rows for name in ("canon", "sony a7")
    )
    lost = [
        replace(row, status="unpaired", reason="unreadable_photo", role=None) if row.pair_id.endswith("PXL_4b") else row
        for row in others
    ]
    for given in (others, lost):
        found, _, _ = targets_of(rows, given, "sony a7", 1)
        (row,) = [row for row in found if row.role == "target" and row.scene_id == "IMG_4"]
        assert (row.status, row.reason, row.detail, row.phone_path.name) == ("paired", "", "", "PXL_4.jpg")
        assert row.matched_by == "clock"


def test_a_session_that_lacks_the_first_reference_changes_no_number(root: Path, tmp_path: Path) -> None:
    both = two_sessions(root, tmp_path)
    for session, start in (("one", 0), ("two", 86_400)):
        for index, seconds in enumerate(TIMES_S):
            photo(both / session / "nikon" / f"N_{index}.jpg", start + seconds + 5)
    captures = captured(both, sessions=("one", "two"), references=("sony a7", "nikon"))
    found = paired(tmp_path / "out", captures)
    numbers = {(row.session, row.reference, row.frame) for row in found.rows if row.role == "target"}
    assert numbers == {("one", "sony a7", 1), ("one", "nikon", 2), ("two", "nikon", 2)}


def test_an_empty_folder_in_a_session_is_a_note(root: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    root.rename(both / "one")
    for path in (both / "one" / "sony a7").iterdir():
        path.unlink()
    found = paired(tmp_path / "out", captured(both, sessions=("one",)))
    assert [note for note in found.notes if "The session goes on without them." in note]
    assert not targets(found.rows)


def test_a_list_of_pairs_has_a_column_for_each(root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("phone,dslr,Sony A7\nPXL_0,IMG_1,DSC_3\nPXL_1,IMG_0,\n")
    found = paired(tmp_path / "out", captured(root), PairParams(csv=str(listed)))
    assert targets(found.rows) == {"PXL_0.jpg": ("DSC_3.jpg", "sony a7", 1)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("phone,dslr,sony a7\nPXL_0,IMG_1,DSC_3\nPXL_1,IMG_0,DSC_3\n", r"Line 3 of .* names DSC_3, and so does line 2"),
        ("phone,dslr,sony a7,Sony A7\nPXL_0,IMG_1,DSC_3,DSC_1\n", "which mean the same: remove one"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(root: Path, tmp_path: Path, text: str, said: str) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(text)
    with pytest.raises(DpedtoolError, match=said):
        paired(tmp_path / "out", captured(root), PairParams(csv=str(listed)))


def test_a_list_without_the_column_is_refused_and_the_column_helps(root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("phone,dslr\nPXL_0,IMG_1\n")
    with pytest.raises(DpedtoolError, match=r"must name a column sony a7 too, for the photos of that further"):
        paired(tmp_path / "out", captured(root), PairParams(csv=str(listed)))
    listed.write_text("phone,dslr,sony a7\nPXL_0,IMG_1,DSC_3\n")
    assert targets(paired(tmp_path / "out", captured(root), PairParams(csv=str(listed))).rows)


def test_a_further_reference_that_cannot_be_paired_is_named_and_leaving_it_out_helps(
    root: Path, tmp_path: Path
) -> None:
    for path in (root / "sony a7").iterdir():
        path.unlink()
    photo(root / "sony a7" / "X.jpg")
    said = r"sony a7 cannot be paired: .* or leave sony a7 out of captures\.references\."
    with pytest.raises(DpedtoolError, match=said):
        paired(tmp_path / "out", captured(root))
    assert paired(tmp_path / "out", captured(root, references=())).rows


def test_sessions_may_lack_it_but_not_all(root: Path, tmp_path: Path) -> None:
    both = two_sessions(root, tmp_path)
    captures = captured(both, sessions=("one", "two"))
    found = paired(tmp_path / "out", captures)
    assert {row.session for row in found.rows if row.role == "target"} == {"one"}
    assert {row.session for row in found.rows if row.role == "base"} == {"one", "two"}
    with pytest.raises(DpedtoolError, match=r"No session in .* has a folder nikon"):
        paired(tmp_path / "out", captured(both, sessions=("one", "two"), references=("sony a7", "nikon")))


def test_a_folder_that_is_not_there_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"has no folder nikon: .* those of further references in captures\.ref"):
        paired(tmp_path / "out", captured(root, references=("nikon",)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("canon",), "name canon twice; each camera has one folder"),
        (("dslr",), "'dslr', but a column of lists of pairs has this name"),
        (("Sony", "sony"), "name Sony, sony twice"),
        (tuple(f"d{number}" for number in range(10)), "names 10 folders; 9 are the most"),
    ],
)
def test_names_that_cannot_be_used_are_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        CapturesParams(reference="canon", references=names)


def test_the_command_takes_folders_too(root: Path, tmp_path: Path) -> None:
    folders = [str(root / name) for name in ("pixel", "canon")]
    out = str(tmp_path / "out")
    ran = CliRunner().invoke(main, ["pair", *folders, "--reference", str(root / "sony a7"), "-o", out])
    assert ran.exit_code == 0, ran.output
    assert "7 of 8 moments have a photo of the further reference sony a7." in ran.output
    assert len(targets(read_rows(Pair.table_in(tmp_path / "out"), Pair))) == 7
    again = CliRunner().invoke(main, ["pair", *folders, "--reference", folders[1], "-o", out])
    assert "is, or has the name of, the folder of another camera" in again.output
    (root / "sony a7").rename(root / "session")
    again = CliRunner().invoke(main, ["pair", *folders, "--reference", str(root / "session"), "-o", out])
    assert "is called like a column of lists of pairs" in again.output
