"""What is lost when a photo's pixels are written as `PhotoFile.colour` gives them, as clauses."""

from __future__ import annotations

from dpedtool.dataset.photos.profiles import to_srgb
from dpedtool.dataset.photos.stored import Stored

CONVERTED = "its colours were converted to sRGB"
ROUNDED = "its 16 bit were rounded to 8"
OPAQUE = "its transparency was dropped"


def applied_profile(photo: Stored) -> bytes:
    """Return the colour profile if decoding applies it; empty for sRGB and for damaged profiles."""
    return photo.profile if to_srgb(photo.profile).transform else b""


def conversion(photo: Stored) -> list[str]:
    """Return a clause if the colours are converted; empty otherwise."""
    return [CONVERTED] * bool(applied_profile(photo))
