"""What the table of scenes asks for, and splits that start from earlier ones."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from split_rig import frame, jpeg, picture, sha, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.scene_table import SceneTable, read_scene_table
from dpedtool.dataset.schema import Frame, Photo, Scene
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.split.groups import Wishes, place_frames
from dpedtool.pipeline.split.near_duplicates import Link
from dpedtool.pipeline.split.stage import split
from dpedtool.pipeline.split.verification import verify_split

PARAMS = SplitParams(test=0.25, validation=0.25)
SCENES = [f"s{index}" for index in range(12)]


def bare(scene: str, accepted: int = 2) -> Frame:
    return frame(scene, "a", accepted, thumbnail=b"")


def placed(frames: list[Frame], wishes: Wishes, params: SplitParams = PARAMS, **recorded: str) -> dict[str, str]:
    known = {f"a-{scene}": side for scene, side in recorded.items()}
    return {place.frame.scene_id: place.split for place in place_frames(frames, [], known, params, (), wishes)}


def table(folder: Path, *lines: str) -> SceneTable:
    path = folder / "scenes.csv"
    path.write_text("\n".join(lines))
    return read_scene_table(path)


def patches(folder: Path, scenes: list[str] = SCENES, phone: str = "a") -> dict[str, Path]:
    return {phone: write_patches(folder, phone, [frame(name, phone) for name in scenes])}


def sides(out: Path) -> dict[str, str]:
    return {photo.scene_id: photo.split for photo in read_rows(Photo.table_in(out), Photo) if photo.status == "present"}


# Groups and forced sides


def test_a_group_of_the_table_stays_on_one_side() -> None:
    frames = [bare(f"s{index}") for index in range(40)]
    groups = {f"s{index}": f"place {index // 8}" for index in range(40)}
    found = place_frames(frames, [], {}, PARAMS, (), Wishes(groups=groups))
    by_group: dict[str, set[str]] = {}
    for place in found:
        by_group.setdefault(groups[place.frame.scene_id], set()).add(place.split)
    assert all(len(of) == 1 for of in by_group.values())
    assert len({place.group for place in found}) == 5
    tied = next(place for place in found if place.tie)
    assert tied.tie.evidence.startswith("the same group place ")
    assert tied.tie.evidence.endswith("in the table of scenes")


def test_forced_sides_are_kept_and_the_shares_are_filled_up_around_them() -> None:
    frames = [bare(f"s{index}") for index in range(20)]
    forced = {"s0": "test", "s1": "test", "s2": "test", "s3": "train"}
    found = placed(frames, Wishes(forced=forced))
    assert {scene: found[scene] for scene in forced} == forced
    assert Counter(found.values()) == {"test": 5, "validation": 5, "train": 10}


def test_a_forced_side_overrides_that_of_an_earlier_run() -> None:
    frames = [bare(f"s{index}") for index in range(8)]
    found = placed(frames, Wishes(forced={"s1": "test"}), s0="test", s1="train", s2="train", s3="validation")
    assert (found["s0"], found["s1"], found["s2"], found["s3"]) == ("test", "test", "train", "validation")


@pytest.mark.parametrize(
    ("wishes", "recorded", "said"),
    [
        (Wishes(forced={"one": "train", "two": "test"}), {}, r"by the table of scenes\) and .*by the table of scenes"),
        (Wishes(forced={"one": "test"}), {"a-two": "train"}, r"two \(train, by an earlier run\)"),
    ],
)
def test_forced_sides_that_near_duplicates_contradict_are_refused_with_both_names(
    wishes: Wishes, recorded: dict[str, str], said: str
) -> None:
    link = Link(sha("dslr/one"), sha("dslr/two"), "20 keypoints agree")
    with pytest.raises(DpedtoolError, match=said) as refused:
        place_frames([bare("one"), bare("two")], [link], recorded, PARAMS, (), wishes)
    assert "one (" in str(refused.value)
    assert "two (" in str(refused.value)
    assert "20 keypoints agree" in str(refused.value)


def test_a_group_forced_to_two_sides_is_refused() -> None:
    wishes = Wishes(groups={"one": "pier", "two": "pier"}, forced={"one": "train", "two": "test"})
    with pytest.raises(DpedtoolError, match="the same group pier in the table of scenes"):
        place_frames([bare("one"), bare("two")], [], {}, PARAMS, (), wishes)


def test_a_group_holds_scenes_of_different_runs_together(tmp_path: Path) -> None:
    """The first scene is missing when the second one is placed; capitals and blanks make no other group."""
    found = table(tmp_path, "scene,group", *(f"s{index},Old  pier" for index in range(6)), "t,old pier")
    split(patches(tmp_path / "one", SCENES[:6]), tmp_path / "splits", PARAMS, scenes=found)
    side = sides(tmp_path / "splits")["s0"]
    assert set(sides(tmp_path / "splits").values()) == {side}
    split(patches(tmp_path / "two", ["t", *SCENES[6:]]), tmp_path / "splits", PARAMS, scenes=found)
    assert sides(tmp_path / "splits")["t"] == side
    split(patches(tmp_path / "all", ["t", *SCENES]), tmp_path / "splits", PARAMS, scenes=found)
    assert verify_split(tmp_path / "splits").faults == []


def test_the_proof_looks_at_groups(tmp_path: Path) -> None:
    split(patches(tmp_path), tmp_path / "splits", PARAMS)
    found = sides(tmp_path / "splits")
    one, two = (next(scene for scene, side in found.items() if side == wanted) for wanted in ("train", "test"))
    rows = read_rows(Scene.table_in(tmp_path / "splits"), Scene)
    grouped = [dataclasses.replace(row, group="Pier" if row.scene_id == one else "pier") for row in rows]
    kept = [row for row in grouped if row.scene_id in (one, two)]
    write_rows(Scene.table_in(tmp_path / "splits"), Scene, kept)
    (fault,) = verify_split(tmp_path / "splits").faults
    assert "group of the table of scenes" in fault


def test_lines_without_effect_are_named(tmp_path: Path) -> None:
    found = table(tmp_path, "scene,split,tags", "s0,,night", "typo,test,", "other,,night")
    done = split(patches(tmp_path), tmp_path / "splits", PARAMS, scenes=found)
    (note,) = done.notes
    assert note.endswith("asks for the side or the group of scenes that are not in this split: line 3 (typo).")


# Strata


@pytest.mark.parametrize("seed", range(5))
def test_each_stratum_gets_its_share_of_every_split(seed: int) -> None:
    frames = [bare(f"s{index}") for index in range(100)]
    strata = {f"s{index}": ("night" if index < 20 else "day" if index < 90 else "") for index in range(100)}
    found = placed(frames, Wishes(strata=strata), SplitParams(test=0.2, validation=0.1, seed=seed))
    counts = Counter((strata[scene], side) for scene, side in found.items())
    for stratum, size in Counter(strata.values()).items():
        assert abs(counts[stratum, "test"] - 0.2 * size) <= 1
        assert abs(counts[stratum, "validation"] - 0.1 * size) <= 1
    assert Counter(found.values()) == {"test": 20, "validation": 10, "train": 70}


def test_strata_that_an_earlier_run_left_out_are_filled_first() -> None:
    frames = [bare(f"s{index}") for index in range(40)]
    strata = {f"s{index}": "night" if index % 4 == 0 else "day" for index in range(40)}
    # The earlier run had 20 scenes, and put none of its nights into the test.
    days = [f"s{index}" for index in range(20) if index % 4]
    recorded = {f"s{index}": "train" for index in range(20)} | dict.fromkeys(days[:4], "test")
    found = placed(frames, Wishes(strata=strata), SplitParams(test=0.2, validation=0), **recorded)
    assert {scene: found[scene] for scene in recorded} == recorded
    tested = Counter(strata[scene] for scene, side in found.items() if side == "test")
    assert tested == {"night": 2, "day": 6}


def test_the_draw_by_strata_depends_on_the_seed_and_not_on_the_order() -> None:
    frames = [bare(f"s{index}") for index in range(60)]
    strata = {f"s{index}": str(index % 3) for index in range(60)}
    first = placed(frames, Wishes(strata=strata))
    assert placed(frames[::-1], Wishes(strata=strata)) == first
    assert placed(frames, Wishes(strata=strata), dataclasses.replace(PARAMS, seed=1)) != first


# The stage


def test_the_table_goes_into_the_split(tmp_path: Path) -> None:
    found = table(tmp_path, "scene,group,split,tags,weather,notes", "s0,pier,test,night,rain,mine", "s1,pier,,,,")
    split(patches(tmp_path), tmp_path / "splits", PARAMS, scenes=found)
    rows = {row.scene_id: row for row in read_rows(Scene.table_in(tmp_path / "splits"), Scene)}
    assert list(rows) == sorted(SCENES)
    assert (rows["s0"].split, rows["s0"].forced, rows["s0"].group, rows["s0"].notes) == ("test", "test", "pier", "mine")
    assert rows["s0"].tags == ("night=yes", "weather=rain")
    assert rows["s0"].values() == {"night": "yes", "weather": "rain"}
    assert (rows["s1"].split, rows["s1"].forced, rows["s1"].tags) == ("test", "", ())
    assert {scene: row.split for scene, row in rows.items()} == sides(tmp_path / "splits")
    assert verify_split(tmp_path / "splits").faults == []


def test_scenes_that_the_table_moves_are_named(tmp_path: Path) -> None:
    done = split(patches(tmp_path), tmp_path / "splits", PARAMS)
    assert done.notes == []
    scene = next(name for name, side in sides(tmp_path / "splits").items() if side == "train")
    found = table(tmp_path, "scene,split", f"{scene},test")
    again = split(patches(tmp_path), tmp_path / "splits", PARAMS, scenes=found)
    assert again.notes == [f"1 scene ({scene}) moved to the side that the table of scenes asks for."]


def test_an_unknown_tag_to_stratify_by_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"split\.stratify is night, but no scene in captures\.scenes"):
        split(patches(tmp_path), tmp_path / "splits", dataclasses.replace(PARAMS, stratify="night"))


# Earlier splits and releases


def test_a_split_starts_from_an_earlier_one_elsewhere(tmp_path: Path) -> None:
    split(patches(tmp_path / "one"), tmp_path / "old", PARAMS)
    more = patches(tmp_path / "two", [*SCENES, *(f"t{index}" for index in range(12))])
    done = split(more, tmp_path / "new", dataclasses.replace(PARAMS, seed=7), keep=tmp_path / "old")
    old, new = sides(tmp_path / "old"), sides(tmp_path / "new")
    assert {scene: new[scene] for scene in SCENES} == old
    assert Counter(new.values()) == {"test": 6, "validation": 6, "train": 12}
    assert done.notes[0] == f"12 of 12 scenes of {tmp_path / 'old'} are here, and keep the side that they have there."
    assert {photo.drawn_by[:6] for photo in read_rows(Photo.table_in(tmp_path / "new"), Photo)} == {"seed 0", "seed 7"}


def test_the_sides_that_are_to_be_kept_override_those_in_the_folder(tmp_path: Path) -> None:
    split(patches(tmp_path / "one"), tmp_path / "old", PARAMS)
    split(patches(tmp_path / "one"), tmp_path / "new", dataclasses.replace(PARAMS, seed=3))
    before = sides(tmp_path / "new")
    assert before != sides(tmp_path / "old")
    done = split(patches(tmp_path / "one"), tmp_path / "new", PARAMS, keep=tmp_path / "old")
    assert sides(tmp_path / "new") == sides(tmp_path / "old")
    moved = sum(before[scene] != side for scene, side in sides(tmp_path / "old").items())
    assert any(note.startswith(f"{moved} scene") and "moved to it" in note for note in done.notes)


def test_a_release_says_the_sides_even_of_scenes_that_are_not_here(tmp_path: Path) -> None:
    rows = [
        {
            "pair_id": f"b--{scene}", "phone": "b", "scene_id": scene, "group": scene, "split": side,
            "phone_photo": "../../etc/passwd", "dslr_photo": f"{scene}.jpg", "phone_sha256": sha(f"b/{scene}"),
            "dslr_sha256": sha(f"dslr/{scene}"), "accepted": 3, "thumbnail": jpeg(picture(int(sha(scene)[:8], 16))),
        }
        for scene, side in {"s0": "validation", "s1": "test", "gone": "test"}.items()
    ]  # fmt: skip
    (tmp_path / "release").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "release" / "pairs.parquet")
    split(patches(tmp_path), tmp_path / "splits", PARAMS, keep=tmp_path / "release")
    found = sides(tmp_path / "splits")
    assert (found["s0"], found["s1"]) == ("validation", "test")
    absent = [photo for photo in read_rows(Photo.table_in(tmp_path / "splits"), Photo) if photo.status == "absent"]
    assert {photo.scene_id: photo.split for photo in absent} == {"s0": "validation", "s1": "test", "gone": "test"}
    assert {(photo.phone_path.parent.name, photo.phone_path.name) for photo in absent} == {("release", "passwd")}
    # The record in the folder is enough for the next run.
    split(patches(tmp_path, [*SCENES, "gone"]), tmp_path / "splits", PARAMS)
    assert sides(tmp_path / "splits") == {**found, "gone": "test"}


@pytest.mark.parametrize("content", [None, b"no parquet"])
def test_what_is_neither_a_split_nor_a_release_is_refused(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "other").mkdir()
    if content:
        (tmp_path / "other" / "pairs.parquet").write_bytes(content)
    with pytest.raises(DpedtoolError, match=r"neither what|cannot be read"):
        split(patches(tmp_path), tmp_path / "splits", PARAMS, keep=tmp_path / "other")


def test_the_record_of_version_0_1_still_decides(tmp_path: Path) -> None:
    split(patches(tmp_path), tmp_path / "splits", PARAMS)
    before, record = sides(tmp_path / "splits"), Photo.table_in(tmp_path / "splits")
    pq.write_table(pq.read_table(record).drop_columns(["session"]), record)
    split(patches(tmp_path), tmp_path / "splits", dataclasses.replace(PARAMS, seed=9))
    assert sides(tmp_path / "splits") == before
