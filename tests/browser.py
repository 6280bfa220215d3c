"""A browser without a window, in which tests open pages as people do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benchmarks.browser import find_chromium, started

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and end it; skip the test where there is none, or no Playwright to talk to it.

    While it runs, this thread has a running event loop: asyncio.run() must be called in another one.
    """
    if not (path := find_chromium()):
        pytest.skip("there is no Chromium: install Debian's package chromium")
    pytest.importorskip("playwright.sync_api", reason="there is no Playwright: install the extra dev")
    with started(path) as browser:
        yield browser
