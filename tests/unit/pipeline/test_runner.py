"""Parallel work: every item has one result, in this process, in others or on a cluster, even if workers die."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import dask
import pytest
from distributed import Client, LocalCluster

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import as_place
from dpedtool.pipeline import cluster_facts, runner, waiting
from dpedtool.pipeline.runner import Lost, default_workers, run, warm_up


def setting(name: str) -> Any:
    return dask.config.get(name)


pytestmark = pytest.mark.slow

Run = Callable[..., Iterator[tuple[Any, Any]]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Somebody else's cluster: two workers of two threads, with Dask's own rule on tasks whose workers die."""
    with foreign_cluster(n_workers=2, threads_per_worker=2) as started:
        assert dask.config.get("distributed.scheduler.allowed-failures") > 2
        yield started


def foreign_cluster(**settings: Any) -> LocalCluster:
    return LocalCluster(processes=True, memory_limit=None, dashboard_address="127.0.0.1:0", **settings)


@pytest.fixture(params=["here", "cluster"])
def run_by_two(request: pytest.FixtureRequest) -> Run:
    """`run` with two workers, here or on the cluster."""
    if request.param == "here":
        return partial(run, workers=2)
    address = request.getfixturevalue("cluster").scheduler_address
    return partial(run, workers=1, scheduler=address)


def square(item: int) -> int:
    return item * item


def process_id(item: int) -> tuple[int, int]:
    return os.getpid(), cv2.getNumThreads() + 0 * item


def kill_own_process(item: int, victims: tuple[int, ...], log: Path) -> int:
    with log.open("a") as file:
        file.write(f"{item}\n")
    if item in victims:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def kill_own_process_once(item: int, folder: Path) -> int:
    marker = folder / str(item)
    if item % 4 == 0 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def run_out_of_memory(item: int) -> int:
    if item == 2:
        raise MemoryError
    return item


def need_all_memory(item: int, folder: Path) -> int:
    """Run out of memory at the first try, and note at the second one who else is at work."""
    first, busy = folder / f"{item}-first", folder / f"{item}-busy"
    if not first.exists():
        first.touch()
        raise MemoryError
    busy.touch()
    time.sleep(0.2)
    others = len(list(folder.glob("*-busy"))) - 1
    busy.unlink()
    return others


def freeze(item: int, victim: int) -> int:
    if item == victim:
        os.kill(os.getpid(), signal.SIGSTOP)
    return item * item


def fail(item: int) -> int:
    if item == 2:
        raise ZeroDivisionError("a bug")
    return item


def find_no_room(item: int) -> int:
    raise OSError(28, "No space left on device", str(item))


def time_out(item: int) -> int:
    raise TimeoutError(110, "Connection timed out", str(item))


def wait_a_little(item: int) -> tuple[int, int]:
    time.sleep(0.2)
    return item, os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_has_its_result(workers: int) -> None:
    assert sorted(run(square, range(9), workers)) == [(item, item * item) for item in range(9)]


def test_a_cluster_gives_every_item_its_result_and_is_left_running(cluster: LocalCluster) -> None:
    for count in (50, 1):
        results = sorted(run(square, range(count), 1, scheduler=cluster.scheduler_address))
        assert results == [(item, item * item) for item in range(count)]
    assert len(cluster.scheduler.workers) == 2
    assert not cluster.scheduler.tasks


def test_nothing_to_do_gives_nothing() -> None:
    assert list(run(square, [], 2)) == []
    assert list(run(square, [], 2, scheduler="tcp://127.0.0.1:1")) == []


def test_one_worker_works_in_this_process_with_one_thread_and_puts_the_threads_back() -> None:
    threads = cv2.getNumThreads()
    assert {result for _, result in run(process_id, range(3), 1)} == {(os.getpid(), 1)}
    assert {result for _, result in run(process_id, [1], 8)} == {(os.getpid(), 1)}
    assert cv2.getNumThreads() == threads


