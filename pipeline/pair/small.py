"""Pairs whose photos are too small for an alignment, such as previews that were copied in place of the photos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.decoding import open_photo
from dpedtool.dataset.places import Place
from dpedtool.pipeline.measure.small_photos import is_small
from dpedtool.pipeline.pair.notes import many, named

_MOST_BYTES = 200_000
"""Larger files are of larger photos, and are not opened."""


def notes_of_small(couples: Iterable[tuple[Place | None, Place | None]]) -> list[str]:
    """Say which photos of pairs are so small that `align` can hardly use them; no sentence if there are none."""
    photos = sorted({photo for couple in couples for photo in couple if isinstance(photo, Path)}, key=str)
    sizes = {photo: size for photo in photos if (size := _size(photo)) and is_small(size)}
    if not sizes:
        return []
    names = [f"{photo.name} ({width}x{height} px)" for photo, (width, height) in sizes.items()]
    return [
        f"{len(sizes)} {many(len(sizes), 'photo is', 'photos are')} too small to be aligned well: {named(names)}. Use "
        "the full photos rather than previews."
    ]


def _size(photo: Path) -> tuple[int, int] | None:
    """Return (width, height) in px of a photo with a small file; None for others, and for one that cannot be read."""
    try:
        return open_photo(photo).size if photo.stat().st_size < _MOST_BYTES else None
    except (Rejection, OSError):
        # `align` makes a row of it, with its reason.
        return None
