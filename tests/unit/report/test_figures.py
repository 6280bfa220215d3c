"""The figures of the report: values that the stages wrote, to the last digit, and counts from their tables."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_rig import (
    alignment,
    card,
    imported,
    pair,
    photo,
    record,
    run_of,
    run_with_bursts,
    sample,
    scores,
    selection,
    synchronisation,
    untrained,
    whole_run,
    window,
    write_alignments,
    write_network,
    write_pairs,
    write_splits,
    write_windows,
)

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import write_json
from dpedtool.dataset.params import describe
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.schema import Patch, Sample
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.tables import write_rows
from dpedtool.pipeline.report.overview.distributions import bin_edges, distribution, round_step
from dpedtool.pipeline.report.overview.figures import figures
from dpedtool.pipeline.report.results import RunResults
from dpedtool.pipeline.split.verification import tables_of


@pytest.fixture
def run(tmp_path: Path) -> RunResults:
    return whole_run(tmp_path)


def said(run: RunResults) -> list[str]:
    return [sentence["text"] for sentence in figures(run)["said"]]


def test_scores_are_those_of_metrics_json_to_the_last_digit(run: RunResults) -> None:
    written = json.loads((run.results / "evaluations/a/metrics.json").read_text())
    assert figures(run)["network"]["scores"]["a"] == written
    assert written == scores()


def test_curves_are_those_of_history_csv_to_the_last_digit(run: RunResults) -> None:
    with (run.results / "models/a/history.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = figures(run)["network"]["training"]["a"]["history"]
    assert set(found) == set(rows[0])
    for name in rows[0]:
        values = [float(row[name]) for row in rows]
        assert found[name] == [None if math.isnan(value) else value for value in values]


def test_windows_are_those_of_selection_json(run: RunResults) -> None:
    written = json.loads((run.results / "patches/a/selection.json").read_text())
    found = figures(run)["windows"]
    assert found["phones"]["a"] == {"windows": 6, "accepted": 4, "rejected": 2} == found["all"]
    assert {reason["reason"]: reason["phones"]["a"] for reason in found["reasons"]} == written["rejected"]
    for own, theirs in zip(found["shares"]["brightness"]["a"], written["by"]["brightness"], strict=True):
        assert (own["low"], own["high"]) == (theirs["from"], theirs["to"])
        assert {name: own[name] for name in ("windows", "accepted", "share")} == {
            name: theirs[name] for name in ("windows", "accepted", "share")
        }
    assert [(reason["reason"], reason["all"]) for reason in found["pairs_without_window"]] == [("small_crop", 1)]


def test_clocks_are_those_of_synchronisation_json(run: RunResults) -> None:
    written = json.loads((run.results / "pairs/a/synchronisation.json").read_text())
    found = figures(run)["session"]
    for name, value in written["clocks"][""].items():
        assert found["clocks"]["a"][name] == value
    assert found["clocks"]["a"]["ties"] == written["ties"]
    assert found["clocks"]["a"]["exif_resolution_s"] == written["exif_resolution_s"]
    photos = {"phone_photos": 4, "dslr_photos": 3, "pairs": 3, "frames": 0, "unpaired": 1}
    photos |= {"matched_by": {"clock": 3}}
    photos |= {"phone_unpaired": 1, "dslr_unpaired": 0}
    assert found["photos"]["a"] == photos
    assert [(reason["reason"], reason["all"]) for reason in found["unpaired_reasons"]] == [("no_dslr_photo", 1)]


def test_a_photo_without_a_mate_is_its_own_cameras(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    alone: dict[str, Any] = {"status": "unpaired", "phone_path": None}
    lone = [
        pair("two", reason="no_phone_photo", **alone),
        pair("three", reason="unusable_name", dslr_path=None, **alone),
        pair("four", reason="unusable_name", scene_id=None, dslr_path=None, **alone),
    ]
    write_pairs(run, [pair("one"), *lone], synchronisation(unpaired={"no_phone_photo": 1, "unusable_name": 2}))
    photos = figures(run)["session"]["photos"]["a"]
    assert (photos["unpaired"], photos["phone_unpaired"], photos["dslr_unpaired"]) == (3, 1, 2)


def test_the_clock_offset_of_each_pair_is_dslr_minus_phone_over_the_hours(run: RunResults) -> None:
    clock = figures(run)["session"]["clocks"]["a"]
    assert clock["pair_offset_s"] == [-36.0, -37.0, -38.0]
    assert clock["pair_hours"] == pytest.approx([0, 1 / 60, 2 / 60], abs=1e-6)


def test_hours_begin_with_the_first_pair_of_all_phones(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", "b")
    for phone, hour in (("a", "12"), ("b", "10")):
        time = f"2026-05-01T{hour}:00:00"
        write_pairs(run, [pair("one", phone, phone_time=time, dslr_time=time)], synchronisation(), phone)
    clocks = figures(run)["session"]["clocks"]
    assert (clocks["a"]["pair_hours"], clocks["b"]["pair_hours"]) == ([2.0], [0.0])


def test_pairs_are_counted_by_status_and_reason(run: RunResults) -> None:
    session = figures(run)["session"]
    assert session["pairs"] == session["pairs_by_phone"]["a"]
    none = {"all": 0, "aligned": 0, "rejected": 0, "failed": 0, "reasons": {}, "stand_ins": 0}
    counts = {"pairs": 3, "aligned": 2, "rejected": 1, "failed": 0, "with_masked_parts": 1, "frames": none}
    counts |= {"dslr_px_per_phone_px": None, "with_coarser_dslr": 0}
    assert session["pairs"] == counts
    assert (session["frame_reasons"], session["stand_in_reasons"]) == ([], [])
    assert session["pair_reasons"][0]["meaning"].startswith("the photos show different scenes")
    assert [(reason["reason"], reason["phones"]) for reason in session["pair_reasons"]] == [("wrong_pair", {"a": 1})]


def test_moments_are_counted_and_further_frames_apart_from_them(tmp_path: Path) -> None:
    found = figures(run_with_bursts(tmp_path))
    session, own = found["session"], found["windows"]["yields"]["a"]
    frames = {"all": 3, "aligned": 2, "rejected": 1, "failed": 0, "reasons": {"motion_blur": 1}, "stand_ins": 1}
    counts = {"pairs": 3, "aligned": 2, "rejected": 1, "failed": 0, "with_masked_parts": 0, "frames": frames}
    counts |= {"dslr_px_per_phone_px": None, "with_coarser_dslr": 0}
    assert session["pairs"] == session["pairs_by_phone"]["a"] == counts
    reasons = {name: session[f"{name}_reasons"] for name in ("pair", "frame", "stand_in")}
    assert {name: [(one["reason"], one["all"]) for one in some] for name, some in reasons.items()} == {
        "pair": [("wrong_pair", 1)], "frame": [("motion_blur", 1)], "stand_in": [("few_matches", 1)]
    }  # fmt: skip
    assert session["photos"]["a"]["frames"] == 3
    assert (own["pairs"], own["aligned"], own["patches_an_aligned_pair"]) == (3, 2, 2.0)
    # The frame of the first moment that patches are not cut from would be the largest.
    left = found["distributions"]["pair_residual_px"]
    assert (left["of"], left["session"]["aligned"]["measured"]) == ("moments", 2)
    assert left["session"]["aligned"]["median"] == pytest.approx(0.2)


def test_pairs_with_a_coarser_dslr_are_told(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_alignments(run, [alignment(f"s{index}", 0.1, scale=0.5 + index / 4) for index in range(4)])
    found = figures(run)
    pairs = found["session"]["pairs_by_phone"]["a"]
    assert (pairs["dslr_px_per_phone_px"], pairs["with_coarser_dslr"]) == (0.875, 2)
    assert (
        "In 2 of 4 aligned pairs of a the DSLR's photo is coarser than the phone's, so that its patches show no more "
        "detail." in [sentence["text"] for sentence in found["said"]]
    )


def test_sentences_tell_moments_and_further_frames_apart(tmp_path: Path) -> None:
    said = {sentence["text"] for sentence in figures(run_with_bursts(tmp_path))["said"]}
    assert {
        "1 of 3 moments of a were not aligned: wrong pair (1).",
        "In 1 moment of a another frame stands in for the base frame: few matches (1).",
        "1 of 3 further frames of a was not aligned: motion blur (1).",
        "2 of 3 moments were aligned, and 2 of 3 further frames. Half of the moments have a median residual below "
        "0.20 px, and 95 % have one below 0.29 px. The median of the moments' own 95th percentiles is 0.40 px.",
    } <= said


def test_a_further_frame_that_could_not_be_judged_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    rows = [alignment("one", 0.1), alignment("one-1", scene_id="one", role="frame", frame=1, status="failed")]
    write_alignments(run, rows)
    said = [sentence["text"] for sentence in figures(run)["said"]]
    assert "1 further frame could not be judged: run `dpedtool align` to try again." in said


def test_the_clocks_are_shown_by_base_frames_alone(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    times = {"dslr_time": "2026-05-01T10:00:00", "phone_time": "2026-05-01T10:00:37"}
    late = {**times, "phone_time": "2026-05-01T10:00:39", "scene_id": "one", "role": "frame", "frame": 1}
    write_pairs(run, [pair("one", role="base", frame=0, **times), pair("one-1", **late)], synchronisation(frames=1))
    assert figures(run)["session"]["clocks"]["a"]["pair_offset_s"] == [-37.0]


def test_a_photo_of_the_dslr_that_serves_two_phones_counts_once(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", "b")
    for phone in ("a", "b"):
        write_alignments(run, [alignment("one", 0.1, phone), alignment("two", 0.1, phone, phone_width=None)], phone)
    dslr, phone_a, _ = figures(run)["session"]["cameras"]
    assert dslr["sizes"] == [{"width_px": 3000, "height_px": 2000, "photos": 2}]
    assert phone_a["sizes"] == [{"width_px": 2000, "height_px": 1000, "photos": 1}]


def test_residuals_of_aligned_pairs_have_their_quantiles(run: RunResults) -> None:
    found = figures(run)["distributions"]["pair_residual_px"]
    part = found["session"]["aligned"]
    assert (part["measured"], part["not_measured"]) == (2, 0)
    # Linear between the two values 0.1 and 0.3.
    assert (part["median"], part["p90"], part["p95"]) == pytest.approx((0.2, 0.28, 0.29))
    assert sum(part["counts"]) == 2
    assert (found["edges"][0], found["edges"][-1], found["limit"]) == (0.0, 0.3, 0.5)


def test_windows_are_told_apart_by_what_became_of_them(run: RunResults) -> None:
    found = figures(run)["distributions"]
    residual, ncc = found["window_residual_px"]["session"], found["window_ncc"]["session"]
    assert (residual["accepted"]["measured"], residual["accepted"]["not_measured"]) == (3, 1)
    assert residual["accepted"]["median"] == 0.04
    assert residual["shifted"]["measured"] == 1
    assert [ncc[part]["measured"] for part in ("accepted", "rejected", "all")] == [4, 2, 6]
    assert ncc["all"]["counts"] == [
        sum(counts) for counts in zip(ncc["accepted"]["counts"], ncc["rejected"]["counts"], strict=True)
    ]
    assert (found["window_ncc"]["limit"], found["window_residual_px"]["limit"]) == (0.9, 0.5)


def test_phones_have_the_same_bins(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", "b")
    for phone, residual in (("a", 0.05), ("b", 0.45)):
        write_alignments(run, [alignment("one", residual, phone)], phone)
    found = figures(run)["distributions"]["pair_residual_px"]
    counts = [found["phones"][phone]["aligned"]["counts"] for phone in ("a", "b")]
    assert [len(count) for count in counts] == [len(found["edges"]) - 1] * 2
    assert found["session"]["aligned"]["counts"] == [sum(both) for both in zip(*counts, strict=True)]


def test_limits_that_phones_do_not_share_are_not_told(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", "b")
    write_windows(run, [window(0, ncc=0.95)], selection(1, 1, {}))
    write_windows(run, [window(0, phone="b", ncc=0.95)], selection(1, 1, {}, min_ncc=0.8), "b")
    found = figures(run)["distributions"]
    assert (found["window_ncc"]["limit"], found["window_residual_px"]["limit"]) == (None, 0.5)


def test_values_beyond_the_bins_are_counted() -> None:
    values = np.concatenate([np.linspace(0, 1, 1000), [50.0, 60.0]])
    found = distribution("residual_px", "windows", "px", {"a": {"accepted": values}})
    part = found.session["accepted"]
    assert found.edges[-1] <= 1
    assert part.above >= 2
    assert part.below == 0
    assert sum(part.counts) + part.above == 1002


@pytest.mark.parametrize(
    ("least", "step"), [(0.001, 0.001), (0.0011, 0.002), (0.3, 0.5), (6, 10), (20, 20), (0.05, 0.05)]
)
def test_steps_are_round(least: float, step: float) -> None:
    assert round_step(least) == pytest.approx(step)


def test_bins_go_up_from_zero_or_down_from_the_highest() -> None:
    assert bin_edges(np.array([0.3, np.nan]))[:3] == [0.0, 0.01, 0.02]
    assert bin_edges(np.array([0.94, 0.94]), 1.0)[-2:] == [0.998, 1.0]
    assert bin_edges(np.array([np.nan])) == []
    assert bin_edges(np.array([0.0, 0.0]))[0] == 0.0


def test_the_yield_stands_beside_the_published_one(run: RunResults) -> None:
    found = figures(run)["windows"]
    assert found["yields"]["a"] == {
        "pairs": 3,
        "aligned": 2,
        "patch_px": 100,
        "megapixels": 2.0,
        "windows_a_pair": 2.0,
        "patches_a_pair": 4 / 3,
        "patches_an_aligned_pair": 2.0,
        "patches_a_megapixel": 4 / 3 / 2,
    }
    published = [(each["phone"], each["patches_a_pair"]) for each in found["published_yields"]]
    assert published == [("BlackBerry", 23), ("iPhone", 28), ("Sony", 36)]
    assert found["published_yields"][1]["patches_a_megapixel"] == pytest.approx(28 / (2.048 * 1.536))


def test_the_sides_of_the_split_are_counted(run: RunResults) -> None:
    sides = figures(run)["sides"]
    assert {name: (side["scenes"], side["pairs"], side["patches"]) for name, side in sides["sides"].items()} == {
        "train": (1, 1, 3),
        "validation": (0, 0, 0),
        "test": (1, 1, 1),
        "excluded": (1, 1, 2),
    }
    assert sides["samples"]["a"] == {"train": 3, "validation": 0, "test": 1}
    assert (sides["groups"], sides["groups_of_several_scenes"], sides["largest_group_scenes"]) == (2, 0, 1)
    assert [(reason["reason"], reason["all"]) for reason in sides["excluded_reasons"]] == [("two_sides", 1)]


def test_what_is_only_remembered_is_on_no_side(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    rows = [photo("one", "train", 3, group="one"), photo("two", "train", 2, group="one")]
    write_splits(run, [*rows, photo("gone", "test", 5, status="absent")], [sample(0, "train")])
    sides = figures(run)["sides"]
    assert sides["sides"]["test"]["pairs"] == 0
    assert (sides["groups_of_several_scenes"], sides["largest_group_scenes"]) == (1, 2)


def verdict(run: RunResults, **changes: Any) -> dict[str, Any]:
    tables = tables_of(run.results / "splits")
    return {"is_proof": True, "said": ["No scene is on two sides."], "faults": [], "tables": tables} | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "proven not to leak"),
        ({"faults": ["a is on 2 sides"]}, "leaks or is damaged: 1 fault was found"),
        ({"is_proof": False}, "is not a proof"),
        ({"tables": {}}, "has changed since"),
    ],
)
def test_the_proof_is_told_as_it_was_found(run: RunResults, changes: dict[str, Any], words: str) -> None:
    write_json(run.results / "splits/verdict.json", verdict(run, **changes))
    assert sum(words in sentence for sentence in said(run)) == 1


def test_without_a_proof_that_is_said(run: RunResults) -> None:
    (advice,) = (sentence for sentence in said(run) if "The split is not verified" in sentence)
    # Without this file, a verification would change nothing here.
    assert f"--verify DIR --verdict DIR/{Verdict.FILE}` on the split's folder" in advice
    assert figures(run)["sides"]["proof"] is None


def test_times_are_summed_and_versions_named_by_command(run: RunResults) -> None:
    write_json(
        run.results / "records/split.json",
        record(wall_s=1.25, cpu_s=None, versions={"dpedtool": "0.8.0", "numpy": "2.2.0"}),
    )
    process = figures(RunResults(run.results, run.params))["process"]
    assert [(each["stage"], each["phone"]) for each in process["records"]] == [("align", "a"), ("split", "")]
    assert (process["wall_s"], process["cpu_s"]) == (13.75, 20.25)
    assert process["is_of_one_version"] is False
    assert process["versions"] == [
        {"name": "dpedtool", "version": "0.8.0", "used_by": ["align.a", "split"]},
        {"name": "numpy", "version": "2.1.0", "used_by": ["align.a"]},
        {"name": "numpy", "version": "2.2.0", "used_by": ["split"]},
    ]
    times = process["align_times"]["a"]
    assert (times["pairs"], times["cpu_s"]["read"], times["cpu_s"]["total"]) == (3, 0.75, 4.5)
    assert process["changed"] == ["captures.root", "captures.phones"]
    assert process["params"]["patches"]["min_ncc"] == 0.9


def test_a_run_of_nothing_says_so(tmp_path: Path) -> None:
    found = figures(run_of(tmp_path))
    assert [sentence["tone"] for sentence in found["said"]] == ["bad"]
    assert "There are no results in" in found["said"][0]["text"]
    assert found["missing"]["a"] == ["pair", "align", "patches", "split", "train", "evaluate"]
    assert found["sides"] is None
    assert found["distributions"]["window_ncc"]["edges"] == []
    assert figures(RunResults(tmp_path / "none", run_of(tmp_path).params))["session"]["pairs"]["pairs"] == 0


def test_a_session_without_a_pair_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    lone = pair("one", scene_id=None, status="unpaired", reason="no_dslr_photo")
    told = synchronisation(clock=None, paired=0, matched_by={}, exif_resolution_s={"phone": None, "dslr": None})
    write_pairs(run, [lone], told)
    write_alignments(run, [])
    write_windows(run, [], selection(0, 0, {}))
    sentences = said(run)
    assert sentences[0] == "No photo of a was paired: no DSLR photo (1)."
    assert "There were no pairs of a to align." in sentences
    assert "The stages split, train and evaluate have not run yet for a." in sentences
    assert figures(run)["windows"]["yields"]["a"]["patches_a_pair"] is None


def test_a_run_in_which_all_was_rejected_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_alignments(run, [alignment(name, status="rejected", reason="wrong_pair") for name in ("one", "two")])
    write_windows(run, [], selection(0, 0, {}))
    write_splits(run, [], [])
    none = {
        key.format(version): None
        for version in ("before", "colour", "oracle", "after")
        for key in ("psnr_{}_db", "ms_ssim_{}", "ssim_{}")
    }
    write_network(run, untrained(reason="nothing is there"), scores(0, **none))
    sentences = said(run)
    assert sentences[0] == "No pair of a was aligned: wrong pair (2)."
    assert "a: Not trained, since nothing is there." in sentences
    assert not any("window" in sentence for sentence in sentences)
    assert figures(run)["distributions"]["pair_residual_px"]["session"]["aligned"]["median"] is None


def test_a_test_without_patches_says_so(run: RunResults) -> None:
    write_network(run, card(), scores(0))
    assert "a: nothing was scored, since there are no test patches." in said(run)


@pytest.mark.parametrize(
    ("after", "tone", "words"),
    [
        (20.0, "bad", "it does harm"),
        (21.5, "warn", "a colour transform alone does better: 22.12 dB"),
        (30.0, "good", "7.88 dB more"),
    ],
)
def test_what_the_network_gains_is_judged(run: RunResults, after: float, tone: str, words: str) -> None:
    write_network(run, card(), scores(psnr_after_db=after, psnr_before_db=21.0, psnr_colour_db=22.123456789))
    found = [sentence for sentence in figures(run)["said"] if sentence["text"].startswith("a: ")]
    assert [sentence["tone"] for sentence in found] == [tone]
    assert words in found[0]["text"]


def test_what_is_amiss_comes_first(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", "b")
    write_alignments(run, [alignment("one", 0.1)])
    write_alignments(run, [alignment("one", phone="b", status="failed", reason="worker_lost")], "b")
    tones = [sentence["tone"] for sentence in figures(run)["said"]]
    assert tones == sorted(tones, key=["bad", "warn", "good", "plain"].index)
    assert said(run)[0] == "No pair of b was aligned: worker lost (1)."


def test_a_network_of_somebody_else_has_no_curve(run: RunResults) -> None:
    foreign = {key: value for key, value in card().items() if key != "training"}
    write_json(run.results / "models/a/model.json", foreign)
    (run.results / "models/a/history.csv").unlink()
    training = figures(run)["network"]["training"]["a"]
    assert training["history"] is None
    assert training["said"].endswith("its card does not describe its training.")


SPOILT = [
    ("models/a/model.json", {"training": {}}),
    ("models/a/model.json", {"parameters": 3}),
    ("models/a/model.json", card(parameters="many")),
    ("patches/a/selection.json", selection(6, 4, {"low_ncc": "two"})),
    ("evaluations/a/metrics.json", {"image": 3}),
    ("evaluations/a/metrics.json", {}),
    ("pairs/a/synchronisation.json", {"shots": {}}),
    ("patches/a/selection.json", {"windows": 3}),
    ("records/align.a.json", {"wall_s": "long"}),
    ("records/align.a.json", {}),
    ("splits/verdict.json", {"is_proof": True}),
]


@pytest.mark.parametrize(("name", "content"), SPOILT)
def test_a_file_of_another_version_names_itself(run: RunResults, name: str, content: dict[str, Any]) -> None:
    write_json(run.results / name, content)
    with pytest.raises(DpedtoolError, match=f"{re.escape(name)} is not as this version writes it"):
        figures(run)


def test_a_history_that_is_missing_names_itself(run: RunResults) -> None:
    (run.results / "models/a/history.csv").unlink()
    with pytest.raises(DpedtoolError, match=r"history\.csv is missing: train again"):
        figures(run)


def test_a_history_without_its_columns_names_itself(run: RunResults) -> None:
    (run.results / "models/a/history.csv").write_text("step\n1\n")
    with pytest.raises(DpedtoolError, match=r"history\.csv is not as this version writes it"):
        figures(run)


def test_figures_are_json_that_every_reader_takes(run: RunResults) -> None:
    (run.results / "models/a/history.csv").write_text("iteration,validation_psnr_db,validation_ms_ssim\n1,inf,nan\n")
    text = json.dumps(figures(run), allow_nan=False)
    assert '"validation_psnr_db": [null]' in text


def imported_run(root: Path) -> RunResults:
    """The results of `dpedtool release import`: patches with their sides, and no photos."""
    run = run_of(root)
    rows = [window(number, x=None, y=None, ncc=0.9 + number / 100, residual_px=number / 10) for number in range(4)]
    rows.append(window(4, "unreadable_photo", x=None, y=None))
    write_rows(Patch.table_in(run.results / "patches/a"), Patch, rows)
    write_json(run.results / "patches/a/imported.json", imported(rejected={"unreadable_photo": 1}))
    sides = ("train", "train", "validation", "test")
    write_rows(run.results / "splits/a.parquet", Sample, [sample(*each) for each in enumerate(sides)])
    return run


def test_an_imported_set_is_counted_by_its_tables(tmp_path: Path) -> None:
    found = figures(imported_run(tmp_path))
    assert found["imported"] == ["a"]
    assert found["windows"]["all"] == {"windows": 5, "accepted": 4, "rejected": 1}
    assert [reason["reason"] for reason in found["windows"]["reasons"]] == ["unreadable_photo"]
    assert found["windows"]["pairs_without_window"] == []
    assert found["distributions"]["window_residual_px"]["session"]["accepted"]["median"] == pytest.approx(0.15)
    sides = found["sides"]
    assert {name: side["patches"] for name, side in sides["sides"].items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
        "excluded": 0,
    }
    assert (sides["are_scenes_known"], sides["sides"]["train"]["scenes"]) == (False, None)


def test_an_imported_set_is_said_to_be_one_of_which_nothing_can_be_proven(tmp_path: Path) -> None:
    run = imported_run(tmp_path)
    assert said(run) == [
        "The stages train and evaluate have not run yet for a.",
        "The patches of a were imported. Their scenes and photos are not known, so it cannot be checked whether the "
        "split leaks.",
        "4 of 5 imported patches can be used (80 %). The remaining shift is 0.15 px (median) and 0.28 px (95th "
        "percentile).",
    ]


def test_a_table_of_patches_without_selection_json_is_counted(run: RunResults) -> None:
    (run.results / "patches/a/selection.json").unlink()
    found = figures(run)["windows"]
    assert found["all"] == {"windows": 6, "accepted": 4, "rejected": 2}
    assert found["yields"]["a"] is None


def test_what_the_stages_ran_with_is_held_against_the_params_file(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", "b")
    for phone in ("a", "b"):
        write_windows(run, [window(0, phone=phone)], selection(1, 1, {}, min_ncc=0.8, mode="dped"), phone)
    write_network(run, card(), scores())
    found = figures(run)
    assert {"section": "patches", "key": "min_ncc", "phone": "b", "recorded": 0.8, "now": 0.9} in found["process"][
        "differences"
    ]
    texts = [sentence["text"] for sentence in found["said"] if "have changed since" in sentence["text"]]
    assert texts == [
        "The patches of a and b were cut with parameters that have changed since: patches.mode "
        '"dped" (now "strict") and patches.min_ncc 0.8 (now 0.9).',
        "The network of a was trained with parameters that have changed since: train.iterations 20 (now 2000) and "
        "train.batch 8 (now 16).",
    ]


def test_a_limit_that_is_the_modes_own_is_no_difference(run: RunResults) -> None:
    told = selection(6, 4, {}, **describe(run.params.patches) | {"max_residual_px": 0.5, "min_contrast": 2.0})
    write_json(run.results / "patches/a/selection.json", told)
    differing = [each["key"] for each in figures(run)["process"]["differences"] if each["section"] == "patches"]
    # Null now means the limits of the mode. It had another meaning when these patches were cut.
    assert {"max_residual_px", "min_contrast", "min_ncc"}.isdisjoint(differing)
    assert "max_motion" in differing


def test_many_differences_are_named_in_part(run: RunResults) -> None:
    told = card()
    told["training"]["params"] = describe(run.params.train) | {
        "seed": 1,
        "batch": 1,
        "crop_px": 50,
        "ema": 0.5,
        "vgg": "x",
    }
    write_json(run.results / "models/a/model.json", told)
    (text,) = [sentence for sentence in said(run) if "The network of a was trained with" in sentence]
    assert text.count("(now ") == 3
    assert text.endswith(" and 1 more.")


def test_alignments_of_pairs_that_are_gone_do_not_count(run: RunResults) -> None:
    write_pairs(run, [pair("one"), pair("new")], synchronisation())
    found = figures(RunResults(run.results, run.params))
    assert found["session"]["pairs"]["pairs"] == 1
    assert found["session"]["pair_reasons"] == []
    assert found["distributions"]["pair_residual_px"]["session"]["aligned"]["measured"] == 1
    assert (
        "The pairs of a have changed since stage align ran: 2 pairs no longer exist and 1 new pair was not aligned. "
        "Run it and the later stages again."
    ) in [sentence["text"] for sentence in found["said"]]


def test_the_quantile_over_pairs_is_not_taken_for_that_within_them(run: RunResults) -> None:
    sentence = next(text for text in said(run) if "were aligned. " in text)
    # The pairs' medians are 0.1 and 0.3 px; their own 95th percentiles are 0.2 and 0.6 px.
    assert sentence == (
        "2 of 3 pairs were aligned. Half of these have a median residual below 0.20 px, and 95 % have one below "
        "0.29 px. The median of the pairs' own 95th percentiles is 0.40 px."
    )


def test_no_folder_of_the_machine_is_published(run: RunResults) -> None:
    root = run.params.captures.root
    told = {"is_proof": False, "said": [f"{root}/a/one.jpg is looked at"], "faults": ["/srv/b.jpg"], "tables": {}}
    write_json(run.results / "splits/verdict.json", told)
    for folder in (None, run.results, Path(root).parent):
        found = figures(RunResults(run.results, run.params, folder))
        assert str(Path(root).parent) not in json.dumps(found)
        assert found["process"]["params"]["captures"]["root"] == "captures"
        assert (found["sides"]["proof"]["said"], found["sides"]["proof"]["faults"]) == (
            ["a/one.jpg is looked at"],
            ["b.jpg"],
        )


def test_a_default_that_is_relative_to_the_params_file_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("{}")
    params = load_params(tmp_path / "params.yaml")
    told = figures(RunResults(tmp_path / "results", params, tmp_path))["process"]
    assert told["changed"] == []
    assert told["params"]["captures"]["root"] == "demo/captures"
    told = figures(RunResults(tmp_path / "results", params, tmp_path / "other"))["process"]
    assert told["changed"] == ["captures.root"]
