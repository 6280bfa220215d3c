"""The browser of the tests: it opens pages, and bears work by several processes beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import chromium

from dpedtool.pipeline.runner import run

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def double(item: int) -> int:
    return 2 * item


def test_it_runs_a_page_of_this_machine(browser: Browser, tmp_path: Path) -> None:
    page_file = tmp_path / "page.html"
    page_file.write_text("<title>one</title><script>document.title += ', two'</script>")
    with browser.new_context(color_scheme="dark") as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        assert page.title() == "one, two"
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")


def test_work_is_shared_while_it_runs(browser: Browser) -> None:
    """Both have an event loop, and a fixture of a session outlives the test that asked for it."""
    assert browser.is_connected()
    assert sorted(run(double, range(4), workers=2)) == [(item, 2 * item) for item in range(4)]
    assert browser.is_connected()


def test_without_it_the_tests_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pytest.skip.Exception, match="install Debian's package chromium"), chromium():
        pass
