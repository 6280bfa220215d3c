"""Geometry of the charts: the places of bars, lines, points and ticks in a picture of `WIDTH` x `HEIGHT`.

The macros of templates/charts.html draw them. All charts have the same size. It is small enough that their text can be
read on a phone, and that several fit side by side on a wider screen.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpedtool.pipeline.report.overview.distributions import round_step
from dpedtool.pipeline.report.overview.words import counted, number, plainly

WIDTH, HEIGHT = 360, 212
LEFT, RIGHT, TOP, BOTTOM = 56, 344, 26, 170
"""The box of the plot itself; ticks and names of axes are outside of it."""
MOST_TICKS = 5
SERIES = 6
"""Number of colours: --series-1, --series-2 and so on."""
POINT_PX = 1.5
"""Only one of several points closer together than this is drawn, as thousands of pairs would slow down the page."""
MOST_NAMED = 5
"""Most pairs that a note names."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows, with its unit, and its marks."""

    name: str
    ticks: list[Tick]


@dataclass(frozen=True)
class Bar:
    """One bar, and the text shown when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    said: str


@dataclass(frozen=True)
class Layer:
    """Bars, lines or points of one kind."""

    name: str
    series: int
    """Its colour: 1 to `SERIES`."""
    bars: list[Bar] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The points of each line, in the format of an SVG polyline."""
    points: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Quantiles:
    """The quantiles below a histogram for one part of its values."""

    part: str
    measured: int
    values: list[str]
    """Median, 90th and 95th percentile, without their unit."""


@dataclass(frozen=True)
class Chart:
    """One chart."""

    title: str
    described: str
    """A description for people who cannot see it."""
    x: Axis
    y: Axis
    layers: list[Layer]
    """If empty, there is nothing to draw, and `note` says why."""
    limit: Tick | None = None
    """A vertical line at a place of the x axis."""
    note: str = ""
    """A sentence about what is not drawn."""
    quantiles: list[Quantiles] = field(default_factory=list)
    unit: str = ""
    """Unit of the quantiles."""


