"""Finds, writes and returns the pairs of what a user names: two photos, two folders or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import CapturesParams, PairParams
from dpedtool.dataset.photo_folders import check_apart, check_outside
from dpedtool.dataset.photos.left_out import LeftOut
from dpedtool.dataset.photos.listing import NoPhotosError, search_folder
from dpedtool.dataset.places import Place, answering, as_place, is_dir, is_file
from dpedtool.dataset.schema import CameraShot, Pair
from dpedtool.dataset.sidecars.synchronisation import Synchronisation
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.pair.notes import notes_of_doubles, notes_of_exposures
from dpedtool.pipeline.pair.pair_list import notes_of_sessions
from dpedtool.pipeline.pair.proposal import Line, proposed, write_proposal
from dpedtool.pipeline.pair.stage import Pairing, UnpairableError, camera_name, list_of_pairs, pair_files, pair_folders
from dpedtool.pipeline.pair.synchronisation import synchronisation


@dataclass(frozen=True)
class PairedFolders:
    """The pairs of two folders, as they were written."""

    rows: list[Pair]
    note: str
    """How they were found, as a sentence without its full stop."""
    report: Synchronisation
    shots: list[CameraShot] = field(default_factory=list)
    """All photos of both cameras."""
    notes: Sequence[str] = ()
    """What the user should know of the photos, in sentences."""
    left_out: Sequence[LeftOut] = ()
    """What the folders hold besides photos."""

    def scenes(self) -> dict[str, str]:
        """Return the session of each scene: of each photo of the DSLR that could be named."""
        return {row.scene_id: row.session for row in self.rows if row.scene_id is not None}


@dataclass(frozen=True)
class Folders:
    """The folders of one phone's photos and the DSLR's, in one session."""

    phone: Place
    dslr: Place
    session: str = ""
    """Its name; empty where there is only one."""
    recursive: bool = False
    """Whether photos in their sub-folders belong to the cameras."""
    references: Mapping[int, Place] = field(default_factory=dict)
    """The folders of further references by their numbers, from 1; a session may lack some."""


def camera_folders(captures: CapturesParams, phone: str) -> list[Folders]:
    """Return the folders of a phone's photos and of the DSLR's in each session, as the params file names them.

    Sessions that the phone took no part in are left out.

    Raises
    ------
    DpedtoolError
        A folder that the params file names does not exist; the message lists the folders that do.

    """
    root = as_place(captures.root)
    with answering(root):
        if not captures.sessions:
            _check_cameras(root, captures)
            further = {number: root / name for number, name in enumerate(captures.references, start=1)}
            return [Folders(root / phone, root / captures.reference, "", captures.recursive, further)]
        return _of_sessions(root, captures, phone)


def pair_into(
    out: Path, folders: Sequence[Folders], params: PairParams, *, may_be_empty: bool = False
) -> PairedFolders:
    """Pair the folders of each session, and write `pairs.parquet`, `shots.parquet` and `synchronisation.json` to `out`.

    The clocks are compared session by session, so that the pairs of one do not depend on the others.

    Parameters
    ----------
    out
        Folder of the tables.
    folders
        Of one phone and the DSLR, session by session.
    params
        How they are paired.
    may_be_empty
        Whether a phone without photos has empty tables, and a note, so that a run goes on with the other phones.

    Raises
    ------
    DpedtoolError
        As `dpedtool.pipeline.pair.stage.pair_folders`.

    """
    # The order in which the parameters name the sessions changes no table.
    folders = sorted(folders, key=lambda each: each.session)
    for each in folders:
        check_outside(out, (each.phone, each.dslr, *each.references.values()))
    folders, empty = _with_photos(folders) if may_be_empty else (folders, [])
    pairings = _paired(out, folders, params)
    rows = sorted((row for pairing in pairings for row in pairing.rows), key=lambda row: row.pair_id)
    report = synchronisation(rows, params.tolerance_s)
    write_rows(Pair.table_in(out), Pair, rows)
    shots = [shot for pairing in pairings for shot in pairing.shots]
    write_rows(CameraShot.table_in(out), CameraShot, shots)
    report.write(report.file_in(out))
    notes = [
        *empty,
        *_notes_of_list(folders, params),
        *(
            f"{each.session}: {note}" if each.session else note
            for each, pairing in zip(folders, pairings, strict=True)
            for note in pairing.notes
        ),
        *notes_of_doubles(shots),
        *notes_of_exposures(shots),
    ]
    left_out = [each for pairing in pairings for each in pairing.left_out if each.counts]
    note = _joined([pairing.note for pairing in pairings], folders)
    return PairedFolders(rows, note, report, shots, notes, left_out)


def _with_photos(folders: Sequence[Folders]) -> tuple[list[Folders], list[str]]:
    """Return the sessions in which the phone has photos, and notes on the others."""
    there, notes = list[Folders](), list[str]()
    for each in folders:
        try:
            search_folder(each.phone, recursive=each.recursive)
        except NoPhotosError as error:
            # The DSLR's folder must have photos in any case.
            search_folder(each.dslr, recursive=each.recursive)
            notes.append(f"{error} The run goes on without them.")
        else:
            there.append(each)
    return there, notes


def _paired(out: Path, folders: Sequence[Folders], params: PairParams) -> list[Pairing]:
    """Pair each session; if one cannot be paired, write a list of pairs beside `out` for the user to correct."""
    pairings, lines, refused = list[Pairing](), list[Line](), list[UnpairableError]()
    for each in folders:
        try:
            pairing = pair_folders(
                each.phone,
                each.dslr,
                params,
                each.session,
                recursive=each.recursive,
                references=each.references,
            )
        except UnpairableError as error:
            refused.append(error)
            lines += proposed(each.session, error.phones, error.dslrs)
        else:
            pairings.append(pairing)
            whole = [row for row in pairing.rows if row.status == "paired" and row.role != "target"]
            paired = [(row.phone_path, row.dslr_path) for row in whole]
            lines += [(each.session, phone.name, dslr.name) for phone, dslr in paired if phone and dslr]
    if refused:
        path = write_proposal(out, lines)
        raise DpedtoolError(
            f"{refused[0].why}, or correct the list of pairs {path} and name it with --csv or pair.csv."
        )
    return pairings


def _notes_of_list(folders: Sequence[Folders], params: PairParams) -> list[str]:
    """Say which lines of the user's list of pairs no session uses."""
    sessions = [each.session for each in folders if each.session]
    if params.csv is None or not sessions or not folders:
        return []
    phone = camera_name(folders[0].phone)
    return notes_of_sessions(list_of_pairs(params.csv, phone), phone, sessions)


