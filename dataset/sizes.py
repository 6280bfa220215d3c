"""Sizes of memory and files in words."""

from __future__ import annotations

import math
from collections.abc import Callable


def in_gb(count: int, rounded: Callable[[float], int] = math.ceil) -> str:
    """Return bytes as GB of 10^9 bytes, rounded up by default so that this much suffices."""
    return f"{rounded(count / 10**7) / 100:.2f} GB"
