"""Run a session: check it in plain words, then let DVC run what has to run."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import importlib.util
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

import psutil

from dpedtool.dataset.bounded_yaml import UNUSABLE, load_yaml
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import lock_folder
from dpedtool.dataset.params import Params
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.places import is_url, printable
from dpedtool.dataset.regular_files import read_regular_text
from dpedtool.pipeline.signals import Stopped

PARAMS, RECIPE, REPORT = "params.yaml", "dvc.yaml", "results/report/report.html"
LOGS = ".dpedtool/logs"
LOGS_KEPT = 20
LAST_LINES = 12
"""Of the output, which an error has where nothing was shown."""

_SIMULATED = "demo/captures"
_STAGE = re.compile(r"(?:Running stage '(?P<run>[^']+)'|Stage '(?P<skip>[^']+)' (?:didn't change|is cached))")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

EXPLAINED: Mapping[str, str] = {
    r"Unable to acquire lock|is busy, it is being blocked": "Another DVC command is at work in this session: wait "
    "until it has ended, then run again. Only if none is, as after a crash, remove .dvc/tmp/lock and .dvc/tmp/rwlock.",
    r"you are not inside of a DVC repository": "This folder has no DVC yet: run `dvc init` here, or `dvc init "
    "--no-scm` without git, or `dvc init --subdir` where the folder lies inside a git repository.",
    r" is not a git repository": "This folder is no git repository, which DVC needs, as after an archive was "
    "unpacked: run `git init` here, or clone the repository.",
    r"dvc\.yaml' (?:is invalid|validation failed)": "DVC cannot read its files: restore dvc.yaml, for example by "
    "`git checkout dvc.yaml`.",
    r"dvc\.lock' (?:is invalid|validation failed)|YAML file structure is corrupted": "DVC cannot read its files: "
    "restore dvc.yaml and dvc.lock, for example by `git checkout`, or remove dvc.lock, which costs a run of every "
    "stage.",
    r"<<<<<<<|merge conflict": "dvc.lock holds a merge conflict: solve it, or remove dvc.lock, which costs a run of "
    "every stage.",
    r"No space left on device": "The disk is full. What was finished is kept: make room and run again.",
    r"exited with -9|exited with 137": "The system killed the stage, most often because the memory ran out: close "
    "other programs, or use fewer workers.",
    r"failed to run: dpedtool": "The stage says above what is wrong. What was finished is kept: fix it and run again.",
    r"is already tracked by SCM": "git tracks a file that DVC makes: run `git rm -r --cached FILE` for the file that "
    "is named above.",
}
"""What DVC says when it fails (a pattern), and what it means for the user."""


@dataclass
class Checked:
    """A session that can be run."""

    folder: Path
    params: Params
    stages: Mapping[str, str]
    """What each stage does, by its name, in the order of the recipe."""
    count: int
    """Of the stages that DVC will look at, each phone's counted."""


def check_session(folder: Path) -> Checked:
    """Check the files, parameters and photos of a session.

    Raises
    ------
    DpedtoolError
        Something is missing or wrong: the message says what to do.

    """
    for name in (PARAMS, RECIPE):
        if not (folder / name).is_file():
            raise DpedtoolError(
                f"There is no {name} in {printable(folder.resolve())}: run `dpedtool init` to make a session, then "
                "`dpedtool run` in its folder."
            )
    if importlib.util.find_spec("dvc") is None:
        raise DpedtoolError("DVC is not installed: pip install dvc.")
    params = load_params(folder / PARAMS)
    _check_captures(folder, params)
    stages = _stages(folder / RECIPE)
    each = max(1, len(params.captures.phones))
    count = sum(each if has_matrix else 1 for _, has_matrix in stages.values())
    is_simulated = Path(params.captures.root) == folder / _SIMULATED
    return Checked(folder, params, {name: text for name, (text, _) in stages.items()}, count + is_simulated)


def _check_captures(folder: Path, params: Params) -> None:
    captures = params.captures
    if not captures.phones:
        raise DpedtoolError(f"{PARAMS} names no phone: list the phones' folders in captures.phones.")
    root = Path(captures.root)
    if is_url(captures.root) or root == folder / _SIMULATED:
        return
    if not root.is_dir():
        raise DpedtoolError(f"There is no folder {printable(root)}, which captures.root in {PARAMS} names.")
    _check_folders(root, captures.sessions or (captures.reference, *captures.references, *captures.phones))
    for session in captures.sessions:
        _check_folders(root / session, (captures.reference,))


def _check_folders(place: Path, names: Sequence[str]) -> None:
    if missing := [name for name in names if not (place / name).is_dir()]:
        there = sorted(printable(Path(path.name)) for path in place.iterdir() if path.is_dir())
        raise DpedtoolError(
            f"{printable(place)} has no folder {' and no folder '.join(missing)}, which captures in {PARAMS} names: it "
            f"holds {', '.join(there) or 'no folder'}."
        )


def _stages(recipe: Path) -> dict[str, tuple[str, bool]]:
    """What each stage does and whether it runs once a phone."""
    try:
        stages = load_yaml(read_regular_text(recipe))["stages"]
        return {name: (str(stage.get("desc", name)), "matrix" in stage) for name, stage in stages.items()}
    except (OSError, *UNUSABLE):
        raise DpedtoolError(f"{RECIPE} is damaged: restore it, for example by `git checkout {RECIPE}`.") from None


