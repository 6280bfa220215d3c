"""`dpedtool release` as a user runs it: exit codes, sentences, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from release_rig import patch_images, write_release
from split_rig import SIZE_PX, frame, selection, write_patches

from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Scene
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.split.stage import split

SAID = ("-S", "release.name=pairs", "-S", "release.licence=CC-BY-4.0")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")

    def images(name: str) -> tuple[bytes, bytes]:
        made = patch_images(name, SIZE_PX)
        return made.phone, made.dslr

    table = write_patches(folder / "patches", "a", [frame(f"s{number}") for number in range(6)], images)
    selection().write(table.parent / "selection.json")
    split({"a": table}, folder / "splits", SplitParams(test=0.3, validation=0.2))
    return folder / "splits"


def test_a_release_is_built_and_verified(dpedtool, splits: Path, tmp_path: Path) -> None:
    out = tmp_path / "release"
    built = dpedtool("release", "build", splits, "-o", out, *SAID)
    assert built.out.splitlines()[-1].endswith(
        f"in {out}: look at {out / 'README.md'}, then `dpedtool release verify {out}`."
    )
    assert "files/s" in built.out
    assert all("full-size photo of a-s" in line for line in built.said)
    verified = dpedtool("release", "verify", out)
    assert verified.said == []
    assert verified.out.splitlines()[-1] == f"Nothing wrong was found in {out}."


def test_two_releases_are_compared(dpedtool, splits: Path, tmp_path: Path) -> None:
    earlier, later = tmp_path / "earlier", tmp_path / "later"
    for out in (earlier, later):
        dpedtool("release", "build", splits, "-o", out, *SAID)
    same = dpedtool("release", "diff", earlier, later)
    assert same.out.splitlines()[-1].startswith("Both hold the same ")
    table = pd.read_parquet(later / "patches.parquet")
    scene = table["scene_id"].iloc[0]
    table[table["scene_id"] != scene].to_parquet(later / "patches.parquet")
    pairs = pd.read_parquet(later / "pairs.parquet")
    pairs[pairs["scene_id"] != scene].to_parquet(later / "pairs.parquet")
    fewer = dpedtool("release", "diff", earlier, later)
    assert f"1 scene removed: {scene}." in fewer.out
    assert f"{(table['scene_id'] == scene).sum()} removed with their pairs" in fewer.out
    told = json.loads(dpedtool("release", "diff", earlier, later, "--json").out)
    assert told["scenes_removed"] == [scene]
    assert set(told["patches_removed"]) == set(table.loc[table["scene_id"] == scene, "patch_id"])
    refused = dpedtool("release", "diff", splits, later, code=1)
    assert "`dpedtool release build` has not written" in refused.sentence


def test_the_card_says_what_changed_since_the_previous_release(dpedtool, splits: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    dpedtool("release", "build", splits, "-o", first, *SAID)
    next_version = (*SAID, "-S", "release.version=1.1.0")
    dpedtool("release", "build", splits, "-o", second, *next_version, "--previous", first)
    assert "## Changes since version 1.0.0" in (second / "README.md").read_text()
    dpedtool("release", "verify", second)
    dpedtool("release", "build", splits, "-o", first, *next_version, "--replace")
    assert (first / "SHA256SUMS").read_text() == (second / "SHA256SUMS").read_text()
    refused = dpedtool("release", "build", splits, "-o", tmp_path / "x", *next_version, "--previous", first, code=1)
    assert "has the version 1.1.0, and so would the new release" in refused.sentence
    nothing = dpedtool("release", "build", splits, "-o", tmp_path / "x", *next_version, "--previous", splits, code=1)
    assert "is not a release: name the folder of an earlier release by --previous" in nothing.sentence
    assert not (tmp_path / "x").exists()


def test_people_who_do_not_agree_are_not_released(dpedtool, splits: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(splits.parent, tmp_path / "data") / "splits"
    rows = read_rows(Scene.table_in(mine), Scene)
    scenes = [replace(row, consent="Refused" if row.scene_id == "s2" else "yes") for row in rows]
    write_rows(Scene.table_in(mine), Scene, scenes)
    refused = dpedtool("release", "build", mine, "-o", tmp_path / "release", *SAID, code=1)
    assert refused.sentence.startswith(
        "The people in 1 scene do not agree, as the table of scenes has 'Refused' in its"
    )
    assert not (tmp_path / "release").exists()


def test_a_release_needs_a_name_and_a_licence(dpedtool, splits: Path, tmp_path: Path) -> None:
    for words, sentence in (((), "has no name: set release.name"), (SAID[:2], "has no licence, without which nobody")):
        done = dpedtool("release", "build", splits, "-o", tmp_path / "release", *words, code=1)
        assert sentence in done.sentence
    refused = dpedtool(
        "release", "build", splits, "-o", tmp_path / "release", *SAID[:2], "-S", "release.version=one", code=2
    )
    assert "three numbers, as in 1.0.0" in refused.sentence
    assert not (tmp_path / "release").exists()


def test_another_folder_of_the_same_name_is_left_alone(dpedtool, splits: Path, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "mine.txt").write_text("mine")
    done = dpedtool("release", "build", splits, "-o", tmp_path / "release", *SAID, "--replace", code=1)
    assert done.sentence == f"{tmp_path / 'release'} exists and is not a release: choose another folder."
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_every_defect_is_a_line_and_the_exit_code_tells(dpedtool, tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    (release / "LICENSE").unlink()
    (release / "dped/iphone/training_data/canon/1.jpg").unlink()
    done = dpedtool("release", "verify", release, code=1)
    assert any(line.startswith("LICENSE: ") for line in done.said)
    assert any(line.startswith("dped/iphone/training_data/canon/1.jpg: ") for line in done.said)
    assert done.said[-1] == f"Error: {release} has {len(done.said) - 1} faults: download or build it again."


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_verification_writes_nothing(dpedtool, tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    for path in [release, *release.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    dpedtool("release", "verify", release)


def test_what_others_made_is_checked_and_imported(dpedtool, tmp_path: Path) -> None:
    made = write_release(tmp_path / "release")
    shutil.copytree(made / "dped", tmp_path / "dped")
    checked = dpedtool("release", "verify", tmp_path / "dped", code=3)
    assert "cannot be verified; no leak was found" in checked.err
    done = dpedtool("release", "import", tmp_path / "dped", "-o", tmp_path / "imported")
    assert done.out.splitlines() == [f"{phone}: 5 train, 2 validation, 3 test patches." for phone in ("iphone", "sony")]
    dpedtool("split", "--verify", tmp_path / "imported" / "splits", code=3)
    again = dpedtool("release", "build", tmp_path / "imported" / "splits", "-o", tmp_path / "anew", *SAID, code=1)
    assert "holds an imported data set" in again.sentence


def test_plain_folders_must_say_what_they_are_for(dpedtool, tmp_path: Path) -> None:
    made = write_release(tmp_path / "release", ("iphone",))
    folder = shutil.copytree(made / "dped/iphone/test_data/patches", tmp_path / "plain")
    asked = dpedtool("release", "import", folder, "-o", tmp_path / "imported", code=1)
    assert "--as" in asked.sentence
    done = dpedtool("release", "import", folder, "-o", tmp_path / "imported", "--as", "test")
    assert done.out.splitlines() == ["iphone: 0 train, 0 validation, 3 test patches."]


def test_a_folder_that_is_not_there_is_a_sentence(dpedtool, tmp_path: Path) -> None:
    for words in (("verify", tmp_path / "no"), ("import", tmp_path / "no", "-o", tmp_path / "out")):
        done = dpedtool("release", *words, code=1)
        assert str(tmp_path / "no") in done.sentence
