"""The side of the split that each group of frames is drawn for.

A digest of the seed and of a group's earliest DSLR photo puts the group at a place between 0 and 1, and the place
decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame


def draw_sides(
    groups: Mapping[str, Sequence[Frame]], recorded: Mapping[str, str], params: SplitParams
) -> dict[str, str]:
    """Return the split of each group; groups that are recorded keep theirs.

    The lowest places are for the test, the next for validation. Only where that leaves a split empty whose share is
    above zero does the group nearest to it move there, as long as one is left to train on. Groups without a patch
    count for none of this.

    Parameters
    ----------
    groups
        The frames of each group, the earliest first, by any name of the group.
    recorded
        The split of those that have one.
    params
        Shares or number, and seed.

    """
    places = {name: draw_place(members[0].dslr_sha256, params.seed) for name, members in groups.items()}
    useful = [name for name, members in groups.items() if any(frame.accepted for frame in members)]
    kept = [recorded[name] for name in useful if name in recorded]
    ranked = sorted((name for name in useful if name not in recorded), key=lambda name: (places[name], name))
    ends = _ends(groups, recorded, ranked, places, params)
    spare = len(ranked) - (0 if "train" in kept else 1)
    counts: dict[str, int] = {}
    fewest = {
        "test": int("test" not in kept and bool(params.test_scenes or params.test)),
        "validation": int("validation" not in kept and params.validation > 0),
    }
    for split, end in ends.items():
        inside = sum(places[name] < end for name in ranked) - sum(counts.values())
        most = spare - sum(counts.values())
        # Many scenes asked for to test on still leave one to validate on.
        if split == "test" and most > fewest["test"]:
            most -= fewest["validation"]
        counts[split] = max(0, min(max(inside, fewest[split]), most))
    drawn = [split for split, count in counts.items() for _ in range(count)]
    drawn += ["train"] * (len(ranked) - len(drawn))
    by_place = {name: next((split for split, end in ends.items() if places[name] < end), "train") for name in groups}
    return {**by_place, **dict(zip(ranked, drawn, strict=True)), **recorded}


def _ends(
    groups: Mapping[str, Sequence[Frame]],
    recorded: Mapping[str, str],
    ranked: Sequence[str],
    places: Mapping[str, float],
    params: SplitParams,
) -> dict[str, float]:
    """Below which place groups are for the test, and below which of the others for validation."""
    end = params.test
    if params.test_scenes:
        total = sum(_scenes(groups[name]) for name, split in recorded.items() if split == "test")
        totals = [total]
        for name in ranked:
            totals.append(totals[-1] + _scenes(groups[name]))
        nearest = min(range(len(totals)), key=lambda count: abs(totals[count] - params.test_scenes))  # type: ignore[operator]
        end = places[ranked[nearest]] if nearest < len(ranked) else 1.0
    return {"test": end, "validation": end + params.validation}


def _scenes(members: Sequence[Frame]) -> int:
    return len({frame.scene_id for frame in members if frame.accepted})


def draw_place(dslr_sha256: str, seed: int) -> float:
    """Return a number in 0..1 that looks drawn at random, and is the same for ever."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{dslr_sha256}".encode()).digest()[:7], "big") / 256**7
