"""DPED's own patches, imported: the scores equal those of the folders, and other code measures the same shifts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from real_data import real_folder

from benchmarks.yardstick import patch_shift
from dpedtool.dataset.params import Params
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.schema import Patch
from dpedtool.dataset.tables import read_frame
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.release.importing.layout import import_layout
from dpedtool.training.weights.published_weights import import_weights


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported")
    done = import_layout(real_folder("dped_iphone_patches"), out, Params(), part="test")
    assert done.patches.loc["iphone"].to_dict() == {"train": 0, "validation": 0, "test": 200}
    return out


def run(*words: object) -> str:
    done = CliRunner().invoke(main, [*map(str, words), "-S", "evaluate.device=cpu"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_scores_are_those_of_the_folders(imported: Path, tmp_path: Path) -> None:
    folder = real_folder("dped_iphone_patches")
    checkpoint = folder.parent.parent / "models" / "dped_resnet_8_32"
    if not checkpoint.with_suffix(".index").is_file():
        pytest.skip(f"no checkpoint {checkpoint}")
    weights = tmp_path / "weights.safetensors"
    import_weights(checkpoint, weights)
    run("evaluate", imported / "splits" / "iphone.parquet", "--model", weights, "-o", tmp_path / "scores")
    table = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    sides = ["--phone", folder / "iphone", "--dslr", folder / "canon"]
    folders = json.loads(run("evaluate", "--weights", weights, *sides, "--json"))
    for protocol in ("image", "batch"):
        known = {figure: value for figure, value in folders[protocol].items() if value is not None}
        assert {figure: table[protocol][figure] for figure in known} == pytest.approx(known, rel=0, abs=1e-6)


def test_shifts_are_those_that_other_code_measures(imported: Path) -> None:
    rows = read_frame(imported / "patches" / "iphone" / "patches.parquet", Patch)
    measured = rows.dropna(subset=["residual_px"])
    assert len(measured) > 100
    assert measured["residual_px"].quantile([0.5, 0.9]).to_numpy() == pytest.approx([0.463, 0.968], abs=0.01)
    pairs = zip(measured["phone_path"], measured["dslr_path"], strict=True)
    other = np.array([patch_shift(*(load_photo(Path(path)) for path in pair)) for pair in pairs])
    apart = np.abs(other - measured["residual_px"])[np.isfinite(other)]
    assert np.median(apart) < 0.05
    assert np.quantile(apart, 0.9) < 0.2
