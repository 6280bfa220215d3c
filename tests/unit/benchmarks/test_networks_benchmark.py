"""The benchmark of the ways to train: its folds, its intervals, and a whole run with few steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import networks
from benchmarks.networks import Figures, Recipe
from benchmarks.usage import Usage
from dpedtool.pipeline.cli import main
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import save_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def test_every_pair_is_scored_once_by_a_network_that_has_not_seen_it(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(10)]
    scored = []
    for train, test in networks._folds(names, 3, tmp_path):
        seen, held_out = (file.read_text(encoding="utf-8").split() for file in (train, test))
        assert sorted(seen + held_out) == names
        scored += held_out
    assert sorted(scored) == names


def test_the_interval_is_that_of_the_mean() -> None:
    differences = np.random.default_rng(1).normal(0.3, 2.0, 400)
    mean, low, high = networks._gain(differences)
    assert mean == pytest.approx(differences.mean())
    side = 1.96 * differences.std() / 20
    assert low == pytest.approx(mean - side, abs=0.02)
    assert high == pytest.approx(mean + side, abs=0.02)
    assert networks._gain(np.zeros(5)) == (0, 0, 0)


def test_the_table_has_a_row_for_each_network() -> None:
    scores = {"PSNR, dB": 22.314, "MS-SSIM": 0.92674, "after the colour match": 28.1, "sharpness": 0.815}
    gains = {"psnr_after_db": (0.5, 0.3, 0.7), "ms_ssim_after": (0.004, 0.002, 0.0061)}
    row = Figures("mobile", scores, gains, 198, 16_812.0, 5400.0, 0.66, 612_000_000)
    text = networks.as_markdown([row], 4)
    assert "4 folds, 198 pairs" in text
    cells = "| mobile | 22.31 | 0.9267 | 28.10 | 0.81 | +0.50 (+0.30 to +0.70) | +0.0040 (+0.0020 to +0.0061) |"
    assert f"{cells} 16.8 k | 90 | 0.66 | 0.61 GB |" in text


def in_this_process(words: Sequence[str | Path]) -> Usage:
    """Run a command without the start of another process; its cost is made up."""
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return Usage(0, 1.0, 1.0, 10**8, done.output)


def test_a_whole_run_trains_and_scores_every_recipe(
    tmp_path: Path, texture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("phone", "dslr"):
        (tmp_path / side).mkdir()
    for number in range(6):
        dslr = texture(40, 40, seed=number)
        cv2.imwrite(str(tmp_path / "dslr" / f"{number}.png"), dslr)
        cv2.imwrite(str(tmp_path / "phone" / f"{number}.png"), (0.7 * dslr + 20).astype(np.uint8))
    start = Architecture(channels=4, blocks=1).build()
    initialise(start, torch.Generator().manual_seed(0), "pass-through")
    save_model(tmp_path / "start.safetensors", start, {})
    small = ("train.channels=4", "train.blocks=1", "train.batch=2", "train.device=cpu")
    recipes = (
        Recipe("the start", None),
        Recipe("tuning", small),
        Recipe("taught", small, starts=False, teacher="tuning"),
    )
    monkeypatch.setattr(networks, "RECIPES", recipes)
    monkeypatch.setattr(networks, "LARGE_PX", (128, 96))
    monkeypatch.setattr(networks, "_run", in_this_process)
    folders = ["--phone", tmp_path / "phone", "--dslr", tmp_path / "dslr", "--start", tmp_path / "start.safetensors"]
    told = [
        "--recipes",
        "tuning",
        "taught",
        "--folds",
        "2",
        "--quick",
        "--out",
        tmp_path,
        "--scratch",
        tmp_path / "models",
    ]
    networks.main([*map(str, folders), "--unpaired", str(tmp_path / "phone"), *map(str, told)])
    rows = {row["recipe"]: row for row in json.loads((tmp_path / "networks.json").read_text(encoding="utf-8"))}
    assert list(rows) == ["the start", "tuning", "taught"]
    assert {row["pairs"] for row in rows.values()} == {6}
    assert rows["the start"]["gains"]["psnr_after_db"] == [0, 0, 0]
    assert rows["tuning"]["gains"]["psnr_after_db"][0] != 0
    assert rows["taught"]["training_cpu_s"] > 0
    card = json.loads((tmp_path / "models" / "taught-1" / "model.json").read_text(encoding="utf-8"))
    assert card["training"]["teacher_sha256"]
    assert capsys.readouterr().out == (tmp_path / "networks.md").read_text(encoding="utf-8")
