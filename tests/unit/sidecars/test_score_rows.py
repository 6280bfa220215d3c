"""The rows of scores as people read them: one title, number and order on the terminal, the card and the page."""

from __future__ import annotations

from score_rig import compared_metrics

from dpedtool.dataset.sidecars.metrics import Difference, Metrics
from dpedtool.dataset.sidecars.score_rows import said_pairs, score_rows, shown_difference, table_lines, versions_in

METRICS = compared_metrics()


def test_a_row_has_the_score_of_every_version_that_there_is() -> None:
    assert versions_in(METRICS) == ["before", "after"]
    rows = {row.name: row for row in score_rows(METRICS)}
    assert list(rows) == ["psnr_db", "ms_ssim", "ssim", "psnr_db_batch", "psnr_matched_db", "sharpness", "own:worst"]
    assert (rows["psnr_db"].head, rows["psnr_db"].shown("before"), rows["psnr_db"].shown("after")) == (
        "PSNR, dB ↑",
        "20.00",
        "21.50",
    )
    assert rows["psnr_db_batch"].values == {"before": 18.0, "after": 19.0}
    assert rows["psnr_matched_db"].head == "PSNR after the colour match, dB ↑"
    assert rows["sharpness"].head == "Sharpness → 1"
    assert (rows["own:worst"].head, rows["own:worst"].shown("after")) == ("own:worst ↓", "none")
    assert rows["psnr_db"].gain() == "+1.50 (+1.00 to +2.00)"
    assert rows["sharpness"].gain() == ""


def test_the_table_says_what_it_is_over() -> None:
    lines = table_lines(METRICS)
    assert lines[0] == "Over the same 198 pairs for all; 2 pairs with constant targets are left out:"
    assert lines[1].split("  ")[-1] == "network - phone (interval of 95 %)"
    assert lines[2].split() == ["PSNR,", "dB", "↑", "20.00", "21.50", "+1.50", "(+1.00", "to", "+2.00)"]
    assert len({line.rindex("21.50") + 5 for line in lines[2:3]} | {lines[1].index("network") + 7}) == 1


def test_counts_read_well() -> None:
    for pairs, constant, sentence in (
        (1, 0, "Over the same pair for all; every target has details:"),
        (7, 1, "Over the same 6 pairs for all; 1 pair with a constant target is left out:"),
    ):
        assert said_pairs(compared_metrics(pairs=pairs, constant_targets=constant)) == sentence
    assert shown_difference(Difference(difference=-0.5, low=None, high=None), 2) == "-0.50"


def test_an_older_file_has_no_rows() -> None:
    data = METRICS.as_json()
    for protocol in ("image", "batch"):
        data[protocol] = {
            key: value for key, value in data[protocol].items() if "varied" not in key and "matched" not in key
        }
    older = {name: data[name] for name in ("image", "batch", "by_tag")}
    assert table_lines(Metrics.from_json(older)) == []
