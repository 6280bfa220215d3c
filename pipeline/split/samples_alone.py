"""Checks tables of samples without a table of photos, such as those of an imported data set.

Without photos, scenes and times nobody can prove that no scene is on two sides. Only files that are on two sides can be
found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from dpedtool.dataset.progress import track
from dpedtool.dataset.schema import Photo, Sample
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.tables import holds
from dpedtool.pipeline.split.verification import check_extents, misfits, read_samples, tables_of


def holds_samples(folder: Path) -> bool:
    """Return whether a folder holds a table of samples.

    Raises
    ------
    DpedtoolError
        A file that is named .parquet is not in this format.

    """
    return any(holds(path, Sample) for path in sorted(folder.glob("*.parquet")))


def verify_samples(folder: Path) -> Verdict:
    """Look for files that are on two sides, and for samples that are not stored where the table says.

    Raises
    ------
    DpedtoolError
        A table is damaged.

    """
    tables, samples = tables_of(folder), read_samples(folder, ())
    said = [
        f"This split cannot be proven: there is no {Photo.table_in(folder)}, which imported data sets lack. Scenes, "
        "photos and times are unknown, so nobody can know whether a scene is on two sides."
    ]
    faults = misfits(samples)
    missing, sentence = check_extents(samples)
    if faults or missing:
        return Verdict([*faults, *missing], said, is_proof=False, tables=tables)
    said += [sentence, f"Checked instead: {2 * len(samples)} image files were compared with each other by SHA-256."]
    said.append("Not checked: what the images show.")
    return Verdict(images_on_two_sides(samples), said, is_proof=False, tables=tables)


def images_on_two_sides(samples: pd.DataFrame) -> list[str]:
    """Return a line for each image file of samples that equals an earlier one on another side; all files are read."""
    first: dict[bytes, tuple[str, str]] = {}
    faults = []
    rows: Iterator[Any] = samples.itertuples()
    for row in track(rows, "Read", len(samples)):
        for sum_ in _sums(row):
            patch_id, split = first.setdefault(sum_, (row.patch_id, row.split))
            if split != row.split:
                faults.append(f"{row.patch_id} in {row.split} and {patch_id} in {split} hold the same image file.")
    return faults


def _sums(row: Any) -> Iterator[bytes]:
    for offset, length in ((row.phone_offset, row.phone_bytes), (row.dslr_offset, row.dslr_bytes)):
        yield hashlib.sha256(read_extent(Path(row.shard), Extent(int(offset), int(length)))).digest()
