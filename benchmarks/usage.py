"""What a command costs: CPU-seconds, wall time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHILD = Path(__file__).with_name("child.py")

_ENVIRONMENT = dict(os.environ)
"""As it was at the start: Dask leaves variables in this process that make its children's memory slow (malloc's trim
threshold), which would be measured too."""


@dataclass(frozen=True)
class Usage:
    """What a command and its children used; `code` is its exit status."""

    code: int
    cpu_s: float
    wall_s: float
    peak_bytes: int
    """Of the largest single process."""
    said: str
    """What it wrote to both streams."""


def measure(command: list[str | Path], *, one_processor: bool = True) -> Usage:
    """Run a command in the root of the checkout, held to one processor or free to use all of them."""
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
