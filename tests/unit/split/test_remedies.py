"""What the messages of the split advise is done, and the outcome changes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from split_rig import frame, jpeg, picture, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.scene_table import SceneTable, read_scene_table
from dpedtool.dataset.schema import Frame, Photo
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.commands.split import _few
from dpedtool.pipeline.split.stage import split

PARAMS = SplitParams(test=0.25, validation=0.25)
VIEW = picture(1, 200, 286)


def view(scene: str, shift_px: int, minute: int) -> Frame:
    """A frame of one view, shifted; further apart in time, more keypoints are needed."""
    thumbnail = jpeg(VIEW[shift_px // 2 :][:170, shift_px:][:, :256])
    return frame(scene, thumbnail=thumbnail, dslr_time=f"2024-01-01T00:{minute:02}:00")


def patches(folder: Path, *frames: Frame) -> dict[str, Path]:
    return {"a": write_patches(folder, "a", frames)}


def table(folder: Path, *lines: str) -> SceneTable:
    path = folder / "scenes.csv"
    path.write_text("\n".join(lines))
    return read_scene_table(path)


def sides(out: Path) -> dict[str, str]:
    return {photo.scene_id: photo.split for photo in read_rows(Photo.table_in(out), Photo) if photo.status == "present"}


def advised(sentence: str) -> dict[str, float]:
    """The limits that a sentence names, by parameter."""
    return {name: float(value) for name, value in re.findall(r"split\.(near_\w+) to (\d+(?:\.\d+)?)", sentence)}


def with_limits(sentence: str) -> SplitParams:
    limits = advised(sentence)
    assert limits
    keypoints = int(limits.get("near_keypoints", PARAMS.near_keypoints))
    return replace(PARAMS, near_keypoints=keypoints, near_minutes=limits.get("near_minutes", PARAMS.near_minutes))


@pytest.fixture(params=[1, 50])
def tied(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Path]:
    """Two scenes of one view, a minute or 50 minutes apart, which an earlier run has put on two sides."""
    frames = [view("one", 0, 0), view("two", 30, request.param), *(frame(f"s{index}") for index in range(6))]
    found = patches(tmp_path, *frames)
    strict = replace(PARAMS, near_keypoints=300, near_minutes=0)
    split(found, tmp_path / "splits", strict, scenes=table(tmp_path, "scene,split", "one,train", "two,test"))
    return found


def test_each_way_out_of_an_earlier_run_s_contradiction_helps(tmp_path: Path, tied: dict[str, Path]) -> None:
    out = tmp_path / "splits"
    with pytest.raises(DpedtoolError, match="an earlier run put them on two sides") as refused:
        split(tied, out, PARAMS)
    said = str(refused.value)
    for way in ("take one of them out of the captures", "if they show different things", "set split.redraw"):
        assert way in said
    before = sides(out)
    split(tied, out, with_limits(said))
    assert sides(out) == before
    kept = read_rows(Frame.table_in(tied["a"].parent), Frame)
    split(patches(tmp_path / "less", *kept[1:]), out, PARAMS)
    split(tied, out, replace(PARAMS, redraw=True))
    assert sides(out)["one"] == sides(out)["two"]


def test_each_way_out_of_a_contradiction_of_the_table_helps(tmp_path: Path, tied: dict[str, Path]) -> None:
    both = table(tmp_path, "scene,split", "one,train", "two,test")
    with pytest.raises(DpedtoolError, match="must be on one side") as refused:
        split(tied, tmp_path / "fresh", PARAMS, scenes=both)
    # No earlier run decides on either, so that drawing again would not help.
    assert "redraw" not in str(refused.value)
    split(tied, tmp_path / "fresh", with_limits(str(refused.value)), scenes=both)
    one = table(tmp_path, "scene,split", "one,train")
    split(tied, tmp_path / "same", PARAMS, scenes=table(tmp_path, "scene,split", "one,train", "two,train"))
    with pytest.raises(DpedtoolError, match=r"by the table of scenes\).*set split\.redraw"):
        split(tied, tmp_path / "splits", PARAMS, scenes=one)
    split(tied, tmp_path / "splits", replace(PARAMS, redraw=True), scenes=one)
    assert sides(tmp_path / "splits")["two"] == "train"


def test_no_limit_is_advised_where_none_helps(tmp_path: Path) -> None:
    """Photos of one second are near in time whatever the limit is, and groups and files know no limits."""
    forced = table(tmp_path, "scene,split,group", "one,train,", "two,test,")
    with pytest.raises(DpedtoolError, match="keypoints agree") as refused:
        split(patches(tmp_path / "1", view("one", 0, 0), view("two", 30, 0)), tmp_path / "s", PARAMS, scenes=forced)
    assert not advised(str(refused.value))
    same = replace(frame("two"), dslr_sha256=frame("one").dslr_sha256)
    with pytest.raises(DpedtoolError, match="the same DSLR file") as refused:
        split(patches(tmp_path / "2", frame("one"), same), tmp_path / "s", PARAMS, scenes=forced)
    assert not advised(str(refused.value))


def test_a_scene_can_be_taken_out_of_its_group(tmp_path: Path) -> None:
    found = patches(tmp_path, frame("one"), frame("two"))
    grouped = table(tmp_path, "scene,split,group", "one,train,pier", "two,test,pier")
    with pytest.raises(DpedtoolError, match="take one of them out of its group"):
        split(found, tmp_path / "s", PARAMS, scenes=grouped)
    split(found, tmp_path / "s", PARAMS, scenes=table(tmp_path, "scene,split,group", "one,train,pier", "two,test,"))


def test_a_large_group_is_divided_by_what_its_note_says(tmp_path: Path) -> None:
    frames = [view(f"v{index}", 3 * index, 2 * index) for index in range(8)] + [frame("x"), frame("y"), frame("z")]
    found = patches(tmp_path, *frames)
    (note,) = split(found, tmp_path / "s", PARAMS).notes
    assert note.endswith("raise split.near_keypoints above the keypoints that agree and lower split.near_minutes.")
    evidence = [photo.evidence for photo in read_rows(Photo.table_in(tmp_path / "s"), Photo) if photo.evidence]
    assert all("keypoints agree" in said for said in evidence)
    # Views further apart in the burst may agree better than those that the table names.
    apart = replace(PARAMS, near_keypoints=257, near_minutes=0)
    assert split(found, tmp_path / "apart", apart).notes == []
    lines = ["scene,group", *(f"{each.scene_id},pier" for each in frames[:8])]
    (note,) = split(found, tmp_path / "grouped", apart, scenes=table(tmp_path, *lines)).notes
    assert note.endswith("what ties them), correct the groups in the table of scenes.")


def test_sides_that_lack_patches_are_filled_by_what_is_advised(tmp_path: Path) -> None:
    """Where scenes keep their sides, other shares alone change nothing."""
    found, out = patches(tmp_path, *(frame(f"s{index}") for index in range(8))), tmp_path / "splits"
    split(found, out, replace(PARAMS, test=0))
    done = split(found, out, PARAMS)
    (note,) = _few(done, PARAMS)
    assert note.startswith(
        "There are no patches for test: scenes keep the sides of an earlier run. Add scenes, or draw"
    )
    more = patches(tmp_path / "more", *(frame(f"s{index}") for index in range(10)))
    assert split(more, tmp_path / "added", PARAMS, keep=out).patches["test"].sum()
    redrawn = split(found, out, replace(PARAMS, redraw=True))
    assert redrawn.patches["test"].sum()
    # One patch is few, too.
    (note,) = _few(redrawn, PARAMS)
    assert note.endswith("take more scenes, or raise split.test.")
    (note,) = _few(split(found, out, PARAMS), PARAMS)
    assert note.endswith("or raise split.test and set split.redraw, since scenes keep the sides of an earlier run.")
    larger = replace(PARAMS, test=0.5)
    assert split(found, out, larger).patches["test"].sum() == redrawn.patches["test"].sum()
    assert split(found, out, replace(larger, redraw=True)).patches["test"].sum() > redrawn.patches["test"].sum()
    (note,) = _few(split(found, tmp_path / "n", numbered := replace(PARAMS, test_scenes=2)), numbered)
    assert note.endswith("or raise split.test_scenes.")


def test_a_test_of_most_scenes_becomes_smaller_as_its_note_says(tmp_path: Path) -> None:
    found, out = patches(tmp_path, *(frame(f"s{index}") for index in range(12))), tmp_path / "splits"
    large = SplitParams(test=0.7, validation=0.1)
    (note,) = split(found, out, large).notes
    assert note.endswith("lower split.test or split.test_scenes.")
    notes = split(found, out, PARAMS).notes
    assert notes[-1].endswith("and set split.redraw, since scenes keep the sides of an earlier run.")
    assert not any("are for the test" in note for note in split(found, out, replace(PARAMS, redraw=True)).notes)
