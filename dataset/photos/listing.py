"""The photos that a folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import folded
from dpedtool.dataset.photos.formats import jpeg
from dpedtool.dataset.photos.formats.table import SUFFIXES, format_of_suffix
from dpedtool.dataset.photos.left_out import LeftOut, left_out
from dpedtool.dataset.places import Place, answering


class NoPhotosError(DpedtoolError):
    """A folder is there and holds no photos."""


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    photos: list[Place]
    """Sorted by their path below the folder; of a moment that was written twice, both files."""
    left_out: LeftOut


def search_folder(folder: Place, *, recursive: bool = False) -> Found:
    """Return the photos in a folder, and what else it holds; hidden files and other suffixes are left out.

    Parameters
    ----------
    folder
        On this machine, or a URL.
    recursive
        Whether the photos in its sub-folders, and in those below them, belong to it. Hidden sub-folders never do.

    Raises
    ------
    DpedtoolError
        The folder is missing, is not a folder, has no photos (a `NoPhotosError`), or only has photos that need
        an extra that is not installed.

    """
    with answering(folder):
        files, subfolders = _content(folder, recursive=recursive)
        beside = left_out(folder, files, subfolders)
    photos = sorted(
        (path for path in files if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")),
        key=lambda path: subpath(path, folder),
    )
    if not photos:
        found = f", only {beside.clause}" if beside.clause else " (nothing)"
        raise NoPhotosError(f"{folder} holds no photos{found}: {beside.remedy}.")
    missing = [format_of_suffix(path).missing_extra for path in _without_doubles(photos)]
    if all(missing):
        raise DpedtoolError(f"None of the photos in {folder} can be read: {missing[0]}.")
    return Found(photos, beside)


def list_photos(folder: Place) -> list[Place]:
    """Return the photos directly in a folder, sorted by name; hidden files and other suffixes are left out.

    Where a camera or an export wrote one moment twice, as IMG_1.JPG and as IMG_1.HEIC or a raw file, the JPEG is used
    and the other file is left out.

    Raises
    ------
    DpedtoolError
        As `search_folder`.

    """
    return _without_doubles(search_folder(folder).photos)


def subpath(path: Place, folder: Place) -> str:
    """Return the path of a photo below a camera's folder, with forward slashes."""
    return path.relative_to(cast(Any, folder)).as_posix()


def _content(folder: Place, *, recursive: bool) -> tuple[list[Place], list[Place]]:
    """Return the files that belong to a folder, and the sub-folders that do not."""
    if not folder.exists():
        raise DpedtoolError(f"There is no folder {folder}: name the folder that holds the camera's photos.")
    if not folder.is_dir():
        raise DpedtoolError(f"{folder} is not a folder: name the folder that holds the camera's photos.")
    files, others, waiting, seen = list[Place](), list[Place](), [folder], {folder.resolve()}
    while waiting:
        for path in waiting.pop().iterdir():
            # A broken link counts as a file, since the user expects a photo there.
            if not path.is_dir():
                files.append(path)
            elif path.name.startswith("."):
                continue
            elif not recursive:
                others.append(path)
            elif (place := path.resolve()) not in seen:
                # A link may lead back to a folder above it.
                seen.add(place)
                waiting.append(path)
    return files, others


def _without_doubles(photos: Sequence[Place]) -> list[Place]:
    """Leave out HEIC and raw files next to a JPEG with the same stem, whatever the case of its letters."""
    jpegs = {_place(path) for path in photos if format_of_suffix(path) is jpeg.FORMAT}
    return [path for path in photos if not format_of_suffix(path).is_beside_jpeg or _place(path) not in jpegs]


def _place(path: Place) -> tuple[Place, str]:
    return path.parent, folded(path.stem)
