"""Dataclasses as JSON objects: written field by field, read with the type of every value checked.

The key of a field is its name, unless its metadata is `keyed`. A field with a default may be missing in the file. A
`WHERE_KNOWN` field that is None is not written. Keys without a field are ignored, as a newer version may have written
them. Whole numbers are accepted for floats, and stay whole: what is read and written again is the same text.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from dpedtool.dataset import io
from dpedtool.dataset.errors import DpedtoolError

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_SHOWN = 60
"""Characters of a wrong value that an error shows."""

WHERE_KNOWN = {"where_known": True}
"""Metadata of a field that is None, and has no key in the file, if nothing is known."""


def keyed(key: str) -> dict[str, str]:
    """Return metadata of a field whose key in the file is not its name, because Python reserves the word, say."""
    return {"key": key}


class JsonObject:
    """Base of the frozen dataclasses that are JSON objects; their fields may have any type that `value_of` reads."""

    def as_json(self) -> dict[str, Any]:
        """Return all fields, ready for JSON, in their order."""
        values = {spec: getattr(self, spec.name) for spec in _fields(type(self))}
        return {
            _key(spec): plain(value)
            for spec, value in values.items()
            if value is not None or not spec.metadata.get("where_known")
        }

    @classmethod
    def from_json(cls, data: Any, place: str = "") -> Self:
        """Return the object that `as_json` gave.

        Parameters
        ----------
        data
            What was read.
        place
            Where it stood in the file, for errors: "clock.error_s"; empty for the file as a whole.

        Raises
        ------
        ValueError
            A key is missing, or a value is of another type than its field.

        """
        if not isinstance(data, Mapping):
            raise ValueError(f"{place or 'it'} must be an object, not {_shown(data)}")
        hints = typing.get_type_hints(cls)
        found: dict[str, Any] = {}
        for spec in _fields(cls):
            key, inner = _key(spec), f"{place}.{_key(spec)}" if place else _key(spec)
            if key in data:
                found[spec.name] = value_of(hints[spec.name], data[key], inner)
            elif not _has_default(spec):
                raise ValueError(f"{inner} is missing")
        return cls(**found)


class Sidecar(JsonObject):
    """Base of the records that have a JSON file of their own."""

    FILE: ClassVar[str]
    """Name of the file where a folder holds just one."""

    @classmethod
    def file_in(cls, folder: Path) -> Path:
        """Return the file in a folder that holds one of its kind."""
        return folder / cls.FILE

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all: keys sorted, two spaces."""
        io.write_json(path, self.as_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises
        ------
        DpedtoolError
            It is missing or damaged, a key is missing, or a value has another type than this version writes.

        """
        data = io.read_json(path)
        try:
            return cls.from_json(data)
        except ValueError as error:
            raise DpedtoolError(f"{path} is not as this version writes it ({error}): run its stage again.") from None

    @classmethod
    def check_replaceable(cls, path: Path, what: str) -> None:
        """Refuse a path where something other than a file of this kind exists, so that a typing error replaces nothing.

        Raises
        ------
        DpedtoolError
            The path exists and is not a `what`, which is the name of the files that may be replaced.

        """
        io.check_replaceable(path, {_key(spec) for spec in _fields(cls) if not _has_default(spec)}, what)


def plain(value: Any) -> Any:
    """Return a value of a field, ready for JSON."""
    if isinstance(value, JsonObject):
        return value.as_json()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def value_of(hint: Any, data: Any, place: str) -> Any:
    """Return what was read as a value of a field.

    Parameters
    ----------
    hint
        Type of the field: int, float, str, bool, Any, a `JsonObject`, a Literal of texts; a list, a tuple or a dict of
        such; or any of these `| None`.
    data
        What was read.
    place
        Where it stood in the file, for errors.

    Raises
    ------
    ValueError
        It is of another type, or a number that is NaN or infinite.

    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if data is None else value_of(arguments[0], data, place)
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return origin(value_of(arguments[0], item, f"{place}[{at}]") for at, item in enumerate(_list(data, place)))
    if origin is tuple:
        pairs = zip(arguments, _list(data, place, len(arguments)), strict=True)
        return tuple(value_of(of, item, f"{place}[{at}]") for at, (of, item) in enumerate(pairs))
    if origin is dict:
        if not isinstance(data, dict):
            raise ValueError(f"{place} must be an object, not {_shown(data)}")
        return {key: value_of(arguments[1], item, f"{place}[{key!r}]") for key, item in data.items()}
    if origin is Literal:
        if data not in arguments:
            raise ValueError(f"{place} must be one of {', '.join(arguments)}, not {_shown(data)}")
        return data
    if isinstance(hint, type) and issubclass(hint, JsonObject):
        return hint.from_json(data, place)
    return data if hint is Any else _scalar(hint, data, place)


def _scalar(hint: type, data: Any, place: str) -> Any:
    # A whole number is accepted for a float. A bool, which is an int to Python, is accepted for neither.
    is_of_type = type(data) in (float, int) if hint is float else type(data) is hint
    if not is_of_type or (hint is float and not abs(data) <= sys.float_info.max):
        raise ValueError(f"{place} must be {_WORDS[hint]}, not {_shown(data)}")
    return data


def _list(data: Any, place: str, length: int | None = None) -> list[Any]:
    if not isinstance(data, list) or length not in (None, len(data)):
        raise ValueError(f"{place} must be a list{f' of {length}' if length else ''}, not {_shown(data)}")
    return data


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _key(spec: dataclasses.Field[Any]) -> str:
    return str(spec.metadata.get("key", spec.name))


def _has_default(spec: dataclasses.Field[Any]) -> bool:
    return spec.default is not dataclasses.MISSING or spec.default_factory is not dataclasses.MISSING


def _fields(of: type[JsonObject]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(of)  # type: ignore[arg-type]
