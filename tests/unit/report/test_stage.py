"""The report as a whole: a page about a run, the pictures next to it, and the figures for machines."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_rig import imported

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.io import write_json
from dpedtool.dataset.params import AlignParams, CapturesParams, EvaluateParams, Params, PatchesParams, SplitParams
from dpedtool.dataset.schema import Alignment, Pair, Patch, Sample, Scene
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.dataset.train_params import TrainParams
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.patches.stage import cut_patches
from dpedtool.pipeline.report.pairs import inline_pairs as embedding
from dpedtool.pipeline.report.stage import write_report
from dpedtool.pipeline.split.stage import split
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.train.sources import from_table
from dpedtool.training.train.stage import train
from dpedtool.training.weights.checkpoint import load_model, save_model

HOSTILE = "<img src=x onerror=alert(1)>"
SMALL = TrainParams(channels=3, blocks=0, iterations=2, batch=1, crop_px=32, validate_every=1, device="cpu")
LEFT_BY = {
    "pair": "pairs/phone",
    "align": "aligned/phone",
    "patches": "patches/phone",
    "split": "splits",
    "train": "models/phone",
    "evaluate": "evaluations/phone",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> Path:
    """A whole run on three pairs, the smallest that every stage accepts, and one lone photo."""
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
    """A copy that tests may damage. It is next to the finished run, so that relative paths stay valid."""
    copy = finished.parent / f"{finished.name}-spoilt"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("report"))
    return copy


@pytest.fixture
def params(captures: Path) -> Params:
    return Params(captures=CapturesParams(root=str(captures), phones=("phone",)))


def page(results: Path, params: Params, **options: bool) -> str:
    return write_report(results, results / "report", params, **options).page.read_text(encoding="utf-8")


def figures(results: Path) -> dict:
    return json.loads((results / "report/report.json").read_text(encoding="utf-8"))


class Sources(HTMLParser):
    """Return everything that the elements of a page would load, and their handlers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loads = {"href"} if tag == "link" else {"src", "srcset", "data", "poster", "action"}
        self.sources += [value or "" for name, value in attrs if name in loads]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_the_page_and_its_figures_are_of_the_run(finished: Path, params: Params) -> None:
    text = page(finished, params)
    told = figures(finished)
    scores = json.loads((finished / "evaluations/phone/metrics.json").read_text(encoding="utf-8"))
    assert {f"{scores['image']['psnr_after_db']:.2f}", f"{scores['image']['ms_ssim_after']:.4f}"} <= set(
        re.findall(r"\d+\.\d+", text)
    )
    assert [row["id"] for row in told["pairs"]][:2] == ["phone--d", "phone-z"]
    assert {row["status"] for row in told["pairs"]} == {"failed", "unpaired", "aligned"}
    assert told["phones"] == ["phone"]
    rows = re.search(r'<script type="application/json" id="pair-rows">(.*?)</script>', text, re.DOTALL)
    assert rows is not None
    assert json.loads(rows[1]) == told["pairs"]


def test_nothing_comes_from_elsewhere(finished: Path, params: Params) -> None:
    """The page contains everything except the pictures of pairs, which the script loads from the folder next to it."""
    found = Sources(page(finished, params))
    assert found.sources
    assert {source.partition(",")[0] for source in found.sources} <= {
        "data:",
        "data:image/png;base64",
        "data:image/jpeg;base64",
    }
    assert not found.handlers


def test_every_pair_has_its_folder_beside_the_page(finished: Path, params: Params) -> None:
    page(finished, params)
    folder = finished / "report/files/pairs"
    for row in figures(finished)["pairs"]:
        assert (folder / row["id"] / "details.js").is_file()
        assert (folder / row["id"] / "thumbnail.jpg").is_file() == row["pictures"]


def test_a_single_file_holds_what_the_folder_would(finished: Path, params: Params, tmp_path: Path) -> None:
    lazy = tmp_path / "lazy"
    write_report(finished, lazy, params)
    files = [path for path in sorted((lazy / "files/pairs").glob("*/*")) if path.name != "details.js"]
    single = tmp_path / "single"
    text = write_report(finished, single, params, single_file=True).page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="embedded">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    held = json.loads(found[1])
    assert set(held["files"]) == {path.relative_to(lazy).as_posix() for path in files}
    assert set(held["details"]) == {path.parent.name for path in files} | {"phone--d"}
    assert sorted(path.name for path in single.iterdir()) == ["report.html", "report.json"]


def test_pictures_that_no_browser_opens_in_one_file_are_refused(
    finished: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "MOST_BYTES", 1000)
    with pytest.raises(DpedtoolError, match="leave out --single-file"):
        write_report(finished, tmp_path, params, single_file=True)
    assert not (tmp_path / "report.html").exists()


