"""Enhancing photo files one after the other; a photo that cannot be used does not stop the others."""

from __future__ import annotations

import errno
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import cv2

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import lock_folder, remove_leftovers
from dpedtool.dataset.lack_of_memory import what_ran_out
from dpedtool.dataset.photos.decoder_messages import collected
from dpedtool.dataset.photos.decoding import PhotoFile, open_photo
from dpedtool.dataset.photos.kept_metadata import Metadata, kept_metadata
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.photos.writing import Format, check_size, write_photo
from dpedtool.dataset.places import Place, answering
from dpedtool.dataset.progress import Reach, showing
from dpedtool.dataset.sizes import in_gb
from dpedtool.training.enhance.side_by_side import side_by_side
from dpedtool.training.enhance.whole_photo import Settings, enhance_photo, plan
from dpedtool.training.networks.generators import Generator

COMPARISON = ".compare.jpg"
Existing = Literal["refuse", "skip", "replace"]


@dataclass(frozen=True)
class Output:
    """What is written, and where."""

    folder: Path
    format: Format = "png"
    quality: int = 95
    """JPEG quality, 1..100."""
    metadata: bool = True
    """Whether the results keep their photos' metadata, as `kept_metadata` selects it."""
    gps: bool = False
    """Whether the kept metadata include the position."""
    compare: bool = False
    """Whether a picture of before and after is written next to each result."""
    existing: Existing = "refuse"
    """What happens if results exist: `refuse` stops the run, `skip` skips their photos, `replace` replaces them."""

    def result(self, photo: Place) -> Path:
        """Return the file of the enhanced photo."""
        return self.folder / f"{photo.stem}.{self.format}"

    def comparison(self, photo: Place) -> Path:
        """Return the file of the picture of before and after."""
        return self.folder / f"{photo.stem}{COMPARISON}"

    def files(self, photo: Place) -> list[Path]:
        """Return all files that are written for a photo."""
        return [self.result(photo), self.comparison(photo)] if self.compare else [self.result(photo)]


class Counts(NamedTuple):
    """Numbers of photos in a run."""

    enhanced: int
    asked: int
    """Photos that should have been enhanced."""
    there: int
    """Photos that were skipped since their results existed."""


def enhance_photos(model: Generator, sources: Iterable[Place], settings: Settings, output: Output) -> Counts:
    """Enhance photos, and report problems with single photos on the error stream.

    Parameters
    ----------
    model
        The network, on `settings.device`.
    sources
        Photos and folders of photos.
    settings
        How they are computed.
    output
        What is written.

    Returns
    -------
    Counts
        The outcome.

    Raises
    ------
    DpedtoolError
        Raised before any photo is read: a folder holds no photos, two results would have the same name, a result would
        replace a photo, results exist and `output.existing` refuses them, or another run writes to the folder.
    OSError
        A result cannot be written.

    """
    photos = find_photos(sources)
    check_results(photos, output)
    output.folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(output.folder)
    try:
        remaining = without_existing(photos, output)
        remove_leftovers(output.folder, below=False)
        enhanced = 0
        with showing("enhance", len(remaining)) as reach:
            for index, photo in enumerate(remaining):
                enhanced += _is_enhanced(model, photo, settings, output, partial(_reach_share, reach, index))
    finally:
        os.close(lock)
    return Counts(enhanced, len(remaining), len(photos) - len(remaining))


def _reach_share(reach: Reach, index: int, share: float) -> None:
    reach(index + share)


def find_photos(sources: Iterable[Place]) -> list[Place]:
    """Return the photos, and those in the folders, in the order given; a file that is named twice appears once.

    Raises
    ------
    DpedtoolError
        As in `list_photos`; missing photos are not checked here.

    """
    found: dict[Place, Place] = {}
    for source in sources:
        with answering(source):
            photos = list_photos(source) if source.is_dir() else [source]
        for photo in photos:
            found.setdefault(_whereabouts(photo), photo)
    return list(found.values())


def _whereabouts(photo: Place) -> Place:
    """Return the same for all paths to one name of a file; two links to one file count as two names."""
    return Path(os.path.realpath(photo.parent), photo.name) if isinstance(photo, Path) else photo


