"""Finds the shots that two cameras took together, from clocks that were never set to the same time.

The clocks are followed piece by piece, because over weeks they drift, change to summer time, or are set again. The
phone's shots are cut into blocks, and the block with the clearest rhythm is matched first. From there each block starts
from its neighbour's offset, or takes another one that explains clearly more of its shots.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.pair.meeting import Indices, Seconds, all_differences, counts_within, meeting_shots, nearest_of
from dpedtool.pipeline.pair.set_clocks import Stretch, stretches, with_stretches

BLOCK_SHOTS = 60
"""An hour of busy shooting: enough for a rhythm of its own, too short for a clock to drift by much."""
FEWEST_SHOTS = 10
"""With fewer shots, some offset explains most of them by chance."""
GAP_S = 1800.0
DRIFT = 5 / 86_400
"""Fastest drift that is followed: 5 s a day, twice the drift of a poor quartz clock."""
NEARLY = 0.8
"""An offset counts as equally good if it explains this share of the shots that another one explains."""
SAMPLE_SHOTS = 600
MOST_RIVALS = 40
STRAIGHTENINGS = 5
BURSTS, MOST_BURST_PEAKS = 1.5, 60
"""So many times more differences than shots that meet are a sign of bursts; then so many offsets are tried."""


@dataclass(frozen=True)
class Rival:
    """Another offset that explains nearly as many shots, so that the rhythm of the shots proves nothing."""

    shift_s: float
    """How much larger this offset is than the fit's, in seconds."""
    matches: Indices
    """(K, 2), as in `ClockFit`."""


@dataclass(frozen=True)
class Beyond:
    """Shots that would meet under an offset larger than the limit, because a clock was set in between."""

    offset_s: float
    matches: Indices
    """(K, 2), as in `ClockFit`."""


@dataclass(frozen=True)
class ClockFit:
    """The DSLR's clock as seen from the phone's, shot by shot, and the shots that meet."""

    offsets_s: Seconds
    """(N,): what to add to each of the phone's capture times to get the DSLR's."""
    matches: Indices
    """(K, 2): index of the phone's shot, index of the DSLR's, in the order of the phone's clock."""
    rivals: tuple[Rival, ...] = ()
    """The best one first, at most `MOST_RIVALS`."""
    beyond: tuple[Beyond, ...] = ()
    """Stretches that only an offset beyond the limit explains."""

    @property
    def offset_s(self) -> float:
        """The offset at the first shot that meets, in seconds; NaN if no shot meets."""
        return float(self.offsets_s[self.matches[0, 0]]) if len(self.matches) else np.nan

    @property
    def rival_offset_s(self) -> float | None:
        """The value of `offset_s` under the best rival; None if there is no rival."""
        return self.offset_s + self.rivals[0].shift_s if self.rivals else None

    @property
    def rival_matches(self) -> int:
        """How many shots the best rival explains."""
        return len(self.rivals[0].matches) if self.rivals else 0

    def under(self, rival: Rival) -> ClockFit:
        """Return the fit under a rival's offset, without rivals of its own."""
        return ClockFit(self.offsets_s + rival.shift_s, rival.matches)

    @property
    def range_s(self) -> tuple[float, float]:
        """Smallest and largest offset of the shots that meet, in seconds; the fit must have matches."""
        met = self.offsets_s[self.matches[:, 0]]
        return float(met.min()), float(met.max())


def fit_clocks(
    phone_s: Seconds, dslr_s: Seconds, tolerance_s: float, max_offset_s: float, offset_s: float | None = None
) -> ClockFit:
    """Find the offsets between two clocks under which most shots meet, and the shots that meet.

    The caller judges by the number of matches and by the rivals whether the fit can be believed.

    Parameters
    ----------
    phone_s, dslr_s
        Capture times, shapes (N,) and (M,), at least one each, each on its own clock, in seconds, in any order.
    tolerance_s
        Largest difference between two shots that meet, once the offset is removed.
    max_offset_s
        Largest offset that is searched.
    offset_s
        The offset at the phone's first shot, if it is known: then the fit only follows it, and has no rivals.

    """
    order = np.argsort(phone_s, kind="stable")
    times = _Times(phone_s[order], np.sort(dslr_s), tolerance_s)
    edges = _blocks(times.phone)
    offsets = _search(times, edges, max_offset_s) if offset_s is None else _follow(times, edges, offset_s)
    pieces = _move_edges(times, _Pieces(edges, offsets))
    offsets, matches = _straightened(times, pieces, *_match_pieces(times, pieces))
    beyond: list[Stretch] = []
    if offset_s is None:
        offsets, matches, beyond = _with_other_settings(times, offsets, matches, max_offset_s)
    rivals = _rivals(times, offsets, matches, max_offset_s) if offset_s is None else []
    # Back to the order in which the caller gave the shots.
    orders = order, np.argsort(dslr_s, kind="stable")
    unsorted = np.empty_like(offsets)
    unsorted[order] = offsets
    known = tuple(Rival(rival.shift_s, _renumbered(rival.matches, orders)) for rival in rivals)
    lost = tuple(Beyond(each.offset_s, _renumbered(each.matches, orders)) for each in beyond)
    return ClockFit(unsorted, _renumbered(matches, orders), known, lost)


