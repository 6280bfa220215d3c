"""The files in a camera's folder that are not read as photos, by kind, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpedtool.dataset.photos.formats.input_format import HEAD
from dpedtool.dataset.photos.formats.table import SUFFIXES, format_of_bytes
from dpedtool.dataset.places import Place

_CLOUD = frozenset({".icloud", ".cloud", ".cloudf"})
"""Suffixes of the small files that stand for files which are not on this machine."""
_VIDEOS = frozenset(
    {
        *(".mov", ".mp4", ".m4v", ".mp", ".avi", ".3gp", ".3g2", ".mts", ".m2ts", ".mkv", ".webm", ".mpg", ".mpeg"),
        *(".wmv", ".insv", ".lrv", ".crm", ".braw", ".mxf", ".hevc"),
    }
)
_SIDECARS = frozenset(
    {
        *(".aae", ".xmp", ".xml", ".json", ".thm", ".pp3", ".dop", ".cos", ".cop", ".vrd", ".nksc", ".on1", ".arp"),
        *(".rrdata", ".photo-edit", ".wav", ".ctg", ".dr4"),
    }
)
"""What cameras and programs write about a photo: edits, descriptions, small pictures of videos, notes by voice."""
_OF_SYSTEM = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
_MOST_NAMED = 3
_DEPTH = 3
"""Of the sub-folders that are looked into only to say that they hold photos."""

# The kinds, as the JSON of `dpedtool pair` names them.
CLOUD, EMPTY, VIDEOS, SIDECARS, MISNAMED = "not_downloaded", "empty_files", "videos", "sidecars", "misnamed_photos"
HIDDEN, OTHERS, BELOW, LOCKED = "hidden_photos", "other_files", "photos_in_subfolders", "unreadable_subfolders"
_WORDS = {
    CLOUD: ("file that is not downloaded from the cloud", "files that are not downloaded from the cloud"),
    EMPTY: ("empty file", "empty files"),
    VIDEOS: ("video", "videos"),
    SIDECARS: ("sidecar", "sidecars"),
    MISNAMED: ("photo with the suffix of another kind of file", "photos with suffixes of other kinds of files"),
    HIDDEN: ("hidden photo", "hidden photos"),
    OTHERS: ("other file", "other files"),
    BELOW: ("photo in sub-folders", "photos in sub-folders"),
    LOCKED: ("sub-folder that cannot be read", "sub-folders that cannot be read"),
}
"""One and several files of each kind, in the order of the sentence."""


@dataclass(frozen=True)
class LeftOut:
    """What a camera's folder holds besides the photos that are read."""

    folder: Place
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of files of each kind that there is."""
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each kind, what the sentence names: file names, suffixes or sub-folders, sorted."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"folder": str(self.folder), **self.counts}

    @property
    def clause(self) -> str:
        """The kinds with their numbers, as a clause; empty if nothing was left out."""
        return ", ".join(self._words(kind) for kind in _WORDS if self.counts.get(kind))

    @property
    def sentence(self) -> str:
        """What was left out, as a sentence; empty if it was nothing."""
        hint = "; --recursive reads sub-folders" if self.counts.get(BELOW) else ""
        return f"Left out of {self.folder}: {self.clause}{hint}." if self.clause else ""

    @property
    def remedy(self) -> str:
        """How the folder can get photos, as a clause."""
        if self.counts.get(BELOW):
            return (
                "name one of the sub-folders, or let `pair` and `align` read all of them with --recursive "
                "(captures.recursive: true in a params file)"
            )
        if self.counts.get(CLOUD) or self.counts.get(EMPTY):
            return "download them first, or copy the photos from the camera"
        if self.counts.get(MISNAMED):
            return "rename them"
        return "put JPEG, PNG, TIFF, HEIC or camera raw files there"

    def _words(self, kind: str) -> str:
        count, names = self.counts[kind], list(self.examples.get(kind, ()))
        more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
        shown = ", ".join([*names[:_MOST_NAMED], *more])
        return f"{count} {_WORDS[kind][count != 1]} ({shown})"


def left_out(folder: Place, files: Iterable[Place], subfolders: Iterable[Place]) -> LeftOut:
    """Sort what is not read as a photo by its kind.

    Parameters
    ----------
    folder
        The camera's folder.
    files
        All files that were looked at, photos too.
    subfolders
        The sub-folders that are not read.

    """
    found: dict[str, list[str]] = {}
    for file in files:
        kind, example = _kind(file)
        if kind:
            found.setdefault(kind, []).append(example)
    for below in subfolders:
        try:
            count = _photos_below(below, _DEPTH)
        except OSError:
            # The folder is not needed for the run, and is named.
            found.setdefault(LOCKED, []).append(below.name)
            continue
        if count:
            found.setdefault(BELOW, []).extend([below.name] * count)
    return LeftOut(
        folder,
        {kind: len(names) for kind, names in found.items()},
        {kind: sorted(set(names)) for kind, names in found.items()},
    )


def _kind(file: Place) -> tuple[str, str]:
    """Return the kind of a file, empty for one that is read or of no interest, and what to name it by."""
    name, suffix = file.name, file.suffix.lower()
    if suffix in _CLOUD:
        return CLOUD, name
    # macOS writes ._NAME for each file on a card, and Android .trashed-N-NAME for what was deleted.
    if name.startswith("."):
        return (HIDDEN, name) if suffix in SUFFIXES and not name.startswith("._") else ("", "")
    if suffix in SUFFIXES:
        return (EMPTY, name) if _is_empty(file) else ("", "")
    if name.lower() in _OF_SYSTEM:
        return "", ""
    for kind, suffixes in ((VIDEOS, _VIDEOS), (SIDECARS, _SIDECARS)):
        if suffix in suffixes:
            return kind, suffix
    format_ = _format_inside(file)
    return (MISNAMED, f"{name} is {format_}") if format_ else (OTHERS, suffix or "no suffix")


def _is_empty(file: Place) -> bool:
    # Each question to a URL takes time, and clouds' placeholders are on this machine.
    return isinstance(file, Path) and file.is_file() and file.stat().st_size == 0


def _format_inside(file: Place) -> str:
    """Return the format of a photo with the name of something else; empty if it is none, or cannot be read."""
    if not isinstance(file, Path) or not file.is_file():
        return ""
    try:
        with file.open("rb") as opened:
            format_ = format_of_bytes(opened.read(HEAD))
    except PermissionError:
        return ""
    return format_.name if format_ else ""


def _photos_below(folder: Place, depth: int) -> int:
    """Count the files with a photo's name in a folder and in the folders below it."""
    count = 0
    for path in folder.iterdir():
        if re.match(r"[.@]", path.name):
            continue
        if path.is_dir():
            # A URL is looked at once only, since each question takes time.
            count += _photos_below(path, depth - 1) if depth and isinstance(path, Path) else 0
        else:
            count += path.suffix.lower() in SUFFIXES
    return count
