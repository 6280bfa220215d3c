"""The fenced blocks of Markdown pages: what is in them, and which of them a test runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^ {0,3}(?P<ticks>`{3,}|~{3,})\s*(?P<language>\S*)")
_NOTE = re.compile(r"<!-- (?P<kind>not run|small run|saved as): (?P<words>.*?) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """Of the opening fence, the first line of the page being 1."""
    language: str
    text: str
    not_run: str | None
    """Why it is not run; None where it is run."""
    small_run: str | None
    """The session whose parameters a test makes small before it runs the block; a reader does not see this."""
    saved_as: str | None
    """The file in which the page tells the reader to save the block; None where it is run."""

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> str:
        """The commands of a console block, without their prompts and without what they print."""
        found: list[str] = []
        goes_on = False
        for line in self.text.splitlines():
            if goes_on or line.startswith("$ "):
                found.append(line if goes_on else line.removeprefix("$ "))
                goes_on = line.endswith("\\")
        return "\n".join(found)


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    found = []
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == fence["ticks"])
            notes = {note["kind"]: note["words"] for note in _NOTE.finditer(lines[at - 1] if at else "")}
            text = "\n".join(lines[at + 1 : end]) + "\n"
            language = fence["language"]
            notes_of = (notes.get(kind) for kind in ("not run", "small run", "saved as"))
            found.append(Block(page, at + 1, language, text, *notes_of))
            at = end
        at += 1
    return found


def indented_code(page: Path) -> Iterator[int]:
    """Yield the lines that Markdown shows as code because they are indented by four spaces after an empty line."""
    before = ""
    for number, line in _outside_fences(page):
        if line.startswith("    ") and not before.strip() and line.strip():
            yield number
        before = line


def links_of(page: Path) -> Iterator[tuple[int, str]]:
    """Yield line and target of every link and picture of a page, outside of code."""
    for number, line in _outside_fences(page):
        for target in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "`code`", line)):
            yield number, target


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = [line.lstrip("#").strip() for _, line in _outside_fences(page) if re.match(r"#{1,6} ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _outside_fences(page: Path) -> Iterator[tuple[int, str]]:
    ticks = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if ticks:
            ticks = "" if line.strip() == ticks else ticks
        elif fence:
            ticks = fence["ticks"]
        else:
            yield number, line
