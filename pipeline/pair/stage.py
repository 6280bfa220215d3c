"""Stage pair: which phone photo and which DSLR photo show the same moment, by list, file names or capture times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.names import identifier, moment_identifier
from dpedtool.dataset.params import PairParams
from dpedtool.dataset.photos.decoding import how_taken
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.places import Place, answering, as_place, printable
from dpedtool.dataset.progress import track
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.pipeline.pair.clock_pairing import SAME_NAMES, clock_error, read_clocks
from dpedtool.pipeline.pair.frames import choose_base, find_frames, in_order
from dpedtool.pipeline.pair.likeness import Pictures
from dpedtool.pipeline.pair.pair_list import read_pair_list
from dpedtool.pipeline.pair.shot_table import shots_of
from dpedtool.pipeline.pair.shots import Couple, FramePlace, Matching, Shot, is_unicode


@dataclass(frozen=True)
class Pairing:
    """The pairs of two cameras, and how they were found, in one sentence."""

    rows: list[Pair]
    note: str
    shots: list[CameraShot]
    """All photos of both cameras, in the order of `shot_table.shots_of`."""


def pair_folders(phone_dir: Place, dslr_dir: Place, params: PairParams, session: str = "") -> Pairing:
    """Pair the photos of two folders, by the user's list, by file name or by capture time.

    Parameters
    ----------
    phone_dir, dslr_dir
        The folders.
    params
        How they are paired.
    session
        Name of the session, which becomes a part of the identifiers; empty where there is only one.

    Returns
    -------
    Pairing
        One row for each pair and one for each photo without a mate, sorted by pair_id.

    Raises
    ------
    DpedtoolError
        A folder is missing, is empty or has an unusable name; the user's list is wrong; or neither names nor capture
        times show which photos belong together.

    """
    for folder in (phone_dir, dslr_dir):
        _check_name(folder)
    if phone_dir.resolve() == dslr_dir.resolve():
        raise DpedtoolError(
            f"{phone_dir} is given both as the phone's folder and as the DSLR's: name two different folders."
        )
    photos = [_photos(folder, session) for folder in (phone_dir, dslr_dir)]
    phones, dslrs = ([photo for photo in camera if photo.is_usable] for camera in photos)
    for folder, usable in ((phone_dir, phones), (dslr_dir, dslrs)):
        if not usable:
            raise DpedtoolError(f"No photo in {folder} has a name that is valid UTF-8: rename them.")
    # The path is not resolved, because a linked folder keeps the name that the user gave it.
    camera = phone_dir.absolute().name or phone_dir.resolve().name
    if params.csv is None:
        matching = _match(phones, dslrs, params, f"The photos of {phone_dir} and {dslr_dir} cannot be paired")
    else:
        matching = _listed(params.csv.replace("{phone}", camera), phones, dslrs, session)
    matching = _with_frames(matching, phones, dslrs, params.frames_s)
    of = _Camera(camera, session)
    rows = _rows(of, phones, dslrs, matching)
    rows += [_unusable_row(of, photo, is_phone=True) for photo in photos[0] if not photo.is_usable]
    rows += [_unusable_row(of, photo, is_phone=False) for photo in photos[1] if not photo.is_usable]
    rows.sort(key=lambda row: row.pair_id)
    dslr_camera = dslr_dir.absolute().name or dslr_dir.resolve().name
    return Pairing(rows, matching.note, shots_of(rows, {shot.path: shot.taken for shot in phones + dslrs}, dslr_camera))


def pair_files(phone: Place, dslr: Place) -> Pairing:
    """Make the one pair of two photos.

    Raises
    ------
    DpedtoolError
        One of the files is missing or has an unusable name.

    """
    for path in (phone, dslr):
        _check_name(path)
        with answering(path):
            there = path.is_file()
        if not there:
            raise DpedtoolError(f"There is no photo {path}: name an existing file.")
    photos = [Shot(path, identifier(path.stem), how_taken(path)) for path in (phone, dslr)]
    matching = _with_frames(Matching({0: 0}, "", "name"), photos[:1], photos[1:], 0)
    rows = _rows(_Camera("phone"), photos[:1], photos[1:], matching)
    return Pairing(rows, "given as two photos", shots_of(rows, {shot.path: shot.taken for shot in photos}, "dslr"))


def _with_frames(matching: Matching, phones: Sequence[Shot], dslrs: Sequence[Shot], most_s: float) -> Matching:
    """Return the matching with the further frames of its moments, and the place of each photo among them."""
    # A list of the user's own says which photos are frames.
    pictures = Pictures()
    found = find_frames(
        phones,
        matching.dslr_of_phone,
        0 if matching.method == "csv" else most_s,
        lambda phone, dslr: pictures.likeness(phones[phone].path, dslrs[dslr].path),
    )
    places: dict[int, FramePlace] = {}
    for dslr, frames in found.frames().items():
        ordered = in_order(frames, phones)
        by_name = matching.method == "name"
        named = next((index for index in ordered if index not in found.further), None) if by_name else None
        away = {
            index: abs(clock_error(phones[index], dslrs[dslr], matching.offsets))
            for index in frames
            if matching.offsets and phones[index].path in matching.offsets and dslrs[dslr].time
        }
        base, why = choose_base(ordered, phones, named, away)
        for number, index in enumerate(ordered):
            is_base = index == base
            places[index] = FramePlace("base" if is_base else "frame", number, len(ordered), why if is_base else "")
    how = dict(matching.how)
    for frames in found.frames().values():
        if len(frames) > 1:
            # The frames of one moment are no rivals, so that no tie was left to settle; the base has the mate's way.
            others = "csv" if matching.method == "csv" else "frame"
            how |= {index: matching.method if places[index].role == "base" else others for index in frames}
    return replace(matching, dslr_of_phone=found.dslr_of, how=how, places=places, between=found.between)


def _photos(folder: Place, session: str) -> list[Shot]:
    paths = list_photos(folder)
    # If a folder holds IMG_1.jpg and IMG_1.png, the suffix distinguishes them.
    uses = Counter(identifier(path.stem).lower() for path in paths)
    # No file name holds a slash, so these names differ from every stem with the same ending.
    names = [path.stem if uses[identifier(path.stem).lower()] == 1 else f"{path.stem}/{path.suffix}" for path in paths]
    return [
        Shot(path, moment_identifier(session, name), how_taken(path)) for path, name in zip(paths, names, strict=True)
    ]


def _check_name(path: Place) -> None:
    for known_as in (path.absolute(), path.resolve()):
        if not is_unicode(known_as):
            raise DpedtoolError(f"The name of {printable(known_as)} is not valid UTF-8: rename it.")


def _match(phones: Sequence[Shot], dslrs: Sequence[Shot], params: PairParams, refusal: str) -> Matching:
    """Match by names or by clocks, depending on the parameters and the photos; each error begins with `refusal`."""
    names = _match_names(phones, dslrs)
    by_name = Matching(names, "paired by equal file names", "name")
    if params.by == "name" and names:
        return by_name
    clocks = read_clocks(phones, dslrs, params) if params.by != "name" else None
    # Two cameras that both count IMG_0001 upwards share some names by chance, so a few equal ones prove nothing.
    if params.by == "auto" and names and 2 * len(names) >= min(len(phones), len(dslrs)):
        return (clocks.against(names) if clocks else None) or by_name
    if clocks is None:
        if params.by == "auto" and names:
            return by_name
        raise _no_clue(refusal, params.by)
    clocks = clocks.decided()
    if doubt := clocks.doubt():
        raise DpedtoolError(f"{refusal} by their capture times: {doubt}.")
    return clocks.matching()


def _listed(csv: str, phones: Sequence[Shot], dslrs: Sequence[Shot], session: str) -> Matching:
    path = as_place(csv)
    if not isinstance(path, Path):
        raise DpedtoolError(f"{csv} is a URL: only photos are read from URLs, so pair.csv must name a local file.")
    pairs = read_pair_list(path, [phone.path for phone in phones], [dslr.path for dslr in dslrs], session)
    return Matching(pairs, f"paired by the list {path}", "csv")


def _match_names(phones: Sequence[Shot], dslrs: Sequence[Shot]) -> dict[int, int]:
    """Phone index to DSLR index of photos with equal stems, ignoring case; stems used twice in a folder are ignored."""
    places = [_unique_stems(phones), _unique_stems(dslrs)]
    return {places[0][stem]: places[1][stem] for stem in sorted(places[0].keys() & places[1].keys())}


def _unique_stems(photos: Sequence[Shot]) -> dict[str, int]:
    uses = Counter(photo.path.stem.lower() for photo in photos)
    return {photo.path.stem.lower(): index for index, photo in enumerate(photos) if uses[photo.path.stem.lower()] == 1}


@dataclass(frozen=True)
class _Camera:
    """Which phone's photos, and of which session."""

    name: str
    session: str = ""


