"""README.md of a release: the card of the data set. Hubs read its YAML head.

It answers the questions of a datasheet (Gebru et al., Datasheets for Datasets, arXiv 1803.09010) from nothing but the
data and the parameters. The template escapes all values, except those marked as Markdown.
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from dpedtool.dataset import markdown
from dpedtool.dataset.licence import check_licence, front_matter, is_own
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.schema import Alignment, Patch, Photo
from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.foreign.dped_layout import PARTS, PATCHES_A_PAIR
from dpedtool.pipeline.release.columns import SCHEMAS, STACKS, meanings
from dpedtool.pipeline.release.description import EXAMPLES, LICENCE, SUMS, Description
from dpedtool.pipeline.release.documents.citation import bibtex
from dpedtool.pipeline.release.documents.croissant import record_set_of
from dpedtool.pipeline.release.documents.statistics import QUANTILES
from dpedtool.pipeline.release.layouts import embedded, webdataset
from dpedtool.pipeline.release.scenes import shortened

TEMPLATE = "card.md.j2"
TAGS = ("image-enhancement", "paired-images", "smartphone", "dslr", "dped")
SIZES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
}
"""Size categories of hubs, by the first number of patches that is too large for each."""
MEASURES = {
    "brightness": "mean of the DSLR's window, in grey levels",
    "texture": "standard deviation of the DSLR's window, in grey levels",
    "noise": "standard deviation of the noise of both photos, in grey levels",
    "place": "0 in the middle of the photo, 1 at its edge",
}
"""The measures by which `figures` counts windows."""
_REASONS: Mapping[str, str] = {**Photo.REASONS, **Patch.REASONS, **Alignment.REASONS}
MOST_TAGS = 50
"""The card counts at most this many tags and sessions; the table of scenes has all."""
_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Markdown(str):
    """Text that is already Markdown."""

    __slots__ = ()


def card(description: Description) -> str:
    """Return the card, YAML head and Markdown."""
    body = _environment().get_template(TEMPLATE).render(_known(description))
    return f"---\n{_head(description)}---\n\n{body}"


def _environment() -> Environment:
    environment = Environment(  # noqa: S701 - _shown escapes all values for Markdown
        loader=PackageLoader("dpedtool.pipeline.release.documents", "templates"),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"bar": _bar, "literal": _literal, "number": _number, "share": _share, "reasons": _reasons}
    environment.filters |= {"shortened": shortened}
    environment.filters |= {"address": _address, "range": _range, "columns": _columns, "plain": Markdown}
    return environment


def _shown(value: Any) -> str:
    return value if isinstance(value, Markdown) else markdown.text(value)


def _known(description: Description) -> dict[str, Any]:
    params, figures = description.params, description.figures
    phones = [phone for phone, counts in description.counts.items() if sum(counts.values())]
    sums = {phone: sum(description.counts[phone].values()) for phone in phones}
    return {
        "params": params,
        "licence": check_licence(params.licence) if params.licence else None,
        "own_licence": bool(params.licence) and is_own(check_licence(params.licence or "")),
        "counts": description.counts,
        "phones": phones,
        "sums": sums,
        "total": sum(sums.values()),
        "splits": SPLITS,
        "example": _example(description, phones),
        "figures": figures,
        "of_phones": {phone: figures["phones"][phone] for phone in phones if phone in figures.get("phones", {})},
        "cameras": figures.get("cameras", {}),
        "simulated": figures.get("simulated"),
        "encoded": description.encoded,
        "photos": description.photos,
        "whole_pairs": description.whole_pairs,
        "with_dslr": any("dslr" in photo for photo in description.photos),
        "folders": PARTS,
        "schemas": {name: schema for name, schema in SCHEMAS.items() if name != STACKS or description.stacks},
        "stacks": description.stacks,
        "target_scale": description.target_scale,
        "licences": description.licences,
        "previous": description.previous,
        "changes": description.changes,
        "most_tags": MOST_TAGS,
        "measures": MEASURES,
        "quantiles": [*QUANTILES, "largest"],
        "dped": ", ".join(f"{count} ({name})" for name, count in PATCHES_A_PAIR.items()),
        "limits": _limits(figures),
        "bibtex": Markdown(bibtex(description).rstrip()),
        "program": f"dpedtool {version('dpedtool')}",
        "examples": EXAMPLES,
        "sums_file": SUMS,
        "licence_file": LICENCE,
    }


def _example(description: Description, phones: Sequence[str]) -> Mapping[str, str] | None:
    """Return a phone and a split with patches, for the loading examples."""
    for split in SPLITS:
        for phone in phones:
            if description.counts[phone].get(split):
                return {"phone": phone, "split": split, "record_set": record_set_of(phone, description)}
    return None


def _head(description: Description) -> str:
    """Return the YAML head, which hubs read."""
    params = description.params
    phones = [phone for phone, counts in description.counts.items() if sum(counts.values())]
    total = sum(sum(description.counts[phone].values()) for phone in phones)
    head: dict[str, Any] = {}
    if params.licence:
        head |= front_matter(check_licence(params.licence))
    if head.get("license") == "other":
        head["license_link"] = LICENCE
    head |= {
        "pretty_name": params.name or "data set",
        "task_categories": ["image-to-image"],
        "size_categories": [next((name for most, name in SIZES.items() if total < most), "100M<n<1B")],
        "tags": list(TAGS),
    }
    if "parquet" in params.layouts:
        head["configs"] = [_config(phone, description, embedded.ROOT, "parquet") for phone in phones]
        head["dataset_info"] = [_info(phone, description) for phone in phones]
    elif "webdataset" in params.layouts:
        head["configs"] = [_config(phone, description, webdataset.ROOT, "tar") for phone in phones]
    else:
        # Hubs would show all loose images as rows of one table.
        head["viewer"] = False
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=False)


def _config(phone: str, description: Description, root: str, suffix: str) -> dict[str, Any]:
    files = [
        {"split": split, "path": f"{glob.escape(f'{root}/{phone}')}/{split}-*.{suffix}"}
        for split, count in description.counts[phone].items()
        if count
    ]
    return {"config_name": record_set_of(phone, description), "data_files": files}


def _info(phone: str, description: Description) -> dict[str, Any]:
    kinds = {"double": "float64"}
    features = [
        {
            "name": column.name,
            "dtype": "image" if pa.types.is_struct(column.type) else kinds.get(str(column.type), str(column.type)),
        }
        for column in embedded.SCHEMA
    ]
    splits = [
        {"name": split, "num_bytes": _bytes(f"{embedded.ROOT}/{phone}/{split}-", description), "num_examples": count}
        for split, count in description.counts[phone].items()
        if count
    ]
    return {"config_name": record_set_of(phone, description), "features": features, "splits": splits}


def _bytes(beginning: str, description: Description) -> int:
    return sum(file.bytes for file in description.files if file.name.startswith(beginning))


def _limits(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the parameters of the patches: name, value and meaning."""
    known = {phone: told.get("limits", {}) for phone, told in figures.get("phones", {}).items()}
    fields = dataclasses.fields(PatchesParams)
    return [
        (field.name, _value(field.name, known), str(field.metadata["meaning"]))
        for field in fields
        if any(field.name in limits for limits in known.values())
    ]


