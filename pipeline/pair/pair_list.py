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
        UTF-8, with or without a byte order mark; a header with the columns phone and dslr, others are ignored; below
        it file names of photos, or their stems where only one photo has it. Blank lines and spaces do not count.
    phones, dslrs
        The photos that it may name.

    Raises
    ------
    DpedtoolError
        The file is missing, no such table, lists no pair, names what is no photo of these, or one photo twice.

    """
    table = _lines(path)
    _, header = next(table, (0, []))
    cameras = [_Camera(path, header, *camera) for camera in zip(COLUMNS, (phones, dslrs), strict=True)]
    found = {cameras[0].find(*line): cameras[1].find(*line) for line in table}
    if not found:
        raise DpedtoolError(f"{path} lists no pair: write one line phone,dslr for each below the header.")
    return found


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells, without the spaces about them, of each line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cells := [cell.strip() for cell in row]):
                    yield reader.line_num, cells
    except OSError as error:
        raise DpedtoolError(f"{path} cannot be read ({error.strerror}): pair.csv or --csv must name a file.") from None
    except UnicodeDecodeError:
        raise DpedtoolError(f"{path} is not in UTF-8: save it anew in this encoding.") from None
    except csv.Error as error:
        raise DpedtoolError(f"Line {reader.line_num} of {path} is no line of a CSV file ({error}): mend it.") from None


class _Camera:
    """One column of the list and the photos that it may name, each once."""

    def __init__(self, path: Path, header: Sequence[str], column: str, photos: Sequence[Place]) -> None:
        if header.count(column) != 1:
            found = ", ".join(header) or "nothing"
            raise DpedtoolError(
                f"The first line of {path} must name the columns phone and dslr, separated by a comma, each once; it "
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
                f"{where} names {name}, as line {self._lines[index]} does already: a photo has one partner."
            )
        self._lines[index] = number
        return index

    def _index(self, name: str, where: str) -> int:
        # Only names of the folder's own photos are known, so that none leads out of it.
        if name in self._names:
            return self._names[name]
        if "/" in name or "\\" in name:
            raise DpedtoolError(f"{where} names {name!r}: write the file name alone, of a photo in {self._folder}.")
        if self._uses[name] > 1:
            raise DpedtoolError(f"{where} names {name!r}, of which {self._folder} holds more than one: add the suffix.")
        if not self._uses[name]:
            raise DpedtoolError(f"{where} names {name!r}, but {self._folder} holds no such photo: correct the name.")
        return self._stems[name]
