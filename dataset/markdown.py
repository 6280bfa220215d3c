"""Markdown in which everything that comes from data is shown as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Table = Sequence[Sequence[str]]


def text(value: Any) -> str:
    """Return any value as a line of Markdown that shows it as it is."""
    escaped = re.sub(r"([\\`*_\[\]<>#|~&$!])", r"\\\1", plain(value))
    # At the beginning of a line, these would make a list, a rule or a heading.
    return re.sub(r"^(?:([-+=])(?!\d)|(\d+)([.)])(?= |$))", r"\2\\\1\3", escaped)


def plain(value: Any) -> str:
    """Return any value as one line of text that every file can hold."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())


def table(rows: Table) -> str:
    """Return a table whose first row is the head; the cells are Markdown already."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def facts(rows: Table) -> str:
    """Return a table of names and values, which are Markdown already."""
    return table([("", ""), *rows])
