"""Overview and run on the page: the figures of report.json are readable, and all texts are escaped."""

from __future__ import annotations

import itertools
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
    imported,
    pair,
    record,
    render_part,
    run_of,
    run_with_bursts,
    sample,
    scores,
    selection,
    synchronisation,
    whole_run,
    window,
    write_alignments,
    write_network,
    write_pairs,
    write_windows,
)
from score_rig import compared_metrics

from dpedtool.dataset.io import write_json
from dpedtool.dataset.schema import Patch, Sample
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.report.overview.charted import overview_content, run_content
from dpedtool.pipeline.report.overview.figures import figures
from dpedtool.pipeline.report.overview.words import number, signed
from dpedtool.pipeline.report.results import RunResults


@pytest.fixture
def run(tmp_path: Path) -> RunResults:
    return whole_run(tmp_path)


def rendered(run: RunResults) -> str:
    """Render only these two parts of the page."""
    found = figures(run)
    parts = {"overview": overview_content(found), "run": run_content(found, run.params)}
    return "".join(render_part(f"{name}.html", **{name: of}) for name, of in parts.items())


class Reader(HTMLParser):
    """The cells of tables, the headings, and all elements with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.headings: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag in ("td", "th"):
            self.cells.append("")
            self._in_cell = True
        if re.fullmatch(r"h\d", tag):
            self.headings.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_scores_on_the_page_are_those_of_metrics_json(run: RunResults) -> None:
    written = json.loads((run.results / "evaluations/a/metrics.json").read_text())
    cells = read(rendered(run)).cells
    for protocol in ("image", "batch"):
        start = cells.index(protocol)
        expected = [
            f"{written[protocol][f'psnr_{version}_db']:.2f}\u00a0dB{written[protocol][f'ms_ssim_{version}']:.4f}"
            for version in ("before", "colour", "oracle", "after")
        ]
        assert cells[start + 3 : start + 7] == expected
        assert cells[start + 1] == "2"


def test_windows_on_the_page_are_those_of_selection_json(run: RunResults) -> None:
    cells = [cell.strip() for cell in read(rendered(run)).cells]
    start = cells.index("share kept")
    assert cells[start + 2 : start + 7] == ["a", "6", "4", "67\u00a0%", "2"]
    assert "33\u00a0% of 3" in cells
    assert "no windows" in cells


def test_clocks_on_the_page_are_those_of_synchronisation_json(run: RunResults) -> None:
    clock = json.loads((run.results / "pairs/a/synchronisation.json").read_text())["clocks"][""]
    cells = read(rendered(run)).cells
    start = cells.index("pieces and ties") + 1
    assert cells[start + 1] == signed(clock["offset_start_s"], 1, "s")
    assert cells[start + 2] == signed(clock["offset_end_s"], 1, "s")
    assert cells[start + 3] == f"+11.6 ± {number(0.25, 1, 's')}"
    assert cells[start + 4] == number(clock["error_s"]["median"], 1, "s")
    assert cells[start + 7] == "1\u00a0s / 0.01\u00a0s"


def test_a_lone_photo_of_the_dslr_stands_in_its_row(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", "b")
    lone = pair("two", status="unpaired", reason="no_phone_photo", phone_path=None)
    write_pairs(run, [pair("one"), lone], synchronisation(unpaired={"no_phone_photo": 1}), "a")
    write_pairs(run, [pair("one", "b")], synchronisation(unpaired={}), "b")
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", rendered(run).split('id="clocks"')[0], re.DOTALL)
    own = [[" ".join(cell.split()) for cell in read(row).cells] for row in rows]
    assert [(cells[0], cells[4]) for cells in own[:3]] == [("dslr the DSLR", "1 at a, 0 at b"), ("a", "0"), ("b", "0")]


def test_scores_of_a_phone_are_a_group_of_rows(run: RunResults) -> None:
    reader = read(rendered(run))
    groups = [of for tag, of in reader.elements if tag == "th" and of.get("scope") == "rowgroup"]
    assert groups == [{"scope": "rowgroup", "rowspan": "2"}]
    heads = [cell.strip() for cell in reader.cells]
    start = heads.index("protocol")
    assert heads[start - 1 : start + 3] == ["Phone", "protocol", "patches", "measure"]


def test_times_are_said_to_be_of_the_last_runs(run: RunResults) -> None:
    text = rendered(run)
    assert "Each time is that of the last run of the command" in text
    assert '<th scope="row">sum of the last runs</th>' in text


def test_the_sentence_of_the_training_and_its_curves_are_there(run: RunResults) -> None:
    text = rendered(run)
    assert "20 iterations of 8 patches each on 291 patches" in text
    # The second validation is not a finite number, so the curve of the PSNR is one point.
    assert text.count("<polyline") == 2
    assert 'aria-label="PSNR on the validation patches. PSNR, dB over the iterations: a from 20.12 to 20.12.' in text


def test_what_is_published_stands_beside_and_is_said_to_be_of_other_photos(run: RunResults) -> None:
    cells = [cell.strip() for cell in read(rendered(run)).cells]
    start = cells.index("DPED")
    assert cells[start : start + 4] == ["DPED", "iPhone", "20.08\u00a0dB", "0.9201"]
    assert "Apple Photo Enhancer *" in cells
    assert cells[cells.index("DPED, iPhone published") + 4] == "28"
    text = rendered(run)
    assert "cannot be compared directly with the scores above" in text
    assert "A larger photo has room for more patches" in text


def test_times_versions_and_parameters_are_there(run: RunResults) -> None:
    write_json(run.results / "records/split.json", record(wall_s=3725.0, versions={"numpy": "2.2.0"}))
    reader, text = read(rendered(run)), rendered(run)
    assert "1\u00a0h 2\u00a0min" in [cell.strip() for cell in reader.cells]
    assert "Not all stages ran with the same versions." in text
    assert "<small>in align.a</small>" in text
    assert "smallest zero-mean NCC of the two grey windows" in text
    assert '<th scope="row" class="set"><code>phones</code></th><td class="set"><code>[&#34;a&#34;]</code>' in text


@pytest.mark.parametrize("trained", [True, False])
def test_scores_over_the_same_patches_stand_below_with_their_intervals(run: RunResults, trained: bool) -> None:
    write_network(run, card(trained=trained, reason="nothing is there"), compared_metrics().as_json())
    text = rendered(run)
    assert "Over the same 198 pairs for all; 2 pairs with constant targets are left out:" in text
    cells = read(text).cells
    start = cells.index("PSNR, dB ↑")
    of_network = ["21.50", "+1.50 (+1.00 to +2.00)"] if trained else ["not trained", ""]
    assert cells[start + 1 : start + 6] == ["20.00", "none", "none", *of_network]


def test_scores_of_an_older_file_have_no_such_table(run: RunResults) -> None:
    assert "What the scores mean" not in rendered(run)


def test_infinite_psnr_is_a_word(run: RunResults) -> None:
    write_network(run, card(), scores(psnr_after_db=None, infinite_psnr_after=2))
    text = rendered(run)
    assert "infinite<br>0.9240<small>2 infinite PSNR left out</small>" in text


def test_an_untrained_network_has_no_gain(run: RunResults) -> None:
    write_network(run, card(trained=False, reason="nothing is there"), scores())
    text = rendered(run)
    assert "Not trained, since nothing is there." in text
    assert "24.12" not in text
    assert '<dd class="row">not trained<small> a</small></dd>' in text


def test_a_run_of_nothing_has_a_page(tmp_path: Path) -> None:
    text = rendered(run_of(tmp_path, "a", "b"))
    assert "There are no results in" in text
    assert text.count("The stage has not run.") >= 3
    assert "Not measured." in text
    assert "No times were recorded. <code>dpedtool --record</code> records them" in text


def test_a_run_without_a_single_camera_has_a_page(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    nobody = RunResults(run.results, type(run.params)())
    assert "There are no results in" in rendered(nobody)


def test_a_session_without_times_and_without_a_pair_has_a_page(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_pairs(run, [], synchronisation(clocks={}, paired=0, unpaired={}, matched_by={}))
    write_alignments(run, [])
    write_windows(run, [], selection(0, 0, {}))
    text = rendered(run)
    assert "No clocks were compared: no photo has a time" in text
    assert "There were no pairs of a to align." in text


def test_a_run_in_which_all_was_rejected_has_a_page(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_alignments(run, [alignment("one", status="rejected", reason="parallax")])
    write_windows(run, [], selection(0, 0, {}))
    text = rendered(run)
    assert "No pair of a was aligned: parallax (1)." in text
    assert "none aligned" in text


def test_simulated_photos_are_called_so(run: RunResults) -> None:
    assert "Simulated captures" not in rendered(run)
    root = Path(run.params.captures.root)
    root.mkdir()
    (root / "truth.json").write_text("{}")
    assert "Simulated captures" in rendered(RunResults(run.results, run.params))


CARDS: list[dict[str, Any]] = [
    {"name": HOSTILE},
    {"trained": False, "reason": f"`{HOSTILE}`"},
]


@pytest.mark.parametrize("changes", CARDS)
def test_a_hostile_model_card_is_only_text(run: RunResults, changes: dict[str, Any]) -> None:
    write_json(run.results / "models/a/model.json", card(**changes))
    text = rendered(run)
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert not [tag for tag, _ in read(text).elements if tag in ("img", "script")]


def test_hostile_records_and_verdicts_are_only_text(run: RunResults) -> None:
    write_json(
        run.results / "records/split.json", record(finished=HOSTILE, platform=HOSTILE, versions={HOSTILE: HOSTILE})
    )
    verdict = {"is_proof": True, "said": [HOSTILE], "faults": [HOSTILE], "tables": {}}
    write_json(run.results / "splits/verdict.json", verdict)
    text = rendered(run)
    assert HOSTILE not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") == 6


def test_nothing_in_the_page_has_a_style_or_a_handler_of_its_own(run: RunResults) -> None:
    for _, attributes in read(rendered(run)).elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_headings_are_in_order_and_charts_have_words(run: RunResults) -> None:
    reader = read(rendered(run))
    assert reader.headings[0] == "h2"
    levels = [int(heading[1]) for heading in reader.headings]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    charts = [attributes for tag, attributes in reader.elements if tag == "svg" and attributes.get("role") == "img"]
    assert len(charts) >= 7
    assert all(chart["aria-label"] for chart in charts)
    others = [attributes for tag, attributes in reader.elements if tag == "svg" and attributes.get("role") != "img"]
    assert all(other["aria-hidden"] == "true" for other in others)
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"overview", "run"} <= set(ids)


def cards(text: str) -> list[str]:
    """Return the words of each card at the top."""
    whole = re.findall(r"<div><dt>.*?</div>", text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", card).split()) for card in whole]


def test_cards_of_stages_that_have_not_run_say_so(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert cards(rendered(run))[:4] == [
        "Pairs aligned none the stage has not run",
        "Residual of the pairs not measured the stage has not run",
        "Windows kept as patches none the stage has not run",
        "Scenes for training, validation, test none the stage has not run",
    ]
    write_alignments(run, [alignment("one", 0.1)])
    assert cards(rendered(RunResults(run.results, run.params)))[:3] == [
        "Pairs aligned 1 of 1 none rejected or failed",
        "Residual of the pairs 0.10\u00a0px median of the pairs' medians; 95 % of these are below 0.10\u00a0px. The "
        "median of the pairs' own 95th percentiles is 0.20\u00a0px".replace("\u00a0", " "),
        "Windows kept as patches none the stage has not run",
    ]


def test_an_imported_set_is_said_to_be_one(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_rows(Patch.table_in(run.results / "patches/a"), Patch, [window(0, x=None, y=None, ncc=0.95)])
    write_json(run.results / "patches/a/imported.json", imported())
    write_rows(run.results / "splits/a.parquet", Sample, [sample(0, "train")])
    text = rendered(run)
    assert cards(text)[:4] == [
        "Pairs aligned none imported patches have no photos",
        "Residual of the pairs not measured imported patches have no photos",
        "Imported patches 1 of 1 100 % kept",
        "Patches for training, validation, test 1 / 0 / 0 scenes are not known, so leaks cannot be checked",
    ]
    assert "it cannot be checked whether a scene is on two sides" in text
    assert "The limits are those of the current params file" not in text
    assert "there are no shifts between photos to measure" in text
    assert "dpedtool split --verify" not in text


def test_a_parameter_that_was_another_one_stands_beside_that_of_now(run: RunResults) -> None:
    text = rendered(run)
    assert "Parameters in the current params file" in text
    assert "<code>2000</code><small>a ran with <code>20</code></small></td>" in text


def test_bursts_are_moments_and_further_frames(tmp_path: Path) -> None:
    page = rendered(run_with_bursts(tmp_path))
    for words in (
        "<dt>Moments aligned</dt><dd>2<small> of 3</small>",
        "1 rejected; 2 of 3 further frames aligned",
        "and 3 further frames</small>",
        ">Moments by status and reason</h3>",
        "base frames with a stand-in</th>",
    ):
        assert words in page
    assert "per pair" not in page.partition('id="training"')[0]


def test_where_every_moment_has_one_frame_they_are_pairs(run: RunResults) -> None:
    page = rendered(run).partition('aria-labelledby="run"')[0]
    assert "<dt>Pairs aligned</dt><dd>2<small> of 3</small>" in page
    for word in ("moments", "Moments", "further frame", "stand-in", "stand in"):
        assert word not in page