def _rows(camera: _Camera, phones: Sequence[Shot], dslrs: Sequence[Shot], matching: Matching) -> list[Pair]:
    couples = matching.couples(phones, dslrs)
    label = f"pair {camera.session}" if camera.session else "pair"
    return [_row(camera, couple, matching) for couple in track(couples, label, len(couples))]


def _row(camera: _Camera, couple: Couple, matching: Matching) -> Pair:
    phone, dslr, place = couple.phone, couple.dslr, couple.place
    sums, (reason, detail) = _sums([photo.path for photo in (phone, dslr) if photo])
    if not reason:
        reason, detail = _why_unpaired(couple, matching)
    if not reason and place and place.why:
        detail = f"The base of {place.count} frames: {place.why}."
    offset, error_s = _clock_columns(phone, dslr, matching)
    return Pair(
        pair_id=_pair_id(camera, phone, dslr),
        phone=camera.name,
        session=camera.session,
        scene_id=dslr.name if dslr else None,
        status="unpaired" if reason else "paired",
        reason=reason,
        detail=detail,
        matched_by=None if reason else couple.how,
        role=None if reason or not place else place.role,
        frame=None if reason or not place else place.number,
        frames=None if reason or not place else place.count,
        phone_path=phone.path if phone else None,
        dslr_path=dslr.path if dslr else None,
        phone_sha256=sums.get(phone.path) if phone else None,
        dslr_sha256=sums.get(dslr.path) if dslr else None,
        phone_time=phone.time.isoformat() if phone and phone.time else None,
        dslr_time=dslr.time.isoformat() if dslr and dslr.time else None,
        clock_offset_s=offset,
        clock_error_s=error_s,
    )