def test_without_pictures_there_are_the_figures_alone(results: Path, params: Params, tmp_path: Path) -> None:
    text = write_report(results, tmp_path, params, pictures=False).page.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert not any(row["pictures"] for row in told["pairs"])
    assert "phone--d" in text
    assert "data-without-pictures>" in text
    assert "data-without-pictures>" not in page(results, params)


@pytest.mark.parametrize("options", [{"pictures": False}, {"single_file": True}])
def test_what_others_keep_beside_the_page_stays(
    finished: Path, params: Params, tmp_path: Path, options: dict[str, bool]
) -> None:
    kept = [tmp_path / "files/thesis.txt", tmp_path / "files/pairs/notes/read.me"]
    for file in kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    write_report(finished, tmp_path, params)
    write_report(finished, tmp_path, params, **options)
    assert [file.read_text() for file in kept] == ["mine", "mine"]
    left = {path.name for path in (tmp_path / "files/pairs").iterdir()}
    assert ("shown.parquet" in left) == (options == {"pictures": False})
    assert left >= {"notes"}
    assert ("phone--a" in left) == (options == {"pictures": False})


def test_a_report_is_the_same_bytes_with_one_worker_and_with_two(
    finished: Path, params: Params, tmp_path: Path
) -> None:
    made = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        write_report(finished, out, params, workers=workers)
        made.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert made[0] == made[1]


def test_simulated_captures_are_called_so(finished: Path, params: Params, tmp_path: Path) -> None:
    assert "Simulated captures" not in page(finished, params)
    (tmp_path / "truth.json").write_text("{}")
    simulated = replace(params, captures=replace(params.captures, root=str(tmp_path)))
    assert "Simulated captures" in page(finished, simulated)


def test_a_hostile_file_name_is_only_text(results: Path, params: Params, tmp_path: Path) -> None:
    gone = tmp_path / f"{HOSTILE.replace('/', '')}.jpg"
    table = results / "aligned/phone/alignments.parquet"
    write_rows(table, Alignment, [replace(row, phone_path=gone) for row in read_rows(table, Alignment)])
    text = page(results, params)
    names = {row["phone_file"] for row in figures(results)["pairs"]}
    assert f"{HOSTILE}.jpg" in names
    assert HOSTILE not in text
    scripts = [path.read_text(encoding="utf-8") for path in (results / "report/files").rglob("*.js")]
    assert any("\\u003cimg src=x" in script for script in scripts)
    assert not any("<img" in script for script in scripts)


def test_no_folder_of_the_machine_is_published(results: Path, params: Params, tmp_path: Path) -> None:
    """Paths of photos, messages about missing ones, and parameters name no folder of this machine."""
    assert Path(params.captures.root).is_absolute()
    table = results / "aligned/phone/alignments.parquet"
    rows = read_rows(table, Alignment)
    rows[0] = replace(rows[0], note=f"{params.captures.root}/phone/a.jpg is odd.")
    rows[1] = replace(rows[1], phone_path=tmp_path / "no such folder" / "gone.jpg")
    write_rows(table, Alignment, rows)
    page(results, params)
    written = [path for path in (results / "report").rglob("*") if path.suffix in (".html", ".json", ".js")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in written}
    assert "phone/a.jpg is odd." in texts["report.html"]
    assert any("gone.jpg" in path.read_text(encoding="utf-8") for path in written if path.suffix == ".js")
    folders = (params.captures.root, str(results), str(tmp_path), "no such folder")
    assert [path.name for path in written for folder in folders if folder in path.read_text(encoding="utf-8")] == []


def test_a_hostile_camera_name_is_refused_before_it_gets_anywhere() -> None:
    with pytest.raises(ParamsError, match="cannot be a camera name"):
        CapturesParams(phones=(HOSTILE,))