def check_results(photos: Sequence[Place], output: Output) -> None:
    """Refuse results that would have the same name, or that would replace a photo.

    Names that differ only in capitals, or in how accents are composed, are the same name on many file systems.

    Raises
    ------
    DpedtoolError
        The message names both files.

    """
    owners: dict[str, Place] = {}
    inputs = {_identity(photo): photo for photo in photos if isinstance(photo, Path)}
    for photo in photos:
        for file in output.files(photo):
            other = owners.setdefault(unicodedata.normalize("NFC", file.name).casefold(), photo)
            if other is not photo:
                raise DpedtoolError(
                    f"{other} and {photo} would both become {file}: rename one, or enhance them into separate folders."
                )
            if (identity := _identity(file)) and (replaced := inputs.get(identity)):
                raise DpedtoolError(f"{file} would replace the photo {replaced}: choose another folder.")


def without_existing(photos: Sequence[Place], output: Output) -> list[Place]:
    """Return the photos to enhance; `output.existing` decides about photos whose results exist.

    A photo is skipped only if all its files exist: an interrupted run may have written one of two.

    Raises
    ------
    DpedtoolError
        Results exist and are refused; the message names the first file.

    """
    if output.existing == "replace":
        return list(photos)
    if output.existing == "skip":
        return [photo for photo in photos if not all(os.path.lexists(file) for file in output.files(photo))]
    there = [file for photo in photos for file in output.files(photo) if os.path.lexists(file)]
    if there:
        count = f"{len(there)} result {'file' if len(there) == 1 else 'files'}"
        raise DpedtoolError(
            f"{there[0]} exists already ({count} in all): choose another folder, --existing skip to skip photos whose "
            "results exist, or --existing replace."
        )
    return list(photos)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what two names of one file have in common; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_enhanced(model: Generator, path: Place, settings: Settings, output: Output, tell: Reach) -> bool:
    try:
        _enhance(model, path, settings, output, tell)
    except Rejection as rejection:
        _say(path, rejection.detail)
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not (lack := lack_of_memory(error)):
            raise
        _say(path, lack)
    else:
        return True
    finally:
        tell(1)
    return False


def _enhance(model: Generator, path: Place, settings: Settings, output: Output, tell: Reach) -> None:
    _check_names(output.files(path))
    photo = open_photo(path)
    size = photo.size
    check_size(size, output.format)
    planned = plan(model.architecture, size, settings)
    if planned.scratch:
        _say(path, f"{in_gb(planned.scratch)} goes to a scratch file in {settings.scratch}")
    before = _decoded(photo)
    metadata = kept_metadata(photo, size, gps=output.gps) if output.metadata else Metadata()
    _say(path, metadata.note)
    after = enhance_photo(model, before, settings, planned, tell)
    write_photo(output.result(path), after, output.format, quality=output.quality, metadata=metadata)
    if output.compare:
        write_photo(output.comparison(path), side_by_side(before, after), "jpg")


def _check_names(files: Iterable[Path]) -> None:
    """Refuse names that are too long for the file system before anything is computed for them.

    Raises
    ------
    Rejection
        `name_too_long`.

    """
    for file in files:
        try:
            file.lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                why = f"the name of its result, {file.name}, is too long for {file.parent}: rename the photo"
                raise Rejection("name_too_long", why) from None


def _decoded(photo: PhotoFile) -> Image:
    """Return the photo's pixels, and report what was wrong with it."""
    with collected() as messages:
        image = photo.colour()
    _say(photo.path, photo.note)
    _say(photo.path, f"it is damaged ({'; '.join(messages)})." if messages else "")
    return image


def lack_of_memory(error: Exception) -> str:
    """Return what to do if numpy, OpenCV or torch ran out of memory; empty for other errors."""
    if not (what := what_ran_out(error)):
        return ""
    if what == "memory":
        return "there was not enough memory: close other programs, or set a limit with --max-memory"
    return "the GPU ran out of memory: close other programs that use it, or choose --device cpu"


def _say(path: Place, text: str) -> None:
    """Print a sentence about a photo, with the photo's name and a full stop; print nothing for an empty text."""
    if text:
        named = text if text.startswith(str(path)) else f"{path}: {text}"
        print(f"{named.removesuffix('.')}.", file=sys.stderr, flush=True)
