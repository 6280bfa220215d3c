"""Photos from files through the network to files, one after the other; one that cannot be used stops no other."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import torch

from dataset.decoder_messages import collected
from dataset.errors import DpedtoolError, Rejection
from dataset.io import lock_folder, remove_leftovers
from dataset.photo_files import Format, check_size, write_photo
from dataset.photo_metadata import Metadata, kept_metadata
from dataset.photos import list_photos, open_photo
from dataset.places import Place, answering
from dataset.progress import Reach, showing
from dataset.stored import Image
from training.enhance.side_by_side import side_by_side
from training.enhance.whole_photo import Settings, enhance_photo, plan
from training.model import Generator

COMPARISON = ".compare.jpg"


@dataclass(frozen=True)
class Output:
    """What is written, and where."""

    folder: Path
    format: Format = "png"
    quality: int = 95
    """Of JPEG, 1..100."""
    metadata: bool = True
    """Whether the results say of their photos what `kept_metadata` keeps."""
    gps: bool = False
    """Whether that holds the position."""
    compare: bool = False
    """Whether a picture of before and after is written beside each result."""

    def result(self, photo: Place) -> Path:
        """The file of the enhanced photo."""
        return self.folder / f"{photo.stem}.{self.format}"

    def comparison(self, photo: Place) -> Path:
        """The file of the picture of before and after."""
        return self.folder / f"{photo.stem}{COMPARISON}"

    def files(self, photo: Place) -> list[Path]:
        """All that is written for a photo."""
        return [self.result(photo), self.comparison(photo)] if self.compare else [self.result(photo)]


def enhance_photos(model: Generator, sources: Iterable[Place], settings: Settings, output: Output) -> tuple[int, int]:
    """Enhance photos, and say on the error stream what was wrong with which.

    Parameters
    ----------
    model
        On `settings.device`.
    sources
        Photos, and folders of photos.
    settings
        How they are computed.
    output
        What is written; what its files held is replaced.

    Returns
    -------
    tuple
        How many were enhanced, and of how many.

    Raises
    ------
    DpedtoolError
        Before any is read: a folder holds no photos, two results would have one name, a result would replace a photo,
        or another run writes to the folder.
    OSError
        A result cannot be written.

    """
    photos = find_photos(sources)
    check_results(photos, output)
    output.folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(output.folder)
    try:
        remove_leftovers(output.folder, below=False)
        enhanced = 0
        with showing("enhance", len(photos)) as reach:
            for index, photo in enumerate(photos):
                enhanced += _is_enhanced(model, photo, settings, output, partial(_reach_share, reach, index))
    finally:
        os.close(lock)
    return enhanced, len(photos)


def _reach_share(reach: Reach, index: int, share: float) -> None:
    reach(index + share)


def find_photos(sources: Iterable[Place]) -> list[Place]:
    """Return the photos, and those in the folders, in the order given; a file that is named twice once.

    Raises
    ------
    DpedtoolError
        As `list_photos`; a photo that is missing is another's concern.

    """
    found: dict[Place, Place] = {}
    for source in sources:
        with answering(source):
            photos = list_photos(source) if source.is_dir() else [source]
        for photo in photos:
            found.setdefault(_whereabouts(photo), photo)
    return list(found.values())


def _whereabouts(photo: Place) -> Place:
    """Return the same for all ways to one name of a file; two links to one file have names of their own."""
    return Path(os.path.realpath(photo.parent), photo.name) if isinstance(photo, Path) else photo


def check_results(photos: Sequence[Place], output: Output) -> None:
    """Refuse results that would have one name, or that would replace a photo.

    Names that differ in capitals alone, or in how accents are composed, are one name on many file systems.

    Raises
    ------
    DpedtoolError
        With both files.

    """
    owners: dict[str, Place] = {}
    inputs = {_identity(photo): photo for photo in photos if isinstance(photo, Path)}
    for photo in photos:
        for file in output.files(photo):
            other = owners.setdefault(unicodedata.normalize("NFC", file.name).casefold(), photo)
            if other is not photo:
                raise DpedtoolError(
                    f"{other} and {photo} would both become {file}: rename one, or give them folders of their own."
                )
            if (identity := _identity(file)) and (replaced := inputs.get(identity)):
                raise DpedtoolError(f"{file} would replace the photo {replaced}: write to another folder.")


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file have in common; None where there is no file."""
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
        if not _lacks_memory(error):
            raise
        _say(path, "the memory ran out: close other programs, or set a limit by --max-memory.")
    else:
        return True
    finally:
        tell(1)
    return False


def _enhance(model: Generator, path: Place, settings: Settings, output: Output, tell: Reach) -> None:
    before, metadata = _read(model, path, settings, output)
    after = enhance_photo(model, before, settings, tell)
    write_photo(output.result(path), after, output.format, quality=output.quality, metadata=metadata)
    if output.compare:
        write_photo(output.comparison(path), side_by_side(before, after), "jpg")


def _read(model: Generator, path: Place, settings: Settings, output: Output) -> tuple[Image, Metadata]:
    """Return the photo and what is kept of its metadata; its size is judged before it is decoded."""
    photo = open_photo(path)
    with collected() as messages:
        size = photo.size
        check_size(size, output.format)
        plan(model.architecture, size, settings)
        image = photo.colour()
    metadata = kept_metadata(photo, size, gps=output.gps) if output.metadata else Metadata()
    damage = f"it is damaged ({'; '.join(messages)})" if messages else ""
    for text in filter(None, (photo.note, damage, metadata.note)):
        _say(path, f"{text.removesuffix('.')}.")
    return image, metadata


def _lacks_memory(error: Exception) -> bool:
    """Whether this is how numpy, OpenCV or torch say that no memory is left."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _say(path: Place, text: str) -> None:
    """Print a sentence on a photo, which names it."""
    print(text if text.startswith(str(path)) else f"{path}: {text}", file=sys.stderr, flush=True)
