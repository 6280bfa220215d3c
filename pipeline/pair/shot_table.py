"""The table of shots: every photo of both cameras, its moment, and how it was exposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import CameraShot, Pair

REFERENCE, ALONE = "reference", "alone"


def shots_of(rows: Sequence[Pair], taken: Mapping[Place, Taken], dslr_camera: str) -> list[CameraShot]:
    """Return all photos of a table of pairs, each once.

    The DSLR's come first, then the phone's without a mate, then those of the phone's that belong to a moment; each part
    is sorted by name.

    Parameters
    ----------
    rows
        All pairs and lone photos of one phone and session.
    taken
        When and how the photos were taken, by their paths.
    dslr_camera
        Name of the DSLR's folder.

    """
    paired = {row.scene_id for row in rows if row.status == "paired"}
    bases = {row.scene_id: taken[row.phone_path] for row in rows if row.role == "base" and row.phone_path}
    dslrs = {row.scene_id: row for row in rows if row.scene_id is not None}
    shots = [_of_dslr(row, dslr_camera, taken, is_paired=scene in paired) for scene, row in dslrs.items()]
    # A photo of the DSLR with an unusable name has a scene and no path.
    of_phone = [row for row in rows if row.phone_path is not None or row.scene_id is None]
    shots += [_of_phone(row, taken, bases.get(row.scene_id)) for row in of_phone]
    return sorted(
        shots, key=lambda shot: (shot.role not in (REFERENCE, ALONE), shot.camera != dslr_camera, _name(shot))
    )


def frames_without_exposure(shots: Iterable[CameraShot]) -> list[str]:
    """Return the names of further frames whose exposure against the base frame is not known."""
    return [_name(shot) for shot in shots if shot.role == "frame" and shot.ev is None]


def _of_dslr(row: Pair, camera: str, taken: Mapping[Place, Taken], *, is_paired: bool) -> CameraShot:
    how = taken.get(row.dslr_path, Taken()) if row.dslr_path else Taken()
    return CameraShot(
        camera=camera,
        session=row.session,
        scene_id=row.scene_id if is_paired else None,
        role=REFERENCE if is_paired else ALONE,
        frame=0 if is_paired else None,
        path=row.dslr_path,
        sha256=row.dslr_sha256,
        time=row.dslr_time,
        exposure_s=how.exposure_s,
        f_number=how.f_number,
        iso=how.iso,
    )


def _of_phone(row: Pair, taken: Mapping[Place, Taken], base: Taken | None) -> CameraShot:
    how = taken.get(row.phone_path, Taken()) if row.phone_path else Taken()
    stops = [each.exposure_stops if each else None for each in (how, base)]
    is_paired = row.status == "paired"
    return CameraShot(
        camera=row.phone,
        session=row.session,
        scene_id=row.scene_id if is_paired else None,
        role=row.role or ALONE,
        frame=row.frame,
        path=row.phone_path,
        sha256=row.phone_sha256,
        time=row.phone_time,
        exposure_s=how.exposure_s,
        f_number=how.f_number,
        iso=how.iso,
        ev=None if stops[0] is None or stops[1] is None or not is_paired else round(stops[0] - stops[1], 4),
    )


def _name(shot: CameraShot) -> str:
    return shot.path.name if shot.path else ""
