"""Draws the side of the split for each group of frames.

A digest of the seed and of a group's earliest DSLR photo gives the group a place between 0 and 1, and the place
decides on the side.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame


def draw_sides(
    groups: Mapping[str, Sequence[Frame]],
    recorded: Mapping[str, str],
    params: SplitParams,
    strata: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the split of each group; groups that are recorded keep theirs.

    The lowest places are for the test, the next for validation. If some groups are recorded, or there are strata, as
    many new ones join each of the two as bring its share of all scenes nearest to what is wanted. If a split is left
    empty although its share is above zero, the group nearest to it moves there, as long as one group is left for
    training. Groups without a patch are not counted in this.

    Parameters
    ----------
    groups
        The frames of each group, the earliest first; the keys may be any names of the groups.
    recorded
        The split of the groups that already have one.
    params
        Shares or number, and seed.
    strata
        The stratum of each scene, by scene_id; a group belongs to that of its earliest scene. Each stratum gets its
        share of every split, as far as whole groups allow.

    """
    places = {name: draw_place(members[0].dslr_sha256, params.seed) for name, members in groups.items()}
    useful = [name for name, members in groups.items() if any(frame.accepted for frame in members)]
    kept = [recorded[name] for name in useful if name in recorded]
    left = sorted((name for name in useful if name not in recorded), key=lambda name: (places[name], name))
    ends = _ends(groups, recorded, left, places, params)
    spare = len(left) - (0 if "train" in kept else 1)
    fewest = {
        "test": int("test" not in kept and bool(params.test_scenes or params.test)),
        "validation": int("validation" not in kept and params.validation > 0),
    }
    drawn: dict[str, str] = {}
    for split, end in ends.items():
        if strata:
            of = {name: strata.get(groups[name][0].scene_id, "") for name in useful}
            left = _by_need(left, split, of, recorded, params.seed)
        if kept or strata:
            inside = _missing(groups, recorded, useful, left, split, params)
        else:
            inside = sum(places[name] < end for name in left)
        most = spare - len(drawn)
        # If many test scenes are wanted, one scene is still left for validation.
        if split == "test" and most > fewest["test"]:
            most -= fewest["validation"]
        count = max(0, min(max(inside, fewest[split]), most))
        drawn |= dict.fromkeys(left[:count], split)
        left = left[count:]
    by_place = {name: next((split for split, end in ends.items() if places[name] < end), "train") for name in groups}
    return {**by_place, **drawn, **dict.fromkeys(left, "train"), **recorded}


def _by_need(
    names: Sequence[str], split: str, strata: Mapping[str, str], recorded: Mapping[str, str], seed: int
) -> list[str]:
    """Order groups so that those of the stratum that has the smallest part of itself in the split come first.

    This is systematic sampling. The place at which each stratum begins is drawn, so that many strata of one group
    together still get their share.

    Parameters
    ----------
    names
        The groups to order, by their places.
    split
        The split.
    strata
        The stratum of every group, including those that are not to be ordered.
    recorded
        The split of the groups that have one.
    seed
        Seed of the starts.

    """
    sizes = Counter(strata.values())
    taken = Counter(strata[name] for name, side in recorded.items() if side == split and name in strata)
    needs: dict[str, float] = {}
    for name in names:
        stratum = strata[name]
        needs[name] = (taken[stratum] + draw_place(f"{split}/{stratum}", seed)) / sizes[stratum]
        taken[stratum] += 1
    # Python's sort keeps the order of equal needs.
    return sorted(names, key=lambda name: needs[name])


def _ends(
    groups: Mapping[str, Sequence[Frame]],
    recorded: Mapping[str, str],
    ranked: Sequence[str],
    places: Mapping[str, float],
    params: SplitParams,
) -> dict[str, float]:
    """Return the place below which groups are for the test, and that below which others are for validation."""
    end = params.test
    if params.test_scenes:
        total = sum(_scenes(groups[name]) for name, split in recorded.items() if split == "test")
        totals = [total]
        for name in ranked:
            totals.append(totals[-1] + _scenes(groups[name]))
        nearest = min(range(len(totals)), key=lambda count: abs(totals[count] - params.test_scenes))  # type: ignore[operator]
        end = places[ranked[nearest]] if nearest < len(ranked) else 1.0
    return {"test": end, "validation": end + params.validation}


def _missing(
    groups: Mapping[str, Sequence[Frame]],
    recorded: Mapping[str, str],
    useful: Sequence[str],
    new: Sequence[str],
    split: str,
    params: SplitParams,
) -> int:
    """Return how many of the new groups, in this order, bring a split nearest to its share of the scenes."""
    share = params.test if split == "test" else params.validation
    wanted = share * sum(_scenes(groups[name]) for name in useful)
    if split == "test" and params.test_scenes:
        wanted = params.test_scenes
    totals = [sum(_scenes(groups[name]) for name in useful if recorded.get(name) == split)]
    for name in new:
        totals.append(totals[-1] + _scenes(groups[name]))
    return min(range(len(totals)), key=lambda count: abs(totals[count] - wanted))


def _scenes(members: Sequence[Frame]) -> int:
    return len({frame.scene_id for frame in members if frame.accepted})


def draw_place(name: str, seed: int) -> float:
    """Return a number in 0..1 that looks random, but is always the same for the same name and seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big") / 256**7
