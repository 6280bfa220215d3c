"""Which windows become patches, and what that choice does to the data: kept against all by brightness, texture, place.

A filter that keeps what correlates prefers textured, well-lit parts of the frame's middle. What it removed is not seen
in the data set any more, so it is said in figures.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from dpedtool.dataset.io import digest
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.sidecars.selection import AlignedPairs, Bin, PhotoSize, Selection
from dpedtool.pipeline.geometry.aligned import there

EDGES: Mapping[str, tuple[float, ...]] = {
    "brightness": (0, 50, 100, 150, 200, 256),
    "texture": (0, 5, 15, 30, 50, 128),
    "place": (0, 0.25, 0.5, 0.75, 1),
}
"""Where the bins begin and end: mean and standard deviation of the DSLR's window in grey levels; distance of its middle
from the photo's, as a share of the way to the rim, across or down, whichever is farther."""


def rejection(facts: Mapping[str, Any], masked: bool, params: PatchesParams) -> tuple[str, str]:
    """Return reason and detail of what speaks against a window first; empty where nothing does.

    Parameters
    ----------
    facts
        Columns of `dpedtool.dataset.schema.Patch`; None where there is nothing to say.
    masked
        Whether the alignment masks the place.
    params
        Mode and limits.

    """
    return next(_objections(facts, masked, params), ("", ""))


def _objections(facts: Mapping[str, Any], masked: bool, params: PatchesParams) -> Iterator[tuple[str, str]]:
    """What speaks against a window, the cause before its effects."""
    if masked and params.limit("reject_masked"):
        yield "masked", "Parallax or motion: the alignment masks it."
    yield from _dullness(facts, params)
    score = facts["best_ncc"] if params.mode == "dped" else facts["ncc"]
    left, error = facts["residual_px"], facts["residual_error_px"]
    most, most_error = params.limit("max_residual_px"), params.limit("max_residual_error_px")
    if most is not None and left is not None and left > most and facts["best_ncc"] >= params.min_ncc:
        yield "shifted", f"The photos are {left:.2f} px apart here; at most {most:g} px are allowed."
    if score is None or score < params.min_ncc:
        yield "low_ncc", f"NCC {_shown(score)} is below {params.min_ncc:g}."
    if most is not None and left is None:
        yield "uncertain", "No sub-pixel shift can be measured."
    if most_error is not None and error is not None and error > most_error:
        yield "uncertain", f"The shift left is known to {error:.2f} px only; {most_error:g} px are asked for."
    yield from _differences(facts, params)


def _dullness(facts: Mapping[str, Any], params: PatchesParams) -> Iterator[tuple[str, str]]:
    contrast = min(facts["phone_contrast"], facts["dslr_contrast"])
    least = params.limit("min_contrast")
    if least is not None and contrast < least:
        yield "flat", f"A window's contrast is {contrast:.1f} grey levels; at least {least:g} are asked for."
    if facts["ncc"] is None and facts["best_ncc"] is None:
        yield "flat", "One of the windows has a single grey value."
    if facts["flatness"] > params.max_flatness:
        yield "flat", f"{facts['flatness']:.0%} of the window show no detail."
    most = params.limit("max_clipped")
    if most is not None and facts["clipped"] > most:
        yield "clipped", f"{facts['clipped']:.0%} of a window are burnt out or black; at most {most:.0%} are allowed."


def _differences(facts: Mapping[str, Any], params: PatchesParams) -> Iterator[tuple[str, str]]:
    motion, most = facts["motion"], params.limit("max_motion")
    if most is not None and motion is not None and motion > most:
        yield "motion", f"The NCC of a part falls {motion:.2f} below its surroundings; at most {most:g} is allowed."
    second, best, most = facts["second_ncc"], facts["best_ncc"], params.limit("max_repetition")
    if most is not None and second is not None and second > most * best:
        yield "repetitive", f"Another shift has NCC {second:.3f}, the best {best:.3f}: the window repeats itself."
    sharpness, least = facts["dslr_sharpness"], params.min_sharpness
    if sharpness is not None and sharpness < least:
        yield "unsharp", f"The DSLR's sharpness {sharpness:.2f} is below {least:g}."
    ratio = params.limit("min_sharpness_ratio")
    if ratio is not None and sharpness is not None and sharpness < ratio * (facts["phone_sharpness"] or 0):
        yield "unsharp", f"The DSLR's sharpness {sharpness:.2f} is below {ratio:g} times the phone's."


def _shown(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.3f}"


def summary(
    patches: pd.DataFrame, frames: pd.DataFrame, alignments: Sequence[Alignment], params: dict[str, Any]
) -> Selection:
    """Return what became of the pairs, and how many windows were kept: in all, by reason, brightness, texture, place.

    Parameters
    ----------
    patches
        Columns pair_id, status, reason, x, y, size, dslr_brightness and dslr_contrast of the table of patches.
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
    measures = {
        "brightness": windows["dslr_brightness"],
        "texture": windows["dslr_contrast"],
        "place": _off_middle(windows),
    }
    return Selection(
        windows=len(windows),
        accepted=int(kept.sum()),
        rejected={reason: int(reasons[reason]) for reason in sorted(reasons.index)},
        by={name: _bins(values, kept, EDGES[name]) for name, values in measures.items()},
        params=params,
        params_sha256=digest(params),
        pairs=_pairs(alignments),
    )


def _pairs(alignments: Sequence[Alignment]) -> AlignedPairs:
    """How many pairs have which status and reason, and how many of the aligned ones which size of the DSLR's photo."""
    statuses = Counter(row.status for row in alignments)
    reasons = Counter(row.reason for row in alignments if row.reason)
    sizes = Counter((there(row.dslr_width), there(row.dslr_height)) for row in alignments if row.status == "aligned")
    return AlignedPairs(
        all=len(alignments),
        aligned=statuses["aligned"],
        rejected=statuses["rejected"],
        failed=statuses["failed"],
        reasons=dict(reasons),
        dslr_sizes=[PhotoSize(*size, photos) for size, photos in sizes.most_common()],
    )


def _off_middle(windows: pd.DataFrame) -> pd.Series[float]:
    """0 in the photo's middle, 1 where the window's middle would lie on the photo's rim."""
    across, down = (
        ((windows[start] + windows["size"] / 2) / windows[length] * 2 - 1).abs()
        for start, length in (("x", "phone_width"), ("y", "phone_height"))
    )
    return across.where(across > down, down)


def _bins(values: pd.Series[float], kept: pd.Series[bool], edges: tuple[float, ...]) -> list[Bin]:
    """One item for each bin, from its lower edge to below its upper one."""
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (values >= low) & ((values < high) | ((high == edges[-1]) & (values == high)))
        count, accepted = int(inside.sum()), int((inside & kept).sum())
        share = round(accepted / count, 4) if count else None
        found.append(Bin(low=low, high=high, windows=count, accepted=accepted, share=share))
    return found
