"""Distributions of measures over pairs or windows: counts in bins that are the same for all phones, and quantiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.pipeline.moments import standing
from dpedtool.pipeline.report.overview.written import as_written
from dpedtool.pipeline.report.results import PhoneResults, RunResults

MOST_BINS = 30
LEFT_OUT, LEFT_OUT_NCC = 0.01, 0.05
"""Shares of the values that may be outside of the bins, so that a few outliers do not flatten the rest. The second one
is for NCC, as the NCC of many rejected windows is arbitrary."""
QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95}
WINDOW_COLUMNS = ("status", "reason", "ncc", "residual_px")

Values = np.ndarray[Any, np.dtype[np.float64]]
Parts = Mapping[str, Values]
"""Values by the name of their part; NaN if nothing was measured."""


@dataclass(frozen=True)
class Part:
    """The values of one part: their counts in the bins of the distribution, and quantiles of all measured values.

    Each bin includes its lower edge but not its upper one; the last bin includes both.
    """

    measured: int
    not_measured: int
    below: int
    """Values below the first bin."""
    above: int
    counts: list[int]
    median: float | None
    p90: float | None
    p95: float | None


@dataclass(frozen=True)
class Distribution:
    """One measure for the whole session and for each phone, in the same bins."""

    measure: str
    """Column of the table."""
    of: str
    """What is counted: pairs (moments, where some have several frames), windows, patches."""
    unit: str
    limit: float | None
    """The limit in the parameters, in the same unit; None if there is none, or if phones have different ones."""
    edges: list[float]
    """Edges of the bins; empty if nothing was measured."""
    session: dict[str, Part]
    phones: dict[str, dict[str, Part]]


@dataclass(frozen=True)
class Distributions:
    """All distributions of the report. Parts of windows are accepted, rejected (shifted for residuals) and all."""

    pair_residual_px: Distribution
    """Median shift of each aligned pair, of one frame a moment; part `aligned`."""
    pair_residual_p95_px: Distribution
    window_residual_px: Distribution
    """Shift of each window; parts `accepted` and `shifted` (windows rejected because of their shift)."""
    window_ncc: Distribution
    """NCC of the unmoved windows; parts `accepted`, `rejected` and `all`."""


def distributions(run: RunResults) -> Distributions:
    """Return the distributions of a run; they have no bins if a stage has not run.

    Raises
    ------
    DpedtoolError
        A table is damaged.

    """
    align = run.params.align
    windows = {phone.name: _window_parts(phone) for phone in run.phones}
    return Distributions(
        pair_residual_px=_of_pairs(run, "residual_px", align.max_residual_px),
        pair_residual_p95_px=_of_pairs(run, "residual_p95_px", align.max_p95_px),
        window_residual_px=distribution(
            "residual_px",
            "windows",
            "px",
            {name: parts["residual_px"] for name, parts in windows.items()},
            limit=_common_limit(run, "max_residual_px"),
        ),
        window_ncc=distribution(
            "ncc",
            "windows",
            "",
            {name: parts["ncc"] for name, parts in windows.items()},
            limit=_common_limit(run, "min_ncc"),
            highest=1.0,
        ),
    )


def distribution(
    measure: str,
    of: str,
    unit: str,
    phones: Mapping[str, Parts],
    *,
    limit: float | None = None,
    highest: float | None = None,
) -> Distribution:
    """Return how values are distributed.

    Parameters
    ----------
    measure, of, unit, limit
        As in `Distribution`.
    phones
        Values of each phone; all phones have the same parts.
    highest
        Upper end of the bins, which go down from it; None: bins go up from 0.

    """
    names = next((list(parts) for parts in phones.values()), [])
    session = {name: _together([parts[name] for parts in phones.values()]) for name in names}
    edges = bin_edges(_together(list(session.values())), highest)
    return Distribution(
        measure,
        of,
        unit,
        limit,
        edges,
        {name: _part(values, edges) for name, values in session.items()},
        {phone: {name: _part(values, edges) for name, values in parts.items()} for phone, parts in phones.items()},
    )


def bin_edges(values: Values, highest: float | None = None) -> list[float]:
    """Return the edges of up to `MOST_BINS` bins of a round width that cover all but a few values.

    Parameters
    ----------
    values
        (N,), NaN if nothing was measured.
    highest
        As in `distribution`.

    """
    measured = values[np.isfinite(values)]
    if not len(measured):
        return []
    start = 0.0 if highest is None else highest
    far = np.quantile(measured, 1 - LEFT_OUT if highest is None else LEFT_OUT_NCC)
    reach = abs(float(far) - start) or 1.0
    step = round_step(reach / MOST_BINS)
    bins = math.ceil(round(reach / step, 6))
    way = 1 if highest is None else -1
    return sorted(round(start + way * step * index, 10) for index in range(bins + 1))


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least `least`, which must be above 0."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _part(values: Values, edges: list[float]) -> Part:
    measured = values[np.isfinite(values)]
    if not len(measured):
        return Part(0, len(values), 0, 0, [0] * max(len(edges) - 1, 0), None, None, None)
    return Part(
        len(measured),
        len(values) - len(measured),
        int((measured < edges[0]).sum()),
        int((measured > edges[-1]).sum()),
        np.histogram(measured, np.asarray(edges))[0].tolist(),
        *(float(found) for found in np.quantile(measured, list(QUANTILES.values()))),
    )


def _together(values: list[Values]) -> Values:
    return np.concatenate(values) if values else np.empty(0)


def _of_pairs(run: RunResults, measure: str, limit: float) -> Distribution:
    phones = {
        phone.name: {
            # Of several frames of a moment only the one that stands for it counts.
            "aligned": np.array([getattr(row, measure) for row in standing(phone.moments)], dtype=float)
        }
        for phone in run.phones
    }
    has_frames = any(moment.further for phone in run.phones for moment in phone.moments)
    return distribution(measure, "moments" if has_frames else "pairs", "px", phones, limit=limit)


def _window_parts(phone: PhoneResults) -> dict[str, Parts]:
    windows = phone.windows(WINDOW_COLUMNS)
    if windows is None:
        windows = pd.DataFrame({name: [] for name in WINDOW_COLUMNS})
    ncc, residual = (windows[name].to_numpy(float) for name in ("ncc", "residual_px"))
    accepted, shifted = (windows["status"] == "accepted").to_numpy(), (windows["reason"] == "shifted").to_numpy()
    return {
        "ncc": {"accepted": ncc[accepted], "rejected": ncc[~accepted], "all": ncc},
        "residual_px": {"accepted": residual[accepted], "shifted": residual[shifted]},
    }


def _common_limit(run: RunResults, name: str) -> float | None:
    """Return a limit if it was the same for the windows of all phones."""
    limits = set()
    for phone in run.phones:
        if phone.selection:
            with as_written(phone.file(Selection.FILE)):
                limits.add(phone.selection.params[name])
    return limits.pop() if len(limits) == 1 else None
