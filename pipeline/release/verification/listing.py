"""What lies in the folder of a release, and what its list of sums says should."""

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
"""What hubs, version control and desktops put into the topmost folder; no part of a release, and not looked at."""

_LINE = re.compile(rb"([0-9a-f]{64}) [ *](.+)")
_LONGEST_LINE = 4096
_MOST_BYTES = 2**30
"""Of a list: some millions of files."""
_MOST_BAD_LINES = 20
"""So many lines that are none show that the file is something else."""


@dataclass(frozen=True)
class Listing:
    """The files of a release by name: relative to its folder, with forward slashes."""

    sums: Mapping[str, str]
    """SHA-256, hex, of each file that is listed under a name that can be one."""
    there: Mapping[str, int]
    """Bytes of each regular file that is there, the list itself left out."""
    links: frozenset[str]
    """Links, which are never followed."""
    faults: Sequence[str]
    passed_over: Sequence[str]
    """Files and folders of hubs and the like, which were not looked at."""

    def holds(self, name: str) -> bool:
        """Whether a regular file is there."""
        return name in self.there


def list_release(folder: Path) -> Listing:
    """Return what is there and what should be, and where these differ; no content but the list's is read."""
    there: dict[str, int] = {}
    links: set[str] = set()
    passed_over: list[str] = []
    faults: list[str] = []
    for name, entry in _walk(folder, "", passed_over, faults):
        if entry.is_symlink():
            links.add(name)
            faults.append(f"{name}: it is a link, which a release has none of: put the file itself there.")
        elif not entry.is_file(follow_symlinks=False):
            faults.append(f"{name}: it is neither a file nor a folder: remove it.")
        elif name != SUMS:
            there[name] = entry.stat(follow_symlinks=False).st_size
    sums, bad = _read_sums(folder / SUMS) if SUMS not in links else ({}, [])
    faults += bad
    faults += [f"{name}: it is listed in {SUMS}, but not there." for name in sorted(sums.keys() - there.keys() - links)]
    if sums:
        faults += [f"{name}: it is not listed in {SUMS}." for name in sorted(there.keys() - sums.keys())]
    return Listing(sums, there, frozenset(links), sorted(faults), sorted(passed_over))


def _walk(
    folder: Path, above: str, passed_over: list[str], faults: list[str]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield whatever is no folder, by its name; folders are gone into, links are not."""
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
    """Return the sums of a list, and what is wrong with it, a line each."""
    sums: dict[str, str] = {}
    faults: list[str] = []
    try:
        for number, line in enumerate(_lines(path), start=1):
            fault = _take(line, sums)
            if fault:
                faults.append(f"{SUMS}: line {number} {fault}.")
            if len(faults) == _MOST_BAD_LINES:
                faults.append(f"{SUMS}: so many lines are wrong that the rest was not read.")
                break
    except FileNotFoundError:
        return {}, [f"{SUMS}: it is missing, so that nothing proves that the files are those released."]
    except OSError as error:
        return {}, [f"{SUMS}: it cannot be read: {error.strerror}."]
    if not sums and not faults:
        faults.append(f"{SUMS}: it is empty.")
    return sums, faults


def _lines(path: Path) -> Iterator[bytes]:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
        raise OSError(0, "it is no file, or larger than any list")
    with path.open("rb") as file:
        # A line without end would fill the memory.
        while line := file.readline(_LONGEST_LINE):
            yield line.removesuffix(b"\n")


def _take(line: bytes, sums: dict[str, str]) -> str:
    """Add a line to the sums, or say what is wrong with it."""
    found = _LINE.fullmatch(line)
    if not found:
        return "is none of `sha256sum`: 64 hexadecimal digits, two spaces and a name"
    try:
        name = found[2].decode()
    except UnicodeDecodeError:
        return "has a name that is no UTF-8"
    if not is_inside(name):
        return f"names {name!r}, which is no plain name inside the folder"
    if name in sums:
        return f"names {name} a second time"
    sums[name] = found[1].decode()
    return ""


def is_inside(name: str) -> bool:
    """Whether a name is a plain one below the folder: relative, without '..', '.', backslashes or control signs."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and all(part not in ("", ".", "..") for part in parts)


def one_line(error: BaseException) -> str:
    """Return what an error says as a clause without a full stop, shortened."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
