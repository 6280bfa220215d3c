"""Work on many items in parallel, here or on a cluster. The only file that knows Dask."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import cv2

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import unfinished
from dpedtool.dataset.places import Place
from dpedtool.pipeline.cluster_facts import check_scheduler, find_flaws, is_seen
from dpedtool.pipeline.waiting import Patience, name_of, saying

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKER_MEMORY = "0.7 GB at 12 and 22 megapixels, and 1.2 GB for scenes with depth"
"""The most memory that one worker takes for two photos of these sizes; measured."""

_MEND = (
    f"A worker takes up to {WORKER_MEMORY}: set --max-memory, or use fewer --workers, or fewer threads on a cluster."
)

LOST = frozenset({"worker_lost", "internal_error"})
"""Reasons of items that could not be finished."""

QUIET: Mapping[str, Any] = {
    "distributed.admin.low-level-log-length": 0,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "5s",
    "distributed.scheduler.work-stealing": False,
}
"""Settings of the cluster here, whose processes would otherwise look at themselves up to a hundred times a second, for
pages that nobody sees. With two workers on a busy machine, that was more than half of the main process's work."""

Results: TypeAlias = Generator[tuple[Item, "Result | Lost"], None, None]
"""Items with their results; closing it ends the processes that work on the others."""

_hiding = threading.Lock()
_hidden: list[dict[str, Any]] = []
"""What was taken from the main module, and an entry for each cluster that needs it hidden."""

LIMIT_S = 600.0
"""How long another process may work on an item. A photo that takes a minute to decode is not given up."""
_PATIENCE_S = 60.0
"""How long a cluster may be without workers."""
_LOOK_S = 1.0
"""How often the cluster is checked while it is silent."""
_CONNECT_S = 10.0
"""How long a scheduler may take to answer."""


@dataclass(frozen=True)
class Lost:
    """An item that could not be finished, for a reason that is not in its data.

    Either its process was killed, most often because memory ran out (`worker_lost`), or the work raised an unexpected
    exception (`internal_error`).
    """

    reason: str
    """One of `LOST`."""
    detail: str
    is_final: bool = False
    """Whether another try would not help."""


def default_workers() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    *,
    scheduler: str | None = None,
    folder: Path | None = None,
    files: Iterable[Place] = (),
) -> Results[Item, Result]:
    """Yield each item with the result of `work`, as they finish.

    If a worker dies or its memory runs out, its items are tried again at the end, and then each is alone on its
    machine. An item that loses its worker again, or takes longer than `LIMIT_S` in another process, is `Lost`. What
    takes more than half a minute is said on the error stream.

    Iterate in `with contextlib.closing(run(...))`. Otherwise the processes outlive an error or an interrupt in the
    loop, until Python deletes what the error refers to.

    Parameters
    ----------
    work
        A function that other processes can import, or a `functools.partial` of one.
    items
        What it is called with, one at a time.
    workers
        Number of processes here; with 1, or a single item, the work is done in this process.
    scheduler
        Address of the scheduler of a Dask cluster that does the work instead, such as tcp://host:8786. Its workers
        may come and go; the cluster is left running.
    folder, files
        The folder of the results and files that the work reads: the workers of a cluster must see them.

    Raises
    ------
    DpedtoolError
        The cluster cannot be reached, is lost, has no workers, or has workers that would not give the same results.
    OSError
        The disk is full, or a folder is lost.

    """
    if scheduler and items:
        return _run_on_cluster(work, items, scheduler, folder, tuple(files))
    if min(workers, len(items)) <= 1:
        return _run_here(work, items)
    return _run_in_processes(work, items, min(workers, len(items)))


