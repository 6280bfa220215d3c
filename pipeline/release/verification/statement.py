"""What a release says about itself in `release.json` and in its documents, and whether these agree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dpedtool.dataset.bounded_yaml import MOST_CHARACTERS, UNUSABLE
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.licence import check_licence, front_matter, is_own, text_address
from dpedtool.dataset.params import TARGET_SCALES, ReleaseParams
from dpedtool.dataset.regular_files import read_regular_text
from dpedtool.dataset.sections import PUBLISHED_NAME
from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.release.columns import PAIRS, PATCHES, SCENES, STACKS
from dpedtool.pipeline.release.description import (
    CARD,
    CITATION,
    CROISSANT,
    EXAMPLES,
    FIRST_WITH_SCENES,
    FORMAT,
    LICENCE,
    RELEASE,
    STATISTICS,
)
from dpedtool.pipeline.release.verification.listing import Listing, is_inside, one_line
from dpedtool.pipeline.release.verification.plain_yaml import load_yaml

CROP = ("crop_x", "crop_y", "crop_width", "crop_height")
"""What says where the common crop of a full-size photo lies, in px."""
_MOST_BYTES = 32 * 2**20
"""Most bytes of a document; larger files are not read."""
_IDENTIFIER = re.compile(r"SPDX-License-Identifier:[ \t]*(\S+)")
_MOST_COUNTED = 10**12
"""Largest count that is accepted; Python itself fails on numbers of thousands of digits."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """`release.json`, checked."""

    format: int
    params: ReleaseParams
    counts: Mapping[str, Mapping[str, int]]
    """Patches by phone, then by split."""
    pairs: int
    size_px: int
    target_scale: int = 1
    """Px of the DSLR's images for each px of the phone's, along a side."""
    encoded: int
    photos: Sequence[Mapping[str, Any]]
    """The full-size photos, each with `file`, `pair_id` and more. Those with `dslr` have the DSLR's photo beside them,
    whose `file` and crop it names."""
    whole_pairs: Sequence[str] = ()
    """The names of the whole aligned pairs; earlier versions released none."""
    stacks: int = 0
    """Rows of the table of stacks; 0: the release has no such table."""

    @property
    def has_scenes(self) -> bool:
        """Whether the release has a table of scenes; earlier formats have none."""
        return self.format >= FIRST_WITH_SCENES


def read_statement(folder: Path, listing: Listing) -> tuple[Statement | None, list[str]]:
    """Return what `release.json` says, or None if it is unusable, and what is wrong with it."""
    data, faults = _read_object(folder, RELEASE, listing)
    if data is None:
        return None, faults
    faults = [f"{RELEASE}: {fault}" for fault in _faults_of(data)]
    if faults:
        return None, faults
    params = ReleaseParams(**data["release"])
    known = {name: data[name] for name in ("format", "counts", "pairs", "size_px", "encoded", "photos")}
    known |= {"stacks": data.get("stacks") or 0, "target_scale": data.get("target_scale") or 1}
    known |= {"whole_pairs": data.get("whole_pairs") or ()}
    return Statement(params=params, **known), []


def check_documents(folder: Path, listing: Listing, statement: Statement | None) -> tuple[list[str], list[str]]:
    """Check that the documents next to `release.json` exist, can be read, and agree with it.

    Returns
    -------
    faults, said
        What is wrong, and what was found to be right, one line each.

    """
    wanted = [CARD, LICENCE, CITATION, CROISSANT, STATISTICS, PATCHES, PAIRS]
    wanted += [SCENES] if statement and statement.has_scenes else []
    wanted += [STACKS] if statement and statement.stacks else []
    wanted += [f"{EXAMPLES}/{phone}.png" for phone in (statement.counts if statement else ())]
    faults = [f"{name}: it is missing." for name in wanted if not listing.holds(name)]
    if listing.there.get(LICENCE, 1) == 0:
        faults.append(f"{LICENCE}: it is empty, but a release must say under which licence it may be used.")
    figures, damaged = _read_object(folder, STATISTICS, listing) if listing.holds(STATISTICS) else (None, [])
    front, unread = _documents(folder, listing)
    faults += damaged + unread
    if statement is None:
        return faults, []
    faults += [] if figures is None else _check_figures(figures, statement)
    faults += _check_licence_text(folder, listing, str(statement.params.licence))
    licence = str(statement.params.licence)
    others = [fault for name, document in front.items() for fault in _LICENCES[name](document, licence)]
    faults += others + _check_listed_sums(front.get(CROISSANT), listing) + _check_told(front.get(CARD), statement)
    agree = [RELEASE, *front]
    return faults, [] if faults else [f"Every document is there, and {', '.join(agree)} name the licence {licence}."]


def _faults_of(data: Mapping[str, Any]) -> list[str]:
    if type(written := data.get("format")) is not int or not 1 <= written <= FORMAT:
        return [
            f"its format is {_shown(written)}, but this version reads 1 to {FORMAT}: use the dpedtool that wrote it."
        ]
    faults = [f"{name!r} {fault}" for name, check in _FIELDS.items() if (fault := check(data.get(name)))]
    return faults + ([f"'release' {fault}" for fault in _faults_of_params(data.get("release"))])


def _faults_of_params(given: Any) -> Iterator[str]:
    if not isinstance(given, dict):
        yield "is missing: it must hold the section release of the parameters."
        return
    known = {declared.name for declared in fields(ReleaseParams)}
    if unknown := sorted(given.keys() - known):
        yield f"has unknown keys: {', '.join(unknown):.200}."
        return
    try:
        params = ReleaseParams(**given)
        check_licence(params.licence or "")
    except DpedtoolError as error:
        yield f"is not valid: {error}"
        return
    if not params.name:
        yield "has no name, but a release needs one."


def _counts(value: Any) -> str:
    named = isinstance(value, dict) and value and all(re.fullmatch(PUBLISHED_NAME, phone) for phone in value)
    if named and all(isinstance(of, dict) and set(of) == set(SPLITS) for of in value.values()):
        return next((fault for of in value.values() for number in of.values() if (fault := _number(number))), "")
    return f"is not a table of patches by phone and split ({', '.join(SPLITS)})."


def _number(value: Any, least: int = 0) -> str:
    is_one = type(value) is int and least <= value <= _MOST_COUNTED
    return "" if is_one else f"must be a whole number from {least}, not {_shown(value)}."


def _target_scale(value: Any) -> str:
    is_one = type(value) is int and value in TARGET_SCALES
    return "" if is_one else f"must be one of {', '.join(map(str, TARGET_SCALES))}, not {_shown(value)}."


def _shown(value: Any) -> str:
    """Return the beginning of a value as JSON."""
    return json.dumps(value)[:120] if isinstance(value, str | int | float | None) else type(value).__name__


def _previous(value: Any) -> str:
    """Check the version of the previous release; earlier formats have none."""
    is_version = isinstance(value, str) and re.fullmatch(r"\d+\.\d+\.\d+", value)
    return "" if value is None or is_version else f"must be a version, as in 1.0.0, or null, not {_shown(value)}."


def _photos(value: Any) -> str:
    if not isinstance(value, list):
        return "is not a list of photos."
    for photo in value:
        texts = isinstance(photo, dict) and all(isinstance(photo.get(key), str) for key in ("file", "pair_id"))
        if not texts or not is_inside(photo["file"]):
            return f"has an entry that does not name a file of the release and its pair: {_shown(photo)}."
        if (dslr := photo.get("dslr")) is not None and not _is_target(dslr):
            return f"has an entry for {photo['file']:.200} that does not describe the DSLR's photo as it should."
    return ""


def _names(value: Any) -> str:
    are_names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return "" if are_names and len(set(value)) == len(value) else "is not a list of names, each of them once."


def _is_target(value: Any) -> bool:
    """Return whether this describes the DSLR's full-size photo: its file, the common crop, and the mask of its cells.

    Releases of earlier versions have no such photos.
    """
    if not isinstance(value, dict) or not isinstance(value.get("file"), str) or not is_inside(value["file"]):
        return False
    crop = [value.get(name) for name in CROP]
    if any(_number(side, least) for side, least in zip(crop, (0, 0, 1, 1), strict=True)):
        return False
    mask, cell = value.get("mask"), value.get("mask_cell_px")
    if mask == "":
        return True
    if not isinstance(mask, str) or not re.fullmatch(r"(?:[0-9a-f]{2})+", mask) or _number(cell, 1):
        return False
    cells = -(-value["crop_width"] // cell) * -(-value["crop_height"] // cell)
    return bool(len(mask) // 2 == -(-cells // 8))


_FIELDS: Mapping[str, Callable[[Any], str]] = {
    "counts": _counts,
    "pairs": _number,
    "size_px": lambda value: _number(value, 1),
    "encoded": _number,
    "photos": _photos,
    # Earlier versions wrote no whole_pairs, no target_scale and no stacks.
    "whole_pairs": lambda value: "" if value is None else _names(value),
    "target_scale": lambda value: "" if value is None else _target_scale(value),
    "stacks": lambda value: "" if value is None else _number(value),
    "previous": _previous,
    "made_by": lambda value: "" if isinstance(value, str) and value else "does not say what made the release.",
}


def _read_object(folder: Path, name: str, listing: Listing) -> tuple[dict[str, Any] | None, list[str]]:
    """Return a JSON object; or None, and what is wrong with the file."""
    if not listing.holds(name):
        return None, [f"{name}: it is missing."]
    return _read(folder, name, listing, json.loads)


def _read(
    folder: Path, name: str, listing: Listing, parse: Callable[[str], Any]
) -> tuple[dict[str, Any] | None, list[str]]:
    if listing.there[name] > _MOST_BYTES:
        return None, [f"{name}: it has {listing.there[name]} bytes, too many for a document."]
    try:
        data = parse(read_regular_text(folder / name, most=_MOST_BYTES))
    except OSError as error:
        return None, [f"{name}: it cannot be read: {error.strerror}."]
    except UNUSABLE as error:
        return None, [f"{name}: it is damaged: {one_line(error)}."]
    return (data, []) if isinstance(data, dict) else (None, [f"{name}: it is not a table of names and values."])


def _documents(folder: Path, listing: Listing) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the documents that name the licence, as far as they can be read, and their faults."""
    found: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for name, parse in ((CARD, _front_matter), (CITATION, load_yaml), (CROISSANT, json.loads)):
        if listing.holds(name):
            data, bad = _read(folder, name, listing, parse)
            faults += bad
            found |= {name: data} if data is not None else {}
    return found, faults


