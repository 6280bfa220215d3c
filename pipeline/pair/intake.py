"""Finds, writes and returns the pairs of what a user names: two photos, two folders or a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import CapturesParams, PairParams
from dpedtool.dataset.places import Place, answering, as_place, is_dir, is_file
from dpedtool.dataset.schema import Pair
from dpedtool.dataset.sidecars.synchronisation import Synchronisation
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.pair.stage import pair_files, pair_folders
from dpedtool.pipeline.pair.synchronisation import synchronisation


@dataclass(frozen=True)
class PairedFolders:
    """The pairs of two folders, as they were written."""

    rows: list[Pair]
    note: str
    """How they were found, as a sentence without its full stop."""
    report: Synchronisation


def camera_folders(captures: CapturesParams, phone: str) -> tuple[Place, Place]:
    """Return the folder of a phone's photos and that of the DSLR's, as the params file names them.

    Raises
    ------
    DpedtoolError
        A folder that the params file names does not exist; the message lists the folders that do.

    """
    root = as_place(captures.root)
    with answering(root):
        _check_cameras(root, captures)
    return root / phone, root / captures.reference


def pair_into(out: Path, phone_dir: Place, dslr_dir: Place, params: PairParams) -> PairedFolders:
    """Pair two folders, and write `out/pairs.parquet` and `out/synchronisation.json`.

    Raises
    ------
    DpedtoolError
        As `dpedtool.pipeline.pair.stage.pair_folders`.

    """
    pairing = pair_folders(phone_dir, dslr_dir, params)
    report = synchronisation(pairing.rows, params.tolerance_s)
    write_rows(Pair.table_in(out), Pair, pairing.rows)
    report.write(report.file_in(out))
    return PairedFolders(pairing.rows, pairing.note, report)


def take_pairs(sources: Sequence[Place], out: Path, params: PairParams) -> list[Pair] | PairedFolders:
    """Return the pairs that one or two places name.

    Parameters
    ----------
    sources
        One folder that `dpedtool pair` wrote, two photos, or two folders.
    out
        Where the table of the pairs of two photos or folders is written.
    params
        How folders are paired.

    Raises
    ------
    DpedtoolError
        The one folder holds no table of pairs, the two places are a photo and a folder, or two folders cannot be
        paired.

    """
    if len(sources) == 1:
        return _written_pairs(sources[0])
    phone, dslr = sources
    photos = [is_file(place) for place in (phone, dslr)]
    if not any(photos):
        return pair_into(out, phone, dslr, params)
    if any(is_dir(place) for place in (phone, dslr)):
        raise DpedtoolError(f"{phone} and {dslr} are a photo and a folder: name two photos or two folders.")
    pairing = pair_files(phone, dslr)
    write_rows(Pair.table_in(out), Pair, pairing.rows)
    return pairing.rows


def _written_pairs(folder: Place) -> list[Pair]:
    if not isinstance(folder, Path) or not Pair.table_in(folder).is_file():
        raise DpedtoolError(
            f"{folder} holds no table of pairs: name the DSLR's photo or folder too, or a folder that "
            "`dpedtool pair` wrote."
        )
    return read_rows(Pair.table_in(folder), Pair)


def _check_cameras(root: Place, captures: CapturesParams) -> None:
    """Refuse cameras of the params file that have no folder: the most common mistake with one's own photos."""
    wanted = {captures.reference, *captures.phones}
    if not root.is_dir():
        raise DpedtoolError(f"There is no folder {root}: captures.root in the params file must name an existing one.")
    found = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if missing := sorted(wanted - found):
        raise DpedtoolError(
            f"{root} has no folder {', '.join(missing)}: it holds {', '.join(sorted(found)) or 'no folders'}; name "
            "the DSLR's folder in captures.reference and the phones' folders in captures.phones of the params file."
        )
