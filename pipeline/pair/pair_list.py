"""The user's own list of pairs: a CSV file with the columns phone and dslr."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from dpedtool.dataset.csv_lines import csv_lines
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.names import folded
from dpedtool.dataset.params import COLUMNS_OF_LIST
from dpedtool.dataset.photos.listing import subpath
from dpedtool.dataset.places import Place
from dpedtool.pipeline.pair.notes import many, named

COLUMNS, SESSION = COLUMNS_OF_LIST[:2], COLUMNS_OF_LIST[2]
NAMED_BY = "pair.csv or --csv"


def read_pair_list(
    path: Path,
    phones: Sequence[Place],
    dslrs: Sequence[Place],
    session: str = "",
    beside: Mapping[Place, Place] = MappingProxyType({}),
    reference: str = "",
) -> dict[int, int]:
    """Return phone index to DSLR index of the pairs that a CSV file lists.

    Parameters
    ----------
    path
        As `csv_lines` reads it. The header has the columns phone and dslr, in any case of letters;
        other columns, except session where there are several, are ignored.
        The lines below it hold file names of photos, or stems that only one photo has, with or without the sub-folder;
        the case of letters matters only where two names differ in it. Blank lines, and spaces around cells, are
        ignored.
    phones, dslrs
        The photos that it may name.
    session
        Name of the session that the photos are of; lines that name another one in the column session are left out.
        Empty where there is only one.
    beside
        Files that lie beside these photos, and the photo of each; the list cannot name them.
    reference
        Name of the further reference that the second photos are of. Its column has this name instead of dslr, and an
        empty cell where it has no photo of the moment. Empty for the base reference.

    Raises
    ------
    DpedtoolError
        The file is missing, is not such a table, lists no pairs, names other photos than these, names a phone's
        photo twice, or has a line without a session.

    """
    table = csv_lines(path, NAMED_BY)
    _, header = next(table, (0, []))
    columns = ("phone", reference.casefold()) if reference else COLUMNS
    cameras = [_Camera(path, header, *camera, beside) for camera in zip(columns, (phones, dslrs), strict=True)]
    lines = [line for line in table if not reference or cameras[1].is_named(line[1])]
    if session:
        place = _place_of_session(path, header)
        lines = [line for line in lines if _session(path, line, place).casefold() == session.casefold()]
    # Several of the phone's photos may be frames of one moment.
    found = {cameras[0].find(*line): cameras[1].find(*line, again=True) for line in lines}
    if reference:
        _check_moments(path, lines, cameras[1], _places(path, header).get(COLUMNS[1], len(header)))
        return found
    if session and not found:
        raise DpedtoolError(f"{path} lists no pairs of the session {session}: add lines for it, or leave it out.")
    if not found:
        raise DpedtoolError(f"{path} lists no pairs: write one line phone,dslr for each pair below the header.")
    return found


def notes_of_sessions(path: Path, phone: str, sessions: Sequence[str]) -> list[str]:
    """Say which lines of a list no session uses; no sentence if there are none.

    Parameters
    ----------
    path
        The list, as `read_pair_list` reads it.
    phone
        Name of the phone.
    sessions
        The sessions that have photos of it.

    Raises
    ------
    DpedtoolError
        The file is missing, is not such a table, or has a line without a session.

    """
    table = csv_lines(path, NAMED_BY)
    _, header = next(table, (0, []))
    place = _place_of_session(path, header)
    known = {session.casefold() for session in sessions}
    lost = [(line[0], name) for line in table if (name := _session(path, line, place)).casefold() not in known]
    if not lost:
        return []
    lines = [f"line {number} ({name})" for number, name in lost]
    there = ", ".join(sorted(sessions))
    return [
        f"{len(lost)} {many(len(lost), 'line', 'lines')} of {path} cannot be used, because {phone} has no photos in "
        f"the session named there: {named(lines)}; it has photos in {there}."
    ]


def _check_moments(path: Path, lines: Sequence[tuple[int, Sequence[str]]], further: _Camera, base: int) -> None:
    """Refuse a photo of a further reference in lines of two moments.

    The photos of the base reference, in the column at place `base`, tell moments apart.
    """
    first: dict[int, tuple[int, str]] = {}
    for number, cells in lines:
        photo, moment = further.find(number, cells, again=True), folded("".join(cells[base : base + 1]))
        if (known := first.setdefault(photo, (number, moment)))[1] != moment:
            raise DpedtoolError(
                f"Line {number} of {path} names {further.name_in(cells)}, and so does line {known[0]}, with another "
                "photo of the base reference: correct one of the lines."
            )


def _place_of_session(path: Path, header: Sequence[str]) -> int:
    place = _places(path, header).get(SESSION)
    if place is None:
        raise DpedtoolError(
            f"{path} must name the column session in its first line, since captures.sessions lists several."
        )
    return place


def _session(path: Path, line: tuple[int, Sequence[str]], place: int) -> str:
    """Return the session that a line names."""
    number, cells = line
    if place >= len(cells) or not cells[place]:
        raise DpedtoolError(f"Line {number} of {path} names no session: fill it in, or remove the line.")
    return cells[place]


def _places(path: Path, header: Sequence[str], column: str = "") -> dict[str, int]:
    """Return the place of each column that has a meaning, by its name in lower case; `column` is one more of them."""
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        plain = name.casefold()
        if plain in places and plain in (*COLUMNS, SESSION, column):
            raise DpedtoolError(
                f"{path} has the columns {header[places[plain]]!r} and {name!r}, which mean the same: remove one of "
                "them."
            )
        places.setdefault(plain, place)
    return places


class _Camera:
    """One column of the list and the photos that it may name, each once."""

    def __init__(
        self, path: Path, header: Sequence[str], column: str, photos: Sequence[Place], beside: Mapping[Place, Place]
    ) -> None:
        place = _places(path, header, column).get(column)
        if place is None:
            found = ", ".join(header) or "nothing"
            if column not in COLUMNS:
                raise DpedtoolError(
                    f"The first line of {path} must name a column {column} too, for the photos of that further "
                    f"reference; it holds {found}."
                )
            raise DpedtoolError(
                f"The first line of {path} must name the columns phone and dslr, separated by a comma, a semicolon or "
                f"a tab; it holds {found}."
            )
        self._path, self._place, self._column = path, place, column
        self._folder = photos[0].parent
        while not all(self._folder in photo.parents for photo in photos):
            # Some are in sub-folders.
            self._folder = self._folder.parent
        self._beside = {folded(file.name): photo.name for file, photo in beside.items() if self._folder in file.parents}
        names = [{photo.name, f"{photo.parent.name}/{photo.name}", subpath(photo, self._folder)} for photo in photos]
        stems = [{name.removesuffix(photo.suffix) for name in own} for photo, own in zip(photos, names, strict=True)]
        self._names, self._stems = _by_name(names), _by_name(stems)
        self._lines: dict[int, int] = {}

    def is_named(self, cells: Sequence[str]) -> bool:
        """Whether a line names a photo in this column."""
        return bool(self.name_in(cells))

    def name_in(self, cells: Sequence[str]) -> str:
        """Return what a line has in this column; nothing where it ends before."""
        return cells[self._place] if self._place < len(cells) else ""

    def find(self, number: int, cells: Sequence[str], *, again: bool = False) -> int:
        """Return the index of the photo that a line names; `again`: earlier lines may name it too."""
        where = f"Line {number} of {self._path}"
        name = self.name_in(cells)
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
        # Only names of the folder's own photos are accepted, so that no name leads out of it. Names as they are spelt
        # come first, since two may differ in the case of letters alone.
        ways = ((self._names, name), (self._names, folded(name)), (self._stems, name), (self._stems, folded(name)))
        meant = next((known[key] for known, key in ways if key in known), set())
        if len(meant) == 1:
            return min(meant)
        if meant:
            raise DpedtoolError(
                f"{where} names {name!r}, but {self._folder} holds several such photos: add the suffix, or the "
                "sub-folder."
            )
        if folded(name) in self._beside:
            raise DpedtoolError(
                f"{where} names {name!r}, which is of the same exposure as {self._beside[folded(name)]}: name that "
                "photo."
            )
        if "/" in name or "\\" in name:
            raise DpedtoolError(f"{where} names {name!r}: write only the file name of a photo in {self._folder}.")
        raise DpedtoolError(f"{where} names {name!r}, but {self._folder} holds no such photo: correct the name.")


def _by_name(names: Sequence[Collection[str]]) -> dict[str, set[int]]:
    """Return the photos that each name means, as it is spelt and without differences of case and accents."""
    found = defaultdict[str, set[int]](set)
    for index, own in enumerate(names):
        for name in own:
            found[name].add(index)
    for name, meant in list(found.items()):
        if (key := folded(name)) != name:
            found[key] |= meant
    return dict(found)