@dataclass(frozen=True)
class Scale:
    """A linear scale from values to px of the picture."""

    low: float
    high: float
    start_px: float
    end_px: float

    def __call__(self, value: float) -> float:
        """Return the place of a value in px, rounded to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start_px + share * (self.end_px - self.start_px), 1)


def histogram(title: str, told: Mapping[str, Any], counts: Mapping[str, Any], parts: Sequence[str], name: str) -> Chart:
    """Return stacked bars, with one layer for each part.

    Parameters
    ----------
    title
        Whose values they are.
    told
        A `distributions.Distribution`, as plain data.
    counts
        Its `session`, or the values of one phone.
    parts
        Names of the parts to draw, from the bottom up.
    name
        Name of the measure.

    """
    edges, unit = told["edges"], told["unit"]
    x_name, y_name = f"{name}, {unit or 'no unit'}", told["of"]
    drawn = [part for part in parts if part in counts and counts[part]["measured"]]
    if not edges or not drawn:
        return Chart(
            title, f"No {told['of']} were measured.", Axis(x_name, []), Axis(y_name, []), [], note="Not measured."
        )
    most = max(sum(column) for column in zip(*(counts[part]["counts"] for part in drawn), strict=True))
    x = Scale(edges[0], edges[-1], LEFT, RIGHT)
    y = Scale(0, max(most, 1), BOTTOM, TOP)
    layers, floor = [], [0] * (len(edges) - 1)
    for part in drawn:
        layers.append(Layer(plainly(part), parts.index(part) + 1, list(_bars(told, counts[part], part, floor, x, y))))
        floor = [below + more for below, more in zip(floor, counts[part]["counts"], strict=True)]
    return Chart(
        title,
        _histogram_in_words(told, counts, drawn, name),
        Axis(x_name, ticks(x)),
        Axis(y_name, ticks(y, whole=True)),
        layers,
        _limit(told, x),
        " ".join(filter(None, [_outside(counts, drawn, unit, edges), _far_limit(told, x)])),
        [_quantiles(told, part, of_part) for part, of_part in counts.items() if of_part["measured"]],
        unit,
    )


def _bars(
    told: Mapping[str, Any], part: Mapping[str, Any], name: str, floor: list[int], x: Scale, y: Scale
) -> Iterator[Bar]:
    for (low, high), count, below in zip(itertools.pairwise(told["edges"]), part["counts"], floor, strict=True):
        if count:
            said = f"{low:g} to {high:g} {told['unit']}".strip() + f": {count:,} {plainly(name)}"
            top = y(below + count)
            yield Bar(x(low), top, round(x(high) - x(low) - 0.6, 1), round(y(below) - top, 1), said)


def _histogram_in_words(told: Mapping[str, Any], counts: Mapping[str, Any], drawn: list[str], name: str) -> str:
    said = [_part_in_words(told, part, counts[part]) for part in drawn]
    return f"Histogram of {name} over {told['of']}: {'; '.join(said)}."


def _part_in_words(told: Mapping[str, Any], name: str, part: Mapping[str, Any]) -> str:
    median, p95 = (number(part[quantile], _digits_of(told), told["unit"]) for quantile in ("median", "p95"))
    return f"{part['measured']:,} {plainly(name)}, median {median}, 95th percentile {p95}"


def _digits_of(told: Mapping[str, Any]) -> int:
    return 3 if told["unit"] else 4


def _quantiles(told: Mapping[str, Any], name: str, part: Mapping[str, Any]) -> Quantiles:
    values = [number(part[quantile], _digits_of(told)) for quantile in ("median", "p90", "p95")]
    return Quantiles(plainly(name), part["measured"], values)


def _limit(told: Mapping[str, Any], x: Scale) -> Tick | None:
    limit = told["limit"]
    return None if limit is None or not x.low < limit < x.high else Tick(x(limit), f"limit {limit:g}")


def _far_limit(told: Mapping[str, Any], x: Scale) -> str:
    """Return a sentence about the limit if it is outside of the chart."""
    if told["limit"] is None or x.low < told["limit"] < x.high:
        return ""
    limit = f"{told['limit']:g} {told['unit']}".strip()
    return f"The limit, {limit}, is outside of the chart."


def _outside(counts: Mapping[str, Any], drawn: list[str], unit: str, edges: Sequence[float]) -> str:
    """Return a sentence about the values outside of the bins."""
    below, above = (sum(counts[part][side] for part in drawn) for side in ("below", "above"))
    unmeasured = sum(counts[part]["not_measured"] for part in drawn)
    said = [
        *([f"{below:,} below {f'{edges[0]:g} {unit}'.strip()}"] if below else []),
        *([f"{above:,} above {f'{edges[-1]:g} {unit}'.strip()}"] if above else []),
        *([f"{unmeasured:,} not measured"] if unmeasured else []),
    ]
    return f"Not drawn: {', '.join(said)}." if said else ""


def curves(title: str, column: str, name: str, histories: Mapping[str, Mapping[str, Any] | None]) -> Chart:
    """Return one column of several histories over the iterations, with one line for each phone.

    Parameters
    ----------
    title
        Title of the chart.
    column
        Name of the column in history.csv.
    name
        Name of the y axis, with its unit.
    histories
        Columns by phone; None if nothing was trained.

    """
    drawn = {phone: _points(history, column) for phone, history in histories.items() if history}
    values = [point for points in drawn.values() for point in points]
    if not values:
        return Chart(
            title, "No validations.", Axis("iteration", []), Axis(name, []), [], note="There are no validations."
        )
    x = _spanning([step for step, _ in values], LEFT, RIGHT)
    y = _spanning([value for _, value in values], BOTTOM, TOP, margin=0.06)
    colours = {phone: colour(index) for index, phone in enumerate(histories)}
    ends = [f"{phone} from {points[0][1]:.4g} to {points[-1][1]:.4g}" for phone, points in drawn.items() if points]
    return Chart(
        title,
        f"{name} over the iterations: {'; '.join(ends)}.",
        Axis("iteration", ticks(x, whole=True)),
        Axis(name, ticks(y)),
        [_curve(phone, colours[phone], points, x, y) for phone, points in drawn.items() if points],
    )


def _points(history: Mapping[str, Any], column: str) -> list[Point]:
    """Return iteration and value of each validation, except NaN and infinite values."""
    pairs = zip(history["iteration"], history.get(column, []), strict=False)
    return [(step, value) for step, value in pairs if step is not None and value is not None]


def _curve(phone: str, series: int, points: Sequence[Point], x: Scale, y: Scale) -> Layer:
    """Return a line with a point at its end; a single validation is only a point."""
    lines = [_polyline(points, x, y)] if len(points) > 1 else []
    step, value = points[-1]
    return Layer(phone, series, lines=lines, points=[(x(step), y(value))])


def offsets(phone: str, clock: Mapping[str, Any], series: int) -> Chart:
    """Return the clock offset of each pair over the session.

    Parameters
    ----------
    phone
        Name of the phone.
    clock
        A `photos_and_pairs.Clock`, as plain data.
    series
        Colour of the points.

    """
    hours, offset = clock["pair_hours"], clock["pair_offset_s"]
    # If the clocks are in different time zones, numbers with all their digits would not fit next to the axis.
    base = round(statistics.median(offset)) if max(map(abs, offset)) >= 1e4 else 0
    x = _spanning(hours, LEFT, RIGHT)
    beyond = [value - base for value in offset]
    y = _spanning(beyond, BOTTOM, TOP, margin=0.1, least=2.0)
    return Chart(
        phone,
        f"DSLR clock minus that of {phone}, pair by pair: from {min(offset):,.1f} to {max(offset):,.1f} s, "
        f"{counted(len(offset), 'pair')}.",
        _hours(x),
        Axis(f"DSLR minus phone, s{f', beyond {base:+,}' if base else ''}", ticks(y)),
        [
            Layer(phone, series, points=_placed(list(zip(hours, beyond, strict=True)), x, y)),
        ],
    )


def _hours(x: Scale) -> Axis:
    """Return the axis of a time in hours; a short one is shown in minutes."""
    unit, factor = ("h", 1.0) if x.high - x.low > 2 else ("min", 60.0)
    return Axis(f"time since the first pair, {unit}", ticks(Scale(x.low * factor, x.high * factor, LEFT, RIGHT)))


def exposures(name: str, told: Mapping[str, Any], series: int) -> Chart:
    """Return the exposure difference of each pair over the session, with its median, the limits, and what is beyond.

    Parameters
    ----------
    name
        Phone, and session where there are several.
    told
        A `session_colours.SessionColours`, as plain data.
    series
        Colour of the points.

    """
    stops, hours = told["pair_exposure_stops"], told["pair_hours"]
    median, most = told["exposure"]["median_stops"], told["far_stops"]
    x = _spanning(hours or range(1, len(stops) + 1), LEFT, RIGHT)
    x_axis = _hours(x) if hours else Axis("number of the pair, by name", ticks(x, whole=True))
    limits = (median - most, median + most)
    y = _spanning([*stops, *limits], BOTTOM, TOP, margin=0.06)
    points = list(zip(hours or range(1, len(stops) + 1), stops, strict=True))
    # Of one or two pairs none is unusual.
    reach = most if told["far"] else math.inf
    far = [point for point in points if abs(point[1] - median) > reach]
    near = [point for point in points if abs(point[1] - median) <= reach]
    shown = [_polyline([(x.low, value), (x.high, value)], x, y) for value in (median, *limits)]
    named = ", ".join(f"{pair['pair_id']} by {pair['from_median_stops']:+.2f}" for pair in told["far"][:MOST_NAMED])
    more = f" and {len(told['far']) - MOST_NAMED} more" if len(told["far"]) > MOST_NAMED else ""
    unmeasured = f"Not measured: {counted(told['unmeasured'], 'pair')}." if told["unmeasured"] else ""
    limit = f"{most:g} stops from it" if told["limit_stops"] is None else f"limits {most:g} stops from it"
    return Chart(
        name,
        f"Exposure of the DSLR's photos against those of {name}, pair by pair: from {min(stops):+.2f} to "
        f"{max(stops):+.2f} stops, median {median:+.2f}, {counted(len(stops), 'pair')}.",
        x_axis,
        Axis("DSLR against phone, stops", ticks(y)),
        [
            Layer("pairs, and their median as a line", series, lines=shown[:1], points=_placed(near, x, y)),
            Layer(f"{limit}, and pairs beyond", _other(series), lines=shown[1:], points=_placed(far, x, y)),
        ],
        note=" ".join(filter(None, [f"Far from the median: {named}{more}." if named else "", unmeasured])),
    )


def _placed(points: Sequence[Point], x: Scale, y: Scale) -> list[Point]:
    return _thinned([(x(across), y(up)) for across, up in points])


def _other(series: int) -> int:
    """Return a colour that differs from that of a series."""
    return colour(series)


def colour(index: int) -> int:
    """Return the number of a phone's colour. Colours are used again if there are more phones than colours."""
    return index % SERIES + 1


