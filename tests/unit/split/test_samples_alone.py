"""Samples without a table of photos: nothing is proven, but equal files on two sides and lost bytes are found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dpedtool.dataset.schema import Sample
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.cli import main


@pytest.fixture
def table(tmp_path: Path, make_samples) -> Path:
    return make_samples(tmp_path, {"train": 3, "test": 2})


def verify(table: Path) -> Result:
    return CliRunner().invoke(main, ["split", "--verify", str(table.parent)])


def test_what_cannot_be_proven_is_said_to_be_so(table: Path) -> None:
    done = verify(table)
    assert done.exit_code == 3
    assert "This split cannot be proven" in done.stdout
    assert "Checked instead: 10 image files were compared with each other by SHA-256." in done.stdout
    assert done.stderr.strip() == f"Error: {table.parent} cannot be verified; no leak was found."


FAULTS: dict[str, tuple[Callable[[list[Sample]], list[Sample]], str]] = {
    "twice": (lambda rows: [*rows, rows[0]], "train-0 occurs more than once."),
    "no side": (
        lambda rows: [*rows[:-1], dataclasses.replace(rows[-1], split="tests")],
        "tests is not a side of a split, but the table puts 1 patch there.",
    ),
    "lost bytes": (
        lambda rows: [*rows[:-1], dataclasses.replace(rows[-1], dslr_offset=10**9)],
        "is missing or ends before the patches that it should hold",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_the_table_are_named(table: Path, name: str) -> None:
    change, words = FAULTS[name]
    write_rows(table, Sample, change(read_rows(table, Sample)))
    done = verify(table)
    assert done.exit_code == 1
    assert words in done.stderr


def test_an_image_file_on_two_sides_is_found(tmp_path: Path) -> None:
    """Patches of two phones: the test of one has a DSLR file that the other one trains on."""
    files = {"train": (b"phone 1", b"dslr"), "validation": (b"phone 2", b"another"), "test": (b"phone 3", b"dslr")}
    rows = []
    with ShardWriter(tmp_path / "patches-00000.tar") as shard:
        for split, contents in files.items():
            phone, dslr = (
                shard.add(f"{split}.{side}.jpg", content)
                for side, content in zip(("phone", "dslr"), contents, strict=True)
            )
            place = {"shard": tmp_path / "patches-00000.tar", "phone_offset": phone.offset, "dslr_offset": dslr.offset}
            lengths = {"phone_bytes": phone.length, "dslr_bytes": dslr.length}
            names = dict.fromkeys(("patch_id", "pair_id", "scene_id"), split)
            rows.append(Sample(**names, phone="iphone", split=split, **place, **lengths))
    write_rows(tmp_path / "iphone.parquet", Sample, rows[:2])
    write_rows(tmp_path / "sony.parquet", Sample, rows[2:])
    done = verify(tmp_path / "iphone.parquet")
    assert done.exit_code == 1
    assert "test in test and train in train hold the same image file." in done.stderr
    assert "has 1 fault" in done.stderr
