"""The table of scenes: what it may hold, what is refused, and the template."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.scene_table import SceneTable, filled_in, read_scene_table, template, unknown_scenes


def table(tmp_path: Path, *lines: str) -> SceneTable:
    path = tmp_path / "scenes.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_scene_table(path)


def test_every_column_has_its_meaning_and_further_ones_are_tags(tmp_path: Path) -> None:
    (entry,) = table(
        tmp_path,
        " Scene ,GROUP,split,tags,Weather,licence,consent,notes",
        'IMG_1.JPG,pier,Test,"Night, people;indoor",light rain,CC-BY-4.0,yes,"by the sea, cold"',
    ).entries
    assert (entry.session, entry.scene, entry.group, entry.split) == ("", "IMG_1.JPG", "pier", "test")
    assert entry.tags == {"indoor": "yes", "night": "yes", "people": "yes", "weather": "light rain"}
    assert list(entry.tags) == sorted(entry.tags)
    assert (entry.licence, entry.consent, entry.notes, entry.line) == ("CC-BY-4.0", "yes", "by the sea, cold", 2)


def test_scenes_are_found_by_file_name_by_stem_and_by_identifier(tmp_path: Path) -> None:
    found = table(tmp_path, "session,scene", ",IMG_1.JPG", ",IMG_2", "day 1,IMG_1")
    ids = ["IMG_1", "IMG_2"]
    day = next(name for entry in found.entries if entry.session for name in entry.names)
    known = found.find([*ids, day])
    assert known["IMG_1"].line == 2
    assert known["IMG_2"].line == 3
    assert known[day].line == 4
    assert day.startswith("day_1_")
    assert day.endswith("--IMG_1")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["scene,Scene ", "a,b"], "has the columns 'scene' and 'Scene', which mean the same"),
        (["scene,weather,WEATHER", "a,,"], "has the columns 'weather' and 'WEATHER', which mean the same"),
        (["name", "a"], "has no column scene in its first line, which holds name"),
        (["scene,", "a,b"], "Column 2 of .* has no name"),
        (["scene,a=b", "a,b"], "cannot hold '='"),
        (["scene,split", "a,val"], "Line 2 of .* asks for the split 'val': write train, validation, test"),
        (["scene,group", ",b"], "Line 2 of .* names no scene"),
        (["scene", "a,b"], "Line 2 of .* has more cells than there are columns"),
        (["scene", "a", "b", "A"], "Lines 2 and 4 of .* are both about the scene A"),
        (["scene,tags,night", "a,night,no"], "has the tag 'night', which is the name of a column"),
        (["scene,consent", "a,denied by Mrs Smith"], "says 'denied by Mrs Smith' in its column consent: write yes, no"),
        (["scene,tags", "a,x=1"], "a tag cannot hold '='"),
        ([""], "has no column scene in its first line, which holds nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(DpedtoolError, match=said):
        table(tmp_path, *lines)


def test_consent_is_one_of_three_words(tmp_path: Path) -> None:
    words = ["Yes", "REFUSED", "none  given", "n/a", ""]
    found = table(tmp_path, "scene,consent", *(f"{index},{word}" for index, word in enumerate(words)))
    assert [entry.consent for entry in found.entries] == ["yes", "no", "no", "not needed", ""]


def test_a_template_that_was_filled_in_is_not_lost(tmp_path: Path) -> None:
    assert filled_in(tmp_path / "scenes.csv") == SceneTable()
    (tmp_path / "scenes.csv").write_text(template(SceneTable(), {"a": "", "b": ""}).replace(",a,,", ",a,pier,test"))
    text = template(filled_in(tmp_path / "scenes.csv"), {"a": "", "b": "", "c": ""})
    assert text.splitlines()[1:] == [",a,pier,test,,,,", ",b,,,,,,", ",c,,,,,,"]


def test_two_lines_that_mean_one_photo_are_refused(tmp_path: Path) -> None:
    found = table(tmp_path, "scene", "a.jpg", "a.png")
    with pytest.raises(DpedtoolError, match=r"Lines 2 and 3 of .* are both about the scene a: remove"):
        found.find(["a"])


def test_a_missing_file_names_the_parameter(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"captures\.scenes must name a file"):
        read_scene_table(tmp_path / "none.csv")


def test_the_template_keeps_what_is_known_and_is_read_as_itself(tmp_path: Path) -> None:
    found = table(tmp_path, "Scene,tags,Weather,notes", "IMG_10,night people,rain,mine", "gone,,,", "IMG_2,,,")
    scenes = {"IMG_10": "", "IMG_2": "", "IMG_3": ""}
    text = template(found, scenes)
    assert text.splitlines() == [
        "session,scene,group,split,tags,licence,consent,notes,Weather",
        ",IMG_2,,,,,,,",
        ",IMG_3,,,,,,,",
        ",IMG_10,,,night people,,,mine,rain",
        ",gone,,,,,,,",
    ]
    (tmp_path / "again.csv").write_text(text)
    again = read_scene_table(tmp_path / "again.csv")
    assert template(again, scenes) == text
    assert {entry.scene: entry.tags for entry in again.entries} == {
        **{entry.scene: entry.tags for entry in found.entries}, "IMG_3": {}
    }  # fmt: skip


def test_the_template_names_scenes_of_sessions_without_their_session(tmp_path: Path) -> None:
    text = template(SceneTable(), {"day1--IMG_1": "day1", "day2--IMG_1": "day2"})
    assert text.splitlines()[1:] == ["day1,IMG_1,,,,,,", "day2,IMG_1,,,,,,"]
    (tmp_path / "scenes.csv").write_text(text)
    assert set(read_scene_table(tmp_path / "scenes.csv").find(["day1--IMG_1", "day2--IMG_1"])) == {
        "day1--IMG_1", "day2--IMG_1"
    }  # fmt: skip


def test_scenes_without_a_line_and_lines_without_a_scene_are_named(tmp_path: Path) -> None:
    found = table(tmp_path, "session,scene", "one,a", "one,b", "two,a")
    assert unknown_scenes(found, {"one--a": "one", "one--c": "one"}, {"two"}) == [
        f"{tmp_path}/scenes.csv does not know 1 scene: one--c.",
        f"{tmp_path}/scenes.csv names 1 scene: one/b (line 3), but the DSLR has no such photo.",
    ]
    assert unknown_scenes(SceneTable(), {"one--a": "one"}) == []


def test_strata_are_the_values_of_a_tag_or_of_a_column(tmp_path: Path) -> None:
    found = table(tmp_path, "scene,tags,place,group", "a,night,pier,x", "b,,hall,y", "c,,,")
    scenes = ["a", "b", "c", "d"]
    assert found.strata(scenes, "Night") == {"a": "yes", "b": "", "c": ""}
    assert found.strata(scenes, "place") == {"a": "pier", "b": "hall", "c": ""}
    assert found.strata(scenes, "group") == {"a": "x", "b": "y", "c": ""}
    with pytest.raises(DpedtoolError, match=r"split\.stratify is rain, but no scene .* \(night, place\)"):
        found.strata(scenes, "rain")
