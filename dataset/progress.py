"""Progress on the error stream: a bar on a terminal, elsewhere a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 5.0


def track(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Yield the items and show how many of `total` are done; `label` says what is being done to them."""
    console = Console(stderr=True)
    return _bar(items, label, total, console) if console.is_terminal else _lines(items, label, total)


def _bar(items: Iterable[Item], label: str, total: int, console: Console) -> Iterator[Item]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(label, total=total)
        for item in items:
            yield item
            progress.advance(task)


def _lines(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            print(f"{label}: {done} of {total}, {now - start:.0f} s", file=sys.stderr, flush=True)
