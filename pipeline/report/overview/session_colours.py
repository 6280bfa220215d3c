"""How the exposure and white balance of the pairs spread in each session, and which pairs are far from the median."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dpedtool.dataset.names import counting
from dpedtool.pipeline.report.results import PhoneResults, RunResults

FAR_STOPS = 0.5
"""Pairs this far from the median are named where no limit is set: light that differs by more than 40 %."""
_COLUMNS = [
    *("pair_id", "session", "dslr_time", "exposure_difference", "exposure_from_median"),
    *("red_gain", "blue_gain"),
]


@dataclass(frozen=True)
class Spread:
    """The usual value of a measure in a session, and how far pairs are from it; in stops."""

    median_stops: float
    largest_stops: float
    """Largest distance of a pair from the median, without its sign."""


@dataclass(frozen=True)
class FarPair:
    """A pair whose exposure is far from the session's median."""

    pair_id: str
    from_median_stops: float


@dataclass(frozen=True)
class SessionColours:
    """The colours of one phone's pairs in one session, from the table of frames."""

    phone: str
    pairs: int
    """Pairs whose colours were measured."""
    unmeasured: int
    exposure: Spread
    red: Spread
    blue: Spread
    limit_stops: float | None
    """patches.max_exposure_difference when the patches were cut; pairs beyond it have no patches."""
    far_stops: float
    """The limit, or what counts as far where none is set."""
    far: list[FarPair]
    """The farthest first; empty for fewer than three pairs, as none of them is unusual."""
    pair_hours: list[float] | None
    """When each pair was taken on the DSLR's clock, in hours since the first pair of the session; None if the time of
    one is not known. Pairs are in the order of these times, or else of their names."""
    pair_exposure_stops: list[float]


def session_colours(run: RunResults) -> dict[str, SessionColours]:
    """Return the colours by phone, or where there are several sessions by phone and session, as "phone, session".

    Raises
    ------
    DpedtoolError
        A table is damaged, or from another version.

    """
    return {name: found for phone in run.phones for name, found in _of_phone(phone)}


def _of_phone(phone: PhoneResults) -> Iterable[tuple[str, SessionColours]]:
    table = phone.frames(_COLUMNS)
    if table is None:
        return
    limit = phone.selection.params.get("max_exposure_difference") if phone.selection else None
    for session in sorted(set(table["session"].tolist()), key=counting):
        rows = table[table["session"] == session]
        measured = rows[rows["exposure_difference"].notna()]
        if len(measured):
            name = f"{phone.name}, {session}" if session else phone.name
            pairs = [dict(zip(_COLUMNS, row, strict=True)) for row in measured[_COLUMNS].itertuples(index=False)]
            yield name, _of_session(phone.name, pairs, len(rows) - len(measured), limit)


def _of_session(phone: str, pairs: list[dict[str, Any]], unmeasured: int, limit: float | None) -> SessionColours:
    far_stops = FAR_STOPS if limit is None else limit
    times = [datetime.fromisoformat(time) if isinstance(time := pair["dslr_time"], str) else None for pair in pairs]
    known = [time for time in times if time]
    hours = None
    if len(known) == len(pairs):
        in_order = sorted(zip(known, pairs, strict=True), key=lambda item: (item[0], item[1]["pair_id"]))
        pairs = [pair for _, pair in in_order]
        hours = [round((time - in_order[0][0]).total_seconds() / 3600, 6) for time, _ in in_order]
    away = {pair["pair_id"]: pair["exposure_from_median"] for pair in pairs}
    far = [FarPair(name, stops) for name, stops in away.items() if abs(stops) > far_stops]  # NaN is not far
    return SessionColours(
        phone=phone,
        pairs=len(pairs),
        unmeasured=unmeasured,
        exposure=_spread([pair["exposure_difference"] for pair in pairs]),
        red=_spread([pair["red_gain"] for pair in pairs]),
        blue=_spread([pair["blue_gain"] for pair in pairs]),
        limit_stops=limit,
        far_stops=far_stops,
        far=sorted(far, key=lambda pair: (-abs(pair.from_median_stops), pair.pair_id)),
        pair_hours=hours,
        pair_exposure_stops=[pair["exposure_difference"] for pair in pairs],
    )


def _spread(values: Sequence[float]) -> Spread:
    median = statistics.median(values)
    return Spread(median, max(abs(value - median) for value in values))
