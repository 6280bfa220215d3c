"""Scores by tag: the means of the patches whose scenes have it, and nothing where no scene is described."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.schema import Sample, Scene, Score
from dpedtool.dataset.sidecars.metrics import Metrics, TagScores
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.cli import main
from dpedtool.training.evaluate.by_tag import say_tags, score_tags
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.metrics import MOST_PSNR_DB, SCALE_WEIGHTS, Measures
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.weights.checkpoint import save_model

NONE = torch.zeros(4, dtype=torch.bool)
"""No target is constant."""


def write_scenes(folder: Path, **scenes: tuple[str, tuple[str, ...]]) -> None:
    """Write the table of scenes: session and tags by scene."""
    rows = [Scene(scene_id=name, session=session, split="test", tags=tags) for name, (session, tags) in scenes.items()]
    write_rows(Scene.table_in(folder), Scene, rows)


def measures(psnr_db: list[float], ms_ssim: list[float]) -> Measures:
    """Return measures of patches with these scores; the weights of the terms have a sum of 1.0001."""
    terms = torch.tensor([ms_ssim] * len(SCALE_WEIGHTS), dtype=torch.float64) ** (1 / sum(SCALE_WEIGHTS))
    error = torch.tensor([10 ** (-value / 10) for value in psnr_db], dtype=torch.float64)
    return Measures(error, terms, terms[0])


@pytest.fixture
def table(tmp_path: Path, make_samples: Any) -> Path:
    """Four test patches: two of the scene a, one each of b and c; and one patch for training."""
    path: Path = make_samples(tmp_path, {"train": 1, "test": 4}, size_px=16)
    scenes = {"train-0": "t", "test-0": "a", "test-1": "a", "test-2": "b", "test-3": "c"}
    write_rows(path, Sample, [replace(row, scene_id=scenes[row.patch_id]) for row in read_rows(path, Sample)])
    return path


def test_a_tag_has_the_means_of_its_patches(table: Path) -> None:
    write_scenes(
        table.parent,
        a=("", ("light=dim", "night=yes")),
        b=("", ("light=dim",)),
        c=("", ("light=sun",)),
        t=("", ("place=cave",)),
    )
    before = measures([20, 22, 30, 25], [0.5, 0.7, 0.9, 0.8])
    after = measures([21, 25, 32, math.inf], [0.6, 0.8, 1.0, 1.0])
    found = score_tags(table, before, after, NONE)
    assert list(found) == ["light=dim", "light=sun", "night=yes"]
    dim, sun, night = found.values()
    assert (dim.patches, dim.scenes) == (3, 2)
    assert (night.patches, night.scenes) == (2, 1)
    assert dim.psnr_db_before == pytest.approx((20 + 22 + 30) / 3)
    assert dim.psnr_db_after == pytest.approx((21 + 25 + 32) / 3)
    assert dim.ms_ssim_before == pytest.approx((0.5 + 0.7 + 0.9) / 3)
    assert dim.ms_ssim_after == pytest.approx((0.6 + 0.8 + 1.0) / 3)
    assert night.psnr_db_before == pytest.approx(21)
    assert (sun.psnr_db_before, sun.psnr_db_after) == (pytest.approx(25), pytest.approx(MOST_PSNR_DB))
    assert say_tags(found) == [
        "light=dim: 3 patches of 2 scenes, PSNR 24.00 to 26.00 dB, MS-SSIM 0.7000 to 0.8000.",
        "light=sun: 1 patch of 1 scene, PSNR 25.00 to 58.92 dB, MS-SSIM 0.8000 to 1.0000.",
        "night=yes: 2 patches of 1 scene, PSNR 21.00 to 23.00 dB, MS-SSIM 0.6000 to 0.7000.",
    ]


def test_both_means_are_over_the_same_patches(table: Path) -> None:
    """A patch that equals its target counts on both sides, and one with a constant target on neither."""
    write_scenes(table.parent, a=("", ("night=yes",)), c=("", ("sky=white",)))
    before, after = measures([20, math.inf, 1, 62], [0.5] * 4), measures([21] * 4, [0.5] * 4)
    found = score_tags(table, before, after, torch.tensor([False, False, False, True]))
    assert list(found) == ["night=yes"]
    assert found["night=yes"].psnr_db_before == pytest.approx((20 + MOST_PSNR_DB) / 2)
    assert found["night=yes"].psnr_db_after == pytest.approx(21)
    assert found["night=yes"].patches == 2


def test_sessions_are_told_apart_where_there_are_several(table: Path) -> None:
    scores = measures([20, 22, 30, 25], [0.5] * 4)
    write_scenes(table.parent, a=("may", ()), b=("may", ()), c=("may", ()), t=("may", ()))
    assert score_tags(table, scores, scores, NONE) == {}
    write_scenes(table.parent, a=("may", ()), b=("june", ("night=yes",)), c=("june", ()), t=("july", ()))
    found = score_tags(table, scores, scores, NONE)
    assert {name: (of.patches, of.scenes) for name, of in found.items()} == {
        "night=yes": (1, 1),
        "session=june": (2, 2),
        "session=may": (2, 1),
    }
    assert found["session=june"].psnr_db_before == pytest.approx(27.5)


def test_without_a_table_of_scenes_there_are_no_tags(table: Path) -> None:
    scores = measures([20] * 4, [0.5] * 4)
    assert score_tags(table, scores, scores, NONE) == {}
    write_scenes(table.parent, other=("", ("night=yes",)))
    assert score_tags(table, scores, scores, NONE) == {}


def test_a_damaged_table_of_scenes_is_named(table: Path) -> None:
    scores = measures([20] * 4, [0.5] * 4)
    Scene.table_in(table.parent).write_text("no table")
    with pytest.raises(DpedtoolError, match=r"scenes\.parquet is not a readable parquet file"):
        score_tags(table, scores, scores, NONE)


def test_the_command_prints_a_line_a_tag_and_writes_the_scores(table: Path, tmp_path: Path) -> None:
    write_scenes(table.parent, a=("", ("night=yes",)), b=("", ()), c=("", ("light=sun",)))
    save_model(tmp_path / "model", Architecture(channels=2, blocks=0).build(), {})
    done = CliRunner().invoke(
        main, ["evaluate", str(table), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("The network is untrained. 4 test patches") or lines[0].startswith("4 test patches")
    assert [line.partition(",")[0] for line in lines[1:3]] == [
        "light=sun: 1 patch of 1 scene",
        "night=yes: 2 patches of 1 scene",
    ]
    written = Metrics.read(tmp_path / "out" / "metrics.json")
    rows = {row.patch_id: row for row in read_rows(tmp_path / "out" / "scores.parquet", Score)}
    night = written.by_tag["night=yes"]
    assert night.psnr_db_before == pytest.approx((rows["test-0"].psnr_before + rows["test-1"].psnr_before) / 2)
    assert night.psnr_db_after == pytest.approx((rows["test-0"].psnr_after + rows["test-1"].psnr_after) / 2)
    assert night.ms_ssim_before == pytest.approx((rows["test-0"].ms_ssim_before + rows["test-1"].ms_ssim_before) / 2)
    assert night.ms_ssim_after == pytest.approx((rows["test-0"].ms_ssim_after + rows["test-1"].ms_ssim_after) / 2)


def test_scores_by_tag_are_read_as_they_were_written_and_older_files_have_none(table: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    save_model(model, Architecture(channels=2, blocks=0).build(), {})
    evaluate(table, model, tmp_path, EvaluateParams())
    path = tmp_path / "metrics.json"
    data = json.loads(path.read_text())
    assert data["by_tag"] == {}
    tag = TagScores(
        patches=2, scenes=1, psnr_db_before=20.5, psnr_db_after=None, ms_ssim_before=0.5, ms_ssim_after=0.75
    )
    with_tags = replace(Metrics.read(path), by_tag={"night=yes": tag})
    with_tags.write(path)
    assert Metrics.read(path) == with_tags
    del data["by_tag"]
    path.write_text(json.dumps(data))
    assert Metrics.read(path).by_tag == {}
