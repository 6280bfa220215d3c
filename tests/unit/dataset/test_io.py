"""Tables and files: whole or not at all, paths that move with the tree, and errors in one sentence."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import (
    PUBLISHING,
    digest,
    file_sha256,
    lock_folder,
    read_json,
    relative_path,
    remove_abandoned,
    remove_leftovers,
    remove_leftovers_of,
    replacing,
    write_json,
    write_text,
)
from dpedtool.dataset.schema import Alignment, Pair, Sample, Score
from dpedtool.dataset.tables import TableWriter, read_frame, read_rows, write_rows


def pair(name: str = "p-1", **facts: object) -> Pair:
    return Pair(**{"pair_id": name, "phone": "p", "status": "paired", **facts})


def score(name: str, value: float = 1.0) -> Score:
    kinds = {"Identifier": "a", "int": 0, "tuple[str, ...]": ("sharpness",), "tuple[float, ...]": (0.5,)}
    figures = {column.name: kinds.get(str(column.type), 0.5) for column in dataclasses.fields(Score)}
    known = {"patch_id": name, "psnr_before": value, "psnr_after": 2.0, "ms_ssim_after": 0.75}
    return Score(**{**figures, **known})


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Whole or not at all


def test_an_error_inside_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["notes.txt"]


def test_nothing_is_seen_under_the_name_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "notes.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names_in(path.parent) == ["notes.txt"]


def test_files_have_the_rights_of_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_table_interrupted_while_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_rows(path, Score, [score("old")])

    def rows() -> Iterator[Score]:
        yield score("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, Score, rows())
    assert [row.patch_id for row in read_rows(path, Score)] == ["old"]
    assert names_in(tmp_path) == ["scores.parquet"]


def test_an_empty_column_that_must_be_filled_leaves_the_earlier_table_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_rows(path, Score, [score("old")])
    with pytest.raises(ValueError, match="patch_id must not be empty"):
        write_rows(path, Score, [replace(score("new"), patch_id=None)])
    assert [row.patch_id for row in read_rows(path, Score)] == ["old"]
    assert names_in(tmp_path) == ["scores.parquet"]


def test_json_is_sorted_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    expected = '{\n  "a": [\n    1.5,\n    null\n  ],\n  "b": 1\n}\n'
    assert (tmp_path / "a.json").read_text() == expected
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert (tmp_path / "a.json").read_text() == expected


# Tables


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [
        pair("p-1", scene_id="s", phone_path=tmp_path / "a.jpg", clock_offset_s=-36.5),
        pair("p-2", status="unpaired", reason="no_dslr_photo", detail="ünï"),
    ]
    write_rows(tmp_path / "pairs.parquet", Pair, rows)
    assert read_rows(tmp_path / "pairs.parquet", Pair) == rows


def test_tuples_of_numbers_come_back_as_tuples(tmp_path: Path) -> None:
    row = Alignment(
        pair_id="p",
        phone="p",
        scene_id="s",
        status="aligned",
        phone_path=tmp_path / "a.jpg",
        dslr_path=tmp_path / "b.jpg",
        phone_sha256="0",
        dslr_sha256="1",
        dslr_from_phone=(1.0, 0.1, 2.0, 0.0, 1.0, 3.0, 0.0, 1e-9, 1.0),
        crop_x=3,
        key="k",
    )
    write_rows(tmp_path / "a.parquet", Alignment, [row])
    assert read_rows(tmp_path / "a.parquet", Alignment) == [row]


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    write_rows(tmp_path / "pairs.parquet", Pair, [])
    assert read_rows(tmp_path / "pairs.parquet", Pair) == []
    assert len(read_frame(tmp_path / "pairs.parquet", Pair)) == 0


def test_rows_of_many_groups_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TableWriter, "ROWS_A_GROUP", 7)
    with TableWriter(tmp_path / "s.parquet", Score) as writer:
        for start in range(0, 40, 4):
            writer.write([score(str(index)) for index in range(start, start + 4)])
    assert pq.ParquetFile(tmp_path / "s.parquet").num_row_groups > 2
    assert [row.patch_id for row in read_rows(tmp_path / "s.parquet", Score)] == [str(index) for index in range(40)]


def test_infinite_scores_survive(tmp_path: Path) -> None:
    write_rows(tmp_path / "s.parquet", Score, [score("a", float("inf"))])
    assert read_rows(tmp_path / "s.parquet", Score)[0].psnr_before == float("inf")


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        write_rows(tmp_path / name, Pair, [pair(phone_path=tmp_path / "x.jpg")])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_undeclared_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    with pytest.raises(ValueError, match="'lost' is not a reason of pairs"):
        write_rows(path, Pair, [pair(status="unpaired", reason="lost")])
    with pytest.raises(ValueError, match="'maybe' is not a status of pairs"):
        write_rows(path, Pair, [pair(status="maybe")])
    assert names_in(tmp_path) == []


def test_a_frame_holds_the_wanted_columns_and_paths_that_open(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("here")
    write_rows(tmp_path / "t" / "pairs.parquet", Pair, [pair(phone_path=tmp_path / "a.jpg"), pair("p-2")])
    frame = read_frame(tmp_path / "t" / "pairs.parquet", Pair, ["pair_id", "phone_path"])
    assert list(frame.columns) == ["pair_id", "phone_path"]
    assert Path(frame["phone_path"][0]).read_text() == "here"
    assert pd.isna(frame["phone_path"][1])


# Paths


def test_paths_in_a_file_are_relative_with_forward_slashes(tmp_path: Path) -> None:
    write_rows(tmp_path / "out" / "pairs.parquet", Pair, [pair(phone_path=tmp_path / "photos" / "a.jpg")])
    assert pq.read_table(tmp_path / "out" / "pairs.parquet")["phone_path"].to_pylist() == ["../photos/a.jpg"]
    assert relative_path(tmp_path / "x", tmp_path) == "x"


def test_a_relative_path_is_usable_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("here")
    monkeypatch.chdir(tmp_path)
    write_rows(Path("out/pairs.parquet"), Pair, [pair(phone_path=Path("photos/a.jpg"))])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (row,) = read_rows(Path("../out/pairs.parquet"), Pair)
    assert row.phone_path is not None
    assert row.phone_path.read_text() == "here"


def test_a_tree_may_be_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new" / "home"
    (old / "photos").mkdir(parents=True)
    (old / "photos" / "a.jpg").write_text("here")
    write_rows(old / "out" / "pairs.parquet", Pair, [pair(phone_path=old / "photos" / "a.jpg")])
    new.parent.mkdir()
    old.rename(new)
    (row,) = read_rows(new / "out" / "pairs.parquet", Pair)
    assert row.phone_path is not None
    assert row.phone_path.read_text() == "here"


def test_a_table_in_a_linked_folder_names_its_files(tmp_path: Path) -> None:
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "deep")
    (tmp_path / "a.jpg").write_text("here")
    write_rows(tmp_path / "out" / "pairs.parquet", Pair, [pair(phone_path=tmp_path / "a.jpg")])
    (row,) = read_rows(tmp_path / "out" / "pairs.parquet", Pair)
    assert row.phone_path is not None
    assert row.phone_path.read_text() == "here"


# What cannot be read


def refused(path: Path, row_type: type = Sample) -> str:
    with pytest.raises(DpedtoolError) as error:
        read_rows(path, row_type)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_missing_table_names_the_remedy(tmp_path: Path) -> None:
    assert "run `dpedtool split` first" in refused(tmp_path / "none.parquet")


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    assert "not a readable parquet file" in refused(tmp_path / "x.parquet")


def test_a_damaged_table_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_rows(path, Score, [score(str(index)) for index in range(50)])
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        refused(path, Score)


def test_another_table_is_refused_and_the_missing_columns_named(tmp_path: Path) -> None:
    write_rows(tmp_path / "s.parquet", Score, [score("a")])
    message = refused(tmp_path / "s.parquet")
    assert "pair_id" in message
    assert "splits" in message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    table = pa.table({column.name: [1.0] for column in dataclasses.fields(Score) if column.name != "ms_ssim_after"})
    table = table.set_column(0, "patch_id", pa.array(["a"]))
    pq.write_table(table, tmp_path / "s.parquet")
    assert "it lacks ms_ssim_after" in refused(tmp_path / "s.parquet", Score)


def test_columns_of_a_later_version_are_left_alone(tmp_path: Path) -> None:
    write_rows(tmp_path / "s.parquet", Score, [score("a")])
    table = pq.read_table(tmp_path / "s.parquet").append_column("later", pa.array([1]))
    pq.write_table(table, tmp_path / "s.parquet")
    assert read_rows(tmp_path / "s.parquet", Score) == [score("a")]


# Digests


def test_a_digest_depends_on_the_values_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])


def test_the_sum_of_a_file_by_hand(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-4, example of SHA-256.
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_umask_is_put_back(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_json_that_is_nested_too_deeply_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(DpedtoolError, match=r"is damaged \(it is nested too deeply\)"):
        read_json(tmp_path / "a.json")


def test_what_arrow_cannot_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise pa.ArrowNotImplementedError("lists of lists are not built")

    write_rows(tmp_path / "pairs.parquet", Pair, [])
    monkeypatch.setattr(pq.ParquetFile, "read", read)
    with pytest.raises(DpedtoolError, match=r"is not a readable parquet file \(lists of lists are not built\)"):
        read_rows(tmp_path / "pairs.parquet", Pair)


def test_a_table_that_another_program_wrote_is_read_or_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    places = {"phone_offset": 512, "phone_bytes": 1, "dslr_offset": 1536, "dslr_bytes": 1}
    row = Sample(patch_id="p", pair_id="a", phone="a", scene_id="s", split="train", shard=tmp_path / "a.tar", **places)
    write_rows(path, Sample, [row, replace(row, patch_id="q")])
    table = pq.read_table(path)
    similar = table.set_column(
        table.column_names.index("phone_offset"), "phone_offset", table["phone_offset"].cast(pa.float64())
    )
    similar = similar.set_column(
        similar.column_names.index("patch_id"), "patch_id", similar["patch_id"].dictionary_encode()
    )
    pq.write_table(similar, path)
    assert read_rows(path, Sample)[0] == row
    others = {
        "column phone_offset holds other values .*parse string": ["a", "b"],
        "column phone_offset holds other values .*0.5": [0.5, 1.5],
        "column phone_offset holds other values .*list": [[1], [2]],
        "column phone_offset is empty in 1 rows": [1, None],
    }
    for words, values in others.items():
        changed = table.set_column(table.column_names.index("phone_offset"), "phone_offset", pa.array(values))
        pq.write_table(changed, path)
        for read in (read_rows, read_frame):
            with pytest.raises(DpedtoolError, match=words):
                read(path, Sample)


def test_a_table_of_far_too_many_rows_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"pair_id": pa.repeat("a", 20_000_001)}), path)
    assert path.stat().st_size < 1e6
    with pytest.raises(DpedtoolError, match="has 20000001 rows, more than any table"):
        read_frame(path, Pair, ["pair_id"])


def test_what_killed_processes_left_of_a_file_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    path = tmp_path / "some name[1].json"
    with replacing(path) as temporary:
        left = temporary.with_name(temporary.name.replace("json.", "json.left"))
        other = temporary.with_name(temporary.name.replace("name", "other"))
        for file in (left, other):
            file.touch()
        remove_leftovers_of(path)
        assert sorted(tmp_path.iterdir()) == sorted([temporary, other])
        remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == [temporary]
        temporary.write_text("{}")
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_of_results_is_removed_where_nobody_is_at_work(tmp_path: Path) -> None:
    folders = [tmp_path, tmp_path / "idle", tmp_path / "busy", tmp_path / "publishing"]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / ".t.parquet.abc.dpedtool-part").touch()
    (tmp_path / ".release.dpedtool-part").mkdir()
    (tmp_path / "publishing" / PUBLISHING).touch()
    lock = lock_folder(tmp_path / "busy")
    try:
        remove_abandoned(tmp_path)
    finally:
        os.close(lock)
    assert [any(path.is_file() for path in folder.glob(".*part")) for folder in folders] == [False, False, True, True]
    remove_abandoned(tmp_path / "missing" / "file.onnx")


def test_a_table_that_another_program_has_written_is_read_by_its_values(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_rows(path, Score, [score("a"), score("b")])
    rows = read_rows(path, Score)
    pd.read_parquet(path).astype({"patch_id": "category", "psnr_after": "int8"}).to_parquet(path)
    assert read_rows(path, Score) == rows
    pd.read_parquet(path).assign(psnr_after=["x", "2"]).to_parquet(path)
    with pytest.raises(DpedtoolError, match=r"^\S+scores\.parquet cannot be used, .* its column psnr_after holds"):
        read_rows(path, Score)
