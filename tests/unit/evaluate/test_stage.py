"""Scores on test patches: they equal the metrics row by row, and they are in the files."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import dpedtool.training.evaluate.stage
import dpedtool.training.metrics
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.schema import Sample, Score
from dpedtool.dataset.sidecars.metrics import NOT_SCORED, Metrics, PatchScores, VersionScores
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.training.data import PatchPairs
from dpedtool.training.evaluate.colour_transform import fit, fit_each_photo
from dpedtool.training.evaluate.scoring import Sheet
from dpedtool.training.evaluate.stage import VARIANTS, Evaluation, evaluate
from dpedtool.training.inference import enhance_patches
from dpedtool.training.metrics import SCALE_WEIGHTS, ms_ssim_each, psnr_each, score
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import load_model, save_model

COUNTS = {"train": 1, "test": 4}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), COUNTS)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator with initial weights, which is nearly the identity."""
    model = Architecture(channels=4, blocks=1).build()
    initialise(model, torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, model, {})
    return folder


def test_the_figures_are_those_of_the_metrics(tmp_path: Path, table: Path, model_dir: Path) -> None:
    evaluation = evaluate(table, model_dir, tmp_path, EvaluateParams())
    batch = PatchPairs(table, "test").read(range(4))
    with torch.inference_mode():
        outputs = load_model(model_dir)(batch.phone)
    written = json.loads((tmp_path / "metrics.json").read_text())
    for protocol in ("image", "batch"):
        before, after = score(batch.phone, batch.dslr, protocol), score(outputs, batch.dslr, protocol)
        assert evaluation.before[protocol] == before
        assert written[protocol]["pairs"] == 4
        assert written[protocol]["psnr_before_db"] == pytest.approx(before.psnr_db)
        assert written[protocol]["psnr_after_db"] == pytest.approx(after.psnr_db)
        assert written[protocol]["ms_ssim_before"] == pytest.approx(before.ms_ssim)
        assert written[protocol]["ms_ssim_after"] == pytest.approx(after.ms_ssim)
    rows = read_rows(tmp_path / "scores.parquet", Score)
    assert [row.patch_id for row in rows] == [f"test-{index}" for index in range(4)]
    clipped = outputs.clamp(0, 1)
    assert [row.psnr_before for row in rows] == pytest.approx(psnr_each(batch.phone, batch.dslr).tolist())
    assert [row.psnr_after for row in rows] == pytest.approx(psnr_each(clipped, batch.dslr).tolist())
    assert [row.ms_ssim_before for row in rows] == pytest.approx(ms_ssim_each(batch.phone, batch.dslr).tolist())
    assert [row.ms_ssim_after for row in rows] == pytest.approx(ms_ssim_each(clipped, batch.dslr).tolist())
    assert np.mean([row.psnr_after for row in rows]) == pytest.approx(written["image"]["psnr_after_db"])


def test_the_sentence_names_both_ends_and_the_protocol(tmp_path: Path, table: Path, model_dir: Path) -> None:
    evaluation = evaluate(table, model_dir, tmp_path, EvaluateParams())
    sentence = evaluation.sentence()
    assert sentence.startswith("4 test patches: PSNR ")
    assert f"{evaluation.before['image'].psnr_db:.2f} to {evaluation.after['image'].psnr_db:.2f} dB" in sentence
    assert "protocol image" in sentence


@pytest.mark.parametrize(("pictures", "columns"), [(1, 1), (3, 3), (9, 4)])
def test_the_picture_shows_phone_network_and_dslr(
    tmp_path: Path, table: Path, model_dir: Path, pictures: int, columns: int, texture
) -> None:
    evaluate(table, model_dir, tmp_path, EvaluateParams(pictures=pictures))
    picture = load_photo(tmp_path / "before_after.png")
    assert picture.shape == (3 * 80, columns * 80, 3)
    dslr = texture(40, 40, seed=1)
    np.testing.assert_array_equal(picture[160:, :80], dslr.repeat(2, axis=0).repeat(2, axis=1))
    phone = (0.7 * dslr + 20).astype(np.uint8)
    np.testing.assert_array_equal(picture[:80, :80], phone.repeat(2, axis=0).repeat(2, axis=1))


