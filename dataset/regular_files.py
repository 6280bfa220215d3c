"""Reads files that others may have made: only regular files, of bounded size.

A named pipe or a device never ends, and a file with holes may claim any size. So every file that a user hands in is
opened here. What is refused is an OSError whose `strerror` is a clause, as if the system had refused it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

MOST_TEXT_BYTES = 2**26
"""Most bytes of a list, a table of scenes, a licence or a JSON file; a list of a million photos has fewer."""
MOST_WEIGHTS_BYTES = 2**31
"""Most bytes of a file of weights; the largest in use, those of VGG-19, have 0.6 GB."""
NO_FILE = "it is not a file"
_CACHED = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")
"""The end of the path of a file in DVC's cache, which is named after its content."""


def check_regular(path: Path, most: int | None = None) -> int:
    """Return the size in bytes of a regular file; a link counts as the file that it leads to.

    Parameters
    ----------
    path
        The file.
    most
        Most bytes that it may have; None: any number, for files that are read piece by piece.

    Raises
    ------
    OSError
        The file is missing, is something else, such as a folder, a named pipe or a device, or is larger.

    """
    return _checked(path, path.stat(), most)


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """Open a regular file to read bytes; raises what `check_regular` raises.

    It never waits: where a named pipe takes the place of the file after the check, opening it returns at once.
    """
    check_regular(path, most)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _checked(path, os.fstat(handle), most)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """Return the bytes of a regular file of at most `most` bytes; raises what `check_regular` raises."""
    with open_regular(path, most) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise _too_large(path, len(content), most)
    return content


def read_regular_text(path: Path, encoding: str = "utf-8", most: int = MOST_TEXT_BYTES) -> str:
    """Return the text of a regular file, with line ends as they are read by `open`.

    Raises
    ------
    OSError
        As `check_regular`.
    UnicodeDecodeError
        It is in another encoding.

    """
    return read_regular(path, most).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a file that lies elsewhere, since its name or a link leads out of a folder.

    DVC may put links to its cache into a folder of results. They are accepted, as a file there is named after its
    content.

    Raises
    ------
    OSError
        The file lies outside of the folder.

    """
    real = path.resolve()
    is_cached = path.is_symlink() and _CACHED.search(real.as_posix())
    if not is_cached and not real.is_relative_to(folder.resolve()):
        raise OSError(errno.EPERM, f"it leads out of {folder}", str(path))


def _checked(path: Path, found: os.stat_result, most: int | None) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, NO_FILE, str(path))
    if most is not None and found.st_size > most:
        raise _too_large(path, found.st_size, most)
    return found.st_size


def _too_large(path: Path, size: int, most: int) -> OSError:
    words = f"it has {size / 10**6:.0f} MB, and at most {most / 10**6:.0f} MB are read"
    return OSError(errno.EFBIG, words, str(path))
