"""Photos that are too small to be aligned, such as previews that were copied in place of the photos."""

from __future__ import annotations

from collections.abc import Sequence

LEAST_SIDE_PX = 100
"""Photos with fewer px on the shorter side have too few windows and keypoints to tell scenes apart."""


def is_small(size: tuple[int, int]) -> bool:
    """Whether a photo of this (width, height) in px is too small."""
    return min(size) < LEAST_SIDE_PX


def why_too_small(reason: str, sizes: Sequence[tuple[int, int]]) -> str:
    """Return, as a sentence, that small photos are why a pair could not be aligned; empty if they are not.

    Parameters
    ----------
    reason
        Why it could not be aligned.
    sizes
        (width, height) of its photos, in px; empty if they are not known.

    """
    small = [size for size in sizes if is_small(size)]
    if not small or reason not in ("few_matches", "wrong_pair", "low_texture", "misaligned"):
        return ""
    width, height = min(small, key=min)
    return (
        f"A photo has {width}x{height} px and is too small to be aligned: use the full photos rather than previews. At "
        f"least {LEAST_SIDE_PX} px on the shorter side are needed."
    )
