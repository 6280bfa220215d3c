"""What the project knows about a format of photos; only the module of each format says it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Literal

from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.photos.formats.conversion_losses import conversion
from dpedtool.dataset.photos.stored import Stored, unreadable
from dpedtool.dataset.places import Place

HEAD = 12
"""Bytes at the beginning of a file by which its format is recognised."""


@dataclass(frozen=True)
class Extra:
    """A package that reads a format and is not always installed; it is imported when a photo asks for it."""

    name: str
    """Its name among the extras of this project (pyproject.toml)."""
    module: str
    """The name that Python imports."""
    package: str
    """The name in `pip install NAME`: dpedtool itself is on no package index, where extras could be asked for."""
    files: str
    """The kind of files that need it, as in `HEIC files`."""

    @property
    def is_installed(self) -> bool:
        """Whether the package is there; it is not imported."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def how_to_install(self) -> str:
        """How to install it, as a clause."""
        return f"{self.files} files need a package that is not installed: pip install {self.package}"

    def check(self, path: Place) -> None:
        """Refuse a photo that needs the package if it is not installed.

        Raises
        ------
        Rejection
            `unreadable_photo`.

        """
        if not self.is_installed:
            raise unreadable(path, self.how_to_install)


@dataclass(frozen=True)
class TakenOver:
    """A release copies such a file part by part, and leaves out the parts that the pixels do not need.

    `pipeline.release.privacy` knows the parts, and proves for every file of a release that it has no other parts.
    """

    suffix: Literal[".jpg", ".png"]
    """Of the file in the release."""


@dataclass(frozen=True)
class EncodedAgain:
    """A release has the pixels in a new PNG file; nothing else from the photo's own file gets into it."""

    why: str
    """What the photo is, as a clause."""
    losses: Callable[[Stored], list[str]] = conversion
    """What the pixels lose compared with the photo, as clauses; empty if they are those of the file."""


def _no_exif(_: bytes) -> bytes:
    return b""


def _nothing_known(*_: object) -> Taken:
    return Taken()


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """A format of photos that are read."""

    name: str
    """Its name in sentences."""
    suffixes: frozenset[str]
    """Of its files, in lower case; no other format has one of them."""
    is_known: Callable[[bytes], bool] | None
    """Whether a file has this format, by its first `HEAD` bytes or more; files of other formats do not begin so.

    None: the suffix decides, and not the bytes, since they look like those of another format.
    """
    open: Callable[[bytes, Place], Stored]
    """Reads the header of a file's bytes; the place names it in messages.

    It raises a Rejection, `unreadable_photo`, for a photo that is damaged or cannot be read correctly. It raises
    nothing else but MemoryError, whatever the bytes are.
    """
    released: TakenOver | EncodedAgain
    """What a release makes of such a photo, so that it reveals nothing about people, places and devices."""
    exif: Callable[[bytes], bytes] = _no_exif
    """Returns the EXIF block in a file's bytes, with or without `Exif` before it; empty if there is none.

    What results keep of a photo's metadata comes from this block alone, and so do the names that a release is searched
    for. It raises nothing.
    """
    taken: Callable[[bytes, IO[bytes], Place], Taken] = _nothing_known
    """Returns when and how a photo was taken, from the first `HEAD` bytes and the file after them.

    It may raise a `DpedtoolError` or an error of `DAMAGED` if nothing is known.
    """
    extra: Extra | None = None
    """The extra that must be installed to read it; None: it needs no extra."""
    is_beside_jpeg: bool = False
    """Whether cameras and exports write such a file next to a JPEG of the same moment; the JPEG is used then."""
    has_other_metadata: bool = False
    """Whether a file without a readable EXIF block may be intact, and have its metadata in another form."""

    @property
    def missing_extra(self) -> str:
        """How to install the extra that reads it, as a clause; empty if nothing is missing."""
        return self.extra.how_to_install if self.extra and not self.extra.is_installed else ""
