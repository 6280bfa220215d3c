"""The previous release: which one counts, what the card says about it, and that the same input gives the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from release_damage import edit_json, faults, renew, set_in
from release_rig import patch_images, write_release
from split_rig import SIZE_PX, frame, selection, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json
from dpedtool.dataset.params import ReleaseParams, SplitParams
from dpedtool.dataset.scene_table import SceneEntry, SceneTable
from dpedtool.pipeline.release.build import build_release
from dpedtool.pipeline.release.previous import named_release, replaced_release
from dpedtool.pipeline.release.verification.verify import verify
from dpedtool.pipeline.split.stage import split

FIRST = ReleaseParams(name="pairs", licence="CC-BY-4.0", layouts=("webdataset",), patches_a_file=3, full_size_photos=0)
SECOND = replace(FIRST, version="1.1.0")


def images(name: str) -> tuple[bytes, bytes]:
    made = patch_images(name, SIZE_PX)
    return made.phone, made.dslr


def write_split(folder: Path, scenes: list[str], **entry: str) -> Path:
    """A split of scenes of two patches each; the entry is that of the scene s1."""
    table = write_patches(folder / "patches", "a", [frame(scene) for scene in scenes], images)
    selection().write(table.parent / "selection.json")
    said = SceneTable([SceneEntry(scene="s1", **entry)])
    split({"a": table}, folder / "splits", SplitParams(test=0, validation=0), scenes=said)
    return folder / "splits"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1.0.0: the scenes s1, s2 and s3."""
    home = tmp_path_factory.mktemp("first")
    build_release(write_split(home, ["s1", "s2", "s3"]), home / "release", FIRST)
    return home / "release"


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes s1, which has a licence now, s2 and s4."""
    return write_split(tmp_path_factory.mktemp("second"), ["s1", "s2", "s4"], licence="CC0-1.0")


def section(release: Path) -> list[str]:
    """The lines of the card about the changes."""
    text = (release / "README.md").read_text()
    return text.partition("## Changes since")[2].partition("\n## ")[0].strip().splitlines()


SAID = [
    "version 1.0.0",
    "",
    "- 1 scene added: s4.",
    "- 1 scene removed: s3.",
    "- 1 scene with another session, group, tags, licence or consent: s1.",
    "- Patches: 2 added with their pairs; 2 removed with their pairs; 4 unchanged.",
]


def test_the_card_says_what_changed_since_the_release_that_is_named(first: Path, splits: Path, tmp_path: Path) -> None:
    build_release(splits, tmp_path / "release", SECOND, previous=first)
    assert section(tmp_path / "release") == SAID
    assert read_json(tmp_path / "release/release.json")["previous"] == "1.0.0"
    assert verify(tmp_path / "release").faults == []
    shutil.copytree(first, tmp_path / "elsewhere")
    build_release(splits, tmp_path / "again", SECOND, previous=tmp_path / "elsewhere")
    assert (tmp_path / "again/SHA256SUMS").read_text() == (tmp_path / "release/SHA256SUMS").read_text()


def test_the_release_that_is_replaced_is_the_previous_one(first: Path, splits: Path, tmp_path: Path) -> None:
    out = shutil.copytree(first, tmp_path / "release")
    build_release(splits, out, SECOND, replace_old=True)
    assert section(out) == SAID
    # The same version again is no change.
    build_release(splits, out, SECOND, replace_old=True)
    assert section(out) == []
    assert read_json(out / "release.json")["previous"] is None
    build_release(splits, out, replace(SECOND, name="other", version="2.0.0"), replace_old=True)
    assert section(out) == []


def test_without_a_previous_release_there_is_no_such_section(first: Path) -> None:
    assert section(first) == []
    assert read_json(first / "release.json")["previous"] is None


def test_the_same_patches_are_called_the_same(first: Path, tmp_path: Path) -> None:
    build_release(first.parent / "splits", tmp_path / "release", SECOND, previous=first)
    assert section(tmp_path / "release")[2:] == ["- Both hold the same 6 patches, on the same sides."]


def test_private_data_in_what_changed_ends_the_build(first: Path, splits: Path, tmp_path: Path) -> None:
    """Scene s3 of the first release, which the card would name, gets the name of a folder."""
    old = shutil.copytree(first, tmp_path / "old")
    for name in ("patches.parquet", "pairs.parquet"):
        table = pd.read_parquet(old / name)
        table["scene_id"] = table["scene_id"].replace("s3", "/home/jane/photos")
        table.to_parquet(old / name)
    with pytest.raises(DpedtoolError, match=r"Nothing was released.*README\.md: the path /home/jane"):
        build_release(splits, tmp_path / "release", SECOND, previous=old)


# Which one counts


def test_what_is_named_must_be_an_earlier_release_of_the_same_data_set(first: Path, tmp_path: Path) -> None:
    assert named_release(first, SECOND).version == "1.0.0"
    with pytest.raises(DpedtoolError, match="is not a release: name the folder of an earlier release by --previous"):
        named_release(tmp_path, SECOND)
    with pytest.raises(DpedtoolError, match="is a release of pairs, not of other"):
        named_release(first, replace(SECOND, name="other"))
    with pytest.raises(DpedtoolError, match=r"has the version 1\.0\.0, and so would the new release"):
        named_release(first, FIRST)
    broken = shutil.copytree(first, tmp_path / "broken")
    (broken / "pairs.parquet").unlink()
    with pytest.raises(DpedtoolError, match=r"pairs\.parquet is missing"):
        named_release(broken, SECOND)
    (broken / "release.json").write_text('{"release": {"name": 7}}')
    with pytest.raises(DpedtoolError, match="names no data set and no version"):
        named_release(broken, SECOND)


def test_a_replaced_release_that_cannot_be_read_is_said_and_replaced(first: Path, splits: Path, tmp_path: Path) -> None:
    out = shutil.copytree(first, tmp_path / "release")
    (out / "patches.parquet").write_bytes(b"no table")
    built = build_release(splits, out, SECOND, replace_old=True)
    (note,) = [note for note in built.notes if "patches.parquet" in note]
    assert note.startswith("The card does not say what has changed since the release that was replaced: ")
    assert section(out) == []
    (out / "release.json").write_text("[]")
    found, notes = replaced_release(out, SECOND)
    assert found is None
    assert "holds no JSON object" in notes[0]
    assert replaced_release(tmp_path / "none", SECOND) == (None, [])


def test_a_release_of_an_earlier_version_is_compared_by_its_patches(first: Path, splits: Path, tmp_path: Path) -> None:
    old = shutil.copytree(first, tmp_path / "old")
    (old / "scenes.parquet").unlink()
    build_release(splits, tmp_path / "release", SECOND, previous=old)
    assert section(tmp_path / "release") == [line for line in SAID if "another session" not in line]


def test_a_previous_version_that_is_none_is_a_fault(tmp_path: Path) -> None:
    release = write_release(tmp_path / "release", ("iphone",))
    edit_json(release / "release.json", lambda data: set_in(data, previous="one"))
    renew(release)
    assert faults(release) == ["release.json: 'previous' must be a version, as in 1.0.0, or null, not \"one\"."]
