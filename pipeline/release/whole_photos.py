"""The full-size test photos of each phone, as in DPED, and the cameras that took the photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.names import drawn
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.photos.decoding import open_photo, open_unchanged
from dpedtool.dataset.photos.kept_metadata import kept_metadata
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Photo
from dpedtool.pipeline.memory import WHOLE_PHOTO, Need, read_header
from dpedtool.pipeline.release.layouts.dped import full_size_folder
from dpedtool.pipeline.release.privacy.scan import scan
from dpedtool.pipeline.release.privacy.stripping import strip_photo, told

MOST_NOTES = 12
_MAKE, _MODEL = 0x10F, 0x110
_ASKED = 3
"""Number of photos of a camera that are read to find its name."""


@dataclass(frozen=True)
class Wanted:
    """A test photo that is to be released whole."""

    phone: str
    pair_id: str
    path: Place
    sha256: str
    number: int


@dataclass(frozen=True)
class WholePhoto:
    """The result for one wanted photo."""

    phone: str
    pair_id: str
    file: str
    """Its file, relative to the release; empty if it was left out."""
    lossless: bool
    """Whether its pixels are the same as in the camera's file."""
    note: str
    """Why it was encoded again (a clause) or left out (a sentence); else empty."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, ready for JSON."""
        return dataclasses.asdict(self)


def choose(photos: Sequence[Photo], params: ReleaseParams) -> list[Wanted]:
    """Return the test photos that layout dped is to hold whole: all of them, or a sample chosen by digest."""
    if "dped" not in params.layouts:
        return []
    by_phone: dict[str, list[Photo]] = {}
    for photo in photos:
        if photo.split == "test":
            by_phone.setdefault(photo.phone, []).append(photo)
    return [
        Wanted(phone, photo.pair_id, photo.phone_path, photo.phone_sha256, number)
        for phone, tested in sorted(by_phone.items())
        for number, photo in enumerate(_sample(tested, params.full_size_photos))
    ]


def _sample(photos: Sequence[Photo], most: int | None) -> list[Photo]:
    of = {photo.pair_id: photo for photo in photos}
    return [of[pair_id] for pair_id in drawn(of, most)]


def write_photo(wanted: Wanted, root: Path, jpeg_quality: int) -> WholePhoto:
    """Write only the pixels of a photo, and check that its texts on persons and devices are gone."""
    try:
        photo = open_unchanged(wanted.path, wanted.sha256)
        stripped = strip_photo(photo, jpeg_quality)
    except Rejection as rejection:
        note = f"The full-size photo of {wanted.pair_id} is left out: {rejection.detail}"
        return WholePhoto(wanted.phone, wanted.pair_id, "", False, note)
    name = f"{full_size_folder(wanted.phone)}/{wanted.number}{stripped.suffix}"
    if findings := scan(name, stripped.content, told(photo)):
        raise DpedtoolError(f"{findings[0]} This comes from {wanted.path}: leave that photo out.")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stripped.content)
    return WholePhoto(wanted.phone, wanted.pair_id, name, stripped.lossless, stripped.note)


def photo_need(wanted: Wanted) -> Need:
    """Return the memory that `write_photo` takes."""
    return Need(f"The full-size photo of {wanted.pair_id}", WHOLE_PHOTO.of(read_header(wanted.path)))


def left_out(photos: Sequence[WholePhoto]) -> list[str]:
    """Return a sentence for each photo that is not released, up to `MOST_NOTES`, and one with the number of others."""
    notes = [photo.note for photo in photos if not photo.file]
    more = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], f"{more} more {'is' if more == 1 else 'are'} left out."] if more > 0 else notes


def cameras(photos: Iterable[Photo]) -> dict[str, str]:
    """Return make and model of each phone, and of the DSLR as `dslr`, as the first of its photos says.

    Only the first few photos of a camera are read. A camera is left out if they are gone or do not name it.
    """
    first: dict[str, dict[Place, None]] = {}
    for photo in photos:
        for name, path in ((photo.phone, photo.phone_path), ("dslr", photo.dslr_path)):
            paths = first.setdefault(name, {})
            if len(paths) < _ASKED:
                paths[path] = None
    found = {name: next(filter(None, map(_camera, paths)), "") for name, paths in sorted(first.items())}
    return {name: camera for name, camera in found.items() if camera}


def _camera(path: Place) -> str:
    try:
        photo = open_photo(path)
        main: Mapping[int, Any] = kept_metadata(photo, (1, 1)).main
    except (Rejection, OSError):
        return ""
    make, model = (
        main[tag].data.split(b"\0")[0].decode("utf-8", "replace").strip() if tag in main else ""
        for tag in (_MAKE, _MODEL)
    )
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
