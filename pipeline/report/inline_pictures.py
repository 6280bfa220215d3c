"""Pictures inside the page. They are shown even if the page has been copied without its folder."""

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
    """Width of the file, in px."""
    height: int
    alt: str
    """A description of the picture."""


def data_uri(content: bytes) -> str:
    """Return the bytes of a PNG or JPEG file as a data URI; ValueError for other bytes."""
    kinds = [kind for signature, kind in _SIGNATURES.items() if content.startswith(signature)]
    if not kinds:
        raise ValueError("it is neither PNG nor JPEG")
    return f"data:{kinds[0]};base64,{base64.b64encode(content).decode()}"