def _front_matter(text: str) -> Any:
    head = re.match(r"---\n(.*?)\n---\n", text[:MOST_CHARACTERS], re.DOTALL)
    if not head:
        raise ValueError("it does not begin with the front matter that hubs read, between two lines of ---")
    return load_yaml(head[1])


def _licence_of_card(card: Mapping[str, Any], licence: str) -> list[str]:
    """Compare with the names that hubs use: they have their own, and `other` for licences that they do not know."""
    told = front_matter(licence)
    named = {key: card.get(key) for key in told}
    return [] if named == told else _another(CARD, card.get("license_name", card.get("license")), licence)


def _licence_of_citation(citation: Mapping[str, Any], licence: str) -> list[str]:
    """Compare with the identifier, or with the address of the text. A licence of one's own may be left out."""
    named = citation.get("license", citation.get("license-url"))
    if is_own(licence) and named is None:
        return []
    known = {licence, *([] if is_own(licence) else [text_address(licence)])}
    return [] if known.intersection(_texts(named)) else _another(CITATION, named, licence)


def _licence_of_croissant(croissant: Mapping[str, Any], licence: str) -> list[str]:
    """Compare with the identifier, or with the address of the text: Croissant accepts both."""
    named = croissant.get("license")
    known = {licence, f"https://spdx.org/licenses/{licence}", f"https://spdx.org/licenses/{licence}.html"}
    known |= {LICENCE} if is_own(licence) else {text_address(licence)}
    return [] if known.intersection(_texts(named)) else _another(CROISSANT, named, licence)


