"""What the filters do to the data: how many windows were kept, by brightness, texture, noise and place.

A filter that keeps what correlates prefers textured, well-lit parts in the middle of the frame. What it removed can no
longer be seen in the data set, so it is reported in figures.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dpedtool.dataset.io import digest
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.sidecars.selection import AlignedPairs, Bin, PhotoSize, Selection
from dpedtool.pipeline.geometry.aligned import required
from dpedtool.pipeline.measure.noise import noise_of
from dpedtool.pipeline.moments import frame_counts, moments, standing

EDGES: Mapping[str, tuple[float, ...]] = {
    "brightness": (0, 50, 100, 150, 200, 256),
    "texture": (0, 5, 15, 30, 50, 128),
    "noise": (0, 3, 6, 12, 24, 128),
    "place": (0, 0.25, 0.5, 0.75, 1),
}
"""Edges of the bins. Brightness and texture are mean and standard deviation of the DSLR's window in grey levels. Noise
is the standard deviation of that of both photos together, in grey levels. Place is the distance of the window's middle
from the photo's, as a share of the way to the rim, the larger of across and down."""


def summary(
    patches: pd.DataFrame, frames: pd.DataFrame, alignments: Sequence[Alignment], params: dict[str, Any]
) -> Selection:
    """Return what became of the moments, and how many windows were kept: in all, by reason, and by measure of `EDGES`.

    Parameters
    ----------
    patches
        Columns pair_id, status, reason, proved_by, x, y, size, dslr_brightness and dslr_contrast of the table of
        patches.
    frames
        Columns pair_id, phone_width and phone_height of the table of frames.
    alignments
        All pairs, aligned or not.
    params
        The parameters that decided, ready for JSON.

    """
    windows = patches[patches["x"].notna()].merge(frames, on="pair_id", how="left")
    kept = windows["status"] == "accepted"
    reasons = windows.loc[~kept, "reason"].value_counts()
    proofs = windows.loc[kept, "proved_by"].value_counts()
    noise = {row.pair_id: known.total for row in alignments if (known := noise_of(row))}
    measures = {
        "brightness": windows["dslr_brightness"],
        "texture": windows["dslr_contrast"],
        "noise": windows["pair_id"].map(noise).astype(float),
        "place": _off_middle(windows),
    }
    return Selection(
        windows=len(windows),
        accepted=int(kept.sum()),
        rejected={reason: int(reasons[reason]) for reason in sorted(reasons.index)},
        by={name: _bins(values, kept, EDGES[name]) for name, values in measures.items()},
        proved_by={str(proof): int(count) for proof, count in sorted(proofs.items())},
        params=params,
        params_sha256=digest(params),
        pairs=_pairs(alignments),
    )


def _pairs(alignments: Sequence[Alignment]) -> AlignedPairs:
    """Count the moments by status and reason, the aligned ones by the size of the DSLR's photo, and further frames."""
    found = moments(alignments)
    statuses = Counter(moment.status for moment in found)
    sizes = Counter((required(row.dslr_width), required(row.dslr_height)) for row in standing(found))
    return AlignedPairs(
        all=len(found),
        aligned=statuses["aligned"],
        rejected=statuses["rejected"],
        failed=statuses["failed"],
        reasons=dict(Counter(moment.reason for moment in found if moment.reason)),
        dslr_sizes=[PhotoSize(*size, photos) for size, photos in sizes.most_common()],
        frames=frame_counts(found),
    )


def _off_middle(windows: pd.DataFrame) -> pd.Series[float]:
    """0 in the photo's middle, 1 where the window's middle would lie on the photo's rim."""
    across, down = (
        ((windows[start] + windows["size"] / 2) / windows[length] * 2 - 1).abs()
        for start, length in (("x", "phone_width"), ("y", "phone_height"))
    )
    return across.where(across > down, down)


def _bins(values: pd.Series[float], kept: pd.Series[bool], edges: tuple[float, ...]) -> list[Bin]:
    """Return one item for each bin, which includes its lower edge but not its upper one."""
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (values >= low) & ((values < high) | ((high == edges[-1]) & (values == high)))
        count, accepted = int(inside.sum()), int((inside & kept).sum())
        share = round(accepted / count, 4) if count else None
        found.append(Bin(low=low, high=high, windows=count, accepted=accepted, share=share))
    return found
