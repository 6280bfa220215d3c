"""Files of one moment: a raw file beside the photo developed from it, a HEIC file beside a JPEG, an edit beside both.

Such files have the same name but for the suffix, whatever the case of the letters, or names that `moment_names` knows.
One of them stands for the moment: the picture as taken before an edit of it, and of these the JPEG, else the HEIC or
AVIF file, else the developed file of another format, else the raw file. The others lie beside it. Capture times that
contradict each other show that two files are different photos with the same name by chance.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dpedtool.dataset.names import folded, identifier, moment_identifier
from dpedtool.dataset.photos.decoding import how_taken
from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.photos.formats import jpeg, raw
from dpedtool.dataset.photos.formats.table import format_of_suffix
from dpedtool.dataset.photos.left_out import LeftOut
from dpedtool.dataset.photos.listing import search_folder, subpath
from dpedtool.dataset.places import Place
from dpedtool.pipeline.pair.moment_names import moment_name
from dpedtool.pipeline.pair.order import in_order_taken, on_one_clock
from dpedtool.pipeline.pair.shots import Shot

ONE_EXPOSURE_S = 2.0
"""Files whose capture times differ by more are not of one exposure."""
JPEG, HEIC, DEVELOPED, RAW = range(4)
"""Ranks of the formats of one moment: the lowest one stands for it."""


@dataclass(frozen=True)
class CameraPhotos:
    """The photos of one camera's folder."""

    photos: list[Shot]
    """One for each exposure."""
    beside: list[Shot]
    """Further files of these exposures."""
    contradictory: list[tuple[Place, Place]]
    """Files of one moment by their names, whose capture times contradict each other."""
    left_out: LeftOut
    """What the folder holds besides."""


def read_folder(folder: Place, session: str, *, recursive: bool = False) -> CameraPhotos:
    """Return the photos of a folder, with the files that lie beside them.

    Parameters
    ----------
    folder
        Of one camera, in one session.
    session
        Name of the session, which becomes a part of the identifiers; empty where there is only one.
    recursive
        Whether photos in sub-folders belong to the camera; the sub-folder becomes a part of their identifiers.

    Raises
    ------
    DpedtoolError
        As `search_folder`.

    """
    found = search_folder(folder, recursive=recursive)
    shots = [
        Shot(path, "", how_taken(path), folder=subpath(path.parent, folder) if path.parent != folder else "")
        for path in found.photos
    ]
    keys = {(shot.folder, _key(shot)) for shot in shots}
    photos, beside, contradictory = list[Shot](), list[tuple[Shot, Shot]](), list[tuple[Place, Place]]()
    standing = defaultdict[str, list[Shot]](list)
    # The files that may stand for a moment come before those that lie beside them.
    for shot in sorted(shots, key=lambda shot: (_order(shot), shot.folder, shot.path.name)):
        key = _key(shot)
        if (original := moment_name(shot.path.stem).original) and (shot.folder, original) in keys:
            key = original
        others = [other for other in standing[key] if _may_stand_for(other, shot)]
        # Of two JPEGs whose names differ in the case of letters, the one that is spelt alike is taken.
        others.sort(key=lambda other: (_order(other), other.path.stem != shot.path.stem))
        one = next((other for other in others if _is_one_exposure(shot, other)), None)
        # Tables cannot name a file whose name is not valid Unicode: each such file gets a row of its own.
        if one and shot.is_usable:
            beside.append((shot, one))
        else:
            photos.append(shot)
            standing[key].append(shot)
            rivals = [other for other in others if other.folder == shot.folder]
            contradictory += [(shot.path, other.path) for other in rivals[:1] if one is None]
    photos.sort(key=lambda shot: subpath(shot.path, folder))
    plain = set(_holders(photos, lambda shot: folded(identifier(_place(shot)))).values())
    spelt = Counter(_composed(shot) for shot in shots)
    named = [_named(shot, session, spelt, is_plain=index in plain) for index, shot in enumerate(photos)]
    named = in_order_taken(on_one_clock(named))
    known = {shot.path: shot for shot in named}
    lying = [_lying(_named(shot, session, spelt, is_plain=False), known[one.path]) for shot, one in beside]
    return CameraPhotos(
        named,
        sorted(lying, key=lambda shot: subpath(shot.path, folder)),
        sorted(contradictory, key=lambda files: files[0].name),
        found.left_out,
    )


