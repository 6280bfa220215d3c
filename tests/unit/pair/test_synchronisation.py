"""The report of the synchronisation, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpedtool.dataset.schema import Pair
from dpedtool.dataset.sidecars.synchronisation import ClockErrors, Shots, Ties, TimeSteps
from dpedtool.pipeline.commands.summary import say_pairs
from dpedtool.pipeline.pair.intake import PairedFolders
from dpedtool.pipeline.pair.synchronisation import synchronisation

DAY = 86_400.0
START = datetime(2024, 5, 4, 10)


def row(name: str, phone_s: float | None, dslr_s: float | None, reason: str = "", **more: Any) -> Pair:
    phone_time, dslr_time = (
        (START + timedelta(seconds=float(seconds))).isoformat() if seconds is not None else None
        for seconds in (phone_s, dslr_s)
    )
    has_phone, has_dslr = reason != "no_phone_photo", reason != "no_dslr_photo"
    return Pair(
        pair_id=name,
        phone="phone",
        scene_id=name if has_dslr else None,
        status="unpaired" if reason else "paired",
        reason=reason,
        matched_by=None if reason else more.pop("matched_by", "clock"),
        phone_path=Path("p", name) if has_phone else None,
        dslr_path=Path("d", name) if has_dslr else None,
        phone_time=phone_time if has_phone else None,
        dslr_time=dslr_time if has_dslr else None,
        **more,
    )


def session(phone_s: Sequence[float] | np.ndarray, dslr_s: Sequence[float] | np.ndarray, **more: Any) -> list[Pair]:
    return [row(f"{i:04d}", *times, **more) for i, times in enumerate(zip(phone_s, dslr_s, strict=True))]


def test_photos_are_counted_by_what_became_of_them() -> None:
    rows = [*session([0, 10, 20], [37, 47, 58], matched_by="picture"), row("b", 30, 67, matched_by="order")]
    rows += [row("c", 50, None, "no_dslr_photo"), row("d", None, 200, "no_phone_photo")]
    report = synchronisation(rows, 2.0)
    assert report.shots == Shots(phone=5, dslr=5)
    assert (report.paired, report.matched_by) == (4, {"picture": 3, "order": 1})
    assert report.ties == Ties(by_picture=3, by_order=1)
    assert report.unpaired == {"no_dslr_photo": 1, "no_phone_photo": 1}
    assert report.unpaired_photos == {"c": "no_dslr_photo", "d": "no_phone_photo"}


def test_offset_and_drift_over_days_are_found() -> None:
    rng = np.random.default_rng(0)
    phone = np.sort(rng.uniform(0, 6 * DAY, 400))
    dslr = phone + 37 + 3.0 * phone / DAY
    clock = synchronisation(session(np.floor(phone), np.floor(dslr)), 2.0).clocks[""]
    assert clock.drift_s_per_day == pytest.approx(3, abs=0.05)
    assert 0.005 < clock.drift_standard_error_s_per_day < 0.03
    assert clock.offset_start_s == pytest.approx(37, abs=0.3)
    assert clock.offset_end_s == pytest.approx(37 + 18, abs=0.3)
    assert (clock.pieces, clock.stray_pairs) == (1, 0)
    assert clock.error_s.median < clock.error_s.p95 < clock.error_s.max <= 1.1


def test_a_long_pause_in_which_a_clock_drifts_is_no_jump() -> None:
    moments = np.concatenate([np.arange(20) * 60.0, 10 * DAY + np.arange(20) * 60.0])
    clock = synchronisation(session(moments, moments + 4 * moments / DAY), 2.0).clocks[""]
    assert clock.pieces == 1
    assert clock.drift_s_per_day == pytest.approx(4, abs=0.01)


def test_a_clock_that_was_set_is_in_pieces_and_a_stray_pair_in_none() -> None:
    moments = np.arange(40) * 60.0
    dslr = moments + np.where(np.arange(40) < 15, 37, 3637)
    dslr[30] = 90_000
    clock = synchronisation(session(moments, dslr), 2.0).clocks[""]
    assert (clock.pieces, clock.stray_pairs) == (2, 1)
    assert (clock.offset_start_s, clock.offset_end_s) == (37, 3637)
    assert clock.error_s == ClockErrors(median=0, p95=0, max=0)


def test_what_the_fit_leaves_is_the_error_of_pairs_by_clock() -> None:
    rows = [
        row(f"{i}", 20.0 * i, 20.0 * i + 5, clock_offset_s=4.0, clock_error_s=error)
        for i, error in enumerate((1.0, -1.5))
    ]
    assert synchronisation(rows, 2.0).clocks[""].error_s == ClockErrors(median=1.25, p95=1.475, max=1.5)


def test_a_drift_within_its_error_moves_no_offset() -> None:
    moments = np.arange(12) * 10.0
    clock = synchronisation(session(moments, moments + 5 + np.tile([0, 1], 6)), 2.0).clocks[""]
    assert abs(clock.drift_s_per_day) < 2 * clock.drift_standard_error_s_per_day
    assert clock.offset_start_s == clock.offset_end_s == 5.5


def test_few_pairs_have_no_drift_and_none_no_clock() -> None:
    assert synchronisation(session([0, 10], [5, 15]), 2.0).clocks[""].drift_s_per_day is None
    report = synchronisation([row("a", None, None, matched_by="name")], 2.0)
    assert (report.clocks, report.exif_resolution_s) == ({}, TimeSteps(None, None))


def test_the_resolution_is_the_step_that_all_times_have() -> None:
    report = synchronisation(session([0, 1.25, 3.5], [0, 1, 4]), 2.0)
    assert report.exif_resolution_s == TimeSteps(phone=0.01, dslr=1.0)
    assert synchronisation(session([0.000001], [0.5]), 2.0).exif_resolution_s == TimeSteps(phone=1e-6, dslr=0.1)


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    moments = np.arange(40) * 3600.0
    rows = session(moments, moments + np.where(moments < 10 * 3600, 37, 97), matched_by="picture")
    say_pairs(PairedFolders(rows, "paired by capture time", synchronisation(rows, 2.0)))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "DSLR clock 37.0 s ahead at the start, 97.0 s ahead at the end, no measurable drift, a clock was set once; "
        "pairs fit within 0.0 s.",
        "40 pairs had several candidates by time: 40 resolved by comparing the pictures.",
    ]
