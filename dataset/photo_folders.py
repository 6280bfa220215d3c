"""Keeps results out of the folders of photos, where a later run would take them for photos."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import Place


class HasPhotos(Protocol):
    """A row that names the two photos of a pair."""

    @property
    def phone_path(self) -> Place | None:
        """The phone's photo."""

    @property
    def dslr_path(self) -> Place | None:
        """The DSLR's photo."""


def photo_folders(rows: Iterable[HasPhotos]) -> list[Place]:
    """Return the cameras' folders that hold the photos of a table.

    A folder with one photo of the table, or with photos of both cameras, may be any that two photos were given from,
    such as the one that the user works in.
    """
    rows = list(rows)
    sides = [{row.phone_path for row in rows}, {row.dslr_path for row in rows}]
    counts = [Counter(path.parent for path in side if path) for side in sides]
    several = [{folder for folder, count in side.items() if count > 1} for side in counts]
    return sorted(several[0] ^ several[1], key=str)


def check_apart(out: Path, rows: Iterable[HasPhotos]) -> None:
    """Refuse a folder for results that is a camera's folder or lies in one, or that holds photos of a table itself.

    Raises
    ------
    DpedtoolError
        The message names both.

    """
    rows = list(rows)
    check_outside(out, photo_folders(rows))
    check_no_photos(out, (path for row in rows for path in (row.phone_path, row.dslr_path) if path))


def check_no_photos(out: Path, photos: Iterable[Place]) -> None:
    """Refuse a folder for results that holds one of these photos. A folder below that of a photo may be used.

    Raises
    ------
    DpedtoolError
        The message names the folder and a photo.

    """
    place = out.resolve()
    first_of = {photo.parent: photo for photo in photos if isinstance(photo, Path)}
    for folder, photo in first_of.items():
        if folder.resolve() == place:
            raise DpedtoolError(
                f"The results would lie beside the photo {os.path.normpath(photo)}, where a later run would take them "
                "for photos: choose another folder, such as a new one below it."
            )


def check_outside(out: Path, folders: Iterable[Place]) -> None:
    """Refuse a folder for results that is a camera's folder, or lies in one.

    Raises
    ------
    DpedtoolError
        The message names both.

    """
    place = out.resolve()
    for folder in folders:
        if isinstance(folder, Path) and place.is_relative_to(folder.resolve()):
            # Tables name folders relative to their own.
            named = os.path.normpath(folder)
            raise DpedtoolError(
                f"The results would lie among the photos of {named}, where nothing is written: choose a folder "
                "outside of it."
            )
