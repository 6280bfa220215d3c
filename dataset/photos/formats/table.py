"""The table of the formats that are read, and how the format of a file is found."""

from __future__ import annotations

from dpedtool.dataset.photos.formats import (
    avif,
    bmp,
    heif,
    jpeg,
    other,
    png,
    raw,
    tiff,
    webp,
)
from dpedtool.dataset.photos.formats.input_format import InputFormat
from dpedtool.dataset.places import Place

_MODULES = (heif, avif, jpeg, png, tiff, webp, bmp, raw)
"""One for each format. The first whose `is_known` accepts a file wins."""

FORMATS: tuple[InputFormat, ...] = tuple(module.FORMAT for module in _MODULES)
"""All formats of photos that folders are searched for."""
SUFFIXES = frozenset(suffix for format_ in FORMATS for suffix in format_.suffixes)

_BY_SUFFIX = {suffix: format_ for format_ in FORMATS for suffix in format_.suffixes}
_BY_BYTES = tuple((format_.is_known, format_) for format_ in FORMATS if format_.is_known)


def format_of_suffix(path: Place) -> InputFormat:
    """Return the format that a file's name promises."""
    return _BY_SUFFIX.get(path.suffix.lower(), other.FORMAT)


def format_of_bytes(head: bytes) -> InputFormat | None:
    """Return the format whose files begin with these `HEAD` bytes or more; None if it is not in the table."""
    return next((format_ for is_known, format_ in _BY_BYTES if is_known(head)), None)


def format_of(head: bytes, path: Place) -> InputFormat:
    """Return the format of a file: by its bytes, whatever its name, unless only the name can decide.

    Parameters
    ----------
    head
        The first `HEAD` bytes of the file, or more.
    path
        Its name.

    """
    promised, found = format_of_suffix(path), format_of_bytes(head)
    # Most raw files look like TIFF files inside, but none looks like a JPEG, say: that one has a wrong name.
    if promised.is_known is None and found in (None, tiff.FORMAT):
        return promised
    return found or other.FORMAT
