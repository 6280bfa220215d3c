"""The moments that patches are cut from: the pair that stands for each, and its other frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.schema import Alignment


@dataclass(frozen=True)
class Moment:
    """What the patches of one phone and moment are cut from."""

    base: Alignment
    """The aligned pair that stands for the moment: that of the base frame, or the frame next to it in time."""
    others: tuple[Alignment, ...] = ()
    """The pairs of its other frames, aligned or not, in the order of time; none if only the base is wanted."""

    @property
    def pairs(self) -> tuple[Alignment, ...]:
        """All pairs, the base first."""
        return self.base, *self.others


def moments(alignments: Sequence[Alignment], params: PatchesParams) -> list[Moment]:
    """Return the moments that have an aligned frame, sorted by the pair that stands for each."""
    frames: dict[tuple[str, str], list[Alignment]] = {}
    if params.frames == "all":
        for row in sorted(alignments, key=lambda row: (row.frame, row.pair_id)):
            frames.setdefault((row.phone, row.scene_id), []).append(row)
    bases = sorted(standing_for_moments(alignments), key=lambda row: row.pair_id)
    return [
        Moment(base, tuple(row for row in frames.get((base.phone, base.scene_id), ()) if row.pair_id != base.pair_id))
        for base in bases
    ]


def standing_for_moments(alignments: Sequence[Alignment]) -> list[Alignment]:
    """Return one aligned pair for each phone and moment: that of the base frame, or the frame next to it in time.

    A frame of another size than the base cannot stand in for it. Moments of which no frame was aligned are left out.
    """
    bases = {(row.phone, row.scene_id): row for row in alignments if row.role == "base"}
    chosen: dict[tuple[str, str], tuple[tuple[bool, int, int, str], Alignment]] = {}
    for row in alignments:
        moment = row.phone, row.scene_id
        base = bases.get(moment)
        if row.status != "aligned" or (base and not _alike_in_size(row, base)):
            continue
        rank = row.role != "base", abs(row.frame - (base.frame if base else 0)), row.frame, row.pair_id
        if moment not in chosen or rank < chosen[moment][0]:
            chosen[moment] = rank, row
    return [row for _, row in chosen.values()]


def _alike_in_size(row: Alignment, base: Alignment) -> bool:
    """Whether two frames have the same size; it is not known of a photo that could not be read."""
    return base.phone_width is None or (row.phone_width, row.phone_height) == (base.phone_width, base.phone_height)
