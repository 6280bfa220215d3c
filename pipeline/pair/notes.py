"""Sentences about photos that were paired in a way that the user may not expect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.pipeline.pair.exposures import ONE_EXPOSURE_S, CameraPhotos

MOST_NAMED = 5
"""Names in one sentence; the tables hold all."""


CHOICE = (
    "Of each moment, the picture as taken is used rather than an edit, and of these the JPEG, else HEIC, else another "
    "developed file, else raw."
)
"""Which of several files of one moment stands for it."""


def named(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def many(count: int, one: str, several: str) -> str:
    """Return the word that fits the count."""
    return one if count == 1 else several


def notes_of_contradictory(camera: CameraPhotos) -> list[str]:
    """Say which files have one name and capture times that contradict each other; no sentence if there are none."""
    if not camera.contradictory:
        return []
    files = [f"{double} and {photo.name}" for double, photo in camera.contradictory]
    return [
        f"{len(files)} {many(len(files), 'file has', 'files have')} the name of another photo and a capture time that "
        f"differs from its by more than {ONE_EXPOSURE_S:g} s, so that the two are different photos: {named(files)}."
    ]


def notes_of_equal(rows: Iterable[Pair]) -> list[str]:
    """Say which pairs have the same file on both sides; no sentence if there are none."""
    equal = [row for row in rows if row.status == "paired" and row.phone_sha256 and row.phone_sha256 == row.dslr_sha256]
    if not equal:
        return []
    names = [f"{row.phone_path.name} and {row.dslr_path.name}" for row in equal if row.phone_path and row.dslr_path]
    return [
        f"{len(equal)} {many(len(equal), 'pair has', 'pairs have')} the same file on both sides, so that "
        f"{many(len(equal), 'its', 'their')} patches teach nothing: {named(names)}. Put each camera's own photos into "
        "its folder."
    ]


def notes_of_damage(damaged: Mapping[Place, str], rows: Iterable[Pair]) -> list[str]:
    """Say which of the photos that had to be decoded are damaged; no sentence if none is, or their rows say so.

    Parameters
    ----------
    damaged
        What is wrong with photos, as clauses.
    rows
        The pairs.

    """
    told = {path for row in rows if row.reason == "unreadable_photo" for path in (row.phone_path, row.dslr_path)}
    found = {path: says for path, says in sorted(damaged.items(), key=lambda item: str(item[0])) if path not in told}
    if not found:
        return []
    names = [f"{path.name}, {says.removeprefix(f'{path}: ').rstrip('.')}" for path, says in found.items()]
    which = "; ".join(names[:MOST_NAMED]) + ("; and more" if len(names) > MOST_NAMED else "")
    return [
        f"{len(found)} {many(len(found), 'photo', 'photos')} that had to be compared {many(len(found), 'is', 'are')} "
        f"damaged ({which}). If the camera still has {many(len(found), 'it', 'them')} without damage, copy "
        f"{many(len(found), 'it', 'them')} again."
    ]


def notes_of_doubles(shots: Iterable[CameraShot]) -> list[str]:
    """Say which files lie beside photos of the same exposure, and what became of them; no sentence without any."""
    lying = [shot for shot in shots if shot.beside]
    if not lying:
        return []
    frames = sum(shot.role == "frame" for shot in lying)
    others = len(lying) - frames
    parts = [
        *([f"{frames} {many(frames, 'is a further frame', 'are further frames')}"] if frames else []),
        *([f"{others} {many(others, 'is', 'are')} in shots.parquet alone"] if others else []),
    ]
    names = [f"{shot.path.name} beside {shot.beside}" for shot in lying if shot.path]
    return [
        f"{len(lying)} {many(len(lying), 'file lies', 'files lie')} beside a photo of the same exposure "
        f"({named(names)}): {' and '.join(parts)}. {CHOICE}"
    ]


def notes_of_exposures(shots: Iterable[CameraShot]) -> list[str]:
    """Say which further frames have no exposure against their base frame; no sentence if all have one."""
    # A raw file has the exposure of its photo, which is named if it is a frame itself.
    frames = [shot for shot in shots if shot.role == "frame" and not shot.beside]
    unknown = [shot.path.name for shot in frames if shot.ev is None and shot.path]
    if not unknown:
        return []
    return [
        f"{len(unknown)} further {many(len(unknown), 'frame has', 'frames have')} no ev in shots.parquet, because "
        "the EXIF block of the frame or of its base frame lacks the exposure time or the ISO sensitivity: "
        f"{named(unknown)}."
    ]