def test_two_workers_work_in_other_processes_with_one_thread_each(run_by_two: Run) -> None:
    found = {result for _, result in run_by_two(process_id, range(12))}
    assert 1 <= len(found) <= 2
    assert os.getpid() not in {process for process, _ in found}
    assert {threads for _, threads in found} == {1}


def test_processes_here_do_not_look_at_themselves_all_the_time() -> None:
    """Dask knows each of these settings, and has another value."""
    assert dict(run(setting, sorted(runner.QUIET), 2)) == runner.QUIET
    assert all(dask.config.get(name) != value for name, value in runner.QUIET.items())


def test_an_item_that_kills_its_process_does_so_twice_and_is_lost_and_no_other_is(
    run_by_two: Run, tmp_path: Path
) -> None:
    results = dict(run_by_two(partial(kill_own_process, victims=(3, 7), log=tmp_path / "log"), range(12)))
    lost = {item: result for item, result in results.items() if isinstance(result, Lost)}
    assert set(lost) == {3, 7}
    assert all(result.reason == "worker_lost" and "killed twice" in result.detail for result in lost.values())
    assert {item: result for item, result in results.items() if item not in lost} == {
        item: item * item for item in range(12) if item not in (3, 7)
    }
    begun = (tmp_path / "log").read_text().split()
    assert max(begun.count("3"), begun.count("7")) == 2


def test_an_item_whose_process_is_killed_once_has_its_result(run_by_two: Run, tmp_path: Path) -> None:
    results = sorted(run_by_two(partial(kill_own_process_once, folder=tmp_path), range(9)))
    assert results == [(item, item * item) for item in range(9)]
    assert {path.name for path in tmp_path.iterdir()} == {"0", "4", "8"}


def test_an_item_that_runs_out_of_memory_is_lost(run_by_two: Run) -> None:
    for results in (dict(run(run_out_of_memory, range(5), 1)), dict(run_by_two(run_out_of_memory, range(5)))):
        assert isinstance(results.pop(2), Lost)
        assert results == {item: item for item in (0, 1, 3, 4)}


def test_items_that_ran_out_of_memory_are_tried_again_alone(run_by_two: Run, tmp_path: Path) -> None:
    results = dict(run_by_two(partial(need_all_memory, folder=tmp_path), range(4)))
    assert results == dict.fromkeys(range(4), 0)


def test_a_frozen_process_is_named_and_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SAID_AFTER_S", 0.3)
    monkeypatch.setattr(runner, "LIMIT_S", 3)
    monkeypatch.setattr(runner, "_LOOK_S", 0.1)
    results = dict(run(partial(freeze, victim=2), range(6), 2))
    lost = results.pop(2)
    assert results == {item: item * item for item in (0, 1, 3, 4, 5)}
    assert isinstance(lost, Lost)
    assert (lost.reason, lost.detail[:13]) == ("worker_lost", "It was given ")
    said = capsys.readouterr().err
    assert re.search(r"Waiting for .*a part of the work.* the worker at tls://127.0.0.1:\d+,? since \d+ s\.", said)


def test_a_frozen_worker_of_a_cluster_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "LIMIT_S", 3)
    monkeypatch.setattr(runner, "_LOOK_S", 0.1)
    with foreign_cluster(n_workers=2, threads_per_worker=1) as cluster:
        results = dict(run(partial(freeze, victim=2), range(6), 1, scheduler=cluster.scheduler_address))
        for nanny in cluster.workers.values():
            os.kill(nanny.pid, signal.SIGCONT)
    assert isinstance(results.pop(2), Lost)
    assert results == {item: item * item for item in (0, 1, 3, 4, 5)}
    assert "which does not answer" in capsys.readouterr().err


def test_what_takes_long_in_this_process_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SAID_AFTER_S", 0.05)
    assert len(list(run(wait_a_little, [1], 1))) == 1
    assert "Waiting for a part of the work since 0 s." in capsys.readouterr().err


