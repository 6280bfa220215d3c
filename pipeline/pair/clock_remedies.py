"""What is said about clocks: where they were set, and what helps if they cannot be believed.

A remedy is named only if it was tried and changes the outcome, or if what it needs is known to the user alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dpedtool.pipeline.pair.clocks import DRIFT
from dpedtool.pipeline.pair.notes import many
from dpedtool.pipeline.pair.order import in_order_named
from dpedtool.pipeline.pair.set_clocks import FEWEST
from dpedtool.pipeline.pair.shots import Shot

if TYPE_CHECKING:
    from dpedtool.pipeline.pair.clock_pairing import Clocks

SAME_NAMES = "give the two photos of each pair the same name (001.jpg in both folders)"
MOST_SETTINGS = 3
"""Settings of a clock that are named one by one."""


def remedies(clocks: Clocks, found: int, shots: int) -> str:
    """Return what helps if the offset that was found explains too few shots, as a clause.

    Parameters
    ----------
    clocks
        The clocks, as they were compared.
    found, shots
        How many shots the best offset explains, and of how many.

    """
    params, parts = clocks.params, [SAME_NAMES]
    if params.offset_s is not None:
        free = clocks.refitted(replace(params, offset_s=None)).decided()
        says = "" if free.is_doubtful() else f"; without it, {free.fit.offset_s:+.1f} s would be found"
        return f"{SAME_NAMES}, or correct pair.offset_s (now {params.offset_s:g} s{says})"
    if most := _farthest(clocks, params.max_offset_s):
        wide = clocks.refitted(replace(params, max_offset_s=most)).decided()
        if not wide.is_doubtful():
            needed = _above(max(abs(wide.fit.range_s[0]), abs(wide.fit.range_s[1])), clocks)
            parts.append(
                f"set pair.max_offset_s (now {params.max_offset_s:g} s) to {needed}, since the offset "
                f"{wide.fit.offset_s:+.1f} s explains {len(wide.fit.matches)} shots"
            )
    share = math.floor(100 * found / shots) / 100
    if share and not replace(clocks, params=replace(params, min_share=share)).is_doubtful():
        parts.append(
            f"set pair.min_share (now {params.min_share:g}) to {share:g}, if the cameras took no more of the shots "
            "together"
        )
    elif share:
        known = clocks.refitted(replace(params, offset_s=round(clocks.fit.offset_s, 3)))
        if not known.is_doubtful():
            parts.append(f"set pair.offset_s to {known.params.offset_s:g}, if you know that this is the right offset")
    return ", or ".join(parts)


def notes_of_settings(clocks: Clocks, partners: Mapping[int, int]) -> list[str]:
    """Say where a clock was set in the session, and which photos have no mate because of that.

    Parameters
    ----------
    clocks
        The clocks, as they were compared.
    partners
        The pairs, as indices of the cameras' photos.

    """
    return [*_settings(clocks), *(_beyond(clocks) or _at_one_place(clocks, partners))]


def _settings(clocks: Clocks) -> list[str]:
    fit = clocks.fit
    met = [
        (float(clocks.phone_s[phone]), float(clocks.dslr_s[dslr]), int(phone), float(fit.offsets_s[phone]))
        for phone, dslr in fit.matches.tolist()
    ]
    # A clock that is put back mixes the shots before and after that: the other clock keeps their order.
    orders = [sorted(met, key=lambda each: (each[clock], each)) for clock in (0, 1)]
    jumps = min((_jumps(order, clocks.params.tolerance_s) for order in orders), key=len)
    sentences = [
        f"A clock was set between {_name(clocks, before[2])} and {_name(clocks, after[2])}: the DSLR's clock minus the "
        f"phone's is {before[3]:+.1f} s before that and {after[3]:+.1f} s after it."
        for before, after in jumps[:MOST_SETTINGS]
    ]
    if (more := len(jumps) - MOST_SETTINGS) > 0:
        sentences.append(
            f"Clocks were set {more} more {many(more, 'time', 'times')}; clock_offset_s in the table says where."
        )
    return sentences


_Met = tuple[float, float, int, float]


def _jumps(met: Sequence[_Met], tolerance_s: float) -> list[tuple[_Met, _Met]]:
    return [
        (before, after)
        for before, after in itertools.pairwise(met)
        if abs(after[3] - before[3])
        > 3 * tolerance_s + DRIFT * min(abs(after[0] - before[0]), abs(after[1] - before[1]))
    ]


def _beyond(clocks: Clocks) -> list[str]:
    sentences = []
    for stretch in clocks.fit.beyond:
        phones, dslrs = stretch.matches[:, 0].tolist(), stretch.matches[:, 1].tolist()
        of_dslr = [clocks.dslrs[clocks.timed_dslrs[index]].path.name for index in (dslrs[0], dslrs[-1])]
        sentences.append(
            f"A clock was set in the session: {len(phones)} photos of the phone, from {_name(clocks, phones[0])} to "
            f"{_name(clocks, phones[-1])}, have no mate, but fit those of the DSLR from {of_dslr[0]} to {of_dslr[1]} "
            f"if the DSLR's clock minus the phone's is {stretch.offset_s:+.1f} s there; to pair them, set "
            f"pair.max_offset_s (now {clocks.params.max_offset_s:g} s) to {_above(stretch.offset_s, clocks)}."
        )
    return sentences


def _at_one_place(clocks: Clocks, partners: Mapping[int, int]) -> list[str]:
    """Name equally many photos without a mate in a row that lie between mates of each other, by their names."""
    phones, dslrs = (_by_name(shots) for shots in (clocks.phones, clocks.dslrs))
    place = {index: number for number, index in enumerate(dslrs)}
    sentences, start = [], 0
    for is_alone, group in itertools.groupby(phones, key=lambda index: index not in partners):
        row = [*group]
        end = start + len(row)
        if is_alone and len(row) >= FEWEST:
            before = place[partners[phones[start - 1]]] if start else -1
            after = place[partners[phones[end]]] if end < len(phones) else len(dslrs)
            between = dslrs[before + 1 : after]
            if len(between) == len(row) and not {*between} & {*partners.values()}:
                names = [shots[index].path.name for shots, index in _ends(clocks, row, between)]
                sentences.append(
                    f"{names[0]} to {names[1]} of the phone have no mate, and neither have {names[2]} to {names[3]} of "
                    "the DSLR, which lie at the same place in the order of names: if a clock was set there, name these "
                    "pairs, too, in a list of pairs (pair.csv or --csv)."
                )
        start = end
    return sentences


def _ends(clocks: Clocks, row: Sequence[int], between: Sequence[int]) -> list[tuple[Sequence[Shot], int]]:
    return [(clocks.phones, row[0]), (clocks.phones, row[-1]), (clocks.dslrs, between[0]), (clocks.dslrs, between[-1])]


def _by_name(shots: Sequence[Shot]) -> list[int]:
    places = {shot.path: index for index, shot in enumerate(shots)}
    return [places[shot.path] for shot in in_order_named(shots)]


def _above(offset_s: float, clocks: Clocks) -> int:
    """Return a limit in whole seconds that an offset does not reach."""
    return math.ceil(abs(offset_s) + abs(clocks.zones_differ_s or 0.0) + 3 * clocks.params.tolerance_s)


def _farthest(clocks: Clocks, limit_s: float) -> float | None:
    """Return a limit above every offset that two shots have; None if that is not above the limit."""
    zones = clocks.zones_differ_s or 0.0
    ends = (clocks.dslr_s.max() - clocks.phone_s.min() - zones, clocks.dslr_s.min() - clocks.phone_s.max() - zones)
    farthest = max(abs(float(end)) for end in ends) + 1
    return farthest if farthest > limit_s else None


def _name(clocks: Clocks, phone: int) -> str:
    return clocks.phones[clocks.timed_phones[phone]].path.name
