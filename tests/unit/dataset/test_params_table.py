"""docs/parameters.md: up to date, and with every parameter."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dpedtool.dataset.params import Params
from dpedtool.dataset.params_table import as_markdown


def rows(section: str) -> dict[str, list[str]]:
    """The cells of every row of a section's table, by its key."""
    text = as_markdown().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    return {first.strip("`"): cells for first, *cells in lines}


def test_the_documentation_in_the_repository_is_up_to_date() -> None:
    document = Path(__file__).parents[3] / "docs" / "parameters.md"
    assert document.read_text(encoding="utf-8") == as_markdown()


def test_every_parameter_of_every_section_has_a_row_of_five_cells() -> None:
    for section in dataclasses.fields(Params):
        found = rows(section.name)
        assert list(found) == [key.name for key in dataclasses.fields(section.default)]
        assert {len(cells) for cells in found.values()} == {4}


def test_types_ranges_and_defaults_are_those_of_the_code() -> None:
    assert rows("align")["ratio"][:3] == ["number", "above 0, at most 1", "`0.8`"]
    assert rows("split")["test_scenes"][:3] == ["whole number, or `null`", "at least 1", "`null`"]
    assert rows("patches")["mode"][:3] == ["`strict`, `dped`", "", '`"strict"`']
    assert rows("captures")["phones"][:3] == ["list of text", "letters, digits, `.`, `_`, `-`, blanks inside", "`[]`"]
    assert rows("train")["augment"][:3] == ["true or false", "", "`true`"]