def test_a_bug_costs_one_item_and_says_where_it_is(run_by_two: Run) -> None:
    for results in (dict(run(fail, range(5), 1)), dict(run_by_two(fail, range(5)))):
        lost = results.pop(2)
        assert isinstance(lost, Lost)
        assert lost.reason == "internal_error"
        assert "ZeroDivisionError: a bug (test_runner.py, line" in lost.detail
        assert results == {item: item for item in (0, 1, 3, 4)}


def test_a_full_disk_ends_the_run(run_by_two: Run) -> None:
    with pytest.raises(OSError, match="No space left"):
        list(run_by_two(find_no_room, range(5)))


def test_a_connection_of_the_work_that_times_out_is_no_late_result(run_by_two: Run) -> None:
    with pytest.raises(TimeoutError, match="Connection timed out"):
        list(run_by_two(time_out, range(5)))


def test_there_is_a_processor() -> None:
    assert default_workers() >= 1


def test_warming_up_leaves_the_environment_as_it_was_and_need_not_be_done() -> None:
    before = dict(os.environ)
    warm_up(2, "dpedtool.pipeline.align.stage")
    warm_up(1)
    assert dict(os.environ) == before


# Clusters whose workers come and go


def test_workers_that_join_do_their_share_and_workers_that_leave_cost_nothing() -> None:
    with foreign_cluster(n_workers=1, threads_per_worker=1) as cluster:
        first = None
        seen = []
        for done, (item, (same, process)) in enumerate(
            run(wait_a_little, range(40), 1, scheduler=cluster.scheduler_address)
        ):
            assert item == same
            first = first or process
            seen.append((item, process))
            if done == 2:
                cluster.scale(3)
            if done == 30:
                cluster.scale(1)
    assert sorted(item for item, _ in seen) == list(range(40))
    assert len({process for _, process in seen}) == 3


def test_a_window_of_items_is_under_way_however_many_there_are(cluster: LocalCluster) -> None:
    results = run(square, range(300), 1, scheduler=cluster.scheduler_address)
    under_way = [len(cluster.scheduler.tasks) for _ in results]
    # Twice the four threads; a few more are finished and not yet forgotten.
    assert max(under_way) <= 16


def test_a_cluster_whose_workers_come_later_is_waited_for() -> None:
    with foreign_cluster(n_workers=0, threads_per_worker=1) as cluster:
        threading.Timer(1.5, cluster.scale, [1]).start()
        assert dict(run(square, range(3), 1, scheduler=cluster.scheduler_address)) == {0: 0, 1: 1, 2: 4}


def test_a_cluster_that_grows_with_its_load_is_given_some() -> None:
    with foreign_cluster(n_workers=0, threads_per_worker=1) as cluster:
        cluster.adapt(minimum=0, maximum=1, interval="100ms")
        assert dict(run(square, range(3), 1, scheduler=cluster.scheduler_address)) == {0: 0, 1: 1, 2: 4}


# What goes wrong with clusters


def test_workers_that_never_come_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_PATIENCE_S", 1.5)
    with (
        foreign_cluster(n_workers=0) as cluster,
        pytest.raises(DpedtoolError, match=r"No worker has joined the cluster at tcp://\S+ within 2 s: start some"),
    ):
        list(run(square, range(3), 1, scheduler=cluster.scheduler_address))


def test_an_address_where_no_scheduler_is_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_CONNECT_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        addresses = [f"tcp://127.0.0.1:{free.getsockname()[1]}", "nowhere://x", "no such host", "127.0.0.1"]
        for address in addresses:
            with pytest.raises(DpedtoolError, match=f"^No Dask scheduler answers at {address} "):
                list(run(square, range(3), 1, scheduler=address))
    # The thread that collects a half-open client closes it, and that may be the thread that it waits for.
    assert {thing.status for thing in gc.get_objects() if type(thing) is Client} <= {"closed", "newly-created"}