@dataclass
class _Reader:
    """Reads what DVC says, line by line, and puts in how far the run is."""

    session: Checked
    say: Callable[[str], None]
    log: IO[str]
    done: int = 0
    ran: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))

    def take(self, line: str) -> None:
        """Take note of a whole line, which has been shown already."""
        plain = _COLOURS.sub("", line).rstrip()
        self.log.write(f"{plain}\n")
        self.log.flush()
        self.last.append(plain)
        self.failures += [words for pattern, words in EXPLAINED.items() if re.search(pattern, plain)]
        if not (found := _STAGE.search(plain)):
            return
        self.done += 1
        name = (found["run"] or found["skip"]).rpartition(":")[2]
        if found["run"]:
            self.ran.append(name)
            what = self.session.stages.get(name.partition("@")[0], "")
            count = max(self.done, self.session.count)
            self.say(f"Stage {self.done} of {count}, {name.replace('@', ', ')}{f': {what}' if what else ''}")


def run(
    session: Checked,
    stages: Sequence[str],
    say: Callable[[str], None],
    show: Callable[[str], None],
    *,
    force: bool,
    is_shown: bool = True,
    variables: Mapping[str, str] | None = None,
) -> tuple[list[str], Path]:
    """Let DVC run the stages that have to run.

    Parameters
    ----------
    session
        As `check_session` found it.
    stages
        The stages to run, and what they need; all of them where none is named.
    say
        Is given a line for each stage that runs.
    show
        Is given what DVC and the stages print, as it comes.
    force
        Run stages even where nothing has changed.
    is_shown
        Whether the user sees what `show` is given. Otherwise an error has the last lines.
    variables
        Environment variables that the stages see, beside those of this process.

    Returns
    -------
    tuple
        The stages that ran, and the log file.

    Raises
    ------
    DpedtoolError
        A stage or DVC failed, or another run is at work in the session.

    """
    log = _new_log(session.folder)
    lock = _locked(log.parent)
    try:
        return _run(session, stages, say, show, log, force=force, is_shown=is_shown, variables=variables or {})
    finally:
        os.close(lock)


def _locked(logs: Path) -> int:
    try:
        return lock_folder(logs)
    except DpedtoolError:
        raise DpedtoolError(
            "Another `dpedtool run` is at work in this session: wait until it has ended, then run again."
        ) from None


def _run(
    session: Checked,
    stages: Sequence[str],
    say: Callable[[str], None],
    show: Callable[[str], None],
    log: Path,
    *,
    force: bool,
    is_shown: bool,
    variables: Mapping[str, str],
) -> tuple[list[str], Path]:
    command = [sys.executable, "-m", "dvc", "repro", *(["--force"] if force else []), *stages]
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with log.open("w", encoding="utf-8") as file:
        reader = _Reader(session, say, file)
        code = _follow(command, session.folder, {**os.environ, "PATH": programs, **variables}, reader, show)
    if code:
        words = next(iter(dict.fromkeys(reader.failures)), "DVC says above what went wrong.")
        words = words if is_shown else "\n".join([*reader.last, words])
        raise DpedtoolError(f"{words} All that was printed is in {printable(log)}.")
    return reader.ran, log


def _follow(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], reader: _Reader, show: Callable[[str], None]
) -> int:
    """Run a command and pass on what it prints; in a terminal it has one too, so that its bars move."""
    with _output(sys.stderr.isatty()) as (reading, writing):
        process = subprocess.Popen(  # noqa: S603 - our own words
            command, cwd=folder, env=environment, stdout=writing, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        os.close(writing)
        line, interrupt = "", None
        texts = _read(reading, process)
        while True:
            try:
                text = next(texts, None)
                if text is None:
                    break
                for piece in text.splitlines(keepends=True):
                    show(piece)
                    line += piece
                    if piece.endswith("\n"):
                        # A bar draws itself again and again in one line; the last drawing counts.
                        reader.take(line.rstrip("\r\n").rpartition("\r")[2])
                        line = ""
            except KeyboardInterrupt as caught:
                # A terminal has interrupted the stage as well. It ends by itself and keeps what it has, if somebody
                # reads what it says.
                interrupt, texts = caught, _read(reading, process)
                if isinstance(caught, Stopped) and caught.number != signal.SIGINT:
                    _interrupt(process.pid)
        if line:
            reader.take(line)
        if interrupt:
            process.wait()
            raise interrupt
        return process.wait()


def _interrupt(process_id: int) -> None:
    """Interrupt a process and all that it has started, as a terminal does; the others have not got this signal."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        for each in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGINT)


@contextlib.contextmanager
def _output(in_terminal: bool) -> Iterator[tuple[int, int]]:
    reading, writing = pty.openpty() if in_terminal else os.pipe()
    if in_terminal:
        size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(writing, termios.TIOCSWINSZ, size)
    try:
        yield reading, writing
    finally:
        os.close(reading)


def _read(reading: int, process: subprocess.Popen[bytes]) -> Iterator[str]:
    # A letter may come in two pieces.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        ready, _, _ = select.select([reading], [], [], 1)
        if not ready:
            if process.poll() is not None:
                return
            continue
        try:
            chunk = os.read(reading, 65536)
        except OSError:
            # So a terminal of its own ends on Linux.
            return
        if not chunk:
            return
        yield decoder.decode(chunk)


def _new_log(folder: Path) -> Path:
    logs = folder / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    for old in sorted(logs.glob("*.log"))[: 1 - LOGS_KEPT or None]:
        old.unlink(missing_ok=True)
    return logs / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{os.getpid()}.log"
