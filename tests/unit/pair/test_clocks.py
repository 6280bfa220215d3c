"""The offset between two cameras' clocks, by hand; the property tests check what holds for any session."""

from __future__ import annotations

import time

import numpy as np
import pytest

from dpedtool.pipeline.pair.clocks import fit_clocks
from dpedtool.pipeline.pair.meeting import meeting_shots

DAY = 86_400.0
RHYTHM = np.array([0.0, 11, 31, 38, 80, 95, 140, 151, 200])


def session(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """2000 moments at irregular intervals on eight days, and the times that each camera shows, in whole seconds."""
    rng = np.random.default_rng(seed)
    moments = np.concatenate([day * DAY + np.cumsum(rng.uniform(20, 90, 250)) for day in range(8)])
    return moments, np.floor(moments), np.floor(moments + rng.uniform(0, 0.3, len(moments)))


def judged(phone: np.ndarray, dslr: np.ndarray, max_offset_s: float = 90_000) -> tuple[float, float]:
    """Shares of right and of wrong pairs among the possible ones, if each camera misses 3 % of the moments."""
    rng = np.random.default_rng(1)
    phone_has, dslr_has = (np.flatnonzero(rng.random(len(phone)) > 0.03) for _ in range(2))
    fit = fit_clocks(phone[phone_has], dslr[dslr_has], 2.0, max_offset_s)
    right = phone_has[fit.matches[:, 0]] == dslr_has[fit.matches[:, 1]]
    possible = len(np.intersect1d(phone_has, dslr_has))
    return float(right.sum()) / possible, float((~right).sum()) / possible


def test_an_offset_by_hand() -> None:
    fit = fit_clocks(RHYTHM + 1000, RHYTHM + 1037.5, 2.0, 90_000)
    assert fit.offset_s == pytest.approx(37.5)
    assert fit.range_s == (pytest.approx(37.5), pytest.approx(37.5))
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
    assert (len(fit.matches), fit.rival_matches) == (30, 29)


@pytest.mark.parametrize("offset", [0.0, 10.0, -20.0])
def test_an_even_rhythm_is_matched_where_the_offset_is_known(offset: float) -> None:
    even = np.arange(0, 3000, 10.0)
    fit = fit_clocks(even, even, 2.0, 90_000, offset_s=offset)
    assert fit.rival_offset_s is None
    assert (fit.range_s, len(fit.matches)) == ((offset, offset), 300 - round(abs(offset) / 10))


def test_a_known_offset_is_followed_as_it_drifts() -> None:
    moments = np.concatenate([day * DAY + np.arange(400) * 30.0 for day in range(8)])
    phone = np.floor(moments - 4 * moments / DAY)
    fit = fit_clocks(phone, moments + 37, 2.0, 90_000, offset_s=37.0)
    assert fit.matches.tolist() == [[index, index] for index in range(3200)]


def test_a_known_offset_that_is_wrong_matches_hardly_anything() -> None:
    moments, phone, dslr = session()
    assert len(fit_clocks(phone, dslr + 37, 2.0, 90_000, offset_s=500.0).matches) < 0.2 * len(moments)


def test_drift_over_days_is_removed() -> None:
    rng = np.random.default_rng(0)
    dslr = np.cumsum(rng.uniform(60, 4000, 300))
    drift = 3.0 / 86_400
    phone = dslr - 50 - drift * dslr
    fit = fit_clocks(phone, dslr, 2.0, 90_000)
    assert len(fit.matches) == 300
    np.testing.assert_allclose(phone + fit.offsets_s, dslr, atol=1.5)


def test_few_shots_get_one_offset() -> None:
    dslr = np.array([0.0, 5000, 9000])
    fit = fit_clocks(dslr + np.array([0, 0.4, 0.9]), dslr, 2.0, 90_000)
    np.testing.assert_allclose(fit.offsets_s, -0.4)


def test_one_shot_each_meets() -> None:
    fit = fit_clocks(np.array([100.0]), np.array([163.0]), 2.0, 90_000)
    assert fit.offset_s == pytest.approx(63)
    assert fit.matches.tolist() == [[0, 0]]


def test_shots_meet_only_their_nearest_and_within_the_tolerance() -> None:
    phone, dslr = np.array([10.0, 0.0, 20.0]), np.array([0.5, 1.5, 22.1])
    assert meeting_shots(phone, dslr, 2.0).tolist() == [[1, 0]]
    assert meeting_shots(phone, dslr, 2.2).tolist() == [[1, 0], [2, 2]]


# Sessions of days, on clocks that are not steady


@pytest.mark.parametrize("camera", ["phone", "dslr"])
@pytest.mark.parametrize("seconds_a_day", [0, 1, -2, 4])
def test_a_steady_drift_is_followed(camera: str, seconds_a_day: float) -> None:
    moments, phone, dslr = session()
    changed = np.floor((phone if camera == "phone" else dslr) + seconds_a_day * moments / DAY)
    right, wrong = judged(changed, dslr) if camera == "phone" else judged(phone, changed)
    assert right > 0.99
    assert wrong < 0.001


@pytest.mark.parametrize("camera", ["phone", "dslr"])
@pytest.mark.parametrize("jump", [3600, -3600, 41_234, -70_000, 3])
@pytest.mark.parametrize("day", [3.9, 4.06])
def test_a_clock_that_is_set_anew_is_followed(camera: str, jump: float, day: float) -> None:
    """Set at night, and between two shots of one hour; a clock that is put back then shows the same hour twice."""
    moments, phone, dslr = session()
    moved = np.where(moments > day * DAY, jump, 0.0)
    right, wrong = judged(phone + moved, dslr) if camera == "phone" else judged(phone, dslr + moved)
    assert right > 0.99
    assert wrong < 0.001


@pytest.mark.parametrize("pause", [3 / 24, 8 / 24, 1.0])
def test_a_few_shots_now_and_then_are_matched_although_the_clock_drifts_meanwhile(pause: float) -> None:
    """Three shots at a time over weeks, with 4 s of drift a day."""
    rng = np.random.default_rng(0)
    starts = np.cumsum(rng.uniform(0.5, 1.5, 160)) * pause * DAY
    moments = (starts[:, None] + np.cumsum(rng.uniform(8, 60, (160, 3)), axis=1)).ravel()
    assert judged(np.floor(moments), np.floor(moments + 4 * moments / DAY + 37)) == (1.0, 0.0)


def test_a_date_beyond_the_limit_gives_no_pairs_by_chance() -> None:
    moments, phone, dslr = session()
    right, wrong = judged(phone, dslr + np.where(moments > 5 * DAY, 100 * DAY, 0))
    assert right == pytest.approx(5 / 8, abs=0.01)
    assert wrong < 0.001
    assert judged(phone, dslr + 100 * DAY, 101 * DAY)[0] > 0.99


def test_days_that_each_camera_spent_elsewhere_give_no_pairs_and_do_not_lead_astray() -> None:
    _, phone, dslr = session()
    _, _, others = session(seed=5)
    apart = slice(500, 1500)
    dslr[apart] = others[apart]
    for known in (None, 37.0):
        fit = fit_clocks(phone, dslr + 37, 2.0, 90_000, offset_s=known)
        assert fit.matches.tolist() == [[index, index] for index in (*range(500), *range(1500, 2000))]


def test_an_hour_that_the_dslr_missed_does_not_lead_astray() -> None:
    _, phone, dslr = session()
    kept = np.delete(np.arange(len(dslr)), slice(500, 620))
    fit = fit_clocks(phone, dslr[kept] + 37, 2.0, 90_000)
    right = fit.matches[:, 0] == kept[fit.matches[:, 1]]
    assert right.sum() == len(kept)
    assert (~right).sum() == 0


def test_a_few_shots_after_a_pause_keep_their_neighbours_offset() -> None:
    moments, phone, dslr = session()
    late = np.array([9 * DAY, 9 * DAY + 31, 9 * DAY + 99])
    fit = fit_clocks(np.r_[phone, late], np.r_[dslr, late] + 37, 2.0, 90_000)
    assert fit.matches.tolist() == [[index, index] for index in range(len(moments) + 3)]


def test_six_thousand_shots_take_seconds() -> None:
    moments = np.cumsum(np.random.default_rng(0).uniform(20, 90, 6000))
    started = time.process_time()
    fit = fit_clocks(moments, np.floor(moments), 2.0, 90_000)
    assert len(fit.matches) == 6000
    assert time.process_time() - started < 10
