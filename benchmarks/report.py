"""The report's list of pairs in a browser: the time for a filter, a letter of a search, and a jump in the list.

    python -m benchmarks.report            # make bench-report: 6000 pairs, needs Chromium
    python -m benchmarks.report --quick    # a quick try with 600 pairs, each action measured twice

The benchmark prints a Markdown table and writes it to report.md next to this file, and the figures to report.json. The
pairs are made up; each has its own thumbnail.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.browser import find_chromium, started
from benchmarks.made_up_pairs import make_pictures, make_rows, render_pairs, with_frames, write_pictures
from benchmarks.output import FOLDER, leave, say, versions
from benchmarks.table import markdown, median
from dpedtool.pipeline.report import page as report_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_REST_MS = 150
"""Pause between two actions, long enough for the thumbnails to load."""
EVERY = 8
"""Each so many-th aligned pair has two further frames."""
WANTED_MS = 200
"""Limit for a filter and a jump in the list."""
SLOWER = (1, 4)
"""Factors by which the browser's processor is slowed; 4 represents a phone."""
ACTIONS = {
    "filter by status": "document.querySelector('.pair-statuses [data-status={status}]').click()",
    "filter by reason": "choose('reason', 1 + {run} % 6)",
    "filter by camera": "choose('phone', 1 + {run} % 3)",
    "filter by split": "choose('split', 1 + {run} % 4)",
    "search, a letter more": "type('img_0123'.slice(0, 1 + {run} % 8))",
    "show all": "document.querySelector('.pair-count button').click()",
    "sort by residual": "document.querySelector('[data-sort=residual_px]').click()",
    "sort by name": "document.querySelector('[data-sort=id]').click()",
    "jump of the list": "jump(({run} * 0.618) % 1)",
}
"""A user's actions in the page; {run} counts the repetitions, so that consecutive repetitions differ."""
BEFORE = {"show all": "choose('phone', 1)", "search, a letter more": "type('img_0123'.slice(0, {run} % 8))"}
"""Preparations for some actions, not timed; before all other actions the whole list is shown."""
_WHOLE = "(button => button.hidden || button.click())(document.querySelector('.pair-count button'))"
_HELP = """
window.choose = (name, index) => {
  const select = document.querySelector(`.pair-filters select[name=${name}]`);
  select.selectedIndex = index;
  select.dispatchEvent(new Event('change', {bubbles: true}));
};
window.type = text => {
  const input = document.querySelector('.pair-filters input');
  input.value = text;
  input.dispatchEvent(new Event('input', {bubbles: true}));
};
window.jump = share => {
  const list = document.querySelector('.pair-list');
  list.scrollTop = share * (list.scrollHeight - list.clientHeight);
};
"""
# The first of the two frames handles scrolling and is painted; the second one begins after that.
_TIMED = "() => new Promise(done => {{ const start = performance.now(); {action};" + (
    "requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start))); }})"
)
_SHOWN = """() => {
  const list = document.querySelector('.pair-list');
  const height = parseFloat(getComputedStyle(list).getPropertyValue('--row'));
  const first = Math.round(list.scrollTop / height);
  const count = parseInt(document.querySelector('.pair-count').innerText);
  return count === 0 || Boolean(document.querySelector(`tr[aria-rowindex="${Math.min(first, count - 1) + 2}"]`));
}"""


@dataclass(frozen=True)
class Figures:
    """One action, or the loading of the page, at one speed of the processor."""

    action: str
    slower: int
    milliseconds: list[float]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.quick:
        options.pairs, options.repeats = 600, 2
    if not (path := find_chromium()):
        sys.exit("Chromium is not installed: install Debian's package chromium.")
    with tempfile.TemporaryDirectory() as folder:
        say(f"making {options.pairs} pairs")
        size = write_report(Path(folder), options.pairs)
        with started(path) as browser:
            figures = measure(browser, Path(folder) / report_page.PAGE, options.repeats)
            notes = [f"{versions()} Chromium {browser.version}.", _conditions(options, size)]
    leave(options.out, "report", as_markdown(figures, notes), [dataclasses.asdict(row) for row in figures])


