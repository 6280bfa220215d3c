"""What the project knows of a format of photos; the module of each format says it, and nobody else does."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Literal

from dpedtool.dataset.photos.formats.conversion_losses import conversion
from dpedtool.dataset.photos.stored import Stored, unreadable
from dpedtool.dataset.places import Place

HEAD = 12
"""Bytes at the beginning of a file by which its format is known."""


@dataclass(frozen=True)
class Extra:
    """A package that reads a format and is not always installed; it is imported when a photo asks for it."""

    name: str
    """As `pip install 'dpedtool[NAME]'` has it."""
    module: str
    """As Python imports it."""
    files: str
    """The kind of files that need it, as in `HEIC files`."""

    @property
    def is_installed(self) -> bool:
        """Whether the package is there; it is not imported."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def how_to_install(self) -> str:
        """What to do where it is not, as a clause."""
        return (
            f"{self.files} files need an extra: pip install 'dpedtool[{self.name}]' "
            f"(in a checkout: pip install -e '.[{self.name}]')"
        )

    def check(self, path: Place) -> None:
        """Refuse a photo that needs the package where it is not installed.

        Raises
        ------
        Rejection
            `unreadable_photo`.

        """
        if not self.is_installed:
            raise unreadable(path, self.how_to_install)


@dataclass(frozen=True)
class TakenOver:
    """A release takes such a file over part by part, and leaves out what pixels do not need.

    `pipeline.release.privacy` knows the parts, and proves of every file of a release that no other is in it.
    """

    suffix: Literal[".jpg", ".png"]
    """Of the file in the release."""


@dataclass(frozen=True)
class EncodedAgain:
    """A release has the pixels in a new PNG file; of the photo's own file nothing else gets into it."""

    why: str
    """What the photo is, as a clause."""
    losses: Callable[[Stored], list[str]] = conversion
    """What the pixels lose of the photo, as clauses; none where they are those of the file."""


def _no_exif(_: bytes) -> bytes:
    return b""


def _no_time(*_: object) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """A format of photos that are read."""

    name: str
    """As sentences call it."""
    suffixes: frozenset[str]
    """Of its files, in lower case; no other format has one of them."""
    is_known: Callable[[bytes], bool] | None
    """Whether a file begins so, by its first `HEAD` bytes or more; no other format's does.

    None: the suffix tells, whatever the bytes are, since they look like those of another format.
    """
    open: Callable[[bytes, Place], Stored]
    """Reads the header of a file's bytes; the place names it in messages.

    It raises a Rejection, `unreadable_photo`, of what is damaged or cannot be read right. MemoryError aside it raises
    nothing else, whatever the bytes are.
    """
    released: TakenOver | EncodedAgain
    """What a release makes of such a photo, which may tell nothing of people, places and devices."""
    exif: Callable[[bytes], bytes] = _no_exif
    """Returns the EXIF block in a file's bytes, with or without `Exif` before it; empty where there is none.

    What results keep of a photo's metadata comes from this block alone, and so do the names that a release is searched
    for. It raises nothing.
    """
    time: Callable[[bytes, IO[bytes], Place], datetime | None] = _no_time
    """Returns the capture time, on the camera's own clock, of the first `HEAD` bytes and the file behind them.

    None where there is none. It may raise a `DpedtoolError` and what is `DAMAGED`, which mean that there is none.
    """
    extra: Extra | None = None
    """What must be installed to read it; None: nothing but what always is."""
    is_beside_jpeg: bool = False
    """Whether cameras and exports write such a file beside a JPEG of the same moment, which is taken then."""
    has_other_metadata: bool = False
    """Whether a file without a readable EXIF block may be whole, and have its metadata in another form."""

    @property
    def missing_extra(self) -> str:
        """How to install what reads it, as a clause; empty where nothing is missing."""
        return self.extra.how_to_install if self.extra and not self.extra.is_installed else ""
