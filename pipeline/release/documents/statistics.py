"""The figures of a release: yields, remaining shifts, rejected windows and the split.

All are computed from the tables of the earlier stages, and rounded, so that they are the same on every machine.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from dpedtool.dataset.names import published
from dpedtool.dataset.schema import Alignment, Frame, Patch, Photo
from dpedtool.dataset.sidecars.json_objects import plain
from dpedtool.dataset.sidecars.selection import AlignedPairs, Selection
from dpedtool.dataset.sides import EXCLUDED, SPLITS
from dpedtool.dataset.tables import read_frame

Key = TypeVar("Key", str, tuple[int, ...])

RESIDUAL_EDGES_PX = (*(round(0.1 * step, 1) for step in range(11)), 2.0, 4.0, 8.0)
"""Edges of the bins of the histogram; one more bin holds all values above the last edge."""
QUANTILES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "90 %": 0.9, "95 %": 0.95, "99 %": 0.99}

_OF_PATCHES = ("pair_id", "status", "reason", "ncc", "residual_px")
_OF_SAMPLING = ("pair_id", "size", "dslr_from_patch")
_OF_PHOTOS = ("pair_id", "phone", "scene_id", "group", "status", "split", "reason", "accepted", "drawn_by")
_LIMITS = ("near_minutes", "near_keypoints")


def figures(splits: Path, patches: Mapping[str, Path]) -> dict[str, Any]:
    """Return the figures of a release from the tables, ready for JSON.

    Parameters
    ----------
    splits
        Folder that `dpedtool split` wrote.
    patches
        Folder of the patches of each phone, by its name in the release.

    Returns
    -------
    dict
        `phones`: the result of `_phone` for each; `splits`: scenes, groups, pairs and patches of each side; `excluded`:
        the same for what is on no side, and the counts by reason; `groups`: how many there are, how many have several
        scenes, and the scenes of the largest; `drawn_by`, `near_minutes` and `near_keypoints` of the split.

    Raises
    ------
    DpedtoolError
        A table is missing or damaged.

    """
    photos = read_frame(Photo.table_in(splits), Photo, [*_OF_PHOTOS, *_LIMITS], where={"status": "present"})
    photos["phone"] = photos["phone"].map(published)
    photos = photos[photos["phone"].isin(list(patches))]
    # A pair without patches is not in the release.
    placed = photos[(photos["split"] != EXCLUDED) & (photos["accepted"] > 0)]
    excluded = photos[photos["split"] == EXCLUDED]
    sizes = placed.groupby("group")["scene_id"].nunique()
    first = photos.iloc[0] if len(photos) else {"drawn_by": "", "near_minutes": None, "near_keypoints": None}
    return {
        "phones": {phone: _phone(phone, patches[phone], placed) for phone in sorted(patches)},
        "splits": {split: _extent(placed[placed["split"] == split]) for split in SPLITS},
        "excluded": {**_extent(excluded), "reasons": _counts(excluded["reason"])},
        "groups": {
            "groups": len(sizes),
            "of_several_scenes": int((sizes > 1).sum()),
            "most_scenes": int(sizes.max()) if len(sizes) else 0,
        },
        "drawn_by": str(first["drawn_by"]),
        **{name: None if first[name] is None else _number(first[name]) for name in _LIMITS},
    }


def _phone(phone: str, folder: Path, placed: pd.DataFrame) -> dict[str, Any]:
    """Return the figures of a phone.

    `alignment`: pairs, of one frame a moment, by status and reason, and where there are any `frames`: the further
    frames; None if `selection.json` does not say; `photos`: number of photos by camera and size; `pairs`: those whose
    windows were examined; `windows`, `accepted`; `rejected`: windows, and pairs without windows, by reason; `released`:
    patches on a side of the split; `targets`: where there are further references, for each how many of the accepted
    patches have a target of it, of all that were looked for; `patches_a_pair`: accepted patches divided by all pairs;
    `residual_px` and `ncc` of the released patches; `dslr_px_per_phone_px`: how finely the DSLR samples them;
    `selection`: share kept by brightness, texture, noise and place; `limits`: parameters; `splits`: the sides.
    """
    mine = placed[placed["phone"] == phone]
    frames = read_frame(Frame.table_in(folder), Frame, ["pair_id", "phone_width", "phone_height", "windows"])
    windows = read_frame(Patch.table_in(folder), Patch, _OF_PATCHES)
    homographies = read_frame(Patch.table_in(folder), Patch, _OF_SAMPLING, where={"status": "accepted"})
    chosen = Selection.read(Selection.file_in(folder))
    accepted = windows[windows["status"] == "accepted"]
    released = accepted[accepted["pair_id"].isin(mine["pair_id"])]
    alignment = _alignment(chosen.pairs) if chosen.pairs else None
    targets = (chosen.stacks.targets if chosen.stacks else None) or {}
    pairs = alignment["pairs"] if alignment else len(frames)
    return {
        "alignment": alignment,
        "photos": {
            "phone": _phone_sizes(frames[frames["pair_id"].isin(mine["pair_id"])]),
            **({"dslr": plain(chosen.pairs.dslr_sizes)} if chosen.pairs else {}),
        },
        "pairs": len(frames),
        "windows": int(frames["windows"].sum()),
        "accepted": len(accepted),
        "rejected": _counts(windows.loc[windows["status"] != "accepted", "reason"]),
        "released": len(released),
        **({"targets": {published(name): _targets(verdicts) for name, verdicts in targets.items()}} if targets else {}),
        "patches_a_pair": round(len(accepted) / pairs, 2) if pairs else None,
        "residual_px": _residuals(released["residual_px"].dropna().to_numpy(float), len(released)),
        "ncc": _quantiles(released["ncc"].dropna().to_numpy(float), 4),
        "dslr_px_per_phone_px": _quantiles(_sampling(homographies[homographies["pair_id"].isin(mine["pair_id"])]), 3),
        "selection": plain(chosen.by),
        "limits": chosen.params,
        "splits": {split: _extent(mine[mine["split"] == split]) for split in SPLITS},
    }


def _targets(verdicts: Mapping[str, int]) -> dict[str, int]:
    return {"all": sum(verdicts.values()), "accepted": verdicts.get("accepted", 0)}


def _alignment(pairs: AlignedPairs) -> dict[str, Any]:
    counts = {status: getattr(pairs, status) for status in Alignment.STATUSES}
    told = {"pairs": pairs.all, **counts, "reasons": _by_frequency(pairs.reasons)}
    if pairs.frames and pairs.frames.all:
        told["frames"] = {**pairs.frames.as_json(), "reasons": _by_frequency(pairs.frames.reasons)}
    return told


def _phone_sizes(frames: pd.DataFrame) -> list[dict[str, int]]:
    """Return the number of photos of each size, the most frequent first."""
    sides = frames[["phone_width", "phone_height"]].to_numpy(int).tolist()
    ordered = _by_frequency(Counter(map(tuple, sides))).items()
    return [{"width": width, "height": height, "photos": count} for (width, height), count in ordered]


def _extent(photos: pd.DataFrame) -> dict[str, int]:
    return {
        "scenes": int(photos["scene_id"].nunique()),
        "groups": len({*photos["group"]} - {""}),
        "pairs": len(photos),
        "patches": int(photos["accepted"].sum()),
    }


def _counts(words: Iterable[str]) -> dict[str, int]:
    """Return how often each word appears, the most frequent first. Empty words are not counted."""
    return _by_frequency(Counter(word for word in words if word))


def _by_frequency(counts: Mapping[Key, int]) -> dict[Key, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _residuals(values: np.ndarray[Any, np.dtype[np.float64]], patches: int) -> dict[str, Any]:
    edges = np.asarray([*RESIDUAL_EDGES_PX, np.inf])
    counts = np.histogram(values, edges)[0]
    last = max(np.flatnonzero(counts), default=-1)
    bins = list(zip(itertools.pairwise([*RESIDUAL_EDGES_PX, None]), counts.tolist(), strict=True))[: last + 1]
    return {
        "measured": len(values),
        "not_measured": patches - len(values),
        "quantiles": _quantiles(values, 3),
        "histogram": [{"from": low, "to": high, "patches": count} for (low, high), count in bins],
    }


def _sampling(patches: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the DSLR's px for each px of the phone in the middle of each patch that has a transform.

    It is the root of the determinant of the derivative of `dslr_from_patch`.
    """
    known = patches[patches["dslr_from_patch"].notna()]
    if known.empty:
        return np.zeros(0)
    homographies = np.array(known["dslr_from_patch"].tolist(), np.float64).reshape(-1, 3, 3)
    middles = (known["size"].to_numpy(float) - 1) / 2
    weights = homographies[:, 2, :2].sum(1) * middles + homographies[:, 2, 2]
    found: np.ndarray[Any, np.dtype[np.float64]] = np.sqrt(np.abs(np.linalg.det(homographies) / weights**3))
    return found


def _quantiles(values: np.ndarray[Any, np.dtype[np.float64]], digits: int) -> dict[str, float]:
    """Return quantiles by name, then the largest value; empty if there are no values."""
    if not len(values):
        return {}
    found = np.quantile(values, [*QUANTILES.values(), 1.0]).tolist()
    return {name: round(value, digits) for name, value in zip([*QUANTILES, "largest"], found, strict=True)}


def _number(value: Any) -> float | int:
    """Return a number of a table, as an integer if it is whole."""
    return int(value) if float(value).is_integer() else float(value)