def _with_other_settings(
    times: _Times, offsets: Seconds, matches: Indices, max_offset_s: float
) -> tuple[Seconds, Indices, list[Stretch]]:
    """Add the stretches of shots that another setting of a clock explains; return those beyond the limit, too."""
    usual = float(np.median(offsets[matches[:, 0]])) if len(matches) else 0.0
    if found := stretches(times.phone, times.dslr, matches, usual, times.tolerance, max_offset_s):
        offsets, matches = with_stretches(times.phone, times.dslr, offsets, matches, found, times.tolerance)
    beyond = stretches(times.phone, times.dslr, matches, usual, times.tolerance, np.inf)
    return offsets, matches, beyond


def _renumbered(matches: Indices, orders: tuple[Indices, Indices]) -> Indices:
    return np.stack([orders[0][matches[:, 0]], orders[1][matches[:, 1]]], axis=1)


@dataclass(frozen=True)
class _Times:
    """Both cameras' capture times in seconds, sorted."""

    phone: Seconds
    dslr: Seconds
    tolerance: float


@dataclass(frozen=True)
class _Peak:
    offset: float
    shots: int
    """Number of differences within the tolerance of the offset."""
    rival_shots: int
    """The same number for the best offset that is clearly a different one."""


@dataclass(frozen=True)
class _Known:
    offset: float
    moment: float
    """When the offset was this one, on the phone's clock."""


@dataclass(frozen=True)
class _Pieces:
    """Stretches of the phone's shots with one offset each: piece i is shots edges[i] to edges[i + 1]."""

    edges: Indices
    offsets: Seconds

    def each(self) -> Iterable[tuple[int, int, float]]:
        """First shot, last shot plus one, offset in seconds."""
        return zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), self.offsets.tolist(), strict=True)

    def of_shots(self) -> Seconds:
        return np.repeat(self.offsets, np.diff(self.edges))


def _blocks(phone: Seconds) -> Indices:
    """Edges of the blocks: at pauses, but only once a block has enough shots to be matched by itself."""
    edges = [0]
    for shot in range(1, len(phone)):
        count = shot - edges[-1]
        if count >= BLOCK_SHOTS or (count >= FEWEST_SHOTS and phone[shot] - phone[shot - 1] > GAP_S):
            edges.append(shot)
    return np.array([*edges, len(phone)])


def _search(times: _Times, edges: Indices, max_offset_s: float) -> Seconds:
    """The offset of every block; the search goes forwards and backwards from the one with the clearest rhythm."""
    blocks = np.split(times.phone, edges[1:-1])
    peaks = [_peak(times, block, 0.0, max_offset_s) for block in blocks]
    first = int(np.argmax([peak.shots - peak.rival_shots for peak in peaks]))
    usual = peaks[first].shots / len(blocks[first])
    known = _Known(peaks[first].offset, float(np.median(blocks[first])))
    onwards = _walk(times, blocks[first:], peaks[first:], known, usual)
    backwards = _walk(times, blocks[first::-1], peaks[first::-1], known, usual)
    return np.array(backwards[:0:-1] + onwards)


def _follow(times: _Times, edges: Indices, offset_s: float) -> Seconds:
    """The offset of every block if it is known at the first shot and only drifts."""
    blocks = np.split(times.phone, edges[1:-1])
    known = _Known(offset_s, float(times.phone[0]))
    usual = min(1.0, len(times.dslr) / len(times.phone))
    return np.array(_walk(times, blocks, [_Peak(offset_s, 0, 0)] * len(blocks), known, usual))


