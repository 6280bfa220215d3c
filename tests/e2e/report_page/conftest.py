"""A page of sixty pairs in a browser, for the tests of its list and of an open pair."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pairs_page import COUNT, HOSTILE, SCRIPT, WIDE, Open, Seen, details_of, make_pictures

from benchmarks.made_up_pairs import make_rows, render_pairs, write_details
from dpedtool.pipeline.report.pairs.contract import PairRow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


TAGS = ((), ("indoor=yes",), ("indoor=yes", "weather=rain"), ("weather=sun",))


def with_scenes(rows: list[PairRow]) -> list[PairRow]:
    """Give the pairs a session and tags, which the page of made-up pairs does not need."""
    return [
        dataclasses.replace(row, session=("first day", "second day")[place % 2], tags=TAGS[place % len(TAGS)])
        for place, row in enumerate(rows)
    ]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of sixty pairs with their folders. The first has hostile names; one each is apart, alone and none.

    The others are of two sessions, and their scenes have up to two tags.
    """
    folder = tmp_path_factory.mktemp("report")
    rows = with_scenes(make_rows(COUNT))
    rows[0] = dataclasses.replace(
        rows[0],
        phone_file=HOSTILE,
        scene=SCRIPT,
        detail=SCRIPT,
        phone=f"x{SCRIPT}",
        session=f"y{SCRIPT}",
        tags=(f"place={SCRIPT}",),
    )
    (folder / "report.html").write_text(render_pairs(rows), encoding="utf-8")
    pictures = make_pictures()
    for row, kind in zip(rows, ["aligned", "apart", "alone", "none"] + ["aligned"] * COUNT, strict=False):
        write_details(folder, details_of(row.id, kind), pictures)
    return folder / "report.html"


@pytest.fixture
def seen() -> Seen:
    return Seen([], [])


@pytest.fixture
def visit(browser: Browser, report: Path, seen: Seen) -> Iterator[Open]:
    """Open the page: (size, fragment, path, settings of the context). At the end, check for forbidden actions."""
    contexts = []

    def go(size: tuple[int, int] = WIDE, fragment: str = "", path: Path = report, **settings: Any) -> Page:
        contexts.append(browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings))
        page = contexts[-1].new_page()
        seen.watch(page)
        page.goto(path.as_uri() + fragment)
        return page

    yield go
    for context in contexts:
        context.close()
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
