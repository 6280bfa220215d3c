"""What a release says of itself, in `release.json` and in its documents, and whether these agree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from dataset.errors import DpedtoolError
from dataset.licence import check_licence, front_matter, is_own, text_address
from dataset.params import CAMERA_NAME, ReleaseParams
from dataset.schema import SPLITS
from pipeline.release.description import CARD, CITATION, CROISSANT, EXAMPLES, LICENCE, RELEASE, STATISTICS
from pipeline.release.tables import PAIRS, PATCHES
from pipeline.release.verification.listing import Listing, is_inside, one_line

_MOST_BYTES = 64 * 2**20
"""Of a document: what is larger is none, and is not read."""
_MOST_FRONT_MATTER = 2**20
_UNUSABLE = (ValueError, RecursionError, yaml.YAMLError)
"""What readers of JSON and YAML raise of files that are damaged, or nested so as to do harm."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """`release.json`, checked."""

    params: ReleaseParams
    counts: Mapping[str, Mapping[str, int]]
    """Patches by phone, then by split."""
    pairs: int
    size_px: int
    encoded: int
    photos: Sequence[Mapping[str, Any]]
    """The full-size photos: `file` and `pair_id` among others."""


def read_statement(folder: Path, listing: Listing) -> tuple[Statement | None, list[str]]:
    """Return what `release.json` says, None where that cannot be told, and what is wrong with it."""
    data, faults = _read_object(folder, RELEASE, listing)
    if data is None:
        return None, faults
    faults = [f"{RELEASE}: {fault}" for fault in _faults_of(data)]
    if faults:
        return None, faults
    params = ReleaseParams(**data["release"])
    known = {name: data[name] for name in ("counts", "pairs", "size_px", "encoded", "photos")}
    return Statement(params=params, **known), []


def check_documents(folder: Path, listing: Listing, statement: Statement | None) -> tuple[list[str], list[str]]:
    """Check the documents beside `release.json`: that they are there, readable, and agree with it.

    Returns
    -------
    faults, said
        What is amiss, and what was found right, a line each.

    """
    wanted = [CARD, LICENCE, CITATION, CROISSANT, STATISTICS, PATCHES, PAIRS]
    wanted += [f"{EXAMPLES}/{phone}.png" for phone in (statement.counts if statement else ())]
    faults = [f"{name}: it is missing." for name in wanted if not listing.holds(name)]
    if listing.there.get(LICENCE, 1) == 0:
        faults.append(f"{LICENCE}: it is empty: a release says under which licence it may be used.")
    _, damaged = _read_object(folder, STATISTICS, listing) if listing.holds(STATISTICS) else (None, [])
    front, unread = _documents(folder, listing)
    faults += damaged + unread
    if statement is None:
        return faults, []
    licence = str(statement.params.licence)
    others = [fault for name, document in front.items() for fault in _LICENCES[name](document, licence)]
    faults += others + _check_listed_sums(front.get(CROISSANT), listing) + _check_told(front.get(CARD), statement)
    agree = [RELEASE, *front]
    return faults, [] if faults else [f"Every document is there, and {', '.join(agree)} name the licence {licence}."]


def _faults_of(data: Mapping[str, Any]) -> list[str]:
    if data.get("format") != 1:
        return [f"its format is {data.get('format')!r}, and this version reads 1: use the dpedtool that wrote it."]
    faults = [f"{name!r} {fault}" for name, check in _FIELDS.items() if (fault := check(data.get(name)))]
    return faults + ([f"'release' {fault}" for fault in _faults_of_params(data.get("release"))])


def _faults_of_params(given: Any) -> Iterator[str]:
    if not isinstance(given, dict):
        yield "is missing: it holds the section release of the parameters."
        return
    known = {declared.name for declared in fields(ReleaseParams)}
    if unknown := sorted(given.keys() - known):
        yield f"has keys that are none of a release: {', '.join(unknown)}."
        return
    try:
        params = ReleaseParams(**given)
        check_licence(params.licence or "")
    except DpedtoolError as error:
        yield f"cannot be: {error}"
        return
    if not params.name:
        yield "has no name: a release needs one."


def _counts(value: Any) -> str:
    named = isinstance(value, dict) and value and all(re.fullmatch(CAMERA_NAME, phone) for phone in value)
    if named and all(isinstance(of, dict) and set(of) == set(SPLITS) for of in value.values()):
        return next((fault for of in value.values() for number in of.values() if (fault := _number(number))), "")
    return f"is no table of patches by phone and split ({', '.join(SPLITS)})."


def _number(value: Any, least: int = 0) -> str:
    return "" if type(value) is int and value >= least else f"must be a whole number from {least}, not {value!r:.60}."


def _photos(value: Any) -> str:
    if not isinstance(value, list):
        return "is no list of photos."
    for photo in value:
        texts = isinstance(photo, dict) and all(isinstance(photo.get(key), str) for key in ("file", "pair_id"))
        if not texts or not is_inside(photo["file"]):
            return f"has an entry that names no file of the release and its pair: {photo!r:.120}."
    return ""


_FIELDS: Mapping[str, Callable[[Any], str]] = {
    "counts": _counts,
    "pairs": _number,
    "size_px": lambda value: _number(value, 1),
    "encoded": _number,
    "photos": _photos,
    "made_by": lambda value: "" if isinstance(value, str) and value else "does not say what made the release.",
}


def _read_object(folder: Path, name: str, listing: Listing) -> tuple[dict[str, Any] | None, list[str]]:
    """Return a JSON object, or None and what is wrong with the file."""
    if not listing.holds(name):
        return None, [f"{name}: it is missing."]
    return _read(folder, name, listing, json.loads)


def _read(
    folder: Path, name: str, listing: Listing, parse: Callable[[str], Any]
) -> tuple[dict[str, Any] | None, list[str]]:
    if listing.there[name] > _MOST_BYTES:
        return None, [f"{name}: it has {listing.there[name]} bytes, which no document has."]
    try:
        data = parse((folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        return None, [f"{name}: it cannot be read: {error.strerror}."]
    except _UNUSABLE as error:
        return None, [f"{name}: it is damaged: {one_line(error)}."]
    return (data, []) if isinstance(data, dict) else (None, [f"{name}: it holds no names and values."])


def _documents(folder: Path, listing: Listing) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return what can be read of the documents that name the licence."""
    found: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for name, parse in ((CARD, _front_matter), (CITATION, yaml.safe_load), (CROISSANT, json.loads)):
        if listing.holds(name):
            data, bad = _read(folder, name, listing, parse)
            faults += bad
            found |= {name: data} if data is not None else {}
    return found, faults


