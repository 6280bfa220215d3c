"""Pictures inside the page, so that all but the pairs can be looked at where the page is alone."""

from __future__ import annotations

import base64
from dataclasses import dataclass

_SIGNATURES = {b"\x89PNG\r\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True)
class PagePicture:
    """An <img> of the page."""

    src: str
    """A data URI."""
    width: int
    """Of the file, in px."""
    height: int
    alt: str
    """What it shows, as text."""


def data_uri(content: bytes) -> str:
    """Return the bytes of a PNG or JPEG file as an address that holds them all; ValueError for other bytes."""
    kinds = [kind for signature, kind in _SIGNATURES.items() if content.startswith(signature)]
    if not kinds:
        raise ValueError("it is neither PNG nor JPEG")
    return f"data:{kinds[0]};base64,{base64.b64encode(content).decode()}"
