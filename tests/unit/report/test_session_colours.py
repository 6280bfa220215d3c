"""Exposure of the pairs in the report: the figures are those of the table of frames, and what is far is named."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from report_rig import frame, render_part, run_of, selection, whole_run, window, write_frames, write_windows

from dpedtool.pipeline.report.overview.charted import overview_content
from dpedtool.pipeline.report.overview.charts import BOTTOM, LEFT, RIGHT, TOP, exposures
from dpedtool.pipeline.report.overview.figures import figures
from dpedtool.pipeline.report.overview.session_colours import FarPair, SessionColours, Spread, session_colours
from dpedtool.pipeline.report.results import RunResults

NAMES = ("one", "two", "three", "four")


def run_with(root: Path, *stops: float | None, limit: float | None = None, **changes: Any) -> RunResults:
    run = whole_run(root)
    rows = [frame(name, value, **changes) for name, value in zip(NAMES, stops, strict=False)]
    write_frames(run, rows)
    write_windows(run, [window(0)], selection(1, 1, {}, max_exposure_difference=limit))
    return run


def said(run: RunResults) -> list[tuple[str, str]]:
    found = figures(run)["said"]
    return [(of["tone"], of["text"]) for of in found if "median exposure" in of["text"]]


def test_figures_are_those_of_the_table(tmp_path: Path) -> None:
    found = session_colours(run_with(tmp_path, 0.0, -0.75, 0.125, None))
    assert found == {
        "a": SessionColours(
            phone="a",
            pairs=3,
            unmeasured=1,
            exposure=Spread(0.0, 0.75),
            red=Spread(0.25, 0.0),
            blue=Spread(0.5, 0.0),
            limit_stops=None,
            far_stops=0.5,
            far=[FarPair("a--two", -0.75)],
            pair_hours=None,
            pair_exposure_stops=[0.0, -0.75, 0.125],
        )
    }


def test_each_session_has_its_own_figures_in_the_order_of_time(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    at = {"one": "2026-05-01T12:00:00", "two": "2026-05-01T10:00:00", "three": "2026-05-02T10:00:00"}
    session = {"one": "day 2", "two": "day 2", "three": "day 10"}
    rows = [frame(name, index / 4, dslr_time=at[name], session=session[name]) for index, name in enumerate(at)]
    write_frames(run, rows)
    found = session_colours(run)
    assert list(found) == ["a, day 2", "a, day 10"]
    assert found["a, day 2"].pair_hours == [0.0, 2.0]
    assert found["a, day 2"].pair_exposure_stops == [0.25, 0.0]


def test_pairs_far_from_the_median_are_to_be_checked_and_named(tmp_path: Path) -> None:
    ((tone, text),) = said(run_with(tmp_path, 0.0, -0.75, 1.0, 0.0))
    assert tone == "warn"
    assert text.startswith(
        "2 of 4 pairs of a are more than 0.5 stops from the session's median exposure: a--three (+1.00 stops) and "
        "a--two (-0.75 stops)."
    )
    assert "`patches.max_exposure_difference`" in text


def test_pairs_beyond_the_limit_are_said_to_give_no_patches(tmp_path: Path) -> None:
    ((tone, text),) = said(run_with(tmp_path, 0.0, -0.75, 0.2, limit=0.6))
    assert (tone, text) == (
        "plain",
        "1 of 3 pairs of a gives no patches, being more than 0.6 stops from the session's median exposure: a--two "
        "(-0.75 stops).",
    )


def test_nothing_is_far_in_an_even_session_nor_where_no_median_is_known(tmp_path: Path) -> None:
    assert said(run_with(tmp_path, 0.0, -0.25, 0.5)) == []
    run = run_with(tmp_path / "two", 0.0, 3.0, exposure_from_median=None)
    assert said(run) == []
    chart = exposures("a", dataclasses.asdict(session_colours(run)["a"]), 1)
    assert [len(layer.points) for layer in chart.layers] == [2, 0]


def told(stops: list[float], hours: list[float] | None = None, limit: float | None = None) -> dict[str, Any]:
    far_stops = limit or 0.5
    far = [{"pair_id": f"a--{index}", "from_median_stops": value} for index, value in enumerate(stops)]
    return {
        "exposure": {"median_stops": 0.0, "largest_stops": max(map(abs, stops))},
        "far": [pair for pair in far if abs(pair["from_median_stops"]) > far_stops],
        "far_stops": far_stops,
        "limit_stops": limit,
        "pair_exposure_stops": stops,
        "pair_hours": hours,
        "unmeasured": 0,
    }


def test_exposures_lie_over_the_time_beside_their_median_and_the_limits() -> None:
    chart = exposures("a", told([0.0, 1.0, -1.0, 0.1], [0.0, 2.0, 4.0, 1.0]), 3)
    near, far = chart.layers
    middle = (TOP + BOTTOM) / 2
    assert near.points[0] == (LEFT, middle)
    assert near.points[1][1] < middle
    assert near.lines == [f"{LEFT:g},{middle:g} {RIGHT:g},{middle:g}"]
    assert [x for x, _ in far.points] == [(LEFT + RIGHT) / 2, RIGHT]
    limits = [float(line.split()[0].split(",")[1]) for line in far.lines]
    # Half way to the points at 1 and -1.
    assert limits == pytest.approx([(far.points[1][1] + middle) / 2, (far.points[0][1] + middle) / 2], abs=0.2)
    assert (near.series, far.series) == (3, 4)
    assert chart.note == "Far from the median: a--1 by +1.00, a--2 by -1.00."
    assert (chart.x.name, chart.y.name) == ("time since the first pair, h", "DSLR against phone, stops")
    assert "from -1.00 to +1.00 stops, median +0.00, 4 pairs" in chart.described


def test_pairs_without_times_lie_over_their_numbers() -> None:
    chart = exposures("a", told([0.0, 0.1, 0.2], limit=0.25), 6)
    assert [point[0] for point in chart.layers[0].points] == [LEFT, (LEFT + RIGHT) / 2, RIGHT]
    assert [tick.text for tick in chart.x.ticks] == ["1", "2", "3"]
    assert chart.layers[1].name == "limits 0.25 stops from it, and pairs beyond"
    assert chart.layers[1].series == 1
    assert chart.note == ""


def test_the_page_has_a_row_and_a_chart_for_each_session(tmp_path: Path) -> None:
    run = run_with(tmp_path, 0.0, -0.75, 0.125)
    text = render_part("overview.html", overview=overview_content(figures(run)))
    part = text.split('id="colours"')[1].split("<h3")[0]
    assert re.findall(r'<td class="n">([^<]*)</td>', part) == [
        *("3", "+0.00", "0.75", "+0.25", "0.00", "+0.50", "0.00", "1")
    ]
    assert part.count("<svg") == 1
    assert "a--two by -0.75" in part
    empty = render_part("overview.html", overview=overview_content(figures(whole_run(tmp_path / "none"))))
    assert "No colours were measured" in empty
