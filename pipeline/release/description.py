"""What is known about a release when its documents are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpedtool.dataset.params import ReleaseParams

RELEASE, CARD, LICENCE, CITATION, CROISSANT = "release.json", "README.md", "LICENSE", "CITATION.cff", "croissant.json"
STATISTICS, SUMS = "statistics.json", "SHA256SUMS"
FORMAT = 1
"""Version of the format of `release.json`."""
EXAMPLES = "examples"
"""Folder of the example pictures, named `<phone>.png`."""


@dataclass(frozen=True)
class DataFile:
    """A file of the release."""

    name: str
    """Relative to the release, with forward slashes."""
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the documents of a release say."""

    params: ReleaseParams
    counts: Mapping[str, Mapping[str, int]]
    """Patches by phone, then by split: train, validation and test, in this order."""
    figures: Mapping[str, Any]
    """What `dpedtool.pipeline.release.documents.statistics.figures` found, ready for JSON."""
    files: Sequence[DataFile]
    """The tables, tar shards and parquet files, by name. The loose files of layout dped are too many to list."""
    encoded: int
    """Number of patches that layout dped encoded again, from PNG to JPEG; 0 if all are the bytes that were cut."""
    photos: Sequence[Mapping[str, Any]]
    """The full-size test photos, each with `file`, `phone`, `pair_id`, `lossless` and `note`."""
