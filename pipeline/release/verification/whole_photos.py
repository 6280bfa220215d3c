"""Checks that full-size test photos and whole pairs are there, and that the DSLR's belong to the phone's by size.

Their sums and the search for private data are those of all files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dpedtool.dataset.photos.stored_shape import stored_shape
from dpedtool.dataset.regular_files import open_regular
from dpedtool.pipeline.release.columns import PAIRS
from dpedtool.pipeline.release.description import RELEASE
from dpedtool.pipeline.release.pair_folders import files_of
from dpedtool.pipeline.release.verification.listing import Listing
from dpedtool.pipeline.release.verification.provenance import Tables
from dpedtool.pipeline.release.verification.statement import Statement

_HEAD = 2**18
"""Bytes that are read for the size; a profile of a well-known space, the only part before it, is much smaller."""


def check_whole_photos(folder: Path, listing: Listing, photos: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with the full-size photos that a release names, a line each.

    Parameters
    ----------
    folder
        The release.
    listing
        Its files.
    photos
        The photos as `release.json` describes them, checked by `read_statement`.

    """
    seen: set[str] = set()
    for photo in photos:
        name, dslr = photo["file"], photo.get("dslr")
        if not listing.holds(name):
            yield f"{name}: the full-size photo of the pair {photo['pair_id']} is missing."
        for named in (name, dslr["file"]) if dslr else (name,):
            if named in seen:
                yield f"{named}: it is named as two full-size photos."
            seen.add(named)
        if dslr and not listing.holds(dslr["file"]):
            yield f"{dslr['file']}: the DSLR's full-size photo of the pair {photo['pair_id']} is missing."
        elif dslr and listing.holds(name):
            yield from _faults_of_two(folder, name, dslr)


def files_of_pairs(statement: Statement, tables: Tables) -> dict[str, tuple[str, str, str]]:
    """Return the files that the whole pairs must have, by pair. Their folders are those of the table of pairs."""
    wanted, suffix = set(statement.whole_pairs), str(statement.params.whole_pairs)
    rows = zip(*(tables.pairs[name] for name in ("pair_id", "phone", "split")), strict=True)
    return {pair: files_of(phone, split, pair, suffix) for pair, phone, split in rows if pair in wanted}


def check_whole_pairs(
    folder: Path, listing: Listing, statement: Statement, files: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield what is wrong with the whole pairs of a release, a line each: what is missing, and sizes that differ.

    A pair on another side than the table of pairs says is missing at its place, and a stray file at the other.

    Parameters
    ----------
    folder, listing, statement
        The release, its files, and what it says of itself.
    files
        What `files_of_pairs` returns.

    """
    for pair_id in sorted(set(statement.whole_pairs) - files.keys()):
        yield f"{RELEASE}: it names the whole pair {pair_id:.80}, which is not in {PAIRS}."
    for pair_id, names in files.items():
        missing = [name for name in names if not listing.holds(name)]
        yield from (f"{name}: this file of the whole pair {pair_id} is missing." for name in missing)
        if missing:
            continue
        sizes = [_size(folder / name) for name in names]
        for name, size in zip(names, sizes, strict=True):
            if size is None:
                yield f"{name}: it is not a PNG or JPEG file whose size can be read."
            elif size != sizes[0] and sizes[0] is not None:
                yield f"{name}: it is {size[0]} x {size[1]} px, but {names[0]} is {sizes[0][0]} x {sizes[0][1]} px."


def _faults_of_two(folder: Path, name: str, dslr: Mapping[str, Any]) -> Iterator[str]:
    """Compare the DSLR's photo with the phone's."""
    target = dslr["file"]
    if PurePosixPath(name).name != PurePosixPath(target).name:
        yield f"{target}: it does not have the name of the phone's photo, {name}."
    size, own = _size(folder / name), _size(folder / target)
    if size is None or own is None:
        damaged = name if size is None else target
        yield f"{damaged}: it is not a PNG or JPEG file whose size can be read."
        return
    if size != own:
        yield f"{target}: it is {own[0]} x {own[1]} px, but the phone's photo {name} is {size[0]} x {size[1]} px."
    ends = dslr["crop_x"] + dslr["crop_width"], dslr["crop_y"] + dslr["crop_height"]
    if ends[0] > size[0] or ends[1] > size[1]:
        yield f"{target}: its common crop ends at {ends[0]}, {ends[1]} px, outside of the {size[0]} x {size[1]} px."


def _size(path: Path) -> tuple[int, int] | None:
    """Return width and height in px, by the header; None if it tells none."""
    with open_regular(path) as file:
        shape = stored_shape(file.read(_HEAD))
    return (shape[1], shape[0]) if shape else None
