"""What train refuses: near-duplicates and equal files on two sides, which a verdict may know already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from split_rig import frame, write_patches

from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Photo, Sample
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.split import verification
from dpedtool.pipeline.split.before_training import check_before_training
from dpedtool.pipeline.split.samples_alone import verify_samples
from dpedtool.pipeline.split.stage import split
from dpedtool.pipeline.split.verification import verify_split


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A split that holds, without a verdict."""
    patches = write_patches(tmp_path, "a", [frame(f"s{index}") for index in range(6)])
    split({"a": patches}, tmp_path / "splits", SplitParams(test=0.3, validation=0.3))
    return tmp_path / "splits" / "a.parquet"


def write_verdict(table: Path) -> Verdict:
    verdict = verify_split(table.parent)
    verdict.write(Verdict.file_in(table.parent))
    return verdict


def show_one_view_on_two_sides(table: Path) -> None:
    rows = read_rows(Photo.table_in(table.parent), Photo)
    of = {row.split: row for row in rows}
    same = replace(of["train"], thumbnail=of["test"].thumbnail)
    write_rows(Photo.table_in(table.parent), Photo, [same if row is of["train"] else row for row in rows])


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of views of each search for near-duplicates."""
    found: list[int] = []
    search = verification.find_links
    monkeypatch.setattr(
        verification, "find_links", lambda views, *rest: found.append(len(views)) or search(views, *rest)
    )
    return found


def test_near_duplicates_on_two_sides_are_faults(table: Path) -> None:
    assert check_before_training(table) == []
    show_one_view_on_two_sides(table)
    assert check_before_training(table) == verify_split(table.parent).faults != []


def test_what_a_verdict_says_of_the_same_tables_is_not_searched_for_again(table: Path, searches: list[int]) -> None:
    write_verdict(table)
    assert check_before_training(table) == []
    show_one_view_on_two_sides(table)
    verdict = write_verdict(table)
    assert check_before_training(table) == verdict.faults != []
    assert len(searches) == 2


STALE: dict[str, Callable[[Path], object]] = {
    "of other tables": show_one_view_on_two_sides,
    "damaged": lambda table: Verdict.file_in(table.parent).write_bytes(b"{"),
    "of none": lambda table: Verdict([], [], is_proof=True).write(Verdict.file_in(table.parent)),
}


@pytest.mark.parametrize("how", STALE)
def test_a_verdict_that_is_not_on_these_tables_counts_for_nothing(table: Path, how: str, searches: list[int]) -> None:
    write_verdict(table)
    STALE[how](table)
    assert bool(check_before_training(table)) == (how == "of other tables")
    assert len(searches) == 2


def test_a_table_that_a_verdict_does_not_name_is_searched(table: Path, searches: list[int]) -> None:
    other = table.with_suffix(".table")
    other.write_bytes(table.read_bytes())
    write_verdict(table)
    assert check_before_training(other) == []
    assert len(searches) == 2


def test_without_photos_equal_files_on_two_sides_are_faults(table: Path) -> None:
    """All patches of this table have the same bytes."""
    for path in table.parent.iterdir():
        if path != table:
            path.unlink()
    faults = check_before_training(table)
    assert "hold the same image file" in faults[0]
    assert faults == verify_samples(table.parent).faults
    write_rows(table, Sample, [row for row in read_rows(table, Sample) if row.split == "train"])
    assert check_before_training(table) == []


def test_what_takes_minutes_can_be_left_to_another_process(table: Path, searches: list[int]) -> None:
    show_one_view_on_two_sides(table)
    assert check_before_training(table, also_images=False) == []
    assert searches == []
