"""Stage pair: which phone photo and which DSLR photo show the same moment, by list, file names or capture times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.names import MOST_OF_CAMERA, identifier, moment_identifier
from dpedtool.dataset.params import COLUMNS_OF_LIST, PairParams
from dpedtool.dataset.photos.decoding import MOST_BYTES, how_taken
from dpedtool.dataset.photos.formats.table import format_of_suffix
from dpedtool.dataset.photos.left_out import LeftOut
from dpedtool.dataset.photos.listing import NoPhotosError
from dpedtool.dataset.places import Place, answering, as_place, printable
from dpedtool.dataset.progress import track
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.pipeline.pair.by_pictures import compare_all
from dpedtool.pipeline.pair.clock_pairing import clock_error, read_clocks
from dpedtool.pipeline.pair.clock_remedies import SAME_NAMES
from dpedtool.pipeline.pair.exposures import index_by_stem, index_by_subpath, is_raw, read_folder
from dpedtool.pipeline.pair.likeness import Pictures
from dpedtool.pipeline.pair.moments import with_frames
from dpedtool.pipeline.pair.notes import notes_of_contradictory, notes_of_damage, notes_of_equal
from dpedtool.pipeline.pair.order import in_order_named
from dpedtool.pipeline.pair.pair_list import read_pair_list
from dpedtool.pipeline.pair.references import shots_of_reference, targets_of
from dpedtool.pipeline.pair.shot_table import shots_of
from dpedtool.pipeline.pair.shots import Couple, Matching, Shot, is_one_line
from dpedtool.pipeline.pair.small import notes_of_small
from dpedtool.pipeline.pair.swapped import notes_of_swapped


@dataclass(frozen=True)
class Pairing:
    """The pairs of two cameras, and how they were found, in one sentence."""

    rows: list[Pair]
    note: str
    shots: list[CameraShot]
    """All photos of both cameras, in the order of `shot_table.shots_of`, then those of further references."""
    notes: Sequence[str] = ()
    """What the user should know of them, in sentences."""
    left_out: Sequence[LeftOut] = ()
    """What the folders hold besides photos."""


def pair_folders(
    phone_dir: Place,
    dslr_dir: Place,
    params: PairParams,
    session: str = "",
    *,
    recursive: bool = False,
    references: Mapping[int, Place] = MappingProxyType({}),
) -> Pairing:
    """Pair the photos of two folders, by the user's list, by file name or by capture time.

    Parameters
    ----------
    phone_dir, dslr_dir
        The folders.
    params
        How they are paired.
    session
        Name of the session, which becomes a part of the identifiers; empty where there is only one.
    recursive
        Whether photos in sub-folders of the folders belong to the cameras.
    references
        Folders of further references by their numbers; their photos are further targets of the moments.

    Returns
    -------
    Pairing
        One row for each pair and one for each photo without a mate, sorted by pair_id.

    Raises
    ------
    DpedtoolError
        A folder is missing, is empty or has an unusable name; or the user's list is wrong.
    UnpairableError
        Neither names nor capture times, or whatever else was asked for, show which photos belong together.

    """
    _check_folders(phone_dir, dslr_dir, list(references.values()))
    found = _pair_two(phone_dir, dslr_dir, params, session, recursive=recursive)
    for number, folder in references.items():
        found = _with_reference(found, folder, number, phone_dir, params, session, recursive=recursive)
    return found


def _check_folders(phone_dir: Place, dslr_dir: Place, references: Sequence[Place]) -> None:
    for folder in (phone_dir, dslr_dir, *references):
        _check_name(folder)
    if phone_dir.resolve() == dslr_dir.resolve():
        raise DpedtoolError(
            f"{phone_dir} is given both as the phone's folder and as the DSLR's: name two different folders."
        )
    cameras = {camera_name(folder).casefold() for folder in (phone_dir, dslr_dir)}
    places = {phone_dir.resolve(), dslr_dir.resolve()}
    for folder in references:
        name = camera_name(folder).casefold()
        if name in COLUMNS_OF_LIST:
            raise DpedtoolError(
                f"The further reference {folder} is called like a column of lists of pairs: give the folder another "
                "name."
            )
        if folder.resolve() in places or name in cameras:
            raise DpedtoolError(
                f"The further reference {folder} is, or has the name of, the folder of another camera: give each "
                "camera a folder with a name of its own."
            )
        cameras.add(name)
        places.add(folder.resolve())


def _with_reference(
    found: Pairing,
    folder: Place,
    number: int,
    phone_dir: Place,
    params: PairParams,
    session: str,
    *,
    recursive: bool,
) -> Pairing:
    """Add the photos of a further reference to a pairing."""
    name = camera_name(folder)
    # An offset that the user names is that of the base reference's clock.
    params = replace(params, offset_s=None)
    sums = {row.phone_path: row.phone_sha256 for row in found.rows if row.phone_path and row.phone_sha256}
    try:
        other = _pair_two(phone_dir, folder, params, session, recursive=recursive, reference=name, sums=sums)
    except NoPhotosError as error:
        if not session:
            raise
        return replace(found, notes=[*found.notes, f"{name}: {error} The session goes on without them."])
    except UnpairableError as error:
        raise DpedtoolError(
            f"{error.why}, or name its photos in a column {name} of a list of pairs (pair.csv), or leave {name} out of "
            "captures.references. (pair.offset_s is for the base reference alone.)"
        ) from None
    rows, moments, notes = targets_of(found.rows, other.rows, name, number)
    new = [note for note in other.notes if note not in found.notes]
    return replace(
        found,
        rows=sorted([*found.rows, *rows], key=lambda row: row.pair_id),
        shots=[*found.shots, *shots_of_reference(other.shots, name, moments)],
        notes=[*found.notes, *(f"{name}: {note}" for note in (*new, *notes))],
        left_out=[*found.left_out, other.left_out[1]],
    )


def _pair_two(
    phone_dir: Place,
    dslr_dir: Place,
    params: PairParams,
    session: str,
    *,
    recursive: bool,
    reference: str = "",
    sums: Mapping[Place, str] = MappingProxyType({}),
) -> Pairing:
    """Pair the photos of the phone and of one reference.

    `reference` is the name of a further one, and `sums` are the SHA-256, hex, of photos that have been read already.
    """
    cameras = [read_folder(folder, session, recursive=recursive) for folder in (phone_dir, dslr_dir)]
    phones, dslrs = ([shot for shot in each.photos if shot.is_usable] for each in cameras)
    for folder, usable in ((phone_dir, phones), (dslr_dir, dslrs)):
        if not usable:
            raise DpedtoolError(f"No photo in {folder} has a name that is one line of valid UTF-8: rename them.")
    camera, pictures = camera_name(phone_dir), Pictures()
    if params.csv is None:
        matching = _match(phones, dslrs, params, pictures, f"The photos of {phone_dir} and {dslr_dir} cannot be paired")
    else:
        path = list_of_pairs(params.csv, camera)
        lying = [shot for each in cameras for shot in each.beside]
        beside = {shot.path: shot.beside.path for shot in lying if shot.beside}
        places = [shot.path for shot in phones], [shot.path for shot in dslrs]
        pairs = read_pair_list(path, *places, session, beside, reference)
        matching = Matching(pairs, f"paired by the list {path}", "csv")
    raws = [shot for shot in cameras[0].beside if is_raw(shot)]
    missing = next((extra for shot in raws if (extra := format_of_suffix(shot.path).missing_extra)), "")
    no_frames = missing or not params.frames_s
    every, matching = with_frames(matching, phones, [] if no_frames else raws, dslrs, params.frames_s, pictures)
    of = _Camera(camera, session, sums)
    rows = _rows(of, every, dslrs, matching)
    rows += [_unusable_row(of, photo, is_phone=True) for photo in cameras[0].photos if not photo.is_usable]
    rows += [_unusable_row(of, photo, is_phone=False) for photo in cameras[1].photos if not photo.is_usable]
    rows.sort(key=lambda row: row.pair_id)
    frames = {shot.path for shot in every}
    others = [shot for each in cameras for shot in each.beside if shot.path not in frames]
    of_others = _sums([shot.path for shot in others])[0]
    with_sums = [(shot, of_others.get(shot.path)) for shot in others]
    shots = shots_of(rows, [*every, *dslrs], camera_name(dslr_dir), with_sums)
    notes = [each.left_out.sentence for each in cameras if each.left_out.sentence]
    notes += [note for each in cameras for note in notes_of_contradictory(each)]
    notes += notes_of_damage(pictures.damaged, rows)
    notes += notes_of_equal(rows)
    notes += notes_of_small([(row.phone_path, row.dslr_path) for row in rows if row.status == "paired"])
    notes += notes_of_swapped(phone_dir, dslr_dir, phones, dslrs)
    if raws and missing:
        notes.append(f"The raw files beside the photos in {phone_dir} are no frames, because {missing}.")
    return Pairing(rows, matching.note, shots, [*notes, *matching.notes], [each.left_out for each in cameras])


def camera_name(folder: Place) -> str:
    """Return the name of a camera's folder, as tables have it."""
    # The path is not resolved, because a linked folder keeps the name that the user gave it.
    return folder.absolute().name or folder.resolve().name


