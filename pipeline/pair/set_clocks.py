"""Finds stretches of shots that meet under an offset of their own, because a clock was set again in a session.

The offset that explains most shots is known already. What it leaves is searched for stretches of any length in which
another offset explains more shots than chance would: after a change to summer time, say, or after the battery was
changed and the clock began again in 2000.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.pair.meeting import Indices, Seconds, all_differences, counts_within, meeting_shots

FEWEST = 2
"""One shot meets another one under some offset always."""
MOST_CHANCE = 2e-3
"""Most stretches that chance alone may be expected to show in a session, as it is computed here."""
ZONE_STEP_S = 900.0
"""Zones and summer time move clocks by multiples of this."""
BURST, SERIES = 4.0, 0.25
"""Shots that follow each other by less than so many tolerances, or usual intervals, count as one."""
NOTHING_LEFT = 0.1
"""Factor to the chance of a stretch that holds all shots that both cameras have left."""
NEARLY = 0.8
MOST_STRETCHES = 20
MOST_OFFSETS = 8
MOST_DIFFERENCES = 4_000_000


@dataclass(frozen=True)
class Stretch:
    """Shots that meet under an offset of their own."""

    offset_s: float
    first: int
    """Index of its first phone shot in the order of the phone's clock."""
    last: int
    matches: Indices
    """(K, 2): index of the phone's shot, index of the DSLR's, in the order of the phone's clock."""


def stretches(
    phone_s: Seconds, dslr_s: Seconds, matches: Indices, usual_s: float, tolerance_s: float, reach_s: float
) -> list[Stretch]:
    """Return the stretches that are no chance, the least probable one first.

    Parameters
    ----------
    phone_s, dslr_s
        Capture times, shapes (N,) and (M,), sorted, in seconds.
    matches
        (K, 2): the shots that meet under the offsets that are known.
    usual_s
        The usual offset: a clock is often moved from it by whole quarters of an hour.
    tolerance_s
        Largest difference between two shots that meet.
    reach_s
        Largest offset that is searched.

    """
    found = list[Stretch]()
    phones = np.setdiff1d(np.arange(len(phone_s)), matches[:, 0])
    dslrs = np.setdiff1d(np.arange(len(dslr_s)), matches[:, 1])
    while min(len(phones), len(dslrs)) >= FEWEST and len(found) < MOST_STRETCHES:
        best = _least_chance(phone_s[phones], dslr_s[dslrs], usual_s, tolerance_s, reach_s)
        if best is None:
            break
        pairs = np.stack([phones[best.matches[:, 0]], dslrs[best.matches[:, 1]]], axis=1)
        found.append(Stretch(best.offset_s, int(pairs[0, 0]), int(pairs[-1, 0]), pairs))
        phones, dslrs = np.setdiff1d(phones, pairs[:, 0]), np.setdiff1d(dslrs, pairs[:, 1])
    return found


def _least_chance(
    phone_s: Seconds, dslr_s: Seconds, usual_s: float, tolerance_s: float, reach_s: float
) -> Stretch | None:
    step = 1 + len(phone_s) * len(dslr_s) // MOST_DIFFERENCES
    every = all_differences(phone_s[::step], dslr_s, 0.0, reach_s)
    known = [_stretch(phone_s, dslr_s, offset, tolerance_s) for offset in _fullest(every, tolerance_s)]
    best, least = None, MOST_CHANCE
    for stretch in known:
        chance = step * len(every) * _chance(phone_s, dslr_s, stretch, tolerance_s)
        off = abs((stretch.offset_s - usual_s + ZONE_STEP_S / 2) % ZONE_STEP_S - ZONE_STEP_S / 2)
        if off <= 2 * tolerance_s:
            chance *= min(1.0, 4 * tolerance_s / ZONE_STEP_S)
        # Cameras that left out shots on their own rarely left out equally many that fit each other.
        if len(stretch.matches) == len(phone_s) == len(dslr_s):
            chance *= NOTHING_LEFT
        if chance < least and not _has_rival(stretch, known, tolerance_s):
            best, least = stretch, chance
    return best


def _fullest(every: Seconds, tolerance_s: float) -> Iterator[float]:
    """Yield the offsets that explain most shots, each clearly different from the others."""
    counts = counts_within(every, tolerance_s)
    for _ in range(MOST_OFFSETS):
        if not len(counts) or counts.max() < FEWEST:
            return
        top = float(every[int(np.argmax(counts))])
        yield float(np.median(every[np.abs(every - top) <= tolerance_s]))
        counts = np.where(np.abs(every - top) <= 3 * tolerance_s, 0, counts)


def _stretch(phone_s: Seconds, dslr_s: Seconds, offset_s: float, tolerance_s: float) -> Stretch:
    """Return the run of shots in which those that meet outnumber the others by most."""
    met = meeting_shots(phone_s + offset_s, dslr_s, tolerance_s)
    worth = np.full(len(phone_s), -1)
    worth[met[:, 0]] = 1
    total = np.cumsum(np.r_[0, worth])
    gain = total - np.minimum.accumulate(total)
    end = int(np.argmax(gain))
    start = int(np.argmin(total[: end + 1]))
    inside = met[(met[:, 0] >= start) & (met[:, 0] < end)]
    return Stretch(offset_s, start, end - 1, inside)


