"""Read pixels, size and capture time from a photo's file of any format."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO

import cv2

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.photos.formats import jpeg
from dpedtool.dataset.photos.formats.by_opencv import imdecode
from dpedtool.dataset.photos.formats.input_format import HEAD, InputFormat
from dpedtool.dataset.photos.formats.jpeg_damage import TOO_EARLY
from dpedtool.dataset.photos.formats.table import format_of
from dpedtool.dataset.photos.pixels import Factor, Image
from dpedtool.dataset.photos.stored import (
    DAMAGED,
    MAX_PIXELS,
    NO_PHOTO,
    ReducedGrey,
    Stored,
    unreadable,
    upright_colour,
    upright_grey,
    upright_size,
)
from dpedtool.dataset.photos.stored_shape import stored_shape
from dpedtool.dataset.places import Place, answering
from dpedtool.dataset.regular_files import open_regular, read_regular

MOST_BYTES = 2 * 10**9
"""Largest file of a photo: 250 megapixels, the most that are accepted, take 1.5 GB in 16 bit RGB, uncompressed."""


@dataclass(frozen=True)
class PhotoFile:
    """A photo as its file's bytes, read once; pixels are decoded when they are asked for.

    JPEG, PNG, TIFF, WebP and BMP of 8 or 16 bit, RGB or grey; HEIC; camera raw files with the extra `raw`. Raw files
    are developed by LibRaw: camera white balance, no automatic brightness, sRGB.
    """

    path: Place
    content: bytes = field(repr=False)

    @property
    def format(self) -> InputFormat:
        """The format of its bytes, whatever its name is; only raw files are recognised by their name."""
        return format_of(self.content, self.path)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px as the header says, upright.

        Raises
        ------
        Rejection
            As `colour`.

        """
        return upright_size(self._stored)

    @cached_property
    def _stored(self) -> Stored:
        return open_stored(self.content, self.path)

    @property
    def note(self) -> str:
        """What was ignored in the photo, as a sentence, such as a damaged colour profile; empty if nothing was.

        It may have to decode the photo, unless that has been done.

        Raises
        ------
        Rejection
            As `colour`.

        """
        photo = self._stored
        notes = [note for note in (photo.damage().note, photo.note, photo.conversion.note) if note]
        return f"{self.path}: {'; '.join(notes)}." if notes else ""

    @property
    def damage(self) -> str:
        """What is wrong with its coded pixels, as a clause; empty if nothing is. It decodes like `note`."""
        return self._stored.damage().note

    @property
    def time(self) -> datetime | None:
        """EXIF capture time on the camera's own clock, without zone; None if there is no readable time."""
        return _read_taken(io.BytesIO(self.content), self.path).time

    def colour(self) -> Image:
        """Decode the photo, upright, as (H, W, 3) BGR uint8 in sRGB.

        16 bit are reduced to 8. An embedded ICC profile other than sRGB, such as a phone's Display P3, is applied, and
        so is what a file states without one. A photo that states nothing is taken as sRGB.

        Raises
        ------
        Rejection
            `unreadable_photo`: empty, truncated, too large, or not a photo at all.

        """
        photo = self._stored
        return photo.conversion.apply(upright_colour(photo))

    def grey(self, factor: Factor = 1) -> ReducedGrey:
        """Decode the photo in grey, upright like `colour`, each side reduced by the factor and rounded up.

        Colour profiles are not applied: this grey is for measuring, not for viewing.

        Raises
        ------
        Rejection
            As `colour`.

        """
        return upright_grey(self._stored, factor)


def open_photo(path: Place) -> PhotoFile:
    """Read a photo's file, from this machine or from a URL.

    Raises
    ------
    Rejection
        `unreadable_photo`: missing, larger than any photo, not a file, or not readable.

    """
    try:
        with answering(path):
            return PhotoFile(path, read_regular(path, MOST_BYTES) if isinstance(path, Path) else path.read_bytes())
    except OSError as error:
        raise unreadable(path, error.strerror or "it cannot be read") from None
    except DpedtoolError as error:
        raise Rejection("unreadable_photo", str(error)) from None


def open_unchanged(path: Place, sha256: str) -> PhotoFile:
    """Read a photo's file as `open_photo` does, once, and prove that it has this SHA-256 (hex).

    Raises
    ------
    Rejection
        `unreadable_photo`, or `photo_changed`.

    """
    if isinstance(path, Path) and not os.path.lexists(path):
        raise unreadable(
            path,
            "No such file or directory: tables name photos relative to their own folder, so if photos or results were "
            "moved, move them back, or run `dpedtool pair` again",
        )
    photo = open_photo(path)
    if hashlib.sha256(photo.content).hexdigest() != sha256:
        raise Rejection("photo_changed", f"{path} is not the photo that was paired: run the stages again from pair on.")
    return photo


def load_photo(path: Place) -> Image:
    """Read and decode a photo: `open_photo(path).colour()`."""
    return open_photo(path).colour()


def load_unchanged(path: Place, sha256: str) -> Image:
    """Read, prove and decode a photo: `open_unchanged(path, sha256).colour()`."""
    return open_unchanged(path, sha256).colour()


def decode_photo(content: bytes, path: Place) -> Image:
    """Decode a photo's bytes as `PhotoFile.colour` does; `path` only names it in messages."""
    return PhotoFile(path, content).colour()


def decode_image(content: bytes, path: Place) -> Image:
    """Decode what `encode_image` made, (H, W, 3) BGR uint8; `path` only names it in messages.

    Such files have no orientation and no colour profile, so these are not looked for: for small images, that takes
    longer than decoding.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, too large, or not an image.

    """
    _check_not_empty(content, path)
    height, width, *_ = stored_shape(content) or (0, 0)
    if not 0 < height * width <= MAX_PIXELS:
        raise unreadable(path, f"an image in it has {width} x {height} px" if height else NO_PHOTO)
    if jpeg.lacks_end(content):
        raise unreadable(path, TOO_EARLY)
    return imdecode(content, path, cv2.IMREAD_COLOR)


def how_taken(path: Place) -> Taken:
    """Return when and how a photo was taken, as its EXIF block says; nothing is known of an unreadable photo."""
    try:
        with answering(path), open_regular(path, MOST_BYTES) if isinstance(path, Path) else path.open("rb") as file:
            return _read_taken(file, path)
    except (OSError, DpedtoolError):
        return Taken()


def _read_taken(file: IO[bytes], path: Place) -> Taken:
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF blocks and of large headers; neither matters for a date.
            warnings.simplefilter("ignore")
            head = file.read(HEAD)
            return format_of(head, path).taken(head, file, path)
    except (*DAMAGED, DpedtoolError):
        return Taken()


def open_stored(content: bytes, path: Place) -> Stored:
    """Read a photo's header, and refuse a photo that would fill the memory when decoded, or is incomplete.

    Raises
    ------
    Rejection
        `unreadable_photo`: empty, truncated, too large, in colours that cannot be read, or not a photo at all.

    """
    _check_not_empty(content, path)
    photo = format_of(content, path).open(content, path)
    photo.check_size()
    return photo


def _check_not_empty(content: bytes, path: Place) -> None:
    if not content:
        raise unreadable(path, "the file is empty")
