"""The user's own list of pairs: a CSV file with the columns phone and dslr."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import Place

COLUMNS = ("phone", "dslr")


def read_pair_list(path: Path, phones: Sequence[Place], dslrs: Sequence[Place]) -> dict[int, int]:
    """Return phone index to DSLR index of the pairs that a CSV file lists.

    Parameters
    ----------
    path
        UTF-8, with or without a byte order mark. The header has the columns phone and dslr; other columns are ignored.
        The lines below it hold file names of photos, or stems that only one photo has. Blank lines, and spaces around
        cells, are ignored.
    phones, dslrs
        The photos that it may name.

    Raises
    ------
    DpedtoolError
        The file is missing, is not such a table, lists no pairs, names other photos than these, or names a photo twice.

    """
    table = _lines(path)
    _, header = next(table, (0, []))
    cameras = [_Camera(path, header, *camera) for camera in zip(COLUMNS, (phones, dslrs), strict=True)]
    found = {cameras[0].find(*line): cameras[1].find(*line) for line in table}
    if not found:
        raise DpedtoolError(f"{path} lists no pairs: write one line phone,dslr for each pair below the header.")
    return found


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not blank; cells have no spaces around them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cells := [cell.strip() for cell in row]):
                    yield reader.line_num, cells
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror}): pair.csv or --csv must name a file.") from None
    except UnicodeDecodeError:
        raise DpedtoolError(f"{path} is not in UTF-8: save it again in this encoding.") from None
    except csv.Error as error:
        raise DpedtoolError(f"Line {reader.line_num} of {path} is not valid CSV ({error}): correct it.") from None


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

    def find(self, number: int, cells: Sequence[str]) -> int:
        """Return the index of the photo that a line names."""
        where = f"Line {number} of {self._path}"
        name = cells[self._place] if self._place < len(cells) else ""
        if not name:
            raise DpedtoolError(f"{where} names no photo in the column {self._column}: fill it in, or remove the line.")
        index = self._index(name, where)
        if index in self._lines:
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
