"""The finished work of an interrupted run is kept, and nothing else is."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import replacing
from dpedtool.dataset.schema import Frame, Patch
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline import resume
from dpedtool.pipeline.resume import Finished, work_off
from dpedtool.pipeline.runner import Lost


def row(item: str, key: str = "", reason: str = "low_ncc") -> Patch:
    photos = {"phone_path": Path("p.jpg"), "dslr_path": Path("d.jpg"), "phone_sha256": "1", "dslr_sha256": "2"}
    return Patch(
        patch_id=item,
        pair_id=item,
        phone="p",
        scene_id="s",
        status="rejected",
        reason=reason,
        params_sha256="0",
        key=key or f"key-{item}",
        **photos,
    )


def work(item: str, done: list[str], stop_at: int = 99) -> list[Patch]:
    if len(done) == stop_at:
        raise KeyboardInterrupt
    done.append(item)
    return [row(item), row(f"{item}-second", f"key-{item}")]


def lost(item: str, how: Lost) -> list[Patch]:
    return [replace(row(item, f"key-{item}", how.reason), detail=how.detail)]


def off(table: Path, items: str, done: list[str], stop_at: int = 99) -> Finished[Patch]:
    keyed = {f"key-{item}": item for item in items}
    with Finished(table, Patch) as finished:
        work_off(keyed, partial(work, done=done, stop_at=stop_at), lost, finished, workers=1, label="test")
        return finished


def test_all_is_done_once(tmp_path: Path) -> None:
    done: list[str] = []
    finished = off(tmp_path / "t.parquet", "abc", done)
    assert done == ["a", "b", "c"]
    assert [found.patch_id for found in finished.get("key-b")] == ["b", "b-second"]
    assert finished.get("key-x") == []


def test_an_interrupted_run_keeps_what_it_finished_and_the_next_does_the_rest(tmp_path: Path) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        off(tmp_path / "t.parquet", "abcde", done, stop_at=2)
    assert done == ["a", "b"]
    finished = off(tmp_path / "t.parquet", "abcde", done)
    assert done == ["a", "b", "c", "d", "e"]
    assert all(len(finished.get(f"key-{item}")) == 2 for item in "abcde")


def test_the_last_tables_rows_are_taken_over_and_those_of_other_keys_are_not(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.parquet", Patch, [row("a"), row("b", key="another")])
    done: list[str] = []
    off(tmp_path / "t.parquet", "ab", done)
    assert done == ["b"]


def test_a_table_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("no table")
    done: list[str] = []
    off(tmp_path / "t.parquet", "a", done)
    assert done == ["a"]


def test_what_is_cleared_is_done_again(tmp_path: Path) -> None:
    done: list[str] = []
    finished = off(tmp_path / "t.parquet", "ab", done)
    finished.clear()
    assert not finished.parts.exists()
    off(tmp_path / "t.parquet", "ab", done)
    assert done == ["a", "b", "a", "b"]


def test_rows_whose_files_are_gone_are_made_again(tmp_path: Path) -> None:
    done: list[str] = []
    off(tmp_path / "t.parquet", "ab", done)
    with Finished(tmp_path / "t.parquet", Patch) as finished:
        usable = partial(lambda rows: rows[0].pair_id != "b")
        keyed = {f"key-{item}": item for item in "ab"}
        work_off(keyed, partial(work, done=done), lost, finished, usable=usable, workers=1, label="test")
    assert done == ["a", "b", "b"]


@pytest.mark.parametrize("reason", sorted(Patch.RETRIED))
def test_what_is_not_in_the_data_is_tried_again(tmp_path: Path, reason: str) -> None:
    write_rows(tmp_path / "t.parquet", Patch, [row("a", reason=reason), row("b")])
    done: list[str] = []
    off(tmp_path / "t.parquet", "ab", done)
    assert done == ["a"]


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    first, second = (Finished(tmp_path / "t.parquet", Patch) for _ in range(2))
    with first, pytest.raises(DpedtoolError, match="Another run is writing"):
        second.__enter__()
    with second:
        pass


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    with replacing(tmp_path / "sub" / "file.png") as temporary:
        name = temporary.name
    (tmp_path / "sub" / "file.png").unlink()
    for folder in (tmp_path, tmp_path / "sub"):
        (folder / name).touch()
        (folder / ".mine").touch()
    with Finished(tmp_path / "t.parquet", Patch):
        pass
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [".mine", "sub", "sub/.mine"]


def test_an_unexpected_error_costs_its_item_and_is_told(tmp_path: Path) -> None:
    def fail(item: str) -> list[Patch]:
        if item == "b":
            raise ZeroDivisionError("a bug")
        return [row(item)]

    with Finished(tmp_path / "t.parquet", Patch) as finished:
        work_off({f"key-{item}": item for item in "abc"}, fail, lost, finished, workers=1, label="test")
        (found,) = finished.get("key-b")
        assert found.reason == "internal_error"
        assert "ZeroDivisionError: a bug" in found.detail
        assert [len(finished.get(f"key-{item}")) for item in "ac"] == [1, 1]


def kill(monkeypatch: pytest.MonkeyPatch, victims: str) -> None:
    real = resume.run

    def run(
        function: object, items: list[tuple[str, str]], workers: int, **where: object
    ) -> Iterator[tuple[object, object]]:
        for item, result in real(function, items, workers, **where):
            yield item, Lost("worker_lost", "killed") if item[1] in victims else result

    monkeypatch.setattr(resume, "run", run)


def test_a_killed_item_is_a_row_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(monkeypatch, "b")
    finished = off(tmp_path / "t.parquet", "abc", [])
    assert [(found.detail, found.reason) for found in finished.get("key-b")] == [("killed", "worker_lost")]
    assert [found.reason for found in finished.get("key-c")] == ["low_ncc", "low_ncc"]


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_killed_item_is_tried_again_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    table = tmp_path / "t.parquet"
    with monkeypatch.context() as patched:
        kill(patched, "b")
        finished = off(table, "ab", [])
    if not interrupted:
        write_rows(table, Patch, [found for item in "ab" for found in finished.get(f"key-{item}")])
        finished.clear()
    done: list[str] = []
    off(table, "ab", done)
    assert done == ["b"]


def test_the_cluster_and_what_its_workers_must_see_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(resume, "run", lambda *_, **where: asked.update(where) or (each for each in ()))
    photos = [tmp_path / "phone" / "1.jpg", tmp_path / "phone" / "2.jpg", tmp_path / "dslr" / "1.jpg"]
    with Finished(tmp_path / "out" / "t.parquet", Patch) as finished:
        work_off({}, work, lost, finished, reads=photos, workers=1, scheduler="tcp://host:1", label="test")
    assert list(asked.pop("files")) == photos[1:]
    assert asked == {"scheduler": "tcp://host:1", "folder": tmp_path / "out"}


def test_an_interrupt_in_the_loop_ends_the_work_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the error refers to, such as the loop, does not keep the workers alive."""
    ended = []

    def run(*_: object, **__: object) -> Iterator[tuple[tuple[str, str], list[Patch]]]:
        try:
            yield ("key-a", "a"), [row("a")]
        finally:
            ended.append(True)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(resume, "run", run)
    with Finished(tmp_path / "t.parquet", Patch) as finished:
        monkeypatch.setattr(finished, "save", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            work_off({"key-a": "a"}, work, lost, finished, workers=1, label="test")
        assert ended == [True]
    assert caught.value.__traceback__ is not None


def test_a_run_that_left_nothing_can_be_followed_by_another(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.parquet", Patch, [])
    with Finished(tmp_path / "t.parquet", Patch) as finished:
        assert finished.get("key") == []


def test_rows_of_an_item_are_kept_exactly(tmp_path: Path) -> None:
    here = {"phone_path": tmp_path / "p.jpg", "dslr_path": tmp_path / "d.jpg"}
    rows = [replace(row("a"), detail="with \u00e4", ncc=0.1 + 0.2, **here), replace(row("b", "key-a"), **here)]
    with Finished(tmp_path / "t.parquet", Patch) as finished:
        finished.save("key-a", rows)
        found = finished.get("key-a")
    assert [one.phone_path.resolve() for one in found] == 2 * [here["phone_path"].resolve()]
    assert [replace(one, **here) for one in found] == rows


def test_columns_are_looked_up_once_and_not_for_each_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their types took a fifth of the time that the main process has for a pair."""
    asked, real = [], typing.get_type_hints
    monkeypatch.setattr(typing, "get_type_hints", lambda *of, **how: asked.append(of) or real(*of, **how))
    with Finished(tmp_path / "t.parquet", Patch) as finished:
        for item in "abc":
            finished.save(f"key-{item}", [row(item)])
            assert finished.is_done(f"key-{item}")
    assert len(asked) <= 1


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    with Finished(tmp_path / "t.parquet", Patch) as finished:
        finished.save("key-a", [row("a")])
        (part,) = finished.parts.iterdir()
        part.write_bytes(b"")
        with pytest.raises(DpedtoolError, match=re.escape(f"{part} cannot be used")):
            finished.get("key-a")


def test_a_part_of_another_table_is_refused(tmp_path: Path) -> None:
    with Finished(tmp_path / "t.parquet", Patch) as finished:
        finished.save("key-a", [row("a")])
    with (
        Finished(tmp_path / "t.parquet", Frame) as finished,
        pytest.raises(DpedtoolError, match="holds no rows of frames"),
    ):
        finished.get("key-a")
