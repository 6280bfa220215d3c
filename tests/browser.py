"""A browser without a window, in which tests open pages as people do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Neither of its own accord does it ask anything of the network, so that what tests see asked for is the page's doing.
ARGUMENTS = (
    "--no-sandbox",  # root has none, as in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """Return the path of Chromium or Chrome, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and end it; skip the test where there is none, or no Playwright to talk to it.

    While it runs, this thread has a running event loop: asyncio.run() must be called in another one.
    """
    if not (path := find_chromium()):
        pytest.skip("there is no Chromium: install Debian's package chromium")
    api = pytest.importorskip("playwright.sync_api", reason="there is no Playwright: install the extra dev")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
