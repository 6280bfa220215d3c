"""The proof that a split does not leak finds what was tampered with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from split_rig import frame, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame, Photo, Sample
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.split.stage import split
from dpedtool.pipeline.split.verification import Verdict, is_current, verify_split

SCENES = [f"s{index}" for index in range(12)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A split of two phones that holds."""
    found = {phone: write_patches(tmp_path, phone, [frame(name, phone) for name in SCENES]) for phone in "ab"}
    split(found, tmp_path / "splits", SplitParams(test=0.3, validation=0.3))
    return tmp_path / "splits"


def change_photos(out: Path, change: Callable[[Photo, dict[str, Photo]], Photo]) -> None:
    """Rewrite the table; a change sees a row, and one row of each split."""
    rows = read_rows(out / "photos.parquet", Photo)
    of = {row.split: row for row in rows}
    write_rows(out / "photos.parquet", Photo, [change(row, of) for row in rows])


def change_samples(out: Path, change: Callable[[Sample], Sample], phone: str = "a") -> None:
    rows = read_rows(out / f"{phone}.parquet", Sample)
    write_rows(out / f"{phone}.parquet", Sample, [change(row) for row in rows])


def test_what_the_split_wrote_holds(out: Path) -> None:
    verdict = verify_split(out)
    assert verdict.faults == []
    assert verdict.is_proof
    said = "\n".join(verdict.said)
    assert "No scene is on two sides (12 checked)." in said
    assert "(24 checked)" in said
    assert "12 DSLR frames were compared" in said
    assert "48 patches of 24 pairs" in said
    assert "2 shards" in said


def test_a_scene_that_was_moved_for_one_phone_is_found(out: Path) -> None:
    change_photos(out, lambda row, of: replace(row, split="train") if row.pair_id == of["test"].pair_id else row)
    faults = verify_split(out).faults
    assert any("The scene" in fault and "2 sides" in fault for fault in faults)
    assert any("DSLR frame" in fault for fault in faults)
    assert any(fault.startswith("test holds") and "but the photo is in train" in fault for fault in faults)
    assert any("test_photos.csv lists" in fault for fault in faults)


@pytest.mark.parametrize(("column", "word"), [("dslr_sha256", "DSLR frame"), ("phone_sha256", "phone photo")])
def test_a_file_on_two_sides_is_found(out: Path, column: str, word: str) -> None:
    def change(row: Photo, of: dict[str, Photo]) -> Photo:
        return replace(row, **{column: getattr(of["test"], column)}) if row.pair_id == of["train"].pair_id else row

    change_photos(out, change)
    assert any(fault.startswith(f"The {word}") for fault in verify_split(out).faults)


def test_a_view_on_two_sides_is_found(out: Path) -> None:
    def change(row: Photo, of: dict[str, Photo]) -> Photo:
        return replace(row, thumbnail=of["test"].thumbnail) if row.scene_id == of["train"].scene_id else row

    change_photos(out, change)
    (fault,) = verify_split(out).faults
    assert "show the same view" in fault
    assert "keypoints agree" in fault


def test_a_sample_on_another_side_than_its_photo_is_found(out: Path) -> None:
    first = read_rows(out / "a.parquet", Sample)[0]
    other = "train" if first.split == "test" else "test"
    change_samples(out, lambda row: replace(row, split=other) if row.patch_id == first.patch_id else row)
    faults = verify_split(out).faults
    assert any(
        f"{other} holds 1 patch of {first.pair_id}, but the photo is in {first.split}." == fault for fault in faults
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pair_id": "nobody"}, "not in the table of photos"),
        ({"scene_id": "elsewhere"}, "but the photo is of the scene s0 of a."),
        ({"patch_id": "a-s1-0"}, "more than once"),
        ({"phone_offset": 10**9}, "ends before"),
        ({"shard": Path("/nowhere/patches-00000.tar")}, "is missing or"),
    ],
)
def test_a_sample_that_is_not_as_it_was_cut_is_found(out: Path, changes: dict, words: str) -> None:
    change_samples(out, lambda row: replace(row, **changes) if row.patch_id == "a-s0-0" else row)
    assert any(words in fault for fault in verify_split(out).faults)


def test_bytes_on_two_sides_are_found(out: Path) -> None:
    rows = {row.split: row for row in read_rows(out / "a.parquet", Sample)}
    test = rows["test"]
    change_samples(
        out,
        lambda row: replace(row, dslr_offset=test.dslr_offset) if row.patch_id == rows["train"].patch_id else row,
    )
    one, two = verify_split(out).faults
    assert "does not hold 1 of 24 patches" in one
    assert f"holds an image at byte {test.dslr_offset} that is on two sides" in two


