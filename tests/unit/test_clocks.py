"""The offset between two cameras' clocks, by hand; what holds for any session is among the properties."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.clocks import fit_clocks, meeting_shots

RHYTHM = np.array([0.0, 11, 31, 38, 80, 95, 140, 151, 200])


def test_an_offset_by_hand() -> None:
    fit = fit_clocks(RHYTHM + 1000, RHYTHM + 1037.5, 2.0, 90_000)
    assert fit.offset_s == pytest.approx(37.5)
    assert fit.drift == 0
    assert fit.matches.tolist() == [[index, index] for index in range(9)]
    assert fit.rival_offset_s is None


def test_shots_that_one_camera_missed_have_no_mate() -> None:
    fit = fit_clocks(np.delete(RHYTHM, [2, 5]), np.delete(RHYTHM, 7) - 3600, 2.0, 90_000)
    assert fit.offset_s == pytest.approx(-3600)
    phone, dslr = np.delete(np.arange(9), [2, 5]), np.delete(np.arange(9), 7)
    assert [(phone[p], dslr[d]) for p, d in fit.matches] == [(i, i) for i in (0, 1, 3, 4, 6, 8)]


def test_an_offset_beyond_the_limit_is_not_looked_for() -> None:
    fit = fit_clocks(RHYTHM, RHYTHM + 5000, 2.0, 4000)
    assert len(fit.matches) == 0
    assert fit_clocks(RHYTHM, RHYTHM + 5000, 2.0, 5100).offset_s == pytest.approx(5000)


def test_an_even_rhythm_is_no_proof_and_a_rival_is_named() -> None:
    even = np.arange(0, 300, 10.0)
    fit = fit_clocks(even, even, 2.0, 90_000)
    assert fit.rival_offset_s is not None
    assert abs(fit.rival_offset_s) == pytest.approx(10)


def test_drift_over_days_is_removed() -> None:
    rng = np.random.default_rng(0)
    dslr = np.cumsum(rng.uniform(60, 4000, 300))
    drift = 3.0 / 86_400
    phone = dslr - 50 - drift * dslr
    fit = fit_clocks(phone, dslr, 2.0, 90_000)
    assert len(fit.matches) == 300
    assert fit.drift == pytest.approx(drift, rel=1e-3)
    np.testing.assert_allclose(phone + fit.offset_at(phone), dslr, atol=0.01)


def test_few_shots_get_no_drift() -> None:
    dslr = np.array([0.0, 5000, 9000])
    fit = fit_clocks(dslr + np.array([0, 0.4, 0.9]), dslr, 2.0, 90_000)
    assert fit.drift == 0
    assert fit.offset_s == pytest.approx(-0.4)


def test_one_shot_each_meets() -> None:
    fit = fit_clocks(np.array([100.0]), np.array([163.0]), 2.0, 90_000)
    assert fit.offset_s == pytest.approx(63)
    assert fit.matches.tolist() == [[0, 0]]


def test_shots_meet_only_their_nearest_and_within_the_tolerance() -> None:
    phone, dslr = np.array([10.0, 0.0, 20.0]), np.array([0.5, 1.5, 22.1])
    assert meeting_shots(phone, dslr, 2.0).tolist() == [[1, 0]]
    assert meeting_shots(phone, dslr, 2.2).tolist() == [[1, 0], [2, 2]]
