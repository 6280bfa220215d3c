"""The photos that a folder holds."""

from __future__ import annotations

from collections.abc import Sequence

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.formats import jpeg
from dpedtool.dataset.photos.formats.table import SUFFIXES, format_of_suffix
from dpedtool.dataset.places import Place, answering


def list_photos(folder: Place, *, doubles: bool = False) -> list[Place]:
    """Return the photos directly in a folder, sorted by name; hidden files and other suffixes are left out.

    Where a camera or an export wrote one moment twice, as IMG_1.JPG and as IMG_1.HEIC or a raw file, the JPEG is used
    and the other file is left out; with `doubles` it is listed, too.

    Raises
    ------
    DpedtoolError
        The folder is missing, is not a folder, has no photos, or only has photos that need an extra that is not
        installed.

    """
    with answering(folder):
        files = _files_in(folder)
    photos = sorted((path for path in files if path.suffix.lower() in SUFFIXES), key=lambda path: path.name)
    if not photos:
        others = sorted({path.suffix.lower() or "no suffix" for path in files})
        found = f"only files with {', '.join(others)}" if others else "nothing"
        raise DpedtoolError(f"{folder} holds no photos ({found}): put JPEG, PNG, TIFF, HEIC or camera raw files there.")
    kept = _without_doubles(photos)
    missing = [format_of_suffix(path).missing_extra for path in kept]
    if all(missing):
        raise DpedtoolError(f"None of the photos in {folder} can be read: {missing[0]}.")
    return photos if doubles else kept


def _files_in(folder: Place) -> list[Place]:
    if not folder.exists():
        raise DpedtoolError(f"There is no folder {folder}: name the folder that holds the camera's photos.")
    if not folder.is_dir():
        raise DpedtoolError(f"{folder} is not a folder: name the folder that holds the camera's photos.")
    # A broken link counts, since the user expects a photo there.
    return [path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith(".")]


def _without_doubles(photos: Sequence[Place]) -> list[Place]:
    """Leave out HEIC and raw files next to a JPEG with the same stem, whatever the case of its letters."""
    jpegs = {path.stem.lower() for path in photos if format_of_suffix(path) is jpeg.FORMAT}
    return [path for path in photos if not format_of_suffix(path).is_beside_jpeg or path.stem.lower() not in jpegs]
