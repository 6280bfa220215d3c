"""Collect what libjpeg, libpng and OpenCV print about damaged photos: it bypasses Python and lacks the file's name."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator

_STANDARD_ERROR = 2
_LOCK = threading.RLock()
"""There is only one error stream: if two threads diverted it at once, one would put back what the other had set."""
_TELLING = re.compile(
    r"^(?:Corrupt JPEG data|Premature end of JPEG|libpng error|libpng warning: .*(?:IDAT|CRC|zlib|image data)).*",
    re.MULTILINE,
)
"""Messages that mean damage. libpng's other warnings are about chunks other than the pixels, such as a date or a colour
profile that is not written correctly: editors write these, and the pictures are intact."""


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Keep what decoders print off the error stream; after the block, the list holds the messages that mean damage.

    Everything else that is printed meanwhile, by any thread, is lost. Threads wait for each other. A block inside
    another one keeps its messages to itself.
    """
    found: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as file:
        stream = os.dup(_STANDARD_ERROR)
        os.dup2(file.fileno(), _STANDARD_ERROR)
        try:
            yield found
        finally:
            os.dup2(stream, _STANDARD_ERROR)
            os.close(stream)
        file.seek(0)
        found += dict.fromkeys(_TELLING.findall(file.read().decode("utf-8", "replace")))
