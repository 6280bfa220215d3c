"""A digest of the code that results were made with, so that results of other code are not taken for this code's.

The digest of a module covers all modules of this project that it imports, directly or not; no list is kept by hand. It
covers what the interpreter does, not how it is written: comments, docstrings and layout change nothing, and neither
does the meaning that is given for a column.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = "dpedtool"
FOLDER = Path(__file__).parents[1]
"""The folder with the folders dataset, pipeline and training: the checkout, or the installed package."""

WITHOUT_EFFECT: Mapping[str, str] = {
    "dpedtool.dataset.code_digest": "it computes the digest, and not rows",
    "dpedtool.dataset.demo_params": "it declares parameters, whose values are a part of each key",
    "dpedtool.dataset.params": "the parameters that a stage is given are a part of each key, value by value",
    "dpedtool.dataset.parts": "it keeps the rows of an item as they are, until the table is written",
    "dpedtool.dataset.printing": "it shows names in the terminal",
    "dpedtool.dataset.progress": "it shows how far the work is",
    "dpedtool.dataset.publication": "it gives finished files their names, whatever they hold",
    "dpedtool.dataset.sections": "it reads and checks parameters, whose values are a part of each key",
    "dpedtool.dataset.sizes": "it writes sizes of memory for messages",
    "dpedtool.dataset.train_params": "the parameters of a training are a part of each key, value by value",
    "dpedtool.pipeline.cluster_facts": "it refuses machines that could give other rows",
    "dpedtool.pipeline.local_cluster": "it starts the processes in which the work is done",
    "dpedtool.pipeline.memory": "it decides how many processes do the work",
    "dpedtool.pipeline.resume": "it keeps finished rows and hands out the others",
    "dpedtool.pipeline.runner": "it decides in which process the work is done",
    "dpedtool.pipeline.waiting": "it says what is waited for",
}
"""Modules that cannot change a row, and why. A test replaces each of them and compares the rows."""


@functools.cache
def code_digest(module: str, folder: Path = FOLDER) -> str:
    """Return the SHA-256, hex, of the syntax of a module and of all modules of this project that it imports.

    Parameters
    ----------
    module
        Its full name; a stage gives its `__name__`. `WITHOUT_EFFECT` is left out.
    folder
        Where the folders dataset, pipeline and training are.

    """
    sources = _closure(module, folder, WITHOUT_EFFECT)
    lines = [f"{name} {source.syntax_sha256}" for name, source in sorted(sources.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def syntax_digest(module: str, folder: Path = FOLDER) -> str:
    """Return the SHA-256, hex, of the syntax of one module, without its comments and docstrings."""
    return _read(file_of(module, folder).read_bytes()).syntax_sha256


def closure(module: str, folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the names of a module and of all modules of this project that it imports, directly or not, sorted.

    Imports for type checkers only are left out, and so is the package `dpedtool` itself.
    """
    return tuple(sorted(_closure(module, folder)))


def imported(module: str, folder: Path = FOLDER) -> set[str]:
    """Return the modules of this project that a module imports directly, and the packages that they are in."""
    names = _read(file_of(module, folder).read_bytes()).imports
    return {name for name in names if file_of(name, folder).is_file()}


def file_of(module: str, folder: Path = FOLDER) -> Path:
    """Return the file of a module or package of this project."""
    path = folder.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@dataclass(frozen=True)
class _Source:
    """What is known about a module by its text."""

    imports: frozenset[str]
    """Names that may be modules of this project, and the packages that they are in."""
    syntax_sha256: str


def _closure(module: str, folder: Path, leave_out: Container[str] = ()) -> dict[str, _Source]:
    known: dict[str, _Source] = {}
    waiting = [module]
    while waiting:
        if (name := waiting.pop()) not in known and name not in leave_out:
            known[name] = _read(file_of(name, folder).read_bytes())
            waiting += [other for other in known[name].imports if file_of(other, folder).is_file()]
    return known


@functools.cache
def _read(text: bytes) -> _Source:
    tree = ast.parse(text)
    found: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    imports = frozenset(above for name in found for above in _with_packages(name))
    return _Source(imports, hashlib.sha256(describe_syntax(tree).encode()).hexdigest())


def describe_syntax(tree: ast.Module) -> str:
    """Return a syntax tree as text, without the parts that have no effect when the code runs.

    Empty fields are left out, so that versions of Python whose trees have new fields agree.
    """
    parts: list[str] = []
    _describe(tree, parts)
    return " ".join(parts)


def _describe(node: ast.AST, parts: list[str]) -> None:
    parts.append(type(node).__name__)
    for name in node._fields:
        if name == "args" and _is_column(node):
            continue
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            parts.append(name)
            _describe(value, parts)
        elif isinstance(value, list):
            parts += [name, "["] if value else []
            for item in value:
                if isinstance(item, ast.AST) and not _is_text_alone(item):
                    _describe(item, parts)
                elif not isinstance(item, ast.AST):
                    parts.append(repr(item))
            parts += ["]"] if value else []
        elif value is not None:
            parts.append(f"{name}={value!r}")


def _is_column(node: ast.AST) -> bool:
    """Whether a call declares a column of a table; its positional arguments are meaning and unit."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "column"


def _is_text_alone(node: ast.AST) -> bool:
    """Whether a statement is a string that nothing uses: a docstring, of a module, a function or an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield all statements but those below `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        is_for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for block in ("orelse",) if is_for_types else ("body", "orelse", "finalbody", "handlers", "cases"):
            if isinstance(inner := getattr(node, block, None), list):
                waiting += inner


def _with_packages(name: str) -> list[str]:
    """Return the names of a module and of its packages below `dpedtool`, which are imported before it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(2, len(parts) + 1)] if parts[0] == PROJECT else []