def _another(name: str, named: Any, licence: str) -> list[str]:
    if named is None:
        return [f"{name}: it names no licence, but {RELEASE} names {licence}."]
    shown = ", ".join(_texts(named))[:100]
    return [f"{name}: it names the licence {shown!r}, but {RELEASE} names {licence}."]


_LICENCES: Mapping[str, Callable[[Mapping[str, Any], str], list[str]]] = {
    CARD: _licence_of_card,
    CITATION: _licence_of_citation,
    CROISSANT: _licence_of_croissant,
}


def _check_licence_text(folder: Path, listing: Listing, licence: str) -> list[str]:
    """Compare the identifiers in the licence's text with the licence. A text of one's own may have no identifier."""
    if not listing.holds(LICENCE):
        return []
    named, faults = _read(folder, LICENCE, listing, lambda text: {"found": _IDENTIFIER.findall(text)})
    others = sorted(set((named or {}).get("found", ())) - {licence})
    return [*faults, *(fault for other in others for fault in _another(LICENCE, other, licence))]


def _check_figures(figures: Mapping[str, Any], statement: Statement) -> list[str]:
    """Compare the counts of `statistics.json` with those of `release.json`."""
    phones = figures.get("phones")
    if not isinstance(phones, dict) or set(phones) != set(statement.counts):
        return [f"{STATISTICS}: its phones are not those of {RELEASE}."]
    counts: dict[tuple[str, ...], int] = {
        ("splits", split): sum(of[split] for of in statement.counts.values()) for split in SPLITS
    }
    counts |= {
        ("phones", phone, "splits", split): n for phone, of in statement.counts.items() for split, n in of.items()
    }
    wanted: dict[tuple[str, ...], int] = {(*keys, "patches"): count for keys, count in counts.items()}
    wanted |= {("phones", phone, "released"): sum(of.values()) for phone, of in statement.counts.items()}
    faults = [
        f"{STATISTICS}: its {'.'.join(keys)} is {_shown(told)}, but {RELEASE} says {count}."
        for keys, count in wanted.items()
        if (told := _at(figures, keys)) != count
    ]
    pairs = [_at(figures, ("splits", split, "pairs")) for split in SPLITS]
    if not all(type(each) is int for each in pairs) or sum(pairs) != statement.pairs:
        faults.append(f"{STATISTICS}: the pairs of its splits do not add up to the {statement.pairs} of {RELEASE}.")
    return faults