def _chance(phone_s: Seconds, dslr_s: Seconds, stretch: Stretch, tolerance_s: float) -> float:
    """Return how probable it is that so many shots meet if they are not those of the other camera.

    Shots of one burst or series meet or miss together, so that only one of them counts.
    """
    inside = phone_s[stretch.first : stretch.last + 1]
    apart = max(BURST * tolerance_s, SERIES * float(inside[-1] - inside[0]) / len(inside))
    shots = _apart(inside, apart)
    met = _apart(phone_s[stretch.matches[:, 0]], apart)
    if len(stretch.matches) < FEWEST or met < FEWEST:
        return 1.0
    begin, end = phone_s[stretch.first] + stretch.offset_s, phone_s[stretch.last] + stretch.offset_s
    near = dslr_s[np.abs(dslr_s - (begin + end) / 2) <= (end - begin) / 2 + tolerance_s]
    # The share of the time in which a shot would meet one of the other camera.
    covered = float(np.minimum(np.diff(near), 2 * tolerance_s).sum()) + 2 * tolerance_s
    share = min(1.0, covered / float(end - begin + 2 * tolerance_s))
    # The first shot meets by the choice of the offset.
    return _tail(shots - 1, met - 1, share)


def _apart(times_s: Seconds, least_s: float) -> int:
    """Return how many of sorted times count if each one that counts is that long after the last one."""
    count, last = 0, -math.inf
    for time_s in times_s.tolist():
        if time_s - last >= least_s:
            count, last = count + 1, time_s
    return count


def _tail(tries: int, successes: int, share: float) -> float:
    """Return the probability of at least so many successes."""
    if share >= 1.0:
        return 1.0
    logs = (
        math.lgamma(tries + 1)
        - math.lgamma(k + 1)
        - math.lgamma(tries - k + 1)
        + k * math.log(share)
        + (tries - k) * math.log1p(-share)
        for k in range(successes, tries + 1)
    )
    return min(1.0, sum(math.exp(each) for each in logs))


def _has_rival(stretch: Stretch, known: list[Stretch], tolerance_s: float) -> bool:
    """Whether another offset explains nearly as many shots, as in an even rhythm."""
    return any(
        abs(other.offset_s - stretch.offset_s) > 3 * tolerance_s
        and len(np.intersect1d(other.matches[:, 0], stretch.matches[:, 0])) >= NEARLY * len(stretch.matches)
        for other in known
    )


def with_stretches(
    phone_s: Seconds, dslr_s: Seconds, offsets_s: Seconds, matches: Indices, found: list[Stretch], tolerance_s: float
) -> tuple[Seconds, Indices]:
    """Return the offsets of all shots and the shots that meet, with the stretches.

    A few shots inside a stretch that met under the usual offset did so by chance, so they get the stretch's offset.
    """
    offsets_s = offsets_s.copy()
    is_own = np.zeros(len(phone_s), bool)
    for stretch in found:
        inside = np.arange(stretch.first, stretch.last + 1)
        usual = matches[np.isin(matches[:, 0], inside)]
        if len(usual) > 0.2 * len(stretch.matches):
            # A clock was put back: shots before and after that are mixed on it.
            inside = stretch.matches[:, 0]
        offsets_s[inside], is_own[inside] = stretch.offset_s, True
    kept = matches[~is_own[matches[:, 0]]]
    phones, dslrs = np.flatnonzero(is_own), np.setdiff1d(np.arange(len(dslr_s)), kept[:, 1])
    late = meeting_shots(phone_s[phones] + offsets_s[phones], dslr_s[dslrs], tolerance_s)
    late = np.stack([phones[late[:, 0]], dslrs[late[:, 1]]], axis=1)
    every = np.concatenate([kept, late])
    every = every[np.argsort(every[:, 0], kind="stable")]
    offsets_s, every = _extended(phone_s, dslr_s, offsets_s, every, tolerance_s)
    return _near_own(phone_s, offsets_s, every, is_own), every


def _extended(
    phone_s: Seconds, dslr_s: Seconds, offsets_s: Seconds, matches: Indices, tolerance_s: float
) -> tuple[Seconds, Indices]:
    """Give shots without a mate the offset of the next shots with one, before and after them, if they meet by it."""
    for side in (-1, 0):
        phones = np.setdiff1d(np.arange(len(phone_s)), matches[:, 0])
        dslrs = np.setdiff1d(np.arange(len(dslr_s)), matches[:, 1])
        if not len(phones) or not len(dslrs) or not len(matches):
            break
        place = np.clip(np.searchsorted(matches[:, 0], phones) + side, 0, len(matches) - 1)
        offsets = offsets_s[matches[place, 0]]
        late = meeting_shots(phone_s[phones] + offsets, dslr_s[dslrs], tolerance_s)
        offsets_s[phones[late[:, 0]]] = offsets[late[:, 0]]
        matches = np.concatenate([matches, np.stack([phones[late[:, 0]], dslrs[late[:, 1]]], axis=1)])
        matches = matches[np.argsort(matches[:, 0], kind="stable")]
    return offsets_s, matches


def _near_own(phone_s: Seconds, offsets_s: Seconds, matches: Indices, is_own: npt.NDArray[np.bool_]) -> Seconds:
    """Give shots without a mate the offset of a stretch if the shot with a mate that is next to them is of it."""
    known = matches[:, 0]
    lone = np.setdiff1d(np.arange(len(phone_s)), known)
    if len(known) and len(lone):
        place = np.clip(np.searchsorted(phone_s[known], phone_s[lone]), 1, max(1, len(known) - 1))
        near = np.stack([known[place - 1], known[np.minimum(place, len(known) - 1)]])
        which = np.abs(phone_s[near] - phone_s[lone]).argmin(axis=0)
        nearest = near[which, np.arange(len(lone))]
        is_changed = is_own[nearest]
        offsets_s[lone[is_changed]] = offsets_s[nearest[is_changed]]
    return offsets_s
