"""Makes a folder for each pair and lone photo, with its pictures and their measurements: once, and in parallel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from functools import partial
from pathlib import Path

import cv2

from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import digest, remove_leftovers
from dpedtool.dataset.places import Place
from dpedtool.dataset.regular_files import check_inside
from dpedtool.dataset.schema import Shown
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.memory import REPORT, Need, memory_of, pair_need
from dpedtool.pipeline.report.pairs.cases import NO_WINDOWS, Case, Windows, cases_of, windows_of
from dpedtool.pipeline.report.pairs.contract import PairDetails
from dpedtool.pipeline.report.pairs.opened import has_grid, key_of, nothing_of, open_pair, write_details
from dpedtool.pipeline.report.results import PhoneResults, RunResults
from dpedtool.pipeline.resume import Finished, work_off
from dpedtool.pipeline.runner import Lost

Item = tuple[Case, Windows]

_OURS = re.compile(r"(thumbnail|phone|dslr|depth)\.jpg|spot-\d+-(phone|dslr)\.png|details\.js")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def show_pairs(
    run: RunResults,
    folder: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    max_memory: int | None = None,
) -> dict[str, Shown]:
    """Write `folder/<pair_id>/` for every pair and lone photo of all phones, and the table `folder/shown.parquet`.

    Each folder has thumbnail.jpg, details.js, which calls `dpedtool.details` with a `PairDetails`, and the pictures
    named there. Files that an earlier run made from the same photos, rows and code are kept, even if it was
    interrupted. Folders of pairs that no longer exist are removed. The files are the same bytes for any number of
    workers.

    Parameters
    ----------
    run
        The results of the stages; missing ones are left out.
    folder
        The folder; it must not be used for anything else.
    workers, scheduler
        As for `dpedtool.pipeline.runner.run`.
    max_memory
        Most memory that all processes here may take, in bytes: fewer of them may work then. None: there is no limit.

    Returns
    -------
    dict
        The row of each pair, by pair_id; rows with `pictures` have a thumbnail.

    Raises
    ------
    DpedtoolError
        Another run is writing to `folder`, a table cannot be read, a pair's name cannot be the name of a folder, or a
        pair needs more memory.

    """
    items = {_key(item): item for phone in run.phones for item in _items(phone)}
    on_grid = {case.pair_id for case, _ in items.values() if has_grid(case)}
    table = Shown.table_in(folder)
    with Finished(table, Shown) as finished:
        work_off(
            items,
            partial(show_pair, folder=folder),
            partial(_lost, folder=folder),
            finished,
            usable=lambda rows: _is_whole(folder / rows[0].pair_id, rows[0], on_grid),
            reads=[path for case, _ in items.values() for path in _read_by(case)],
            workers=workers,
            scheduler=scheduler,
            memory=memory_of(max_memory, _need),
            label="pictures of pairs",
        )
        rows = [row for key in items for row in finished.get(key)]
        write_rows(table, Shown, rows)
        finished.clear()
        _remove_others(folder, {row.pair_id for row in rows})
    return {row.pair_id: row for row in rows}


def _need(item: Item) -> Need:
    """Return the memory that a pair takes."""
    case, _ = item
    return pair_need(REPORT, case.pair_id, case.phone_path, case.dslr_path)


def show_pair(item: Item, folder: Path) -> list[Shown]:
    """Write the folder of one pair below `folder`, and return its row."""
    place = _emptied(folder / item[0].pair_id)
    seen = open_pair(*item, place)
    write_details(place, seen.details, _key(item))
    return [_row(item, place, seen.details, seen.pictures, seen.problem)]


def _lost(item: Item, lost: Lost, folder: Path) -> list[Shown]:
    place = _emptied(folder / item[0].pair_id)
    details = nothing_of(item[0], f"The pictures could not be made: {lost.detail}")
    write_details(place, details, _key(item))
    return [_row(item, place, details, 0, lost)]


def _items(phone: PhoneResults) -> Iterator[Item]:
    windows = windows_of(phone)
    for case in cases_of(phone):
        if not _NAME.fullmatch(case.pair_id):
            raise DpedtoolError(f"{case.pair_id!r} cannot name a folder: run `dpedtool pair` again.")
        yield case, windows.get(case.pair_id, NO_WINDOWS)


def _row(item: Item, place: Path, details: PairDetails, pictures: int, problem: Rejection | Lost | None) -> Shown:
    return Shown(
        pair_id=item[0].pair_id,
        phone=item[0].phone,
        status="failed" if problem else "shown",
        reason=problem.reason if problem else "",
        detail=problem.detail if problem else "",
        pictures=pictures,
        certain=details.certain,
        amiss=details.amiss,
        certain_p95_px=details.certain_p95_px,
        bytes=_bytes_in(place),
        key=_key(item),
    )


def _key(item: Item) -> str:
    """Return a digest of all that the folder depends on. Paths of photos only count as part of messages."""
    case, windows = item
    said = [case.pair_id, case.phone, case.status, case.reason, case.detail]
    row = case.alignment
    sums = [case.phone_sha256, case.dslr_sha256, *((row.key, row.nodes_sha256) if row else ())]
    return digest([_CODE, cv2.__version__, said, sums, windows.digest])


def _read_by(case: Case) -> Iterator[Place]:
    """Yield the files that the pictures of a pair are made from."""
    paths = (case.phone_path, case.dslr_path, case.alignment.nodes_path if case.alignment else None)
    yield from (path for path in paths if path)


def _is_whole(place: Path, row: Shown, on_grid: Set[str]) -> bool:
    """Return whether a folder matches its row. A run with other parameters may have written to it since.

    A pair of `on_grid` that has no certain windows was shown unchanged, as its nodes were missing. They may be there
    again.
    """
    is_unaligned = row.pair_id in on_grid and row.certain is None
    is_same = key_of(place) == row.key and _bytes_in(place) == row.bytes
    return not is_unaligned and is_same and _is_own(place)


def _is_own(place: Path) -> bool:
    """Whether the folder of a pair and its files are what they seem to be, and not links to others."""
    try:
        for path in (place, *files_of(place)):
            check_inside(path, place.parent)
    except OSError:
        return False
    return True


def files_of(place: Path) -> list[Path]:
    """Return our own files in the folder of a pair. Other files are left alone."""
    return sorted(file for file in place.iterdir() if _OURS.fullmatch(file.name))


def _bytes_in(place: Path) -> int:
    return sum(file.stat().st_size for file in files_of(place))


def _emptied(place: Path) -> Path:
    if place.is_symlink():
        # What it leads to belongs to somebody else.
        place.unlink()
    place.mkdir(parents=True, exist_ok=True)
    remove_leftovers(place, below=False)
    for file in files_of(place):
        file.unlink()
    return place


def _remove_others(folder: Path, pair_ids: Set[str]) -> None:
    for place in sorted(folder.iterdir()):
        if place.is_dir() and not place.is_symlink() and place.name not in pair_ids and files_of(place):
            _emptied(place)
            _remove_empty(place)


def _remove_empty(place: Path) -> None:
    if not any(place.iterdir()):
        place.rmdir()


def remove_pairs(folder: Path) -> None:
    """Remove what `show_pairs` wrote into a folder, and also the folder and its parent if they are empty then."""
    if not folder.is_dir():
        return
    _remove_others(folder, set())
    Shown.table_in(folder).unlink(missing_ok=True)
    for place in (folder, folder.parent):
        _remove_empty(place)


_CODE = code_digest(__name__)
