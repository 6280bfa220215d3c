"""Where photos lie: paths on this machine, and URLs of any protocol that fsspec knows (s3://, gs://, zip://...::...).

A place with '://' in it is a `upath.UPath`, which has the methods of `pathlib.Path` and reads through fsspec; all
others are `pathlib.Path`. Only photos are read from URLs: tables and results are files of this machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from upath import UPath

from dpedtool.dataset.errors import DpedtoolError

Place = Path | UPath


def is_url(text: str) -> bool:
    """Whether this names a URL rather than a path; in paths '//' means the same as '/'."""
    return "://" in text


def is_below(url: str, root: str) -> bool:
    """Whether a URL names something below another one; of a chain such as zip://a::b.zip, the first part may differ."""
    (one, _, inside), (other, _, also_inside) = (text.partition("::") for text in (url, root))
    beginning = other if other.endswith("/") else f"{other}/"
    return is_url(root) and inside == also_inside and one.startswith(beginning) and ".." not in one.split("/")


def as_place(text: str, base: Path | None = None) -> Place:
    """Return what a text names: a URL as it is, or a path, relative to `base` where that is given; file:// is a path.

    Raises
    ------
    DpedtoolError
        A URL of an unknown protocol or in a form that cannot be read, or a text with a NUL byte.

    """
    if "\0" in text:
        raise DpedtoolError(f"{text!r:.200} has a NUL byte, so it names no file: correct it.")
    if not is_url(text):
        return base / text if base else Path(text)
    try:
        url = UPath(text)
        # A file of this machine is then the same file, however it is named.
        place = Path(url.path) if url.protocol in ("file", "local") else url
        # Only these show that the address has a form that its protocol can read.
        _ = str(place / "x"), place.parent, place.suffix, hash(place)
    except Exception as error:
        # The package for each protocol has its own kinds of errors.
        raise DpedtoolError(f"{text!s:.200} is not an address that can be read: {error}.") from None
    return place


@contextlib.contextmanager
def answering(place: Place) -> Iterator[None]:
    """Turn all errors of a URL's file system into sentences; errors of paths on this machine stay as they are.

    Raises
    ------
    DpedtoolError
        The package for the protocol is missing, or the place cannot be reached.

    """
    if isinstance(place, Path):
        yield
        return
    try:
        yield
    except DpedtoolError:
        raise
    except ImportError as error:
        raise DpedtoolError(f"{place} needs a package that is not installed: {error}.") from None
    except Exception as error:
        # The package for each protocol has its own kinds of errors.
        raise DpedtoolError(
            f"{place} cannot be read ({in_words(error)}): check the address, the network and your credentials."
        ) from None


def in_words(error: Exception) -> str:
    """Return an error as a clause."""
    text = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text and not isinstance(error, DpedtoolError) else str(error)


def printable(place: Place) -> str:
    r"""Return a place as one line that can be written anywhere.

    Bytes that are not UTF-8 become \xNN, and the ends of lines \n and \r, as a name with one could pretend to be a line
    that the program has printed.
    """
    text = os.fsencode(str(place)).decode("utf-8", "backslashreplace")
    return text.replace("\n", r"\n").replace("\r", r"\r")


def is_file(place: Place) -> bool:
    """Whether there is a file; raises DpedtoolError where a URL does not answer."""
    with answering(place):
        return place.is_file()


def is_dir(place: Place) -> bool:
    """Whether there is a folder; raises DpedtoolError where a URL does not answer."""
    with answering(place):
        return place.is_dir()
