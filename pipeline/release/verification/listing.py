"""The files in the folder of a release, compared with its list of sums."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpedtool.pipeline.release.description import SUMS

PASSED_OVER = frozenset(
    {".git", ".gitattributes", ".gitignore", ".cache", ".huggingface", ".dvc", ".dvcignore", ".DS_Store"}
)
"""What hubs, version control and desktops put into the topmost folder. It is not part of a release or checked."""

_LINE = re.compile(rb"([0-9a-f]{64}) [ *](.+)")
_LONGEST_LINE = 4096
_MOST_BYTES = 2**30
"""Most bytes of a list, enough for some millions of files."""
_MOST_BAD_LINES = 20
"""After so many bad lines the file is taken for something other than a list."""


@dataclass(frozen=True)
class Listing:
    """The files of a release by name. Names are relative to its folder, with forward slashes."""

    sums: Mapping[str, str]
    """SHA-256, hex, of each listed file with a valid name."""
    there: Mapping[str, int]
    """Size in bytes of each regular file in the folder, except the list itself."""
    links: frozenset[str]
    """Links. They are never followed."""
    faults: Sequence[str]
    passed_over: Sequence[str]
    """Files and folders of hubs and the like that were not checked."""

    def holds(self, name: str) -> bool:
        """Return whether a regular file of this name exists."""
        return name in self.there


def list_release(folder: Path) -> Listing:
    """Return which files exist, which are listed, and where these differ. Only the list itself is read."""
    there: dict[str, int] = {}
    links: set[str] = set()
    passed_over: list[str] = []
    faults: list[str] = []
    for name, entry in _walk(folder, "", passed_over, faults):
        if entry.is_symlink():
            links.add(name)
            faults.append(f"{name}: it is a link, but a release has no links: put the file itself there.")
        elif not entry.is_file(follow_symlinks=False):
            faults.append(f"{name}: it is neither a file nor a folder: remove it.")
        elif name != SUMS:
            there[name] = entry.stat(follow_symlinks=False).st_size
    sums, bad = _read_sums(folder / SUMS) if SUMS not in links else ({}, [])
    faults += bad
    faults += [f"{name}: it is listed in {SUMS}, but missing." for name in sorted(sums.keys() - there.keys() - links)]
    if sums:
        faults += [f"{name}: it is not listed in {SUMS}." for name in sorted(there.keys() - sums.keys())]
    return Listing(sums, there, frozenset(links), sorted(faults), sorted(passed_over))


def _walk(
    folder: Path, above: str, passed_over: list[str], faults: list[str]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the name and entry of everything that is not a folder. Links to folders are not followed."""
    waiting = [above]
    while waiting:
        above = waiting.pop()
        try:
            entries = sorted(os.scandir(folder / above), key=lambda entry: entry.name)
        except OSError as error:
            faults.append(f"{above or '.'}: the folder cannot be read: {error.strerror}.")
            continue
        for entry in entries:
            name = above + entry.name
            if not above and entry.name in PASSED_OVER:
                passed_over.append(name)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            else:
                yield name, entry


def _read_sums(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the sums of a list, and what is wrong with it, one line each."""
    sums: dict[str, str] = {}
    faults: list[str] = []
    try:
        for number, line in enumerate(_lines(path), start=1):
            fault = _take(line, sums)
            if fault:
                faults.append(f"{SUMS}: line {number} {fault}.")
            if len(faults) == _MOST_BAD_LINES:
                faults.append(f"{SUMS}: too many lines are wrong, so the rest was not read.")
                break
    except FileNotFoundError:
        return {}, [f"{SUMS}: it is missing, so nothing proves that the files are those that were released."]
    except OSError as error:
        return {}, [f"{SUMS}: it cannot be read: {error.strerror}."]
    if not sums and not faults:
        faults.append(f"{SUMS}: it is empty.")
    return sums, faults


def _lines(path: Path) -> Iterator[bytes]:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
        raise OSError(0, "it is not a file, or larger than any list")
    with path.open("rb") as file:
        # A line that never ends would fill the memory.
        while line := file.readline(_LONGEST_LINE):
            yield line.removesuffix(b"\n")


def _take(line: bytes, sums: dict[str, str]) -> str:
    """Add a line to the sums, or return what is wrong with it."""
    found = _LINE.fullmatch(line)
    if not found:
        return "is not a line of `sha256sum`: 64 hexadecimal digits, two spaces and a name"
    try:
        name = found[2].decode()
    except UnicodeDecodeError:
        return "has a name that is not in UTF-8"
    if not is_inside(name):
        return f"names {name!r}, which is not a plain name inside the folder"
    if name in sums:
        return f"names {name} a second time"
    sums[name] = found[1].decode()
    return ""


def is_inside(name: str) -> bool:
    """Return whether a name is relative and below the folder, without '..', '.', backslashes or control characters."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and all(part not in ("", ".", "..") for part in parts)


def one_line(error: BaseException) -> str:
    """Return what an error says as a clause without a full stop, shortened."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
