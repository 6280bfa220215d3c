"""Checks whether a release fits on the disk, and whether it has too many files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.compute as pc

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.photos.formats.input_format import TakenOver
from dpedtool.dataset.photos.formats.table import format_of_suffix
from dpedtool.dataset.places import Place
from dpedtool.pipeline.geometry.aligned import required
from dpedtool.pipeline.release.contents import Contents
from dpedtool.pipeline.release.pair_folders import PARTS, WantedPair
from dpedtool.pipeline.release.whole_photos import Wanted

BLOCK = 4096
"""Fewest bytes that a loose file takes on most file systems."""
_BYTES_A_ROW = {"webdataset": 5 * 1024, "parquet": 512, "dped": 2 * BLOCK, "burst": 4 * BLOCK, "tables": 2048}
"""Most bytes that a patch takes in addition to its images: tar headers and padding, names and measurements."""
_BYTES_A_FRAME = {"webdataset": 2 * 1024, "parquet": 512, "dped": 0, "burst": 3 * BLOCK, "tables": 1024}
"""The same for a further frame of it."""
_PNG_TIMES = 6
"""A PNG is at most this many times as large as a HEIC, WebP or raw file of the same photo."""
MOST_IN_A_FOLDER, MOST_FILES = 10_000, 100_000
"""Most files that the Hugging Face hub recommends for a folder and for a repository."""


def check_room(
    root: Path, contents: Contents, photos: Sequence[Wanted], pairs: Sequence[WantedPair], params: ReleaseParams
) -> None:
    """Refuse a release that does not fit on the disk.

    Raises
    ------
    DpedtoolError
        The file system has too few bytes or too few files left.

    """
    plan, stacks = contents.plan, contents.stacks
    images = sum(pc.sum(plan[name]).as_py() for name in ("phone_bytes", "dslr_bytes"))
    # The base frame of a stack is the patch's own image.
    others = None if stacks is None else stacks.filter(pc.not_equal(stacks["role"], "base"))
    frames, frame_bytes = (0, 0) if others is None else (others.num_rows, pc.sum(others["bytes"]).as_py() or 0)
    targets = [photo.alignment for photo in photos if photo.alignment]
    files = 2 * plan.num_rows + len(photos) + len(targets) if "dped" in params.layouts else 0
    # A folder and a description for each patch, and a folder for each image.
    files += 6 * plan.num_rows + 2 * frames if "burst" in params.layouts else 0
    needed = plan.num_rows * _BYTES_A_ROW["tables"] + frames * _BYTES_A_FRAME["tables"]
    for layout in params.layouts:
        needed += images + plan.num_rows * _BYTES_A_ROW[layout]
        needed += (frame_bytes if layout != "dped" else 0) + frames * _BYTES_A_FRAME[layout]
    needed += sum(_size(photo.path) for photo in photos if photo.path.is_file())
    needed += sum(3 * required(row.phone_width) * required(row.phone_height) for row in targets)
    # PNG files of photos may take as many bytes as their px. A JPEG of high quality takes half of that.
    a_px = 6 if params.whole_pairs == "png" else 3
    needed += sum(a_px * required(pair.row.crop_width) * required(pair.row.crop_height) for pair in pairs)
    files += len(PARTS) * len(pairs)
    free = os.statvfs(root)
    there = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    available = free.f_bavail * free.f_frsize + there
    if needed > available:
        raise DpedtoolError(
            f"{root.parent} has {available / 1e9:.2f} GB free, but the release may need {needed / 1e9:.2f} GB: choose "
            "another disk, or fewer release.layouts."
        )
    # Some file systems do not limit the number of files.
    if free.f_files and files > free.f_favail:
        raise DpedtoolError(
            f"The file system of {root.parent} has room for {free.f_favail} more files, but the layouts of single "
            f"files need {files}: choose another disk, or leave dped and burst out of release.layouts, and set "
            "release.whole_pairs to null."
        )


def _size(path: Place) -> int:
    """Return how many bytes a photo may take: one that is stored as PNG takes several times as many as before."""
    return int(path.stat().st_size) * (1 if isinstance(format_of_suffix(path).released, TakenOver) else _PNG_TIMES)


def loose_files_notes(counts: Mapping[str, Mapping[str, int]], params: ReleaseParams) -> list[str]:
    """Return a warning if layout dped holds more loose files than hubs and file systems handle well."""
    if "dped" not in params.layouts:
        return []
    files = 2 * sum(sum(splits.values()) for splits in counts.values())
    largest = max(count for splits in counts.values() for count in splits.values())
    if files <= MOST_FILES and largest <= MOST_IN_A_FOLDER:
        return []
    return [
        f"Layout dped holds {files} files, up to {largest} in one folder. Many file systems slow down with so many, "
        f"and hubs ask for at most {MOST_IN_A_FOLDER} in a folder and {MOST_FILES} in all: upload the other layouts, "
        "or dped as an archive."
    ]
