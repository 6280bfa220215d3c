"""Training a network of the user's own, and with losses of the user's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from interruption import interrupt_at
from loss_terms import with_usual
from own_code import forgotten_modules, write_folder

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.plugins import digest_in_use, offered
from dpedtool.dataset.schema import Score
from dpedtool.dataset.tables import read_rows
from dpedtool.dataset.train_params import LossTerm, TrainParams
from dpedtool.training.data import PatchPairs
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.networks.generators import OwnGenerator
from dpedtool.training.train.losses import GeneratorLoss
from dpedtool.training.train.sources import from_table
from dpedtool.training.train.stage import Outcome
from dpedtool.training.train.stage import train as train_from
from dpedtool.training.weights.checkpoint import WEIGHTS, load_card, load_model

pytestmark = pytest.mark.usefixtures("one_thread", "clean_modules")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples: Callable[..., Path]) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), {"train": 4, "validation": 1, "test": 2})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


def params_of(folder: Path, network: str = "UNet", *losses: str, **settings: Any) -> TrainParams:
    """Few small steps with everything that a training can have, but for the discriminator."""
    terms = [LossTerm(loss=f"{folder}:own_loss:{name}", weight=2) for name in losses]
    usual: dict[str, Any] = {
        "network": f"{folder}:own_net:{network}", "losses": (LossTerm(loss="pixel"), *terms), "iterations": 4,
        "batch": 2, "crop_px": 34, "validate_every": 2, "ema": 0.9, "clip_norm": 1.0, "precision": "float32",
        "device": "cpu",
    }  # fmt: skip
    return TrainParams(**{**usual, **settings})


def train(table: Path, out: Path, params: TrainParams) -> Outcome:
    return train_from(from_table(table), out, params)


def test_a_network_that_enlarges_learns_from_larger_targets_and_is_scored_on_them(
    folder: Path, make_samples: Callable[..., Path]
) -> None:
    """The phone's images are scored enlarged, as the table and the pictures have both at one size."""
    table = make_samples(folder / "samples", {"train": 4, "validation": 1, "test": 2}, target_scale=2)
    params, out = params_of(folder, "Enlarging", network_args={"times": 2}), folder / "out"
    train(table, out, params)
    metrics = EvaluateParams(pictures=1, photos=1, device="cpu", metrics=())
    found = evaluate(table, out, folder / "scores", metrics, params.own_network)
    phone, dslr = PatchPairs(table, "test").images(0)
    enlarged = cv2.resize(phone, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    shown = folder / "scores" / "examples"
    np.testing.assert_array_equal(load_photo(shown / "test-0.phone.png"), enlarged)
    np.testing.assert_array_equal(load_photo(shown / "test-0.dslr.png"), dslr)
    assert load_photo(shown / "test-0.network.png").shape == dslr.shape
    scores = read_rows(Score.table_in(folder / "scores"), Score)
    difference = np.mean((enlarged.astype(float) - dslr) ** 2)
    assert scores[0].psnr_before == pytest.approx(10 * np.log10(255**2 / difference), abs=0.01)
    assert found.after["image"].pairs == 2
    with pytest.raises(DpedtoolError, match=r"2 times as large .*:UNet makes is as large as its input"):
        train(table, folder / "other", params_of(folder, "UNet"))


def test_it_trains_and_says_what_it_is_without_this_machine_s_folders(folder: Path, table: Path) -> None:
    out = folder / "out"
    train(table, out, params_of(folder, "UNet", "edges", network_args={"width": 6}))
    columns = (out / "history.csv").read_text().splitlines()[0].split(",")
    assert {"train_loss", "train_pixel", "train_edges"} <= set(columns)
    card = load_card(out)
    assert (card.name, card.network) == ("own_net:UNet", {"network": "own_net:UNet", "args": {"width": 6}})
    assert card.training is not None
    assert card.training.params["network"] == "own_net:UNet"
    assert card.training.params["losses"][1] == {"loss": "own_loss:edges", "weight": 2.0}
    written = b"".join(path.read_bytes() for path in out.iterdir())
    assert str(folder).encode() not in written


def test_an_interrupted_run_ends_with_the_same_bytes_whatever_the_code_draws(
    folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = params_of(folder, "UNet", "noisy", network_args={"dropout": 0.5})
    train(table, folder / "whole", params)
    with monkeypatch.context() as patched:
        interrupt_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(table, folder / "halted", params)
    torch.manual_seed(99)
    train(table, folder / "halted", params)
    names = sorted(path.name for path in (folder / "whole").iterdir())
    assert names == sorted(path.name for path in (folder / "halted").iterdir())
    for name in names:
        assert (folder / "whole" / name).read_bytes() == (folder / "halted" / name).read_bytes(), name


@pytest.mark.parametrize("changed", ["own_net.py", "own_parts.py", "own_loss.py", "dataset.py"])
def test_a_change_of_the_code_trains_again(folder: Path, table: Path, changed: str) -> None:
    params, out = params_of(folder, "UNet", "edges"), folder / "out"
    assert not train(table, out, params).is_old
    assert train(table, out, params).is_old
    digest_in_use.cache_clear()
    (folder / changed).write_text((folder / changed).read_text() + "\n# changed\n")
    # This file has only the name of one of the project's packages; nobody imports it.
    assert train(table, out, params).is_old == (changed == "dataset.py")


def test_the_same_code_in_another_folder_is_the_same_training(folder: Path, table: Path) -> None:
    (folder / "moved").mkdir()
    write_folder(folder / "moved")
    train(table, folder / "out", params_of(folder, "UNet", "edges"))
    with forgotten_modules():
        for name in ("own_net", "own_loss", "own_parts"):
            sys.modules.pop(name)
        assert train(table, folder / "out", params_of(folder / "moved", "UNet", "edges")).is_old


def test_it_trains_against_a_discriminator(folder: Path, table: Path) -> None:
    params = params_of(folder, losses=with_usual(texture=0.1), iterations=2, loss_form="released-code")
    train(table, folder / "out", params)
    assert "discriminator_loss" in (folder / "out" / "history.csv").read_text()


def test_tied_weights_go_on_from_a_file_and_are_evaluated(folder: Path, table: Path) -> None:
    params = params_of(folder, "Tied")
    train(table, folder / "first", params)
    more = replace(params, start=str(folder / "first"), iterations=2)
    train(table, folder / "more", more)
    model = load_model(folder / "more", params.network)
    assert isinstance(model, OwnGenerator)
    assert model.network.one.weight is model.network.other.weight
    evaluation = evaluate(table, folder / "more", folder / "scores", EvaluateParams(device="cpu"), params.network)
    assert np.isfinite(evaluation.after["image"].psnr_db)
    with pytest.raises(DpedtoolError, match="name it by --network own_net:Tied"):
        evaluate(table, folder / "more", folder / "scores", EvaluateParams(device="cpu"))


def test_first_weights_of_another_network_are_one_sentence(folder: Path, table: Path) -> None:
    train(table, folder / "first", params_of(folder, network_args={"width": 6}))
    other = params_of(folder, start=str(folder / "first"))
    with pytest.raises(ParamsError, match=r"set train\.network_args=\{'width': 6\}"):
        train(table, folder / "out", other)
    with pytest.raises(DpedtoolError, match=r"weights of the network own_net:UNet.* name it by"):
        train(table, folder / "out", TrainParams(start=str(folder / "first"), device="cpu"))


def test_a_network_that_diverges_is_told_with_its_patches(folder: Path, table: Path) -> None:
    with pytest.raises(DpedtoolError, match=r"Iteration 1 failed: train_loss is nan, .* on the patches train-"):
        train(table, folder / "out", params_of(folder, "NotANumber"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("of_each", r"The loss own_loss:of_each returned a tensor of shape \(2,\): let it return one number"),
        ("number", "The loss own_loss:number returned float: let it return one number as a tensor"),
        ("whole", "The loss own_loss:whole returned a scalar of int64: let it return one number"),
        ("detached", "own_loss:detached does not depend on the output, so the network cannot learn from it"),
        ("failing", r"own_loss:failing raised AttributeError: .* has no attribute 'nothing' \(own_loss.py, line \d+\)"),
        ("missing", "own_loss:missing: the module own_loss has no function missing"),
    ],
)
def test_a_loss_that_cannot_be_used_is_one_sentence(folder: Path, table: Path, name: str, said: str) -> None:
    with pytest.raises(DpedtoolError, match=said) as refused:
        train(table, folder / "out", params_of(folder, "UNet", name))
    assert "\n" not in str(refused.value)


def test_a_loss_of_one_s_own_is_a_term_with_its_weight(folder: Path) -> None:
    outputs, targets = torch.zeros(2, 3, 8, 8, requires_grad=True), torch.rand(2, 3, 8, 8)
    total, terms = GeneratorLoss(params_of(folder, "UNet", "edges"))(outputs, targets)
    wanted = targets.diff(dim=3).abs().mean()
    assert terms["edges"].item() == pytest.approx(wanted.item())
    assert total.item() == pytest.approx((terms["pixel"] + 2 * wanted).item())


def test_a_loss_of_one_s_own_gets_its_arguments_by_name(folder: Path) -> None:
    outputs, targets = torch.zeros(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    found = {}
    for args in ({}, {"power": 2}):
        term = LossTerm(loss=f"{folder}:own_loss:edges", args=args)
        _, terms = GeneratorLoss(TrainParams(losses=(term,)))(outputs, targets)
        found[args.get("power", 1)] = terms["edges"].item()
    steps = targets.diff(dim=3).abs()
    assert found == pytest.approx({1: steps.mean().item(), 2: (steps**2).mean().item()})
    wrong = LossTerm(loss=f"{folder}:own_loss:edges", args={"strength": 2})
    with pytest.raises(DpedtoolError, match=r"own_loss:edges raised TypeError: .* keyword argument 'strength'"):
        GeneratorLoss(TrainParams(losses=(wrong,)))(outputs, targets)


# What installed packages offer


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is installed in a folder, and offers a network and a loss."""
    write_folder(tmp_path)
    about = tmp_path / "own_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[dpedtool.networks]\nmine = own_net:UNet\nbroken = own_net\n[dpedtool.losses]\nedges = own_loss:edges\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    offered.cache_clear()
    yield tmp_path
    offered.cache_clear()


def test_a_package_offers_a_network_and_a_loss(package: Path, table: Path) -> None:
    params = replace(
        params_of(package), network="mine", losses=(LossTerm(loss="edges"), LossTerm(loss="pixel")), iterations=2
    )
    assert (params.network, params.losses[0].loss) == ("own_net:UNet", "own_loss:edges")
    train(table, package / "out", params)
    assert json.loads((package / "out" / "model.json").read_text())["network"]["network"] == "own_net:UNet"
    assert (package / "out" / WEIGHTS).is_file()


@pytest.mark.usefixtures("package")
def test_what_no_package_offers_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(
        ParamsError, match=r"must be one of resnet, srcnn, mobile, broken, mine, package\.module:Class, not"
    ):
        TrainParams(network="yours")
    with pytest.raises(ParamsError, match=r"package that offers 'broken' in dpedtool\.networks says 'own_net', which"):
        TrainParams(network="broken")
