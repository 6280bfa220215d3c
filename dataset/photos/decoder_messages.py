"""What libjpeg, libpng and OpenCV print about damaged photos: past Python, and without the name of the file."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator

_STANDARD_ERROR = 2
_LOCK = threading.Lock()
"""There is one error stream: of two who divert it at once, one would put back what the other had put there."""
_TELLING = re.compile(
    r"^(?:Corrupt JPEG data|Premature end of JPEG|libpng error|libpng warning: .*(?:IDAT|CRC|zlib|image data)).*",
    re.MULTILINE,
)
"""What means damage. libpng's other warnings are of chunks beside the pixels, such as a date or a colour profile that
is not written as it should be: editors write these, and the pictures are whole."""


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Keep what decoders print from the error stream; when the block has ended, the list holds what counts of it.

    Whatever else is printed meanwhile, by any thread, is lost. Threads wait for each other.
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
