"""The benchmark of sessions that are disturbed: it spoils what it says, counts what is done and sees what differs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.interrupted import RUNS, _different, _finished, _spoil
from benchmarks.scale import write_session
from dpedtool.dataset.params import PairParams
from dpedtool.pipeline.pair.stage import pair_folders


def test_there_are_eleven_kills_and_two_full_disks() -> None:
    harms = [harm.what for runs in RUNS.values() for run in runs for harm in run]
    assert harms.count("disk") == 2
    assert len(harms) - harms.count("disk") == 11


def test_the_bad_pairs_are_bad(tmp_path: Path) -> None:
    write_session(tmp_path, 6)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.jpg")}
    assert _spoil(tmp_path, 6) == 6
    changed = [path for path, content in before.items() if not path.exists() or path.read_bytes() != content]
    assert sorted(path.stem for path in changed) == [f"{number:05d}" for number in range(6)]
    rows = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    assert {row.status for row in rows} == {"paired", "unpaired"}


def test_finished_pairs_are_counted_once_each(tmp_path: Path) -> None:
    assert _finished(tmp_path / "none") == 0
    for name in ("a.json", "a.timings.json", "b.json", "b.tar", ".b.json.part"):
        (tmp_path / name).touch()
    assert _finished(tmp_path) == 2


def test_files_that_differ_or_are_missing_are_named_and_times_are_not_compared(tmp_path: Path) -> None:
    for side in ("one", "other"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "same").write_text("same")
        (tmp_path / side / "differs").write_text(side)
        (tmp_path / side / "timings.parquet").write_text(side)
    (tmp_path / "one" / "alone").touch()
    assert _different(tmp_path / "one", tmp_path / "other") == ["alone", "differs"]
