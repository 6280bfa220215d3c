"""The figures of a run on patches, and the Markdown that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.table import known, markdown, median, px


@dataclass
class SearchFigures:
    """One way to search for windows; lists hold one value for each repetition."""

    method: str
    per_s: dict[int, list[float]] = field(default_factory=dict)
    """Windows per CPU-second, by number of turns."""
    sampled: int = 0
    """Windows that were compared with the reference."""
    largest_error: float = 0.0
    """Largest error of the NCC over all places and turns of these windows."""
    changed_side: int = 0
    """Windows whose NCC, at no shift or the highest, is on the other side of 0.9 than the reference's."""


@dataclass
class CostFigures:
    """The whole stage in one mode and file format on one set of photos."""

    title: str
    phone_px: tuple[int, int]
    dslr_px: tuple[int, int]
    mode: str
    format: str
    windows: float
    """Windows per pair."""
    accepted: float
    """Accepted windows per pair."""
    cpu_s: list[float] = field(default_factory=list)
    """CPU-seconds per pair without the start, one value for each repetition."""
    peak_bytes: int = 0


@dataclass
class YieldFigures:
    """The patches that one mode keeps of one set of photos, or that others have kept."""

    title: str
    mode: str
    pairs: int | None
    """Number of pairs; None if there are only patches."""
    windows: int | None
    shifts: list[float]
    """Shift of each accepted patch in px; NaN if it cannot be measured."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Windows rejected, by reason."""


@dataclass
class RejectionFigures:
    """How many windows of falsified pairs are rejected."""

    title: str
    change: str
    windows: int
    strict: int
    """Windows rejected in mode strict."""
    ncc: int
    """Windows rejected by the NCC at no shift alone."""


@dataclass
class Figures:
    """All figures of a run."""

    search: list[SearchFigures] = field(default_factory=list)
    costs: list[CostFigures] = field(default_factory=list)
    yields: list[YieldFigures] = field(default_factory=list)
    rejections: list[RejectionFigures] = field(default_factory=list)


def as_markdown(figures: Figures, notes: Sequence[str]) -> str:
    """Return the tables of the measured parts as Markdown."""
    sections = ["# Patches: search, cost, yield", *notes]
    if figures.search:
        sections += [_SEARCH, search_table(figures.search)]
    if figures.costs:
        sections += [_COST, cost_table(figures.costs)]
    if figures.yields:
        sections += [_YIELD, yield_table(figures.yields)]
    if figures.rejections:
        sections += [_REJECTION, rejection_table(figures.rejections)]
    return "\n\n".join(sections) + "\n"


_SEARCH = """## Search

Windows of 100 px are searched for within 5 px, at one turn and at five turns (-1 to 1 degrees), on a grey photo of
2048x1536 px. `windows/s` are windows per CPU-second in one thread, medians of interleaved repetitions; the ratio is to
the first line in the same repetition. `largest error` is the difference from the NCC by its definition in float64, over
all places and turns of sampled windows; the sample includes the plainest windows and windows next to strong edges.
`changed side` counts the sampled windows whose NCC, at no shift or the highest, lies on the wrong side of 0.9."""

_COST = """## The whole stage

The cost covers everything from decoding to the written shard and tables, with `dpedtool patches` in one process on one
processor. The time of a run with one pair is subtracted from that of a run with all pairs, and the rest is divided by
the other pairs; the table shows medians of interleaved repetitions. `windows/s` counts all candidate windows over that
time."""

_YIELD = """## Yield and what is left

The residual is measured on the accepted patches as read back from the shards, by code that is not part of the pipeline:
the inner 84 px of the phone's image are searched for in the DSLR's image. `measured` counts the patches on which this
works. Percentiles are over the measured patches of a line."""

_REJECTION = """## Falsified pairs

The table shows the share of all candidate windows that are rejected: in mode strict, and by NCC < 0.9 at no shift
alone. The alignments were shifted by the given px of the phone photo along both axes and both diagonals, each way, or
given the DSLR photo of another scene; everything else was unchanged."""

PUBLISHED = (("BlackBerry", 23), ("iPhone", 28), ("Sony", 36))
"""Patches per pair in DPED's released training set (Ignatov et al. 2017): 139, 160 and 162 thousand, by its photos."""


def search_table(search: Sequence[SearchFigures]) -> str:
    """Return speed and exactness of each method."""
    turns = sorted(search[0].per_s)
    heads = ["search", *(text for turn in turns for text in (f"windows/s, turns: {turn}", "ratio"))]
    rows = []
    for one in search:
        cells = [one.method]
        for turn in turns:
            ratios = [this / first for this, first in zip(one.per_s[turn], search[0].per_s[turn], strict=True)]
            cells += [f"{median(one.per_s[turn]):.0f}", f"{median(ratios):.2f}"]
        rows.append([*cells, f"{one.largest_error:.1e}", f"{one.changed_side} of {one.sampled}"])
    return markdown([*heads, "largest error", "changed side"], rows)


def cost_table(costs: Sequence[CostFigures]) -> str:
    """Return the table of costs per pair."""
    heads = ["photos", "phone, DSLR px", "mode", "format", "CPU-s a pair", "windows", "patches", "windows/s", "memory"]
    rows = []
    for one in costs:
        sizes = ", ".join(f"{width}x{height}" for width, height in (one.phone_px, one.dslr_px))
        cpu_s = median(one.cpu_s)
        counts = [f"{one.windows:.0f}", f"{one.accepted:.0f}", f"{one.windows / cpu_s:.0f}"]
        names = [one.title, sizes, one.mode, one.format]
        rows.append([*names, f"{cpu_s:.2f}", *counts, f"{one.peak_bytes / 1e9:.2f} GB"])
    return markdown(heads, rows)


def yield_table(yields: Sequence[YieldFigures]) -> str:
    """Return how many patches there are and how well they are aligned, with DPED's published yield below."""
    heads = [
        "photos",
        "mode",
        "windows a pair",
        "patches a pair",
        "accepted",
        "measured",
        "median px",
        "p90 px",
        "p95 px",
    ]
    rows = [_yield_cells(one) for one in yields]
    rows += [[f"DPED as published, {phone}", "", "-", str(count), *["-"] * 5] for phone, count in PUBLISHED]
    return markdown(heads, rows)


def _yield_cells(one: YieldFigures) -> list[str]:
    count = len(one.shifts)
    shares = ["-", "-", "-"]
    if one.pairs and one.windows:
        shares = [f"{one.windows / one.pairs:.1f}", f"{count / one.pairs:.1f}", f"{count / one.windows:.1%}"]
    told = known(one.shifts)
    left = [px(float(value)) for value in np.percentile(told, [50, 90, 95])] if told else ["-"] * 3
    return [one.title, one.mode, *shares, f"{len(told)} of {count}", *left]


def rejection_table(rejections: Sequence[RejectionFigures]) -> str:
    """Return the shares of windows that are rejected."""
    heads = ["photos", "made wrong by", "windows", "strict rejects", "NCC alone rejects"]
    rows = [
        [one.title, one.change, str(one.windows), _share(one.strict, one.windows), _share(one.ncc, one.windows)]
        for one in rejections
    ]
    return markdown(heads, rows)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"
