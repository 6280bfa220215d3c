"""The stage split: from tables of patches and frames to tables of samples and photos."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from split_rig import frame, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame, Photo, Sample
from dpedtool.dataset.sides import SPLITS
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.split.stage import _drawn_by, recorded_photos, split
from dpedtool.pipeline.split.verification import verify_split

PARAMS = SplitParams(test=0.25, validation=0.25)
SCENES = [f"s{index}" for index in range(12)]


def tables(folder: Path, scenes: dict[str, list[str]]) -> dict[str, Path]:
    """Two accepted patches and a rejected one for every phone and scene."""
    return {
        phone: write_patches(folder, phone, [frame(name, phone) for name in names]) for phone, names in scenes.items()
    }


def samples(out: Path, phone: str = "a") -> list[Sample]:
    return read_rows(out / f"{phone}.parquet", Sample)


def photos(out: Path) -> list[Photo]:
    return read_rows(out / "photos.parquet", Photo)


def sides(out: Path) -> dict[str, str]:
    return {photo.scene_id: photo.split for photo in photos(out)}


def test_both_phones_patches_of_a_scene_are_in_one_split(tmp_path: Path) -> None:
    found = tables(tmp_path, {"a": SCENES, "b": SCENES[3:]})
    done = split(found, tmp_path / "splits", PARAMS)
    rows = samples(tmp_path / "splits", "a") + samples(tmp_path / "splits", "b")
    assert len({(row.scene_id, row.split) for row in rows}) == 12
    assert done.patches.to_numpy().sum() == len(rows) == 2 * (12 + 9)
    assert done.patches.loc["a"].to_dict() == {name: 2 * done.scenes[name] for name in SPLITS}
    assert list(done.patches.columns) == list(SPLITS)
    assert done.groups == sum(done.scenes.values()) == 12
    assert done.notes == []


def test_samples_name_the_bytes_of_their_patches_and_rejected_ones_are_left_out(tmp_path: Path) -> None:
    split(tables(tmp_path, {"a": ["x", "y"]}), tmp_path / "splits", SplitParams())
    rows = samples(tmp_path / "splits")
    assert [row.patch_id for row in rows] == ["a-x-0", "a-x-1", "a-y-0", "a-y-1"]
    # A header and a block of content each.
    assert [row.phone_offset for row in rows] == [512, 2560, 4608, 6656]
    assert [row.dslr_offset for row in rows] == [1536, 3584, 5632, 7680]
    for row in rows:
        assert row.shard.resolve() == (tmp_path / "a" / "patches-00000.tar").resolve()
        assert (row.phone_bytes, row.dslr_bytes) == (100, 100)


def test_a_phone_is_called_as_its_folder_of_patches_whatever_that_of_its_photos(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    split({"mine": tables(tmp_path, {"a": SCENES})["a"]}, out, PARAMS)
    assert {row.phone for row in samples(out, "mine")} == {"mine"}
    assert {photo.phone for photo in photos(out)} == {"mine"}
    assert {row["phone"] for row in csv.DictReader((out / "test_photos.csv").read_text().splitlines())} == {"mine"}
    assert verify_split(out).faults == []


def test_a_phone_without_accepted_patches_gets_an_empty_table(tmp_path: Path) -> None:
    split(tables(tmp_path, {"a": ["x", "y"], "b": []}), tmp_path / "splits", SplitParams())
    assert samples(tmp_path / "splits", "b") == []


def test_no_accepted_patch_at_all_gives_empty_tables(tmp_path: Path) -> None:
    found = {"a": write_patches(tmp_path, "a", [frame("x", accepted=0)])}
    done = split(found, tmp_path / "splits", SplitParams())
    assert done.patches.loc["a"].to_dict() == {"train": 0, "validation": 0, "test": 0}
    assert samples(tmp_path / "splits") == []


def test_photos_hold_all_that_a_proof_needs(tmp_path: Path) -> None:
    one = replace(frame("x"), dslr_time="2024-05-01T10:00:00", phone_time="2024-05-01T09:00:00")
    split({"a": write_patches(tmp_path, "a", [one])}, tmp_path / "splits", SplitParams(seed=3))
    (photo,) = photos(tmp_path / "splits")
    assert photo.phone_path.resolve() == one.phone_path
    for name in ("pair_id", "phone_sha256", "dslr_sha256", "phone_time", "dslr_time", "thumbnail", "accepted"):
        assert getattr(photo, name) == getattr(one, name)
    assert (photo.group, photo.reason, photo.near_duplicate_of) == ("x", "", None)
    assert photo.drawn_by == "seed 3; test 0.15; validation 0.1"


def test_test_photos_are_listed_relative_to_the_list(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    frames = [replace(frame(name), phone_path=tmp_path / "photos" / f"{name}.jpg") for name in SCENES]
    split({"a": write_patches(tmp_path, "a", frames)}, out, PARAMS)
    with (out / "test_photos.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["pair_id"] for row in rows} == {photo.pair_id for photo in photos(out) if photo.split == "test"}
    assert rows
    for row in rows:
        assert row["phone_path"] == f"../photos/{row['pair_id'].removeprefix('a-')}.jpg"
        assert row["phone"] == "a"


def test_scenes_that_show_the_same_stay_together_and_it_is_said_why(tmp_path: Path) -> None:
    twin = replace(frame("s0"), pair_id="a-twin", scene_id="twin", dslr_sha256="0" * 64, phone_sha256="1" * 64)
    write = write_patches(tmp_path, "a", [*(frame(name) for name in SCENES), twin])
    done = split({"a": write}, tmp_path / "splits", PARAMS)
    found = {photo.scene_id: photo for photo in photos(tmp_path / "splits")}
    assert found["twin"].group == found["s0"].group
    assert found["twin"].split == found["s0"].split
    assert found["twin"].near_duplicate_of == "s0"
    assert "keypoints agree over" in found["twin"].evidence
    assert done.groups == 12


def test_an_earlier_run_is_kept_to_whatever_was_drawn(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    split(tables(tmp_path, {"a": ["x", "y", "z"]}), out, PARAMS)
    before = sides(out)
    assert set(before.values()) == set(SPLITS)
    split(tables(tmp_path, {"a": ["x", "y", "z", *SCENES]}), out, PARAMS)
    assert {name: sides(out)[name] for name in before} == before
    elsewhere = tmp_path / "elsewhere"
    split(tables(tmp_path, {"a": ["x", "y", "z", *SCENES]}), elsewhere, PARAMS)
    assert sides(elsewhere) != sides(out)


def test_scenes_that_are_away_for_a_run_find_their_side_when_they_come_back(tmp_path: Path) -> None:
    out, some = tmp_path / "splits", replace(PARAMS, test_scenes=3)
    split(tables(tmp_path, {"a": SCENES}), out, some)
    before = sides(out)
    left = [name for name in SCENES if before[name] != "test"]
    more = [f"n{index}" for index in range(12)]
    split(tables(tmp_path, {"a": [*left, *more]}), out, some)
    assert {photo.scene_id for photo in photos(out) if photo.status == "absent"} == set(SCENES) - set(left)
    assert {row.scene_id for row in samples(out)} == {*left, *more}
    listed = (out / "test_photos.csv").read_text()
    assert not any(f"a-{name}," in listed for name in SCENES if name not in left)
    assert verify_split(out).faults == []
    split(tables(tmp_path, {"a": [*SCENES, *more]}), out, some)
    assert {name: sides(out)[name] for name in SCENES} == before
    assert {photo.status for photo in photos(out)} == {"present"}


def test_a_new_scene_that_shows_what_one_away_shows_goes_to_its_side(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    split(tables(tmp_path, {"a": SCENES}), out, PARAMS)
    for away in SCENES[:4]:
        twin = replace(frame(away), pair_id="a-twin", scene_id="twin", dslr_sha256="0" * 64, phone_sha256="1" * 64)
        shutil.copytree(out, tmp_path / away)
        others = [frame(name) for name in SCENES if name != away]
        split({"a": write_patches(tmp_path, "a", [*others, twin])}, tmp_path / away, PARAMS)
        assert sides(tmp_path / away)["twin"] == sides(out)[away]


def test_taking_out_one_of_two_that_contradict_each_other_is_enough(tmp_path: Path) -> None:
    """The record of the removed scene does not count against the scene that is there."""
    out = tmp_path / "splits"
    split(tables(tmp_path, {"a": SCENES}), out, PARAMS)
    tested = next(name for name in SCENES if sides(out)[name] == "test")
    trained = next(name for name in SCENES if sides(out)[name] == "train")
    rows = photos(out)
    same = next(row.thumbnail for row in rows if row.scene_id == tested)
    write_rows(
        out / "photos.parquet",
        Photo,
        [replace(row, thumbnail=same) for row in rows if row.scene_id == trained]
        + [row for row in rows if row.scene_id != trained],
    )
    split(tables(tmp_path, {"a": [name for name in SCENES if name != trained]}), out, PARAMS)
    assert sides(out)[tested] == "test"


def test_many_scenes_to_test_on_leave_one_to_validate_on(tmp_path: Path) -> None:
    split(tables(tmp_path, {"a": ["x", "y", "z"]}), tmp_path / "out", replace(PARAMS, test_scenes=100))
    assert sorted(sides(tmp_path / "out").values()) == ["test", "train", "validation"]


def test_other_shares_place_only_new_scenes_and_say_so(tmp_path: Path) -> None:
    out, changed = tmp_path / "splits", replace(PARAMS, seed=5, test=0.5)
    split(tables(tmp_path, {"a": SCENES}), out, PARAMS)
    before = sides(out)
    found = tables(tmp_path, {"a": [*SCENES, "x", "y"]})
    (note,) = split(found, out, changed).notes
    assert "keep the sides that were drawn by seed 0" in note
    assert "only new scenes were drawn by seed 5; test 0.5" in note
    after = sides(out)
    assert {name: after[name] for name in SCENES} == before
    # Half of the scenes are wanted for the test, so that both new ones go there.
    assert (after["x"], after["y"]) == ("test", "test")
    assert {photo.drawn_by for photo in photos(out) if photo.scene_id in SCENES} == {_drawn_by(PARAMS)}
    assert split(found, out, changed).notes == []


def test_all_scenes_are_drawn_again_if_the_params_ask_for_it(tmp_path: Path) -> None:
    out, found = tmp_path / "splits", tables(tmp_path, {"a": SCENES})
    split(found, out, PARAMS)
    changed = replace(PARAMS, seed=5)
    (note,) = split(found, out, replace(changed, redraw=True)).notes
    assert note.startswith("All scenes were drawn again")
    split(found, tmp_path / "fresh", changed)
    assert sides(out) == sides(tmp_path / "fresh")


@pytest.mark.parametrize("wanted", [{"test_scenes": 8}, {"test": 0.3}])
def test_a_set_that_grows_keeps_its_sides_and_comes_near_to_the_shares(tmp_path: Path, wanted: dict) -> None:
    out, params = tmp_path / "splits", replace(PARAMS, validation=0.2, **wanted)
    names = [f"g{number}" for number in range(30)]
    split(tables(tmp_path, {"a": names[:12]}), out, params)
    before = sides(out)
    split(tables(tmp_path, {"a": names}), out, params)
    after = sides(out)
    assert {name: after[name] for name in before} == before
    counts = Counter(after.values())
    assert abs(counts["test"] - (8 if "test_scenes" in wanted else 9)) <= 1
    assert abs(counts["validation"] - 6) <= 1


def test_other_limits_of_near_duplicates_do_not_draw_again(tmp_path: Path) -> None:
    out, found = tmp_path / "splits", tables(tmp_path, {"a": SCENES})
    split(found, out, PARAMS)
    assert split(found, out, replace(PARAMS, near_minutes=1)).notes == []


def test_a_scene_between_two_sides_is_left_out_with_its_patches(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    split(tables(tmp_path, {"a": SCENES}), out, PARAMS)
    of = sides(out)
    trained, tested = (next(name for name in SCENES if of[name] == side) for side in ("train", "test"))
    both = replace(frame("both"), dslr_sha256=frame(trained).dslr_sha256, phone_sha256=frame(tested).phone_sha256)
    done = split({"a": write_patches(tmp_path, "a", [*(frame(name) for name in SCENES), both])}, out, PARAMS)
    (row,) = (photo for photo in photos(out) if photo.scene_id == "both")
    assert (row.split, row.reason, row.group) == ("excluded", "two_sides", "")
    assert trained in row.detail
    assert tested in row.detail
    assert not any(sample.scene_id == "both" for sample in samples(out))
    assert {name: sides(out)[name] for name in SCENES} == of
    assert done.scenes["excluded"] == 1
    assert any("left out" in note for note in done.notes)


def test_old_scenes_on_two_sides_that_show_the_same_are_an_error(tmp_path: Path) -> None:
    out, found = tmp_path / "splits", tables(tmp_path, {"a": SCENES})
    split(found, out, PARAMS)
    rows = photos(out)
    trained, tested = (next(row for row in rows if row.split == side) for side in ("train", "test"))
    frames = [
        replace(frame(name), thumbnail=frame(SCENES[0]).thumbnail) for name in (trained.scene_id, tested.scene_id)
    ]
    with pytest.raises(DpedtoolError, match=r"two sides.*set split\.redraw"):
        split({"a": write_patches(tmp_path, "a", frames)}, out, PARAMS)
    assert photos(out) == rows


def test_a_damaged_record_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "photos.parquet").write_text("no table")
    with pytest.raises(DpedtoolError, match="remove it to draw"):
        split(tables(tmp_path, {"a": ["x"]}), tmp_path / "splits", PARAMS)


def test_the_table_of_a_phone_that_is_gone_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    split(tables(tmp_path, {"a": SCENES, "b": SCENES}), out, PARAMS)
    before = sides(out)
    (note,) = split(tables(tmp_path, {"a": SCENES}), out, PARAMS).notes
    assert "b.parquet was removed" in note
    assert not (out / "b.parquet").exists()
    assert sides(out) == before


def test_half_of_the_scenes_in_one_group_are_spoken_of(tmp_path: Path) -> None:
    same = frame("x").thumbnail
    frames = [replace(frame(name), thumbnail=same) if index < 7 else frame(name) for index, name in enumerate(SCENES)]
    notes = split({"a": write_patches(tmp_path, "a", frames)}, tmp_path / "splits", PARAMS).notes
    assert any("7 of 12 scenes form one group" in note for note in notes)


def test_a_record_knows_pairs_by_files_then_dslr_then_scene(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    split(tables(tmp_path, {"a": SCENES}), out, PARAMS)
    record, of = photos(out), sides(out)
    renamed = replace(frame("s0"), pair_id="other", scene_id="other")
    other_phone = replace(frame("s1"), pair_id="b-s1", phone="b", phone_sha256="2" * 64)
    developed = replace(frame("s2"), dslr_sha256="3" * 64)
    new = frame("new")
    recorded = recorded_photos([renamed, other_phone, developed, new], record)
    found = {name: photo.split for name, photo in recorded.items()}
    assert found == {"other": of["s0"], "b-s1": of["s1"], "a-s2": of["s2"]}


def test_patches_without_a_frame_are_refused(tmp_path: Path) -> None:
    table = write_patches(tmp_path, "a", [frame("x"), frame("y")])
    write_rows(Frame.table_in(table.parent), Frame, [frame("x")])
    with pytest.raises(DpedtoolError, match="a-y, which is not in the table of frames"):
        split({"a": table}, tmp_path / "splits", PARAMS)


def test_a_pair_in_two_folders_is_refused(tmp_path: Path) -> None:
    found = {name: write_patches(tmp_path, name, [frame("x")]) for name in ("a", "copy")}
    with pytest.raises(DpedtoolError, match="and so does another folder"):
        split(found, tmp_path / "splits", PARAMS)


@pytest.mark.parametrize("name", ["Photos", "scenes"])
def test_a_phone_called_as_a_table_of_the_split_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DpedtoolError, match=f"called {name}"):
        split({name: write_patches(tmp_path, name, [frame("x")])}, tmp_path / "splits", PARAMS)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="There is no table"):
        split({"a": tmp_path / "none.parquet"}, tmp_path / "splits", SplitParams())


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "splits"
    out.mkdir()
    (out / "notes.parquet").write_text("no table")
    assert split(tables(tmp_path, {"a": SCENES}), out, PARAMS).notes == []
    assert (out / "notes.parquet").read_text() == "no table"


def test_a_run_without_patches_does_not_leave_all_scenes_to_train_on(tmp_path: Path) -> None:
    out, few = tmp_path / "splits", SCENES[:3]
    split({"a": write_patches(tmp_path, "a", [frame(name, accepted=0) for name in few])}, out, PARAMS)
    found = tables(tmp_path, {"a": few})
    split(found, out, PARAMS)
    split(found, tmp_path / "fresh", PARAMS)
    assert sides(out) == sides(tmp_path / "fresh")
    assert "test" in sides(out).values()
