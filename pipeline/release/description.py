"""What is known about a release when its documents are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpedtool.dataset.params import ReleaseParams

RELEASE, CARD, LICENCE, CITATION, CROISSANT = "release.json", "README.md", "LICENSE", "CITATION.cff", "croissant.json"
STATISTICS, SUMS = "statistics.json", "SHA256SUMS"
FORMAT = 2
"""Version of the format of a release, in `release.json`. Format 1 has no table of scenes; it can still be verified."""
FIRST_WITH_SCENES = 2
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
    whole_pairs: Sequence[str] = ()
    """The names of the whole aligned pairs, in the order of the table of pairs."""
    licences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Scenes with another licence than that of the release, by licence."""
    stacks: int = 0
    """Rows of the table of stacks; 0: every patch has one frame, and there is no such table."""
    target_scale: int = 1
    """Px of the DSLR's images for each px of the phone's, along a side."""
    previous: str | None = None
    """Version of the previous release that the changes were counted from; None: there is none."""
    changes: Sequence[str] = ()
    """What has changed since the previous release, a sentence each."""
