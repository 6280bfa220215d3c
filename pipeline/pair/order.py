"""The order in which a camera took its photos, and its clock without changes of zone."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import replace

from dpedtool.dataset.names import counting, in_order_of_names
from dpedtool.pipeline.pair.shots import Shot


def on_one_clock(photos: Sequence[Shot]) -> list[Shot]:
    """Return the photos of a camera with the moves of its clock that they state, such as the one to summer time.

    A photo that does not state its zone has that of the photo next to it in time that does.
    """
    timed = sorted((shot for shot in photos if shot.time), key=lambda shot: (shot.seconds, shot.path.name))
    known = [(shot.seconds, zone) for shot in timed if (zone := shot.taken.utc_offset_s) is not None]
    if not known:
        return [*photos]
    first = _zone(timed[0], known)
    return [replace(shot, zone_s=first, moved_s=_zone(shot, known) - first if shot.time else 0.0) for shot in photos]


def in_order_taken(photos: Sequence[Shot]) -> list[Shot]:
    """Return the photos in the order of time and, within one time, of their names; those without a time come last."""

    def moment(shot: Shot) -> float:
        return shot.seconds if shot.time else float("inf")

    ordered = list[Shot]()
    for _, equal in itertools.groupby(sorted(photos, key=moment), key=moment):
        ordered += in_order_named([*equal])
    return [replace(shot, rank=rank) for rank, shot in enumerate(ordered)]


def in_order_named(photos: Sequence[Shot]) -> list[Shot]:
    """Return the photos in the order of their sub-folders, and of their names in each."""
    folders: dict[str, dict[str, Shot]] = {}
    for shot in photos:
        folders.setdefault(shot.folder, {})[shot.path.name] = shot
    return [
        folders[folder][name] for folder in sorted(folders, key=counting) for name in in_order_of_names(folders[folder])
    ]


def _zone(shot: Shot, known: Sequence[tuple[float, float]]) -> float:
    if shot.taken.utc_offset_s is not None:
        return shot.taken.utc_offset_s
    after = bisect.bisect_left(known, (shot.seconds, 0.0))
    near = known[max(0, after - 1) : after + 1]
    return min(near, key=lambda each: abs(each[0] - shot.seconds))[1]
