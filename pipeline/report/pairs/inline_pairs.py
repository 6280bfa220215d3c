"""The pictures of all pairs inside one page, for sets that are small enough to be mailed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.report.inline_pictures import data_uri
from dpedtool.pipeline.report.pairs.details import files_of
from dpedtool.pipeline.report.pairs.opened import DETAILS, read_details

MOST_BYTES = 300_000_000
"""A browser holds a page's text in one string, of 512 MiB at most in Chromium; base64 adds a third."""


def embedded(folder: Path, ids: Iterable[str]) -> dict[str, Any]:
    """Return what the page embeds: `files`, data URIs by their path beside the page, and `details` by pair.

    Parameters
    ----------
    folder
        files/pairs, which holds a folder a pair.
    ids
        The pairs that have one.

    Raises
    ------
    DpedtoolError
        They take more than a browser opens.

    """
    files = [file for pair_id in sorted(ids) for file in files_of(folder / pair_id)]
    if (size := sum(file.stat().st_size for file in files)) > MOST_BYTES:
        raise DpedtoolError(
            f"The pictures take {size / 1e6:.0f} MB, more than browsers open in one file ({MOST_BYTES / 1e6:.0f} MB): "
            "leave out --single-file, and hand the page on with its folder."
        )
    return {
        "files": dict(_uris(folder, files)),
        "details": {file.parent.name: read_details(file) for file in files if file.name == DETAILS},
    }


def _uris(folder: Path, files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    beside = folder.parent.parent
    for file in files:
        if file.name != DETAILS:
            yield file.relative_to(beside).as_posix(), data_uri(file.read_bytes())
