"""Two cameras triggered together at irregular moments: the relation of their clocks is recovered."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dpedtool.pipeline.pair.clocks import fit_clocks
from dpedtool.pipeline.pair.meeting import meeting_shots

offsets = st.floats(-86_400, 86_400)


def session(seed: int, shots: int) -> np.ndarray:
    """Irregular moments in seconds, 8 s apart or more."""
    return np.cumsum(np.random.default_rng(seed).uniform(8, 90, shots))


@given(st.integers(0, 10**6), st.integers(20, 60), offsets, st.booleans(), st.booleans())
def test_offset_and_matches_are_recovered(
    seed: int, shots: int, offset: float, whole_seconds: bool, shuffled: bool
) -> None:
    rng = np.random.default_rng(seed + 1)
    moments = session(seed, shots)
    phone_has, dslr_has = (np.flatnonzero(rng.random(shots) > 0.15) for _ in range(2))
    if shuffled:
        rng.shuffle(phone_has)
        rng.shuffle(dslr_has)
    phone, dslr = moments[phone_has], moments[dslr_has] + offset
    if whole_seconds:
        phone, dslr = np.floor(phone), np.floor(dslr)
    fit = fit_clocks(phone, dslr, 2.0, 90_000)
    assert abs(fit.offset_s - offset) <= (1.0 if whole_seconds else 0.001)
    found = {(int(phone_has[p]), int(dslr_has[d])) for p, d in fit.matches}
    assert found == {(index, index) for index in set(phone_has) & set(dslr_has)}
    assert (np.diff(phone[fit.matches[:, 0]]) >= 0).all()


@given(st.integers(0, 10**6), st.integers(20, 60), offsets)
def test_seen_from_the_other_camera_the_offset_changes_its_sign(seed: int, shots: int, offset: float) -> None:
    phone = session(seed, shots)
    dslr = np.delete(phone, [1, 4]) + offset
    there, back = fit_clocks(phone, dslr, 2.0, 90_000), fit_clocks(dslr, phone, 2.0, 90_000)
    np.testing.assert_allclose(there.offset_s, -back.offset_s, atol=1e-6)
    assert {(p, d) for p, d in there.matches.tolist()} == {(p, d) for d, p in back.matches.tolist()}


times = st.lists(st.integers(0, 200).map(float), min_size=1, max_size=20).map(np.array)


@given(times, times, st.floats(0, 20))
def test_no_shot_meets_two(phone: np.ndarray, dslr: np.ndarray, tolerance: float) -> None:
    matches = meeting_shots(phone, dslr, tolerance)
    assert len(set(matches[:, 0])) == len(set(matches[:, 1])) == len(matches)
    gaps = np.abs(phone[matches[:, 0]] - dslr[matches[:, 1]])
    assert (gaps <= tolerance).all()
    for (phone_index, dslr_index), gap in zip(matches, gaps, strict=True):
        assert gap == np.abs(dslr - phone[phone_index]).min() == np.abs(phone - dslr[dslr_index]).min()
