"""Finds the pairs of images in a folder in the layout of DPED, or in two plain folders, and what they are for.

    <phone>/training_data/{<phone>,<dslr>}/N.jpg
    <phone>/validation_data/patches/{<phone>,<dslr>}/N.jpg         not in DPED's own release
    <phone>/test_data/patches/{<phone>,<dslr>}/N.jpg
    {<phone>,<dslr>}/N.jpg                                         plain: the user says what they are for

Nothing outside the folder is read, even if links lead there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import by_stem, counting
from dpedtool.dataset.places import printable
from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.foreign.dped_layout import BELOW, FULL_SIZE, PARTS, SUFFIXES, TEST, TRAINING, VALIDATION


@dataclass(frozen=True)
class Couple:
    """Two images of one name, or one that has no mate."""

    name: str
    """Without suffix."""
    phone: str | None
    """File name of the phone's image; None if it is missing."""
    dslr: str | None
    """File name of the DSLR's image; None if it is missing."""


@dataclass(frozen=True)
class PairFolders:
    """The images of one phone for one split: the phone's folder, and the DSLR's."""

    phone: str
    split: str
    """train, validation or test."""
    phone_dir: Path
    dslr_dir: Path
    couples: Sequence[Couple]
    """In the order of counting: 2 before 10."""


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    pairs: Sequence[PairFolders]
    """By phone; for each phone first training, then validation, then the test."""
    full_size: int
    """Full-size test photos, which have no mates."""


def find_pairs(folder: Path, dslr: str = "canon", split: str | None = None) -> Found:
    """Find the pairs of images in a folder, or in its sub-folder `dped`.

    Parameters
    ----------
    folder
        A phone's folder, one of several phones', a release, or one with two plain folders of images.
    dslr
        Name of the DSLR's folders; the folder next to each is the phone's.
    split
        What two plain folders are for: train, validation or test.

    Raises
    ------
    DpedtoolError
        The folder is missing or holds no pairs; it is not clear which folder is the phone's; `split` is missing for
        plain folders, or is given for a layout that says it itself; a link leads out of the folder; two images have
        the same name except for the suffix; a name is not one line of valid UTF-8.

    """
    if not folder.is_dir():
        raise DpedtoolError(f"There is no folder {folder}: name a data set in the layout of DPED.")
    inside = _Inside(folder)
    homes = inside.phones(folder) or (inside.phones(folder / BELOW) if (folder / BELOW).is_dir() else [])
    if not homes:
        return Found([_plain(folder, dslr, split, inside)], 0)
    if split:
        raise DpedtoolError(f"{folder} already says what its images are for, as DPED does: leave out --as.")
    pairs = [pairs for home in homes for name in SPLITS if (pairs := _part(home, name, dslr, inside))]
    if not pairs:
        raise DpedtoolError(f"{folder} is laid out as DPED, but holds no patches: {TRAINING} and {TEST} are empty.")
    return Found(pairs, sum(len(inside.images(home / TEST / FULL_SIZE)) for home in homes))


def _part(home: Path, split: str, dslr: str, inside: _Inside) -> PairFolders | None:
    """Return the images of a phone for one split."""
    cameras = inside.cameras(home / PARTS[split])
    return _paired(home.resolve().name, split, home / PARTS[split], dslr, cameras) if cameras else None


def _plain(folder: Path, dslr: str, split: str | None, inside: _Inside) -> PairFolders:
    cameras = inside.cameras(folder)
    if not cameras:
        raise DpedtoolError(
            f"{folder} holds neither images laid out as DPED, in {TRAINING} and {TEST}, nor two folders of images."
        )
    pairs = _paired("", split or "", folder, dslr, cameras)
    if split not in SPLITS:
        raise DpedtoolError(
            f"{folder} does not say what its images are for: set --as to {', '.join(SPLITS[:-1])} or {SPLITS[-1]}."
        )
    return pairs


def _paired(phone: str, split: str, above: Path, dslr: str, cameras: dict[str, dict[str, Path]]) -> PairFolders:
    """Pair the images of two cameras by name; a phone without a name gets that of its folder."""
    others = sorted(name for name in cameras if name != dslr)
    if dslr not in cameras or len(others) != 1:
        raise DpedtoolError(
            f"{above} holds images in {', '.join(sorted(cameras))}, but there must be two folders, and one of them "
            f"must be the DSLR's, {dslr}: give its name by --dslr, and move other folders away."
        )
    ours, theirs = cameras[others[0]], cameras[dslr]
    couples = [
        Couple(name, *(images[name].name if name in images else None for images in (ours, theirs)))
        for name in sorted({*ours, *theirs}, key=counting)
    ]
    return PairFolders(phone or others[0], split, above / others[0], above / dslr, couples)


class _Inside:
    """The content of a folder: links are followed as long as they stay in it, and hidden files are left out."""

    def __init__(self, root: Path) -> None:
        self._root, self._resolved = root, root.resolve()

    def phones(self, folder: Path) -> list[Path]:
        """Return the folder itself, or the folders in it, if they are laid out as a phone's."""
        homes = [folder] if self._is_phone(folder) else [path for path in self._folders(folder) if self._is_phone(path)]
        return [self._checked(home) for home in homes]

    def cameras(self, above: Path) -> dict[str, dict[str, Path]]:
        """Return the images of each folder in a folder that holds any, by name without suffix."""
        found = {path.name: self.images(path) for path in self._folders(above)}
        return {name: by_stem(images) for name, images in found.items() if images}

    def images(self, folder: Path) -> list[Path]:
        """Return the images directly in a folder."""
        if not folder.is_dir():
            return []
        found = [path for path in self._checked(folder).iterdir() if path.suffix.lower() in SUFFIXES]
        return [self._named(path) for path in found if not path.name.startswith(".")]

    def _folders(self, folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    def _is_phone(self, folder: Path) -> bool:
        return any((folder / name).is_dir() for name in (TRAINING, VALIDATION, TEST))

    def _named(self, path: Path) -> Path:
        if printable(path) != str(path):
            raise DpedtoolError(f"The name of {printable(path)} is not one line of valid UTF-8: rename it.")
        return self._checked(path) if path.is_symlink() else path

    def _checked(self, path: Path) -> Path:
        if not path.resolve().is_relative_to(self._resolved):
            raise DpedtoolError(
                f"{path} leads out of {self._root} by a link, and nothing is read there: replace it by a copy, or "
                "remove it."
            )
        return path
