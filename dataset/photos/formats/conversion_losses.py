"""What is lost when a photo's pixels are written as `PhotoFile.colour` gives them, as clauses."""

from __future__ import annotations

from dpedtool.dataset.photos.stored import Stored

CONVERTED = "its colours were converted to sRGB"
ROUNDED = "its 16 bit were rounded to 8"
OPAQUE = "its transparency was dropped"


def applied_profile(photo: Stored) -> bytes:
    """Return the colour profile if decoding applies it; empty for sRGB and for damaged profiles."""
    return photo.profile if photo.profile and photo.conversion.changes_colours else b""


def conversion(photo: Stored) -> list[str]:
    """Return a clause if the colours are converted; empty otherwise."""
    return [CONVERTED] * photo.conversion.changes_colours
