"""Moments with several frames of one phone: bursts, exposure brackets, or a second shot of the same scene.

A photo that has no mate of its own is a further frame of a moment if the phone took it right before or after a photo
of that moment, and it does not show something else. Only the phone's own clock is asked, so this needs no comparison of
clocks.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dpedtool.dataset.names import counting
from dpedtool.dataset.progress import track
from dpedtool.pipeline.pair.shots import Shot

CLEARLY_NEARER = 2.0
"""A frame between two moments belongs to the nearer one if the other is at least this many times as far away."""
SAME_TIME_S = 0.1
"""Frames whose distance from the DSLR's shot differs by less are equally near."""


@dataclass(frozen=True)
class Moments:
    """Which photos of a phone show the same moment as which photo of the DSLR, by their indices."""

    dslr_of: Mapping[int, int]
    """The DSLR's photo of each of the phone's photos that belongs to a moment."""
    further: frozenset[int]
    """Those of them that were found because they were taken right before or after another one."""
    between: frozenset[int]
    """The phone's photos that lie between two moments, so that they belong to neither."""
    unjudged: frozenset[int] = frozenset()
    """Those of the further ones whose pictures show too little to be compared, so that their time alone decided."""

    def frames(self) -> dict[int, list[int]]:
        """Return the phone's photos of each moment, by the DSLR's photo."""
        found: dict[int, list[int]] = {}
        for phone, dslr in self.dslr_of.items():
            found.setdefault(dslr, []).append(phone)
        return found


def find_frames(
    phones: Sequence[Shot], partners: Mapping[int, int], most_s: float, likeness: Callable[[int, int], float | None]
) -> Moments:
    """Give photos without a mate to the moments that they are frames of.

    Photos that follow each other by at most `most_s` form a run. In a run with one moment, all are frames of it. In a
    run with several moments, a photo is a frame of the one whose photo is at most `most_s` away and clearly nearer than
    those of the others.

    Parameters
    ----------
    phones
        The phone's photos.
    partners
        The DSLR's photo of those that have a mate, by index; no two have the same.
    most_s
        Largest time between two frames that follow each other, in seconds; 0: no photo is a frame.
    likeness
        Returns the likeness of a phone's photo and a DSLR's, by their indices, as `Pictures.likeness` does.

    """
    timed = sorted((index for index, shot in enumerate(phones) if shot.time), key=lambda index: _order(phones[index]))
    dslr_of, between, unjudged = dict(partners), set[int](), set[int]()
    # In a run without a mate, or with mates alone, nothing is left to find.
    found_runs = _runs(timed, phones, most_s) if most_s else []
    runs = [run for run in found_runs if 0 < sum(index in partners for index in run) < len(run)]
    for run in track(runs, "find frames", len(runs)):
        known = [index for index in run if index in partners]
        times = [phones[index].seconds for index in known]
        for index in run:
            if index in partners:
                continue
            # Each moment has one photo so far: the two photos before and the two after hold the two nearest moments.
            at = bisect.bisect(times, phones[index].seconds)
            near = sorted((_away(phones, index, one), partners[one]) for one in known[max(0, at - 2) : at + 2])
            away, nearest = near[0]
            is_clear = len(near) == 1 or (near[1][0] >= CLEARLY_NEARER * away and near[1][0] > away)
            if len(known) > 1 and (away > most_s or not is_clear):
                between |= {index} if away <= most_s else set()
            elif (found := likeness(index, nearest)) is None or found >= 0:
                dslr_of[index] = nearest
                # Photos of a night, where likenesses are often unknown, are what bursts are taken for.
                unjudged |= {index} if found is None else set()
    further = frozenset(dslr_of.keys() - partners.keys())
    return Moments(dslr_of, further, frozenset(between), frozenset(unjudged))


def base_candidates(
    frames: Sequence[int], phones: Sequence[Shot], named: int | None, away_s: Mapping[int, float]
) -> tuple[list[int], str]:
    """Return the frames that compete by their sharpness to be the base of a moment, and why the sharpest is the base.

    Parameters
    ----------
    frames
        The frames, as indices of the phone's photos.
    phones
        The phone's photos.
    named
        The frame that has the name of the DSLR's photo; it is the base. None if the names did not decide.
    away_s
        The distance of frames from the DSLR's shot in time, in seconds, where the clocks are known.

    """
    if len(frames) == 1:
        return [*frames], ""
    if named is not None:
        return [named], "it has the name of the DSLR's photo"
    ordered = in_order(frames, phones)
    if not all(index in away_s for index in ordered):
        return ordered, "it is the sharpest, and no clock says which one is nearest in time"
    least = min(away_s[index] for index in ordered)
    near = [index for index in ordered if away_s[index] < least + SAME_TIME_S]
    return near, "it is the sharpest of those nearest in time" if len(near) > 1 else (
        "it is nearest in time to the DSLR's photo"
    )


def in_order(frames: Sequence[int], phones: Sequence[Shot]) -> list[int]:
    """Return frames, as indices of the phone's photos, in the order of time and, within a second, of names."""
    return sorted(frames, key=lambda index: _order(phones[index]))


def _runs(timed: Sequence[int], phones: Sequence[Shot], most_s: float) -> list[list[int]]:
    runs: list[list[int]] = []
    for index in timed:
        if runs and phones[index].seconds - phones[runs[-1][-1]].seconds <= most_s:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _away(phones: Sequence[Shot], one: int, other: int) -> float:
    return abs(phones[one].seconds - phones[other].seconds)


def _order(shot: Shot) -> tuple[float, int, tuple[list[str | int], str], bool, tuple[list[str | int], str]]:
    """Return the key that sorts frames; a raw file follows its photo, whose time may be more exact."""
    photo = shot.beside or shot
    name, own_name = counting(photo.path.name), counting(shot.path.name)
    return photo.seconds if photo.time else float("inf"), photo.rank, name, shot is not photo, own_name
