"""The contents of a release: order, columns and chunks, and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from split_rig import SIZE_PX, frame, write_patches

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame, Patch, Photo
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.release.chunks import chunks_of, read_rows_of
from dpedtool.pipeline.release.columns import PAIRS_SCHEMA, PATCHES_SCHEMA, SCHEMAS, meanings
from dpedtool.pipeline.release.contents import PLAN_SCHEMA, Contents, gather
from dpedtool.pipeline.split.stage import split

SCENES = [f"s{number:02d}" for number in range(12)]


def write_split(folder: Path, frames: list[Frame]) -> Path:
    tables = {
        phone: write_patches(folder / "patches", phone, [one for one in frames if one.phone == phone])
        for phone in dict.fromkeys(one.phone for one in frames)
    }
    split(tables, folder / "splits", SplitParams(test=0.3, validation=0.2))
    return folder / "splits"


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    frames = [frame(scene, phone, accepted=3) for phone in ("b", "a") for scene in SCENES]
    return write_split(tmp_path, frames)


def gathered(splits: Path, patches_a_file: int = 4) -> Contents:
    return gather(splits, patches_a_file, thumbnails=True)


def test_patches_stand_by_phone_by_split_and_by_the_digest_of_their_names(splits: Path) -> None:
    plan = gathered(splits).plan.to_pandas()
    sides = ["train", "validation", "test"]
    keys = [
        (row.phone, sides.index(row.split), hashlib.sha256(row.patch_id.encode()).hexdigest())
        for row in plan.itertuples()
    ]
    assert keys == sorted(keys)
    assert len(plan) == 2 * 3 * len(SCENES)
    assert set(plan["split"]) == set(sides)


def test_numbers_count_from_0_in_each_phone_and_split_and_files_hold_so_many(splits: Path) -> None:
    plan = gathered(splits).plan.to_pandas()
    for _, rows in plan.groupby(["phone", "split"]):
        assert rows["number"].tolist() == list(range(len(rows)))
        assert rows["file"].tolist() == [number // 4 for number in range(len(rows))]


def test_every_piece_is_a_row_group(splits: Path, tmp_path: Path) -> None:
    contents = gathered(splits)
    contents.write_plan(tmp_path / "plan.parquet", tmp_path / "stacks.parquet", 4)
    assert not (tmp_path / "stacks.parquet").exists()
    pieces = chunks_of(tmp_path / "plan.parquet")
    assert sum(piece.count for piece in pieces) == contents.plan.num_rows
    assert [piece.row_group for piece in pieces] == list(range(len(pieces)))
    counts = contents.counts()
    assert {(piece.phone, piece.split) for piece in pieces} == {(p, s) for p in counts for s in counts[p]}
    for piece in pieces:
        rows = read_rows_of(tmp_path / "plan.parquet", piece, ["phone", "split", "number", "file"]).to_pylist()
        assert [row["number"] for row in rows] == list(piece.numbers)
        assert {(row["phone"], row["split"], row["file"]) for row in rows} == {(piece.phone, piece.split, piece.index)}


def test_what_is_known_of_a_patch_comes_with_it_but_no_path(splits: Path) -> None:
    row = next(row for row in gathered(splits).plan.to_pylist() if row["patch_id"] == "a-s03-1")
    assert (row["pair_id"], row["scene_id"], row["x"], row["y"], row["size"]) == ("a-s03", "s03", SIZE_PX, 0, SIZE_PX)
    assert (row["phone_photo"], row["dslr_photo"]) == ("s03.jpg", "s03.jpg")
    assert row["ncc"] is None
    assert not [name for name in PATCHES_SCHEMA.names if name.endswith("_path")]


def test_pairs_have_minutes_and_no_time_of_day(tmp_path: Path) -> None:
    times = {"s00": datetime(2026, 5, 1, 10, 0, 30), "s01": datetime(2026, 5, 1, 10, 45)}
    frames = [frame(scene, dslr_time=time.isoformat()) for scene, time in times.items()]
    pairs = gathered(write_split(tmp_path, [*frames, frame("s02")])).pairs.to_pylist()
    assert {pair["scene_id"]: pair["minute"] for pair in pairs} == {"s00": 0.0, "s01": 44.5, "s02": None}
    assert not [name for name in PAIRS_SCHEMA.names if "time" in name]


def test_pairs_say_how_their_colours_relate(tmp_path: Path) -> None:
    colours = {
        "exposure_difference": 0.5,
        "exposure_from_median": -0.25,
        "red_gain": 0.1,
        "red_from_median": 0.2,
        "blue_gain": 0.3,
        "blue_from_median": 0.4,
        "colour_transform": tuple(float(number) for number in range(12)),
        "colour_residual": 4.5,
    }
    rows = gathered(write_split(tmp_path, [frame("s00", **colours), frame("s01")])).pairs.to_pylist()
    found = {row["scene_id"]: {name: row[name] for name in colours} for row in rows}
    assert found == {
        "s00": colours | {"colour_transform": list(colours["colour_transform"])},
        "s01": dict.fromkeys(colours),
    }


def test_thumbnails_are_left_out_where_they_are_not_wanted(splits: Path) -> None:
    assert None not in gathered(splits).pairs["thumbnail"].to_pylist()
    assert set(gather(splits, 4, thumbnails=False).pairs["thumbnail"].to_pylist()) == {None}


def test_a_pair_without_a_patch_is_not_in_a_release(tmp_path: Path) -> None:
    frames = [frame("s00"), frame("s01", accepted=0)]
    assert gathered(write_split(tmp_path, frames)).pairs["scene_id"].to_pylist() == ["s00"]


def test_every_column_is_documented() -> None:
    for schema in SCHEMAS.values():
        assert all(meaning for _, meaning in meanings(schema).values())
    assert meanings(PATCHES_SCHEMA)["residual_px"][0] == "phone px"
    sums = {f"{side}_{kind}_sha256" for side in ("phone", "dslr") for kind in ("image", "jpeg")}
    assert set(PATCHES_SCHEMA.names) - set(PLAN_SCHEMA.names) == sums


# What is refused


def test_a_split_without_a_patch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match="holds no patches, so there is nothing to release"):
        gathered(write_split(tmp_path, [frame("s00", accepted=0)]))


def test_an_imported_data_set_is_not_released_anew(splits: Path) -> None:
    Photo.table_in(splits).unlink()
    with pytest.raises(DpedtoolError, match=r"holds an imported data set\. Its scenes and photos are not known"):
        gathered(splits)


def test_a_folder_without_tables_is_told_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"There is no table .*: run `dpedtool split` first"):
        gathered(tmp_path)


def test_patches_that_were_cut_anew_are_refused(splits: Path) -> None:
    table = Patch.table_in(splits.parent / "patches" / "a")
    write_rows(table, Patch, [row for row in read_rows(table, Patch) if row.patch_id != "a-s03-1"])
    with pytest.raises(DpedtoolError, match=r"a\.parquet names the patch a-s03-1, which was not cut"):
        gathered(splits)


def test_a_phone_whose_photos_are_not_known_is_refused(splits: Path) -> None:
    table = Photo.table_in(splits)
    write_rows(table, Photo, [row for row in read_rows(table, Photo) if row.phone != "b"])
    with pytest.raises(DpedtoolError, match=r"b\.parquet holds patches, but .* has no photo of that phone"):
        gathered(splits)


def test_patches_of_several_sizes_are_refused(splits: Path) -> None:
    table = Patch.table_in(splits.parent / "patches" / "a")
    write_rows(table, Patch, [replace(row, size=64) for row in read_rows(table, Patch)])
    with pytest.raises(DpedtoolError, match=r"several sizes \(32, 64 px\)"):
        _ = gathered(splits).size_px


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [("split", "test", "mixes phones, splits or files"), ("number", 7, "are not consecutive")],
)
def test_a_table_that_is_in_disorder_is_no_plan(
    splits: Path, tmp_path: Path, column: str, value: object, sentence: str
) -> None:
    plan = gathered(splits).plan.slice(0, 3).to_pandas()
    plan.loc[1, column] = value
    plan.to_parquet(tmp_path / "plan.parquet")
    with pytest.raises(DpedtoolError, match=sentence):
        chunks_of(tmp_path / "plan.parquet")


def test_what_is_no_table_is_a_sentence(tmp_path: Path) -> None:
    table = tmp_path / "patches.parquet"
    table.write_bytes(b"PAR1")
    with pytest.raises(DpedtoolError, match=r"patches\.parquet cannot be read"):
        chunks_of(table)
    pd.DataFrame({"phone": ["a"]}).to_parquet(table)
    with pytest.raises(DpedtoolError, match=r"patches\.parquet has no column file"):
        chunks_of(table)
    pq.write_table(PATCHES_SCHEMA.empty_table(), table)
    with pytest.raises(DpedtoolError, match="row group 0 is empty"):
        chunks_of(table)
