"""The user's own list of pairs: a CSV file with the columns phone and dslr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dpedtool.dataset.csv_lines import csv_lines
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import Place

COLUMNS = ("phone", "dslr")
SESSION = "session"


def read_pair_list(path: Path, phones: Sequence[Place], dslrs: Sequence[Place], session: str = "") -> dict[int, int]:
    """Return phone index to DSLR index of the pairs that a CSV file lists.

    Parameters
    ----------
    path
        UTF-8, with or without a byte order mark. The header has the columns phone and dslr; other columns, except
        session where there are several, are ignored.
        The lines below it hold file names of photos, or stems that only one photo has. Blank lines, and spaces around
        cells, are ignored.
    phones, dslrs
        The photos that it may name.
    session
        Name of the session that the photos are of; lines that name another one in the column session are left out.
        Empty where there is only one.

    Raises
    ------
    DpedtoolError
        The file is missing, is not such a table, lists no pairs, names other photos than these, or names a phone's
        photo twice.

    """
    table = csv_lines(path, "pair.csv or --csv")
    _, header = next(table, (0, []))
    cameras = [_Camera(path, header, *camera) for camera in zip(COLUMNS, (phones, dslrs), strict=True)]
    lines = list(table)
    if session:
        of_session = _sessions(path, header)
        lines = [line for line in lines if of_session(line[1]) == session]
    # Several of the phone's photos may be frames of one moment.
    found = {cameras[0].find(*line): cameras[1].find(*line, again=True) for line in lines}
    if session and not found:
        raise DpedtoolError(f"{path} lists no pairs of the session {session}: add lines for it, or leave it out.")
    if not found:
        raise DpedtoolError(f"{path} lists no pairs: write one line phone,dslr for each pair below the header.")
    return found


def _sessions(path: Path, header: Sequence[str]) -> Callable[[Sequence[str]], str]:
    """Return a function that reads the session of a line."""
    if header.count(SESSION) != 1:
        raise DpedtoolError(
            f"{path} must name the column session once in its first line, since captures.sessions lists several."
        )
    place = header.index(SESSION)
    return lambda cells: cells[place] if place < len(cells) else ""


class _Camera:
    """One column of the list and the photos that it may name, each once."""

    def __init__(self, path: Path, header: Sequence[str], column: str, photos: Sequence[Place]) -> None:
        if header.count(column) != 1:
            found = ", ".join(header) or "nothing"
            raise DpedtoolError(
                f"The first line of {path} must name the columns phone and dslr once each, separated by a comma; it "
                f"holds {found}."
            )
        self._path, self._place, self._column = path, header.index(column), column
        self._folder = photos[0].parent
        self._names = {photo.name: index for index, photo in enumerate(photos)}
        self._stems = {photo.stem: index for index, photo in enumerate(photos)}
        self._uses = Counter(photo.stem for photo in photos)
        self._lines: dict[int, int] = {}

    def find(self, number: int, cells: Sequence[str], *, again: bool = False) -> int:
        """Return the index of the photo that a line names; `again`: earlier lines may name it too."""
        where = f"Line {number} of {self._path}"
        name = cells[self._place] if self._place < len(cells) else ""
        if not name:
            raise DpedtoolError(f"{where} names no photo in the column {self._column}: fill it in, or remove the line.")
        index = self._index(name, where)
        if index in self._lines and not again:
            raise DpedtoolError(
                f"{where} names {name}, and so does line {self._lines[index]}: a photo can have only one partner, so "
                "remove one of the lines."
            )
        self._lines[index] = number
        return index

    def _index(self, name: str, where: str) -> int:
        # Only names of the folder's own photos are accepted, so that no name leads out of it.
        if name in self._names:
            return self._names[name]
        if "/" in name or "\\" in name:
            raise DpedtoolError(f"{where} names {name!r}: write only the file name of a photo in {self._folder}.")
        if self._uses[name] > 1:
            raise DpedtoolError(
                f"{where} names {name!r}, but {self._folder} holds several such photos: add the suffix."
            )
        if not self._uses[name]:
            raise DpedtoolError(f"{where} names {name!r}, but {self._folder} holds no such photo: correct the name.")
        return self._stems[name]
