"""The full-size test photos of each phone, as in DPED, the DSLR's on the same grid, and the cameras that took them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.names import drawn
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.photos.decoding import open_photo, open_unchanged
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.kept_metadata import kept_metadata
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Alignment, Photo
from dpedtool.pipeline.geometry.aligned import crop_box, required, transform
from dpedtool.pipeline.geometry.warping import warp_dslr
from dpedtool.pipeline.memory import WHOLE_PHOTO, WHOLE_TARGET, Need, read_header
from dpedtool.pipeline.release.layouts.dped import full_size_folder, full_size_target_folder
from dpedtool.pipeline.release.privacy.scan import scan
from dpedtool.pipeline.release.privacy.stripping import strip_photo, told
from dpedtool.pipeline.release.whole_alignments import alignment_of

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
    alignment: Alignment | None = None
    """How the DSLR's photo is brought onto its grid; None: the DSLR's photo is not released."""


@dataclass(frozen=True, kw_only=True)
class WholeTarget:
    """The DSLR's photo on the grid of a phone's photo: black outside of the common crop.

    All fields but `file` are as in the table of alignments.
    """

    file: str
    """Relative to the release."""
    crop_x: int
    crop_y: int
    crop_width: int
    crop_height: int
    mask: str
    """The cells of the crop that are not to be used, in hex; empty: there are none."""
    mask_cell_px: int | None
    masked: float | None


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
    dslr: WholeTarget | None = None
    """The DSLR's photo on its grid; None if it was not wanted, or was left out."""
    dslr_note: str = ""
    """Why the DSLR's photo was left out, a sentence; else empty."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, ready for JSON."""
        facts = dataclasses.asdict(self)
        del facts["dslr_note"]
        if self.dslr is None:
            del facts["dslr"]
        return facts


def choose(
    photos: Sequence[Photo], params: ReleaseParams, alignments: Mapping[str, Alignment] | None = None
) -> list[Wanted]:
    """Return the test photos that layout dped is to hold whole: all of them, or a sample chosen by digest.

    Parameters
    ----------
    photos
        The photos of the release.
    params
        `layouts` and `full_size_photos` count.
    alignments
        The aligned pairs by name, for the DSLR's photos; None: the phone's photos are released alone.

    Raises
    ------
    DpedtoolError
        The alignments lack a pair, or are about other photos.

    """
    if "dped" not in params.layouts:
        return []
    by_phone: dict[str, list[Photo]] = {}
    for photo in photos:
        if photo.split == "test":
            by_phone.setdefault(photo.phone, []).append(photo)
    return [
        Wanted(
            phone,
            photo.pair_id,
            photo.phone_path,
            photo.phone_sha256,
            number,
            None if alignments is None else alignment_of(photo, alignments),
        )
        for phone, tested in sorted(by_phone.items())
        for number, photo in enumerate(_sample(tested, params.full_size_photos))
    ]


def _sample(photos: Sequence[Photo], most: int | None) -> list[Photo]:
    of = {photo.pair_id: photo for photo in photos}
    return [of[pair_id] for pair_id in drawn(of, most)]


def write_photo(wanted: Wanted, root: Path, jpeg_quality: int, dslr_folder: str) -> WholePhoto:
    """Write only the pixels of a photo, and check that its texts on persons and devices are gone.

    If it is wanted, the DSLR's photo on the same grid is written as well, under the same name in another folder.
    """
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
    written = WholePhoto(wanted.phone, wanted.pair_id, name, stripped.lossless, stripped.note)
    if wanted.alignment is None:
        return written
    try:
        target = _write_target(wanted, wanted.alignment, root, stripped.suffix, jpeg_quality, dslr_folder)
    except Rejection as rejection:
        note = f"The DSLR's full-size photo of {wanted.pair_id} is left out: {rejection.detail}"
        return dataclasses.replace(written, dslr_note=note)
    return dataclasses.replace(written, dslr=target)


def _write_target(
    wanted: Wanted, row: Alignment, root: Path, suffix: str, jpeg_quality: int, dslr_folder: str
) -> WholeTarget:
    photo = open_unchanged(row.dslr_path, row.dslr_sha256)
    content = encode_image(on_phone_grid(photo.colour(), row), suffix, jpeg_quality, fine_colours=True)
    name = f"{full_size_target_folder(wanted.phone, dslr_folder)}/{wanted.number}{suffix}"
    if findings := scan(name, content, told(photo)):
        raise DpedtoolError(f"{findings[0]} This comes from {row.dslr_path}: leave that photo out.")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return WholeTarget(
        file=name,
        crop_x=required(row.crop_x),
        crop_y=required(row.crop_y),
        crop_width=required(row.crop_width),
        crop_height=required(row.crop_height),
        mask=(row.mask or b"").hex(),
        mask_cell_px=row.mask_cell_px,
        masked=row.masked,
    )


def on_phone_grid(dslr: Image, row: Alignment) -> Image:
    """Return the DSLR's photo on the grid of the phone's, resampled once; black outside of the common crop.

    Parameters
    ----------
    dslr
        (H, W, 3) uint8: the upright photo of the DSLR.
    row
        An aligned pair.

    Returns
    -------
    Image
        As large as the upright photo of the phone.

    Raises
    ------
    Rejection
        `nodes_changed`, as in `dpedtool.pipeline.geometry.aligned.transform`.

    """
    box = crop_box(row)
    whole = np.zeros((required(row.phone_height), required(row.phone_width), 3), np.uint8)
    whole[box.y : box.y + box.height, box.x : box.x + box.width] = warp_dslr(dslr, transform(row), box)
    return whole


def photo_need(wanted: Wanted) -> Need:
    """Return the memory that `write_photo` takes."""
    header = read_header(wanted.path)
    needed = WHOLE_PHOTO.of(header)
    if wanted.alignment is not None:
        needed = max(needed, WHOLE_TARGET.of(header, read_header(wanted.alignment.dslr_path)))
    return Need(f"The full-size photo of {wanted.pair_id}", needed)


def left_out(photos: Sequence[WholePhoto]) -> list[str]:
    """Return a sentence for each photo that is not released, up to `MOST_NOTES`, and one with the number of others."""
    notes = [photo.dslr_note if photo.file else photo.note for photo in photos if not photo.file or photo.dslr_note]
    return first_notes(notes)


def first_notes(notes: list[str]) -> list[str]:
    """Return the first `MOST_NOTES` sentences about what is left out, and one with the number of others."""
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
