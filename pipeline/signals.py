"""What the program does when it is asked to stop: it ends in order, once, and says so."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

_WORDS = {
    signal.SIGINT: "Interrupted.",
    signal.SIGTERM: "Stopped by another program (signal TERM).",
    signal.SIGHUP: "Stopped, because the terminal was closed (signal HUP).",
}
_ONE_WISH_S = 2.0
"""Signals within this time of the first one express the same wish; a later one interrupts what hangs while it ends."""


class Stopped(KeyboardInterrupt):
    """The program was asked to stop by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """The code that shells give to programs that end by this signal."""
        return 128 + self.number

    def __str__(self) -> str:
        return f"{_WORDS[self.number]} What was finished is kept: run the same command to continue."


class _Hearing:
    """Turns the first signal into `Stopped`, so that everything is closed as after an error."""

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is not None and now - self._first < _ONE_WISH_S:
            return
        self._first = now
        raise Stopped(number)

    @property
    def is_stopping(self) -> bool:
        """Whether a signal has come."""
        return self._first is not None

    def hear_again(self, number: int) -> None:
        """Repeat a signal that came while Python was deleting an object, where its exception is lost."""

        def repeat() -> None:
            self._first = None
            os.kill(os.getpid(), number)

        # A moment later, when the object is gone.
        threading.Timer(0.02, repeat).start()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in the block when this process gets INT, TERM or HUP; a signal that is ignored stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hearing = _Hearing()
    before = {number: signal.getsignal(number) for number in _heard()}
    report = sys.unraisablehook

    def hear(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            hearing.hear_again(lost.exc_value.number if isinstance(lost.exc_value, Stopped) else signal.SIGINT)
        else:
            report(lost)

    sys.unraisablehook = hear
    for number in before:
        signal.signal(number, hearing)
    try:
        yield
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():
            if hearing.is_stopping:
                # The program is about to end, and a second signal of the same wish should not end it in another way,
                # also when Python itself hears no signals any more.
                atexit.register(signal.signal, number, signal.SIG_IGN)
            else:
                signal.signal(number, handler)


def _heard() -> list[signal.Signals]:
    """The signals that would end this process; torchrun stops its processes by TERM, and waits for none of them."""
    heard = [signal.SIGINT, signal.SIGHUP, *([] if "TORCHELASTIC_RUN_ID" in os.environ else [signal.SIGTERM])]
    return [number for number in heard if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]
