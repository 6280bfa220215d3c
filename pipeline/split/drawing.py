"""Draws the side of the split for each group of frames.

A digest of the seed and of a group's earliest DSLR photo gives the group a place between 0 and 1. The groups with the
lowest places are for the test, and the next ones for validation, until each has the number of scenes that is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from dpedtool.dataset.params import SplitParams
from dpedtool.dataset.schema import Frame


def draw_sides(
    groups: Mapping[str, Sequence[Frame]],
    recorded: Mapping[str, str],
    params: SplitParams,
    strata: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the split of each group; groups that are recorded keep theirs.

    Test and validation each get the number of scenes that is asked for, as nearly as whole groups allow. Groups that
    are recorded count, so that new ones fill up what is missing. If a split is left empty although its share is above
    zero, the group with the lowest place moves there, as long as one group is left for training. Groups without a patch
    are not counted in this: they fill up the shares of all scenes afterwards.

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
    ranked = sorted(groups, key=lambda name: (places[name], name))
    sizes = {name: len({frame.scene_id for frame in members if frame.accepted}) for name, members in groups.items()}
    useful = [name for name in ranked if sizes[name]]
    of = {name: (strata or {}).get(groups[name][0].scene_id, "") for name in useful}
    total = sum(sizes.values())
    shares = {"test": params.test_scenes / max(total, 1) if params.test_scenes else params.test}
    shares["validation"] = params.validation
    kept = {recorded[name] for name in useful if name in recorded}
    left = [name for name in useful if name not in recorded]
    spare = len(left) - (0 if "train" in kept else 1)
    fewest = {split: int(split not in kept and share > 0) for split, share in shares.items()}
    drawn: dict[str, str] = {}
    for split, share in shares.items():
        most = spare - len(drawn)
        # If many test scenes are wanted, one scene is still left for validation.
        if split == "test" and most > fewest["test"]:
            most -= fewest["validation"]
        before = [name for name in useful if recorded.get(name) == split]
        chosen = _share_of_strata(left, before, sizes, of, share, split, params.seed)
        if len(chosen) < fewest[split]:
            chosen = left[: fewest[split]]
        drawn |= dict.fromkeys(chosen[: max(0, most)], split)
        left = [name for name in left if name not in drawn]
    sides = {**dict.fromkeys(groups, "train"), **drawn, **recorded}
    return {**sides, **_idle_sides(groups, [name for name in ranked if not sizes[name]], sides, recorded, params)}


def _share_of_strata(
    names: Sequence[str],
    before: Collection[str],
    sizes: Mapping[str, int],
    strata: Mapping[str, str],
    share: float,
    split: str,
    seed: int,
) -> list[str]:
    """Choose groups such that each stratum, and all together, come near to a share of their scenes.

    What one stratum gets too much or too little is made up for in the next, so that many strata of one scene together
    still get their share. Strata with large groups come first, since small groups can make up for anything. The order
    of the others is drawn.

    Parameters
    ----------
    names
        The groups to choose from, by their places.
    before
        The groups that are in the split already.
    sizes
        The scenes of each group.
    strata
        The stratum of every group, including those that are not to be chosen.
    share
        Share of the scenes that is wanted, 0 or more.
    split
        Name of the split.
    seed
        Seed of the order of the strata.

    """
    members: dict[str, list[str]] = {stratum: [] for stratum in strata.values()}
    wanted = dict.fromkeys(members, 0.0)
    for name, stratum in strata.items():
        wanted[stratum] += share * sizes[name]
    for name in before:
        wanted[strata[name]] -= sizes[name]
    for name in names:
        members[strata[name]].append(name)

    def order(stratum: str) -> tuple[int, float]:
        return -max((sizes[name] for name in members[stratum]), default=0), draw_place(f"{split}/{stratum}", seed)

    chosen: list[str] = []
    missing = 0.0
    for stratum in sorted(members, key=order):
        missing += wanted[stratum]
        taken = nearest(members[stratum], sizes, missing)
        missing -= sum(sizes[name] for name in taken)
        chosen += taken
    return chosen


def nearest(names: Sequence[str], sizes: Mapping[str, int], wanted: float) -> list[str]:
    """Choose groups that together have as nearly as possible a number of scenes; the first ones go first.

    A group is passed over only if no choice with it comes as near.

    Parameters
    ----------
    names
        The groups, the preferred ones first.
    sizes
        The scenes of each group, 1 or more.
    wanted
        Number of scenes.

    """
    if wanted <= 0:
        return []
    # More than twice the number is never nearer than none at all.
    numbers = range(int(2 * wanted) + 1)
    # Bit n of an entry says whether some of the groups behind a place have n scenes together.
    behind = [1]
    for name in reversed(names):
        behind.append((behind[-1] | behind[-1] << sizes[name]) & ((1 << len(numbers)) - 1))
    missing = min((number for number in numbers if behind[-1] >> number & 1), key=lambda number: abs(number - wanted))
    chosen = []
    for name, rest in zip(names, reversed(behind[:-1]), strict=True):
        if sizes[name] <= missing and rest >> (missing - sizes[name]) & 1:
            chosen.append(name)
            missing -= sizes[name]
    return chosen


def _idle_sides(
    groups: Mapping[str, Sequence[Frame]],
    idle: Sequence[str],
    sides: Mapping[str, str],
    recorded: Mapping[str, str],
    params: SplitParams,
) -> dict[str, str]:
    """Return the sides of groups without a patch, which bring the shares of all scenes near to what is asked for.

    A number of test scenes is one of scenes with patches, so that these groups add none.
    """
    sizes = {name: len({frame.scene_id for frame in members}) for name, members in groups.items()}
    left = [name for name in idle if name not in recorded]
    found: dict[str, str] = {}
    for split, share in {"test": 0.0 if params.test_scenes else params.test, "validation": params.validation}.items():
        there = sum(sizes[name] for name, side in sides.items() if side == split)
        found |= dict.fromkeys(nearest(left, sizes, share * sum(sizes.values()) - there), split)
        left = [name for name in left if name not in found]
    return found


def draw_place(name: str, seed: int) -> float:
    """Return a number in 0..1 that looks random, but is always the same for the same name and seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big") / 256**7
