"""What an interrupted run has finished is kept, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dataset.io import write_rows
from dataset.schema import Patch
from pipeline import resume
from pipeline.resume import Finished, work_off
from pipeline.runner import Lost


def row(item: str, key: str = "", reason: str = "low_ncc") -> Patch:
    return Patch(
        patch_id=item, pair_id=item, phone="p", scene_id="s", status="rejected", reason=reason, key=key or f"key-{item}"
    )


def work(item: str, done: list[str], stop_at: int = 99) -> list[Patch]:
    if len(done) == stop_at:
        raise KeyboardInterrupt
    done.append(item)
    return [row(item), row(f"{item}-second", f"key-{item}")]


def lost(item: str, detail: str) -> list[Patch]:
    return [row(f"{item} {detail}", f"key-{item}", "worker_lost")]


def off(table: Path, items: str, done: list[str], stop_at: int = 99) -> Finished[Patch]:
    finished = Finished(table, Patch)
    keyed = {f"key-{item}": item for item in items}
    work_off(keyed, partial(work, done=done, stop_at=stop_at), lost, finished, workers=1, label="test")
    return finished


def test_all_is_done_once(tmp_path: Path) -> None:
    done: list[str] = []
    finished = off(tmp_path / "t.parquet", "abc", done)
    assert done == ["a", "b", "c"]
    assert [found.patch_id for found in finished.get("key-b") or []] == ["b", "b-second"]
    assert finished.get("key-x") is None


def test_an_interrupted_run_keeps_what_it_finished_and_the_next_does_the_rest(tmp_path: Path) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        off(tmp_path / "t.parquet", "abcde", done, stop_at=2)
    assert done == ["a", "b"]
    finished = off(tmp_path / "t.parquet", "abcde", done)
    assert done == ["a", "b", "c", "d", "e"]
    assert all(len(finished.get(f"key-{item}") or []) == 2 for item in "abcde")


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


def test_what_is_forgotten_is_done_again_and_what_is_cleared_too(tmp_path: Path) -> None:
    done: list[str] = []
    finished = off(tmp_path / "t.parquet", "ab", done)
    finished.forget("key-a")
    off(tmp_path / "t.parquet", "ab", done)
    finished.clear()
    assert not finished.parts.exists()
    off(tmp_path / "t.parquet", "ab", done)
    assert done == ["a", "b", "a", "a", "b"]


def test_an_item_without_rows_is_finished_too(tmp_path: Path) -> None:
    finished = Finished(tmp_path / "t.parquet", Patch)
    finished.save("key-a", [])
    assert finished.get("key-a") == []


def kill(monkeypatch: pytest.MonkeyPatch, victims: str) -> None:
    real = resume.run

    def run(function: object, items: list[tuple[str, str]], workers: int) -> Iterator[tuple[object, object]]:
        for item, result in real(function, items, workers):
            yield item, Lost("killed") if item[1] in victims else result

    monkeypatch.setattr(resume, "run", run)


def test_a_killed_item_is_a_row_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(monkeypatch, "b")
    finished = off(tmp_path / "t.parquet", "abc", [])
    assert [(found.patch_id, found.reason) for found in finished.get("key-b") or []] == [("b killed", "worker_lost")]
    assert [found.reason for found in finished.get("key-c") or []] == ["low_ncc", "low_ncc"]


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_killed_item_is_tried_again_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    table = tmp_path / "t.parquet"
    with monkeypatch.context() as patched:
        kill(patched, "b")
        finished = off(table, "ab", [])
    if not interrupted:
        write_rows(table, Patch, [found for item in "ab" for found in finished.get(f"key-{item}") or []])
        finished.clear()
    done: list[str] = []
    off(table, "ab", done)
    assert done == ["b"]
