"""SHA256SUMS, as `sha256sum -c` reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path


def file_sum(path: Path) -> str:
    """Return the SHA-256 of a file, hex, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_text(sums: Mapping[str, str]) -> str:
    """Return the text of SHA256SUMS: one line a file, sorted by name, with forward slashes."""
    return "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))
