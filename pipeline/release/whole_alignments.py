"""The alignments of the photos of a split, which bring the DSLR's whole photos onto the grid of the phone's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.schema import Alignment, Photo
from dpedtool.dataset.tables import read_rows


def alignment_tables(folder: Path) -> list[Path]:
    """Return the tables of alignments of the folder of one phone, or of a folder of such folders.

    Raises
    ------
    DpedtoolError
        There is none.

    """
    own = Alignment.table_in(folder)
    tables = [own] if own.is_file() else sorted(folder.glob(f"*/{own.name}"))
    if not tables:
        raise DpedtoolError(
            f"{folder} holds no {own.name}: name the folder that `dpedtool align` wrote, or the folder that it lies in."
        )
    return tables


def read_alignments(folder: Path) -> dict[str, Alignment]:
    """Return the aligned pairs by name, from the folder of one phone or from a folder of such folders.

    Raises
    ------
    DpedtoolError
        There is no table of alignments, or one is damaged.

    """
    rows = (row for table in alignment_tables(folder) for row in read_rows(table, Alignment))
    return {row.pair_id: row for row in rows if row.status == "aligned"}


def alignment_of(photo: Photo, alignments: Mapping[str, Alignment]) -> Alignment:
    """Return the alignment of a pair of the split.

    Raises
    ------
    DpedtoolError
        There is none, or it is about other photos.

    """
    row = alignments.get(photo.pair_id)
    if row is None:
        raise DpedtoolError(
            f"{photo.pair_id} is in the split, but not among the aligned pairs: name the folder of alignments that its "
            "patches were cut by."
        )
    if (row.phone_sha256, row.dslr_sha256) != (photo.phone_sha256, photo.dslr_sha256):
        raise DpedtoolError(
            f"The alignment of {photo.pair_id} is about other photos than the split: run `dpedtool patches` and "
            "`dpedtool split` again, or name the folder of alignments that its patches were cut by."
        )
    return row
