"""The sides of an earlier split or a published release, which a new split can start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.regular_files import check_regular
from dpedtool.dataset.schema import Photo
from dpedtool.dataset.sides import SPLITS
from dpedtool.dataset.tables import DAMAGED_TABLE, MOST_TABLE_BYTES, read_rows

PAIRS_OF_RELEASE = "pairs.parquet"
_TAKEN = ("pair_id", "phone", "scene_id", "group", "split", "phone_sha256", "dslr_sha256", "accepted")
_NAMES = ("phone_photo", "dslr_photo", "thumbnail")


def read_sides(folder: Path) -> list[Photo]:
    """Return the photos of an earlier split or of a release, with their sides.

    Photos of a release have no path and no time; they are known by the SHA-256 of their files, and where these were
    written again by their scene.

    Raises
    ------
    DpedtoolError
        The folder is neither what `dpedtool split` wrote nor a release, or its table is damaged.

    """
    if Photo.table_in(folder).is_file():
        return read_rows(Photo.table_in(folder), Photo)
    table = folder / PAIRS_OF_RELEASE
    try:
        if table.exists():
            check_regular(table, MOST_TABLE_BYTES)
        names = pq.read_schema(table.absolute()).names if table.exists() else []
        if not set(_TAKEN) | set(_NAMES) <= set(names):
            raise DpedtoolError(
                f"{folder} is neither what `dpedtool split` wrote nor a release: name a folder with "
                f"{Photo.TABLE}.parquet, or one with {PAIRS_OF_RELEASE} as `dpedtool release build` writes it."
            )
        rows = pq.read_table(table.absolute(), columns=[*_TAKEN, *_NAMES]).to_pylist()
    except (*DAMAGED_TABLE, OSError) as error:
        raise DpedtoolError(f"{table} cannot be read: download or build the release again ({error})") from None
    return [_photo(row, folder) for row in rows]


def _photo(row: dict[str, Any], folder: Path) -> Photo:
    if row["split"] not in SPLITS:
        raise DpedtoolError(f"{folder / PAIRS_OF_RELEASE} has an unknown split {row['split']!r}: build it again.")
    return Photo(
        **{name: row[name] for name in _TAKEN},
        # A name without a folder, so that no path comes from the release.
        phone_path=folder / Path(row["phone_photo"]).name,
        dslr_path=folder / Path(row["dslr_photo"]).name,
        thumbnail=row["thumbnail"] or b"",
        drawn_by=f"release {folder.name}",
        near_minutes=0.0,
        near_keypoints=0,
    )
