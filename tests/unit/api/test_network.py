"""load_model, enhance and evaluate: as the commands, in RGB."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import dpedtool
from dpedtool.pipeline.cli import main
from dpedtool.training.weights.checkpoint import save_model

KEYS = {"psnr_db": "psnr_{}_db", "ms_ssim": "ms_ssim_{}", "ssim": "ssim_{}"}
"""Of the command's JSON, by column of the means."""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    network = dpedtool.example_model(seed=3).network
    with torch.no_grad():
        # Red comes out brighter and blue darker, so that the order of the channels matters.
        network.state_dict()[list(network.state_dict())[-1]].add_(torch.tensor([0.4, 0.0, -0.4]))
    save_model(folder, network, {})
    return folder


@pytest.fixture(scope="module")
def folders(alignment: dpedtool.Alignment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two images of the phone and of the DSLR, of different sizes."""
    root = tmp_path_factory.mktemp("images")
    for name, image in (("phone", alignment.phone), ("dslr", alignment.dslr)):
        (root / name).mkdir()
        Image.fromarray(image[:100, :120]).save(root / name / "1.png")
        Image.fromarray(image[100:200, :110]).save(root / name / "2.png")
    return root / "phone", root / "dslr"


def run(*words: object) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_model_says_what_it_is(model_dir: Path) -> None:
    for path in (model_dir, str(model_dir), model_dir / "generator.safetensors"):
        model = dpedtool.load_model(path, device="cpu")
        assert repr(model) == f"Model dped_resnet_6_8 of {path}: {model.parameters} trained values, on cpu"
    assert model.parameters == sum(values.numel() for values in model.network.parameters())


def test_enhance_gives_what_the_command_gives(
    model_dir: Path, files: tuple[Path, Path], photos: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    run("enhance", files[0], "-o", tmp_path, "--weights", model_dir)
    stored = np.asarray(Image.open(tmp_path / "1.png"))
    model = dpedtool.load_model(model_dir)
    assert np.array_equal(dpedtool.enhance(model, files[0]), stored)
    assert np.array_equal(dpedtool.enhance(model, photos[0]), stored)
    difference = stored.astype(int).mean(axis=(0, 1)) - photos[0].astype(int).mean(axis=(0, 1))
    assert difference[0] > 10 > -10 > difference[2]


def test_an_untrained_network_returns_nearly_the_photo(photos: tuple[np.ndarray, np.ndarray]) -> None:
    enhanced = dpedtool.enhance(dpedtool.example_model(), photos[0])
    assert np.abs(enhanced.astype(int) - photos[0]).mean() < 12


def test_scores_are_those_of_the_command(model_dir: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["--phone", folders[0], "--dslr", folders[1], "--weights", model_dir, "--json", "-o", tmp_path]
    wanted = json.loads(run("evaluate", *words))
    for model in (model_dir, dpedtool.load_model(model_dir)):
        scores = dpedtool.evaluate(*folders, model)
        assert scores.table["name"].tolist() == ["1.png", "2.png"]
        means = scores.means.set_index(["protocol", "version"])
        for version, name in (("phone", "before"), ("network", "after")):
            for measure in KEYS:
                assert means.loc[("image", version), measure] == pytest.approx(
                    wanted["image"][KEYS[measure].format(name)], abs=1e-9
                )
        # Images of different sizes are not scored in batches.
        assert "batch" not in means.index


def test_scores_by_hand(tmp_path: Path) -> None:
    dslr = np.random.default_rng(0).integers(10, 240, (40, 50, 3), np.uint8)
    for name, image in (("phone", dslr + np.uint8(5)), ("dslr", dslr)):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "a.png")
    scores = dpedtool.evaluate(str(tmp_path / "phone"), tmp_path / "dslr")
    # The mean squared error is 25.
    assert scores.table["psnr_before_db"].tolist() == pytest.approx([20 * np.log10(255 / 5)])
    assert scores.means["version"].tolist() == ["phone", "phone"]
    assert scores.means["protocol"].tolist() == ["image", "batch"]
    text = repr(scores)
    assert text.splitlines()[0] == f"1 pair of {tmp_path / 'phone'} and {tmp_path / 'dslr'}"
    assert "image, phone  PSNR 34.15 dB" in text
    assert "<table" in scores._repr_html_()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "There is no nowhere: name a folder that `dpedtool train` wrote"),
        ("s3://bucket/model", "s3://bucket/model is a URL: only photos are read from URLs"),
        (3, "path is of the type int: "),
    ],
)
def test_what_is_not_a_model_is_refused(path: object, message: str) -> None:
    with pytest.raises(dpedtool.DpedtoolError) as refused:
        dpedtool.load_model(path)
    assert message in str(refused.value)


def test_folders_without_equal_names_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(dpedtool.DpedtoolError, match="photos"):
        dpedtool.evaluate(folders[0], tmp_path)
