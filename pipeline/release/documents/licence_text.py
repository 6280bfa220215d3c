"""LICENSE of a release: the publisher's own text, or the address of the licence's text."""

from __future__ import annotations

from pathlib import Path

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.licence import check_licence, is_own, text_address
from dpedtool.dataset.markdown import plain
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.regular_files import read_regular_text


def licence_text(params: ReleaseParams) -> str:
    """Return the text of `LICENSE`.

    Raises
    ------
    DpedtoolError
        No licence is given, it is not known, or its text is needed and cannot be read.

    """
    if params.licence is None:
        raise DpedtoolError(
            "A release needs a licence: set release.licence to its SPDX identifier, such as CC-BY-4.0, or to "
            "LicenseRef-NAME with its text in release.licence_file."
        )
    identifier = check_licence(params.licence)
    if params.licence_file is not None:
        return _read(Path(params.licence_file))
    if is_own(identifier):
        raise DpedtoolError(
            f"{identifier} is a licence of your own, and nobody can look up its text: name the file with the text "
            "in release.licence_file."
        )
    return _notice(params, identifier)


def _read(path: Path) -> str:
    try:
        text = read_regular_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise DpedtoolError(
            f"release.licence_file {path} cannot be read ({reason}): name a text file in UTF-8."
        ) from None
    if not text.strip():
        raise DpedtoolError(f"release.licence_file {path} is empty: name the file with the text of the licence.")
    return text.rstrip() + "\n"


def _notice(params: ReleaseParams, identifier: str) -> str:
    authors = "; ".join(map(plain, params.authors))
    lines = [
        f"{params.name or 'This data set'}, version {params.version}",
        *([f"By {authors}"] if authors else []),
        "",
        f"SPDX-License-Identifier: {identifier}",
        "",
        f"All files of this data set are published under the licence {identifier}, whose text is at",
        text_address(identifier),
    ]
    return "\n".join(lines) + "\n"