def _front_matter(text: str) -> Any:
    head = re.match(r"---\n(.*?)\n---\n", text[:_MOST_FRONT_MATTER], re.DOTALL)
    if not head:
        raise ValueError("it does not begin with the front matter between two lines of ---, which hubs read")
    return yaml.safe_load(head[1])


def _licence_of_card(card: Mapping[str, Any], licence: str) -> list[str]:
    """Hubs have names of their own for licences, and `other` for those that they do not know."""
    told = front_matter(licence)
    named = {key: card.get(key) for key in told}
    return [] if named == told else _another(CARD, card.get("license_name", card.get("license")), licence)


def _licence_of_citation(citation: Mapping[str, Any], licence: str) -> list[str]:
    """The format knows a list of SPDX alone; other licences have an address there, and one's own nothing."""
    named = citation.get("license", citation.get("license-url"))
    if is_own(licence) and named is None:
        return []
    known = {licence, *([] if is_own(licence) else [text_address(licence)])}
    return [] if known.intersection(map(str, _as_list(named))) else _another(CITATION, named, licence)


def _licence_of_croissant(croissant: Mapping[str, Any], licence: str) -> list[str]:
    """Croissant takes a name, or the address of the text."""
    named = croissant.get("license")
    known = {licence, f"https://spdx.org/licenses/{licence}", f"https://spdx.org/licenses/{licence}.html"}
    known |= {LICENCE} if is_own(licence) else {text_address(licence)}
    return [] if known.intersection(map(str, _as_list(named))) else _another(CROISSANT, named, licence)


def _another(name: str, named: Any, licence: str) -> list[str]:
    if named is None:
        return [f"{name}: it names no licence, and {RELEASE} {licence}."]
    return [f"{name}: it names the licence {str(named)[:100]!r}, and {RELEASE} {licence}."]


_LICENCES: Mapping[str, Callable[[Mapping[str, Any], str], list[str]]] = {
    CARD: _licence_of_card,
    CITATION: _licence_of_citation,
    CROISSANT: _licence_of_croissant,
}


def _check_listed_sums(croissant: Mapping[str, Any] | None, listing: Listing) -> list[str]:
    """Whether the files that Croissant's description names are there, with the sums that it gives."""
    faults = []
    for each in _as_list((croissant or {}).get("distribution")):
        if not _is_object(each) or "sha256" not in each:
            continue
        name = str(each.get("contentUrl"))
        if not listing.holds(name):
            faults.append(f"{CROISSANT}: it names the file {name!r:.200}, which is not there.")
        elif listing.sums.get(name, each["sha256"]) != each["sha256"]:
            faults.append(f"{CROISSANT}: it gives another SHA-256 of {name} than the list of sums.")
    return faults


def _check_told(card: Mapping[str, Any] | None, statement: Statement) -> list[str]:
    """Compare the numbers of examples that the card gives hubs with those of `release.json`."""
    faults = []
    for config in filter(_is_object, _as_list((card or {}).get("dataset_info"))):
        phone = str(config.get("config_name"))
        counts = [statement.counts[phone]] if phone in statement.counts else list(statement.counts.values())
        for split in filter(_is_object, _as_list(config.get("splits"))):
            name, told = str(split.get("name")), split.get("num_examples")
            known = sum(of.get(name, 0) for of in counts)
            if told not in (None, known):
                faults.append(f"{CARD}: dataset_info gives {told!r:.40} examples of {name}, and {RELEASE} {known}.")
    return faults


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
