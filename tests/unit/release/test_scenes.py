"""The table of scenes of a release: what it takes over, who stops the build, and what the card counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from split_rig import frame, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.scene_table import SceneEntry, SceneTable
from dpedtool.dataset.schema import Photo, Scene
from dpedtool.dataset.sides import EXCLUDED
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.release.columns import SCENES_SCHEMA
from dpedtool.pipeline.release.contents import gather
from dpedtool.pipeline.release.scenes import (
    check_consent,
    described,
    licences_note,
    other_licences,
    refused,
    scene_table,
    shortened,
)
from dpedtool.pipeline.split.stage import split

SAID = SceneTable(
    [
        SceneEntry(
            scene="s1",
            group="harbour",
            tags={"light": "dim", "night": "yes"},
            licence="CC0-1.0",
            consent="yes",
            notes="called Anna",
        ),
        SceneEntry(scene="s2", group="harbour", tags={"light": "dim"}),
        SceneEntry(scene="s3", consent="no"),
    ]
)


def write_split(folder: Path, table: SceneTable | None = SAID) -> Path:
    """Phone a has the scenes s1 (2 patches), s2 (3), s3 (none) and s10 (2) of two sessions; phone b has s1 (4)."""
    frames = [
        frame("s1", session="may"),
        frame("s2", session="may", accepted=3),
        frame("s3", session="may", accepted=0),
        frame("s10", session="june"),
    ]
    tables = {
        "a": write_patches(folder / "patches", "a", frames),
        "b": write_patches(folder / "patches", "b", [frame("s1", "b", accepted=4, session="may")]),
    }
    split(tables, folder / "splits", SplitParams(test=0.4, validation=0), scenes=table)
    return folder / "splits"


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    return write_split(tmp_path)


def test_scenes_with_patches_have_what_is_said_about_them_but_not_the_notes(splits: Path) -> None:
    contents = gather(splits, 4, thumbnails=True)
    sides = {photo.scene_id: photo.split for photo in contents.photos}
    assert contents.scenes.schema.equals(SCENES_SCHEMA, check_metadata=True)
    assert contents.scenes.to_pylist() == [
        {
            "scene_id": "s1",
            "session": "may",
            "group": "harbour",
            "split": sides["s1"],
            "tags": ["light=dim", "night=yes"],
            "licence": "CC0-1.0",
            "consent": "yes",
        },
        {"scene_id": "s10", "session": "june", "split": sides["s10"]}
        | {"group": "", "tags": [], "licence": "", "consent": ""},
        {"scene_id": "s2", "session": "may", "group": "harbour", "split": sides["s2"]}
        | {"tags": ["light=dim"], "licence": "", "consent": ""},
    ]


def test_a_split_of_an_earlier_version_has_sessions_and_sides_alone(splits: Path) -> None:
    Scene.table_in(splits).unlink()
    rows = gather(splits, 4, thumbnails=True).scenes.to_pylist()
    assert [(row["scene_id"], row["session"]) for row in rows] == [("s1", "may"), ("s10", "june"), ("s2", "may")]
    assert all(row["tags"] == [] and row["consent"] == row["group"] == "" for row in rows)


def test_a_scene_one_of_whose_pairs_is_excluded_has_the_side_of_the_others(splits: Path) -> None:
    path = Scene.table_in(splits)
    rows = read_rows(path, Scene)
    write_rows(path, Scene, [replace(row, split=EXCLUDED) if row.scene_id == "s1" else row for row in rows])
    contents = gather(splits, 4, thumbnails=True)
    side = next(photo.split for photo in contents.photos if photo.scene_id == "s1")
    assert contents.scenes["split"].to_pylist()[0] == side


@pytest.mark.parametrize("change", ["gone", "side", "session"])
def test_a_table_of_scenes_of_another_split_is_refused(splits: Path, change: str) -> None:
    path = Scene.table_in(splits)
    rows = {row.scene_id: row for row in read_rows(path, Scene)}
    if change == "gone":
        del rows["s2"]
    elif change == "side":
        rows["s2"] = replace(rows["s2"], split="validation")
    else:
        rows["s2"] = replace(rows["s2"], session="july")
    write_rows(path, Scene, rows.values())
    with pytest.raises(DpedtoolError, match=r"scenes\.parquet does not fit .*photos\.parquet in scene s2: run `dped"):
        gather(splits, 4, thumbnails=True)


# Consent


@pytest.mark.parametrize("word", ["no", "No", "REFUSED", "withdrawn", "None given", " none  given "])
def test_words_that_refuse(word: str) -> None:
    assert refused(word)


@pytest.mark.parametrize("word", ["", "yes", "none needed", "not needed", "no people", "given"])
def test_words_that_do_not_refuse(word: str) -> None:
    assert not refused(word)


def test_people_who_do_not_agree_stop_the_build(tmp_path: Path) -> None:
    table = SceneTable(
        [
            SceneEntry(scene="s1", consent="Withdrawn"),
            SceneEntry(scene="s2", consent="no"),
            SceneEntry(scene="s10", consent="yes"),
        ]
    )
    splits = write_split(tmp_path, table)
    with pytest.raises(DpedtoolError) as refusal:
        gather(splits, 4, thumbnails=True)
    assert str(refusal.value) == (
        "The people in 2 scenes do not agree, as the table of scenes has 'Withdrawn', 'no' in its column consent "
        "(s1, s2): leave the photos of these scenes out, or correct the table of scenes, and run `dpedtool split` "
        "again."
    )


def test_a_scene_without_a_released_pair_stops_nothing(splits: Path) -> None:
    """Nobody is asked about s3, which has no patches."""
    assert "s3" not in gather(splits, 4, thumbnails=True).scenes["scene_id"].to_pylist()
    check_consent(SCENES_SCHEMA.empty_table())


# Licences


def test_licences_that_differ_are_listed_with_their_scenes(splits: Path) -> None:
    scenes = gather(splits, 4, thumbnails=True).scenes
    assert other_licences(scenes, "CC-BY-4.0") == {"CC0-1.0": ["s1"]}
    assert other_licences(scenes, "CC0-1.0") == {}
    assert licences_note({"CC0-1.0": ["s1"]}) == ["1 scene has another licence than the release: its card lists them."]
    assert licences_note({}) == []


def test_licences_are_compared_as_spdx_spells_them(tmp_path: Path) -> None:
    named = {"s1": "cc-by-4.0", "s2": "ask  Jane", "s10": "cc0-1.0"}
    table = SceneTable([SceneEntry(scene=scene, licence=licence) for scene, licence in named.items()])
    scenes = gather(write_split(tmp_path, table), 4, thumbnails=True).scenes
    assert other_licences(scenes, "CC-BY-4.0") == {"CC0-1.0": ["s10"], "ask Jane": ["s2"]}


# Figures


def test_scenes_pairs_and_patches_are_counted_by_session_and_tag(splits: Path) -> None:
    contents = gather(splits, 4, thumbnails=True)
    assert described(contents.scenes, contents.photos) == {
        # s1 has 2 + 4 patches of two phones, s2 has 3, s10 has 2.
        "sessions": {
            "june": {"scenes": 1, "pairs": 1, "patches": 2},
            "may": {"scenes": 2, "pairs": 3, "patches": 9},
        },
        "tags": {
            "light=dim": {"scenes": 2, "pairs": 3, "patches": 9},
            "night=yes": {"scenes": 1, "pairs": 2, "patches": 6},
        },
        "consent": {"not stated": 2, "yes": 1},
    }


def test_where_nothing_is_said_nothing_is_counted(tmp_path: Path) -> None:
    table = write_patches(tmp_path / "patches", "a", [frame("s1"), frame("s2")])
    split({"a": table}, tmp_path / "splits", SplitParams(test=0.5, validation=0))
    photos = read_rows(Photo.table_in(tmp_path / "splits"), Photo)
    found = described(scene_table(tmp_path / "splits", photos), photos)
    assert found == {"sessions": {}, "tags": {}, "consent": {}}


def test_long_lists_are_shortened() -> None:
    assert shortened(["a", "b", "c"], most=3) == "a, b, c"
    assert shortened(["a", "b", "c"], most=1) == "a and 2 more"
