"""Links from page to page: each file and each heading that is named is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_blocks import anchors_of, links_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for line, target in links_of(page):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}:{line}: there is no {target}"
        assert file.is_relative_to(ROOT), f"{page.name}:{line}: {target} is outside the project"
        if anchor:
            assert anchor in anchors_of(file), f"{page.name}:{line}: there is no heading #{anchor} in {file.name}"
        elif file.suffix == ".md" and file.is_relative_to(ROOT / "docs"):
            assert anchors_of(file), f"{file.name} has no heading"


def test_every_page_is_reached_from_the_first() -> None:
    reached, waiting = set(), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_relative_to(ROOT / "docs"):
            continue
        reached.add(page)
        waiting += [
            (page.parent / target.partition("#")[0]).resolve() for _, target in links_of(page) if ":" not in target
        ]
    assert reached == set((ROOT / "docs").rglob("*.md"))