def write_report(folder: Path, pairs: int) -> int:
    """Write the page and the folders of its pairs; return the size of the page in bytes."""
    rows = with_frames(make_rows(pairs), EVERY)
    thumbnail = {"thumbnail.jpg": make_pictures()["thumbnail.jpg"]}
    for row in rows:
        write_pictures(folder, row.id, thumbnail)
    text = render_pairs(rows)
    (folder / report_page.PAGE).write_text(text, encoding="utf-8")
    return len(text.encode())


def measure(browser: Browser, path: Path, repeats: int) -> list[Figures]:
    """Return the figures of all actions, with separate pages for each speed of the processor."""
    found = []
    for slower in SLOWER:
        say(f"measuring with the processor slowed {slower} times")
        loads = []
        for _ in range(repeats):
            with _opened(browser, path, slower) as page:
                loads.append(
                    float(page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart"))
                )
        found.append(Figures("open the page", slower, loads))
        with _opened(browser, path, slower) as page:
            found += [Figures(name, slower, timed(page, name, repeats)) for name in ACTIONS]
    return found


@contextmanager
def _opened(browser: Browser, path: Path, slower: int) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        page.goto(path.as_uri())
        page.wait_for_function("performance.timing.loadEventEnd > 0")
        page.evaluate(_HELP)
        yield page


def timed(page: Page, name: str, repeats: int) -> list[float]:
    """Return the milliseconds from an action to the end of the frame that shows its result.

    Raises
    ------
    AssertionError
        The list does not show the lines that should be visible.

    """
    times = []
    for run in range(repeats):
        known = {"run": run, "status": ("rejected", "aligned", "unpaired")[run % 3]}
        before, action = BEFORE.get(name, _WHOLE).format(**known), ACTIONS[name].format(**known)
        page.evaluate(_TIMED.format(action=before))
        page.wait_for_timeout(_REST_MS)
        times.append(float(page.evaluate(_TIMED.format(action=action))))
        if not page.evaluate(_SHOWN):
            raise AssertionError(f"after {action} the visible part of the list is empty")
    return times


def as_markdown(figures: Sequence[Figures], notes: Sequence[str]) -> str:
    """Return the table, and what its columns mean."""
    heads = ["action", *(f"{name}, x{slower}" for slower in SLOWER for name in ("median ms", "worst ms"))]
    return "\n\n".join(["# The report's list of pairs", *notes, _MEANING, markdown(heads, _rows(figures))]) + "\n"


_MEANING = f"""\
The time runs from the event to the frame after the one that shows the result, so it includes everything that the page
does; the benchmark checks the result. Two frames pass even if there is nothing to do. Other threads of the browser fill
the pixels at the same time. `x4` is with the browser's processor slowed four times, which represents a phone. A filter,
a letter and a jump should take less than {WANTED_MS} ms. Thumbnails load when the list has been still for 80 ms. `open
the page` runs from the request to the load event, with a file that the system has in memory."""


def _rows(figures: Sequence[Figures]) -> list[list[str]]:
    names = dict.fromkeys(row.action for row in figures)
    known = {(row.action, row.slower): row.milliseconds for row in figures}
    return [[name, *(f"{value:.0f}" for slower in SLOWER for value in _two(known[name, slower]))] for name in names]


def _two(times: Sequence[float]) -> tuple[float, float]:
    return median(times), max(times)


def _conditions(options: argparse.Namespace, size: int) -> str:
    frames = f"of each {EVERY}th aligned one two further frames"
    page = f"a page of {size / 1e6:.1f} MB"
    return f"{options.pairs} made-up pairs, {frames}; {page}; {options.repeats} runs of each action."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=6000, help="lines of the list")
    parser.add_argument("--repeats", type=int, default=24, help="how often every action is measured")
    parser.add_argument("--quick", action="store_true", help="a short list, twice; do not quote the figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