def test_samples_of_a_scene_that_is_left_out_are_found(out: Path) -> None:
    change_photos(out, lambda row, _: replace(row, split="excluded", group="") if row.scene_id == "s0" else row)
    faults = verify_split(out).faults
    assert any("of a-s0" in fault and "but the photo is in excluded" in fault for fault in faults)


def test_a_phone_whose_table_is_gone_is_found(out: Path) -> None:
    (out / "b.parquet").unlink()
    assert any("b-s0 has 0 patches, but 2 were cut" in fault for fault in verify_split(out).faults)
    (out / "a.parquet").unlink()
    with pytest.raises(DpedtoolError, match="no table of a phone's samples"):
        verify_split(out)


def test_a_list_of_test_photos_that_is_gone_or_short_is_found(out: Path) -> None:
    path = out / "test_photos.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    assert any("does not list" in fault for fault in verify_split(out).faults)
    path.unlink()
    assert any("is missing" in fault for fault in verify_split(out).faults)


def test_a_split_of_nothing_holds(tmp_path: Path) -> None:
    split({"a": write_patches(tmp_path, "a", [])}, tmp_path / "splits", SplitParams())
    assert verify_split(tmp_path / "splits").faults == []


def test_a_list_of_test_photos_in_another_encoding_is_a_fault_not_a_crash(out: Path) -> None:
    (out / "test_photos.csv").write_bytes("pair_id,phone\nmärz,a\n".encode("latin-1"))
    assert any("does not list" in fault for fault in verify_split(out).faults)


def test_tables_that_are_not_of_the_split_are_passed_over(out: Path) -> None:
    write_rows(out / "frames.parquet", Frame, [frame("s0")])
    assert verify_split(out).faults == []


def test_patches_that_were_cut_anew_since_are_found(tmp_path: Path, out: Path) -> None:
    """The shard is as long as before, but other patches lie where the split says."""
    write_patches(tmp_path, "a", [frame(name, "a") for name in reversed(SCENES)])
    (fault,) = verify_split(out).faults
    assert "does not hold 24 of 24 patches" in fault


def test_a_verdict_names_the_tables_that_it_is_on(out: Path) -> None:
    tables = verify_split(out).tables
    assert tables == {name: file_sha256(out / name) for name in ("photos.parquet", "a.parquet", "b.parquet")} | {
        "test_photos.csv": file_sha256(out / "test_photos.csv")
    }


CHANGES: dict[str, Callable[[Path], object]] = {
    "another side": lambda out: change_samples(out, lambda row: replace(row, split="train")),
    "one more phone": lambda out: (out / "c.parquet").write_bytes((out / "b.parquet").read_bytes()),
    "one phone less": lambda out: (out / "b.parquet").unlink(),
    "no list": lambda out: (out / "test_photos.csv").unlink(),
    "damaged": lambda out: (out / "b.parquet").write_bytes(b"PAR1"),
    "gone": lambda out: [path.unlink() for path in out.iterdir()],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_verdict_is_current_until_a_table_changes(out: Path, name: str) -> None:
    verdict = verify_split(out).seen_from(out)
    assert is_current(out, verdict)
    CHANGES[name](out)
    assert not is_current(out, verdict)


def test_a_verdict_on_no_tables_is_never_current(tmp_path: Path) -> None:
    assert not is_current(tmp_path, Verdict([], [], is_proof=False))


def test_a_new_split_removes_the_verdict_on_the_old_one(tmp_path: Path, out: Path) -> None:
    (out / "verdict.json").write_text("{}")
    split({"a": write_patches(tmp_path, "a", [frame("s0", "a")])}, out, SplitParams())
    assert not (out / "verdict.json").exists()


def test_the_lines_of_a_verdict_name_files_as_seen_from_its_folder(tmp_path: Path, out: Path) -> None:
    change_samples(out, lambda row: replace(row, phone_offset=10**9))
    (out / "test_photos.csv").unlink()
    shard, *_, listed = verify_split(out).seen_from(out).faults
    assert shard.startswith("../a/patches-00000.tar is missing or ends before")
    assert listed.startswith("test_photos.csv is missing")
    here = Verdict([f"a/x and b{tmp_path}/x are {tmp_path}/x."], [], is_proof=False).seen_from(tmp_path)
    assert here.faults == [f"a/x and b{tmp_path}/x are x."]


def test_extents_that_wrap_around_are_found(out: Path) -> None:
    """The end of the extent does not fit into 64 bits, and so seems to lie before the end of the file."""
    change_samples(out, lambda row: replace(row, phone_offset=2**63 - 8, phone_bytes=600))
    assert any("patches where the split says" in fault for fault in verify_split(out).faults)


def test_a_list_of_test_photos_that_never_ends_is_found(out: Path) -> None:
    with (out / "test_photos.csv").open("wb") as file:
        file.truncate(2**36)
    with pytest.raises(DpedtoolError, match=r"test_photos.csv cannot be read \(it has 68719 MB, and at most 67 MB"):
        verify_split(out)