def _walk(
    times: _Times, blocks: Sequence[Seconds], peaks: Sequence[_Peak], known: _Known, usual_share: float
) -> list[float]:
    """The offset of block after block, each near the one before it or at a peak of its own; in seconds."""
    offsets = []
    for block, own in zip(blocks, peaks, strict=True):
        now = float(np.median(block))
        near = _peak(times, block, known.offset, times.tolerance + DRIFT * abs(now - known.moment))
        best = _better(near, own, len(block))
        # A block that hardly meets the DSLR's shots, as when the DSLR was off, says nothing about its clock.
        if best.shots >= 0.5 * usual_share * len(block):
            known = _Known(best.offset, now)
        offsets.append(known.offset)
    return offsets


def _better(near: _Peak, own: _Peak, shots: int) -> _Peak:
    """Return a block's own peak if chance does not explain it, else the peak near its neighbour's offset."""
    proven = shots >= FEWEST_SHOTS and own.shots >= 0.4 * shots and own.rival_shots < NEARLY * own.shots
    return own if proven and near.shots < NEARLY * own.shots else near


def _peak(times: _Times, phone: Seconds, centre: float, reach: float) -> _Peak:
    """The offset within `reach` of `centre` that explains most shots; the nearest to `centre` if several do."""
    differences = all_differences(phone, times.dslr, centre, reach)
    if not len(differences):
        return _Peak(centre, 0, 0)
    counts = counts_within(differences, times.tolerance)
    fullest = differences[counts == counts.max()]
    top = fullest[np.argmin(np.abs(fullest - centre))]
    offset = float(np.median(differences[np.abs(differences - top) <= times.tolerance]))
    others = counts[np.abs(differences - offset) > 3 * times.tolerance]
    met = len(meeting_shots(phone + offset, times.dslr, times.tolerance))
    if counts.max() > BURSTS * met:
        return _peak_of_bursts(times, phone, centre, differences)
    return _Peak(offset, int(counts.max()), int(others.max(initial=0)))


def _peak_of_bursts(times: _Times, phone: Seconds, centre: float, differences: Seconds) -> _Peak:
    """The peak by the number of shots that meet: two bursts have many differences under any offset between them."""
    found: list[tuple[int, float, float]] = []
    counts = counts_within(differences, times.tolerance)
    while len(found) < MOST_BURST_PEAKS and counts.any():
        top = differences[int(np.argmax(counts))]
        is_near = np.abs(differences - top) <= times.tolerance
        offset = float(np.median(differences[is_near]))
        met = len(meeting_shots(phone + offset, times.dslr, times.tolerance))
        found.append((met, -abs(offset - centre), offset))
        counts = np.where(np.abs(differences - top) <= 3 * times.tolerance, 0, counts)
    (shots, _, offset), *others = sorted(found, reverse=True)
    return _Peak(offset, shots, max((met for met, _, _ in others), default=0))


def _move_edges(times: _Times, pieces: _Pieces) -> _Pieces:
    """Move the edge between two pieces to the shot at which the clock was set: where most shots are explained."""
    edges, offsets = pieces.edges.copy(), pieces.offsets
    for piece in range(1, len(offsets)):
        if abs(offsets[piece] - offsets[piece - 1]) > times.tolerance:
            start, end = edges[piece - 1], edges[piece + 1]
            before = _is_explained(times, times.phone[start:end] + offsets[piece - 1])
            after = _is_explained(times, times.phone[start:end] + offsets[piece])
            gained = np.cumsum(np.r_[0, before.astype(int) - after])
            edges[piece] = start + int(np.argmax(gained))
    return _Pieces(edges, offsets)


def _is_explained(times: _Times, aligned: Seconds) -> npt.NDArray[np.bool_]:
    return np.abs(times.dslr[nearest_of(aligned, times.dslr)] - aligned) <= times.tolerance


