"""Shots in doubt: partners are never shared, never too far apart, and right if pictures or order can decide."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dpedtool.pipeline.pair.likeness import UNLIKE
from dpedtool.pipeline.pair.meeting import meeting_shots
from dpedtool.pipeline.pair.ties import settle

times = st.lists(st.integers(0, 15).map(float), min_size=1, max_size=12).map(np.array)


@given(times, times, st.floats(0, 4), st.integers(0, 10**6), st.floats(0, 1))
def test_no_shot_has_two_partners_or_one_out_of_reach(
    phone: np.ndarray, dslr: np.ndarray, tolerance: float, seed: int, known: float
) -> None:
    rng = np.random.default_rng(seed)
    table = rng.choice([UNLIKE, 0.0, 1.5, 4.0], (len(phone), len(dslr)))
    is_known = rng.random(table.shape) < known
    matches = meeting_shots(phone, dslr, tolerance)
    settled = settle(phone, dslr, matches, tolerance, lambda p, d: float(table[p, d]) if is_known[p, d] else None)
    assert len(set(settled.partners.values())) == len(settled.partners)
    assert all(abs(phone[p] - dslr[d]) <= tolerance for p, d in settled.partners.items())
    assert settled.how.keys() <= settled.partners.keys()
    assert set(settled.how.values()) <= {"picture", "order"}


@given(times, times, st.floats(0, 4))
def test_without_pictures_no_pair_of_the_clocks_is_lost_and_none_crosses(
    phone: np.ndarray, dslr: np.ndarray, tolerance: float
) -> None:
    phone, dslr = np.sort(phone), np.sort(dslr)
    matches = meeting_shots(phone, dslr, tolerance)
    partners = settle(phone, dslr, matches, tolerance, None).partners
    assert len(partners) >= len(matches)
    assert sorted(partners.items()) == list(zip(sorted(partners), sorted(partners.values()), strict=True))


@given(st.integers(0, 10**6), st.integers(1, 25), st.floats(0, 0.5), st.booleans())
def test_pictures_find_every_pair_of_a_burst(seed: int, shots: int, missing: float, shuffled: bool) -> None:
    """Shots 0.4 s apart, in whole seconds; each shows another scene, and a share is missing on either side."""
    rng = np.random.default_rng(seed)
    moments = 0.4 * np.arange(shots)
    phone_has, dslr_has = (np.flatnonzero(rng.random(shots) >= missing) for _ in range(2))
    if shuffled:
        rng.shuffle(phone_has)
        rng.shuffle(dslr_has)
    phone, dslr = np.floor(moments[phone_has] + rng.uniform()), np.floor(moments[dslr_has] + rng.uniform(0, 0.3))

    def likeness(p: int, d: int) -> float:
        return float(rng.uniform(2, 4)) if phone_has[p] == dslr_has[d] else UNLIKE

    settled = settle(phone, dslr, meeting_shots(phone, dslr, 2.0), 2.0, likeness)
    both = {(shot, shot) for shot in set(phone_has.tolist()) & set(dslr_has.tolist())}
    assert both <= {(int(phone_has[p]), int(dslr_has[d])) for p, d in settled.partners.items()}
    # The clock decides on shots that have one candidate, or whose photos are not recognised.
    pictured = {
        (int(phone_has[p]), int(dslr_has[settled.partners[p]])) for p, how in settled.how.items() if how == "picture"
    }
    assert both >= pictured


@given(st.integers(0, 10**6), st.integers(2, 20))
def test_views_that_hardly_differ_do_not_break_the_order(seed: int, shots: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = np.floor(0.4 * np.arange(shots))
    table = rng.uniform(3.9, 4.1, (shots, shots))
    settled = settle(seconds, seconds, meeting_shots(seconds, seconds, 2.0), 2.0, lambda p, d: float(table[p, d]))
    assert settled.partners == {shot: shot for shot in range(shots)}
    assert set(settled.how.values()) == {"order"}
