"""Which shots of two cameras were triggered together, told from clocks that were never set alike."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClockFit:
    """The DSLR's clock as seen from the phone's: `dslr = phone + offset_s + drift * (phone - origin_s)`."""

    offset_s: float
    drift: float
    """Seconds that the offset grows a second: 1.2e-5 is one second a day."""
    origin_s: float
    matches: Indices
    """(N, 2): index of the phone's shot, index of the DSLR's, in the order of the phone's clock."""
    rival_offset_s: float | None
    """Another offset that explains at least 0.8 times as many shots, or None: then the shots' rhythm is no proof."""

    def offset_at(self, phone_s: Seconds) -> Seconds:
        """Return what to add to the phone's clock to get the DSLR's, in seconds, shape (N,)."""
        return self.offset_s + self.drift * (phone_s - self.origin_s)


def fit_clocks(phone_s: Seconds, dslr_s: Seconds, tolerance_s: float, max_offset_s: float) -> ClockFit:
    """Find the offset and drift between two clocks under which most shots meet, and the shots that meet.

    The offset at which the most pairs of shots agree is the peak of the histogram of all differences; the drift is
    then fitted to the shots that meet, and more shots are taken in as the fit improves.

    Parameters
    ----------
    phone_s, dslr_s
        Capture times, shapes (N,) and (M,), each on its own clock, in seconds, in any order.
    tolerance_s
        Largest difference between two shots that meet, once offset and drift are removed.
    max_offset_s
        Largest offset looked for.

    """
    differences = _differences(phone_s, dslr_s, max_offset_s)
    origin = float(np.min(phone_s))
    if len(differences) == 0:
        return ClockFit(0.0, 0.0, origin, np.empty((0, 2), np.int64), None)
    fit = ClockFit(_peak(differences, tolerance_s), 0.0, origin, np.empty((0, 2), np.int64), None)
    for _ in range(20):
        matches = meeting_shots(phone_s + fit.offset_at(phone_s), dslr_s, tolerance_s)
        if len(matches) <= len(fit.matches):
            break
        fit = _refit(fit, phone_s, dslr_s, matches)
    left = _differences(phone_s + fit.offset_at(phone_s), dslr_s, max_offset_s)
    return dataclasses.replace(fit, rival_offset_s=_rival(left, fit, tolerance_s))


def meeting_shots(phone_s: Seconds, dslr_s: Seconds, tolerance_s: float) -> Indices:
    """Return the index pairs (N, 2) of shots that are each other's nearest and within the tolerance, by phone time."""
    nearest_dslr, nearest_phone = _nearest(phone_s, dslr_s), _nearest(dslr_s, phone_s)
    phones = np.argsort(phone_s, kind="stable")
    mates = nearest_dslr[phones]
    mutual = (nearest_phone[mates] == phones) & (np.abs(phone_s[phones] - dslr_s[mates]) <= tolerance_s)
    return np.stack([phones[mutual], mates[mutual]], axis=1)


def _differences(phone_s: Seconds, dslr_s: Seconds, max_offset_s: float) -> Seconds:
    """All differences DSLR minus phone within the limit, row by row so that the table of all is never in memory."""
    ordered = np.sort(dslr_s)
    starts = np.searchsorted(ordered, phone_s - max_offset_s, side="left")
    ends = np.searchsorted(ordered, phone_s + max_offset_s, side="right")
    rows = [ordered[a:b] - t for t, a, b in zip(phone_s, starts, ends, strict=True)]
    return np.sort(np.concatenate(rows)) if rows else np.empty(0)


def _peak(differences: Seconds, tolerance_s: float) -> float:
    """The offset within whose tolerance most differences lie."""
    return _middle(differences, _within(differences, tolerance_s), tolerance_s)


def _rival(left: Seconds, fit: ClockFit, tolerance_s: float) -> float | None:
    """Another offset that explains nearly as many shots, from the differences that the fit leaves."""
    counts = _within(left, tolerance_s)
    far = np.abs(left) > 3 * tolerance_s
    if not far.any() or counts[far].max() < 0.8 * len(fit.matches):
        return None
    return fit.offset_s + _middle(left[far], counts[far], tolerance_s)


def _within(differences: Seconds, tolerance_s: float) -> Indices:
    low = np.searchsorted(differences, differences - tolerance_s, side="left")
    high = np.searchsorted(differences, differences + tolerance_s, side="right")
    return high - low


def _middle(differences: Seconds, counts: Indices, tolerance_s: float) -> float:
    """The median of the differences around the fullest one; of equally full ones the smallest offset."""
    fullest = differences[counts == counts.max()]
    centre = fullest[np.argmin(np.abs(fullest))]
    return float(np.median(differences[np.abs(differences - centre) <= tolerance_s]))


def _refit(fit: ClockFit, phone_s: Seconds, dslr_s: Seconds, matches: Indices) -> ClockFit:
    elapsed = phone_s[matches[:, 0]] - fit.origin_s
    offsets = dslr_s[matches[:, 1]] - phone_s[matches[:, 0]]
    # A slope from a few whole-second times over a few minutes would be noise, so it takes an hour and ten shots.
    if len(matches) < 10 or np.ptp(elapsed) < 3600:
        return ClockFit(float(np.median(offsets)), 0.0, fit.origin_s, matches, None)
    drift, offset = np.polyfit(elapsed, offsets, 1)
    return ClockFit(float(offset), float(drift), fit.origin_s, matches, None)


def _nearest(times: Seconds, others: Seconds) -> Indices:
    """Index of the nearest of `others` for each of `times`; the earlier one where two are equally near."""
    order = np.argsort(others, kind="stable")
    ordered = others[order]
    right = np.clip(np.searchsorted(ordered, times), 1, max(len(others) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(others) - 1)
    closer = np.where(np.abs(times - ordered[left]) <= np.abs(ordered[right] - times), left, right)
    return order[closer]
