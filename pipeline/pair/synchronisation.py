"""The report of the synchronisation: how the two cameras' clocks relate, and how sure each pair is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from dpedtool.dataset.schema import Pair
from dpedtool.dataset.sidecars.synchronisation import ClockErrors, ClockFigures, Shots, Synchronisation, Ties, TimeSteps
from dpedtool.pipeline.pair.clocks import DRIFT, FEWEST_SHOTS
from dpedtool.pipeline.pair.meeting import Indices, Seconds

FEWEST_OF_PIECE = 3
"""Fewer pairs with an offset of their own are stray pairs, and do not show that a clock was set again."""
RESOLUTIONS_S = (1.0, 0.1, 0.01, 0.001)


def synchronisation(rows: Sequence[Pair], tolerance_s: float) -> Synchronisation:
    """Sum up a table of pairs.

    Parameters
    ----------
    rows
        All pairs and lone photos of one phone.
    tolerance_s
        Largest difference between the times of shots of one moment, in seconds.

    """
    # Further frames of a moment were taken at other times than the DSLR's photo.
    own = [row for row in rows if not row.reference]
    frames = [row for row in own if row.role == "frame"]
    paired = [row for row in own if row.status == "paired" and row.role != "frame"]
    by = Counter(str(row.matched_by) for row in paired)
    sessions = sorted({row.session for row in paired})
    return Synchronisation(
        shots=Shots(phone=sum(_is_of_phone(row) for row in own), dslr=len({row.scene_id for row in own} - {None})),
        paired=len(paired),
        frames=len(frames),
        matched_by=dict(by),
        ties=Ties(by_picture=by["picture"], by_order=by["order"]),
        unpaired=dict(Counter(row.reason for row in rows if row.reason)),
        unpaired_photos={row.pair_id: row.reason for row in rows if row.reason},
        exif_resolution_s=TimeSteps(
            phone=_resolution([row.phone_time for row in own]), dslr=_resolution([row.dslr_time for row in own])
        ),
        clocks={session: clock for session in sessions if (clock := _clock(_of(session, paired), tolerance_s))},
    )


def _of(session: str, rows: Sequence[Pair]) -> list[Pair]:
    return [row for row in rows if row.session == session]


def _is_of_phone(row: Pair) -> bool:
    # A photo with an unusable name has no path.
    return row.phone_path is not None or row.scene_id is None


def _resolution(times: Sequence[str | None]) -> float | None:
    """The coarsest step that fits all times, in seconds; None if there are no times."""
    micros = [datetime.fromisoformat(time).microsecond for time in times if time]
    if not micros:
        return None
    return next((step for step in RESOLUTIONS_S if not any(micro % round(step * 1e6) for micro in micros)), 1e-6)


def _clock(paired: Sequence[Pair], tolerance_s: float) -> ClockFigures | None:
    timed = [row for row in paired if row.phone_time and row.dslr_time]
    if not timed:
        return None
    phone_s = _seconds([row.phone_time for row in timed])
    # For pairs by clock, changes of zone that the photos state are taken out of the times.
    difference_s = np.array(
        [
            row.clock_offset_s + row.clock_error_s
            if row.clock_offset_s is not None and row.clock_error_s is not None
            else faces
            for row, faces in zip(timed, (_seconds([row.dslr_time for row in timed]) - phone_s).tolist(), strict=True)
        ]
    )
    pieces = _pieces(phone_s, difference_s, tolerance_s)
    drift, drift_error = _drift(phone_s, difference_s, pieces)
    is_seen = drift is not None and drift_error is not None and abs(drift) > 2 * drift_error
    line = _Line(phone_s, difference_s, drift if drift and is_seen else 0.0)
    fitted = [row.clock_error_s for row in timed if row.clock_error_s is not None]
    # For pairs by clock, these are the errors of the fit that found them, which also follows a changing drift.
    left = fitted if len(fitted) == len(timed) else [error for piece in pieces for error in line.errors(piece)]
    stray = len(timed) - sum(len(piece) for piece in pieces)
    return ClockFigures(
        offset_start_s=round(line.at(pieces[0], 0), 3),
        offset_end_s=round(line.at(pieces[-1], -1), 3),
        drift_s_per_day=None if drift is None else round(drift * 86_400, 4),
        drift_standard_error_s_per_day=None if drift_error is None else round(drift_error * 86_400, 4),
        pieces=len(pieces),
        stray_pairs=stray,
        error_s=_figures(np.abs(left)),
    )


def _seconds(times: Sequence[str | None]) -> Seconds:
    start = datetime(1970, 1, 1)
    return np.array([(datetime.fromisoformat(str(time)) - start).total_seconds() for time in times])


def _pieces(phone_s: Seconds, difference_s: Seconds, tolerance_s: float) -> list[Indices]:
    """Indices of the pairs in pieces within which the offset changes little, in the order of time."""
    order = np.argsort(difference_s, kind="stable")
    jumps = np.flatnonzero(np.diff(difference_s[order]) > 3 * tolerance_s) + 1
    found = np.split(order, jumps)
    whole = [piece for piece in found if len(piece) >= FEWEST_OF_PIECE] or [max(found, key=len)]
    pieces = [piece[np.argsort(phone_s[piece], kind="stable")] for piece in whole]
    joined: list[Indices] = []
    for piece in sorted(pieces, key=lambda piece: float(np.median(phone_s[piece]))):
        if joined and _may_have_drifted(phone_s, difference_s, joined[-1][-1], piece[0], tolerance_s):
            joined[-1] = np.concatenate([joined[-1], piece])
        else:
            joined.append(piece)
    return joined


def _may_have_drifted(
    phone_s: Seconds, difference_s: Seconds, before: np.int64, after: np.int64, tolerance_s: float
) -> bool:
    """Whether drift during the pause can explain the change of offset from one pair to the next."""
    pause = float(phone_s[after] - phone_s[before])
    return pause > 0 and abs(float(difference_s[after] - difference_s[before])) <= 3 * tolerance_s + DRIFT * pause


def _drift(phone_s: Seconds, difference_s: Seconds, pieces: Sequence[Indices]) -> tuple[float | None, float | None]:
    """Slope that all pieces have in common, by least squares, and its standard error, in seconds per second."""
    time = np.concatenate([phone_s[piece] - phone_s[piece].mean() for piece in pieces])
    offset = np.concatenate([difference_s[piece] - difference_s[piece].mean() for piece in pieces])
    spread = float(time @ time)
    free = len(time) - len(pieces) - 1
    if len(time) < FEWEST_SHOTS or not spread or free < 1:
        return None, None
    slope = float(time @ offset) / spread
    return slope, float(np.sqrt(np.sum((offset - slope * time) ** 2) / free / spread))


class _Line:
    """The offset as it drifts, piece by piece."""

    def __init__(self, phone_s: Seconds, difference_s: Seconds, drift: float) -> None:
        self._phone_s, self._difference_s, self._drift = phone_s, difference_s, drift

    def at(self, piece: Indices, which: int) -> float:
        """The offset at the first or last (0, -1) pair of a piece, in seconds."""
        return float(self._offsets(piece)[which])

    def errors(self, piece: Indices) -> list[float]:
        errors: list[float] = (self._difference_s[piece] - self._offsets(piece)).tolist()
        return errors

    def _offsets(self, piece: Indices) -> Seconds:
        drifted: Seconds = self._drift * self._phone_s[piece]
        return drifted + float(np.median(self._difference_s[piece] - drifted))


def _figures(errors: Seconds) -> ClockErrors:
    figures = np.median(errors), np.percentile(errors, 95), errors.max()
    return ClockErrors(*(round(float(value), 3) for value in figures))
