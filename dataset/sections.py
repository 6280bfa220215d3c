"""Checked parameters: dataclass fields that know their meaning and range, and refuse a wrong value when built."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.plugins import offered

CAMERA_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._ -]*[A-Za-z0-9._-])?"
"""Folders of cameras and sessions; blanks may stand inside."""
PUBLISHED_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Cameras in releases, where blanks become '_'."""
CLASS = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
"""A function or class: `package.module:function`."""
PLUGIN = rf"(.+:)?{CLASS}"
"""The same; the folder of its module may stand before it."""
METRIC_NAMES = ("sharpness", "psnr_shifted", "ciede2000", "vif", "gmsd", "haarpsi", "fsim")
"""The scores beside PSNR, MS-SSIM and SSIM that dpedtool itself has."""
PATTERNS = {
    CAMERA_NAME: "cannot be a camera name; use letters, digits, '.', '_', '-' and blanks inside, because these names "
    "become file names",
    PLUGIN: "does not name a function; write package.module:function",
}
"""The patterns that values may have to match, and what is wrong with a value that does not."""


@dataclass(frozen=True)
class Named:
    """What a value may name: something of dpedtool, of an installed package, or a function or class of the user's."""

    group: str
    """The group of the entry points by which packages offer theirs. Such a name is replaced by what it stands for."""
    names: tuple[str, ...] = ()
    """What dpedtool has."""
    form: str = "package.module:function"

    def checked(self, value: str, key: str) -> str:
        """Return the name, or the `package.module:function` that it stands for.

        Raises
        ------
        ParamsError
            Nothing has this name.

        """
        found = value if value in self.names or re.fullmatch(PLUGIN, value) else offered(self.group).get(value, "")
        if not found:
            known = [*self.names, *sorted(offered(self.group))]
            raise ParamsError(f"{key} must be one of {', '.join([*known, self.form])}, not {value!r}.")
        if found != value and not re.fullmatch(PLUGIN, found):
            raise ParamsError(
                f"{key}: the package that offers {value!r} in {self.group} says {found!r}, which {PATTERNS[PLUGIN]}."
            )
        return found


def param(
    default: Any,
    meaning: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    pattern: str | None = None,
    named: Named | None = None,
    has_effect: bool = True,
) -> Any:
    """Declare a field: its default, what it means (with the unit), and the range it must lie in.

    A field without effect changes no result: code of the user's own that it names only watches.
    """
    limits: dict[str, Any] = {"at_least": at_least, "above": above, "at_most": at_most, "pattern": pattern}
    limits |= {"named": named, "has_effect": has_effect}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"meaning": meaning, **limits}, hash=False)
    return field(default=default, metadata={"meaning": meaning, **limits})


def names_functions(declared: dataclasses.Field[Any]) -> bool:
    """Whether a field may name functions or classes of the user's own."""
    return declared.metadata["named"] is not None or declared.metadata["pattern"] == PLUGIN


class Section:
    """Base of the stages' parameters: checks the type and range of every field when it is built."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for declared in dataclasses.fields(self):  # type: ignore[arg-type]
            value = _checked(getattr(self, declared.name), hints[declared.name], declared)
            object.__setattr__(self, declared.name, value)

    @classmethod
    def completed(cls, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return the values to build a section from; a section may add values that follow from those given."""
        return dict(given)

    @classmethod
    def replaced(cls, key: str, given: Mapping[Any, Any]) -> str:
        """Return, as a clause, what to write in place of a key that earlier versions had; empty for other keys."""
        del key, given
        return ""

    def meaning(self, name: str) -> str:
        """Return what a field means and, where there is a choice, what it may be."""
        declared = type(self).__dataclass_fields__[name]  # type: ignore[attr-defined]
        hint = typing.get_type_hints(type(self))[name]
        words = [str(declared.metadata["meaning"])]
        if typing.get_origin(hint) is Literal:
            words.append(f"one of {', '.join(map(str, typing.get_args(hint)))}")
        limits = {"at_least": "at least", "above": "above", "at_most": "at most"}
        given = {limit: declared.metadata[key] for key, limit in limits.items() if declared.metadata[key] is not None}
        return "; ".join(words + [f"{limit} {value:g}" for limit, value in given.items()])


