"""Networks side by side: over the same pairs only, with the scores that evaluate wrote."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.schema import Sample
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.cli import main
from dpedtool.training.evaluate.comparison import compare
from dpedtool.training.evaluate.networks_compared import NetworksCompared
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import save_model

METRICS = ("sharpness", "gmsd")
PARAMS = EvaluateParams(device="cpu", metrics=METRICS, photos=0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks near the identity: net0 and net1."""
    import torch

    folder = tmp_path_factory.mktemp("models")
    for seed in range(2):
        model = Architecture(channels=4, blocks=1).build()
        initialise(model, torch.Generator().manual_seed(seed))
        model.tail.weight.data *= 1 + seed
        save_model(folder / f"net{seed}", model, {})
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, texture: Any) -> Path:
    """Six pairs of folders; the DSLR's image 3 is white."""
    folder = tmp_path_factory.mktemp("pairs")
    for camera in ("phone", "dslr"):
        (folder / camera).mkdir()
        for number in range(6):
            image = texture(24, 24, seed=number)
            image = image if camera == "dslr" else (0.7 * image + 20).astype(image.dtype)
            image[:] = 255 if camera == "dslr" and number == 3 else image
            (folder / camera / f"{number}.png").write_bytes(encode_image(image, ".png"))
    return folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, models: Path, pairs: Path) -> Path:
    """The folders net0 and net1 that evaluate wrote about the pairs."""
    out = tmp_path_factory.mktemp("scored")
    for name in ("net0", "net1"):
        compare(pairs / "phone", pairs / "dslr", models / name, PARAMS).write(out / name)
    return out


def run(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


def test_the_table_has_the_scores_of_each_network_and_of_the_phone(scored: Path, tmp_path: Path) -> None:
    done = run(scored / "net0", scored / "net1", "-o", tmp_path / "compared.md")
    lines = done.stdout.splitlines()
    assert lines[0] == "Over the same 5 pairs for all; 1 pair with a constant target is left out:"
    assert lines[1].split() == ["phone", "net0", "net1"]
    assert lines[2].startswith("PSNR, dB ↑")
    found = [json.loads((scored / name / "metrics.json").read_text()) for name in ("net0", "net1")]
    values = [found[0]["image"]["psnr_before_varied_db"], *(of["image"]["psnr_after_varied_db"] for of in found)]
    assert [float(value) for value in lines[2].split()[-3:]] == pytest.approx(values, abs=0.005)
    assert any(line.startswith("GMSD ↓") for line in lines)
    assert any(line.split() == ["Parameters", "2559", "2559"] for line in lines)
    markdown = (tmp_path / "compared.md").read_text()
    assert "| PSNR, dB ↑ | " in markdown
    assert "| net1 \\- net0 |" in markdown or "| net1 - net0 |" in markdown


def test_colour_transforms_that_all_evaluations_have_stand_beside_the_networks(
    models: Path, pairs: Path, tmp_path: Path
) -> None:
    for name in ("net0", "net1"):
        compare(pairs / "phone", pairs / "dslr", models / name, PARAMS, ["0", "1", "2"]).write(tmp_path / name)
    found = json.loads((tmp_path / "net0" / "metrics.json").read_text())["image"]["psnr_colour_varied_db"]
    lines = run(tmp_path / "net0", tmp_path / "net1").stdout.splitlines()
    assert lines[1].split() == ["phone", "colour", "net0", "net1"]
    assert float(lines[2].split()[-3]) == pytest.approx(found, abs=0.005)
    assert any(line.split() == ["Parameters", "2559", "2559"] for line in lines)
    # A transform that was fitted to other pairs is not that of both.
    fewer = tmp_path / "fewer"
    for camera in ("phone", "dslr"):
        shutil.copytree(pairs / camera, fewer / camera)
        (fewer / camera / "5.png").unlink()
    compare(fewer / "phone", fewer / "dslr", models / "net1", PARAMS, ["0", "1", "2"]).write(tmp_path / "net1")
    assert run(tmp_path / "net0", tmp_path / "net1").stdout.splitlines()[1].split() == ["phone", "net0", "net1"]


def test_a_difference_is_that_of_the_means_and_has_an_interval(scored: Path) -> None:
    found = NetworksCompared.read([scored / "net0", scored / "net1"]).differences()["net1 - net0"]
    means = [json.loads((scored / name / "metrics.json").read_text())["image"] for name in ("net0", "net1")]
    for name, key in (("psnr_db", "psnr_after_varied_db"), ("ms_ssim_matched", "ms_ssim_after_matched")):
        assert found[name].difference == pytest.approx(means[1][key] - means[0][key])
        assert found[name].low < found[name].difference < found[name].high
    assert {*METRICS, "ssim", "psnr_matched_db"} <= set(found)
    printed = json.loads(run(scored / "net0", scored / "net1", "--json").stdout)
    assert printed["net1 - net0"]["psnr_db"]["difference"] == pytest.approx(found["psnr_db"].difference)


def test_other_pairs_are_refused(scored: Path, models: Path, pairs: Path, tmp_path: Path) -> None:
    sides = pairs / "phone", pairs / "dslr"
    compare(*sides, models / "net1", PARAMS, ["0", "1", "3"]).write(tmp_path / "fewer")
    compare(*sides, models / "net1", PARAMS, ["1", "0", "2", "3", "4", "5"]).write(tmp_path / "turned")
    compare(pairs / "dslr", pairs / "phone", models / "net1", PARAMS).write(tmp_path / "swapped")
    compare(*sides, None, PARAMS).write(tmp_path / "phone_alone")
    for name, sentence in (
        ("fewer", "net0 and fewer do not score the same pairs (2.png is only in net0): evaluate both networks on the"),
        ("turned", "their order differs, on which the scores of batches depend"),
        ("swapped", "do not score the same images: those of 0.png differ."),
        ("phone_alone", "has no column psnr_after_db"),
        ("none", "none/metrics.json"),
    ):
        done = run(scored / "net0", tmp_path / name, code=1)
        assert sentence in done.output, done.output
        assert done.output.count("\n") == 1


def test_patches_are_judged_scene_by_scene(tmp_path: Path, models: Path, make_samples: Any) -> None:
    table = make_samples(tmp_path, {"test": 6}, size_px=16)
    rows = [replace(row, scene_id=f"scene{int(row.patch_id[-1]) // 3}") for row in read_rows(table, Sample)]
    write_rows(table, Sample, rows)
    for name in ("net0", "net1"):
        evaluate(table, models / name, tmp_path / name, PARAMS)
    compared = NetworksCompared.read([tmp_path / "net0", tmp_path / "net1"])
    assert compared.networks[0].pairs["scene"].nunique() == 2
    found = compared.differences()["net1 - net0"]
    written = json.loads((tmp_path / "net1" / "metrics.json").read_text())
    assert written["scenes"] == 2
    assert written["differences"]["before"]["sharpness"].keys() == {"difference", "low", "high"}
    means = [json.loads((tmp_path / name / "metrics.json").read_text())["metrics"] for name in ("net0", "net1")]
    for name in METRICS:
        assert found[name].difference == pytest.approx(means[1][name]["after"] - means[0][name]["after"])
    assert "over 2 resampled scenes" in compared.as_text()