def index_by_stem(photos: Sequence[Shot]) -> dict[str, int]:
    """Return the index of the photo that each key of a moment means, as `moment_names` makes it of the name.

    That is the only photo with this key, or the only one that no other file of the moment stands for by its format.
    Other keys are left out.
    """
    return _holders(photos, _key)


def index_by_subpath(photos: Sequence[Shot]) -> dict[str, int]:
    """Return the index of the photo that each sub-folder and key mean together; only of photos in sub-folders."""
    below = [index for index, shot in enumerate(photos) if shot.folder]
    found = _holders([photos[index] for index in below], lambda shot: f"{folded(shot.folder)}/{_key(shot)}")
    return {name: below[index] for name, index in found.items()}


def is_raw(shot: Shot) -> bool:
    """Whether a file's name promises a camera's raw file."""
    return _rank(shot) == RAW


def _holders(photos: Sequence[Shot], key: Callable[[Shot], str]) -> dict[str, int]:
    groups = defaultdict[str, list[int]](list)
    for index, shot in enumerate(photos):
        groups[key(shot)].append(index)
    found = {}
    for name, group in groups.items():
        ranks = [_rank(photos[index]) for index in group]
        # Raw files hold a name only if no other file has it, and HEIC files if no JPEG has it.
        beside = {RAW} if min(ranks) < RAW else set[int]()
        beside |= {HEIC} if JPEG in ranks else set()
        holding = [index for index, rank in zip(group, ranks, strict=True) if rank not in beside]
        if len(holding) == 1:
            found[name] = holding[0]
    return found


def _key(shot: Shot) -> str:
    return moment_name(shot.path.stem).key


def _rank(shot: Shot) -> int:
    format_ = format_of_suffix(shot.path)
    if format_ is jpeg.FORMAT:
        return JPEG
    if format_ is raw.FORMAT:
        return RAW
    return HEIC if format_.is_beside_jpeg else DEVELOPED


def _order(shot: Shot) -> tuple[bool, bool, int]:
    name = moment_name(shot.path.stem)
    return bool(name.original), name.is_secondary, _rank(shot)


def _may_stand_for(one: Shot, other: Shot) -> bool:
    """Whether cameras, phones and exports write the other file beside the one."""
    if _order(one)[:2] != _order(other)[:2]:
        return _order(one) < _order(other)
    if _rank(one) == JPEG and _rank(other) == DEVELOPED:
        # Scans and exports may have any names, so that equal names alone prove nothing.
        return one.time is not None and other.time is not None
    return _rank(one) < RAW if _rank(other) == RAW else (_rank(one), _rank(other)) == (JPEG, HEIC)


def _is_one_exposure(one: Shot, other: Shot) -> bool:
    if not (one.time and other.time):
        # Cameras begin to count again in each of their sub-folders.
        return one.folder == other.folder
    zones = one.taken.utc_offset_s, other.taken.utc_offset_s
    moved = zones[0] - zones[1] if zones[0] is not None and zones[1] is not None else 0.0
    apart = one.seconds - other.seconds
    # A file whose time is that of the satellites is in UTC, and the other one in local time.
    return min(abs(apart), abs(apart - moved)) <= ONE_EXPOSURE_S


def _lying(shot: Shot, photo: Shot) -> Shot:
    """Return a file that lies beside a photo; what its own EXIF block lacks is taken from that of the photo."""
    own, others = vars(shot.taken), vars(photo.taken)
    taken = Taken(**{name: others[name] if value is None else value for name, value in own.items()})
    if shot.time is None or shot.taken.utc_offset_s is None:
        # A zone belongs to its time.
        taken = replace(taken, utc_offset_s=photo.taken.utc_offset_s if shot.time in (None, photo.time) else None)
    return replace(shot, taken=taken, beside=photo)


def _place(shot: Shot) -> str:
    """Return the name of a photo with that of its sub-folder."""
    return f"{shot.folder}/{shot.path.stem}" if shot.folder else shot.path.stem


def _composed(shot: Shot) -> str:
    return unicodedata.normalize("NFC", f"{_place(shot)}{shot.path.suffix}")


def _named(shot: Shot, session: str, spelt: Counter[str], *, is_plain: bool) -> Shot:
    # No file name holds a slash, so these names differ from every stem with the same ending.
    place = _place(shot)
    name = place if is_plain else f"{place}/{shot.path.suffix}"
    if spelt[_composed(shot)] > 1:
        # The names differ in how accents are composed alone, which an identifier does not tell.
        name = f"{name}/{place!a}"
    return replace(shot, name=moment_identifier(session, name))