def _sums(paths: Sequence[Place]) -> tuple[dict[Place, str], tuple[str, str]]:
    """Return the SHA-256 of readable files, and reason and detail of an unreadable one, empty if there is none."""
    sums: dict[Place, str] = {}
    failure = ("", "")
    for path in paths:
        try:
            sums[path] = file_sha256(path)
        except OSError as error:
            failure = ("unreadable_photo", f"{path} cannot be read: {error.strerror or error}.")
        except DpedtoolError as error:
            failure = ("unreadable_photo", str(error))
    return sums, failure


def _unusable_row(camera: _Camera, photo: Shot, is_phone: bool) -> Pair:
    """Return the row of a photo with an unusable name, which the table cannot hold as it is."""
    return Pair(
        pair_id=_pair_id(camera, *((photo, None) if is_phone else (None, photo))),
        phone=camera.name,
        session=camera.session,
        scene_id=None if is_phone else photo.name,
        status="unpaired",
        reason="unusable_name",
        detail=f"{printable(photo.path)}: the name is not valid UTF-8; rename the photo.",
    )


def _pair_id(camera: _Camera, phone: Shot | None, dslr: Shot | None) -> str:
    return f"{identifier(camera.name, most=28)}--{_moment_name(phone, dslr)}"


def _moment_name(phone: Shot | None, dslr: Shot | None) -> str:
    if phone:
        return phone.name
    return f"missing--{dslr.name}" if dslr else "missing"


def _why_unpaired(couple: Couple, matching: Matching) -> tuple[str, str]:
    phone, dslr = couple.phone, couple.dslr
    if phone and dslr:
        return "", ""
    if phone and couple.is_between:
        return "between_moments", (
            f"{phone.path} was taken between two moments, and neither is clearly nearer: name its DSLR photo in a list "
            "of pairs (pair.csv), or remove it."
        )
    there = phone or dslr
    if there is None:
        raise ValueError("a row needs a photo")
    if matching.method == "csv":
        return "not_in_csv", f"{there.path} has no mate: the list of pairs does not name it."
    by_clock = matching.method == "clock"
    if by_clock and there.time is None:
        return "no_capture_time", f"{there.path} has no EXIF capture time, and the file names do not match."
    how = f"left that fits its capture time {there.time}" if by_clock else f"named {there.path.stem}"
    if phone:
        return "no_dslr_photo", f"{phone.path} has no mate: the DSLR has no photo {how}."
    return "no_phone_photo", f"{there.path} has no mate: the phone has no photo {how}."


def _clock_columns(phone: Shot | None, dslr: Shot | None, matching: Matching) -> tuple[float | None, float | None]:
    """Offset and remaining error in seconds; None for pairs by name, so that the table shows how it was made."""
    if not (matching.offsets and phone and dslr):
        return None, None
    return matching.offsets[phone.path], clock_error(phone, dslr, matching.offsets)


def _no_clue(refusal: str, by: str) -> DpedtoolError:
    no_names, no_times = "they have no file names in common", "one folder or both have no capture times (EXIF)"
    lacking = {"name": no_names, "clock": no_times}.get(by, f"{no_names}, and {no_times}")
    return DpedtoolError(f"{refusal}: {lacking}; {SAME_NAMES}.")
