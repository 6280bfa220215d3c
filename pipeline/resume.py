"""What an earlier run of a stage has finished is not done again, whether it was completed or interrupted.

Every row carries a key: the digest of the inputs, parameters and code that made it. Rows of the last complete table
and the parts that an interrupted run left are taken over where their key is still the one wanted.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from dataset.errors import DpedtoolError
from dataset.io import read_rows, remove_leftovers, write_rows
from dataset.progress import track
from dataset.schema import Row
from pipeline.runner import Lost, run

Item = TypeVar("Item")
RowT = TypeVar("RowT", bound=Row)


class Finished(Generic[RowT]):
    """Rows by key: those of the table at `table`, and those of parts beside it."""

    def __init__(self, table: Path, row_type: type[RowT]) -> None:
        self._row_type = row_type
        self.parts = table.parent / ".parts"
        remove_leftovers(table.parent)
        self._rows: dict[str, list[RowT]] = {}
        for row in _readable_rows(table, row_type):
            self._rows.setdefault(_key(row), []).append(row)

    def get(self, key: str) -> list[RowT] | None:
        """Return the rows of a finished item, or None; what was done last counts."""
        part = self._part(key)
        return read_rows(part, self._row_type) if part.exists() else self._rows.get(key)

    def is_done(self, key: str) -> bool:
        """Whether an item needs no work; one whose process was killed deserves another try."""
        rows = self.get(key)
        return rows is not None and not any(_values(row)["reason"] == "worker_lost" for row in rows)

    def of_the_table(self) -> list[RowT]:
        """Return all rows of the last complete table."""
        return [row for rows in self._rows.values() for row in rows]

    def save(self, key: str, rows: list[RowT]) -> None:
        """Keep the rows of an item until the table is complete."""
        write_rows(self._part(key), self._row_type, rows)

    def forget(self, key: str) -> None:
        """Drop what is known of an item, so that it is worked on again."""
        self._rows.pop(key, None)
        self._part(key).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the parts: the table holds them now."""
        shutil.rmtree(self.parts, ignore_errors=True)

    def _part(self, key: str) -> Path:
        return self.parts / f"{key}.parquet"


def work_off(
    items: Mapping[str, Item],
    work: Callable[[Item], list[RowT]],
    when_lost: Callable[[Item, str], list[RowT]],
    finished: Finished[RowT],
    *,
    workers: int,
    label: str,
) -> None:
    """Do the work of all items that are not finished, and save the rows of each as it ends.

    Parameters
    ----------
    items
        The items by key.
    work
        Makes the rows of one item, in another process.
    when_lost
        Makes the rows of an item whose process was killed, from the item and a sentence.
    finished
        What is done already; `finished.get` knows every item afterwards.
    workers, label
        Number of processes; name of the work in the progress line.

    """
    pending = [(key, item) for key, item in items.items() if not finished.is_done(key)]
    if len(pending) < len(items):
        print(f"{label}: {len(items) - len(pending)} of {len(items)} were done by an earlier run", file=sys.stderr)
    results = run(_Keyed(work), pending, workers)
    for (key, item), rows in track(results, label, len(pending)):
        finished.save(key, when_lost(item, rows.detail) if isinstance(rows, Lost) else rows)


class _Keyed(Generic[Item, RowT]):
    """Calls the work with the item alone; a class, since a closure does not travel to other processes."""

    def __init__(self, work: Callable[[Item], list[RowT]]) -> None:
        self._work = work

    def __call__(self, keyed: tuple[str, Item]) -> list[RowT]:
        return self._work(keyed[1])


def _readable_rows(table: Path, row_type: type[RowT]) -> list[RowT]:
    """The rows of an earlier run; a table of another version is simply made anew."""
    try:
        return read_rows(table, row_type)
    except DpedtoolError:
        return []


def _key(row: Row) -> str:
    return str(_values(row)["key"])


def _values(row: Row) -> dict[str, Any]:
    return vars(row)
