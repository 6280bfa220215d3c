"""Files of one exposure: a camera's raw file beside the photo developed from it, and a HEIC file beside a JPEG.

Two such files have the same name but for the suffix, whatever the case of the letters. One of them stands for the
exposure: the JPEG, else the HEIC file, else the developed file of another format. The others lie beside it. Capture
times that contradict each other show that the two files are different photos with the same name by chance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dpedtool.dataset.names import identifier, moment_identifier
from dpedtool.dataset.photos.decoding import how_taken
from dpedtool.dataset.photos.exif import Taken
from dpedtool.dataset.photos.formats import heif, jpeg, raw
from dpedtool.dataset.photos.formats.table import format_of_suffix
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.places import Place
from dpedtool.pipeline.pair.order import in_order_taken, on_one_clock
from dpedtool.pipeline.pair.shots import Shot

ONE_EXPOSURE_S = 2.0
"""Files whose capture times differ by more are not of one exposure."""
JPEG, HEIC, DEVELOPED, RAW = range(4)
"""Ranks of files with the same name: the lowest one stands for the exposure."""


@dataclass(frozen=True)
class CameraPhotos:
    """The photos of one camera's folder."""

    photos: list[Shot]
    """One for each exposure."""
    beside: list[Shot]
    """Further files of these exposures."""
    contradictory: list[tuple[Place, Place]]
    """Files of one name, a raw or HEIC file and a developed one, whose capture times contradict each other."""


def read_folder(folder: Place, session: str) -> CameraPhotos:
    """Return the photos of a folder, with the files that lie beside them.

    Parameters
    ----------
    folder
        Of one camera, in one session.
    session
        Name of the session, which becomes a part of the identifiers; empty where there is only one.

    Raises
    ------
    DpedtoolError
        As `list_photos`.

    """
    shots = [Shot(path, "", how_taken(path)) for path in list_photos(folder, doubles=True)]
    photos, beside, contradictory = list[Shot](), list[tuple[Shot, Shot]](), list[tuple[Place, Place]]()
    standing = defaultdict[str, list[Shot]](list)
    # The files that may stand for an exposure come before those that lie beside them.
    for shot in sorted(shots, key=lambda shot: (_rank(shot), shot.path.name)):
        stem = shot.path.stem.lower()
        others = [other for other in standing[stem] if _may_stand_for(other, shot)]
        # Of two JPEGs whose names differ in the case of letters, the one that is spelt alike is taken.
        others.sort(key=lambda other: (_rank(other), other.path.stem != shot.path.stem))
        one = next((other for other in others if _is_one_exposure(shot, other)), None)
        # Tables cannot name a file whose name is not valid Unicode: each such file gets a row of its own.
        if one and shot.is_usable:
            beside.append((shot, one))
        else:
            photos.append(shot)
            standing[stem].append(shot)
            contradictory += [(shot.path, other.path) for other in others[:1] if one is None]
    photos.sort(key=lambda shot: shot.path.name)
    plain = set(_holders(photos, lambda shot: identifier(shot.path.stem).lower()).values())
    named = [_named(shot, session, is_plain=index in plain) for index, shot in enumerate(photos)]
    named = in_order_taken(on_one_clock(named))
    known = {shot.path: shot for shot in named}
    lying = [_lying(_named(shot, session, is_plain=False), known[one.path]) for shot, one in beside]
    return CameraPhotos(
        named,
        sorted(lying, key=lambda shot: shot.path.name),
        sorted(contradictory, key=lambda files: files[0].name),
    )


def index_by_stem(photos: Sequence[Shot]) -> dict[str, int]:
    """Return the index of the photo that each stem, in lower case, means.

    That is the only photo of this stem, or the only one that is neither a raw file beside a developed one nor a HEIC
    file beside a JPEG. Other stems are left out.
    """
    return _holders(photos, lambda shot: shot.path.stem.lower())


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


def _rank(shot: Shot) -> int:
    format_ = format_of_suffix(shot.path)
    if format_ is jpeg.FORMAT:
        return JPEG
    if format_ is heif.FORMAT:
        return HEIC
    return RAW if format_ is raw.FORMAT else DEVELOPED


def _may_stand_for(one: Shot, other: Shot) -> bool:
    """Whether cameras and exports write the other file beside the one."""
    return _rank(one) < RAW if _rank(other) == RAW else (_rank(one), _rank(other)) == (JPEG, HEIC)


def _is_one_exposure(one: Shot, other: Shot) -> bool:
    if not (one.time and other.time):
        return True
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


def _named(shot: Shot, session: str, *, is_plain: bool) -> Shot:
    # No file name holds a slash, so these names differ from every stem with the same ending.
    name = shot.path.stem if is_plain else f"{shot.path.stem}/{shot.path.suffix}"
    return replace(shot, name=moment_identifier(session, name))
