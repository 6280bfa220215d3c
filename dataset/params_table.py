"""docs/parameters.md: every parameter of every stage, with its type, range, default and meaning."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from dpedtool.dataset.params import Params, describe
from dpedtool.dataset.sections import CAMERA_NAME, Section

_HEAD = """\
# Parameters

A params file is YAML with one section per stage. A key that is left out keeps its default, and an unknown key is
refused with the nearest valid one. `--params FILE` reads a file, and `-S section.key=value` sets one value for one
command. [`dpedtool params`](commands.md) prints this list as a params file.

Where the default is `null`, the meaning says what `null` does. Files are relative to the params file. The section
`train` takes values that are not given from its [preset](presets.md); the defaults here are those of `fidelity`.
"""
_TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text"}
_LIMITS = {"at_least": "at least", "above": "above", "at_most": "at most"}


def as_markdown() -> str:
    """Return the documentation of the parameters: `docs/parameters.md`, which a test compares with this."""
    parts = [_HEAD]
    for declared in dataclasses.fields(Params):
        parts += _section(declared.name, declared.default)
    return "\n".join(parts)


def _section(name: str, section: Any) -> list[str]:
    hints = typing.get_type_hints(type(section))
    rows = [_row(key, hints[key.name], section) for key in dataclasses.fields(section)]
    summary = (type(section).__doc__ or "").partition("\n")[0]
    head = "| key | type | range | default | meaning |\n|---|---|---|---|---|"
    return [f"## {name}\n", f"{summary}\n", head, *rows, ""]


def _row(declared: dataclasses.Field[Any], hint: Any, section: Section) -> str:
    shown = json.dumps(describe(section)[declared.name])
    cells = (f"`{declared.name}`", _type(hint), _range(declared), f"`{shown}`", declared.metadata["meaning"])
    return f"| {' | '.join(cells)} |"


def _type(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return f"{_type(inner[0])}, or `null`"
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is Mapping:
        return "values by name"
    if issubclass(hint, Section):
        return f"`{{{', '.join(declared.name for declared in dataclasses.fields(hint))}}}`"
    return _TYPES[hint]


def _range(declared: dataclasses.Field[Any]) -> str:
    limits = declared.metadata
    words = [f"{word} {limits[key]:g}" for key, word in _LIMITS.items() if limits[key] is not None]
    if limits["pattern"] == CAMERA_NAME:
        words.append("letters, digits, `.`, `_`, `-`, blanks inside")
    return ", ".join(words)