def _value(name: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the value of a parameter, with the names of the phones if their values differ."""
    phones: dict[str, list[str]] = {}
    for phone, limits in known.items():
        shown = "none" if limits.get(name) is None else str(limits[name])
        phones.setdefault(shown, []).append(phone)
    if len(phones) == 1:
        return next(iter(phones))
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in phones.items())


def _reasons(counts: Mapping[str, int]) -> Iterator[tuple[str, int, str]]:
    """Yield each reason, its count and its meaning, the most frequent first."""
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield reason, count, _REASONS.get(reason, "")


def _columns(schema: pa.Schema) -> Iterator[tuple[str, str, str, str]]:
    for name, (unit, meaning) in meanings(schema).items():
        yield name, str(schema.field(name).type), unit, meaning


def _literal(value: Any) -> Markdown:
    """Return a text as a Python literal, in double quotes unless it contains some."""
    shown = repr(value)
    return Markdown(shown if '"' in shown else f'"{shown[1:-1]}"')


def _address(name: str) -> Markdown:
    """Return a file of the release as the target of a link."""
    return Markdown(quote(name))


def _number(value: float) -> str:
    """Return a number with spaces between the thousands."""
    return f"{value:,}".replace(",", " ")


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _range(item: Mapping[str, Any]) -> str:
    """Return the two ends of a bin."""
    low = f"{item['from']:g}"
    return f"from {low}" if item["to"] is None else f"{low} to {item['to']:g}"


def _bar(count: int, items: Sequence[Mapping[str, Any]]) -> Markdown:
    """Return a bar whose length is the count relative to the largest one."""
    eighths = round(8 * _BAR * count / max([item["patches"] for item in items] + [1]))
    return Markdown((_EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip())
