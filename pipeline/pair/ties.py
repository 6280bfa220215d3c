"""Chooses partners for shots with several candidates by time: by comparing the pictures, or else by their order.

EXIF times are often whole seconds, so several photos of a burst have the same time. Shots whose candidates overlap
form a group. Within a group, the likeness of the photos decides where it is clear. Where it is not, as with one view
photographed again and again, the shots are paired in the order of time and, within a second, of file names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.progress import track
from dpedtool.pipeline.pair.assignment import best_partners
from dpedtool.pipeline.pair.likeness import UNLIKE
from dpedtool.pipeline.pair.meeting import Indices, Seconds

Likeness = Callable[[int, int], float | None]
"""Returns the likeness of a phone's shot and a DSLR's shot, given by their indices, as `Pictures.likeness` does."""
PlainlyUnlike = Callable[[Sequence[int], Sequence[int]], npt.NDArray[np.bool_]]
"""Returns which of some phone's shots and DSLR's shots differ plainly, as `Pictures.plainly_unlike` does."""
Table = npt.NDArray[np.float64]
Candidates = npt.NDArray[np.bool_]
"""(N, M): which of a group's shots may be partners; N of the phone, M of the DSLR."""
Partners = Mapping[int, int]

CLEARLY = 1.0
"""Difference in likeness by which a partner is clearly better than another one: twice the inliers."""
CHANGE = 0.5
"""Gain in likeness that a change of partners must bring, on average over its shots, to be preferred to the order."""
COMPANY = 0.5
"""Likeness that any partner adds: of two choices that look equally good, the one with more partners wins."""


FEW_CANDIDATES = 1000
"""Up to this many candidates of a group are all compared; of more, only those that do not differ plainly."""
MOST_SHOTS = 2000
"""A larger group comes from a film rather than a burst; only the clocks decide on it."""


@dataclass(frozen=True)
class Settled:
    """The partners of all shots, and how they were chosen if there were several candidates."""

    partners: dict[int, int]
    """Phone's shot to DSLR's."""
    how: dict[int, str]
    """Phone's shot, if it has a partner and had several candidates, to what decided: 'picture' or 'order'."""


@dataclass(frozen=True)
class _Group:
    """Shots whose candidates overlap, by their indices."""

    phones: Indices
    dslrs: Indices


def settle(
    phone_s: Seconds,
    dslr_s: Seconds,
    matches: Indices,
    tolerance_s: float,
    likeness: Likeness | None,
    plainly_unlike: PlainlyUnlike | None = None,
) -> Settled:
    """Choose a partner for every shot, by pictures or order if it has several candidates.

    Parameters
    ----------
    phone_s, dslr_s
        Capture times on one clock, shapes (N,) and (M,), in seconds. Of equal times, the first was taken first.
    matches
        (K, 2): the shots that meet by the clocks. Groups in which no shots meet stay without partners.
    tolerance_s
        Largest difference between two shots that may be partners.
    likeness
        Called only for shots in doubt, group by group in the order of time. If it is None, the order alone decides.
    plainly_unlike
        Called for a group of more than `FEW_CANDIDATES` candidates, so that most of them need not be compared. If it is
        None, all are.

    """
    settled = Settled({int(phone): int(dslr) for phone, dslr in matches}, {})
    groups = [group for group in _groups(phone_s, dslr_s, tolerance_s) if _is_in_doubt(group, settled.partners)]
    for group in track(groups, "compare pictures", len(groups)) if likeness and groups else groups:
        times = phone_s[group.phones], dslr_s[group.dslrs]
        is_candidate = np.abs(times[0][:, None] - times[1][None, :]) <= tolerance_s
        chosen, pictured = _choose(*times, is_candidate, _likenesses(group, is_candidate, likeness, plainly_unlike))
        for row, phone in enumerate(group.phones.tolist()):
            settled.partners.pop(phone, None)
            if row in chosen:
                settled.partners[phone] = int(group.dslrs[chosen[row]])
                settled.how[phone] = "picture" if row in pictured else "order"
    return settled


def _is_in_doubt(group: _Group, partners: Partners) -> bool:
    shots = len(group.phones) + len(group.dslrs)
    return 2 < shots <= MOST_SHOTS and any(phone in partners for phone in group.phones.tolist())


def _likenesses(
    group: _Group, is_candidate: Candidates, likeness: Likeness | None, plainly_unlike: PlainlyUnlike | None
) -> Table:
    """Likeness of each candidate, (N, M); NaN for others, and if photos show too little to compare."""
    table = np.full(is_candidate.shape, np.nan)
    if likeness is None:
        return table
    asked = is_candidate
    if plainly_unlike and is_candidate.sum() > FEW_CANDIDATES:
        unlike = is_candidate & plainly_unlike(group.phones.tolist(), group.dslrs.tolist())
        table[unlike], asked = UNLIKE, is_candidate & ~unlike
    for row, column in np.argwhere(asked).tolist():
        value = likeness(int(group.phones[row]), int(group.dslrs[column]))
        table[row, column] = np.nan if value is None else value
    return table


