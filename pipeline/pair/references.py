"""Further references: other DSLRs, or other lenses and apertures, whose photos are further targets of a moment.

The base reference names the moments. A photo of a further reference belongs to the moment whose photo of the phone it
is paired with, and is registered to the base frame of that moment like a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dpedtool.dataset.names import MOST_OF_CAMERA, identifier
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.pipeline.pair.notes import many, named
from dpedtool.pipeline.pair.shot_table import ALONE, REFERENCE, TARGET

_OF_PAIRS = (
    *("role", "frame", "frames", "matched_by", "clock_offset_s", "clock_error_s"),
    *("phone_path", "phone_sha256", "phone_time"),
)
"""Columns that a lone photo of the DSLR has no value in."""


def targets_of(
    rows: Sequence[Pair], others: Sequence[Pair], reference: str, number: int
) -> tuple[list[Pair], dict[str, str], list[str]]:
    """Return the rows of a further reference's photos.

    Parameters
    ----------
    rows
        The pairs of a phone and the base reference in one session, and their lone photos.
    others
        Those of the same phone's photos and the further reference's.
    reference
        Name of the further reference's folder.
    number
        Its number among the further references, from 1.

    Returns
    -------
    targets, moments, notes
        One row for each photo of the further reference: with the base frame of its moment, or alone. The moments of the
        photos by their names as the pairing gave them. What the user should know, in sentences.

    """
    bases = {row.scene_id: row for row in rows if row.role == "base"}
    scenes = {row.phone_path: row.scene_id for row in rows if row.status == "paired"}
    mates = [row for row in others if row.status == "paired" and scenes.get(row.phone_path) in bases]
    chosen, taken = dict[str, Pair](), set[str | None]()
    # A photo that is paired with the base frame comes first, then one that is paired with a base frame of its own.
    for row in sorted(mates, key=lambda row: _rank(row, bases[scenes[row.phone_path]])):
        scene = scenes[row.phone_path]
        if scene is not None and scene not in chosen and row.scene_id not in taken:
            chosen[scene] = row
            taken.add(row.scene_id)
    of = {row.scene_id: scene for scene, row in chosen.items()}
    # A photo may be paired with several frames of the phone, of which some cannot be read.
    ordered = sorted(others, key=lambda row: row.status == "paired")
    lone = {row.scene_id: row for row in ordered if row.scene_id is not None and row.scene_id not in of}
    targets = [_target(row, bases[scene], reference, number) for scene, row in chosen.items()]
    targets += [_alone(row, rows, reference) for row in lone.values()]
    notes = []
    if lacking := [row.phone_path.name for scene, row in bases.items() if scene not in chosen and row.phone_path]:
        notes.append(
            f"{len(lacking)} {many(len(lacking), 'moment has', 'moments have')} no photo of {reference}: "
            f"{named(lacking)}."
        )
    return targets, {str(name): str(scene) for name, scene in of.items()}, notes


def shots_of_reference(shots: Sequence[CameraShot], camera: str, moments: Mapping[str, str]) -> list[CameraShot]:
    """Return the photos of a further reference as the table of shots has them, which names the base's moments.

    Parameters
    ----------
    shots
        The photos of the pairing of a phone and the further reference.
    camera
        Name of the further reference's folder.
    moments
        The moments of its photos, as `targets_of` returns them.

    """
    return [
        replace(shot, scene_id=moments.get(shot.scene_id or ""), role=role, frame=None if role == ALONE else shot.frame)
        for shot in shots
        if shot.camera == camera
        for role in [_role(shot, moments)]
    ]


def _role(shot: CameraShot, moments: Mapping[str, str]) -> str:
    if shot.role != REFERENCE:
        return shot.role
    return TARGET if shot.scene_id in moments else ALONE


def _rank(row: Pair, base: Pair) -> tuple[bool, bool, str]:
    return row.phone_path != base.phone_path, row.role != "base", row.pair_id


def _target(row: Pair, base: Pair, reference: str, number: int) -> Pair:
    """Return the pair of the base frame and the photo of the further reference."""
    is_same = row.phone_path == base.phone_path
    detail = "" if is_same else "It is paired with another frame of this moment."
    return replace(
        row,
        pair_id=f"{base.pair_id}--{identifier(reference, MOST_OF_CAMERA)}",
        scene_id=base.scene_id,
        reference=reference,
        role=TARGET,
        frame=number,
        frames=None,
        detail=detail,
        phone_path=base.phone_path,
        phone_sha256=base.phone_sha256,
        phone_time=base.phone_time,
    )


def _alone(row: Pair, rows: Sequence[Pair], reference: str) -> Pair:
    """Return the row of a photo of a further reference that is no target of a moment."""
    phone = identifier(rows[0].phone, MOST_OF_CAMERA)
    nothing: dict[str, Any] = dict.fromkeys(_OF_PAIRS)
    blank = replace(
        row,
        pair_id=f"{phone}--missing--{identifier(reference, MOST_OF_CAMERA)}--{row.scene_id}",
        scene_id=None,
        reference=reference,
        **nothing,
    )
    if row.status == "unpaired":
        return blank
    detail = (
        f"{row.dslr_path} is paired with a photo of the phone that belongs to no moment of the base reference, or to "
        "one that has another photo of this reference."
    )
    return replace(blank, status="unpaired", reason="no_moment", detail=detail)
