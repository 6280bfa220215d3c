"""Pages with made-up pairs, and helpers for tests that read them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import made_up_pairs
from benchmarks.made_up_pairs import SIZE, make_details, make_rows, render_pairs, write_details
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.node_files import grid_shape, rounded
from dpedtool.pipeline.report.pairs.contract import Picture
from dpedtool.pipeline.report.pairs.depth_picture import DepthPicture

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


@functools.cache
def made_up_depth() -> DepthPicture:
    """A left half that is displaced by 4 px to the left, and a right one by 2 px to the right."""
    rows, columns = grid_shape(*SIZE)
    nodes = np.zeros((rows, columns, 2))
    nodes[..., 0] = np.where(np.arange(columns) < columns // 2, -4, 2)
    return DepthPicture(rounded(nodes), Box(0, 0, *SIZE))


def make_pictures() -> dict[str, bytes]:
    """Return the files of an aligned pair's folder by name, with a picture of its depth."""
    return {**made_up_pairs.make_pictures(), "depth.jpg": encode_image(made_up_depth().draw(SIZE), ".jpg")}


def details_of(pair_id: str, kind: Any) -> Any:
    depth = made_up_depth().details(Picture("depth.jpg", *SIZE))
    details = dataclasses.replace(make_details(pair_id), depth=depth)
    if kind == "aligned":
        return dataclasses.replace(
            details, spots=[dataclasses.replace(details.spots[0], title=HOSTILE), details.spots[1]]
        )
    bare = dataclasses.replace(details, kind=kind, crop=None, shifts=[], windows=[], mask=[], spots=[], depth=None)
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
