"""Paths in what the report publishes: readers on other machines see file names, not this machine's folders."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dpedtool.dataset.places import is_url

_NAME = r"[^\s/\"'`]+"
# A path does not begin within a word, a URL, an end tag or a fraction; user:/path is on another machine.
_START = r"(?<![\w/.~<)-])(?!(?<=:)//)"
_FILE_URL = re.compile(r"(?<!\w)file:(?://[^\s/]*)?(?=/)", re.IGNORECASE)
_AT_END = ".,:;)]>"


@dataclass(frozen=True)
class Paths:
    """Shortens the paths in a text: those below `roots` to the rest, others that show folders to the file name."""

    roots: tuple[str, ...] = ()
    """Folders, absolute or as the user wrote them, without a slash at the end."""

    @staticmethod
    def below(captures: str, results: Path) -> Paths:
        """Return an object that makes paths relative to `captures` or to the folder that holds `results`."""
        ours = [str(results.absolute().parent), str(results.resolve().parent)]
        if not is_url(captures):
            ours += [str(Path(captures)), str(Path(captures).absolute()), str(Path(captures).resolve())]
        # Inner folders come first. A folder without a name, / or ., would match in any text.
        named = {root for root in ours if Path(root).name not in ("", "..")}
        return Paths(tuple(sorted(named, key=lambda root: (-len(root), root))))

    def shorten(self, text: str) -> str:
        """Return a text that names no folder of this machine."""
        if "/" not in text:
            return text
        return self._pattern.sub(self._short, self._detours.sub("", _FILE_URL.sub("", text)))

    def shorten_all(self, data: Any) -> Any:
        """Return plain JSON data with all texts shortened, including keys such as tags."""
        if isinstance(data, dict):
            return {self.shorten(key): self.shorten_all(value) for key, value in data.items()}
        if isinstance(data, list):
            return [self.shorten_all(value) for value in data]
        return self.shorten(data) if isinstance(data, str) else data

    @cached_property
    def _roots(self) -> str:
        """Pattern of the roots. A folder may have a space in its name, so it is only found if it is known."""
        return "|".join([*map(re.escape, self.roots), "(?!)"])

    @cached_property
    def _detours(self) -> re.Pattern[str]:
        """Pattern of paths that lead from another folder up to a root, as in the tables of photos."""
        ends = "|".join([*(re.escape(root.lstrip("/")) for root in self.roots), "(?!)"])
        return re.compile(rf"{_START}(?:{self._roots})?[^\s\"'`]*\.\./(?:{ends})/")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # A single name after a slash is probably a unit or a choice: 50 /100 windows, Sony /Canon.
        several = rf"(?:(?:~|\.\.?)(?:/+{_NAME})+|(?:/+{_NAME}){{2,}})"
        detour = rf"(?:{_NAME}/)+\.\.(?:/{_NAME})+"
        return re.compile(rf"{_START}(?:(?:{self._roots})(?=/|\W|$)(?:/{_NAME})*|{several}|{detour})")

    def _short(self, match: re.Match[str]) -> str:
        path = match[0].rstrip(_AT_END)
        clean = posixpath.normpath(path)
        for root in self.roots:
            if clean.startswith(f"{root}/"):
                return clean[len(root) + 1 :] + match[0][len(path) :]
        hides = clean.startswith(("/", "~", ".."))
        return (posixpath.basename(clean) if hides else clean) + match[0][len(path) :]
