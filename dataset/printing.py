"""What is printed shows control characters instead of obeying them.

Names of files, tables and photos are written by others. In a terminal, an escape sequence in a name could hide a line,
write another one in its place or change the terminal itself.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

_HIDDEN = re.compile(
    r"(?!\x1b\[[01]m)"  # bold on and off, as the program itself prints them; they can do no harm
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these turn the direction of writing
    "\ud800-\udfff]"  # bytes of a name that are not UTF-8
)


def visible(text: str) -> str:
    r"""Return a text with every control character but tab and the end of a line written out, such as \x1b."""
    return _HIDDEN.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        # So Python stands for a byte of a name.
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Visible:
    """A stream of text that is written as `visible` returns it."""

    def __init__(self, stream: TextIO) -> None:
        self.as_it_is = stream
        """The stream itself, for progress bars, which need control characters."""

    def write(self, text: str) -> int:
        """Write a text; returns its number of characters."""
        self.as_it_is.write(visible(text))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write texts one after the other."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            # What is written there would not pass through here.
            raise AttributeError(name)
        return getattr(self.as_it_is, name)


@contextlib.contextmanager
def printing_visibly() -> Iterator[None]:
    """Let all that is printed to the output and error streams in the block be `visible`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Visible(stream) if stream else stream for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def as_it_is(stream: TextIO) -> TextIO:
    """Return the stream that obeys control characters, for progress bars alone."""
    found: TextIO = getattr(stream, "as_it_is", stream)
    return found
