"""Parallel work: every item has one result, in this process or in others, and a killed process costs one item."""

from __future__ import annotations

import os
import signal
from functools import partial

import cv2
import pytest

from pipeline.runner import Lost, default_workers, run


def square(item: int) -> int:
    return item * item


def process_id(item: int) -> tuple[int, int]:
    return os.getpid(), cv2.getNumThreads() + 0 * item


def kill_own_process(item: int, victims: tuple[int, ...]) -> int:
    if item in victims:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def run_out_of_memory(item: int) -> int:
    if item == 2:
        raise MemoryError
    return item


def fail(item: int) -> int:
    if item == 2:
        raise ZeroDivisionError("a bug")
    return item


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_has_its_result(workers: int) -> None:
    assert sorted(run(square, range(9), workers)) == [(item, item * item) for item in range(9)]


def test_nothing_to_do_gives_nothing() -> None:
    assert list(run(square, [], 2)) == []


def test_one_worker_works_in_this_process_with_one_thread_and_puts_the_threads_back() -> None:
    threads = cv2.getNumThreads()
    assert {result for _, result in run(process_id, range(3), 1)} == {(os.getpid(), 1)}
    assert {result for _, result in run(process_id, [1], 8)} == {(os.getpid(), 1)}
    assert cv2.getNumThreads() == threads


def test_two_workers_work_in_other_processes_with_one_thread_each() -> None:
    found = {result for _, result in run(process_id, range(12), 2)}
    assert 1 <= len(found) <= 2
    assert os.getpid() not in {process for process, _ in found}
    assert {threads for _, threads in found} == {1}


def test_a_killed_process_loses_its_item_and_no_other() -> None:
    results = dict(run(partial(kill_own_process, victims=(3, 7)), range(12), 2))
    lost = {item: result for item, result in results.items() if isinstance(result, Lost)}
    assert set(lost) == {3, 7}
    assert all("killed" in result.detail for result in lost.values())
    assert {item: result for item, result in results.items() if item not in lost} == {
        item: item * item for item in range(12) if item not in (3, 7)
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_runs_out_of_memory_is_lost(workers: int) -> None:
    results = dict(run(run_out_of_memory, range(5), workers))
    assert isinstance(results.pop(2), Lost)
    assert results == {item: item for item in (0, 1, 3, 4)}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bug_costs_one_item_and_says_where_it_is(workers: int) -> None:
    results = dict(run(fail, range(5), workers))
    lost = results.pop(2)
    assert isinstance(lost, Lost)
    assert lost.reason == "internal_error"
    assert "ZeroDivisionError: a bug (test_runner.py, line" in lost.detail
    assert results == {item: item for item in (0, 1, 3, 4)}


def test_there_is_a_processor() -> None:
    assert default_workers() >= 1
