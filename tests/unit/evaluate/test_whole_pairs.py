"""Whole test pairs of a session and of a release: only those of the test, and nothing that is masked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from release_damage import edit_json, set_in
from whole_rig import CELL_PX, CROP, write_session

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import read_json
from dpedtool.dataset.params import ReleaseParams
from dpedtool.dataset.schema import Photo
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.cli import main
from dpedtool.pipeline.release.build import build_release
from dpedtool.training.evaluate.colour_match import match_colours
from dpedtool.training.evaluate.networks_compared import NetworksCompared
from dpedtool.training.evaluate.scoring import Sheet
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import save_model

QUICK = ["-S", "evaluate.device=cpu", "-S", "evaluate.metrics=[sharpness]", "-S", "evaluate.photos=0"]
MASKED = CELL_PX**2 / (CROP[2] * CROP[3])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session whose photos are PNG files, its release and a model."""
    folder = write_session(tmp_path_factory.mktemp("session"))
    params = ReleaseParams(name="pairs", licence="CC-BY-4.0", layouts=("dped",), examples=1)
    build_release(folder / "splits", folder / "release", params, aligned=folder / "aligned")
    model = Architecture(channels=4, blocks=1).build()
    initialise(model, torch.Generator().manual_seed(0))
    save_model(folder / "model", model, {})
    return folder


