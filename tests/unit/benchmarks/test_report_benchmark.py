"""The benchmark of the report's list: its table, and one quick run of all its actions; no timings."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import report
from benchmarks.report import ACTIONS, SLOWER, Figures, as_markdown, measure, timed, write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_every_action_does_something(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_REST_MS", 0)
    size = write_report(tmp_path, 90)
    assert size == (tmp_path / "report.html").stat().st_size
    assert len(list((tmp_path / "files" / "pairs").iterdir())) == 90 + 2 * 10  # bursts
    found = measure(browser, tmp_path / "report.html", 1)
    assert [(row.action, row.slower) for row in found] == [
        (name, slower) for slower in SLOWER for name in ("open the page", *ACTIONS)
    ]
    assert all(len(row.milliseconds) == 1 and min(row.milliseconds) > 0 for row in found)


def test_a_list_that_stays_empty_is_no_figure(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(tmp_path, 20)
    empty = "document.querySelectorAll('.pair-list tr').forEach(line => line.remove())"
    monkeypatch.setattr(report, "ACTIONS", {"empty": empty})
    with report._opened(browser, tmp_path / "report.html", 1) as page, pytest.raises(AssertionError, match="is empty"):
        timed(page, "empty", 1)


def test_the_table_has_median_and_worst_at_both_speeds() -> None:
    text = as_markdown([Figures("sort", 1, [10.2, 12.0, 90.9]), Figures("sort", 4, [40.0])], ["A browser."])
    assert "| action | median ms, x1 | worst ms, x1 | median ms, x4 | worst ms, x4 |" in text
    assert "| sort | 12 | 91 | 40 | 40 |" in text
    assert "A browser." in text


def test_without_a_browser_there_is_nothing_to_measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit, match="install Debian's package chromium"):
        report.main(["--quick", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_a_run_leaves_its_table_and_figures(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [Figures("sort", slower, [1.0]) for slower in SLOWER]
    monkeypatch.setattr(report, "started", lambda _: nullcontext(browser))
    monkeypatch.setattr(report, "measure", lambda *_: figures)
    report.main(["--quick", "--pairs", "30", "--out", str(tmp_path)])
    text = (tmp_path / "report.md").read_text()
    assert capsys.readouterr().out == text
    assert f"Chromium {browser.version}" in text
    assert "600 made-up pairs" in text
    assert json.loads((tmp_path / "report.json").read_text())[0] == {
        "action": "sort",
        "slower": 1,
        "milliseconds": [1.0],
    }