def ticks(scale: Scale, *, whole: bool = False) -> list[Tick]:
    """Return up to `MOST_TICKS` + 1 marks at round values within a scale; `whole` allows only whole numbers."""
    step = round_step((scale.high - scale.low) / MOST_TICKS)
    if whole:
        step = max(step, 1)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [Tick(scale(index * step), tick_text(index * step, step)) for index in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """Return a value with enough digits to differ from the next; in thousands or millions if the step is that large."""
    size, letter = (1e6, "M") if step >= 1e5 else (1e3, "k") if step >= 1e3 else (1, "")
    return f"{value / size:,.{_digits(step / size)}f}{letter}" if value else "0"


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _spanning(
    values: Sequence[float], start_px: float, end_px: float, margin: float = 0.0, least: float = 0.0
) -> Scale:
    """Return a scale from the smallest to the largest value, with margins, and at least `least` wide."""
    low, high = min(values), max(values)
    short = max(least - (high - low), 0) / 2 or (0 if high > low else 0.5)
    room = (high - low + 2 * short) * margin + short
    return Scale(low - room, high + room, start_px, end_px)


def _polyline(points: Sequence[Point], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(step):g},{y(value):g}" for step, value in points)


def _thinned(points: Sequence[Point]) -> list[Point]:
    cells = {(round(x / POINT_PX), round(y / POINT_PX)): (x, y) for x, y in points}
    return list(cells.values())
