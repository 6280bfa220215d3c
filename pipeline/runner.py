"""Work on many items in parallel processes. The only file that knows Dask."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")

_TRY = "too little memory? Pairs of 12 and 22 megapixels take 0.7 GB a worker; try fewer --workers."


LOST = frozenset({"worker_lost", "internal_error"})
"""Reasons of items that came to no end."""


@dataclass(frozen=True)
class Lost:
    """An item that came to no end, for a reason that is not in its data.

    Either its process was killed, most often because the memory ran out (`worker_lost`), or the work raised what it
    should not (`internal_error`).
    """

    reason: str
    """One of `LOST`."""
    detail: str


def default_workers() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[tuple[Item, Result | Lost]]:
    """Yield each item with what `work` makes of it, as they finish.

    Parameters
    ----------
    work
        A function that other processes can import, or a `functools.partial` of one.
    items
        What it is called with, one at a time.
    workers
        Number of processes; with 1, or a single item, the work is done in this process.

    """
    if min(workers, len(items)) <= 1:
        return _run_here(work, items)
    return _run_in_processes(work, items, min(workers, len(items)))


def _run_here(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[Item, Result | Lost]]:
    threads = cv2.getNumThreads()
    _one_thread()
    try:
        for item in items:
            yield item, _guarded(work, item)
    finally:
        cv2.setNumThreads(threads)


def _run_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result | Lost]]:
    with _cluster(workers) as client:
        suspects = []
        for item, result in _in_flight(client, work, items, workers):
            if isinstance(result, Lost) and result.reason == "worker_lost":
                suspects.append(item)
            else:
                yield item, result
        # A worker that dies takes with it whatever was on its way there, so each suspect is tried again by itself.
        yield from _in_flight(client, work, suspects, 1)


def _in_flight(
    client: Any, work: Callable[[Item], Result], items: Sequence[Item], most: int
) -> Iterator[tuple[Item, Result | Lost]]:
    """Have at most so many items under way: each worker holds one, and the scheduler no long queue."""
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    waiting = iter(items)
    item_of = {client.submit(_guarded, work, item, pure=False): item for item in itertools.islice(waiting, most)}
    running = as_completed(list(item_of))
    for future in running:
        item = item_of.pop(future)
        try:
            result = future.result()
        except KilledWorker:
            result = Lost("worker_lost", f"The process that worked on it was killed: {_TRY}")
        # A result that stays referenced stays in the memory of its worker.
        future.release()
        for following in itertools.islice(waiting, 1):
            submitted = client.submit(_guarded, work, following, pure=False)
            item_of[submitted] = following
            running.add(submitted)
        yield item, result


@contextlib.contextmanager
def _cluster(workers: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    # A killed process becomes a row with a reason; what the client says of it would only stand beside.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    settings = {"distributed.scheduler.allowed-failures": 1, "distributed.admin.low-level-log-length": 0}
    with (
        dask.config.set(settings),
        _deaf_to_interrupts() as hearing,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,  # the system's limit counts; Dask's own would kill workers that have enough
            dashboard_address="127.0.0.1:0",  # any free port: with None Dask takes one that others may hold
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(_one_thread)
        hearing()
        yield client


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[Callable[[], object]]:
    """Start processes that Ctrl-C does not reach, so that this one alone answers it; yields what ends the deafness."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield lambda: signal.signal(signal.SIGINT, before)
    finally:
        signal.signal(signal.SIGINT, before)


def _guarded(work: Callable[[Item], Result], item: Item) -> Result | Lost:
    try:
        return work(item)
    except MemoryError:
        return Lost("worker_lost", f"The memory ran out: {_TRY}")
    except OSError:
        # Photos that cannot be read are rejected where they are read: this is a full disk or a lost folder, and would
        # befall every other item too.
        raise
    except Exception as error:
        # One item's mishap is no reason to stop the others; it is told as what it is, and the command fails at its end.
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return Lost("internal_error", f"{what} ({Path(place.filename).name}, line {place.lineno}); please report it.")


def _one_thread() -> None:
    """Items are worked on in parallel, so OpenCV's own threads would only stand in each other's way."""
    cv2.setNumThreads(1)
