"""The processes of this machine that work in parallel. Nothing of it can be used by others, or even asked.

Dask's scheduler and workers run any code that reaches their sockets, and sockets of the loopback device are open to all
users of a machine. So all of these talk by TLS only, and know each other by a certificate that exists in their memory
alone. The pages that scheduler and workers would serve to browsers are not served.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
from collections.abc import Mapping
from typing import Any

from distributed import Nanny, Scheduler, SpecCluster, Worker
from distributed.http.routing import RoutingApplication
from distributed.security import Security
from tornado.httpserver import HTTPServer

HOST = "127.0.0.1"


class _Silent:
    """A node of a cluster that has pages, but does not listen for browsers."""

    http_application: Any
    http_server: Any

    def start_http_server(self, routes: Any, *_: Any, **__: Any) -> None:
        """Make the server that other methods expect, and open no port."""
        self.http_application = RoutingApplication(routes)
        self.http_server = HTTPServer(self.http_application)
        self.http_server.address, self.http_server.port = HOST, 0


class SilentScheduler(_Silent, Scheduler):
    """Dask's scheduler without pages."""


class SilentWorker(_Silent, Worker):
    """Dask's worker without pages."""


@functools.cache
def own_security() -> Security:
    """Return the certificate of this process's clusters; making it takes a tenth of a second."""
    made: Security = Security.temporary()
    return made


def start(workers: int) -> SpecCluster:
    """Return a cluster of so many single-threaded processes; use it in a `with` block."""
    common: Mapping[str, Any] = {"host": HOST, "protocol": "tls://", "security": own_security(), "dashboard": False}
    worker = {
        "cls": Nanny,
        "options": {
            **common,
            "nthreads": 1,
            "worker_class": SilentWorker,
            # The system's limit counts; Dask's own would kill workers that have enough memory.
            "memory_limit": None,
            "silence_logs": logging.CRITICAL,
        },
    }
    return SpecCluster(
        name="dpedtool",
        scheduler={"cls": SilentScheduler, "options": {**common, "port": 0, "dashboard_address": None}},
        workers=dict.fromkeys(range(workers), worker),
        worker=worker,
        silence_logs=logging.CRITICAL,
        security=own_security(),
    )


def kill(cluster: SpecCluster, address: str) -> None:
    """Kill the process at an address, even one that was stopped; its nanny starts another one.

    Parameters
    ----------
    cluster
        As `start` returned it.
    address
        Address of one of its workers. Nothing happens if that worker has ended.

    """
    for nanny in cluster.workers.values():
        if nanny.worker_address == address and nanny.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)
