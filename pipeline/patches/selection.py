"""What the choice of windows does to the data: how many were kept, by brightness, texture and place.

A filter that keeps what correlates prefers textured, well-lit parts of the frame's middle. What it removed is not seen
in the data set any more, so it is said in figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd

EDGES: Mapping[str, tuple[float, ...]] = {
    "brightness": (0, 50, 100, 150, 200, 256),
    "texture": (0, 5, 15, 30, 50, 128),
    "place": (0, 0.25, 0.5, 0.75, 1),
}
"""Where the bins begin and end: mean and standard deviation of the DSLR's window in grey levels; distance of its middle
from the photo's, as a share of the way to the rim, across or down, whichever is farther."""


def summary(patches: pd.DataFrame, frames: pd.DataFrame) -> dict[str, Any]:
    """Return how many windows there were and how many were kept: in all, by reason, by brightness, texture and place.

    Parameters
    ----------
    patches
        Columns pair_id, status, reason, x, y, size, dslr_brightness and dslr_contrast of the table of patches.
    frames
        Columns pair_id, phone_width and phone_height of the table of frames.

    """
    windows = patches[patches["x"].notna()].merge(frames, on="pair_id", how="left")
    kept = windows["status"] == "accepted"
    reasons = windows.loc[~kept, "reason"].value_counts()
    measures = {
        "brightness": windows["dslr_brightness"],
        "texture": windows["dslr_contrast"],
        "place": _off_middle(windows),
    }
    return {
        "pairs": int(windows["pair_id"].nunique()),
        "windows": len(windows),
        "accepted": int(kept.sum()),
        "rejected": {reason: int(reasons[reason]) for reason in sorted(reasons.index)},
        "by": {name: _bins(values, kept, EDGES[name]) for name, values in measures.items()},
    }


def _off_middle(windows: pd.DataFrame) -> pd.Series[float]:
    """0 in the photo's middle, 1 where the window's middle would lie on the photo's rim."""
    across, down = (
        ((windows[start] + windows["size"] / 2) / windows[length] * 2 - 1).abs()
        for start, length in (("x", "phone_width"), ("y", "phone_height"))
    )
    return across.where(across > down, down)


def _bins(values: pd.Series[float], kept: pd.Series[bool], edges: tuple[float, ...]) -> list[dict[str, Any]]:
    """One item for each bin, from its lower edge to below its upper one."""
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (values >= low) & ((values < high) | ((high == edges[-1]) & (values == high)))
        count, accepted = int(inside.sum()), int((inside & kept).sum())
        share = round(accepted / count, 4) if count else None
        found.append({"from": low, "to": high, "windows": count, "accepted": accepted, "share": share})
    return found
