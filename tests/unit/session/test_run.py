"""A session is checked in plain words before DVC runs, and what DVC says is explained."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import CapturesParams
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.commands.options import MAX_MEMORY
from dpedtool.pipeline.session import run as module
from dpedtool.pipeline.session.init import DEMO, set_up
from dpedtool.pipeline.session.run import LOGS, Checked, _follow, _Reader, check_session, run
from dpedtool.pipeline.signals import Stopped


@pytest.fixture(autouse=True)
def _dvc() -> None:
    pytest.importorskip("dvc", reason="DVC is not installed: install the extra `repro`")


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    set_up(tmp_path / "demo", DEMO, is_demo=True, with_dvc=False, with_git=False)
    return tmp_path / "demo"


def own(tmp_path: Path, *folders: str) -> Path:
    for name in folders:
        (tmp_path / "captures" / name).mkdir(parents=True)
    captures = CapturesParams(root=str(tmp_path / "captures"), reference="canon", phones=("iphone",))
    set_up(tmp_path / "own", captures, with_dvc=False, with_git=False)
    return tmp_path / "own"


def test_the_demo_is_ready_before_its_photos_are_there(demo: Path) -> None:
    session = check_session(demo)
    # code, captures, five stages of each of two phones, split, report, release
    assert session.count == 1 + 1 + 5 * 2 + 3
    assert session.stages["align"] == "the transform between the two photos of each pair"


def test_a_session_of_one_phone_is_ready(tmp_path: Path) -> None:
    assert check_session(own(tmp_path, "canon", "iphone")).count == 1 + 5 + 3


def test_no_session_is_said(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"There is no params\.yaml in .*: run `dpedtool init`"):
        check_session(tmp_path)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"There is no folder .*captures, which captures\.root"):
        check_session(own(tmp_path))
    for name in ("canon", "other"):
        (tmp_path / "captures" / name).mkdir(parents=True)
    with pytest.raises(DpedtoolError, match=r"has no folder iphone, .*: it holds canon, other"):
        check_session(tmp_path / "own")


def test_no_phone_and_a_damaged_recipe_are_said(demo: Path) -> None:
    (demo / "dvc.yaml").write_text("stages: 3")
    with pytest.raises(DpedtoolError, match=r"dvc\.yaml is damaged"):
        check_session(demo)
    (demo / "params.yaml").write_text("captures: {phones: []}")
    with pytest.raises(DpedtoolError, match="names no phone"):
        check_session(demo)


def read(demo: Path, *lines: str) -> tuple[_Reader, list[str]]:
    said: list[str] = []
    reader = _Reader(check_session(demo), said.append, io.StringIO())
    for line in lines:
        reader.take(line)
    return reader, said


def test_stages_are_counted_whether_they_run_or_not(demo: Path) -> None:
    reader, said = read(
        demo,
        "Stage 'pair@phone-a' didn't change, skipping",
        "\x1b[1mRunning stage 'align@phone-a':\x1b[0m",
        "Running stage 'demo/dvc.yaml:captures':",
    )
    assert said == [
        "Stage 2 of 15, align, phone-a: the transform between the two photos of each pair",
        "Stage 3 of 15, captures",
    ]
    assert reader.ran == ["align@phone-a", "captures"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ERROR: Unable to acquire lock. Most likely another DVC process is running", "Another DVC command"),
        ("ERROR: you are not inside of a DVC repository (checked up to mount point '/')", "has no DVC yet"),
        ("ERROR: /some/folder is not a git repository", "run `git init` here, or clone"),
        ("ERROR: failed to reproduce 'pair@x': failed to run: dpedtool --record ..., exited with 1", "says above"),
        (
            "ERROR: failed to reproduce 'align@x': failed to run: dpedtool --record ..., exited with -9",
            "killed the stage",
        ),
        ("ERROR: 'dvc.yaml' validation failed.", "cannot read its files"),
        ("[Errno 28] No space left on device", "The disk is full"),
    ],
)
def test_what_dvc_says_is_explained(demo: Path, line: str, words: str) -> None:
    reader, _ = read(demo, line)
    assert words in reader.failures[0]


def test_lines_come_in_order_and_bars_leave_their_last_state(demo: Path) -> None:
    shown: list[str] = []
    log = io.StringIO()
    reader = _Reader(check_session(demo), lambda line: shown.append(f"<{line.partition(',')[0]}>"), log)
    program = r"print('a\rb\rc'); print('Running stage \'split\':'); print('é', end='')"
    code = _follow([sys.executable, "-X", "utf8", "-c", program], demo, os.environ, reader, shown.append)
    assert code == 0
    assert "".join(shown) == "a\rb\rc\nRunning stage 'split':\n<Stage 1 of 15>é"
    assert log.getvalue() == "c\nRunning stage 'split':\né\n"


def test_without_a_dvc_repository_the_error_says_what_to_do(demo: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"has no DVC yet.* is in .*log"):
        run(check_session(demo), (), print, lambda _: None, force=False)


@pytest.mark.parametrize(("with_git", "words"), [(False, "--no-scm"), (True, "--subdir")])
def test_dvc_can_be_set_up_as_the_error_says(demo: Path, with_git: bool, words: str) -> None:
    if with_git:
        subprocess.run(["git", "init", "--quiet"], cwd=demo.parent, check=True)
    with pytest.raises(DpedtoolError, match=r"`dvc init --no-scm` .*`dvc init --subdir`"):
        run(check_session(demo), (), print, lambda _: None, force=False)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", words], cwd=demo, check=True)
    said: list[str] = []
    # The photos are not made here: this stage is named, and it lacks what the one before it makes.
    with contextlib.suppress(DpedtoolError):
        run(check_session(demo), ("code",), said.append, said.append, force=False)
    assert any("code" in line for line in said)
    assert not any("not inside of a DVC repository" in line for line in said)


def test_the_stages_see_the_limit_of_the_memory(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def follow(_: object, __: object, environment: Mapping[str, str], *___: object) -> int:
        seen.append(environment.get(MAX_MEMORY))
        return 0

    monkeypatch.setattr(module, "_follow", follow)
    monkeypatch.chdir(demo)
    for words in (["run"], ["run", "--max-memory", "2.5GiB"]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
    assert seen == [None, "2684354560B"]


def test_where_nothing_was_shown_the_error_has_the_last_lines(demo: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"(?s)not inside of a DVC repository.*has no DVC yet"):
        run(check_session(demo), (), print, lambda _: None, force=False, is_shown=False)


def test_what_is_said_after_an_interrupt_is_read_so_that_the_stage_can_end(demo: Path) -> None:
    log = io.StringIO()
    reader = _Reader(check_session(demo), print, log)
    pieces: list[str] = []

    def show(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 1:
            raise KeyboardInterrupt

    program = "print('first', flush=True); [print('x' * 1000) for _ in range(300)]; print('last')"
    with pytest.raises(KeyboardInterrupt):
        _follow([sys.executable, "-c", program], demo, os.environ, reader, show)
    assert log.getvalue().endswith("last\n")


@pytest.mark.usefixtures("heard_interrupts")
def test_a_stage_whose_run_is_stopped_by_another_program_is_interrupted(demo: Path) -> None:
    log = io.StringIO()
    reader = _Reader(check_session(demo), print, log)

    def show(piece: str) -> None:
        if piece.startswith("first"):
            raise Stopped(signal.SIGTERM)

    inner = "import time; print('first', flush=True); time.sleep(60)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with pytest.raises(Stopped, match=r"^Stopped by another program \(signal TERM\)\. What was finished is kept: "):
        _follow([sys.executable, "-c", program], demo, os.environ, reader, show)
    assert "KeyboardInterrupt" in log.getvalue()


def test_only_the_last_logs_are_kept(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (demo / LOGS).mkdir(parents=True)
    for number in range(30):
        (demo / LOGS / f"2020-01-01_00-00-{number:02}_1.log").write_text("")
    monkeypatch.setattr(module, "_follow", lambda *_: 0)
    ran, log = run(Checked(demo, check_session(demo).params, {}, 1), (), print, print, force=False)
    assert ran == []
    assert log.is_file()
    assert len(list((demo / LOGS).iterdir())) == module.LOGS_KEPT