def _match_pieces(times: _Times, pieces: _Pieces) -> tuple[Seconds, Indices]:
    """The offset of every shot, (N,) in seconds, and the shots that meet, (K, 2), both in the order of the clocks."""
    offsets = pieces.of_shots()
    matches = meeting_shots(times.phone + offsets, times.dslr, times.tolerance)
    # If a clock was put back, shots before and after that have the same times, and are mixed in the sorted order.
    others = _offsets_across_jumps(times, pieces)
    phones = np.setdiff1d(np.flatnonzero(np.isfinite(others)), matches[:, 0])
    dslrs = np.setdiff1d(np.arange(len(times.dslr)), matches[:, 1])
    late = meeting_shots(times.phone[phones] + others[phones], times.dslr[dslrs], times.tolerance)
    late = np.stack([phones[late[:, 0]], dslrs[late[:, 1]]], axis=1)
    offsets[late[:, 0]] = others[late[:, 0]]
    matches = np.concatenate([matches, late])
    return offsets, _without_chance(matches[np.argsort(matches[:, 0])], pieces)


def _straightened(times: _Times, pieces: _Pieces, offsets: Seconds, matches: Indices) -> tuple[Seconds, Indices]:
    """Return the offsets of one steady drift and the shots that meet by it, if these are more; else the inputs.

    With a few shots a day, a block lasts for days, in which the drift exceeds the tolerance. If a clock was set again,
    no line explains as many shots as the pieces do.
    """
    for _ in range(STRAIGHTENINGS):
        if len(matches) < FEWEST_SHOTS:
            break
        line = _line(times, matches)
        met = _without_chance(meeting_shots(times.phone + line, times.dslr, times.tolerance), pieces)
        if len(met) <= len(matches):
            break
        offsets, matches = line, met
    return offsets, matches


def _line(times: _Times, matches: Indices) -> Seconds:
    """The straight line through the offsets of matches, at each of the phone's shots, (N,), in seconds.

    Its slope is the median slope between matches half a session apart; a third of wrong matches does not move it
    (Sen 1968, doi:10.1080/01621459.1968.10480934).
    """
    moments = times.phone[matches[:, 0]]
    differences = times.dslr[matches[:, 1]] - moments
    half = len(matches) // 2
    spans = moments[half:] - moments[: len(moments) - half]
    is_apart = spans > 0
    slopes = (differences[half:] - differences[: len(moments) - half])[is_apart] / spans[is_apart]
    slope = float(np.clip(np.median(slopes), -DRIFT, DRIFT)) if len(slopes) else 0.0
    return slope * times.phone + float(np.median(differences - slope * moments))


def _without_chance(matches: Indices, pieces: _Pieces) -> Indices:
    """The matches without pieces that have so few that it is chance, as after a clock was set beyond the limit."""
    shots = np.diff(pieces.edges)
    counts = np.diff(np.searchsorted(matches[:, 0], pieces.edges))
    shares = counts / np.maximum(shots, 1)
    usual = shares[shots >= FEWEST_SHOTS].max(initial=0)
    kept: Indices = matches[np.repeat(shares >= 0.3 * usual, counts)]
    return kept


def _offsets_across_jumps(times: _Times, pieces: _Pieces) -> Seconds:
    """(N,): the offset beyond a jump of the clock, for shots nearer to it than the jump is long; NaN for others."""
    own, others = pieces.of_shots(), np.full(len(times.phone), np.nan)
    for edge in np.flatnonzero(np.abs(np.diff(own)) > 3 * times.tolerance) + 1:
        before, after = own[edge - 1], own[edge]
        moments = times.phone[edge] + np.array([-1, 1]) * abs(after - before)
        start, end = np.searchsorted(times.phone, moments)
        others[start:edge], others[edge:end] = after, before
    return others


def _rivals(times: _Times, offsets: Seconds, matches: Indices, max_offset_s: float) -> list[Rival]:
    """Other offsets that explain nearly as many shots: the best ones first, and of equal ones the nearest first.

    They are searched among the differences that the fit leaves, of a sample of shots, which limits time and memory.
    """
    aligned = times.phone + offsets
    sample = matches[:: 1 + len(matches) // SAMPLE_SHOTS, 0]
    left = all_differences(np.sort(aligned[sample]), times.dslr, 0.0, max_offset_s)
    counts = np.where(np.abs(left) > 3 * times.tolerance, counts_within(left, times.tolerance), 0)
    rivals: list[Rival] = []
    while len(rivals) < MOST_RIVALS and counts.any():
        fullest = left[counts == counts.max()]
        shift = float(fullest[np.argmin(np.abs(fullest))])
        met = meeting_shots(aligned + shift, times.dslr, times.tolerance)
        if len(met) < NEARLY * len(matches):
            break
        rivals.append(Rival(shift, met))
        counts[np.abs(left - shift) <= 3 * times.tolerance] = 0
    return rivals