def _checked(value: Any, hint: Any, declared: dataclasses.Field[Any]) -> Any:
    """Return the value in its declared type, or raise a ParamsError that begins with the key."""
    value = _typed(value, hint, declared.name)
    if value is None:
        return None
    for item in _items(value):
        _check_range(item, declared)
    named = declared.metadata["named"]
    if named is None:
        return value
    # A term of a list is a section, which has checked its own names.
    checked = [named.checked(item, declared.name) if isinstance(item, str) else item for item in _items(value)]
    return tuple(checked) if isinstance(value, tuple) else checked[0]


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _typed(value: Any, hint: Any, name: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        # `float | None` is a parameter that may be left open.
        return None if value is None else _typed(value, typing.get_args(hint)[0], name)
    if origin is Literal:
        choices = typing.get_args(hint)
        # Python counts true and 1.0 as equal to 1.
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise ParamsError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            hint = f": write [{value}]" if isinstance(value, str) else ""
            raise ParamsError(f"{name} must be a list, not {value!r}{hint}.")
        return tuple(_typed(item, typing.get_args(hint)[0], f"{name}: each item") for item in value)
    if isinstance(hint, type) and issubclass(hint, Section):
        return value if isinstance(value, hint) else _section(value, hint, name)
    if origin is Mapping:
        return _plain(value, name)
    if hint is float and type(value) is int:
        return _number(value, name)
    if hint is float and isinstance(value, str):
        value = _yaml_exponent(value)
    # Python counts bool as int, but `features: true` is a mistake.
    if type(value) is not hint:
        shown = hint.__name__ if isinstance(hint, type | types.GenericAlias) else str(hint)
        words = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
        raise ParamsError(f"{name} must be {words.get(shown, shown)}, not {value!r}.")
    return value


def _section(value: Any, kind: type[Section], name: str) -> Section:
    """Build one item of a list that holds sections."""
    keys = [declared.name for declared in dataclasses.fields(kind)]  # type: ignore[arg-type]
    form = f"{{{', '.join(f'{key}: ...' for key in keys)}}}"
    if not isinstance(value, Mapping) or not set(value) <= set(keys) or keys[0] not in value:
        raise ParamsError(f"{name} must be {form}, not {value!r:.100}.")
    try:
        return kind(**value)
    except ParamsError as error:
        raise ParamsError(f"{name}: {error}") from None


def _plain(value: Any, name: str) -> Any:
    """Return values by name, which JSON can hold, as a copy."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ParamsError(f"{name} must hold values by name, as in {{width: 32}}, not {value!r:.100}.")
    try:
        return json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ParamsError(
            f"{name} must hold numbers, texts, true, false, null, and lists and mappings of them."
        ) from None


def _number(value: int, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ParamsError(f"{name} is too large a number.") from None


def _yaml_exponent(text: str) -> Any:
    """Read `5e-4` as a number; YAML 1.1 takes it for text, because it has no point."""
    try:
        return float(text)
    except ValueError:
        return text


def _check_range(value: Any, declared: dataclasses.Field[Any]) -> None:
    limits = declared.metadata
    if isinstance(value, float) and not math.isfinite(value):
        raise ParamsError(f"{declared.name} must be finite, not {value}.")
    if limits["at_least"] is not None and value < limits["at_least"]:
        raise ParamsError(f"{declared.name} must be at least {limits['at_least']}, not {value}.")
    if limits["above"] is not None and value <= limits["above"]:
        raise ParamsError(f"{declared.name} must be above {limits['above']}, not {value}.")
    if limits["at_most"] is not None and value > limits["at_most"]:
        raise ParamsError(f"{declared.name} must be at most {limits['at_most']}, not {value}.")
    if limits["pattern"] is not None and not re.fullmatch(limits["pattern"], value):
        raise ParamsError(f"{declared.name}: {value!r} {PATTERNS[limits['pattern']]}.")