def test_tags_choose_pairs_and_notes_stay_private(results: Path, params: Params) -> None:
    text = page(results, params)
    assert '<select name="tag">' not in text
    assert '<select name="session">' not in text
    table = Scene.table_in(results / "splits")
    tags = ("indoor=yes", f"place={HOSTILE}")
    write_rows(table, Scene, [replace(row, tags=tags, notes="ask Aunt Erna") for row in read_rows(table, Scene)])
    text = page(results, params)
    assert '<select name="tag">' in text
    assert '<select name="session">' not in text
    assert HOSTILE not in text
    told = figures(results)
    (rows,) = re.findall(r'<script type="application/json" id="pair-rows">(.*?)</script>', text, re.DOTALL)
    assert json.loads(rows) == told["pairs"]
    aligned = [row for row in told["pairs"] if row["status"] == "aligned"]
    assert [row["tags"] for row in aligned] == [list(tags)] * 3
    # All windows are in scenes with both tags.
    counts = {name: told["windows"]["all"][name] for name in ("windows", "accepted")}
    assert [part | counts for part in told["parts"]["tags"]] == told["parts"]["tags"]
    assert [part["name"] for part in told["parts"]["tags"]] == list(tags)
    written = [path for path in (results / "report").rglob("*") if path.suffix in (".html", ".json", ".js")]
    assert not [path for path in written if "Erna" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("stage", LEFT_BY)
def test_a_stage_that_has_not_run_is_said_to_be_so(results: Path, params: Params, stage: str) -> None:
    shutil.rmtree(results / LEFT_BY[stage])
    text = page(results, params)
    assert stage in figures(results)["missing"]["phone"]
    assert f"The stage {stage} has not run yet for phone." in text


def test_imported_patches_are_said_to_have_no_photos(results: Path, params: Params) -> None:
    for stage in ("pair", "align", "train", "evaluate"):
        shutil.rmtree(results / LEFT_BY[stage])
    (results / "splits/photos.parquet").unlink()
    (results / "patches/phone/selection.json").unlink()
    write_json(results / "patches/phone/imported.json", imported())
    text = page(results, params)
    assert "There are no pairs: imported patches have no photos." in text
    assert page(results, params) == text
    assert "no photo of this run was found" not in text


def test_no_run_at_all_has_a_page(tmp_path: Path, params: Params) -> None:
    (tmp_path / "results").mkdir()
    text = page(tmp_path / "results", params)
    assert figures(tmp_path / "results")["missing"]["phone"] == list(LEFT_BY)
    assert "There are no pairs" in text


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, params: Params) -> None:
    with pytest.raises(DpedtoolError, match="There is no folder"):
        page(tmp_path / "nowhere", params)


def test_a_run_in_which_all_was_rejected_says_so(results: Path, params: Params) -> None:
    """Run the stages from the split on with an empty table of samples."""
    failed = [
        replace(row, status="rejected", reason="few_matches", detail="few in common")
        for row in read_rows(results / "aligned/phone/alignments.parquet", Alignment)
    ]
    write_rows(results / "aligned/phone/alignments.parquet", Alignment, failed)
    cut_patches(failed, results / "patches/phone", PatchesParams(size_px=48, stride_px=48, min_ncc=0.95))
    assert not read_rows(Patch.table_in(results / "patches/phone"), Patch)
    samples = results / "splits/phone.parquet"
    shutil.rmtree(results / "splits")
    split({"phone": results / "patches/phone/patches.parquet"}, results / "splits", SplitParams())
    train(from_table(samples), results / "models/phone", SMALL)
    evaluate(samples, results / "models/phone", results / "evaluations/phone", EvaluateParams())
    text = page(results, params)
    said = [sentence["text"] for sentence in figures(results)["said"]]
    assert any("No pair" in words and "aligned" in words for words in said), said
    assert sum(row["status"] == "rejected" for row in figures(results)["pairs"]) == len(failed)
    assert "There are no test patches" in text
    assert "No patches were kept" in text
    assert "data:image" not in text


def test_scores_of_an_untrained_network_are_not_shown_as_its_gain(results: Path, params: Params) -> None:
    only_test = [replace(row, split="test") for row in read_rows(results / "splits/phone.parquet", Sample)]
    write_rows(results / "splits/phone.parquet", Sample, only_test)
    samples = results / "splits/phone.parquet"
    train(from_table(samples), results / "models/phone", SMALL)
    evaluate(samples, results / "models/phone", results / "evaluations/phone", EvaluateParams(pictures=2))
    text = page(results, params)
    assert "Untrained network: PSNR" in text
    assert "not trained" in text


def test_a_network_of_somebody_else_is_reported_without_its_training(results: Path, params: Params) -> None:
    (results / "models/phone/history.csv").unlink()
    model = load_model(results / "models/phone")
    save_model(results / "models/phone", model, {})
    assert "does not describe its training" in page(results, params)


@pytest.mark.parametrize("text", ["{", "{}", '{"network": "of an earlier version", "image": 3}'])
@pytest.mark.parametrize("name", ["evaluations/phone/metrics.json", "models/phone/model.json"])
def test_a_damaged_figure_names_itself(results: Path, params: Params, name: str, text: str) -> None:
    (results / name).write_text(text)
    with pytest.raises(DpedtoolError, match=re.escape(name)):
        page(results, params)


def test_a_damaged_table_names_itself(results: Path, params: Params) -> None:
    (results / "aligned/phone/alignments.parquet").write_bytes(b"no table")
    with pytest.raises(DpedtoolError, match=re.escape("alignments.parquet")):
        page(results, params)


def test_a_hostile_model_card_is_only_text(results: Path, params: Params) -> None:
    card = json.loads((results / "models/phone/model.json").read_text())
    write_json(results / "models/phone/model.json", card | {"name": HOSTILE})
    text = page(results, params)
    assert HOSTILE not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