def list_of_pairs(csv: str, camera: str) -> Path:
    """Return the path of the user's list of pairs of one phone.

    Raises
    ------
    DpedtoolError
        It is a URL.

    """
    path = as_place(csv.replace("{phone}", camera))
    if not isinstance(path, Path):
        raise DpedtoolError(f"{path} is a URL: only photos are read from URLs, so pair.csv must name a local file.")
    return path


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
    photos = [Shot(path, moment_identifier("", path.stem), how_taken(path)) for path in (phone, dslr)]
    _, matching = with_frames(Matching({0: 0}, "", "name"), photos[:1], [], photos[1:], 0, Pictures())
    rows = _rows(_Camera("phone"), photos[:1], photos[1:], matching)
    return Pairing(rows, "given as two photos", shots_of(rows, photos, "dslr"))


def _check_name(path: Place) -> None:
    for known_as in (path.absolute(), path.resolve()):
        if not is_one_line(known_as):
            raise DpedtoolError(f"The name of {printable(known_as)} is not one line of valid UTF-8: rename it.")


def _match(
    phones: Sequence[Shot], dslrs: Sequence[Shot], params: PairParams, pictures: Pictures, refusal: str
) -> Matching:
    """Match by names or by clocks, depending on the parameters and the photos; each error begins with `refusal`."""
    if params.by == "order":
        return _match_order(phones, dslrs, refusal)
    if params.by == "pictures":
        return _match_pictures(phones, dslrs, pictures, refusal)
    names = _match_names(phones, dslrs)
    by_name = Matching(names, "paired by equal file names", "name")
    if params.by == "name" and names:
        return by_name
    clocks = read_clocks(phones, dslrs, params, pictures) if params.by != "name" else None
    # Two cameras that both count IMG_0001 upwards share some names by chance, so a few equal ones prove nothing.
    if params.by == "auto" and names and 2 * len(names) >= min(len(phones), len(dslrs)):
        return (clocks.against(names) if clocks else None) or by_name
    if clocks is None:
        if params.by == "auto" and names:
            return by_name
        raise _no_clue(phones, dslrs, names, params, refusal)
    clocks = clocks.decided()
    if doubt := clocks.doubt():
        raise UnpairableError(f"{refusal} by their capture times: {doubt}, or {_compare(phones, dslrs)}", phones, dslrs)
    return clocks.matching()


