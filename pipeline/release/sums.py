"""SHA256SUMS, as `sha256sum -c` reads it."""

from __future__ import annotations

from collections.abc import Mapping


def sums_text(sums: Mapping[str, str]) -> str:
    """Return the text of SHA256SUMS: one line a file, sorted by name, with forward slashes."""
    return "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))
