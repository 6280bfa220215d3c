"""The report through the command line: from photos with hostile names to a page in the browser, with interruptions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=alert(1)>"
PARAMS = """
captures: {{root: {root}, reference: dslr, phones: [phone]}}
patches: {{size_px: 64, stride_px: 64, min_ncc: 0.9}}
split: {{test: 0.3, validation: 0.3}}
train: {{channels: 3, blocks: 0, iterations: 2, batch: 1, crop_px: 32, validate_every: 1, device: cpu}}
evaluate: {{pictures: 2}}
"""
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def session(rig: Any, dpedtool: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params.yaml and results/: four pairs, one with a hostile name, and one that shows two scenes."""
    folder = tmp_path_factory.mktemp("session with a space")
    root = folder / "captures"
    rig.copy(root, ("001", "002", "003", "004"))
    for camera in ("phone", "dslr"):
        (root / camera / "001.png").rename(root / camera / f"{HOSTILE}.png")
    shutil.copy(rig.photos("005")[0], root / "phone/005.png")
    shutil.copy(rig.photos("006")[1], root / "dslr/005.png")
    (folder / "params.yaml").write_text(PARAMS.format(root=root), encoding="utf-8")
    _run_stages(dpedtool, folder)
    return folder


def _run_stages(dpedtool: Run, folder: Path) -> None:
    params = ("--params", folder / "params.yaml")

    def stage(name: str, *arguments: Any) -> None:
        dpedtool("--record", folder / f"results/records/{name}.phone.json", name, *arguments, *params)

    results = folder / "results"
    stage("pair", "--phone", "phone", "-o", results / "pairs/phone")
    stage("align", results / "pairs/phone", "-o", results / "aligned/phone", "--no-images", "--workers", 1)
    stage("patches", results / "aligned/phone", "-o", results / "patches/phone", "--workers", 1)
    stage("split", results / "patches", "-o", results / "splits")
    dpedtool("split", "--verify", results / "splits", "--verdict", results / "splits/verdict.json")
    samples = results / "splits/phone.parquet"
    stage("train", samples, "-o", results / "models/phone")
    stage("evaluate", samples, "--model", results / "models/phone", "-o", results / "evaluations/phone")


@pytest.fixture(scope="module")
def report(session: Path, dpedtool: Run) -> Path:
    out = session / "report"
    ended = dpedtool("report", session / "results", "--params", session / "params.yaml", "-o", out, "--workers", 1)
    assert ended.out.splitlines()[-1] == f"Report: {(out / 'report.html').as_uri()}"
    return out / "report.html"


