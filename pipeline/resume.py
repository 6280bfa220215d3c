"""Reuses what an earlier run of a stage has finished, whether that run was completed or interrupted.

Every row carries a key: the digest of the inputs, parameters and code that made it. Rows of the last complete table
and the parts that an interrupted run left are taken over if their key is still the one that is wanted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import lock_folder, remove_leftovers
from dpedtool.dataset.parts import read_part, write_part
from dpedtool.dataset.places import Place
from dpedtool.dataset.progress import track
from dpedtool.dataset.publication import complete
from dpedtool.dataset.rows import Row
from dpedtool.dataset.tables import KeyedTable
from dpedtool.pipeline.memory import Memory
from dpedtool.pipeline.runner import Lost, run

Item = TypeVar("Item")
RowT = TypeVar("RowT", bound=Row)
OtherT = TypeVar("OtherT", bound=Row)


class Finished(Generic[RowT]):
    """Rows by key: those of the table at `table`, those of parts in its folder, and those of other tables.

    Use it in a `with` block. Inside the block no other process can do the same work in the same folder.

    Parameters
    ----------
    table
        The table that the run writes.
    row_type
        The type of its rows.
    others
        Tables of other runs, whose rows are taken over as well.

    """

    def __init__(self, table: Path, row_type: type[RowT], others: Sequence[Path] = ()) -> None:
        self.folder, self._table_path, self._row_type = table.parent, table, row_type
        self.parts = table.parent / ".parts"
        self._others = [other for other in others if other.parent.resolve() != table.parent.resolve()]

    def __enter__(self) -> Finished[RowT]:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.folder)
        complete(self.folder)
        remove_leftovers(self.folder)
        self._tables = _earlier_tables([self._table_path, *self._others], self._row_type)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._lock)

    def get(self, key: str) -> list[RowT]:
        """Return the latest rows of an item; an empty list for an item that is unknown."""
        part = self._part(key)
        if part.exists():
            return read_part(part, self._row_type)
        return _found(self._tables, key) or []

    def is_part(self, key: str) -> bool:
        """Whether the rows of an item are new or left by an interrupted run, and so not those of the earlier table."""
        return self._part(key).exists()

    def is_done(self, key: str, usable: Callable[[list[RowT]], bool] = lambda _: True) -> bool:
        """Whether an item needs no work: it has rows, they are usable, and their reasons follow from its inputs."""
        rows = self.get(key)
        return bool(rows) and not any(_values(row)["reason"] in self._row_type.RETRIED for row in rows) and usable(rows)

    def save(self, key: str, rows: list[RowT]) -> None:
        """Keep the rows of an item until the table is complete."""
        write_part(self._part(key), self._row_type, rows)

    def aside(self, keys: Iterable[str], row_type: type[OtherT]) -> dict[str, OtherT]:
        """Return the rows that `save_aside` kept for these items, in this run or that of the earlier table."""
        kept = self.kept_aside(row_type)
        return {key: rows[0] for key in keys if (rows := kept.get(key))}

    def kept_aside(self, row_type: type[OtherT]) -> Aside[OtherT]:
        """Return the rows that items have in another table of the folder, read when they are asked for."""
        return Aside([self.folder, *(other.parent for other in self._others)], self.parts, row_type)

    def clear(self) -> None:
        """Remove the parts: the table holds them now."""
        shutil.rmtree(self.parts, ignore_errors=True)

    def _part(self, key: str) -> Path:
        return self.parts / f"{key}.json"


class Aside(Generic[OtherT]):
    """Rows by key that items have in another table than their own: of parts, and of the tables of earlier runs.

    Parameters
    ----------
    folders
        Folders of the tables.
    parts
        Where `save_aside` and `save_all_aside` kept the rows of this run.
    row_type
        Row type of the other table.

    """

    def __init__(self, folders: Sequence[Path], parts: Path, row_type: type[OtherT]) -> None:
        self._parts, self._row_type = parts, row_type
        self._earlier = _earlier_tables([row_type.table_in(folder) for folder in folders], row_type)

    def get(self, key: str) -> list[OtherT] | None:
        """Return the rows of an item; None for an item that is unknown, or that had none in the earlier table."""
        if (part := _aside(self._parts, key, self._row_type)).is_file():
            return read_part(part, self._row_type)
        return _found(self._earlier, key)


def save_aside(parts: Path, key: str, row: Row) -> None:
    """Keep a row that an item has in another table than its own; the work calls this, in any process."""
    save_all_aside(parts, key, type(row), [row])


def save_all_aside(parts: Path, key: str, row_type: type[Row], rows: Sequence[Row]) -> None:
    """Keep the rows that an item has in another table than its own, as `save_aside` does; there may be none."""
    write_part(_aside(parts, key, row_type), row_type, rows)


def work_off(
    items: Mapping[str, Item],
    work: Callable[[Item], list[RowT]],
    when_lost: Callable[[Item, Lost], list[RowT]],
    finished: Finished[RowT],
    *,
    usable: Callable[[list[RowT]], bool] = lambda _: True,
    reads: Iterable[Place] = (),
    workers: int,
    scheduler: str | None = None,
    memory: Memory[Item] | None = None,
    label: str,
) -> None:
    """Do the work of all items that are not finished, and save the rows of each as it ends.

    Parameters
    ----------
    items
        The items by key.
    work
        Makes the rows of one item, at least one, in another process.
    when_lost
        Makes the rows of an item that could not be finished.
    finished
        What is done already; `finished.get` knows every item afterwards.
    usable
        Whether the files that finished rows refer to still exist.
    reads
        The files that the work reads; a cluster's workers must see one file of each folder.
    workers, scheduler
        Number of processes here, or the address of a cluster's scheduler, as `dpedtool.pipeline.runner.run` takes them.
    memory
        What all processes here may take, so that fewer of them may work; None: there is no limit.
    label
        Name of the work in the progress line.

    Raises
    ------
    DpedtoolError
        The memory does not suffice for an item that is not finished.

    """
    pending = [(key, item) for key, item in items.items() if not finished.is_done(key, usable)]
    if len(pending) < len(items):
        print(f"{label}: {len(items) - len(pending)} of {len(items)} were done by an earlier run", file=sys.stderr)
    if memory and not scheduler:
        workers = memory.workers([item for _, item in pending], workers, label)
    one_of_each_folder = {file.parent: file for file in reads}.values()
    results = run(_Keyed(work), pending, workers, scheduler=scheduler, folder=finished.folder, files=one_of_each_folder)
    with contextlib.closing(results):
        for (key, item), rows in track(results, label, len(pending)):
            finished.save(key, when_lost(item, rows) if isinstance(rows, Lost) else rows)


class _Keyed(Generic[Item, RowT]):
    """Calls the work with the item alone; a class, because a closure cannot be sent to other processes."""

    def __init__(self, work: Callable[[Item], list[RowT]]) -> None:
        self._work = work

    def __call__(self, keyed: tuple[str, Item]) -> list[RowT]:
        return self._work(keyed[1])


def _earlier_tables(tables: Iterable[Path], row_type: type[RowT]) -> list[KeyedTable[RowT]]:
    """The tables of earlier runs, without damaged ones and those of another version, which are made again."""
    found = list[KeyedTable[RowT]]()
    for table in tables:
        with contextlib.suppress(DpedtoolError):
            found.append(KeyedTable(table, row_type))
    return found


def _found(tables: Iterable[KeyedTable[RowT]], key: str) -> list[RowT] | None:
    """The rows of a key in the first table that has it; None if no table has it."""
    return next((rows for table in tables if (rows := table.get(key)) is not None), None)


def _aside(parts: Path, key: str, row_type: type[Row]) -> Path:
    return parts / f"{key}.{row_type.TABLE}.json"


def _values(row: Row) -> dict[str, Any]:
    return vars(row)
