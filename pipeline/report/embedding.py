"""Pictures of the page that are files of the results: inside the page, or copied beside it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dataset.io import replacing
from dataset.shards import suffix_of
from pipeline.report.page import FILES

_TYPES = {"png": "image/png", "jpg": "image/jpeg"}


@dataclass(frozen=True)
class PagePicture:
    """An <img> of the page."""

    src: str
    """A data URI, or the address of a file beside the page, escaped as addresses are."""
    width: int
    """Of the file, in px."""
    height: int
    alt: str
    """What it shows, as text."""

    @property
    def is_file(self) -> bool:
        """Whether it lies beside the page, so that it is loaded when it is looked at."""
        return not self.src.startswith("data:")


def data_uri(content: bytes) -> str:
    """Return the bytes of a PNG or JPEG file as an address that holds them all."""
    return f"data:{_TYPES[suffix_of(content)]};base64,{base64.b64encode(content).decode()}"


def placed(content: bytes, page_folder: Path | None, *parts: str) -> str:
    """Return the address of an image file for the page: of a copy beside it, or one that holds the whole file.

    Parameters
    ----------
    content
        The bytes of a PNG or JPEG file.
    page_folder
        Folder of the page, below which the file is written; None: the page holds it.
    parts
        Folders and name of the file in the page's folder of files.

    Raises
    ------
    OSError
        The file cannot be written.

    """
    if page_folder is None:
        return data_uri(content)
    with replacing(page_folder.joinpath(FILES, *parts)) as temporary:
        temporary.write_bytes(content)
    return "/".join(quote(part) for part in (FILES, *parts))
