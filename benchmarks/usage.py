"""The cost of a command: CPU-seconds, wall time, peak memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
CHILD = Path(__file__).with_name("child.py")

_ENVIRONMENT = dict(os.environ)
"""The environment at the start. Dask later sets a variable in this process (malloc's trim threshold) that slows down
its children's memory, which would distort the measurements."""


@dataclass(frozen=True)
class Usage:
    """What a command and its children used; `code` is its exit status."""

    code: int
    cpu_s: float
    wall_s: float
    peak_bytes: int
    """Peak memory of the largest single process."""
    said: str
    """Its output on both streams."""
    main_cpu_s: float = 0.0
    """What its main process used; known of commands that start processes themselves."""


def measure(command: list[str | Path], *, one_processor: bool = True) -> Usage:
    """Run a command in the root of the checkout, on one processor or on all of them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [sys.executable, "-I", CHILD, report, "one" if one_processor else "all", *command]
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=_ENVIRONMENT,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} could not be started:\n{done.stderr}")
        return Usage(**json.loads(report.read_text(encoding="utf-8")), said=done.stderr)


def watch(command: list[str | Path]) -> Usage:
    """Run a command that starts processes itself, and check them every fifth of a second.

    The use of a process after its last check is missed; `peak_bytes` belongs to the largest single process.
    """
    cpu: dict[int, float] = {}
    peak = 0
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        main = psutil.Popen(command, cwd=ROOT, env=_ENVIRONMENT, stdout=said, stderr=said)
        while main.poll() is None:
            for process in [main, *_below(main)]:
                with contextlib.suppress(psutil.Error):
                    times, memory = process.cpu_times(), process.memory_info()
                    cpu[process.pid] = times.user + times.system
                    peak = max(peak, memory.rss)
            time.sleep(0.2)
        wall_s = time.perf_counter() - start
        said.seek(0)
        words = said.read().decode("utf-8", "replace")
        return Usage(main.returncode, sum(cpu.values()), wall_s, peak, words, cpu.get(main.pid, 0.0))


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.Error:
        return []
    return found
