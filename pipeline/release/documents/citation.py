"""Citation of a release: CITATION.cff (Citation File Format 1.2.0) and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from dpedtool.dataset.licence import COMMON, check_licence, is_own, text_address
from dpedtool.dataset.markdown import plain
from dpedtool.dataset.params import ReleaseParams
from dpedtool.pipeline.release.description import Description

KEYWORDS = ("photo enhancement", "image-to-image", "smartphone", "DSLR", "paired images", "DPED")
_NOT_IN_CFF = frozenset({"CDLA-Permissive-2.0"})
"""Common licences that the format does not know; its list is the SPDX list of 2021."""
_DOI_IN_CFF = re.compile(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+")
_TEX_WORDS = {"\\": "backslash", "{": "braceleft", "}": "braceright", "^": "asciicircum", "~": "asciitilde"}
_TEX_ESCAPES = {sign: f"\\text{word}{{}}" for sign, word in _TEX_WORDS.items()} | {
    sign: f"\\{sign}" for sign in "$&#_%"
}
"""BibTeX counts braces even after a backslash, so they must be written by name."""


def is_person(author: str) -> bool:
    """Return whether an author is a person, `Family, Given`, not a group."""
    family, comma, given = author.partition(",")
    return bool(comma and family.strip() and given.strip())


def citation(description: Description) -> str:
    """Return the text of `CITATION.cff`."""
    return yaml.safe_dump(_fields(description.params), sort_keys=False, allow_unicode=True, width=100)


def bibtex(description: Description) -> str:
    """Return an entry `@misc`, with signs escaped that have a meaning in TeX."""
    params = description.params
    entries = dict(_entries(params))
    body = ",\n".join(f"  {name} = {{{value}}}" for name, value in entries.items())
    return f"@misc{{{_key(params)},\n{body}\n}}\n"


def _fields(params: ReleaseParams) -> dict[str, Any]:
    name = params.name or "data set"
    found: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this data set, please cite it as below.",
        "type": "dataset",
        "title": name,
        "version": params.version,
        # The format requires at least one author.
        "authors": [_author(author) for author in _authors(params)] or [{"name": f"The authors of {name}"}],
    }
    if description := plain(params.description):
        found["abstract"] = description
    found["keywords"] = list(KEYWORDS)
    if params.licence:
        found |= _licence(check_licence(params.licence))
    if params.doi and _DOI_IN_CFF.fullmatch(params.doi):
        found["doi"] = params.doi
    elif params.doi:
        found["identifiers"] = [{"type": "other", "value": f"doi:{params.doi}"}]
    if params.url:
        found["url"] = params.url
    if params.date:
        found["date-released"] = params.date
    return found


def _authors(params: ReleaseParams) -> list[str]:
    return [author for author in dict.fromkeys(map(plain, params.authors)) if author]


def _author(author: str) -> dict[str, str]:
    if not is_person(author):
        return {"name": author}
    family, _, given = author.partition(",")
    return {"family-names": family.strip(), "given-names": given.strip()}


def _licence(identifier: str) -> Mapping[str, str]:
    """Return the licence's identifier if the format knows it, else the address of its text; empty for one's own."""
    if is_own(identifier):
        return {}
    known = identifier in COMMON and identifier not in _NOT_IN_CFF
    return {"license": identifier} if known else {"license-url": text_address(identifier)}


def _entries(params: ReleaseParams) -> Iterator[tuple[str, str]]:
    if authors := _authors(params):
        # Without its own braces, BibTeX would split the name of a group into first and last names.
        shown = [_tex(author) if is_person(author) else f"{{{_tex(author)}}}" for author in authors]
        yield "author", " and ".join(shown)
    yield "title", f"{{{_tex(params.name or 'Data set')}}}, version {_tex(params.version)}"
    if params.date:
        yield "year", params.date[:4]
    if params.doi:
        yield "doi", _tex(params.doi)
    if params.url:
        yield "url", params.url.translate({ord("{"): "%7B", ord("}"): "%7D", ord("\\"): "%5C"})
    yield "note", "Data set"


def _key(params: ReleaseParams) -> str:
    words = [params.name or "dataset", *([params.date[:4]] if params.date else [])]
    return "-".join(re.sub(r"[^A-Za-z0-9-]+", "-", word) for word in words).strip("-").lower()


def _tex(value: str) -> str:
    return "".join(_TEX_ESCAPES.get(letter, letter) for letter in value)
