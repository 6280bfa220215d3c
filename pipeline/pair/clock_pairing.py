"""Pairs by capture time: judges whether the clocks can be believed, and compares pictures where they leave a doubt.

Pictures are compared in three cases only: several offsets explain the shots about equally well (an even rhythm), so
few shots meet that it may be chance, or a shot has more than one candidate (a burst).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.params import PairParams
from dpedtool.dataset.places import Place
from dpedtool.pipeline.pair.clock_remedies import SAME_NAMES, notes_of_settings, remedies
from dpedtool.pipeline.pair.clocks import FEWEST_SHOTS, NEARLY, ClockFit, fit_clocks
from dpedtool.pipeline.pair.likeness import UNLIKE, Pictures
from dpedtool.pipeline.pair.meeting import Indices, Seconds
from dpedtool.pipeline.pair.shots import Matching, Shot
from dpedtool.pipeline.pair.ties import CLEARLY, settle

FEW_SHARE = 0.8
"""Smallest share of the shots that must find a mate if fewer than ten do."""
NEAR_S = 1800.0
"""Clocks of cameras that state their zones rarely differ by more."""
SAMPLE_PAIRS = 6
"""Number of pairs whose pictures are compared under each of several offsets."""


def read_clocks(phones: Sequence[Shot], dslrs: Sequence[Shot], params: PairParams, pictures: Pictures) -> Clocks | None:
    """Fit the capture times of the photos that have one; return None if a camera has no capture times at all."""
    timed = [[index for index, shot in enumerate(shots) if shot.time] for shots in (phones, dslrs)]
    if not all(timed):
        return None
    clocks = Clocks(
        phones, dslrs, timed[0], timed[1], params, ClockFit(np.empty(0), np.empty((0, 2), np.int64)), pictures
    )
    return clocks.refitted(params)


@dataclass(frozen=True)
class Clocks:
    """What the capture times of two cameras say."""

    phones: Sequence[Shot]
    dslrs: Sequence[Shot]
    timed_phones: Sequence[int]
    """Indices of the phone's photos that have a time; the fit counts only these photos."""
    timed_dslrs: Sequence[int]
    params: PairParams
    fit: ClockFit
    pictures: Pictures

    def refitted(self, params: PairParams) -> Clocks:
        """Return the clocks as they are compared under other parameters.

        If both cameras state their zones, the clocks are compared in UTC: they hardly differ then, so that an offset
        of a few minutes is preferred to a larger one that explains about as many shots.
        """
        clocks = replace(self, params=params)
        whole = clocks._fit(params.max_offset_s)
        if self.zones_differ_s is None or params.offset_s is not None or params.max_offset_s <= NEAR_S:
            return replace(clocks, fit=whole)
        near = clocks._fit(NEAR_S)
        if len(near.matches) < NEARLY * max(1, len(whole.matches)):
            return replace(clocks, fit=whole)
        is_same = abs(near.offset_s - whole.offset_s) <= 3 * params.tolerance_s
        return replace(clocks, fit=replace(whole, rivals=near.rivals) if is_same else near)

    def _fit(self, max_offset_s: float) -> ClockFit:
        """Fit the clocks, with an offset that is counted from that of the zones."""
        params, zones = self.params, self.zones_differ_s or 0.0
        known = None if params.offset_s is None else params.offset_s - zones
        fit = fit_clocks(self.phone_s + zones, self.dslr_s, params.tolerance_s, max_offset_s, known)
        beyond = tuple(replace(each, offset_s=each.offset_s + zones) for each in fit.beyond)
        return replace(fit, offsets_s=fit.offsets_s + zones, beyond=beyond)

    @property
    def zones_differ_s(self) -> float | None:
        """How far the zone of the DSLR's first photo is ahead of that of the phone's; None if either is not known."""
        zones = [shots[0].zone_s for shots in (self.phones, self.dslrs)]
        return None if zones[0] is None or zones[1] is None else zones[1] - zones[0]

    @cached_property
    def phone_s(self) -> Seconds:
        """Capture times on the phone's clock."""
        return np.array([self.phones[index].seconds for index in self.timed_phones])

    @cached_property
    def dslr_s(self) -> Seconds:
        """Capture times on the DSLR's clock."""
        return np.array([self.dslrs[index].seconds for index in self.timed_dslrs])

    def matching(self, why: str = "") -> Matching:
        """Return the pairs, with ties settled by the pictures; `why` goes into the note."""
        settled = settle(*self._met(), self._likeness, self._plainly_unlike)
        partners = {self.timed_phones[phone]: self.timed_dslrs[dslr] for phone, dslr in settled.partners.items()}
        how = {self.timed_phones[phone]: word for phone, word in settled.how.items()}
        note = f"paired by capture time{why}: {self._offset_in_words()}"
        return Matching(partners, note, "clock", how, self._offsets(), notes=notes_of_settings(self, partners))

    def decided(self) -> Clocks:
        """Return these clocks with the one of several offsets whose pairs look alike, if the pictures can decide."""
        if not self.fit.rivals:
            return self
        fits = [replace(self.fit, rivals=()), *(self.fit.under(rival) for rival in self.fit.rivals)]
        samples = [self._likenesses(fit.matches) for fit in fits]
        scores = [float(np.mean(sample)) if sample else UNLIKE for sample in samples]
        best, second = np.argsort(scores, kind="stable")[::-1][:2].tolist()
        if scores[best] < scores[second] + CLEARLY or not _is_mostly_alike(samples[best]):
            return self
        return replace(self, fit=fits[best])

    def doubt(self) -> str:
        """Return why the fit cannot be trusted and what to do about it; empty if it can be trusted."""
        return self._doubt(remedies)

    def is_doubtful(self) -> bool:
        """Whether the fit cannot be trusted."""
        return bool(self._doubt(lambda *_: "no remedy"))

    def _doubt(self, remedy: Callable[[Clocks, int, int], str]) -> str:
        shots = min(len(self.timed_phones), len(self.timed_dslrs))
        # Several shots of a burst have the same time: all of them count.
        found = len(settle(*self._met(), None).partners)
        # With few shots, some offset makes half of them meet by chance, unless the user knows the offset.
        is_few = found < FEWEST_SHOTS and self.params.offset_s is None
        share = max(self.params.min_share, FEW_SHARE) if is_few else self.params.min_share
        if found < share * shots:
            best = (
                f"the best offset, {self.fit.offset_s:+.1f} s, explains only {found}"
                if found
                else "no offset explains any"
            )
            return f"{best} of {shots} shots, but at least {share:.0%} are needed; {remedy(self, found, shots)}"
        if self.fit.rival_offset_s is not None:
            return (
                f"the DSLR's clock may differ from the phone's by {self.fit.offset_s:+.1f} s or by "
                f"{self.fit.rival_offset_s:+.1f} s: these offsets explain {len(self.fit.matches)} and "
                f"{self.fit.rival_matches} of {shots} shots, and the pictures do not show which one is right; "
                f"{SAME_NAMES}, or set pair.offset_s to the right one"
            )
        return self._doubt_of_few() if found < FEWEST_SHOTS and self.params.offset_s is None else ""

    def against(self, names: Mapping[int, int]) -> Matching | None:
        """Return the pairs by clock if they are about as many as by name and contradict most of those; else None."""
        if len(self.fit.matches) < max(NEARLY * len(names), FEWEST_SHOTS):
            return None
        if not self._contradicts(names):
            return None
        clocks = self.decided()
        if not clocks._contradicts(names) or clocks.doubt():
            return None
        wrong, asked = clocks._wrong(names)
        return clocks.matching(
            f" (equal file names contradict the capture times in {wrong} of {asked} cases; set pair.by=name to use the "
            "names nevertheless)"
        )

    def _contradicts(self, names: Mapping[int, int]) -> bool:
        wrong, asked = self._wrong(names)
        return 2 * wrong > asked

    def _wrong(self, names: Mapping[int, int]) -> tuple[int, int]:
        """Return how many of the pairs by name the fit contradicts, and how many of them have times."""
        couples = [(self.phones[phone], self.dslrs[dslr]) for phone, dslr in names.items()]
        offsets = self._offsets()
        errors = [clock_error(phone, dslr, offsets) for phone, dslr in couples if phone.time and dslr.time]
        return sum(abs(error) > self.params.tolerance_s for error in errors), len(errors)

    def _met(self) -> tuple[Seconds, Seconds, Indices, float]:
        return self.phone_s + self.fit.offsets_s, self.dslr_s, self.fit.matches, self.params.tolerance_s

    def _offsets(self) -> dict[Place, float]:
        """Seconds to add to the phone's clock, for each photo with a time."""
        offsets = self.fit.offsets_s.tolist()
        return {self.phones[index].path: offset for index, offset in zip(self.timed_phones, offsets, strict=True)}

    def _likeness(self, phone: int, dslr: int) -> float | None:
        return self.pictures.likeness(
            self.phones[self.timed_phones[phone]].path, self.dslrs[self.timed_dslrs[dslr]].path
        )

    def _plainly_unlike(self, phones: Sequence[int], dslrs: Sequence[int]) -> npt.NDArray[np.bool_]:
        return self.pictures.plainly_unlike(
            [self.phones[self.timed_phones[phone]].path for phone in phones],
            [self.dslrs[self.timed_dslrs[dslr]].path for dslr in dslrs],
        )

    def _likenesses(self, matches: Indices, most: int = SAMPLE_PAIRS) -> list[float]:
        """Likenesses of pairs spread over the session, without pairs that show too little to compare."""
        chosen = np.unique(np.linspace(0, len(matches) - 1, min(most, len(matches))).round().astype(int))
        found = [self._likeness(phone, dslr) for phone, dslr in matches[chosen].tolist()]
        return [value for value in found if value is not None]

    def _doubt_of_few(self) -> str:
        likenesses = self._likenesses(self.fit.matches, FEWEST_SHOTS)
        if not likenesses or _is_mostly_alike(likenesses):
            return ""
        same = sum(value >= 0 for value in likenesses)
        return (
            f"under the best offset, {self.fit.offset_s:+.1f} s, the two photos show the same in "
            f"{f'only {same}' if same else 'none'} of {len(likenesses)} pairs that were compared; {SAME_NAMES}, or set "
            "pair.offset_s to the right offset"
        )

    def _offset_in_words(self) -> str:
        least, most = self.fit.range_s
        if most - least <= self.params.tolerance_s:
            return f"the DSLR's clock minus the phone's is {self.fit.offset_s:+.1f} s"
        return f"the DSLR's clock minus the phone's is between {least:+.1f} and {most:+.1f} s"


def clock_error(phone: Shot, dslr: Shot, offsets: Mapping[Place, float]) -> float:
    """Return the difference between the times of two photos that is left after the offset is removed, in seconds."""
    return dslr.seconds - phone.seconds - offsets[phone.path]


def _is_mostly_alike(likenesses: Sequence[float]) -> bool:
    return 2 * sum(value >= 0 for value in likenesses) > len(likenesses)
