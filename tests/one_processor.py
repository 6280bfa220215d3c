"""Programs that a test starts work on one processor, as each process of pytest has one of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_processor() -> Iterator[None]:
    """Let the programs that are started meanwhile see one processor.

    The commands then do their work in one process, unless `--workers` says otherwise. A cluster of two costs four
    seconds of processor time each time, on a machine whose other processors are busy with other tests; what a cluster
    does is tested where `--workers 2` stands.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    # pytest-xdist calls its processes gw0, gw1...
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(before)[number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