class Watched:
    """A page with its errors and requests."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, scheme: Any = "light") -> None:
        self._context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page = self._context.new_page()
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *error: object) -> None:
        self._context.close()
        assert self.errors == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []


def test_the_whole_page_runs_without_a_complaint_and_asks_no_host(report: Path, browser: Browser) -> None:
    with Watched(browser, report) as page:
        headings = page.locator("h1, h2").all_inner_texts()
        assert headings == ["phone and dslr", "Overview", "Pairs", "Patches", "Network", "Run"]
        assert page.locator(".said li").count() >= 3
        page.wait_for_function("[...document.querySelectorAll('main img')].every(image => image.complete)")
        assert page.locator("main img:not([alt])").count() == 0
        broken = "[...document.querySelectorAll('main img')].filter(image => image.src && !image.naturalWidth).length"
        assert page.evaluate(broken) == 0


def test_a_hostile_file_name_is_shown_and_not_run(report: Path, browser: Browser) -> None:
    with Watched(browser, report) as page:
        page.locator("input[name=text]").fill("onerror")
        lines = page.locator(".pair-list tbody tr:not(.spacer)")
        page.wait_for_function("document.querySelectorAll('.pair-list tbody tr:not(.spacer)').length === 1")
        assert f"{HOSTILE}.png" in lines.first.inner_text()
        lines.first.click()
        page.wait_for_selector(".compare-stage")
        assert f"{HOSTILE}.png" in page.locator(".pair-figures").inner_text()
        assert page.locator("img[src=x], [onerror]").count() == 0


def test_the_worst_comes_first_with_its_reason_in_words(report: Path, browser: Browser) -> None:
    with Watched(browser, report) as page:
        first = page.locator(".pair-list tbody tr:not(.spacer)").first
        assert "phone--005" in first.inner_text()
        assert "rejected" in first.inner_text()
        first.click()
        reason = json.loads((report.parent / "report.json").read_text(encoding="utf-8"))["pairs"][0]["detail"]
        assert reason in page.locator(".pair-why").inner_text()


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 320)])
def test_the_whole_page_fits_a_phone_by_day_and_by_night(
    report: Path, browser: Browser, scheme: str, width: int
) -> None:
    with Watched(browser, report, width=width, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(ground.split("(")[1].split(",")[0]) < 60) == (scheme == "dark")


def test_the_figures_of_the_page_are_those_of_dvc_metrics_and_plots(report: Path, session: Path) -> None:
    told = json.loads(report.with_name("report.json").read_text(encoding="utf-8"))
    metrics = json.loads((session / "results/evaluations/phone/metrics.json").read_text(encoding="utf-8"))

    def numbers(value: Any) -> set[float]:
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            return set().union(*map(numbers, inner)) if inner else set()
        return {value} if isinstance(value, float) else set()

    assert numbers(metrics) <= numbers(told["network"])
    history = (session / "results/models/phone/history.csv").read_text(encoding="utf-8").splitlines()
    place = history[0].split(",").index("validation_psnr_db")
    assert {float(line.split(",")[place]) for line in history[1:]} <= numbers(told["network"])


def test_a_second_report_makes_no_picture_anew(session: Path, report: Path, dpedtool: Run, times: Run) -> None:
    before = times(report.parent / "files")
    ended = dpedtool(
        "report", session / "results", "--params", session / "params.yaml", "-o", report.parent, "--workers", 2
    )
    assert "5 of 5 were done by an earlier run" in ended.err
    after = times(report.parent / "files")
    assert {name: when for name, when in before.items() if not name.endswith("shown.parquet")} == {
        name: when for name, when in after.items() if not name.endswith("shown.parquet")
    }


def test_one_file_opens_a_pair_without_the_folder(
    session: Path, dpedtool: Run, browser: Browser, tmp_path: Path
) -> None:
    params = ("--params", session / "params.yaml")
    dpedtool("report", session / "results", *params, "-o", tmp_path / "one", "--single-file", "--workers", 1)
    page_alone = shutil.copy(tmp_path / "one/report.html", tmp_path / "mailed.html")
    with Watched(browser, Path(page_alone)) as page:
        page.locator(".pair-list tbody tr:not(.spacer)").last.click()
        page.wait_for_selector(".compare-stage img")
        shown = (
            "[...document.querySelectorAll('.compare-stage img')].every(image => image.complete && image.naturalWidth)"
        )
        page.wait_for_function(shown)


def test_neither_the_params_files_folder_nor_that_of_the_photos_is_published(
    dpedtool: Run, tmp_path: Path, session: Path
) -> None:
    (tmp_path / "params.yaml").write_text("{}")
    given = ("--params", tmp_path / "params.yaml", "--no-pictures")
    dpedtool("report", session / "results", *given, "-o", tmp_path / "report")
    told = (tmp_path / "report/report.json").read_text(encoding="utf-8")
    assert json.loads(told)["process"]["changed"] == []
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    for folder in (tmp_path, session):
        assert str(folder) not in told
        assert str(folder) not in page


def test_an_empty_session_is_said_in_words(dpedtool: Run, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    ended = dpedtool("report", tmp_path / "results", "-o", tmp_path / "report", code=1)
    assert "holds no results of any stage: name the folder" in ended.sentence
    with Watched(browser, tmp_path / "report/report.html") as page:
        assert "There are no results in" in page.locator(".said").inner_text()
        assert "There are no pairs" in page.locator("#pairs").inner_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--single-file", "--no-pictures"), "choose one"),
        ((), "There is no folder"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(
    dpedtool: Run, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = dpedtool("report", tmp_path / "no such", "-o", tmp_path / "out", *arguments, code=2 if arguments else 1)
    assert words in ended.err
