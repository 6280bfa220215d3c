"""Params files: YAML with a section per stage, read, checked and overridden from the command line.

Sections are named like the fields of `dpedtool.dataset.params.Params`. Keys that are left out keep their defaults;
unknown keys are refused, with the nearest valid name.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from dpedtool.dataset.bounded_yaml import UNUSABLE, load_yaml, reason
from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.params import Params, describe, with_functions
from dpedtool.dataset.places import as_place
from dpedtool.dataset.plugins import located
from dpedtool.dataset.regular_files import read_regular_text
from dpedtool.dataset.sections import Section, names_functions

SectionT = TypeVar("SectionT", bound=Section)

FLAGS = "flags"
"""Section of a params file for the flags of commands, such as `align: {workers: 4}`; the commands check it."""
FILES = (
    ("captures", "root"),
    ("captures", "scenes"),
    ("pair", "csv"),
    ("train", "start"),
    ("train", "teacher"),
    ("train", "unpaired"),
    ("train", "vgg"),
    ("evaluate", "lpips"),
    ("release", "licence_file"),
)
"""Parameters that name files or folders, or lists of them, relative to the params file: section and key."""
PLUGINS = tuple(
    (section.name, declared.name)
    for section in dataclasses.fields(Params)
    for declared in dataclasses.fields(section.default)  # type: ignore[arg-type]
    if names_functions(declared)
)
"""Parameters that may name functions of the user's own, whose modules are looked for beside the params file first."""


def load_params(path: Path | None, overrides: tuple[str, ...] = ()) -> Params:
    """Read a params file and apply `section.key=value` overrides on top.

    Parameters
    ----------
    path
        A YAML file, or None for the defaults.
    overrides
        Strings such as ``align.ratio=0.75``; the value is read as YAML.

    Raises
    ------
    ParamsError
        The file is not readable YAML, or a key or value in it or in an override is refused.

    """
    sections = _read_yaml(path) if path else {}
    sections.pop(FLAGS, None)
    where = str(path) if path else "the defaults"
    params: Params = _build(Params, sections, where)
    for section, key in FILES if path else ():
        if found := getattr(getattr(params, section), key):
            moved = with_files(found, lambda file: str(as_place(file, typing.cast("Path", path).parent)))
            placed = {**(sections.get(section) or {}), key: moved}
            sections[section] = placed
            params = dataclasses.replace(params, **{section: _build(_kind(params, section), placed, where)})
    # All are added before any is checked: some are only valid together, such as two weights where one is set to 0.
    for section in dict.fromkeys([_add_override(params, sections, override) for override in overrides]):
        rebuilt = _build(_kind(params, section), sections[section], "--set", f"{section}.")
        params = dataclasses.replace(params, **{section: rebuilt})
    folder = path.parent if path else Path()
    for section in dict.fromkeys(section for section, _ in PLUGINS):
        placed_section = with_functions(getattr(params, section), lambda text: located(text, folder))
        params = dataclasses.replace(params, **{section: placed_section})
    return params


def build_section(kind: type[SectionT], values: Mapping[str, Any], where: str) -> SectionT:
    """Build one section from plain data; fields that are left out keep their defaults.

    Parameters
    ----------
    kind
        A section, such as `AlignParams`.
    values
        By the names of its fields.
    where
        Where the values were given, which begins the message of an error.

    Raises
    ------
    ParamsError
        A name is unknown, or a value is of the wrong type or out of range.

    """
    return typing.cast("SectionT", _build(kind, values, where))


def with_files(named: str | typing.Sequence[str] | None, change: typing.Callable[[str], str]) -> Any:
    """Return a value of a parameter of `FILES` with each name of a file replaced by what a function returns for it."""
    if named is None or isinstance(named, str):
        return named and change(named)
    return [change(file) for file in named]


