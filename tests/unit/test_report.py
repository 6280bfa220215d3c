"""The report: one page that needs nothing else, and in which text is only ever text."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dataset.errors import DpedtoolError, ParamsError
from dataset.io import write_json
from dataset.params import AlignParams, CapturesParams, EvaluateParams, Params, PatchesParams, SplitParams, TrainParams
from dataset.schema import Alignment, Pair, Patch, Sample
from dataset.split import split
from dataset.tables import read_rows, write_rows
from pipeline.align import align
from pipeline.patches import cut_patches
from pipeline.report import counted, write_report
from training.checkpoint import load_model, save_model
from training.evaluate import evaluate
from training.sources import from_table
from training.train import train

HOSTILE = "<img src=x onerror=alert(1)>"
TABLES = ["pairs/phone/pairs", "aligned/phone/alignments", "patches/phone/patches", "splits/phone"]
OTHERS = [
    "evaluations/phone/metrics.json",
    "models/phone/model.json",
    "models/phone/history.csv",
    "evaluations/phone/before_after.png",
]
SMALL = TrainParams(channels=3, blocks=0, iterations=2, batch=1, crop_px=32, validate_every=1, device="cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> Path:
    """A whole run on three pairs, the smallest that every stage accepts."""
    results = tmp_path_factory.mktemp("results")
    alone = replace(pairs[0], pair_id="phone-z", status="unpaired", reason="no_dslr_photo", detail=f"{HOSTILE}.jpg")
    write_rows(results / "pairs/phone/pairs.parquet", Pair, [*pairs, alone])
    rows = align(pairs, results / "aligned/phone", AlignParams(), images=False)
    cut_patches(rows, results / "patches/phone", PatchesParams(size_px=48, stride_px=48, min_ncc=0.95))
    shares = SplitParams(test=0.3, validation=0.3)
    split({"phone": results / "patches/phone/patches.parquet"}, results / "splits", shares)
    samples = results / "splits/phone.parquet"
    train(from_table(samples), results / "models/phone", SMALL)
    evaluate(samples, results / "models/phone", results / "evaluations/phone", EvaluateParams(pictures=2))
    return results


@pytest.fixture
def results(finished: Path) -> Path:
    """A copy to spoil, beside the finished run, so that its relative paths hold."""
    copy = finished.parent / f"{finished.name}-spoilt"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("report"))
    return copy


@pytest.fixture
def params(captures: Path) -> Params:
    return Params(captures=CapturesParams(root=str(captures), phones=("phone",)))


def page(results: Path, params: Params) -> str:
    return write_report(results, results / "report", params).read_text(encoding="utf-8")


def test_the_page_holds_the_figures_of_the_run(finished: Path, params: Params) -> None:
    text = page(finished, params)
    scores = json.loads((finished / "evaluations/phone/metrics.json").read_text())["image"]
    assert "3 of 4" in text
    assert f"{scores['psnr_after_db']:.2f} dB" in text
    assert f"{scores['ms_ssim_after']:.4f}" in text
    assert "unreadable_photo" in text
    assert "phone--d" in text
    assert "2 iterations" in text
    assert "paired by file name" in text
    assert "<polyline points=" in text


def test_the_page_needs_no_other_file(finished: Path, params: Params) -> None:
    text = page(finished, params)
    assert [source[:11] for source in re.findall(r'src="([^"]*)', text)] == ["data:image/"] * 3
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)


def test_simulated_captures_are_called_so(finished: Path, params: Params, tmp_path: Path) -> None:
    assert "Simulated captures" not in page(finished, params)
    (tmp_path / "truth.json").write_text("{}")
    simulated = replace(params, captures=replace(params.captures, root=str(tmp_path)))
    assert "Simulated captures" in page(finished, simulated)


def test_a_hostile_file_name_is_only_text(finished: Path, params: Params) -> None:
    text = page(finished, params)
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in text


def test_a_hostile_file_name_is_only_text_beside_a_picture(results: Path, params: Params, tmp_path: Path) -> None:
    table = results / "aligned/phone/alignments.parquet"
    gone = tmp_path / f"{HOSTILE.replace('/', '')}.jpg"
    rows = [replace(row, phone_path=gone) for row in read_rows(table, Alignment)]
    write_rows(table, Alignment, rows)
    text = page(results, params)
    assert "no picture" in text
    assert HOSTILE not in text


def test_a_hostile_model_card_is_only_text(results: Path, params: Params) -> None:
    card = json.loads((results / "models/phone/model.json").read_text())
    card["training"]["patches"] = HOSTILE
    write_json(results / "models/phone/model.json", card | {"parameters": HOSTILE})
    text = page(results, params)
    assert HOSTILE not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt; p") == 2


def test_a_hostile_camera_name_is_refused_before_it_gets_anywhere() -> None:
    with pytest.raises(ParamsError, match="no camera name"):
        CapturesParams(phones=(HOSTILE,))


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_table_names_itself(results: Path, params: Params, table: str) -> None:
    (results / f"{table}.parquet").unlink()
    with pytest.raises(DpedtoolError, match=re.escape(f"{table}.parquet")):
        page(results, params)
    assert not (results / "report").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_a_missing_figure_names_itself(results: Path, params: Params, name: str) -> None:
    (results / name).unlink()
    with pytest.raises(DpedtoolError, match=re.escape(name)):
        page(results, params)


def test_a_phone_with_nothing_at_all_has_its_words(results: Path, params: Params) -> None:
    """The stages from the split on, with a table of samples that is empty."""
    failed = [
        replace(row, status="rejected", reason="few_matches", detail="few in common")
        for row in read_rows(results / "aligned/phone/alignments.parquet", Alignment)
    ]
    write_rows(results / "aligned/phone/alignments.parquet", Alignment, failed)
    write_rows(results / "patches/phone/patches.parquet", Patch, [])
    samples = results / "splits/phone.parquet"
    write_rows(samples, Sample, [])
    train(from_table(samples), results / "models/phone", SMALL)
    evaluate(samples, results / "models/phone", results / "evaluations/phone", EvaluateParams())
    text = page(results, params)
    assert '<td colspan="6">no test patches</td>' in text
    assert "There are no test patches, so nothing was scored." in text
    assert "Not trained, since there are no training patches" in text
    assert "No pair was aligned." in text
    assert text.count("few in common") == 4
    assert "data:image" not in text
    assert "<polyline points=" not in text


def test_scores_of_an_untrained_network_are_not_shown_as_its_gain(results: Path, params: Params) -> None:
    figures = json.loads((results / "evaluations/phone/metrics.json").read_text())["image"]
    only_test = [replace(row, split="test") for row in read_rows(results / "splits/phone.parquet", Sample)]
    write_rows(results / "splits/phone.parquet", Sample, only_test)
    train(from_table(results / "splits/phone.parquet"), results / "models/phone", SMALL)
    text = page(results, params)
    cells = [f"{figures['psnr_before_db']:.2f} dB", f"{figures['psnr_colour_db']:.2f} dB", "not trained"]
    assert "".join(f'<td class="n">{cell}</td>' for cell in cells) in text
    assert f"{figures['psnr_after_db']:.2f} dB</td>" not in text
    assert "phone, untrained network, DSLR" in text


def test_the_colour_transform_stands_between_the_untouched_patch_and_the_network(results: Path, params: Params) -> None:
    found = results / "evaluations/phone/metrics.json"
    written = json.loads(found.read_text())
    figures = {"psnr_before_db": 17.9, "psnr_colour_db": 22.1, "psnr_after_db": None}
    written["image"] |= {**figures, "ms_ssim_before": 0.9, "ms_ssim_colour": 0.93, "ms_ssim_after": 1.0}
    write_json(found, written)
    cells = ["17.90 dB", "22.10 dB", "infinite", "0.9000", "0.9300", "1.0000"]
    text = page(results, params)
    assert "".join(f'<td class="n">{cell}</td>' for cell in cells) in text
    heads = [
        f"{metric} {name}" for metric in ("PSNR", "MS-SSIM") for name in ("untouched", "colour transform", "network")
    ]
    assert "".join(f'<th class="n">{head}</th>' for head in heads) in text
    written["image"] |= {"psnr_colour_db": None, "ms_ssim_colour": None}
    write_json(found, written)
    assert '<td class="n">17.90 dB</td><td class="n">none</td>' in page(results, params)


def test_a_network_of_somebody_else_is_reported_without_its_training(results: Path, params: Params) -> None:
    (results / "models/phone/history.csv").unlink()
    model = load_model(results / "models/phone")
    save_model(results / "models/phone", model, {})
    text = page(results, params)
    assert "its card says nothing of its training" in text
    assert "<polyline points=" not in text
    assert "not trained" not in text


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(1, "photo", "1 photo"), (0, "photo", "0 photos"), (2, "patch", "2 patches"), (1, "patch", "1 patch")],
)
def test_what_is_counted_is_in_the_plural_where_it_is_not_one(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words


@pytest.mark.parametrize("text", ["{", "{}", '{"network": "of an earlier version", "image": 3}'])
@pytest.mark.parametrize("name", ["evaluations/phone/metrics.json", "models/phone/model.json"])
def test_a_damaged_figure_names_itself(results: Path, params: Params, name: str, text: str) -> None:
    (results / name).write_text(text)
    with pytest.raises(DpedtoolError, match=re.escape(name)):
        page(results, params)


def test_a_run_in_which_nothing_was_measured_has_a_page(results: Path, params: Params) -> None:
    table = results / "aligned/phone/alignments.parquet"
    rows = [replace(row, residual_px=None, residual_p95_px=None) for row in read_rows(table, Alignment)]
    write_rows(table, Alignment, rows)
    text = page(results, params)
    assert "not measured" in text


def test_a_run_without_validation_has_no_curve(results: Path, params: Params) -> None:
    (results / "models/phone/history.csv").write_text("iteration,validation_psnr_db\n1,nan\n2,nan\n")
    assert "<polyline points=" not in page(results, params)


def test_the_curve_goes_from_corner_to_corner(results: Path, params: Params) -> None:
    (results / "models/phone/history.csv").write_text("iteration,validation_psnr_db\n10,20\n20,22\n30,24\n")
    assert '<polyline points="0.0,90.0 160.0,45.0 320.0,0.0"/>' in page(results, params)