def _joined(notes: Sequence[str], folders: Sequence[Folders]) -> str:
    """Say how the pairs were found; once, where it was the same way in all sessions."""
    if not notes:
        return "since the phone has no photos"
    if len(set(notes)) == 1:
        return notes[0]
    return "; ".join(f"{each.session}: {note}" for each, note in zip(folders, notes, strict=True))


def take_pairs(
    sources: Sequence[Place], out: Path, params: PairParams, *, recursive: bool = False
) -> list[Pair] | PairedFolders:
    """Return the pairs that one or two places name.

    Parameters
    ----------
    sources
        One folder that `dpedtool pair` wrote, two photos, or two folders.
    out
        Where the table of the pairs of two photos or folders is written.
    params
        How folders are paired.
    recursive
        Whether photos in sub-folders of two folders belong to the cameras.

    Raises
    ------
    DpedtoolError
        The one folder holds no table of pairs, the two places are a photo and a folder, or two folders cannot be
        paired.

    """
    if len(sources) == 1:
        rows = _written_pairs(sources[0])
        check_apart(out, rows)
        return rows
    phone, dslr = sources
    photos = [is_file(place) for place in (phone, dslr)]
    if not any(photos):
        return pair_into(out, [Folders(phone, dslr, recursive=recursive)], params)
    if any(is_dir(place) for place in (phone, dslr)):
        raise DpedtoolError(f"{phone} and {dslr} are a photo and a folder: name two photos or two folders.")
    pairing = pair_files(phone, dslr)
    check_apart(out, pairing.rows)
    write_rows(Pair.table_in(out), Pair, pairing.rows)
    return pairing.rows


def _written_pairs(folder: Place) -> list[Pair]:
    if not isinstance(folder, Path) or not Pair.table_in(folder).is_file():
        raise DpedtoolError(
            f"{folder} holds no table of pairs: name the DSLR's photo or folder too, or a folder that "
            "`dpedtool pair` wrote."
        )
    return read_rows(Pair.table_in(folder), Pair)


def _of_sessions(root: Place, captures: CapturesParams, phone: str) -> list[Folders]:
    """Return the folders of each session, and refuse sessions of the params file that cannot be used."""
    found = _folders_in(root)
    if missing := [name for name in captures.sessions if name not in found]:
        raise DpedtoolError(
            f"{root} has no folder {', '.join(missing)}: it holds {', '.join(sorted(found)) or 'no folders'}; name the "
            "sessions' folders in captures.sessions of the params file."
        )
    folders, places, lacking = [], dict[Place, str](), set(captures.references)
    for session in captures.sessions:
        place = (root / session / captures.reference).resolve()
        if (other := places.setdefault(place, session)) != session:
            raise DpedtoolError(
                f"The sessions {other} and {session} have the same photos of {captures.reference}, in {place}: leave "
                "one of them out of captures.sessions."
            )
        cameras = _folders_in(root / session)
        if captures.reference not in cameras:
            raise DpedtoolError(
                f"The session {session} has no folder {captures.reference} in {root / session}, so that its photos "
                f"have no reference; it holds {', '.join(sorted(cameras)) or 'no folders'}: add the DSLR's photos, or "
                "leave the session out of captures.sessions."
            )
        if phone in cameras:
            numbered = enumerate(captures.references, start=1)
            further = {number: root / session / name for number, name in numbered if name in cameras}
            of_base = root / session / captures.reference
            folders.append(Folders(root / session / phone, of_base, session, captures.recursive, further))
        lacking -= cameras
    if lacking:
        raise DpedtoolError(
            f"No session in {root} has a folder {', '.join(sorted(lacking))}, which captures.references of the params "
            "file names: correct the name, or leave it out."
        )
    if not folders:
        raise DpedtoolError(
            f"No session in {root} has a folder {phone}: name the phones' folders in captures.phones of the params "
            "file."
        )
    return folders


def _folders_in(place: Place) -> set[str]:
    if not place.is_dir():
        raise DpedtoolError(f"There is no folder {place}: captures.root in the params file must name an existing one.")
    return {path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")}


def _check_cameras(root: Place, captures: CapturesParams) -> None:
    """Refuse cameras of the params file that have no folder: the most common mistake with one's own photos."""
    wanted, found = {captures.reference, *captures.references, *captures.phones}, _folders_in(root)
    if missing := sorted(wanted - found):
        raise DpedtoolError(
            f"{root} has no folder {', '.join(missing)}: it holds {', '.join(sorted(found)) or 'no folders'}; name "
            "the DSLR's folder in captures.reference, those of further references in captures.references and the "
            "phones' folders in captures.phones of the params file. If it holds one folder a session, name these in "
            "captures.sessions."
        )
