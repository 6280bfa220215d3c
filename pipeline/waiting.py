"""Says what the program waits for when it takes long, so that nobody looks at a silent terminal for minutes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

SAID_AFTER_S = 30.0
"""How long a wait may be before it is mentioned; then it is mentioned whenever it has doubled."""


class Patience:
    """A wait that has just begun."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self._said_s = 0.0

    @property
    def waited_s(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.begun

    @property
    def left_s(self) -> float:
        """How long it may last until it is mentioned, or mentioned again."""
        return max(2 * self._said_s, SAID_AFTER_S) - self.waited_s

    def say(self, what: str) -> None:
        """Mention on the error stream what is waited for, if it is time to do so."""
        if self.left_s <= 0:
            self._said_s = self.waited_s
            print(f"Waiting for {what} since {self._said_s:.0f} s.", file=sys.stderr, flush=True)


@contextlib.contextmanager
def saying(what: Callable[[], str]) -> Iterator[None]:
    """Mention what a block waits for, from another thread, because the block itself cannot."""
    over, patience = threading.Event(), Patience()

    def watch() -> None:
        while not over.wait(max(patience.left_s, 0.01)):
            patience.say(what())

    watcher = threading.Thread(target=watch, name="patience", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def name_of(item: object) -> str:
    """Name an item that is worked on: the pair that it is, or belongs to, if it is known."""
    parts = item if isinstance(item, tuple) else (item,)
    names = (getattr(part, "pair_id", None) or getattr(getattr(part, "shown", None), "pair_id", None) for part in parts)
    return next((f"the pair {name}" for name in names if name), "a part of the work")
