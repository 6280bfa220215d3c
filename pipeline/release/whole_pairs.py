"""Whole aligned test pairs, of a release and of a session: what both photos show, and which px can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.schema import Alignment, Photo
from dpedtool.dataset.tables import DAMAGED_TABLE, read_rows
from dpedtool.pipeline.geometry.aligned import aligned_images, crop_box, cut, usable_px
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.release.columns import PAIRS, PATCHES
from dpedtool.pipeline.release.layouts.dped import Dped
from dpedtool.pipeline.release.verification.listing import list_release
from dpedtool.pipeline.release.verification.statement import read_statement
from dpedtool.pipeline.release.verification.whole_photos import check_whole_photos
from dpedtool.pipeline.release.whole_alignments import alignment_of, read_alignments

Usable = npt.NDArray[np.bool_]
"""(H, W): which px of a crop are not masked."""
Shown = tuple[Image, Image, Usable]
"""What both photos show, (H, W, 3) each, on the phone's grid, and which px can be compared."""


@dataclass(frozen=True)
class TestedPair:
    """A whole test pair."""

    pair_id: str
    scene_id: str
    _read: Callable[[], Shown]

    def read(self) -> Shown:
        """Return what both photos show.

        Raises
        ------
        DpedtoolError
            A photo is missing, damaged or not the one that was aligned, or all of it is masked.

        """
        try:
            phone, dslr, usable = self._read()
        except Rejection as rejection:
            raise DpedtoolError(f"{self.pair_id}: {rejection.detail.rstrip('.')}: repair or remove it.") from None
        if not usable.any():
            raise DpedtoolError(f"{self.pair_id}: all of it is masked, so that nothing can be compared: leave it out.")
        return phone, dslr, usable


@dataclass(frozen=True)
class TestedPhone:
    """What a release has of a phone to be scored."""

    pairs: Sequence[TestedPair]
    """The whole test pairs."""
    photos: tuple[Path, Path]
    """The folders of the whole photos of phone and DSLR."""
    training: tuple[Path, Path]
    """The folders of the training patches."""
    patches: tuple[Path, Path]
    """The folders of the test patches."""
    scenes: Sequence[str]
    """The scenes of the test patches, in the order of their numbers."""


def pairs_of_session(samples: Path, aligned: Path) -> list[TestedPair]:
    """Return the whole test pairs of a phone of a session.

    Parameters
    ----------
    samples
        The phone's table of samples; the table of photos, which says which pairs are for the test, lies beside it.
    aligned
        What `dpedtool align` wrote for the phone, or a folder of several such folders.

    Raises
    ------
    DpedtoolError
        A table is missing or damaged, or the alignments lack a test pair or are about other photos.

    """
    rows = read_rows(Photo.table_in(samples.parent), Photo)
    tested = [row for row in rows if (row.status, row.split, row.phone) == ("present", "test", samples.stem)]
    alignments = read_alignments(aligned)
    return [
        TestedPair(row.pair_id, row.scene_id, partial(_of_session, alignment_of(row, alignments)))
        for row in sorted(tested, key=lambda row: row.pair_id)
        if row.accepted
    ]


def phones_of_release(folder: Path) -> dict[str, TestedPhone]:
    """Return what a release has to be scored, by phone: whole test pairs, and patches of layout dped.

    Raises
    ------
    DpedtoolError
        The folder is no release, it holds no whole pairs, or one of them is not complete or not of the test.

    """
    folder = folder.absolute()
    listing = list_release(folder)
    statement, faults = read_statement(folder, listing)
    if statement is None:
        raise DpedtoolError(f"{folder} is not a release that can be read: {faults[0]}")
    photos = [photo for photo in statement.photos if photo.get("dslr")]
    if not photos:
        raise DpedtoolError(
            f"{folder} holds no full-size photos of the DSLR: build it with layout dped and --aligned, or score its "
            "patches by --phone and --dslr."
        )
    for fault in check_whole_photos(folder, listing, photos):
        raise DpedtoolError(f"{fault} See `dpedtool release verify {folder}`.")
    pairs = {
        row["pair_id"]: row for row in _rows(folder / PAIRS, ["pair_id", "phone", "scene_id", "split"]).to_pylist()
    }
    patches = _rows(folder / PATCHES, ["phone", "split", "number", "scene_id"])
    layout = Dped(statement.params.dslr_folder, statement.params.jpeg_quality)
    found: dict[str, list[tuple[TestedPair, tuple[Path, Path]]]] = {}
    for photo in photos:
        row = pairs.get(photo["pair_id"])
        if row is None or row["split"] != "test":
            raise DpedtoolError(
                f"{photo['file']} is a full-size photo of {photo['pair_id']}, which {PAIRS} does not count among the "
                f"pairs of the test: see `dpedtool release verify {folder}`."
            )
        files = folder / photo["file"], folder / photo["dslr"]["file"]
        pair = TestedPair(row["pair_id"], row["scene_id"], partial(_of_release, files, photo["dslr"]))
        found.setdefault(row["phone"], []).append((pair, (files[0].parent, files[1].parent)))
    return {
        phone: TestedPhone(
            pairs=[pair for pair, _ in of],
            photos=of[0][1],
            training=_folders(folder, layout, phone, "train"),
            patches=_folders(folder, layout, phone, "test"),
            scenes=_scenes(patches, phone),
        )
        for phone, of in found.items()
    }


def _of_session(row: Alignment) -> Shown:
    phone, dslr = aligned_images(row)
    return phone, dslr, usable_px(row.mask or b"", row.mask_cell_px, crop_box(row))


def _of_release(files: tuple[Path, Path], facts: Mapping[str, Any]) -> Shown:
    crop = Box(*(facts[f"crop_{side}"] for side in ("x", "y", "width", "height")))
    phone, dslr = (cut(load_photo(file), crop) for file in files)
    return phone, dslr, usable_px(bytes.fromhex(facts["mask"]), facts["mask_cell_px"], crop)


def _folders(folder: Path, layout: Dped, phone: str, split: str) -> tuple[Path, Path]:
    first, second = layout.folders(phone, split)
    return folder / first, folder / second


def _scenes(patches: pa.Table, phone: str) -> list[str]:
    mine = patches.filter(pc.and_(pc.equal(patches["phone"], phone), pc.equal(patches["split"], "test")))
    scenes: list[str] = mine.sort_by("number")["scene_id"].to_pylist()
    return scenes


def _rows(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=list(columns))
    except (OSError, *DAMAGED_TABLE) as error:
        raise DpedtoolError(f"{path} cannot be read ({error}): download or build the release again.") from None