def _match_order(phones: Sequence[Shot], dslrs: Sequence[Shot], refusal: str) -> Matching:
    if len(phones) != len(dslrs):
        raise UnpairableError(
            f"{refusal} by the order of their names: the phone has {len(phones)} photos and the DSLR {len(dslrs)}, and "
            "the order tells only of equally many which belong together; remove the photos without a mate",
            phones,
            dslrs,
        )
    places = [{shot.path: place for place, shot in enumerate(shots)} for shots in (phones, dslrs)]
    ordered = zip(in_order_named(phones), in_order_named(dslrs), strict=True)
    found = {places[0][phone.path]: places[1][dslr.path] for phone, dslr in ordered}
    note = f"paired by the order of the file names alone, since both cameras have {len(phones)} photos (pair.by=order)"
    return Matching(found, note, "sequence")


def _match_pictures(phones: Sequence[Shot], dslrs: Sequence[Shot], pictures: Pictures, refusal: str) -> Matching:
    found = compare_all(phones, dslrs, pictures)
    if not found.partners:
        raise UnpairableError(
            f"{refusal} by their pictures: no photo of the phone and no photo of the DSLR clearly show the same, and "
            f"nothing else; {SAME_NAMES}",
            phones,
            dslrs,
        )
    note = "paired by what the photos show (pair.by=pictures)"
    return Matching(found.partners, note, "likeness", notes=found.notes, unclear=found.unclear)


def _match_names(phones: Sequence[Shot], dslrs: Sequence[Shot]) -> dict[int, int]:
    """Phone index to DSLR index of photos with equal names, ignoring case; names used twice in a folder are ignored.

    In sub-folders, names that are equal with that of the sub-folder come first.
    """
    found: dict[int, int] = {}
    for index in (index_by_subpath, index_by_stem):
        places = [index(phones), index(dslrs)]
        taken = set(found.values())
        for name in sorted(places[0].keys() & places[1].keys()):
            phone, dslr = (place[name] for place in places)
            if phone not in found and dslr not in taken:
                found[phone] = dslr
    return found


@dataclass(frozen=True)
class _Camera:
    """Which phone's photos, and of which session."""

    name: str
    session: str = ""
    sums: Mapping[Place, str] = field(default_factory=dict)
    """SHA-256, hex, of photos that have been read already."""


