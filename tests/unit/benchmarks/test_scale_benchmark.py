"""The benchmark of sessions of many pairs: its session is one that is aligned, and its exponent is right."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.scale import Stage, as_markdown, growth, write_session
from dpedtool.dataset.params import AlignParams, PairParams
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.pair.stage import pair_folders


def stage(pairs: int, cpu_s: float, name: str = "split") -> Stage:
    return Stage(name, pairs, cpu_s, 2 * cpu_s, 10**9, 3 * pairs)


def test_the_exponent_is_that_of_the_power_by_which_the_cost_grows() -> None:
    rows = [stage(250, 3.0), stage(1000, 3.0 * 4**2), stage(4000, 3.0 * 4**2 * 4), stage(250, 7.0, "align")]
    assert [growth(row, rows) for row in rows] == [None, pytest.approx(2), pytest.approx(1), None]


def test_the_table_gives_the_cost_of_a_pair() -> None:
    text = as_markdown([stage(250, 2.5), stage(1000, 2.5 * math.sqrt(4))])
    assert "| split | 250 | 5 | 2.5 | 10.0 | 0.0 |  | 1.00 GB | 3.00 |" in text
    assert "| split | 1000 | 10 | 5.0 | 5.0 | 0.0 | 0.50 | 1.00 GB | 3.00 |" in text


def test_its_photos_are_paired_and_aligned(tmp_path: Path) -> None:
    write_session(tmp_path, 2)
    pairs = pair_folders(tmp_path / "phone", tmp_path / "dslr", PairParams()).rows
    rows = align(pairs, tmp_path / "out", AlignParams(), images=False)
    assert [row.status for row in rows] == ["aligned", "aligned"]
