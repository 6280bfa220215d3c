"""What verify says about the table of scenes: defects by hand, and releases of the format that has no such table."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from release_damage import Change, edit, edit_json, faults, renew, set_in

from dpedtool.pipeline.release.columns import PAIRS, PATCHES, SCENES
from dpedtool.pipeline.release.description import CROISSANT, RELEASE
from dpedtool.pipeline.release.verification.verify import verify


def change(name: str = "train-0", **values: object) -> Change:
    """Change the row of one scene."""

    def changed(folder: Path) -> None:
        edit(folder / SCENES, lambda row: set_in(row, **values) if row["scene_id"] == name else None)

    return changed


def rows(folder: Path, names: slice) -> None:
    table = pq.read_table(folder / SCENES)
    write(pa.Table.from_pylist(table.to_pylist()[names], table.schema), folder)


def write(table: pa.Table, folder: Path) -> None:
    pq.write_table(table, folder / SCENES, use_dictionary=False)


def with_notes(folder: Path) -> None:
    table = pq.read_table(folder / SCENES)
    write(table.append_column("notes", pa.array(["x"] * len(table))), folder)


def twice(folder: Path) -> None:
    table = pq.read_table(folder / SCENES)
    write(pa.concat_tables([table, table.slice(0, 1)]), folder)


DEFECTS: dict[str, tuple[Change, str]] = {
    "a scene is missing": (lambda folder: rows(folder, slice(1, None)), rf"it lacks the scene test-0 of {PAIRS}\."),
    "another scene": (change(scene_id="x"), rf"its scene x is not in {PAIRS}\."),
    "another side": (change(split="test"), rf"its scene train-0 is in 'test', but in {PAIRS} in 'train'\."),
    "no side": (change(split="dev"), r"scene train-0: its split 'dev' is not one of train, validation, test\."),
    "a scene twice": (twice, r"test-0 appears more than once\."),
    "no consent": (change(consent="Refused"), r"scene train-0: it must not be released, as its consent is 'Refused'\."),
    "a tag without a value": (change(tags=["night"]), r"scene train-0: its tag 'night' is not KEY=VALUE\."),
    "an empty tag": (change(tags=[None]), r"scene train-0: its tag None is not KEY=VALUE\."),
    "two values": (change(tags=["a=1", "a=2"]), r"scene train-0: it has two values of the tag 'a'\."),
    "a group on two sides": (
        lambda folder: edit(folder / SCENES, lambda row: set_in(row, group="harbour")),
        r"The group of the table of scenes harbour is on 3 sides: test-0 in test, train-0 in train, .*\.",
    ),
    "notes": (with_notes, r"its column notes is not part of a release\."),
    "a path": (change(tags=["place=/home/jane/photos"]), r"column tags: the path /home/jane.*"),
    "no table": (lambda folder: (folder / SCENES).write_bytes(b"x") and None, r"it is not a readable parquet file.*"),
    "a dictionary of tags": (
        lambda folder: pq.write_table(pq.read_table(folder / SCENES), folder / SCENES),
        r"its column tags\.list\.element is stored as a dictionary, which may unpack to any size: it was not read\.",
    ),
    "too many tags": (
        change(tags=[f"t{number}=1" for number in range(4100)]),
        r"it has far more values than rows: it was not read\.",
    ),
    "no file": (lambda folder: (folder / SCENES).unlink(), r"it is missing\."),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_a_line(release: Path, defect: str) -> None:
    damage, line = DEFECTS[defect]
    damage(release)
    renew(release)
    found = [fault for fault in faults(release) if not fault.startswith(CROISSANT)]
    assert [fault for fault in found if re.fullmatch(f"{SCENES}: {line}", fault)], found
    assert all(fault.startswith(f"{SCENES}: ") for fault in found)


def test_a_whole_table_is_said(whole: Path) -> None:
    assert f"{SCENES} describes the 4 scenes of {PAIRS}, on the same sides." in verify(whole).said


def test_many_tags_of_one_scene_are_no_defect(release: Path) -> None:
    change(tags=[f"t{number:03}=1" for number in range(500)])(release)
    renew(release)
    assert faults(release) == []


def without_table(folder: Path) -> None:
    """Make a release as versions before the table of scenes wrote it."""
    (folder / SCENES).unlink()
    edit_json(folder / RELEASE, lambda data: [data.pop("previous"), set_in(data, format=1)])
    edit_json(
        folder / CROISSANT,
        lambda data: [
            data.update({key: [one for one in data[key] if SCENES not in str(one)]})
            for key in ("distribution", "recordSet")
        ],
    )
    renew(folder)


def test_a_release_of_the_earlier_format_has_no_such_table(release: Path) -> None:
    table = (release / SCENES).read_bytes()
    without_table(release)
    verdict = verify(release)
    assert verdict.faults == []
    assert not [line for line in verdict.said if SCENES in line]
    (release / SCENES).write_bytes(table)
    renew(release)
    assert faults(release) == [f"{SCENES}: it is not part of the release."]


def test_without_release_json_the_table_is_still_compared(release: Path) -> None:
    change(split="test")(release)
    (release / RELEASE).unlink()
    renew(release)
    assert f"{SCENES}: its scene train-0 is in 'test', but in {PAIRS} in 'train'." in faults(release)


def test_without_pairs_the_values_are_still_checked(release: Path) -> None:
    change(consent="no")(release)
    (release / PATCHES).unlink()
    renew(release)
    assert f"{SCENES}: scene train-0: it must not be released, as its consent is 'no'." in faults(release)
