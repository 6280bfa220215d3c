"""How far the camera moved between the frames of a moment, by the transforms of frames that are aligned already."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dpedtool.dataset.schema import Alignment
from dpedtool.pipeline.geometry.aligned import crop_box, required, whole_transform
from dpedtool.pipeline.geometry.homographies import Box, Points


def with_shake(rows: Sequence[Alignment]) -> list[Alignment]:
    """Return all rows, with `shake_px` and `shake_deg` where they belong.

    They follow from the rows that are given, whatever these said before: the base frame may have been aligned again.
    """
    bases = {_moment(row): row for row in rows if row.role == "base" and row.status == "aligned"}
    return [_compared(row, bases.get(_moment(row))) for row in rows]


def _compared(row: Alignment, base: Alignment | None) -> Alignment:
    if base is None or row.role != "frame" or row.status != "aligned":
        return dataclasses.replace(row, shake_px=None, shake_deg=None)
    places = _corners_and_middle(crop_box(row))
    # Nodes follow the things in front of the camera, so that they say less about it.
    own, other = whole_transform(row)(places), whole_transform(base)(places)
    away_px = np.linalg.norm(own - other, axis=1).max() / required(base.scale)
    turns = [_turn(np.asarray(moved[-1] - moved[-2], np.float64)) for moved in (own, other)]
    turn = (turns[0] - turns[1] + 180) % 360 - 180
    return dataclasses.replace(row, shake_px=float(away_px), shake_deg=float(turn))


def _moment(row: Alignment) -> tuple[str, str, str]:
    return row.session, row.phone, row.scene_id


def _corners_and_middle(box: Box) -> Points:
    """Return the outermost px of a box, its middle, and the place 1 px right of that, (6, 2)."""
    left, top = float(box.x), float(box.y)
    right, bottom = left + box.width - 1, top + box.height - 1
    middle = ((left + right) / 2, (top + bottom) / 2)
    corners = [(left, top), (right, top), (left, bottom), (right, bottom)]
    return np.array([*corners, middle, (middle[0] + 1, middle[1])])


def _turn(step: Points) -> float:
    """Return the direction of a step to the right, in degrees clockwise."""
    return float(np.degrees(np.arctan2(step[1], step[0])))
