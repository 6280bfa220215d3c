"""The table of shots: every photo of both cameras, its moment, and how it was exposed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.pipeline.pair.shots import Shot

REFERENCE, TARGET, ALONE, BESIDE = "reference", "target", "alone", "beside"


def shots_of(
    rows: Sequence[Pair],
    shots: Iterable[Shot],
    dslr_camera: str,
    beside: Sequence[tuple[Shot, str | None]] = (),
) -> list[CameraShot]:
    """Return all photos of a table of pairs, each once, and the files that lie beside them.

    The DSLR's come first, then the phone's that belong to no moment, then the phone's others; each part is sorted by
    name.

    Parameters
    ----------
    rows
        All pairs and lone photos of one phone and session.
    shots
        The photos, which say when and how they were taken.
    dslr_camera
        Name of the DSLR's folder.
    beside
        Files that lie beside one of these photos and are in no row, with their SHA-256, hex, if they can be read.

    """
    by_path: dict[Place | None, Shot] = {shot.path: shot for shot in shots}
    paired = {row.scene_id for row in rows if row.status == "paired"}
    bases = {row.scene_id: by_path[row.phone_path].taken for row in rows if row.role == "base" and row.phone_path}
    dslrs = {row.scene_id: row for row in rows if row.scene_id is not None}
    of_dslr = [
        _shot(_of_dslr(row, dslr_camera, row.scene_id in paired), by_path.get(row.dslr_path)) for row in dslrs.values()
    ]
    # A photo of the DSLR with an unusable name has a scene and no path.
    phones = [row for row in rows if row.phone_path is not None or row.scene_id is None]
    of_phone = [_shot(_of_phone(row), by_path.get(row.phone_path), bases.get(row.scene_id)) for row in phones]
    for side in (of_dslr, of_phone):
        places = {each.path: each for each in side if each.path}
        for shot, sha256 in beside:
            if shot.beside and (photo := places.get(shot.beside.path)):
                place = _Place(photo.camera, photo.session, photo.scene_id, BESIDE, None, sha256)
                side.append(_shot(place, shot, bases.get(photo.scene_id) if side is of_phone else None))
    return sorted(of_dslr, key=_name) + sorted(of_phone, key=lambda shot: (shot.scene_id is not None, _name(shot)))


@dataclass(frozen=True)
class _Place:
    """What pairing found out about a file."""

    camera: str
    session: str
    scene_id: str | None
    role: str
    frame: int | None
    sha256: str | None


def _of_dslr(row: Pair, camera: str, is_paired: bool) -> _Place:
    scene_id, role, frame = (row.scene_id, REFERENCE, 0) if is_paired else (None, ALONE, None)
    return _Place(camera, row.session, scene_id, role, frame, row.dslr_sha256)


def _of_phone(row: Pair) -> _Place:
    scene_id = row.scene_id if row.status == "paired" else None
    return _Place(row.phone, row.session, scene_id, row.role or ALONE, row.frame, row.phone_sha256)


def _shot(place: _Place, shot: Shot | None, base: Taken | None = None) -> CameraShot:
    """Return the row of a file; None: a file without a usable name, and a moment without a base frame."""
    how = shot.taken if shot else Taken()
    stops = how.exposure_stops, base.exposure_stops if base and place.scene_id is not None else None
    return CameraShot(
        **vars(place),
        beside=shot.beside.path.name if shot and shot.beside else None,
        path=shot.path if shot else None,
        time=how.time.isoformat() if how.time else None,
        utc_offset_s=how.utc_offset_s,
        exposure_s=how.exposure_s,
        f_number=how.f_number,
        iso=how.iso,
        ev=None if stops[0] is None or stops[1] is None else round(stops[0] - stops[1], 4),
    )


def _name(shot: CameraShot) -> str:
    return shot.path.name if shot.path else ""
