"""Checks every file, patch and scene of a release that somebody has downloaded.

Nothing in a release is trusted: links are not followed, names cannot lead out of the folder, nothing is unpickled or
unpacked to the disk, and headers are checked before the data behind them. Nothing is written. Every defect is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import LayoutName, ReleaseParams
from dpedtool.dataset.progress import track
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.release.chunks import Chunk
from dpedtool.pipeline.release.columns import PAIRS, PATCHES, SCENES, STACKS
from dpedtool.pipeline.release.description import (
    CARD,
    CITATION,
    CROISSANT,
    EXAMPLES,
    LICENCE,
    RELEASE,
    STATISTICS,
    SUMS,
)
from dpedtool.pipeline.release.layouts import Layout, layouts_of
from dpedtool.pipeline.release.pair_folders import ROOT as WHOLE_PAIRS
from dpedtool.pipeline.release.verification.foreign import verify_foreign
from dpedtool.pipeline.release.verification.inspection import ORDER, Batch, Found, Inspection, Piece
from dpedtool.pipeline.release.verification.listing import Listing, list_release
from dpedtool.pipeline.release.verification.provenance import (
    NO_VIEWS,
    Tables,
    check_sides,
    check_tables,
    has_views,
    read_tables,
)
from dpedtool.pipeline.release.verification.scenes import check_scenes
from dpedtool.pipeline.release.verification.stacks import check_stacks
from dpedtool.pipeline.release.verification.statement import Statement, check_documents, read_statement
from dpedtool.pipeline.release.verification.whole_photos import check_whole_pairs, check_whole_photos, files_of_pairs
from dpedtool.pipeline.runner import Lost, run, warm_up

FILES_A_BATCH = 500
_TOPMOST = frozenset({CARD, LICENCE, CITATION, CROISSANT, STATISTICS, RELEASE, PATCHES, PAIRS, SCENES, STACKS})
_FOLDERS = tuple(f"{name}/" for name in (*ORDER, EXAMPLES, WHOLE_PAIRS))
"""The folders that a release may have."""
Checked = tuple[Sequence[str], Sequence[str]]
"""What is wrong, and what was found to be right, one line each."""


def verify(folder: Path, *, workers: int = 1, scheduler: str | None = None) -> Verdict:
    """Check a release, or another folder in the layout of DPED.

    Parameters
    ----------
    folder
        The release, or the folder.
    workers
        Number of processes.
    scheduler
        Address of a Dask cluster that does the work instead; its workers must see the folder under the same path.

    Raises
    ------
    DpedtoolError
        The folder is neither.

    """
    tables = [folder / PATCHES, folder / PAIRS]
    if (folder / RELEASE).exists() or all(path.exists() for path in tables):
        return verify_release(folder, workers=workers, scheduler=scheduler)
    return verify_foreign(folder, workers=workers, scheduler=scheduler)


def verify_release(folder: Path, *, workers: int = 1, scheduler: str | None = None) -> Verdict:
    """Check a release. Every defect is a line that begins with the name of the file.

    Parameters
    ----------
    folder, workers, scheduler
        As of `verify`.

    Returns
    -------
    Verdict
        The same for any number of workers. If the release has no thumbnails, the last line says that views were not
        compared.

    Raises
    ------
    DpedtoolError
        The folder does not exist, or the cluster was lost.

    """
    if not folder.is_dir():
        raise DpedtoolError(f"There is no folder {folder}: name the folder of a release.")
    warm_up(workers, "dpedtool.pipeline.release.verification.inspection")
    # Arrow would read a relative name such as s3:x as an address.
    folder = folder.absolute()
    listing = list_release(folder)
    statement, unread = read_statement(folder, listing)
    tables, damaged = read_tables(folder) if listing.holds(PATCHES) and listing.holds(PAIRS) else (None, [])
    stacks = check_stacks(folder, listing, statement, tables)
    # Without a usable table of stacks, nobody knows which frames there should be.
    known = None if stacks[0] or (statement and statement.stacks and not listing.holds(STACKS)) else statement
    parts = [
        (listing.faults, []),
        (unread, []),
        check_documents(folder, listing, statement),
        (damaged, []),
        *([check_tables(tables, statement), check_sides(tables)] if tables else []),
        check_scenes(folder, listing, statement, tables.pairs if tables else None),
        stacks,
        _check_files(folder, listing, known, tables, {"workers": workers, "scheduler": scheduler}),
    ]
    said = [line for _, of in parts for line in of]
    said += [] if tables is None or has_views(tables.pairs) else [NO_VIEWS]
    return Verdict([fault for of, _ in parts for fault in of], said, is_proof=True)


def _check_files(
    folder: Path, listing: Listing, statement: Statement | None, tables: Tables | None, how: Mapping[str, Any]
) -> Checked:
    """Check every file, and say what was found."""
    work = _Work(listing, statement, tables)
    faults = list(_strays(listing, work, statement))
    if statement and work.chunks:
        faults += [*check_whole_photos(folder, listing, statement.photos), *_across_sides(listing, work)]
        faults += check_whole_pairs(folder, listing, statement, work.whole_pairs)
    found = _look(folder, statement, work.items(), how)
    faults += found.faults
    if statement and tables and not faults and found.encoded != statement.encoded:
        faults.append(
            f"{RELEASE}: its count of patches that were encoded again for layout dped is {statement.encoded}, but "
            f"{found.encoded} were found."
        )
    return faults, list(_said(listing, statement, found))


def _said(listing: Listing, statement: Statement | None, found: Found) -> Iterator[str]:
    """Say what was checked. Whole files and patches are counted even if there are faults elsewhere."""
    changed = found.changed | (listing.sums.keys() - listing.there.keys())
    yield f"{len(listing.sums) - len(changed)} of the {len(listing.sums)} files in {SUMS} are there and unchanged."
    if listing.passed_over:
        yield f"Not checked, as hubs or version control put them there: {', '.join(listing.passed_over)}."
    if statement:
        total = sum(sum(counts.values()) for counts in statement.counts.values())
        sides = {scale * statement.size_px for scale in (1, statement.target_scale)}
        px = " and ".join(f"{side} x {side}" for side in sorted(sides))
        for layout, patches in found.patches.items():
            yield (
                f"Layout {layout}: {patches} of {total} patches have both images, undamaged and {px} px, as "
                "the tables say."
            )
    yield f"{found.files} files were searched for private data."


class _Work:
    """The files of a release to check, in pieces and batches."""

    def __init__(self, listing: Listing, statement: Statement | None, tables: Tables | None) -> None:
        self._listing = listing
        is_known = statement is not None and tables is not None
        self.layouts: Mapping[LayoutName, Layout] = layouts_of(statement.params) if statement and is_known else {}
        self.chunks: Sequence[Chunk] = tables.chunks if tables and is_known else ()
        self.whole_pairs = files_of_pairs(statement, tables) if statement and tables else {}
        """The files of the whole pairs by name, on the sides that the table of pairs gives."""

    def items(self) -> list[Piece | Batch]:
        """Return the pieces, then batches of all other files."""
        pieces = [self._piece(chunk) for chunk in self.chunks]
        patches = {name for piece in pieces for name in piece.sums}
        others = [name for name in sorted(self._listing.there) if name not in patches]
        starts = range(0, len(others), FILES_A_BATCH)
        return [*pieces, *(Batch(self._sums(others[start : start + FILES_A_BATCH])) for start in starts)]

    def _piece(self, chunk: Chunk) -> Piece:
        files = {name: layout.files(chunk) for name, layout in self.layouts.items()}
        linked = {name for name, of in files.items() if any(map(self._is_behind_link, {of[0], of[-1]}))}
        return Piece(chunk, self._sums(file for of in files.values() for file in of), frozenset(linked))

    def _sums(self, names: Iterable[str]) -> dict[str, str | None]:
        return {name: self._listing.sums.get(name) for name in names if self._listing.holds(name)}

    def _is_behind_link(self, name: str) -> bool:
        """Return whether a folder on the way to a file is a link."""
        return any(above.as_posix() in self._listing.links for above in PurePosixPath(name).parents)


def _look(folder: Path, statement: Statement | None, items: Sequence[Piece | Batch], how: Mapping[str, Any]) -> Found:
    """Check all files, and add up what was found, in the order of the items."""
    if statement:
        sides = {"size_px": statement.size_px, "target_px": statement.target_scale * statement.size_px}
        at = Inspection(folder, statement.params, statement.encoded, has_stacks=bool(statement.stacks), **sides)
    else:
        at = Inspection(folder, ReleaseParams(), 0, has_stacks=False, size_px=1, target_px=1)
    numbers = {id(item): number for number, item in enumerate(items)}
    results: dict[int, Found] = {}
    with closing(run(at.look, items, **how)) as looks:
        for item, result in track(looks, "Verified", len(items)):
            if isinstance(result, Lost):
                result = Found([f"{_called(item)} could not be checked: {result.detail}"])
            results[numbers[id(item)]] = result
    total = Found()
    for _, found in sorted(results.items()):
        total.add(found)
    return total


def _called(item: Piece | Batch) -> str:
    names = list(item.sums)
    return f"{names[0]} and {len(names) - 1} other files" if len(names) > 1 else next(iter(names), "a piece")


def _strays(listing: Listing, work: _Work, statement: Statement | None) -> Iterator[str]:
    """Name files that are not part of the release. Folders of layouts need a readable release to be checked."""
    known = {*_TOPMOST} - ({SCENES} if statement and not statement.has_scenes else set())
    known -= {STACKS} if statement and not statement.stacks else set()
    if is_known := statement is not None and bool(work.chunks):
        known |= {name for layout in work.layouts.values() for chunk in work.chunks for name in layout.files(chunk)}
        known |= {photo["file"] for photo in statement.photos}
        known |= {photo["dslr"]["file"] for photo in statement.photos if photo.get("dslr")}
        known |= {f"{EXAMPLES}/{phone}.png" for phone in statement.counts}
        known |= {name for files in work.whole_pairs.values() for name in files}
    for name in sorted(listing.there.keys() - known):
        if is_known or not name.startswith(_FOLDERS):
            yield f"{name}: it is not part of the release."


def _across_sides(listing: Listing, work: _Work) -> Iterator[str]:
    """Name images of layout dped that are the same on two sides according to the list of sums."""
    seen: dict[str, dict[str, str]] = {}
    if layout := work.layouts.get("dped"):
        for chunk in work.chunks:
            for name in layout.files(chunk):
                if sha256 := listing.sums.get(name):
                    seen.setdefault(sha256, {}).setdefault(chunk.split, name)
    for sides in seen.values():
        if len(sides) > 1:
            named = ", ".join(f"{name} in {side}" for side, name in sorted(sides.items()))
            yield f"{min(sides.values())}: the same image is on {len(sides)} sides: {named}."