def use_tls(folder: Path) -> None:
    """Show the certificate in a folder to the schedulers that this process connects to, and accept only theirs.

    Parameters
    ----------
    folder
        Holds ca.pem, which signed the certificates of the cluster, and cert.pem with key.pem, the client's.

    Raises
    ------
    DpedtoolError
        One of the files is missing, or cannot be used.

    """
    import dask
    from distributed.security import Security

    files = {"tls_ca_file": "ca.pem", "tls_client_cert": "cert.pem", "tls_client_key": "key.pem"}
    if missing := [name for name in files.values() if not (folder / name).is_file()]:
        raise DpedtoolError(f"{folder} has no {missing[0]}: --scheduler-tls needs ca.pem, cert.pem and key.pem.")
    paths = {name: str(folder / file) for name, file in files.items()}
    try:
        Security(require_encryption=True, **paths).get_connection_args("client")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DpedtoolError(f"The certificate in {folder} cannot be used ({reason}).") from None
    dask.config.set(
        {
            "distributed.comm.tls.ca-file": paths["tls_ca_file"],
            "distributed.comm.tls.client.cert": paths["tls_client_cert"],
            "distributed.comm.tls.client.key": paths["tls_client_key"],
            "distributed.comm.require-encryption": True,
        }
    )


def warm_up(workers: int, *modules: str) -> None:
    """Begin to load what local workers need, in a separate process, and return at once.

    The workers are forked from that process, so each starts in a fraction of a second and shares its memory. A call
    before `run`, at the start of a command, saves the time that loading takes; another call does nothing.

    Parameters
    ----------
    workers
        As for `run`.
    modules
        Names of modules that the work needs.

    """
    if workers <= 1 or sys.platform != "linux":
        return
    forkserver.set_forkserver_preload(["distributed.nanny", *modules])
    surroundings = {
        # The same modules as here, but none that happen to lie in the working folder.
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
        "PYTHONSAFEPATH": "1",
        # Numpy reads these when it is loaded; one thread is enough, as there is a process for each processor.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    with _deaf_to_interrupts(), _environment(surroundings):
        forkserver.ensure_running()


def cool_down() -> None:
    """End the process that local workers are forked from, and wait for it; `run` starts another if it needs one.

    That process has waited for the workers. Once this one has waited for it, the system counts the time and memory of
    all of them as those of children of this process.
    """
    # There is no public function for this, and Python does not end the process when it ends itself.
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _run_here(work: Callable[[Item], Result], items: Sequence[Item]) -> Results[Item, Result]:
    threads = cv2.getNumThreads()
    try:
        for item in items:
            with saying(functools.partial(name_of, item)):
                result = _guarded(work, item)
            yield item, result
    finally:
        cv2.setNumThreads(threads)


def _run_in_processes(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Results[Item, Result]:
    with _own_cluster(workers) as (client, kill):
        yield from _Team(client, work, lambda _: {}, kill).do(items)


def _run_on_cluster(
    work: Callable[[Item], Result], items: Sequence[Item], address: str, folder: Path | None, files: Sequence[Place]
) -> Results[Item, Result]:
    # A photo that is missing here too is reported with its pair.
    files = [file for file in files if is_seen(file)]
    with _client_of(address) as client, _token(folder) as token:
        with saying(lambda: f"the scheduler at {address}"):
            check_scheduler(client)
        yield from _Team(client, work, functools.partial(find_flaws, client, work, (*token, *files))).do(items)


class _GoneError(Exception):
    """A worker has finished an item, and died or was stopped before the result could be fetched."""


@dataclass
class _Worker(Generic[Item]):
    threads: int
    held: dict[Any, Item] = field(default_factory=dict)
    """The items under way there, by their future."""
    since: dict[Any, Patience] = field(default_factory=dict)
    """How long they have been under way."""

    def take_back(self, future: Any) -> Item:
        """Return an item, which is no longer under way."""
        del self.since[future]
        return self.held.pop(future)


class _Team(Generic[Item, Result]):
    """The workers of a cluster, and what each of them holds.

    Every item is bound to a worker that is chosen here, never by the scheduler, because the scheduler's rules on items
    that lose their worker are not known and differ from ours. An item whose worker is gone runs nowhere until it is
    bound to another one.

    Parameters
    ----------
    client
        The client of the cluster.
    work
        The function that is called with each item.
    find_flaws
        Returns, by address, why workers cannot be used; usable workers are left out.
    kill
        Kills the worker at an address, which then starts again. Without it, a worker that does not answer is left out.

    """

    def __init__(
        self,
        client: Any,
        work: Callable[[Item], Result],
        find_flaws: Callable[[Sequence[str]], Mapping[str, str]],
        kill: Callable[[str], None] | None = None,
    ) -> None:
        self._client, self._work, self._find_flaws, self._kill = client, work, find_flaws, kill
        self._workers: dict[str, _Worker[Item]] = {}
        self._unfit: set[str] = set()
        self._gone: set[str] = set()
        self._alone = False
        self._waiting: deque[Item] = deque()
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._manned = self._looked = time.monotonic()
        self._call: Any = None

    def do(self, items: Sequence[Item]) -> Iterator[tuple[Item, Result | Lost]]:
        """Do all items, as `run` says."""
        self._client.subscribe_topic("all", self._hear)
        try:
            self._welcome()
            suspects = []
            for item, result in self._each(items, alone=False):
                if isinstance(result, Lost) and result.reason == "worker_lost" and not result.is_final:
                    suspects.append(item)
                else:
                    yield item, result
            # It is not known which item took the memory that another one lacked, so each of them runs alone.
            yield from self._each(suspects, alone=True)
        finally:
            # Otherwise the scheduler would notify this client that it leaves, and log an error as nobody listens.
            with contextlib.suppress(Exception):
                self._client.unsubscribe_topic("all")

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Note what happens to the cluster; another thread calls this."""
        news = event[1]
        if news.get("action") == "remove-worker":
            self._gone.add(news["worker"])
        elif news.get("action") == "add-worker":
            self._gone.discard(news["worker"])
        self._news.put(news)

    def _each(self, items: Sequence[Item], alone: bool) -> Iterator[tuple[Item, Result | Lost]]:
        self._alone = alone
        self._waiting.extend(items)
        self._hand_out()
        while self._waiting or any(worker.held for worker in self._workers.values()):
            ended = self._learn()
            # The workers get new items first, because the caller may take long over the results.
            self._hand_out()
            yield from ended

    def _hand_out(self) -> None:
        """Give every thread an item; the others wait here, so that the death of a worker does not affect them.

        This also limits the memory that items take here and in the scheduler, however many there are.
        """
        for address, worker in self._workers.items():
            while self._waiting and (self._is_idle(address) if self._alone else len(worker.held) < worker.threads):
                item = self._waiting.popleft()
                future = self._start(address, item)
                worker.held[future], worker.since[future] = item, Patience()

    def _is_idle(self, address: str) -> bool:
        """Whether the machine of a worker has nothing under way; the workers of one machine share its memory."""
        from distributed.comm.addressing import get_address_host

        host = get_address_host(address)
        return not any(worker.held for other, worker in self._workers.items() if get_address_host(other) == host)

    def _start(self, address: str, item: Item) -> Any:
        self._check_connection()
        future = self._client.submit(_guarded, self._work, item, pure=False, workers=[address])
        future.add_done_callback(lambda done: self._news.put((address, done)))
        return future

    def _learn(self) -> list[tuple[Item, Result | Lost]]:
        """Wait for news, and return the items that ended."""
        if given_up := self._watch():
            return given_up
        try:
            news = self._news.get(timeout=_LOOK_S)
        except queue.Empty:
            self._look()
            return []
        if isinstance(news, tuple):
            return self._take(*news)
        if news.get("action") == "add-worker":
            self._welcome()
        elif news.get("action") == "remove-worker":
            return self._dismiss(news["worker"], leave=bool(news.get("expected")))
        return []

    def _watch(self) -> list[tuple[Item, Result | Lost]]:
        """Say which items take long, and return those that take too long, which are given up."""
        now, before = time.monotonic(), self._looked
        if now - before < _LOOK_S:
            return []
        self._looked = now
        given_up: list[tuple[Item, Result | Lost]] = []
        for address, worker in list(self._workers.items()):
            for future, patience in list(worker.since.items()):
                # This process itself may have been stopped, and its workers with it.
                patience.begun += max(now - before - 10 * _LOOK_S, 0)
                patience.say(f"{name_of(worker.held[future])}, with the worker at {address},")
            if late := [future for future, patience in worker.since.items() if patience.waited_s > LIMIT_S]:
                given_up += [(worker.take_back(future), _too_slow()) for future in late]
                given_up += self._give_up(address)
        return given_up

    def _give_up(self, address: str) -> list[tuple[Item, Result | Lost]]:
        """Use a worker no longer, because nothing but its end would make it stop; return its items as lost."""
        self._unfit.add(address)
        worker = self._workers.pop(address)
        self._manned = time.monotonic()
        for future in worker.held:
            future.release()
        if self._kill:
            self._kill(address)
        else:
            print(f"Not used any more: the worker at {address}, which does not answer.", file=sys.stderr)
        return [(item, _killed()) for item in worker.held.values()]

    def _look(self) -> None:
        self._check_connection()
        if self._workers:
            return
        # Clusters that grow with their load start a worker only once there is something to do.
        self._call = self._call or self._client.submit(abs, 0, pure=False)
        self._welcome()
        if time.monotonic() - self._manned > _PATIENCE_S:
            raise DpedtoolError(
                f"No worker has joined the cluster at {_address(self._client)} within {_PATIENCE_S:.0f} s: start some, "
                "then run the same command again."
            )

    def _welcome(self) -> None:
        """Start to use the workers that are new."""
        with self._talk():
            threads = self._client.nthreads()
            new = [address for address in threads if address not in self._workers and address not in self._unfit]
            flaws = self._find_flaws(new) if new else {}
        at_start = not self._workers
        self._workers |= {address: _Worker(threads[address]) for address in new if address not in flaws}
        self._unfit |= set(flaws)
        for address, flaw in flaws.items():
            if at_start:
                raise DpedtoolError(f"The worker at {address} {flaw}")
            print(f"Not used: the worker at {address} {flaw}", file=sys.stderr)
        self._call = None if self._workers else self._call

    def _dismiss(self, address: str, leave: bool) -> list[tuple[Item, Result | Lost]]:
        """Take back the items of a worker, which has left on its own (`leave`) or was killed."""
        self._unfit.discard(address)
        worker = self._workers.pop(address, None)
        self._manned = time.monotonic()
        if worker is None:
            return []
        with self._talk():
            for future in worker.held:
                future.cancel()
        if leave:
            self._waiting.extendleft(worker.held.values())
            return []
        return [(item, _killed()) for item in worker.held.values()]

    def _take(self, address: str, future: Any) -> list[tuple[Item, Result | Lost]]:
        worker = self._workers.get(address)
        if worker is None or future not in worker.held:
            return []
        item = worker.take_back(future)
        # The worker gets its next item first, because the result takes some milliseconds to arrive.
        self._hand_out()
        try:
            return [(item, self._fetch(address, future, item))]
        except _GoneError:
            self._waiting.appendleft(item)
            # A worker that is still there was stopped before it could send the result.
            return [] if address in self._gone else self._give_up(address)
        finally:
            # A result that stays referenced stays in the memory of its worker.
            future.release()

    def _fetch(self, address: str, future: Any, item: Item) -> Result | Lost:
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        patience = Patience()
        while True:
            try:
                result: Result | Lost = future.result(timeout=_LOOK_S)
                return result
            except KilledWorker:
                return _killed()
            except CancelledError:
                raise self._lost() from None
            except TimeoutError:
                if future.status == "error":
                    raise  # the work itself raised this
                patience.say(f"the result of {name_of(item)} from the worker at {address}")
                if address in self._gone or patience.waited_s > LIMIT_S:
                    raise _GoneError from None

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise self._lost()

    @contextlib.contextmanager
    def _talk(self) -> Iterator[None]:
        try:
            with saying(lambda: f"the cluster at {_address(self._client)}"):
                yield
        except OSError:
            raise self._lost() from None

    def _lost(self) -> DpedtoolError:
        return DpedtoolError(
            f"The connection to the cluster at {_address(self._client)} was lost. Finished work is kept: run the "
            "same command again when the cluster is back."
        )


def _killed() -> Lost:
    return Lost("worker_lost", f"The process that worked on it was killed twice, probably for lack of memory. {_MEND}")


def _too_slow() -> Lost:
    detail = (
        f"It was given up after {LIMIT_S / 60:.0f} minutes: its files answer too slowly, or its process was stopped."
    )
    return Lost("worker_lost", detail, is_final=True)


def _address(client: Any) -> str:
    return str(client.scheduler.address) if client.scheduler else "an address that is gone"


@contextlib.contextmanager
def _client_of(address: str) -> Iterator[Any]:
    """A client of a cluster that somebody else has started and will end."""
    from distributed import Client
    from distributed.comm.addressing import get_address_host_port
    from distributed.security import Security
    from distributed.versions import VersionMismatchWarning

    _silence()
    with contextlib.ExitStack() as stack:
        try:
            # A client that fails for another reason than its connection stays half open. When it is garbage-collected,
            # it may wait for the lock that the start of another client holds, so these two checks come first.
            get_address_host_port(address)
            if address.startswith("tls://") and Security().get_connection_args("client")["ssl_context"] is None:
                raise DpedtoolError(
                    f"The scheduler at {address} asks for a certificate: name its folder with --scheduler-tls."
                )
            with warnings.catch_warnings():
                # Versions are compared below, in one sentence.
                warnings.simplefilter("ignore", VersionMismatchWarning)
                client = stack.enter_context(Client(address, timeout=_CONNECT_S, set_as_default=False))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DpedtoolError(
                f"No Dask scheduler answers at {address} ({reason}): start one with `dask scheduler`, or correct "
                "--scheduler or DASK_SCHEDULER_ADDRESS, which should look like tcp://host:8786."
            ) from None
        yield client


@contextlib.contextmanager
def _token(folder: Path | None) -> Iterator[tuple[Path, ...]]:
    """A file in a folder, by which workers prove that they see the same folder and not another one of this name."""
    if folder is None:
        yield ()
        return
    token = unfinished(folder / uuid.uuid4().hex)
    token.touch()
    try:
        yield (token,)
    finally:
        token.unlink(missing_ok=True)


@contextlib.contextmanager
def _own_cluster(workers: int) -> Iterator[tuple[Any, Callable[[str], None]]]:
    """A client of processes here, and a function that kills one of them by its address; another one follows it."""
    import dask
    from distributed import Client

    from dpedtool.pipeline.local_cluster import kill, own_security, start

    _silence()
    settings = dict(QUIET)
    if sys.platform == "linux":
        settings["distributed.worker.multiprocessing-method"] = "forkserver"
    warm_up(workers)
    with (
        _main_module_hidden(),
        dask.config.set(settings),
        _deaf_to_interrupts() as (hearing, deafen),
        start(workers) as cluster,
        Client(cluster, security=own_security(), set_as_default=False) as client,
    ):
        hearing()
        try:
            yield client, functools.partial(kill, cluster)
        finally:
            # Another interrupt would leave processes that nobody waits for.
            deafen()


@contextlib.contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Keep new processes from importing the user's script, which would run it again without `if __name__ == ...`.

    Workers import what they work with from this package; multiprocessing imports the main module, if it has a file or
    a name, only for functions that are defined there.
    """
    main = vars(sys.modules["__main__"])
    # Several threads may have workers, and the last one puts back what the first one took away.
    with _hiding:
        if not _hidden:
            _hidden.append({name: main.pop(name) for name in ("__file__", "__spec__") if name in main})
            main["__spec__"] = None
        _hidden.append({})
    try:
        yield
    finally:
        with _hiding:
            _hidden.pop()
            if len(_hidden) == 1:
                main.update(_hidden.pop())


def _silence() -> None:
    """Silence Dask's client: a killed process already becomes a row with a reason."""
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # An interrupt may cancel a coroutine of the client before it starts; another thread warns of it at some later time.
    warnings.filterwarnings("ignore", r"coroutine '.*' was never awaited", RuntimeWarning)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Ignore what a terminal sends to all processes, also in those that are started now.

    Yields a function that hears it in this process, and one that ignores it again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield (lambda: None), (lambda: None)
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}

    def hear() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ignore() -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)

    ignore()
    try:
        yield hear, ignore
    finally:
        hear()


def _guarded(work: Callable[[Item], Result], item: Item) -> Result | Lost:
    _one_thread()
    try:
        return work(item)
    except MemoryError:
        return Lost("worker_lost", f"Memory ran out. {_MEND}")
    except OSError:
        # Photos that cannot be read are rejected where they are read. This is a full disk or a lost folder, which every
        # other item would run into too.
        raise
    except Exception as error:
        # An error of one item must not stop the others. It is reported as it is, and the command fails at its end.
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return Lost("internal_error", f"{what} ({Path(place.filename).name}, line {place.lineno}); please report it.")


def _one_thread() -> None:
    """Items are worked on in parallel, so OpenCV's own threads would only slow each other down."""
    # This is done for each item, because workers of a cluster may join at any time.
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
