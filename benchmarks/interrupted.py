"""A session with bad files is killed eleven times and runs out of disk: does it end as an undisturbed one does?

    python -m benchmarks.interrupted --scratch DIR         # make bench-interrupted: 4000 pairs
    python -m benchmarks.interrupted --quick               # a quick look with 40 pairs

One in a hundred pairs is bad. The session is made twice from the same photos: once undisturbed, and once with kills
of all its processes, of the main one, and of workers, at fixed shares of the work. With `--fill`, the disk of DIR gets
full twice as well: name a file system of its own, of 10 GB for 4000 pairs, as the benchmark fills it. The program exits
with 1 if a file of the results differs. It prints a Markdown table and writes it to interrupted.md next to this file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import psutil

from benchmarks.output import FOLDER, leave, say, versions
from benchmarks.scale import Command, Stage, commands, measured, write_session
from benchmarks.table import markdown
from benchmarks.usage import ROOT

PAIRS = 4000
QUICK = 40
ONE_BAD_IN = 100
STAGES = ("pair", "align", "patches", "split", "release build")
WITHOUT_TIMES = "timings.parquet"
"""This file says how long pairs took, which differs from run to run."""


@dataclass(frozen=True)
class Harm:
    """What happens to a stage when a share of its work is done."""

    at: float
    """Share of the pairs, or of the files of stages that are not done pair by pair."""
    what: str
    """`all`, `main` or `worker` is killed, or the `disk` is full. A run goes on after the loss of a worker."""


RUNS: dict[str, list[list[Harm]]] = {
    "align": [
        [Harm(0.05, "all")],
        [Harm(0.15, "worker"), Harm(0.3, "main")],
        [Harm(0.4, "disk")],
        [Harm(0.6, "worker"), Harm(0.8, "all")],
    ],
    "patches": [
        [Harm(0.1, "main")],
        [Harm(0.3, "all")],
        [Harm(0.4, "disk")],
        [Harm(0.6, "worker"), Harm(0.9, "all")],
    ],
    "split": [[Harm(0.5, "all")]],
    "release build": [[Harm(0.5, "all")]],
}
"""The runs of each stage before the one that may end; there are eleven kills and two full disks in all."""


@dataclass(frozen=True)
class Happened:
    """What was done to a run of a stage, and how it ended."""

    stage: str
    what: str
    done: int
    """Pairs that were finished, or files that were there."""
    code: int
    """Exit status; negative: the signal."""
    last_words: str
    """The last line on the error stream."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    pairs = options.pairs or (QUICK if options.quick else PAIRS)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        photos = Path(scratch)
        say(f"making {pairs} pairs of photos")
        write_session(photos, pairs)
        bad = _spoil(photos, pairs)
        # Sentences about photos contain paths, so that both sessions are made in the same place.
        before, after = photos / "undisturbed", photos / "out"
        stages = [measured(command, pairs) for command in _of_session(photos, after)]
        after.rename(before)
        happened: list[Happened] = []
        for command, stage in zip(_of_session(photos, after), stages, strict=True):
            for harms in RUNS.get(command.name, ()):
                if harms[-1].what != "disk" or options.fill:
                    done = _disturbed(command, harms, pairs, stage.files)
                    happened.append(replace(done, last_words=done.last_words.replace(scratch, "SESSION")))
                    say(f"  {happened[-1]}")
            measured(command, pairs)
        different = _different(before, after)
    text = _as_markdown(pairs, bad, stages, happened, different)
    leave(options.out, "interrupted", text, {"stages": [dataclasses.asdict(stage) for stage in stages]})
    sys.exit(bool(different))


def _of_session(photos: Path, out: Path) -> list[Command]:
    return [command for command in commands(photos, out) if command.name in STAGES]