def _rows(camera: _Camera, phones: Sequence[Shot], dslrs: Sequence[Shot], matching: Matching) -> list[Pair]:
    couples = matching.couples(phones, dslrs)
    label = f"pair {camera.session}" if camera.session else "pair"
    return [_row(camera, couple, matching) for couple in track(couples, label, len(couples))]


def _row(camera: _Camera, couple: Couple, matching: Matching) -> Pair:
    phone, dslr, place = couple.phone, couple.dslr, couple.place
    sums, (reason, detail) = _sums([photo.path for photo in (phone, dslr) if photo], camera.sums)
    if not reason:
        reason, detail = _why_unpaired(couple, matching)
    if not reason and place:
        detail = place.detail
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


def _sums(
    paths: Sequence[Place], known: Mapping[Place, str] = MappingProxyType({})
) -> tuple[dict[Place, str], tuple[str, str]]:
    """Return the SHA-256 of readable files, and reason and detail of an unreadable one, empty if there is none.

    Files in `known` are not read again.
    """
    sums: dict[Place, str] = {}
    failure = ("", "")
    for path in paths:
        try:
            sums[path] = known.get(path) or file_sha256(path, MOST_BYTES)
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
        detail=f"{printable(photo.path)}: the name is not one line of valid UTF-8; rename the photo.",
    )


def _pair_id(camera: _Camera, phone: Shot | None, dslr: Shot | None) -> str:
    return f"{identifier(camera.name, MOST_OF_CAMERA)}--{_moment_name(phone, dslr)}"


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
    if why := matching.unclear.get(there.path):
        return "ambiguous_picture", why
    if matching.method == "csv":
        return "not_in_csv", f"{there.path} has no mate: the list of pairs does not name it."
    by_clock = matching.method == "clock"
    if by_clock and there.time is None:
        return "no_capture_time", f"{there.path} has no EXIF capture time, and the file names do not match."
    how = _that_fits(there, matching.method)
    if phone:
        return "no_dslr_photo", f"{phone.path} has no mate: the DSLR has no photo {how}."
    return "no_phone_photo", f"{there.path} has no mate: the phone has no photo {how}."


def _that_fits(photo: Shot, method: str) -> str:
    """Return what a mate of the photo would be, as a part of a sentence."""
    if method == "clock":
        return f"left that fits its capture time {photo.time}"
    return "that clearly shows the same" if method == "likeness" else f"named {photo.path.stem}"


def _clock_columns(phone: Shot | None, dslr: Shot | None, matching: Matching) -> tuple[float | None, float | None]:
    """Offset and remaining error in seconds; None for pairs by name, so that the table shows how it was made."""
    if not (matching.offsets and phone and dslr):
        return None, None
    # A raw file is of the same moment as its photo, whose time may be more exact.
    photo = phone.beside or phone
    return matching.offsets[photo.path], clock_error(photo, dslr, matching.offsets)


class UnpairableError(DpedtoolError):
    """Nothing shows which photos of two folders belong together; a list of the user's own can say so."""

    def __init__(self, why: str, phones: Sequence[Shot], dslrs: Sequence[Shot]) -> None:
        """Keep the photos; `why` is a sentence without its full stop."""
        super().__init__(f"{why}.")
        self.why, self.phones, self.dslrs = why, phones, dslrs


def _no_clue(
    phones: Sequence[Shot], dslrs: Sequence[Shot], names: Mapping[int, int], params: PairParams, refusal: str
) -> UnpairableError:
    no_names, no_times = "they have no file names in common", "one folder or both have no capture times"
    lacking = {"name": no_names, "clock": no_times}.get(params.by, f"{no_names}, and {no_times}")
    others = []
    if params.by == "clock" and names:
        others.append(f"set pair.by=name ({len(names)} file names are equal)")
    if params.by == "name":
        clocks = read_clocks(phones, dslrs, params, Pictures())
        if clocks and not clocks.decided().is_doubtful():
            others.append("set pair.by=clock (the capture times show which photos belong together)")
    if len(phones) == len(dslrs):
        others.append(
            f"set pair.by=order (both cameras have {len(phones)} photos, and the order of their names decides)"
        )
    ways = ", or ".join([SAME_NAMES, *others, _compare(phones, dslrs)])
    return UnpairableError(f"{refusal}: {lacking}; {ways}", phones, dslrs)


def _compare(phones: Sequence[Shot], dslrs: Sequence[Shot]) -> str:
    return f"set pair.by=pictures ({len(phones)} x {len(dslrs)} photos are compared)"
