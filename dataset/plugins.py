"""Functions and classes of the user's own, named in the parameters as `package.module:function`.

A module is looked for beside the params file first, then where Python looks (PYTHONPATH, installed packages). Only what
the parameters name is imported: never what a table, a model or any other file of results names.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import ParamsError


@dataclass(frozen=True)
class PluginName:
    """A function, and where its module is."""

    module: str
    function: str
    folder: Path | None
    """The folder of the module's first name; None: where Python looks."""

    @classmethod
    def parse(cls, text: str) -> PluginName:
        """Read `module:function`, or `folder:module:function` as `located` writes it."""
        *folder, module, function = text.rsplit(":", 2)
        return cls(module, function, Path(folder[0]) if folder else None)

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"

    def load(self, what: str = "function") -> Callable[..., Any]:
        """Import the module, and return the function, or what else it is called in messages.

        Raises
        ------
        ParamsError
            There is no such module or function, or the module cannot be imported.

        """
        # What is imported stays in memory, whatever happens to its files afterwards.
        digest_in_use(self)
        module = self._imported()
        found = getattr(module, self.function, None)
        if not callable(found):
            raise ParamsError(f"{self}: the module {self.module} has no {what} {self.function}.")
        return found  # type: ignore[no-any-return]

    def digest(self) -> str:
        """Return the SHA-256, hex, of the name and of the files that the module consists of.

        The module's own file counts, and so do the modules that it imports, directly or through others. For a module of
        the user's own, these are the ones beside it. For an installed one, they are the ones of its package. Nothing
        else counts: no other package, and no file that the module reads, such as weights.
        """
        parts = [str(self)]
        if root := self.folder or self._root():
            files = _files(root, self.module)
            if _is_installed(root):
                first = root / self.module.partition(".")[0]
                files = {file for file in files if file.is_relative_to(first) or file == first.with_suffix(".py")}
            parts += [f"{file.relative_to(root)} {_sha256(file)}" for file in sorted(files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _root(self) -> Path | None:
        """Return the folder of the first name of a module that is found where Python looks; None if it has no file."""
        first = self.module.partition(".")[0]
        try:
            found = importlib.util.find_spec(first)
        except (ImportError, ValueError):
            found = None
        if found is None or not found.has_location or found.origin is None:
            return None
        file = Path(found.origin)
        return file.parents[1] if file.name == "__init__.py" else file.parent

    def _imported(self) -> Any:
        if self.folder is None:
            return self._import()
        folder, first = str(self.folder), self.module.partition(".")[0]
        other = sys.modules.get(first)
        if other is not None and not _lies_in(other, self.folder):
            raise ParamsError(f"{self}: another module is called {first}: give the one in {folder} another name.")
        sys.path.insert(0, folder)
        try:
            return self._import()
        finally:
            sys.path.remove(folder)
            # For modules beside it that it only imports when it is called.
            if folder not in sys.path:
                sys.path.append(folder)

    def _import(self) -> Any:
        try:
            return importlib.import_module(self.module)
        except Exception as error:
            # It is the user's code: whatever it raises is one sentence about it.
            where = f"{self.folder} or " if self.folder else ""
            raise ParamsError(
                f"{self}: the module {self.module} cannot be imported from {where}PYTHONPATH "
                f"({type(error).__name__}: {error})."
            ) from error


@functools.cache
def digest_in_use(name: PluginName) -> str:
    """Return the digest of a function as this process uses it: as its files were when it was first asked for."""
    return name.digest()


@functools.cache
def offered(group: str) -> Mapping[str, str]:
    """Return what installed packages offer in a group of entry points: names, and `package.module:function` for each.

    Nothing is imported. Of two packages that offer the same name, the first in the order of their values counts.
    """
    found = sorted((point.name, point.value) for point in entry_points(group=group))
    return dict(reversed(found))


def located(text: str, folder: Path) -> str:
    """Return the name of a function with the folder before it, if its module lies there; else as it is."""
    name = PluginName.parse(text)
    if name.folder or _file(folder, name.module) is None:
        return text
    return f"{folder.resolve()}:{name}"


def _file(folder: Path, module: str) -> Path | None:
    """Return the file of a module below a folder; None if there is none."""
    path = folder.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _files(folder: Path, module: str) -> set[Path]:
    """Return the files below a folder that a module consists of: with its packages, and all that they import there."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        parts = waiting.pop().split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if (file := _file(folder, name)) and file not in found:
                found.add(file)
                waiting += _imports(file, name if file.name == "__init__.py" else name.rpartition(".")[0])
    return found


def _imports(file: Path, package: str) -> Iterator[str]:
    """Yield the names of modules that a file may import, given the package that it is in."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        # Importing it says what is wrong.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from filter(None, (base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)))


def _is_installed(folder: Path) -> bool:
    """Whether a folder holds installed packages, rather than the user's own files."""
    return bool({"site-packages", "dist-packages"} & set(folder.parts)) or folder == Path(ast.__file__).parent


def _lies_in(module: Any, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(Path(place).resolve().is_relative_to(folder.resolve()) for place in places if place)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
