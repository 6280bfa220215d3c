"""Pictures inside the page, so that all but the pairs can be looked at where the page is alone."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from dataset.shards import suffix_of

_TYPES = {"png": "image/png", "jpg": "image/jpeg"}


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
    """Return the bytes of a PNG or JPEG file as an address that holds them all."""
    return f"data:{_TYPES[suffix_of(content)]};base64,{base64.b64encode(content).decode()}"