def _at(data: Any, keys: Sequence[str]) -> Any:
    """Return the value below nested keys; None if there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _check_listed_sums(croissant: Mapping[str, Any] | None, listing: Listing) -> list[str]:
    """Check that the files in Croissant's description exist, with the sums that it gives."""
    faults = []
    for each in _as_list((croissant or {}).get("distribution")):
        if not _is_object(each) or "sha256" not in each:
            continue
        name = _text(each.get("contentUrl"))
        if not listing.holds(name):
            faults.append(f"{CROISSANT}: it names the file {name!r:.200}, which is missing.")
        elif listing.sums.get(name, each["sha256"]) != each["sha256"]:
            faults.append(f"{CROISSANT}: its SHA-256 of {name} differs from the list of sums.")
    return faults


def _check_told(card: Mapping[str, Any] | None, statement: Statement) -> list[str]:
    """Compare the numbers of examples that the card states for hubs with those of `release.json`."""
    faults = []
    for config in filter(_is_object, _as_list((card or {}).get("dataset_info"))):
        phone = config.get("config_name")
        if not isinstance(phone, str):
            faults.append(f"{CARD}: dataset_info has an entry whose config_name is not a text.")
            continue
        counts = [statement.counts[phone]] if phone in statement.counts else list(statement.counts.values())
        for split in filter(_is_object, _as_list(config.get("splits"))):
            name, told = _text(split.get("name")), split.get("num_examples")
            known = sum(of.get(name, 0) for of in counts)
            if told not in (None, str(known)):
                faults.append(
                    f"{CARD}: dataset_info gives {_text(told):.40} examples of {name:.40}, but {RELEASE} gives {known}."
                )
    return faults


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _texts(value: Any) -> list[str]:
    return [each for each in _as_list(value) if isinstance(each, str)]


def _text(value: Any) -> str:
    """Return a text as it is, and for anything else a text that is not a name of anything."""
    return value if isinstance(value, str) else "something that is not a text"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