def _spoil(folder: Path, pairs: int) -> int:
    """Make one pair in a hundred bad, each in another way, and return their number."""
    bad = range(ONE_BAD_IN // 2, pairs, ONE_BAD_IN) if pairs >= ONE_BAD_IN else range(0, pairs, pairs // 6)
    for turn, number in enumerate(bad):
        phone, dslr = (folder / camera / f"{number:05d}.jpg" for camera in ("phone", "dslr"))
        content = phone.read_bytes()
        match turn % 6:
            case 0:
                phone.write_bytes(content[: len(content) // 2])
            case 1:
                dslr.write_bytes(b"")
            case 2:
                phone.write_text("This file holds text, and not a photo.")
            case 3:
                dslr.unlink()
            case 4:
                shutil.copy(folder / "dslr" / f"{(number + 1) % pairs:05d}.jpg", dslr)
            case _:
                damaged = bytearray(content)
                damaged[13::97] = bytes(byte ^ 0x5A for byte in damaged[13::97])
                phone.write_bytes(damaged)
    return len(bad)


def _disturbed(command: Command, harms: Sequence[Harm], pairs: int, files: int) -> Happened:
    """Run the command of a stage, do each harm at its time, and wait for the end of all its processes.

    `files` is the number of files that the undisturbed stage has left.
    """
    parts, before = command.left / ".parts", _files(command.left.parent)
    by_pairs = command.name in ("align", "patches")
    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as ballast:
        main = psutil.Popen(command.words, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)
        for harm in harms:
            while (_finished(parts) / pairs if by_pairs else (_files(command.left.parent) - before) / files) < harm.at:
                if main.poll() is not None:
                    return Happened(command.name, "ended before", files, int(main.returncode), _last_line(said))
                time.sleep(0.02)
            done = _finished(parts) if by_pairs else _files(command.left.parent) - before
            if harm.what == "disk":
                ballast.enter_context(_full(command.left))
            else:
                _kill(main, harm.what)
        main.wait()
        # Workers notice by themselves that their main process is gone.
        _wait_for_group(main.pid)
        what = ", ".join(f"{harm.what} at {harm.at:.0%}" for harm in harms)
        return Happened(command.name, what, done, int(main.returncode), _last_line(said))


def _files(folder: Path) -> int:
    """Return the number of files below a folder, hidden ones too; files may come and go meanwhile."""
    return sum(len(names) for _, _, names in os.walk(folder))


def _finished(parts: Path) -> int:
    """Return the number of pairs that an unfinished stage has kept; pairs have up to three files each."""
    if not parts.is_dir():
        return 0
    return sum(part.name.count(".") == 1 and part.suffix == ".json" for part in parts.iterdir())


def _kill(main: psutil.Popen, what: str) -> None:
    if what == "all":
        os.killpg(main.pid, signal.SIGKILL)
    elif what == "main":
        main.kill()
    else:
        while not (below := main.children(recursive=True)):
            if main.poll() is not None:
                sys.exit("A run ended before one of its workers could be killed.")
            time.sleep(0.02)
        # The workers are the processes that work most.
        max(below, key=_cpu_s).kill()


def _cpu_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _wait_for_group(group: int) -> None:
    for _ in range(1200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    sys.exit("Processes were left two minutes after their main process was killed.")


@contextlib.contextmanager
def _full(folder: Path) -> Iterator[None]:
    """Fill the file system of a folder, and make room again."""
    ballast = folder.parent / "ballast"
    size, step = 0, shutil.disk_usage(folder).free
    try:
        with ballast.open("wb") as file:
            while step >= 2**12:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
                except OSError:
                    step //= 2
        yield
    finally:
        ballast.unlink()


def _last_line(said: BinaryIO) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _different(one: Path, other: Path) -> list[str]:
    """Return the files that one of two sessions lacks, or that differ."""
    sums = [_sums(folder) for folder in (one, other)]
    return sorted(name for name in sums[0].keys() | sums[1].keys() if sums[0].get(name) != sums[1].get(name))


def _sums(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != WITHOUT_TIMES:
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _as_markdown(
    pairs: int, bad: int, stages: Sequence[Stage], happened: Sequence[Happened], different: Sequence[str]
) -> str:
    verdict = (
        f"{len(different)} files differ: {', '.join(different[:10])}."
        if different
        else "All files of the results are the same bytes, but for the times that pairs took."
    )
    costs = [[row.name, f"{row.cpu_s:.0f}", f"{row.wall_s:.0f}", f"{row.peak_bytes / 1e9:.2f} GB"] for row in stages]
    harms = [[each.stage, each.what, str(each.done), str(each.code), each.last_words] for each in happened]
    done = markdown(("stage", "killed, or full", "done", "exit code", "last line"), harms)
    undisturbed = markdown(("stage", "CPU-s", "wall s", "memory"), costs)
    return (
        f"# A session that is killed and runs out of disk\n\n{versions()} {pairs} pairs, {bad} of them bad. "
        f"{verdict}\n\n"
        "What was done to it; `done` counts finished pairs, or files of `split` and `release build`:\n\n"
        f"{done}\n\nThe undisturbed session:\n\n{undisturbed}\n"
    )


def _parser() -> argparse.ArgumentParser:
    told = (__doc__ or "").split("\n", 1)[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interrupted", description=told)
    parser.add_argument("--pairs", type=int, metavar="N", help="number of pairs; by default 4000")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="folder for the session, which is then removed")
    parser.add_argument("--fill", action="store_true", help="fill the file system of DIR twice")
    parser.add_argument("--quick", action="store_true", help="40 pairs")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
