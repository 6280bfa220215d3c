"""The command split, and what its --verify says and returns."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from split_rig import frame, jpeg, picture, write_patches

from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.split.verification import is_current

SCENES = [f"s{index}" for index in range(10)]


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    for phone in ("a", "b"):
        write_patches(tmp_path / "patches", phone, [frame(name, phone) for name in SCENES])
    return tmp_path / "patches"


@pytest.fixture
def out(patches: Path, dpedtool) -> Path:
    dpedtool("split", patches, "-o", patches.parent / "splits")
    return patches.parent / "splits"


def test_the_command_counts_patches_and_scenes(patches: Path, dpedtool) -> None:
    ended = dpedtool("split", patches, "-o", patches.parent / "splits", "-S", "split.test_scenes=3")
    assert ended.out.splitlines() == [
        "a: 12 train, 2 validation, 6 test patches.",
        "b: 12 train, 2 validation, 6 test patches.",
        "10 groups of scenes: 6 train, 1 validation, 3 test scenes.",
    ]
    few = "has 6 test patches, and scores of fewer than 30 say little: take more scenes, or raise split.test_scenes."
    assert ended.said == [f"a {few}", f"b {few}"]


def test_a_second_run_writes_the_same_bytes(patches: Path, out: Path, dpedtool, content) -> None:
    before = content(out)
    dpedtool("split", patches, "-o", out)
    assert content(out) == before
    dpedtool("split", patches, "-o", patches.parent / "fresh")
    assert content(patches.parent / "fresh") == before


def test_a_split_that_holds_is_proven(out: Path, dpedtool, content) -> None:
    before = content(out)
    ended = dpedtool("split", "--verify", out)
    assert "No scene is on two sides (10 checked)." in ended.out
    assert ended.out.splitlines()[-1] == f"Nothing in {out} leaks."
    assert ended.said == []
    assert content(out) == before


def test_a_leak_fails_and_has_a_line(out: Path, dpedtool) -> None:
    table = pd.read_parquet(out / "photos.parquet")
    table.loc[0, "split"] = "train" if table.loc[0, "split"] != "train" else "test"
    table.to_parquet(out / "photos.parquet")
    ended = dpedtool("split", "--verify", out, code=1)
    assert any(line.startswith(f"The scene {table.loc[0, 'scene_id']} is on 2 sides") for line in ended.said)
    assert "fault" in ended.said[-1]


def test_many_leaks_are_cut_short(out: Path, dpedtool) -> None:
    table = pd.read_parquet(out / "a.parquet")
    table["pair_id"] = [f"nobody-{index}" for index in range(len(table))]
    table.to_parquet(out / "a.parquet")
    ended = dpedtool("split", "--verify", out, code=1)
    assert len(ended.said) == 21
    assert "10 of them not shown" in ended.said[-1]


def dped(folder: Path) -> Path:
    for place, first in (("training_data", 0), ("test_data/patches", 50)):
        for camera, add in (("iphone", 0), ("canon", 100)):
            home = folder / place / camera
            home.mkdir(parents=True)
            for index in range(3):
                (home / f"{index}.jpg").write_bytes(jpeg(picture(first + add + index, 100, 100)))
    return folder


def test_a_folder_of_others_cannot_be_verified(tmp_path: Path, dpedtool) -> None:
    ended = dpedtool("split", "--verify", dped(tmp_path / "iphone"), code=3)
    assert "This folder cannot be verified" in ended.out
    assert "6 training images were compared with 6 test images" in ended.out
    assert ended.sentence.endswith("cannot be verified; no leak was found.")


def test_a_leak_in_a_folder_of_others_is_found(tmp_path: Path, dpedtool) -> None:
    folder = dped(tmp_path / "iphone")
    test = folder / "test_data" / "patches" / "canon" / "0.jpg"
    test.write_bytes((folder / "training_data" / "canon" / "2.jpg").read_bytes())
    ended = dpedtool("split", "--verify", folder, code=1)
    assert "are the same file" in ended.said[0]


def test_what_is_neither_is_one_sentence(tmp_path: Path, dpedtool) -> None:
    assert "neither" in dpedtool("split", "--verify", tmp_path, code=1).sentence


def test_the_options_exclude_each_other(out: Path, dpedtool) -> None:
    assert "leave out --out" in dpedtool("split", "--verify", out, "-o", out, code=2).err
    assert "Missing option" in dpedtool("split", out, code=2).err


def test_the_verdict_is_written_as_json_too(out: Path, dpedtool, content) -> None:
    file = out / "verdict.json"
    said = dpedtool("split", "--verify", out, "--verdict", file).out.splitlines()
    verdict = Verdict.read(file)
    assert verdict.is_proof
    assert verdict.faults == []
    assert verdict.said == said[:-1]
    assert is_current(out, verdict)
    before = content(out)
    dpedtool("split", "--verify", out, "--verdict", file)
    assert content(out) == before


def test_the_verdict_is_written_of_what_has_faults_too(out: Path, dpedtool) -> None:
    (out / "test_photos.csv").unlink()
    dpedtool("split", "--verify", out, "--verdict", out.parent / "verdict.json", code=1)
    (fault,) = Verdict.read(out.parent / "verdict.json").faults
    assert fault == "test_photos.csv is missing: run `dpedtool split` again."


def test_the_verdict_on_a_folder_of_others_names_no_tables_and_no_folder(tmp_path: Path, dpedtool) -> None:
    folder, file = dped(tmp_path / "iphone"), tmp_path / "verdict.json"
    test = folder / "test_data" / "patches" / "canon" / "0.jpg"
    test.write_bytes((folder / "training_data" / "canon" / "2.jpg").read_bytes())
    (folder / "training_data" / "iphone" / "1.jpg").write_bytes(b"no photo")
    dpedtool("split", "--verify", folder, "--verdict", file, code=1)
    verdict = Verdict.read(file)
    assert (verdict.is_proof, verdict.tables) == (False, {})
    assert len(verdict.faults) == 2
    assert str(tmp_path) not in file.read_text()


def test_an_old_verdict_does_not_outlive_a_check_that_fails(out: Path, dpedtool) -> None:
    file = out.parent / "verdict.json"
    dpedtool("split", "--verify", out, "--verdict", file)
    (out / "photos.parquet").write_bytes(b"PAR1")
    dpedtool("split", "--verify", out, "--verdict", file, code=1)
    assert not file.exists()


def test_a_verdict_replaces_nothing_but_a_verdict(out: Path, dpedtool, content) -> None:
    before = content(out)
    assert (
        "is not a verdict" in dpedtool("split", "--verify", out, "--verdict", out / "photos.parquet", code=1).sentence
    )
    assert content(out) == before
    assert "give both" in dpedtool("split", out, "-o", out, "--verdict", out / "verdict.json", code=2).err


def test_help_explains_the_exit_codes(dpedtool) -> None:
    words = " ".join(dpedtool("split", "--help").out.split())
    assert "3, nothing was found, but nothing is proven either" in words
