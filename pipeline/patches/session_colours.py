"""How far the colours of each pair are from what is usual in its session, and which pairs give no patches for that.

The usual is the median over the pairs of one phone in one session. It changes when pairs are added, so that it belongs
to no single pair: it follows from all rows each time that the tables are written, in any order.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.schema import Frame, Patch

FEWEST_PAIRS = 3
"""Of two pairs that differ, nobody knows which one is unusual."""
OUTLIER = "exposure_outlier"
_MEASURED = {
    "exposure_difference": "exposure_from_median",
    "red_gain": "red_from_median",
    "blue_gain": "blue_from_median",
}


def with_distances(frames: Sequence[Frame]) -> list[Frame]:
    """Return all rows, in their order, with their distances from the medians of their phone and session.

    They follow from the rows that are given, whatever these said before. They are empty where fewer than three pairs
    of the phone and session were measured.
    """
    sessions = defaultdict[tuple[str, str], list[Frame]](list)
    for frame in frames:
        if frame.exposure_difference is not None:
            sessions[frame.phone, frame.session].append(frame)
    usual = {
        session: {name: statistics.median(getattr(row, name) for row in rows) for name in _MEASURED}
        for session, rows in sessions.items()
        if len(rows) >= FEWEST_PAIRS
    }
    return [_placed(frame, usual.get((frame.phone, frame.session))) for frame in frames]


def _placed(frame: Frame, usual: dict[str, float] | None) -> Frame:
    distances: dict[str, Any] = dict.fromkeys(_MEASURED.values())
    if usual is not None and frame.exposure_difference is not None:
        distances = {to: getattr(frame, name) - usual[name] for name, to in _MEASURED.items()}
    return dataclasses.replace(frame, **distances)


def outliers(frames: Iterable[Frame], limit: float | None) -> dict[str, Rejection]:
    """Return why pairs give no patches, by their keys: their exposure is farther from the median than the limit.

    Parameters
    ----------
    frames
        Rows as `with_distances` returns them.
    limit
        In stops; None: there is no limit.

    """
    return {
        frame.key: Rejection(OUTLIER, _sentence(frame.exposure_difference or 0, away, limit))
        for frame in frames
        if limit is not None and (away := frame.exposure_from_median) is not None and abs(away) > limit
    }


def _sentence(difference: float, away: float, limit: float) -> str:
    usual = difference - away
    return (
        f"The DSLR's photo is exposed by {difference:+.2f} stops against the phone's, {abs(away):.2f} stops from the "
        f"session's median of {usual:+.2f}; at most {limit:g} are allowed."
    )


def without_outliers(rows: Iterable[Patch], outlier: Rejection | None) -> list[Patch]:
    """Return the rows of a pair as they are if it is no outlier; otherwise accepted windows are rejected.

    Windows that were rejected as outliers before get today's sentence, as the median may have moved.
    """
    if outlier is None:
        return list(rows)
    nowhere: dict[str, Any] = dict.fromkeys(("shard", "phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes"))
    return [
        dataclasses.replace(
            row,
            status="rejected",
            reason=outlier.reason,
            detail=outlier.detail,
            proved_by=None,
            bends=None,
            **nowhere,
        )
        if row.status == "accepted" or row.reason == OUTLIER
        else row
        for row in rows
    ]
