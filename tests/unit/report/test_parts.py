"""The yield and the scores of parts of a data set: by session and by tag, in report.json and on the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_rig import (
    HOSTILE,
    alignment,
    card,
    pair,
    render_part,
    run_of,
    scene,
    scores,
    selection,
    synchronisation,
    untrained,
    window,
    write_alignments,
    write_network,
    write_pairs,
    write_scenes,
    write_windows,
)

from dpedtool.dataset.params import CapturesParams, Params
from dpedtool.pipeline.report.overview.charted import overview_content
from dpedtool.pipeline.report.overview.figures import figures
from dpedtool.pipeline.report.results import RunResults

NOTE = "ask Aunt Erna first"
SCENES = {"one": "day1", "two": "day1", "three": "day2", "four": "day2"}
"""The session of each scene."""
RAIN = {
    "patches": 3,
    "scenes": 2,
    "psnr_db_before": 18.123456789,
    "psnr_db_after": 20.523456789,
    "ms_ssim_before": 0.91234567,
    "ms_ssim_after": 0.93234567,
}


@pytest.fixture
def run(tmp_path: Path) -> RunResults:
    """Two sessions of two scenes, one of which was rejected; a phone b took part in one scene, and was not cut."""
    run = run_of(tmp_path, "a", "b")
    write_pairs(run, [pair(name, session=session) for name, session in SCENES.items()], synchronisation())
    aligned = [alignment(name, 0.1, session=SCENES[name]) for name in ("one", "two", "three")]
    failed = alignment("four", session="day2", status="rejected", reason="wrong_pair")
    write_alignments(run, [*aligned, failed])
    write_alignments(run, [alignment("one", 0.1, "b", session="day1")], "b")
    counts = {"one": (3, 1), "two": (1, 0), "three": (0, 2)}
    windows = [
        window(number, "" if number < kept else "low_ncc", pair_id=f"a--{name}", scene_id=name)
        for name, (kept, lost) in counts.items()
        for number in range(kept + lost)
    ]
    gone = window(0, pair_id="a--gone", scene_id="gone")
    write_windows(run, [*windows, gone], selection(8, 5, {"low_ncc": 3}))
    write_scenes(
        run,
        scene("one", "day1", "indoor=yes", "weather=rain", notes=NOTE),
        scene("two", "day1", "weather=rain"),
        scene("three", "day2", "weather=10"),
    )
    return run


def part(name: str, scenes: int, pairs: int, aligned: int, *windows: int | float | None) -> dict[str, Any]:
    counts = dict(zip(("windows", "accepted", "kept"), windows, strict=True))
    return {"name": name, "scenes": scenes, "pairs": pairs, "aligned": aligned} | counts


def parts(run: RunResults) -> Any:
    return figures(run)["parts"]


def rendered(run: RunResults) -> str:
    return render_part("overview.html", overview=overview_content(figures(run)))


class Rows(HTMLParser):
    """The rows of all tables, as the text of their cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, *_: Any) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        self._in_cell |= tag in ("td", "th")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data.strip("\n")


