"""Whether a release fits on the disk, and whether its number of files will be a burden."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.photos.formats.input_format import TakenOver
from dpedtool.dataset.photos.formats.table import format_of_suffix
from dpedtool.dataset.places import Place
from dpedtool.pipeline.release.whole_photos import Wanted

BLOCK = 4096
"""Bytes that a loose file takes at least, on most file systems."""
_BYTES_A_ROW = {"webdataset": 5 * 1024, "parquet": 512, "dped": 2 * BLOCK, "tables": 2048}
"""What a patch takes beside its images, at most: headers and padding of tar, names, what is known of it."""
_PNG_TIMES = 6
"""A PNG over a HEIC, WebP or raw file of the same photo, at most."""
MOST_IN_A_FOLDER, MOST_FILES = 10_000, 100_000
"""What the Hugging Face hub recommends for a folder and for a repository."""


def check_room(root: Path, plan: pa.Table, photos: Sequence[Wanted], params: ReleaseParams) -> None:
    """Refuse to begin what would not fit.

    Raises
    ------
    DpedtoolError
        The file system has too few bytes or too few files left.

    """
    images = sum(pc.sum(plan[name]).as_py() for name in ("phone_bytes", "dslr_bytes"))
    files = 2 * plan.num_rows + len(photos) if "dped" in params.layouts else 0
    needed = plan.num_rows * _BYTES_A_ROW["tables"] + sum(
        images + plan.num_rows * _BYTES_A_ROW[layout] for layout in params.layouts
    )
    needed += sum(_size(photo.path) for photo in photos if photo.path.is_file())
    free = os.statvfs(root)
    there = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    available = free.f_bavail * free.f_frsize + there
    if needed > available:
        raise DpedtoolError(
            f"{root.parent} has {available / 1e9:.2f} GB free, and the release may take {needed / 1e9:.2f} GB: choose "
            "another disk, or fewer release.layouts."
        )
    # Some file systems count no files.
    if free.f_files and files > free.f_favail:
        raise DpedtoolError(
            f"The file system of {root.parent} has room for {free.f_favail} more files, and layout dped needs {files}: "
            "choose another disk, or leave dped out of release.layouts."
        )


def _size(path: Place) -> int:
    """What a photo may take: those that are stored as PNG take several times as much as before."""
    return int(path.stat().st_size) * (1 if isinstance(format_of_suffix(path).released, TakenOver) else _PNG_TIMES)


def loose_files_notes(counts: Mapping[str, Mapping[str, int]], params: ReleaseParams) -> list[str]:
    """Return a sentence where the layout of loose files holds more of them than hubs and file systems are fond of."""
    if "dped" not in params.layouts:
        return []
    files = 2 * sum(sum(splits.values()) for splits in counts.values())
    largest = max(count for splits in counts.values() for count in splits.values())
    if files <= MOST_FILES and largest <= MOST_IN_A_FOLDER:
        return []
    return [
        f"Layout dped holds {files} files, up to {largest} of them in one folder: many file systems slow down, each "
        f"file takes an inode, and hubs ask for at most {MOST_IN_A_FOLDER} in a folder and {MOST_FILES} in all. Upload "
        "the other layouts, or dped as an archive."
    ]