def load_flags(path: Path, command: str, commands: typing.Collection[str]) -> dict[str, Any]:
    """Read what a params file sets for the flags of a command, in its section `flags`, by the names that it uses.

    Parameters
    ----------
    path
        The params file.
    command
        The command, as one types it.
    commands
        All commands that the section may name.

    Raises
    ------
    ParamsError
        The file is not readable YAML, or the section is not a mapping of commands to flags, or names no command.

    """
    given = _read_yaml(path).get(FLAGS) or {}
    if not isinstance(given, Mapping) or not all(
        isinstance(flags, Mapping | None) and all(isinstance(key, str) for key in flags or {})
        for flags in given.values()
    ):
        raise ParamsError(f"{path}: '{FLAGS}' must hold commands with their flags, such as 'align: {{workers: 4}}'.")
    for name in given:
        if name not in commands:
            raise ParamsError(f"{path}: unknown command '{FLAGS}.{name}'{nearest(str(name), commands, f'{FLAGS}.')}")
    return dict(given.get(command) or {})


def as_yaml(params: Params) -> str:
    """Return a params file with these values, each below a comment on its meaning and range."""
    lines = ["# Parameters of every stage. A key that is left out keeps its default; unknown keys are refused."]
    for declared in dataclasses.fields(params):
        section: Section = getattr(params, declared.name)
        summary = (type(section).__doc__ or "").partition("\n")[0]
        lines += ["", f"# {summary}", f"{declared.name}:"]
        for key, value in describe(section).items():
            lines += [f"  # {section.meaning(key)}", f"  {key}: {json.dumps(value)}"]
    return "\n".join(lines) + "\n"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = load_yaml(read_regular_text(path))
    except FileNotFoundError:
        raise ParamsError(f"There is no params file {path}: name an existing one, or leave --params out.") from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read ({error.strerror}): name a params file.") from None
    except UNUSABLE as error:
        raise ParamsError(f"{path} is not readable as YAML ({reason(error)}): fix or replace it.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ParamsError(f"{path} must hold sections such as 'align:', not a {type(document).__name__}.")
    return document


def _build(kind: type[Any], values: Mapping[Any, Any], where: str, prefix: str = "") -> Any:
    """Build the dataclass `kind` from plain data; `where` and `prefix` name the place in messages."""
    fields = {declared.name: declared for declared in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    built = {}
    for key, value in values.items():
        if key not in fields:
            if issubclass(kind, Section) and (words := kind.replaced(str(key), values)):
                raise ParamsError(f"{where}: {prefix}{words}")
            raise ParamsError(f"{where}: unknown key '{prefix}{key!s:.100}'{nearest(str(key), fields, prefix)}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping | None):
                raise ParamsError(f"{where}: '{prefix}{key}' must be a section with keys, not {value!r:.100}.")
            built[key] = _build(typing.cast("type[Any]", hints[key]), value or {}, where, f"{prefix}{key}.")
        else:
            built[key] = value
    try:
        return kind(**(kind.completed(built) if issubclass(kind, Section) else built))
    except ParamsError as error:
        raise ParamsError(f"{where}: {prefix}{error}") from None


def _add_override(params: Params, given: dict[str, Any], override: str) -> str:
    """Add an override to the values that were given so far, and return its section."""
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        raise ParamsError(f"--set {override}: write it as section.key=value, such as align.ratio=0.75.")
    try:
        value = load_yaml(text)
    except UNUSABLE:
        raise ParamsError(f"--set {override:.100}: the value is not readable as YAML.") from None
    known = {declared.name for declared in dataclasses.fields(params)}
    if section not in known:
        raise ParamsError(f"--set: unknown section '{section}'{nearest(section, known, '')}")
    given[section] = {**(given.get(section) or {}), key: value}
    return section


def _kind(params: Params, section: str) -> type[Any]:
    return type(getattr(params, section))


def nearest(key: str, valid: typing.Iterable[str], prefix: str) -> str:
    """Return the end of a message about an unknown name: the nearest valid name, or all of them."""
    close = difflib.get_close_matches(key, list(valid), n=1, cutoff=0.4)
    if close:
        return f": did you mean '{prefix}{close[0]}'?"
    return f": the valid names are {', '.join(prefix + name for name in sorted(valid))}."