def test_a_cluster_that_is_lost_is_a_sentence_and_what_is_finished_is_kept() -> None:
    results = []
    with foreign_cluster(n_workers=2, threads_per_worker=1) as cluster:
        under_way = run(wait_a_little, range(100), 1, scheduler=cluster.scheduler_address)
        results.append(next(under_way))
        cluster.close()
        with pytest.raises(DpedtoolError, match=r"was lost\. Finished work is kept: run the same command again"):
            results.extend(under_way)
    assert 1 <= len(results) < 100


def test_workers_that_cannot_read_a_url_are_told(cluster: LocalCluster) -> None:
    photo = as_place("memory://runner/photo.jpg")
    address = cluster.scheduler_address
    # The photo is missing here too, so it is reported with its pair.
    assert dict(run(square, [2], 1, scheduler=address, files=[photo])) == {2: 4}
    photo.write_bytes(b"in this process alone")
    try:
        with pytest.raises(DpedtoolError, match=r"does not see the files in memory://runner: packages and credentials"):
            list(run(square, [2], 1, scheduler=address, files=[photo]))
    finally:
        photo.unlink()


def test_workers_that_do_not_see_the_folder_are_told(cluster: LocalCluster, tmp_path: Path) -> None:
    for where in ({"folder": tmp_path}, {"files": [tmp_path / "photo.jpg"]}):
        assert dict(run(square, [2], 1, scheduler=cluster.scheduler_address, **where)) == {2: 4}
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    # Relative, so that another working folder makes it another folder.
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(DpedtoolError, match="does not see the files in there: folders must have the same paths"):
            list(run(square, [2], 1, scheduler=cluster.scheduler_address, folder=Path("there")))
    finally:
        os.chdir(here)


@pytest.mark.parametrize("fact", ["OpenCV", "dpedtool's code"])
def test_workers_of_other_versions_are_told(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, fact: str) -> None:
    real = cluster_facts._facts()
    monkeypatch.setattr(runner, "check_scheduler", lambda _: None)
    flaw = cluster_facts._flaw({**real, fact: "0"})
    assert flaw == f"has {fact} 0, but here it is {real[fact]}: install the same there, or results could differ."
    monkeypatch.setattr(cv2 if fact == "OpenCV" else cluster_facts, *changed(fact))
    with pytest.raises(DpedtoolError, match=f"^The worker at tcp://.* has {fact} .*, but here it is other"):
        list(run(square, [2], 1, scheduler=cluster.scheduler_address))


def changed(fact: str) -> tuple[str, object]:
    return ("__version__", "other") if fact == "OpenCV" else ("_code", lambda: "other")


def test_a_cluster_without_dpedtool_is_told(tmp_path: Path) -> None:
    scheduler_file = tmp_path / "scheduler.json"
    # -P and another folder to work in: this checkout is not on the path.
    words = [sys.executable, "-P", "-c", SCHEDULER_WITHOUT_US, str(scheduler_file)]
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(words, cwd=tmp_path, env=bare, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while not scheduler_file.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            address = scheduler_file.read_text()
            expected = r"^The scheduler at \S+ cannot import this version of dpedtool \(.*\): install this checkout"
            with pytest.raises(DpedtoolError, match=expected):
                list(run(square, [2], 1, scheduler=address))
        finally:
            process.kill()


SCHEDULER_WITHOUT_US = """
import sys, time
from pathlib import Path
sys.modules["dpedtool"] = None
from distributed import LocalCluster
cluster = LocalCluster(n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0")
half = Path(sys.argv[1] + ".half")
half.write_text(cluster.scheduler_address)
half.rename(sys.argv[1])
time.sleep(60)
"""


def test_a_client_of_the_test_can_still_use_the_cluster(cluster: LocalCluster) -> None:
    list(run(square, range(5), 1, scheduler=cluster.scheduler_address))
    with Client(cluster, set_as_default=False) as client:
        assert client.submit(square, 3).result() == 9
