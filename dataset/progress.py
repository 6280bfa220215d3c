"""Progress on the error stream: a bar on a terminal, elsewhere a plain line every few seconds."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dpedtool.dataset.printing import as_it_is, printing_visibly

Item = TypeVar("Item")
Reach = Callable[[float], None]

SECONDS_BETWEEN_LINES = 5.0


@dataclass
class Output:
    """How much is shown of the progress."""

    quiet: bool = False
    """Nothing at all."""
    every_item: bool = False
    """A line for every item, where there is no terminal."""


OUTPUT = Output()
"""Of this process; the command line sets it."""


def track(items: Iterable[Item], label: str, total: int, note: Callable[[], str] | None = None) -> Iterator[Item]:
    """Yield the items and show how many of `total` are done.

    Parameters
    ----------
    items
        What is worked on.
    label
        What is being done to the items.
    total
        Number of the items.
    note
        Gives what else is shown, such as a score so far.

    """
    with showing(label, total, note) as reach:
        for done, item in enumerate(items, start=1):
            yield item
            reach(done)


def showing(label: str, total: int, note: Callable[[], str] | None = None) -> AbstractContextManager[Reach]:
    """Show how many of `total` items are done: the context gives a function to call with that number.

    The number may be a fraction, for an item that is done in part. Lines printed to the error stream meanwhile stay
    above the bar.
    """
    if OUTPUT.quiet:
        return contextlib.nullcontext(lambda _: None)
    console = Console(file=as_it_is(sys.stderr))
    note = note or (lambda: "")
    return _bar(label, total, note, console) if console.is_terminal else _lines(label, total, note)


@contextlib.contextmanager
def _bar(label: str, total: int, note: Callable[[], str], console: Console) -> Iterator[Reach]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # The bar puts streams of its own in place of the program's.
    with (
        Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress,
        printing_visibly(),
    ):
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done, description=f"{label} {note()}".rstrip())


@contextlib.contextmanager
def _lines(label: str, total: int, note: Callable[[], str]) -> Iterator[Reach]:
    start = last = time.monotonic()

    def reach(done: float) -> None:
        nonlocal last
        now = time.monotonic()
        if OUTPUT.every_item or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            part = f" and {int(done % 1 * 100)} %" if done % 1 else ""
            more = f", {said}" if (said := note()) else ""
            print(f"{label}: {int(done)} of {total}{part}, {now - start:.0f} s{more}", file=sys.stderr, flush=True)

    yield reach
