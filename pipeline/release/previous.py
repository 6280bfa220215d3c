"""The previous release of a data set, which the card of the next one compares itself with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json
from dpedtool.dataset.params import ReleaseParams
from dpedtool.pipeline.release.changes import check_tables
from dpedtool.pipeline.release.description import RELEASE


@dataclass(frozen=True)
class Previous:
    """An earlier release of the same data set."""

    folder: Path
    version: str


def named_release(folder: Path, params: ReleaseParams) -> Previous:
    """Return the release that the user names as the previous one.

    Parameters
    ----------
    folder
        What `dpedtool release build` wrote.
    params
        Those of the new release.

    Raises
    ------
    DpedtoolError
        The folder is not a release, or one of another data set or of the same version, or a table is missing.

    """
    folder = folder.absolute()
    if not (folder / RELEASE).is_file():
        raise DpedtoolError(f"{folder} is not a release: name the folder of an earlier release by --previous.")
    name, version = _names(folder)
    if name is None or version is None:
        raise DpedtoolError(f"{folder / RELEASE} names no data set and no version: download or build it again.")
    if name != params.name:
        raise DpedtoolError(
            f"{folder} is a release of {name}, not of {params.name}: name an earlier release of the same data set by "
            "--previous, or leave it out."
        )
    if version == params.version:
        raise DpedtoolError(
            f"{folder} has the version {version}, and so would the new release: set release.version to another, or "
            "leave out --previous."
        )
    check_tables(folder)
    return Previous(folder, version)


def replaced_release(folder: Path, params: ReleaseParams) -> tuple[Previous | None, list[str]]:
    """Return the release that is replaced if it is an earlier one of the same data set.

    Parameters
    ----------
    folder
        The folder of the new release; it need not exist.
    params
        Those of the new release.

    Returns
    -------
    Previous or None
        None if there is no release, or if it has another name, the same version or tables of an earlier program.
    list of str
        What the user should know, a sentence each.

    """
    if not (folder / RELEASE).is_file():
        return None, []
    try:
        name, version = _names(folder)
        if version is None or name != params.name or version == params.version:
            return None, []
        check_tables(folder)
    except DpedtoolError as error:
        return None, [f"The card does not say what has changed since the release that was replaced: {error}"]
    return Previous(folder, version), []


def _names(folder: Path) -> tuple[str | None, str | None]:
    """Return name and version of a release; None for what is not a text."""
    about: Any = read_json(folder / RELEASE).get("release")
    known = about if isinstance(about, dict) else {}
    name, version = (value if isinstance(value := known.get(key), str) else None for key in ("name", "version"))
    return name, version
