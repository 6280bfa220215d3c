"""The figures of a run, and the Markdown that shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.yardstick import Residual, TruthError


@dataclass(frozen=True)
class PairFigures:
    """One pair as one tool aligned it."""

    name: str
    residual: Residual
    frame: float
    """Share of the phone photo that both photos cover, 0..1."""
    error: TruthError | None
    """Distance from the truth; None if the truth is unknown."""


@dataclass
class ToolFigures:
    """One tool on one set of photos; lists hold one value for each repetition."""

    tool: str
    pairs: int
    aligned: list[PairFigures]
    cpu_s: list[float] = field(default_factory=list)
    """CPU-seconds per pair, without the start."""
    idle_s: list[float] = field(default_factory=list)
    """CPU-seconds of the start."""
    times_ours: list[float] = field(default_factory=list)
    """`cpu_s` relative to dpedtool in the same repetition."""
    peak_bytes: int = 0


@dataclass
class SetFigures:
    """All tools on one set of photos."""

    title: str
    phone_px: tuple[int, int]
    dslr_px: tuple[int, int]
    timed_pairs: int
    tools: list[ToolFigures]
    wall_s: dict[int, list[float]] = field(default_factory=dict)
    """Seconds that dpedtool took for the whole set, by number of workers, one value for each repetition."""


def as_markdown(sets: Sequence[SetFigures], notes: Sequence[str]) -> str:
    """Return the tables of a run as Markdown."""
    sections = [_SPEED, _speed(sets), _ACCURACY, _accuracy(sets)]
    with_truth = [figures for figures in sets if any(pair.error for tool in figures.tools for pair in tool.aligned)]
    if with_truth:
        sections += [_TRUTH, _truth(with_truth)]
    if any(figures.wall_s for figures in sets):
        sections += [_WORKERS, _workers(sets)]
    return "\n\n".join(["# Registration, tools side by side", *notes, *sections]) + "\n"


_SPEED = """## Cost

CPU-seconds per pair include decoding, but not the start of the program; no images are written. Each tool runs on one
processor. The values are medians of interleaved repetitions. The ratio is to dpedtool in the same repetition."""

_ACCURACY = """## Remaining shifts between the aligned photos

The shifts are sub-pixel shifts of 64 px windows, in px of the phone photo: median and 95th percentile of each pair,
then the median over the pairs, and the largest median of a pair. `found` is the share of the textured windows whose
shift could be measured. `frame` is the share of the phone photo that the crop keeps. These columns leave out pairs that
a tool could not align."""

_TRUTH = """## Distance from the truth

The truth is known exactly for simulated photos. Distances are measured at 40 x 30 points of the common crop, in px of
the phone photo: mean, 95th percentile and maximum of each pair, then the mean over the pairs, and the worst pair.
`within 1 px` counts the pairs whose mean is below 1 px."""

_WORKERS = """## One and two processes

The table shows the wall time of dpedtool for the whole set, including the start; the program may use all processors."""


def _speed(sets: Sequence[SetFigures]) -> str:
    heads = ["photos", "phone, DSLR px", "tool", "CPU-s a pair", "ratio", "CPU-s to start", "peak memory"]
    return _per_tool(heads, sets, _speed_cells)


def _speed_cells(figures: SetFigures, tool: ToolFigures) -> list[str]:
    sizes = ", ".join(f"{width}x{height}" for width, height in (figures.phone_px, figures.dslr_px))
    costs = [f"{median(tool.cpu_s):.2f}", f"{median(tool.times_ours):.2f}", f"{median(tool.idle_s):.2f}"]
    return [figures.title, sizes, tool.tool, *costs, f"{tool.peak_bytes / 1e9:.2f} GB"]


def _accuracy(sets: Sequence[SetFigures]) -> str:
    heads = ["photos", "tool", "aligned", "median px", "p95 px", "worst median px", "found", "frame"]
    return _per_tool(heads, sets, _accuracy_cells)


def _accuracy_cells(figures: SetFigures, tool: ToolFigures) -> list[str]:
    residuals = [pair.residual for pair in tool.aligned]
    medians = [left.median_px for left in residuals]
    found = sum(left.found for left in residuals) / max(1, sum(left.textured for left in residuals))
    return [
        figures.title,
        tool.tool,
        f"{len(tool.aligned)} of {tool.pairs}",
        px(median(medians)),
        px(median([left.p95_px for left in residuals])),
        px(max(known(medians), default=float("nan"))),
        f"{found:.1%}",
        f"{median([pair.frame for pair in tool.aligned]):.1%}",
    ]


def _truth(sets: Sequence[SetFigures]) -> str:
    heads = ["photos", "tool", "within 1 px", "mean", "p95", "max", "worst mean", "worst p95", "worst max"]
    return _per_tool(heads, sets, _truth_cells)


def _truth_cells(figures: SetFigures, tool: ToolFigures) -> list[str]:
    errors = [pair.error for pair in tool.aligned if pair.error]
    columns = [[getattr(error, name) for error in errors] for name in ("mean_px", "p95_px", "max_px")]
    means = [px(float(np.mean(column))) if column else "-" for column in columns]
    worst = [px(max(column)) if column else "-" for column in columns]
    near = sum(error.mean_px < 1 for error in errors)
    return [figures.title, tool.tool, f"{near} of {tool.pairs}", *means, *worst]


def _workers(sets: Sequence[SetFigures]) -> str:
    heads = ["photos", "pairs", "workers", "wall s", "times one worker"]
    rows = [
        [
            figures.title,
            str(figures.tools[0].pairs),
            str(workers),
            f"{median(seconds):.1f}",
            f"{median([one / this for one, this in zip(figures.wall_s[1], seconds, strict=True)]):.2f}",
        ]
        for figures in sets
        for workers, seconds in sorted(figures.wall_s.items())
    ]
    return markdown(heads, rows)


def _per_tool(
    heads: Sequence[str], sets: Sequence[SetFigures], cells: Callable[[SetFigures, ToolFigures], list[str]]
) -> str:
    return markdown(heads, [cells(figures, tool) for figures in sets for tool in figures.tools])


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])


def px(value: float) -> str:
    """Return px as text with the digits that are meaningful, or a dash for NaN."""
    if np.isnan(value):
        return "-"
    return f"{value:.3f}" if value < 10 else "far off" if value > 1000 else f"{value:.0f}"


def median(values: Sequence[float]) -> float:
    """Return the median of the values that are not NaN; NaN if there are none."""
    told = known(values)
    return float(np.median(told)) if told else float("nan")


def known(values: Sequence[float]) -> list[float]:
    """Return the values that are not NaN."""
    return [value for value in values if not np.isnan(value)]
