"""Pages with made-up pairs, and helpers for tests that read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.made_up_pairs import make_details, make_pictures, make_rows, render_pairs, write_details

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

HOSTILE = "<img src=x onerror=alert(1)>.jpg"
SCRIPT = "</script><script>alert(2)</script><!--"
WIDE, NARROW = (1280, 900), (360, 740)
COUNT = 60
Open = Callable[..., "Page"]


@dataclasses.dataclass
class Seen:
    """What a page did without being asked."""

    errors: list[str]
    requests: list[str]

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.errors.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))


def details_of(pair_id: str, kind: Any) -> Any:
    details = make_details(pair_id)
    if kind == "aligned":
        return dataclasses.replace(
            details, spots=[dataclasses.replace(details.spots[0], title=HOSTILE), details.spots[1]]
        )
    bare = dataclasses.replace(details, kind=kind, crop=None, shifts=[], windows=[], mask=[], spots=[])
    return (
        bare if kind == "apart" else dataclasses.replace(bare, dslr=None, phone=bare.phone if kind == "alone" else None)
    )


def one_pair(folder: Path, *, kind: Any = "aligned", **changes: Any) -> Path:
    """Write a page of one aligned pair, with its folder."""
    row = dataclasses.replace(make_rows(COUNT)[-1], **changes)
    (folder / "report.html").write_text(render_pairs([row]), encoding="utf-8")
    write_details(folder, details_of(row.id, kind), make_pictures())
    return folder / "report.html"


def lines(page: Page) -> Locator:
    return page.locator(".pair-list tbody tr:not(.spacer)")


def count(page: Page) -> str:
    return page.locator(".pair-count [role=status]").inner_text()


def open_pair(page: Page, place: int = 0) -> None:
    lines(page).nth(place).click()
    page.wait_for_selector(".compare-stage")


def title(page: Page) -> str:
    return page.locator("#pair-title").inner_text()


def style(page: Page, selector: str, name: str) -> str:
    return str(page.eval_on_selector(selector, f"element => getComputedStyle(element)['{name}']"))


def sideways(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def told(page: Page) -> str:
    return page.locator(".told").inner_text()
