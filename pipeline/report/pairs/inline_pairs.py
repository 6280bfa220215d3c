"""Puts the pictures of all pairs into the page, for data sets that are small enough to be mailed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.regular_files import check_inside, read_regular
from dpedtool.pipeline.report.inline_pictures import data_uri
from dpedtool.pipeline.report.pairs.details import files_of
from dpedtool.pipeline.report.pairs.opened import DETAILS, read_details

MOST_BYTES = 300_000_000
"""A browser holds the text of a page in one string, in Chromium of at most 512 MiB, and base64 adds a third."""


def embedded(folder: Path, ids: Iterable[str]) -> dict[str, Any]:
    """Return what the page embeds: `files`, data URIs by their path relative to the page, and `details` by pair.

    Parameters
    ----------
    folder
        The folder files/pairs, which holds a folder for each pair.
    ids
        The pairs that have a folder.

    Raises
    ------
    DpedtoolError
        The files take more bytes than a browser can open, or one lies elsewhere.

    """
    files = [file for pair_id in sorted(ids) for file in files_of(folder / pair_id)]
    if (size := sum(file.stat().st_size for file in files)) > MOST_BYTES:
        raise DpedtoolError(
            f"The pictures take {size / 1e6:.0f} MB, more than browsers can open in one file "
            f"({MOST_BYTES / 1e6:.0f} MB): leave out --single-file, and share the page together with its folder."
        )
    return {
        "files": dict(_uris(folder, files)),
        "details": {file.parent.name: _details(file, folder) for file in files if file.name == DETAILS},
    }


def _uris(folder: Path, files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    beside = folder.parent.parent
    for file in files:
        if file.name != DETAILS:
            yield file.relative_to(beside).as_posix(), data_uri(_content(file, folder))


def _details(file: Path, folder: Path) -> dict[str, Any]:
    try:
        check_inside(file, folder)
        return read_details(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise DpedtoolError(f"{file} cannot be read ({reason}): run the report again.") from None


def _content(file: Path, folder: Path) -> bytes:
    try:
        check_inside(file, folder)
        return read_regular(file, MOST_BYTES)
    except OSError as error:
        raise DpedtoolError(f"{file} cannot be read ({error.strerror}): run the report again.") from None
