"""The places of bars, lines, points and ticks in the report's charts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from dpedtool.pipeline.report.overview.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Chart,
    Scale,
    Tick,
    curves,
    histogram,
    offsets,
    tick_text,
    ticks,
)
from dpedtool.pipeline.report.overview.distributions import distribution


def told(limit: float | None = None, **parts: list[float | None]) -> dict[str, Any]:
    values = {name: np.array(of, dtype=float) for name, of in parts.items()}
    return dataclasses.asdict(distribution("residual_px", "windows", "px", {"a": values}, limit=limit))


def drawn(of: dict[str, Any], *parts: str) -> Chart:
    return histogram("Session", of, of["session"], parts, "residual")


def test_bars_stand_on_each_other() -> None:
    # Bins of 0.01 from 0 to 0.3: 2 accepted and 1 shifted lie in the last, 1 accepted in the middle.
    chart = drawn(told(accepted=[0.155, 0.3, 0.3], shifted=[0.3]), "accepted", "shifted")
    accepted, shifted = (layer.bars for layer in chart.layers)
    width = (RIGHT - LEFT) / 30
    height = (BOTTOM - TOP) / 3
    assert [bar.x for bar in accepted] == pytest.approx([LEFT + 15 * width, RIGHT - width], abs=0.06)
    assert [bar.height for bar in accepted] == pytest.approx([height, 2 * height], abs=0.11)
    assert [bar.y + bar.height for bar in accepted] == pytest.approx([BOTTOM, BOTTOM], abs=0.06)
    assert shifted[0].y == TOP
    assert shifted[0].y + shifted[0].height == pytest.approx(accepted[1].y, abs=0.06)
    assert accepted[0].width == pytest.approx(width - 0.6, abs=0.06)
    assert accepted[1].said == "0.29 to 0.3 px: 2 accepted"
    assert (chart.x.name, chart.y.name) == ("residual, px", "windows")


def test_what_is_not_drawn_is_said() -> None:
    chart = drawn(told(accepted=[*np.linspace(0, 0.3, 300), 9.0, None]), "accepted")
    assert chart.note == "Not drawn: 1 above 0.3 px, 1 not measured."
    assert drawn(told(accepted=[0.1, 0.2]), "accepted").note == ""


def test_a_limit_within_the_bins_is_marked() -> None:
    chart = drawn(told(0.15, accepted=[0.3]), "accepted")
    assert chart.limit == Tick((LEFT + RIGHT) / 2, "limit 0.15")
    assert chart.note == ""
    beyond = drawn(told(0.5, accepted=[0.3]), "accepted")
    assert (beyond.limit, beyond.note) == (None, "The limit, 0.5 px, is outside of the chart.")


def test_quantiles_stand_below_and_in_what_is_read_out() -> None:
    chart = drawn(told(accepted=[0.1, 0.3], shifted=[None]), "accepted", "shifted")
    assert [(row.part, row.measured, row.values) for row in chart.quantiles] == [
        ("accepted", 2, ["0.200", "0.280", "0.290"])
    ]
    assert chart.unit == "px"
    assert (
        chart.described
        == "Histogram of residual over windows: 2 accepted, median 0.200\u00a0px, 95th percentile 0.290\u00a0px."
    )


def test_a_measure_without_a_unit_is_said_to_have_none() -> None:
    of = dataclasses.asdict(distribution("ncc", "windows", "", {"a": {"accepted": np.array([0.9])}}, highest=1.0))
    chart = histogram("Session", of, of["session"], ["accepted"], "NCC")
    assert chart.x.name == "NCC, no unit"
    assert chart.described == "Histogram of NCC over windows: 1 accepted, median 0.9000, 95th percentile 0.9000."


def test_without_values_there_is_a_word_and_no_bar() -> None:
    chart = drawn(told(accepted=[None]), "accepted")
    assert (chart.layers, chart.note) == ([], "Not measured.")


def test_a_phone_without_values_beside_one_that_has_them() -> None:
    values = {"a": {"aligned": np.array([0.1])}, "b": {"aligned": np.array([])}}
    of = dataclasses.asdict(distribution("residual_px", "pairs", "px", values))
    assert histogram("b", of, of["phones"]["b"], ["aligned"], "residual").layers == []


def test_a_curve_goes_from_side_to_side() -> None:
    history = {"iteration": [10.0, 20.0, 30.0], "validation_psnr_db": [20.0, 22.0, 24.0]}
    chart = curves("PSNR", "validation_psnr_db", "PSNR, dB", {"a": history})
    line = [tuple(map(float, point.split(","))) for point in chart.layers[0].lines[0].split()]
    assert [x for x, _ in line] == [LEFT, (LEFT + RIGHT) / 2, RIGHT]
    # 6 % of the span is left free above and below.
    assert [y for _, y in line] == pytest.approx(
        [BOTTOM - (BOTTOM - TOP) * share / 1.12 for share in (0.06, 0.56, 1.06)], abs=0.06
    )
    assert chart.described == "PSNR, dB over the iterations: a from 20 to 24."


def test_each_phone_keeps_its_colour_and_untrained_ones_have_no_line() -> None:
    history = {"iteration": [10.0, 20.0, 30.0], "train_loss": [3.0, None, 1.0]}
    chart = curves("Loss", "train_loss", "loss", {"a": None, "b": history, "c": history})
    assert [(layer.name, layer.series) for layer in chart.layers] == [("b", 2), ("c", 3)]
    assert len(chart.layers[0].lines[0].split()) == 2


def test_one_validation_is_a_point_and_none_is_said() -> None:
    history: dict[str, list[float | None]] = {"iteration": [10.0], "train_loss": [3.0], "validation_psnr_db": [None]}
    chart = curves("Loss", "train_loss", "loss", {"a": history})
    assert (chart.layers[0].lines, len(chart.layers[0].points)) == ([], 1)
    assert curves("PSNR", "validation_psnr_db", "PSNR, dB", {"a": history}).note == "There are no validations."


def clock(hours: list[float], offset: list[float]) -> dict[str, Any]:
    return {"pair_hours": hours, "pair_offset_s": offset}


def test_clock_offsets_lie_over_the_time() -> None:
    chart = offsets("a", clock([0.0, 2.0, 4.0], [-37.0, -32.0, -27.0]), 3)
    points = chart.layers[0].points
    assert [x for x, _ in points] == [LEFT, (LEFT + RIGHT) / 2, RIGHT]
    assert points[1][1] == pytest.approx((TOP + BOTTOM) / 2)
    assert points[0][1] > points[2][1]
    assert [tick.text for tick in chart.x.ticks] == ["0", "1", "2", "3", "4"]
    assert (chart.x.name, chart.y.name) == ("time since the first pair, h", "DSLR minus phone, s")
    assert "from -37.0 to -27.0 s, 3 pairs" in chart.described


def test_a_short_session_is_shown_in_minutes_and_a_time_zone_is_taken_off() -> None:
    chart = offsets("a", clock([0.0, 0.5], [25200.0, 25201.0]), 1)
    assert chart.x.ticks[-1] == Tick(RIGHT, "30")
    assert (chart.x.name, chart.y.name) == ("time since the first pair, min", "DSLR minus phone, s, beyond +25,200")
    assert all(len(tick.text) <= 4 for tick in chart.y.ticks)


def test_points_at_one_place_are_drawn_once() -> None:
    chart = offsets("a", clock([0.0] * 500 + [1.0], [1.0] * 501), 1)
    assert len(chart.layers[0].points) == 2


def test_one_pair_has_a_chart() -> None:
    assert offsets("a", clock([3.0], [5.0]), 1).layers[0].points == [((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)]


def test_ticks_are_round_and_inside() -> None:
    found = ticks(Scale(0.13, 0.97, 0, 100))
    assert [tick.text for tick in found] == ["0.2", "0.4", "0.6", "0.8"]
    assert [tick.at for tick in found] == pytest.approx([8.3, 32.1, 56.0, 79.8])
    assert [tick.text for tick in ticks(Scale(0, 2, 0, 100), whole=True)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.0, 0.05, "0"),
        (0.15, 0.05, "0.15"),
        (1500, 500, "1,500"),
        (5000, 1000, "5k"),
        (400000, 200000, "0.4M"),
        (-37.5, 0.5, "-37.5"),
    ],
)
def test_ticks_have_as_many_digits_as_their_step(value: float, step: float, text: str) -> None:
    assert tick_text(value, step) == text
