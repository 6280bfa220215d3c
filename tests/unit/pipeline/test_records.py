"""Records of what a command took; only a command that ends well has one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from release_rig import write_release

from dpedtool.dataset.io import read_json
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.records import make_room, recording
from dpedtool.pipeline.runner import default_workers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
FIELDS = {"command", "wall_s", "cpu_s", "memory_mb", "processors", "finished", "versions", "platform"}
SPIN_S = 0.5
WORK = f"""
import sys, time
from pathlib import Path
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.records import recording
from dpedtool.pipeline.runner import run

def spin(item):
    begin = time.process_time()
    while time.process_time() < begin + {SPIN_S}:
        pass
    ballast = bytearray(400_000_000) if item == 0 else None
    return item

if __name__ == "__main__":
    with recording(Path(sys.argv[1]), "spin"):
        assert len(list(run(spin, range(4), workers=2))) == 4
    print(time.process_time())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records" / "command.json"


def dpedtool(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_command_that_ends_well_is_recorded(file: Path) -> None:
    assert dpedtool("--record", file, "params").exit_code == 0
    record = read_json(file)
    assert set(record) == FIELDS
    assert record["command"] == "params"
    assert record["processors"] == default_workers()
    finished = datetime.fromisoformat(record["finished"])
    assert finished.microsecond == 0
    assert abs((datetime.now(UTC) - finished).total_seconds()) < 60
    assert record["versions"].keys() == {"dpedtool", "python", "numpy", "opencv", "torch", "dask", "pandas"}
    assert record["versions"]["python"] == platform.python_version()


def test_a_record_names_neither_the_machine_nor_its_folders(file: Path) -> None:
    dpedtool("--record", file, "params")
    text = file.read_text(encoding="utf-8")
    assert platform.node() not in text.replace(read_json(file)["platform"], "")
    assert str(Path.home()) not in text
    assert str(file.parent) not in text


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak of a process is known less well")
def test_what_the_workers_took_is_in_it(file: Path, tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORK, encoding="utf-8")
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, script, file],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    took, own_s, record = time.monotonic() - begin, float(done.stdout), read_json(file)
    # The time is printed a moment later; other processes did four items of half a second each.
    assert record["cpu_s"] > own_s - 0.2 + 4 * SPIN_S
    # Two at a time, and processes start on a tick of the clock.
    assert 2 * SPIN_S < record["wall_s"] < took + 0.05
    assert 400 < record["memory_mb"] < 1500


def test_a_command_of_a_group_has_both_names(file: Path, tmp_path: Path) -> None:
    release = write_release(tmp_path / "release")
    assert dpedtool("--record", file, "release", "verify", release, "--workers", 1).exit_code == 0
    assert read_json(file)["command"] == "release verify"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["split", "--verify", "nowhere"], 1),
        (["params", "-S", "align.ratio=7"], 2),
        (["params", "--no-such-option"], 2),
        (["no-such-command"], 2),
    ],
)
def test_of_a_command_that_fails_nothing_stands(file: Path, arguments: list[str], code: int) -> None:
    dpedtool("--record", file, "params")
    assert dpedtool("--record", file, *arguments).exit_code == code
    assert not file.exists()


def test_what_is_not_proven_is_not_recorded(file: Path, make_samples: Callable[..., Path], tmp_path: Path) -> None:
    table = make_samples(tmp_path / "samples", {"train": 2, "test": 2})
    assert dpedtool("--record", file, "split", "--verify", table.parent).exit_code == 3
    assert not file.exists()


def test_an_interrupted_command_is_not_recorded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> str:
        raise KeyboardInterrupt

    dpedtool("--record", file, "params")
    monkeypatch.setattr("dpedtool.pipeline.commands.params.as_yaml", interrupt)
    assert dpedtool("--record", file, "params").exit_code == 130
    assert not file.exists()


@pytest.mark.parametrize("arguments", [["--help"], ["params", "--help"], ["release", "-h"], ["release", "build", "-h"]])
def test_help_is_no_run(file: Path, arguments: list[str]) -> None:
    assert dpedtool("--record", file, *arguments).exit_code == 0
    assert not file.exists()
    dpedtool("--record", file, "params")
    before = file.read_bytes()
    assert dpedtool("--record", file, *arguments).exit_code == 0
    assert file.read_bytes() == before


def test_nothing_but_a_record_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("align: {}")
    done = dpedtool("--record", tmp_path / "params.yaml", "params")
    assert done.exit_code == 1
    assert "is not a record of a command" in done.stderr
    assert (tmp_path / "params.yaml").read_text() == "align: {}"


def test_what_the_command_itself_wrote_there_is_not_replaced(tmp_path: Path) -> None:
    pair = Pair(pair_id="p--1", phone="p", status="unpaired", reason="no_dslr_photo", phone_path=Path("p/1.jpg"))
    write_rows(Pair.table_in(tmp_path / "results" / "pairs" / "p"), Pair, [pair])
    file = tmp_path / "report" / "report.json"
    done = dpedtool("--record", file, "report", tmp_path / "results", "-o", file.parent, "--no-pictures")
    assert done.exit_code == 1
    assert "is not a record of a command" in done.stderr
    assert "said" in file.read_text()


def test_a_place_that_cannot_be_written_is_found_out_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("dpedtool.pipeline.commands.params.as_yaml", lambda _: pytest.fail("the command has begun"))
    done = dpedtool("--record", tmp_path / "file" / "record.json", "params")
    assert done.exit_code == 1
    assert "file" in done.stderr


def test_of_several_processes_of_one_training_the_first_writes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recording(file, "train"):
        pass
    before = file.read_bytes()
    monkeypatch.setenv("RANK", "1")
    make_room(file)
    with recording(file, "train"):
        pass
    assert file.read_bytes() == before
