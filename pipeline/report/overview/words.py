"""Writes figures as text for the templates: numbers with their unit, shares in percent, times as people say them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dpedtool.dataset.scene_table import YES

NOT_MEASURED = "not measured"
SPACE = "\u00a0"
"""The space between a number and its unit, at which lines do not break."""
_SHORT = frozenset({"ncc", "dslr", "csv"})
_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Return a number with this many digits after the point, thousands separators, and its unit."""
    if value is None:
        return NOT_MEASURED
    return f"{value:,.{digits}f}{SPACE}{unit}" if unit else f"{value:,.{digits}f}"


def signed(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Return `number` with its sign, including a plus."""
    if value is None or value < 0:
        return number(value, digits, unit)
    return f"+{number(value, digits, unit)}"


def count(value: int | None) -> str:
    """Return a whole number with thousands separators."""
    return number(value, 0)


def share(value: float | None) -> str:
    """Return a share 0..1 in percent, with one more digit if it would otherwise be rounded to 0 or 100 %."""
    if value is None:
        return NOT_MEASURED
    seems_whole = round(100 * value) in (0, 100) and value not in (0, 1)
    return f"{100 * value:.{1 if seems_whole else 0}f}{SPACE}%"


def seconds(value: float | None) -> str:
    """Return a time in its two largest units: 0.84 s, 12 s, 2 min 5 s, 3 h 20 min, 2 d 4 h."""
    if value is None:
        return NOT_MEASURED
    if value < 59.5:
        return number(value, 2 if value < 1 else 1 if value < 10 else 0, "s")
    smallest = 1 if value < 3600 else 60 if value < 86_400 else 3600
    left, said = round(value / smallest) * smallest, []
    for length, unit in _SPANS:
        if left >= length:
            said.append(f"{left // length}{SPACE}{unit}")
            left %= length
    return " ".join(said[:2])


def counted(number: int, noun: str) -> str:
    """Return a number and a noun, in the plural unless the number is 1."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    # A model's card may hold something that is not a number.
    shown = f"{number:,}" if isinstance(number, int) else str(number)
    return f"{shown} {noun if number == 1 else plural}"


def psnr(scores: Mapping[str, Any], version: str) -> str:
    """Return the PSNR of a version in metrics.json for one protocol, or why there is no value."""
    value = scores[f"psnr_{version}_db"]
    return _unscored(scores, version) if value is None else number(value, 2, "dB")


def similarity(scores: Mapping[str, Any], version: str, measure: str = "ms_ssim") -> str:
    """Return the MS-SSIM or SSIM of a version in metrics.json for one protocol, or why there is no value."""
    value = scores[f"{measure}_{version}"]
    return _unscored(scores, version) if value is None else number(value, 4)


def _unscored(scores: Mapping[str, Any], version: str) -> str:
    if not scores["pairs"]:
        return "no test patches"
    return "infinite" if scores[f"infinite_psnr_{version}"] else "none"


def step(value: float | None) -> str:
    """Return the resolution of a clock: 1 s, 0.01 s."""
    return NOT_MEASURED if value is None else f"{value:g}{SPACE}s"


def total(reasons: Sequence[Mapping[str, Any]], phone: str) -> int:
    """Return how many items of a phone have any of these reasons."""
    return sum(reason["phones"][phone] for reason in reasons)


def value(of: Any) -> str:
    """Return the value of a parameter as in YAML."""
    return json.dumps(of, ensure_ascii=False)


def tag(name: str) -> str:
    """Return a tag as the list of pairs shows it: indoor=yes as indoor, weather=rain as weather: rain."""
    key, _, said = name.partition("=")
    return key if said == YES else f"{key}: {said}"


def plainly(name: str) -> str:
    """Return a name from the tables as words: wrong_pair as wrong pair, low_ncc as low NCC."""
    return " ".join(word.upper() if word in _SHORT else word for word in name.split("_"))


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "signed": signed,
    "count": count,
    "share": share,
    "seconds": seconds,
    "counted": counted,
    "psnr": psnr,
    "similarity": similarity,
    "step": step,
    "total": total,
    "value": value,
    "plainly": plainly,
    "tag": tag,
}
"""The filters of the templates, by name."""
