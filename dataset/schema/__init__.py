"""The tables between the stages: one frozen dataclass per row type is its schema, documentation and typed access.

Conventions of all tables and all code:

- Images are arrays (height, width, 3), BGR, uint8, turned upright by their EXIF orientation.
- Points are (x, y), x to the right, y down, in px; integers are pixel centres, so a photo spans -0.5..width-0.5.
- Transforms are named target_from_source: `dslr_from_phone` takes points of the phone photo to the DSLR photo.
- Homographies are nine numbers, row by row, the last one 1.
- Paths in a file are relative to the folder of that file, with forward slashes; in memory they can be opened. A photo
  may have a URL (s3://bucket/phone/a.jpg), which is stored as it is.
"""

from __future__ import annotations

import inspect

from dpedtool.dataset.rows import Row, columns
from dpedtool.dataset.schema.alignments import Alignment, Timing
from dpedtool.dataset.schema.captures import CameraShot, Pair
from dpedtool.dataset.schema.patches import Frame, Patch, StackFrame
from dpedtool.dataset.schema.results import Score, Shown
from dpedtool.dataset.schema.splits import Photo, Sample, Scene

__all__ = [
    "TABLES",
    "Alignment",
    "CameraShot",
    "Frame",
    "Pair",
    "Patch",
    "Photo",
    "Sample",
    "Scene",
    "Score",
    "Shown",
    "StackFrame",
    "Timing",
    "as_markdown",
]

TABLES: tuple[type[Row], ...] = (
    Pair,
    CameraShot,
    Alignment,
    Timing,
    Patch,
    Frame,
    StackFrame,
    Sample,
    Photo,
    Scene,
    Score,
    Shown,
)


def as_markdown() -> str:
    """Return the documentation of all tables: `docs/tables.md`, which a test compares with this."""
    parts = ["# The tables between the stages\n", _conventions()]
    for row_type in TABLES:
        parts.append(f"\n## {row_type.TABLE}\n\n{inspect.getdoc(row_type)}\n")
        parts.append("| column | type | unit | meaning |\n|---|---|---|---|")
        parts += [
            f"| {spec.name} | {spec.arrow_type}{', or empty' if spec.nullable else ''} | {spec.unit} | {spec.meaning} |"
            for spec in columns(row_type)
        ]
        if row_type.REASONS:
            parts.append("\n| reason | meaning |\n|---|---|")
            parts += [f"| {reason} | {meaning} |" for reason, meaning in row_type.REASONS.items()]
    return "\n".join(parts) + "\n"


def _conventions() -> str:
    return (__doc__ or "").partition("\n\n")[2].strip()