def _groups(phone_s: Seconds, dslr_s: Seconds, tolerance_s: float) -> Iterator[_Group]:
    """Yield groups in the order of time; shots without a candidate are in no group."""
    phones, dslrs = np.argsort(phone_s, kind="stable"), np.argsort(dslr_s, kind="stable")
    starts = np.searchsorted(dslr_s[dslrs], phone_s[phones] - tolerance_s, side="left")
    ends = np.searchsorted(dslr_s[dslrs], phone_s[phones] + tolerance_s, side="right")
    met = np.flatnonzero(starts < ends)
    # Starts and ends only grow with time, so a group ends if the next shot's candidates lie after all of its own.
    for run in np.split(met, np.flatnonzero(starts[met[1:]] >= ends[met[:-1]]) + 1):
        if len(run):
            yield _Group(phones[run], dslrs[starts[run[0]] : ends[run[-1]]])


def _choose(
    phone_s: Seconds, dslr_s: Seconds, is_candidate: Candidates, likeness: Table
) -> tuple[dict[int, int], set[int]]:
    """Return the partners within a group, row to column, and the rows that the pictures decided on."""
    # If no photo is recognised, the pictures are of no use, so they rule out nothing either.
    is_allowed = is_candidate & ~(likeness == UNLIKE) if (likeness >= 0).any() else is_candidate
    apart = (_in_order(phone_s)[:, None] - _in_order(dslr_s)[None, :]) ** 2
    alike = np.where(np.isnan(likeness), 0.0, np.maximum(likeness, 0))
    partners = _by_order(apart, is_allowed)
    by_picture = _by_picture(alike, apart, is_allowed)
    changed: set[int] = set()
    for rows in _changes(partners, by_picture):
        if _total(alike, by_picture, rows) - _total(alike, partners, rows) >= CHANGE * len(rows):
            changed |= rows
    kept = {row: column for row, column in partners.items() if row not in changed}
    chosen = kept | {row: column for row, column in by_picture.items() if row in changed}
    clear = {row for row, column in chosen.items() if _is_clear(likeness, is_candidate, row, column)}
    return chosen, changed | clear


def _by_picture(alike: Table, apart: Table, is_allowed: Candidates) -> Partners:
    """The partners that are most alike; of equally good ones, those that are closer in time."""
    little = 0.01 * COMPANY / max(1.0, float(apart.max(initial=0)))
    return best_partners(np.where(is_allowed, COMPANY + alike - little * apart, 0))


def _in_order(seconds: Seconds) -> Seconds:
    """Times in the order given, but shots of equal time are spread over one second around it, first to last."""
    spread = seconds.copy()
    for moment in np.unique(seconds):
        equal = np.flatnonzero(seconds == moment)
        spread[equal] += (np.arange(len(equal)) + 0.5) / len(equal) - 0.5
    return spread


def _by_order(apart: Table, is_allowed: Candidates) -> Partners:
    """As many partners as possible, as close in time as possible; squared distances keep the shots in order."""
    enough = 1.0 + min(apart.shape) * float(apart.max(initial=0))
    return best_partners(np.where(is_allowed, enough - apart, 0))


def _changes(first: Partners, second: Partners) -> list[set[int]]:
    """Sets of rows that can change partners from the first choice to the second only together."""
    rows_of = [{column: row for row, column in choice.items()} for choice in (first, second)]
    waiting = {row for row in first.keys() | second.keys() if first.get(row) != second.get(row)}
    changes = []
    while waiting:
        change: set[int] = set()
        reached = {min(waiting)}
        while reached:
            change |= reached
            columns = {choice[row] for row in reached for choice in (first, second) if row in choice}
            reached = {rows[column] for column in columns for rows in rows_of if column in rows} - change
        changes.append(change)
        waiting -= change
    return changes


def _total(alike: Table, partners: Partners, rows: Iterable[int]) -> float:
    return float(sum(alike[row, partners[row]] for row in sorted(rows) if row in partners))


def _is_clear(likeness: Table, is_candidate: Candidates, row: int, column: int) -> bool:
    """Whether a partner shows the same, and is clearly more alike than every other candidate of both shots."""
    is_other = np.zeros_like(is_candidate)
    is_other[row], is_other[:, column], is_other[row, column] = True, True, False
    others = likeness[is_other & is_candidate]
    own = likeness[row, column]
    return bool(own >= 0 and (others <= own - CLEARLY).all())
