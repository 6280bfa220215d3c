"""Dense truth of scenes with depth: for each px of the phone's photo, its place in the DSLR's photo.

Real pairs have it in files next to the photos, as their public data sets measured it. Rendered pairs have it from the
geometry that they were rendered with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.yardstick import Mask, Points
from dpedtool.pipeline.geometry.homographies import transform_points
from dpedtool.pipeline.rig import Truth

LEVELS_PER_PX, CODED_ZERO = 64, 400
"""Files hold disparities in px as 16 bit numbers: `(disparity + CODED_ZERO) * LEVELS_PER_PX`; 0 where unknown."""
LEAST_KNOWN, LEAST_KNOWN_LASER = 0.9, 0.55
"""Share of a window whose truth must be known, for it to be judged; a laser scan reaches only half of the px."""
RANGE_PERCENT = 2, 98
"""The range of parallax leaves out the few px beyond these percentiles."""


@dataclass(frozen=True, eq=False)
class DenseTruth:
    """Where each px of a phone's photo (H, W) lies in the DSLR's photo."""

    places: Points
    """(H, W, 2): x and y in px of the DSLR's photo; where nothing is known, a guess from the nearest known px."""
    known: Mask
    """(H, W): where something is known: the true place, or that the DSLR does not see the px."""
    seen: Mask
    """(H, W): where the DSLR sees the px."""
    scale: float
    """DSLR px per phone px."""
    range_px: float
    """Range of the parallax, 2nd to 98th percentile, in px of the phone's photo."""
    least_known: float = LEAST_KNOWN


def measured_truth(folder: Path, name: str) -> DenseTruth:
    """Read the truth of a real pair: `NAME.json`, `NAME.png` and `NAME.seen.png`."""
    record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    coded, seen = _grey(folder / f"{name}.png"), _grey(folder / f"{name}.seen.png") > 0
    disparity = np.where(coded > 0, coded / LEVELS_PER_PX - CODED_ZERO, np.nan)
    known = coded > 0
    enlarged = np.array(record["up"])
    return DenseTruth(
        places=filled((_other_view(record, disparity) + 0.5) * enlarged - 0.5),
        known=known,
        seen=seen & known,
        scale=float(enlarged.mean() / record["ratio"]),
        range_px=float(record["range_phone_px"]),
        least_known=LEAST_KNOWN_LASER if "ETH3D" in record["source"] else LEAST_KNOWN,
    )


def rendered_truth(truth: Truth) -> DenseTruth:
    """Compute the truth of a rendered pair, whose first panel is the wall behind all others."""
    grid = _grid(truth.phone.width, truth.phone.height)
    places = truth.dslr_from_phone(grid.reshape(-1, 2)).reshape(grid.shape)
    wall = Truth(phone=truth.phone, dslr=truth.dslr, panels=truth.panels[:1])
    behind = wall.dslr_from_phone(grid.reshape(-1, 2)).reshape(grid.shape)
    scale = truth.dslr.focal_px / truth.phone.focal_px
    low, high = np.nanpercentile(np.linalg.norm(places - behind, axis=2) / scale, RANGE_PERCENT)
    seen = _finite(places)
    return DenseTruth(filled(places), np.ones_like(seen), seen, scale, float(high - low))


def filled(places: Points) -> Points:
    """Return places (H, W, 2) with those that are NaN continued from the nearest px that has a place.

    An affine map of the px is subtracted first, so that the nearest px gives its depth and not its place.
    """
    height, width = places.shape[:2]
    known = _finite(places)
    if known.all():
        return places
    terms = np.concatenate([_grid(width, height), np.ones((height, width, 1))], axis=2)
    affine = terms @ np.linalg.lstsq(terms[known], places[known])[0]
    kind = cv2.DIST_LABEL_PIXEL
    labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 3, labelType=kind)[1]
    rests = np.zeros((int(labels.max()) + 1, 2))
    rests[labels[known]] = (places - affine)[known]
    return np.asarray(np.where(known[..., None], places, affine + rests[labels]))


def _other_view(record: dict[str, Any], disparity: Points) -> Points:
    """Return the places (H, W, 2) in the view that the DSLR's photo was enlarged from.

    The phone's lens bends the px, a homography takes them to the data set's own view, and the disparity (H, W) to the
    other view of the data set. The rows of the two views do not agree exactly, which a plane in place and disparity
    corrects.
    """
    width, height = record["phone"]
    middle, half = (np.array([width, height]) - 1) / 2, max(width, height) / 2
    relative = (_grid(width, height).reshape(-1, 2) - middle) / half
    bent = middle + half * relative * (1 + record["k1"] * (relative**2).sum(axis=1, keepdims=True))
    own = transform_points(np.reshape(record["G"], (3, 3)), bent).reshape(height, width, 2)
    moved = np.stack([disparity, np.where(np.isnan(disparity), np.nan, 0)], axis=2)
    if plane := record.get("corr"):
        across, down = np.moveaxis((own + 0.5) / plane["size"] * 2 - 1, 2, 0)
        depth = (np.abs(disparity) - plane["mid"]) / plane["sc"]
        terms = np.stack([np.ones_like(depth), across, down, depth], axis=2)
        moved = moved + terms @ np.column_stack([plane["x"], plane["y"]])
    return np.asarray(own + moved)


def _finite(places: Points) -> Mask:
    return np.asarray(np.isfinite(places).all(axis=2))


def _grid(width: int, height: int) -> Points:
    return np.stack(np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)), axis=2)


def _grey(path: Path) -> Points:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise OSError(f"{path} could not be read")
    return np.asarray(image, np.float64)