def rows_after(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the table that follows a heading."""
    return Rows(text.split(heading, maxsplit=1)[1].split("</table>")[0]).rows


# Figures


def test_pairs_and_windows_are_counted_by_session(run: RunResults) -> None:
    # Day 1: a's pairs one and two with 4 and 1 windows, and b's pair one, which was not cut.
    assert parts(run)["sessions"] == [
        part("day1", 2, 3, 3, 5, 4, 0.8),
        part("day2", 2, 2, 1, 2, 0, 0.0),
    ]


def test_a_pair_counts_in_the_part_of_each_of_its_tags(run: RunResults) -> None:
    assert parts(run)["tags"] == [
        part("indoor=yes", 1, 2, 2, 4, 3, 0.75),
        part("weather=10", 1, 1, 1, 2, 0, 0.0),
        part("weather=rain", 2, 3, 3, 5, 4, 0.8),
    ]
    assert parts(run)["untagged"] == part("", 1, 1, 0, 0, 0, None)


def test_sessions_are_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_alignments(run, [alignment(f"s{day}", session=f"day{day}") for day in (10, 9)])
    assert parts(run)["sessions"] == [part(name, 1, 1, 1, None, None, None) for name in ("day9", "day10")]


def test_one_session_without_tags_has_no_parts(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_alignments(run, [alignment(name, session="day1") for name in ("one", "two")])
    write_scenes(run, scene("one"), scene("two"))
    assert parts(run) == {"sessions": [], "tags": [], "untagged": None}
    text = rendered(run)
    assert 'id="sessions"' not in text
    assert 'id="tags"' not in text


def test_without_a_table_of_scenes_there_are_no_tags(run: RunResults) -> None:
    (run.results / "splits/scenes.parquet").unlink()
    found = parts(run)
    assert (found["tags"], found["untagged"]) == ([], None)
    assert len(found["sessions"]) == 2


# Scenes that the split does not know, as none of their pairs was aligned


def with_template(run: RunResults, text: str, scenes: str | None = None) -> RunResults:
    (run.results / "pairs/a/scenes.csv").write_text(text)
    captures = CapturesParams(root=run.params.captures.root, phones=("a", "b"), scenes=scenes)
    return RunResults(run.results, Params(captures=captures))


def test_tags_of_scenes_without_an_aligned_pair_are_those_that_stage_pair_knew(run: RunResults) -> None:
    # What the split says about a scene has precedence.
    run = with_template(run, "scene,tags,weather,notes\nfour,,rain,x\none,sunny,,\n")
    assert run.tags["four"] == ("weather=rain",)
    assert run.tags["one"] == ("indoor=yes", "weather=rain")
    assert parts(run)["tags"][-1] == part("weather=rain", 3, 4, 3, 5, 4, 0.8)
    assert parts(run)["untagged"] is None


@pytest.mark.parametrize(("scenes", "tags"), [(None, {}), ("scenes.csv", {"four": ("night=yes",)})])
def test_a_template_that_was_filled_in_but_not_named_says_nothing(
    run: RunResults, scenes: str | None, tags: dict[str, Any]
) -> None:
    write_scenes(run, *(scene(name, session) for name, session in SCENES.items() if name != "four"))
    assert with_template(run, "scene,tags\nfour,night\n", scenes).tags == tags


# The page


def test_the_page_shows_the_parts_of_report_json(run: RunResults) -> None:
    text = rendered(run)
    assert rows_after(text, 'id="sessions"')[1:] == [
        ["day1", "2", "3", "3", "5", "4", "80\u00a0%"],
        ["day2", "2", "2", "1", "2", "0", "0\u00a0%"],
    ]
    assert rows_after(text, 'id="tags"')[1:] == [
        ["indoor", "1", "2", "2", "4", "3", "75\u00a0%"],
        ["weather: 10", "1", "1", "1", "2", "0", "0\u00a0%"],
        ["weather: rain", "2", "3", "3", "5", "4", "80\u00a0%"],
        ["without a tag", "1", "1", "0", "0", "0", "no windows"],
    ]


def test_windows_that_were_not_cut_are_said_to_be_so(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_alignments(run, [alignment("one", session="day1"), alignment("two", session="day2")])
    assert rows_after(rendered(run), 'id="sessions"')[1] == ["day1", "1", "1", "1", "the stage has not run"]


def test_many_tags_are_folded(run: RunResults) -> None:
    assert "<summary>" not in rendered(run)
    write_scenes(run, scene("one", "day1", *(f"word{number}=yes" for number in range(31))))
    text = rendered(RunResults(run.results, run.params))
    assert "<summary>31 tags</summary>" in text
    assert ["word30", "1", "2", "2", "4", "3", "75\u00a0%"] in Rows(text).rows


def test_hostile_names_are_only_text_and_notes_are_nowhere(run: RunResults) -> None:
    folder = Path(run.params.captures.root).parent
    names = ["<b>bold=yes", f"place=<b>{HOSTILE}", f"plan={folder}/private/plan.png"]
    write_scenes(run, scene("one", "day1", *names, notes=NOTE))
    write_alignments(run, [alignment("one", session=HOSTILE), alignment("two", session="day1")])
    write_network(run, card(), scores(by_tag={f"session={HOSTILE}": RAIN, names[2]: RAIN}))
    run = RunResults(run.results, run.params)
    text, found = rendered(run), json.dumps(figures(run))
    assert HOSTILE not in text
    assert "<b>" not in text
    assert {"img", "script"}.isdisjoint(Rows(text).tags)
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") == 3
    for written in (text, found):
        assert NOTE not in written
        assert str(folder) not in written
        assert "plan.png" in written


# Scores


def test_scores_by_tag_are_those_of_metrics_json(run: RunResults) -> None:
    equal = RAIN | {"psnr_db_before": None, "psnr_db_after": 30.0}
    write_network(run, card(), scores(by_tag={"session=day1": equal, "weather=rain": RAIN}))
    written = json.loads((run.results / "evaluations/a/metrics.json").read_text())
    assert figures(run)["network"]["scores"]["a"]["by_tag"] == written["by_tag"]
    text = rendered(run)
    assert rows_after(text, "Scores by tag, a")[1:] == [
        ["session: day1", "2", "3", "infinite", "30.00\u00a0dB", "none", "0.9123", "0.9323"],
        ["weather: rain", "2", "3", "18.12\u00a0dB", "20.52\u00a0dB", "+2.40\u00a0dB", "0.9123", "0.9323"],
    ]
    assert "Scores by tag, b" not in text


def test_an_untrained_network_has_no_scores_by_tag_of_its_own(run: RunResults) -> None:
    write_network(run, untrained(), scores(by_tag={"weather=rain": RAIN}))
    row = rows_after(rendered(run), "Scores by tag")[1]
    assert row == ["weather: rain", "2", "3", "18.12\u00a0dB", "not trained", "0.9123", "not trained"]


def test_without_tags_there_are_no_scores_of_them(run: RunResults) -> None:
    write_network(run, card(), {name: value for name, value in scores().items() if name != "by_tag"})
    assert not re.search("Scores by tag", rendered(run))
