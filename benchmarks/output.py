"""Shared by all benchmarks: report progress, empty folders, write tables and figures."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

FOLDER = Path(__file__).parent


def say(text: str) -> None:
    """Print on the error stream what is being done."""
    print(text, file=sys.stderr, flush=True)


def fresh(folder: Path) -> Path:
    """Remove a folder and its content, and return its path."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def versions() -> str:
    """Return the versions and the number of processors that the figures were measured with."""
    return f"Python {platform.python_version()}, OpenCV {cv2.__version__}, {os.cpu_count()} processors."


def leave(out: Path, name: str, text: str, record: Sequence[Any] | Mapping[str, Any]) -> None:
    """Print Markdown; write it to `out/name.md`, and the figures behind it to `out/name.json`."""
    print(text, end="")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    (out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
