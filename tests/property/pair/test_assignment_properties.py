"""The assignment of greatest weight, compared with all possible assignments."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dpedtool.pipeline.pair.assignment import best_partners

sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))
weights = sizes.flatmap(lambda size: arrays(np.float64, size, elements=st.integers(-5, 20).map(float)))


def best_total(table: np.ndarray) -> float:
    """The greatest total by trying every assignment."""
    gains = np.maximum(table if len(table) <= table.shape[1] else table.T, 0)
    rows = range(len(gains))
    return max(
        float(sum(gains[row, column] for row, column in zip(rows, order, strict=True)))
        for order in permutations(range(gains.shape[1]), len(gains))
    )


@given(weights)
def test_no_assignment_weighs_more(table: np.ndarray) -> None:
    found = best_partners(table)
    assert len(set(found.values())) == len(found)
    assert all(table[row, column] > 0 for row, column in found.items())
    assert sum(table[row, column] for row, column in found.items()) == best_total(table)


@given(weights)
def test_the_other_way_round_it_weighs_the_same(table: np.ndarray) -> None:
    there, back = best_partners(table), best_partners(table.T)
    assert sum(table[row, column] for row, column in there.items()) == sum(
        table[row, column] for column, row in back.items()
    )