def test_a_part_at_a_time_gives_what_the_whole_gives(
    tmp_path: Path, make_samples, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are three batches of 50, the last one short; no read may ask for more than a few patches."""
    table = make_samples(tmp_path, {"test": 103}, size_px=16)
    loud = load_model(model_dir)
    loud.tail.weight.data *= 3
    save_model(tmp_path / "loud", loud, {})
    batch = PatchPairs(table, "test").read(range(103))
    outputs = enhance_patches(loud, batch.phone, clip=False)
    real, sizes = PatchPairs.read, []

    def read(patches: PatchPairs, indices: range) -> object:
        sizes.append(len(indices))
        return real(patches, indices)

    monkeypatch.setattr(PatchPairs, "read", read)
    evaluation = evaluate(table, tmp_path / "loud", tmp_path / "out", EvaluateParams(pictures=3, device="cpu"))
    assert sizes == [10] * 10 + [3]
    assert outputs.max() > 1 or outputs.min() < 0
    for protocol in ("image", "batch"):
        for found, images in ((evaluation.before, batch.phone), (evaluation.after, outputs)):
            expected = score(images, batch.dslr, protocol)
            assert found[protocol].pairs == 103
            assert found[protocol].psnr_db == pytest.approx(expected.psnr_db, rel=1e-6)
            assert found[protocol].ms_ssim == pytest.approx(expected.ms_ssim, rel=1e-6)
    picture = load_photo(tmp_path / "out" / "before_after.png")
    shown = (batch.dslr[[0, 51, 102]] * 255).round().to(torch.uint8).flip(1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(picture[64:], np.concatenate(list(shown), axis=1).repeat(2, 0).repeat(2, 1))


def test_colour_transforms_are_scored_beside_the_network(tmp_path: Path, make_samples, model_dir: Path) -> None:
    """The test patches come from two photos: one transform is fitted to the training patches and one to each photo."""
    table = make_samples(tmp_path, {"train": 6, "test": 4})
    rows = [replace(row, pair_id=f"photo-{int(row.patch_id[-1]) // 2}") for row in read_rows(table, Sample)]
    write_rows(table, Sample, rows)
    evaluation = evaluate(table, model_dir, tmp_path, EvaluateParams())
    train, test = PatchPairs(table, "train"), PatchPairs(table, "test")
    batch, own = test.read(range(4)), fit_each_photo(test)
    assert sorted(own) == ["photo-0", "photo-1"]
    expected = {
        "colour": fit(train).apply(batch.phone),
        "oracle": torch.stack([own[name].apply(image) for name, image in zip(test.photos(), batch.phone, strict=True)]),
    }
    written = json.loads((tmp_path / "metrics.json").read_text())
    rows = read_rows(tmp_path / "scores.parquet", Score)
    for version, images in expected.items():
        for protocol in ("image", "batch"):
            scores = score(images, batch.dslr, protocol)
            assert evaluation.scores[version][protocol].psnr_db == pytest.approx(scores.psnr_db)
            assert written[protocol][f"psnr_{version}_db"] == pytest.approx(scores.psnr_db)
            assert written[protocol][f"ms_ssim_{version}"] == pytest.approx(scores.ms_ssim)
            assert written[protocol][f"ssim_{version}"] == pytest.approx(scores.ssim)
        psnr = [getattr(row, f"psnr_{version}") for row in rows]
        assert psnr == pytest.approx(psnr_each(images, batch.dslr).tolist())
        assert [getattr(row, f"ms_ssim_{version}") for row in rows] == pytest.approx(
            ms_ssim_each(images, batch.dslr).tolist()
        )
    assert not torch.equal(expected["oracle"], expected["colour"])


def test_without_training_patches_there_is_no_transform_of_them(tmp_path: Path, make_samples, model_dir: Path) -> None:
    evaluation = evaluate(make_samples(tmp_path, {"test": 2}), model_dir, tmp_path, EvaluateParams())
    written = json.loads((tmp_path / "metrics.json").read_text())["image"]
    assert written["psnr_colour_db"] is written["ms_ssim_colour"] is None
    assert written["psnr_oracle_db"] > written["psnr_before_db"]
    assert [row.psnr_colour for row in read_rows(tmp_path / "scores.parquet", Score)] == [None, None]
    assert "colour" not in evaluation.sentence()


def sheet(**scores: tuple[float, float]) -> Sheet:
    """Return the sheet of one patch with these PSNR and MS-SSIM by version."""
    made = Sheet(1, scores)
    for version, (psnr_db, ms_ssim) in scores.items():
        for measures in (*made.measures[version].values(), *made.matched[version].values()):
            measures.squared_error[:] = 10 ** (-psnr_db / 10)
            measures.ssim_terms[:] = ms_ssim ** (1 / sum(SCALE_WEIGHTS))
            measures.ssim[:] = 0.5
    return made


@pytest.mark.parametrize(
    ("psnr_db", "ms_ssim", "worse"),
    [(22, 0.9, ""), (20, 0.9, "PSNR"), (22, 0.7, "MS-SSIM"), (20, 0.7, "PSNR and MS-SSIM"), (math.inf, 1.0, "")],
)
def test_a_network_that_adds_nothing_to_colour_is_called_worse(psnr_db: float, ms_ssim: float, worse: str) -> None:
    rivals = {"before": (17, 0.6), "colour": (21.3, 0.8), "oracle": (22.7, 0.85)}
    sentence = Evaluation(sheet(**rivals, after=(psnr_db, ms_ssim)), ["a"]).sentence()
    assert "One colour transform fitted to the training patches gives 21.30 dB and 0.8000" in sentence
    assert "a transform fitted to each test photo gives 22.70 dB and 0.8500." in sentence
    assert ("worse" in sentence) == bool(worse)
    assert not worse or f"In {worse} the network is worse than the colour transform fitted to the training" in sentence


@pytest.mark.slow
def test_a_long_evaluation_takes_little_more_memory_than_its_images(tmp_path: Path, make_samples) -> None:
    """150 patches of 100 px take 75 MB; an earlier version took 280 MB, and more the longer it ran.

    Two versions are measured at the same time.
    """
    table = make_samples(tmp_path, {"test": 150}, size_px=100)
    save_model(tmp_path, Architecture(channels=2, blocks=0).build(), {})
    done = subprocess.run([sys.executable, "-c", GROWTH, table, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 230e6


GROWTH = """
import re, resource, sys
from pathlib import Path
import psutil, torch
from dpedtool.dataset.params import EvaluateParams
from dpedtool.training.evaluate.stage import evaluate
table, folder = map(Path, sys.argv[1:])
torch.set_num_threads(1)
before = psutil.Process().memory_info().rss
evaluate(table, folder, folder / "out", EvaluateParams(device="cpu"))
if sys.platform == "linux":
    # The peak of getrusage starts with the peak of the process that started this one.
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(peak - before)
"""


def test_ms_ssim_is_computed_once_a_patch_and_side_where_nothing_is_clipped(
    tmp_path: Path, table: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = dpedtool.training.metrics.ssim_by_scale, []

    def counting(outputs: torch.Tensor, targets: torch.Tensor, **scales: int) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(outputs))
        return real(outputs, targets, **scales)

    monkeypatch.setattr(dpedtool.training.metrics, "ssim_by_scale", counting)
    monkeypatch.setattr(dpedtool.training.evaluate.stage, "enhance_patches", lambda _, phone, **__: phone)
    evaluate(table, model_dir, tmp_path, EvaluateParams())
    # Once for the images as they are; and after the match of their colours once, or twice where that left 0..1.
    assert set(calls) == {4}
    assert 8 <= len(calls) <= 12


def test_a_gpu_that_is_not_there_is_refused_in_a_sentence(
    tmp_path: Path, table: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DpedtoolError, match=r"device is cuda.* no usable GPU"):
        evaluate(table, model_dir, tmp_path, EvaluateParams(device="cuda"))


def test_equal_patches_are_counted_and_no_infinity_is_written(
    tmp_path: Path, table: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PatchPairs.read

    def equal(patches: PatchPairs, indices: range) -> object:
        batch = real(patches, indices)
        return type(batch)(batch.dslr, batch.dslr)

    monkeypatch.setattr(PatchPairs, "read", equal)
    evaluate(table, model_dir, tmp_path, EvaluateParams())
    written = json.loads((tmp_path / "metrics.json").read_text())["image"]
    assert written["psnr_before_db"] is None
    assert written["infinite_psnr_before"] == 4
    assert written["ms_ssim_before"] == pytest.approx(1)
    assert all(row.psnr_before == math.inf for row in read_rows(tmp_path / "scores.parquet", Score))


@pytest.mark.parametrize("counts", [{"train": 1}, {}])
def test_without_test_patches_every_file_is_written_and_says_so(
    tmp_path: Path, make_samples, model_dir: Path, counts: dict[str, int]
) -> None:
    evaluation = evaluate(make_samples(tmp_path, counts), model_dir, tmp_path / "out", EvaluateParams())
    assert "no test patches" in evaluation.sentence()
    assert read_rows(tmp_path / "out" / "scores.parquet", Score) == []
    assert (load_photo(tmp_path / "out" / "before_after.png") == 255).all()
    written = Metrics.read(tmp_path / "out" / "metrics.json")
    nothing = dict.fromkeys(VARIANTS, VersionScores(None, None, None, 0)) | {"colour": NOT_SCORED}
    assert written.image == written.batch == PatchScores(pairs=0, **nothing)


def test_an_untrained_network_is_called_so(tmp_path: Path, table: Path) -> None:
    save_model(tmp_path, Architecture(channels=4, blocks=1).build(), {"trained": False, "reason": "none"})
    assert evaluate(table, tmp_path, tmp_path, EvaluateParams()).sentence().startswith("The network is untrained. 4 ")


def test_a_missing_model_is_refused(tmp_path: Path, table: Path) -> None:
    with pytest.raises(DpedtoolError, match="name a folder that"):
        evaluate(table, tmp_path / "none", tmp_path / "out", EvaluateParams())