def run(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def of_session(home: Path) -> Path:
    table = home / "splits" / "a.parquet"
    run(table, "--model", home / "model", "--aligned", home / "aligned", "-o", home / "of session", *QUICK)
    return home / "of session"


@pytest.fixture(scope="module")
def of_release(home: Path) -> Path:
    done = run(home / "release", "--model", home / "model", "-o", home / "of release", "--json", *QUICK)
    said = json.loads(done.stdout)
    for kind in ("patches", "whole"):
        assert said["a"][kind] == read_json(home / "of release/a" / kind / "metrics.json")
    return home / "of release" / "a"


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv", dtype={"name": str})


def test_the_whole_pairs_are_those_of_the_test(home: Path, of_session: Path, of_release: Path) -> None:
    rows = read_rows(Photo.table_in(home / "splits"), Photo)
    tested = {row.pair_id: row.scene_id for row in rows if row.split == "test"}
    assert 0 < len(tested) < 6
    for folder in (of_session / "whole", of_release / "whole"):
        found = scores(folder)
        assert dict(zip(found["name"], found["scene_id"], strict=True)) == tested
        assert found["masked"].tolist() == pytest.approx([MASKED] * len(tested))
        metrics = read_json(folder / "metrics.json")
        assert metrics["scenes"] == len(set(tested.values()))
        assert metrics["colour_transform"]["pairs"] > 0
    assert (of_session / "metrics.json").is_file()


def test_a_release_scores_as_the_session_that_it_was_built_from(of_session: Path, of_release: Path) -> None:
    one, other = (
        scores(folder / "whole").sort_values("name", ignore_index=True) for folder in (of_session, of_release)
    )
    for column in ("psnr_before_db", "ms_ssim_before", "ssim_before", "psnr_after_db", "psnr_after_matched_db"):
        assert one[column].tolist() == pytest.approx(other[column].tolist(), rel=1e-6), column


def test_patches_of_a_release_know_their_scenes(home: Path, of_release: Path) -> None:
    found = scores(of_release / "patches")
    rows = read_rows(Photo.table_in(home / "splits"), Photo)
    assert set(found["scene_id"]) == {row.scene_id for row in rows if row.split == "test"}
    assert len(found) == 2 * len(set(found["scene_id"]))
    assert read_json(of_release / "patches" / "metrics.json")["scenes"] == len(set(found["scene_id"]))


def test_two_networks_are_compared_by_scene(of_release: Path, tmp_path: Path) -> None:
    shutil.copytree(of_release / "patches", tmp_path / "other" / "patches")
    compared = NetworksCompared.read([of_release / "patches", tmp_path / "other" / "patches"])
    assert [network.name for network in compared.networks] == ["a/patches", "other/patches"]
    pairs = compared.networks[0].pairs
    assert pairs["scene"].nunique() == len(pairs) // 2
    with pytest.raises(DpedtoolError, match=r"patches is named twice: name each folder once\."):
        NetworksCompared.read([of_release / "patches"] * 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pair_id": "a-none"}, "which pairs.parquet does not count among the pairs of the test"),
        ({"dslr": None}, "holds no full-size photos of the DSLR: build it with layout dped and --aligned"),
    ],
)
def test_what_is_not_of_the_test_is_refused(home: Path, tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    shutil.copytree(home / "release", tmp_path / "release")
    edit_json(tmp_path / "release/release.json", lambda data: [set_in(photo, **change) for photo in data["photos"]])
    done = run(tmp_path / "release", "--model", home / "model", "-o", tmp_path / "scores", *QUICK, code=1)
    assert sentence in done.output
    assert not (tmp_path / "scores").exists()


def test_a_release_that_lacks_files_is_refused(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "release", tmp_path / "release")
    (tmp_path / "release/dped/a/test_data/patches/canon/0.jpg").unlink()
    done = run(tmp_path / "release", "--model", home / "model", "-o", tmp_path / "scores", *QUICK, code=1)
    assert "but the tables of the release have" in done.output
    (tmp_path / "release/dped/a/test_data/full_size_test_images_canon/0.png").unlink()
    done = run(tmp_path / "release", "--model", home / "model", "-o", tmp_path / "scores", *QUICK, code=1)
    assert "the DSLR's full-size photo of the pair a-s" in done.output


@pytest.mark.parametrize("arguments", [["--aligned", "x"], ["--aligned", "x", "--phone", "a", "--dslr", "b"]])
def test_alignments_are_for_a_session(home: Path, arguments: list[str]) -> None:
    given = [home / "release"] if len(arguments) == 2 else []
    done = run(*given, *arguments, "--model", home / "model", "-o", home / "x", code=2)
    assert "--aligned is for SAMPLES" in done.output


def pair(masked_px: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images whose right half is masked; the output has `masked_px` more there."""
    random = torch.Generator().manual_seed(1)
    target = torch.rand(2, 3, 32, 64, generator=random)
    output = 0.5 * target + 0.05 * torch.rand(2, 3, 32, 64, generator=random)
    usable = torch.ones(2, 1, 32, 64, dtype=torch.bool)
    usable[..., 32:] = False
    return torch.where(usable, output, target + masked_px), target, usable


def test_masked_px_change_no_score_and_psnr_is_that_of_the_others() -> None:
    sheets = []
    for masked_px in (0.0, 0.7):
        output, target, usable = pair(masked_px)
        sheets.append(Sheet(2, ["after"]))
        sheets[-1].put(0, {"after": output}, target, usable)
    for kind in ("measures", "matched"):
        one, other = (getattr(sheet, kind)["after"]["image"] for sheet in sheets)
        assert torch.equal(one.squared_error, other.squared_error)
        assert torch.equal(one.ssim, other.ssim)
        assert torch.equal(one.ssim_terms, other.ssim_terms)
    alone = Sheet(2, ["after"])
    alone.put(0, {"after": output[..., :32]}, target[..., :32])
    for kind in ("measures", "matched"):
        found, wanted = (getattr(sheet, kind)["after"]["image"].psnr_db() for sheet in (sheets[0], alone))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=0)


def test_the_match_of_colours_is_fitted_to_what_is_not_masked() -> None:
    output, target, usable = pair(0.7)
    matched = match_colours(output, target, usable)
    torch.testing.assert_close(matched[..., :32], match_colours(output[..., :32], target[..., :32]))
    every = torch.ones_like(usable)
    torch.testing.assert_close(match_colours(output, target, every), match_colours(output, target))
