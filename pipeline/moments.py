"""Moments in a table of alignments: one photo of a phone each, or several frames of a burst or bracket.

Figures count moments, and further frames apart from them, as a burst of ten is no better covered than a single photo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.sidecars.selection import FrameCounts

COARSER = 0.99
"""Below this many px of the DSLR for each px of the phone, the DSLR is the coarser one: 1 less the error."""


@dataclass(frozen=True)
class Moment:
    """The rows of one phone and moment."""

    base: Alignment
    """The base frame; without one, the first frame."""
    further: tuple[Alignment, ...]
    """The other frames, in the order of the rows."""
    targets: tuple[Alignment, ...]
    """The base frame with the photos of further references, by their numbers."""
    standing: Alignment | None
    """The aligned frame that patches are cut from: the base, or the frame that stands in for it. None: no frame can."""

    @property
    def status(self) -> str:
        """Aligned if a frame stands for the moment; else the status of the base frame."""
        return "aligned" if self.standing else self.base.status

    @property
    def reason(self) -> str:
        """Why the moment is not aligned: the base frame's reason. Empty when aligned."""
        return "" if self.standing else self.base.reason

    @property
    def has_stand_in(self) -> bool:
        """Whether another frame stands in for the base frame."""
        return self.standing is not None and self.standing is not self.base

    @property
    def frames(self) -> tuple[Alignment, ...]:
        """All frames, the base first."""
        return self.base, *self.further

    @property
    def others(self) -> tuple[Alignment, ...]:
        """The frames other than the standing one, by their numbers."""
        found = [row for row in self.frames if row is not self.standing]
        return tuple(sorted(found, key=lambda row: (row.frame, row.pair_id)))

    @property
    def shown(self) -> Alignment:
        """The frame that speaks for the moment: the standing one, or else the base."""
        return self.standing or self.base


def moments(rows: Iterable[Alignment]) -> list[Moment]:
    """Return the moments of a table of alignments, or of several, in the order of their first rows.

    The base frame stands for its moment if it is aligned. Else the aligned frame next to it in time does, if it has the
    same size.
    """
    found: dict[tuple[str, str], list[Alignment]] = {}
    for row in rows:
        found.setdefault((row.phone, row.scene_id), []).append(row)
    return [_moment(frames) for frames in found.values()]


def standing(rows: Iterable[Moment]) -> list[Alignment]:
    """Return the frames that stand for moments, without the moments that have none."""
    return [row.standing for row in rows if row.standing]


def dslr_sampling(rows: Iterable[Alignment]) -> tuple[float | None, int]:
    """Return how finely the DSLR samples what the phone sees: the median of the rows, and the number of coarse ones.

    Parameters
    ----------
    rows
        Aligned frames; those without a scale do not count.

    Returns
    -------
    tuple of (float or None, int)
        Median of the DSLR's px for each px of the phone, None without any, and the number of rows below `COARSER`.

    """
    scales = [row.scale for row in rows if row.scale is not None]
    return (float(np.median(scales)) if scales else None), sum(scale < COARSER for scale in scales)


def frame_counts(found: Sequence[Moment]) -> FrameCounts:
    """Count the further frames by status and reason, and the moments in which one stands in for the base frame."""
    further = [row for moment in found for row in moment.further]
    statuses = Counter(row.status for row in further)
    return FrameCounts(
        all=len(further),
        aligned=statuses["aligned"],
        rejected=statuses["rejected"],
        failed=statuses["failed"],
        reasons=dict(Counter(row.reason for row in further if row.reason)),
        stand_ins=sum(moment.has_stand_in for moment in found),
    )


def target_counts(found: Sequence[Moment]) -> dict[str, dict[str, int]]:
    """Count the photos of further references by reference and status."""
    statuses: dict[str, Counter[str]] = {}
    for row in (row for moment in found for row in moment.targets):
        statuses.setdefault(row.reference, Counter())[row.status] += 1
    return {name: dict(statuses[name]) for name in sorted(statuses)}


def _moment(rows: Sequence[Alignment]) -> Moment:
    targets = tuple(sorted((row for row in rows if row.role == "target"), key=lambda row: (row.frame, row.pair_id)))
    frames = [row for row in rows if row.role != "target"] or [*rows]
    bases = [row for row in frames if row.role == "base"]
    base = bases[-1] if bases else min(frames, key=lambda row: (row.frame, row.pair_id))
    able = [row for row in frames if row.status == "aligned" and (row is base or not bases or _alike(row, base))]
    chosen = min(
        able,
        key=lambda row: (row.role != "base", abs(row.frame - (base.frame if bases else 0)), row.frame, row.pair_id),
        default=None,
    )
    return Moment(base, tuple(row for row in frames if row is not base), targets, chosen)


def _alike(row: Alignment, base: Alignment) -> bool:
    """Whether two frames have the same size; it is not known of a photo that could not be read."""
    return base.phone_width is None or (row.phone_width, row.phone_height) == (base.phone_width, base.phone_height)
