"""Tests that every known network must pass with each of its norms; a new network in the table is tested here too."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.train_params import Network, Norm, TrainParams
from dpedtool.training.enhance import whole_photo
from dpedtool.training.enhance.memory import Plan
from dpedtool.training.enhance.whole_photo import Settings, enhance_image, plan
from dpedtool.training.evaluate.stage import evaluate
from dpedtool.training.networks.generators import NETWORKS, Architecture, Generator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.networks.layer_kinds import grid, reach
from dpedtool.training.train.sources import from_table
from dpedtool.training.train.stage import train
from dpedtool.training.weights.checkpoint import load_card, load_model, model_files, save_model, save_tensors
from dpedtool.training.weights.onnx_export import TOLERANCE, export

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = [Architecture(network, channels=4, blocks=2, norm=norm) for network in NETWORKS for norm in get_args(Norm)]
EVERY = list({json.dumps(architecture.settings()): architecture for architecture in SMALL}.values())
"""One of each network with each norm; networks without a choice of norms appear once."""
EXACT = Settings(torch.device("cpu"), "float32")
SAME = 1e-4 / 255

every = pytest.mark.parametrize("architecture", EVERY, ids=lambda architecture: architecture.name)


def drawn(architecture: Architecture) -> Generator:
    """Return a network whose norms have random scales, shifts and statistics, unlike new norms."""
    torch.manual_seed(1)
    model = architecture.build()
    for module in model.modules():
        if isinstance(module, nn.InstanceNorm2d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def waits(architecture: Architecture) -> bool:
    """Return whether each output depends on the whole photo."""
    return any(layer.waits for layer in architecture.layers)


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, make_samples) -> Path:
    return make_samples(tmp_path_factory.mktemp("samples"), {"train": 3, "validation": 1, "test": 2})


# Descriptions


def test_the_networks_of_the_table_are_those_that_parameters_name() -> None:
    assert set(NETWORKS) == set(get_args(Network))


@every
def test_a_network_knows_its_fields_and_its_name(architecture: Architecture) -> None:
    fields = {field.name for field in dataclasses.fields(architecture)}
    assert set(architecture.settings()) <= fields
    assert re.fullmatch(r"dped_[a-z0-9_]+", architecture.name)
    others = [other for other in EVERY if other != architecture]
    others += [dataclasses.replace(architecture, channels=5), dataclasses.replace(architecture, blocks=3)]
    for other in others:
        assert (other.name == architecture.name) == (other.settings() == architecture.settings())


@every
def test_the_layers_lead_from_three_colours_to_three(architecture: Architecture) -> None:
    assert architecture.layers[-1].channels_out == 3
    generator = architecture.build()
    names = [name for layer in architecture.layers for name, _ in layer.modules()]
    assert len(names) == len(set(names))
    assert {name.rpartition(".")[0] for name in generator.state_dict()} == set(names)


@pytest.mark.parametrize("architecture", [each for each in EVERY if not waits(each)], ids=lambda each: each.name)
def test_layers_see_as_far_as_they_say(architecture: Architecture) -> None:
    network, far, px = architecture.build().eval().double(), reach(architecture.layers), grid(architecture.layers)
    with torch.no_grad():
        # With these weights no ReLU cuts anything off.
        for values in network.parameters():
            values.fill_(0.01)
    middle = far + 2 + -(far + 2) % px
    distances = []
    for column in range(middle, middle + px):
        phone = torch.zeros(1, 3, px, 2 * middle + 2 * px, dtype=torch.float64, requires_grad=True)
        network(phone)[0, 0, 0, column].backward()
        assert phone.grad is not None
        used = phone.grad[0].abs().amax(dim=(0, 1)).nonzero()[:, 0]
        distances += [column - int(used.min()), int(used.max()) - column]
    assert max(distances) == far


# The network as a module


@every
@pytest.mark.parametrize(("height", "width"), [(1, 2), (7, 5), (33, 20)])
def test_any_size_is_kept(architecture: Architecture, height: int, width: int) -> None:
    outputs = drawn(architecture)(noise(2, 3, height, width))
    assert outputs.shape == (2, 3, height, width)
    if not architecture.description.adds_photo:
        assert outputs.min() >= -0.08
        assert outputs.max() <= 1.08


@every
@pytest.mark.parametrize("scheme", ["pass-through", "released-code"])
def test_first_weights_can_be_learned_from(architecture: Architecture, scheme) -> None:
    generator, images = architecture.build(), noise(2, 3, 16, 16)
    initialise(generator, torch.Generator().manual_seed(0), scheme)
    outputs = generator(images)
    if scheme == "pass-through" and architecture.description.passes_colours:
        assert (outputs - images).abs().mean() < 0.06
    if scheme == "pass-through" and architecture.description.adds_photo:
        assert outputs.equal(images)
    outputs.square().mean().backward()
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in generator.parameters())


@every
def test_torch_compile_makes_one_graph_of_it(architecture: Architecture) -> None:
    model, images = drawn(architecture), noise(1, 3, 8, 9)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), model(images))


# Whole photos


@every
@pytest.mark.parametrize("stripe_px", [1, 50, 10**6])
def test_in_stripes_it_is_the_same_as_in_one_piece(monkeypatch, architecture: Architecture, stripe_px: int) -> None:
    monkeypatch.setattr(whole_photo, "STRIPE_PX", stripe_px)
    model, image = drawn(architecture), noise(3, 37, 17)
    with torch.inference_mode():
        whole = model(image[None])[0]
    torch.testing.assert_close(enhance_image(model, image, EXACT), whole, rtol=0, atol=SAME)


@every
def test_a_scratch_file_changes_nothing(tmp_path: Path, monkeypatch, architecture: Architecture) -> None:
    model, image = drawn(architecture), noise(3, 23, 11)
    expected = enhance_image(model, image, EXACT)
    monkeypatch.setattr(whole_photo, "plan", lambda *_: Plan(0, 1, 5))
    assert enhance_image(model, image, dataclasses.replace(EXACT, scratch=tmp_path)).equal(expected)


@every
def test_larger_photos_are_planned_to_take_more(architecture: Architecture) -> None:
    small, large = (plan(architecture, size, EXACT).memory for size in ((100, 100), (1000, 2000)))
    assert EXACT.process < small < large


# Files


@every
def test_weights_come_back_with_their_network(tmp_path: Path, architecture: Architecture) -> None:
    model, images = drawn(architecture), noise(1, 3, 9, 8)
    save_model(tmp_path / "net.safetensors", model, {})
    loaded = load_model(tmp_path / "net.safetensors")
    assert loaded.architecture == architecture
    assert loaded(images).equal(model(images))
    assert load_card(tmp_path / "net.safetensors").name == architecture.name


@every
def test_onnx_gives_what_pytorch_gives_and_the_card_says_what_it_is(tmp_path: Path, architecture: Architecture) -> None:
    model, phone = drawn(architecture), noise(2, 3, 19, 7)
    save_model(tmp_path / "net.safetensors", model, {})
    done = export(tmp_path / "net.safetensors", tmp_path / "net.onnx", clip=False)
    assert done.difference < TOLERANCE
    session = onnxruntime.InferenceSession(done.onnx, providers=["CPUExecutionProvider"])
    (enhanced,) = session.run(None, {"phone": phone.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(enhanced, model(phone).numpy(), rtol=0, atol=TOLERANCE)
    card = done.card.read_text()
    assert f"| architecture | {architecture.name} |" in card
    assert ("Give it the whole photo at once" in card) == waits(architecture)
    assert ("within -0.08..1.08" in card) != architecture.description.adds_photo
    px = grid(architecture.layers)
    overlap = 2 * math.ceil(reach(architecture.layers) / px) * px
    assert (f"overlap by {overlap} px" in card) != waits(architecture)
    assert (f"begin at multiples of {px} px" in card) == (px > 1)


# The stages


@every
def test_it_trains_goes_on_from_its_weights_and_is_evaluated(
    tmp_path: Path, table: Path, architecture: Architecture
) -> None:
    sizes = {"channels": architecture.channels, "blocks": architecture.blocks, "norm": architecture.norm}
    common = {"batch": 2, "crop_px": 32, "precision": "float32", "device": "cpu", "initialisation": "released-code"}
    params = TrainParams(network=architecture.network, iterations=2, **sizes, **common)
    train(from_table(table), tmp_path / "model", params)
    assert load_model(tmp_path / "model").architecture == architecture
    weights, _ = model_files(tmp_path / "model")
    train(from_table(table), tmp_path / "more", dataclasses.replace(params, iterations=1, start=str(weights)))
    evaluation = evaluate(table, tmp_path / "more", tmp_path / "scores", EvaluateParams(device="cpu"))
    assert np.isfinite(evaluation.after["image"].psnr_db)


# Unknown networks


def test_parameters_refuse_an_unknown_network() -> None:
    with pytest.raises(ParamsError, match=r"^network must be one of .*, not 'vit'\.$"):
        TrainParams(network="vit")


@pytest.mark.parametrize(("field", "value"), [("network", "vit"), ("network", "ResNet"), ("norm", "layer")])
def test_an_architecture_refuses_what_is_unknown(field: str, value: str) -> None:
    known = {"network": ", ".join(NETWORKS), "norm": "instance, batch"}[field]
    with pytest.raises(ValueError, match=rf"^'{value}' is not one of {known}$"):
        Architecture(**{field: value})


@pytest.mark.parametrize("network", ["vit", None, ["resnet"]])
def test_weights_of_an_unknown_network_are_neither_loaded_nor_exported(tmp_path: Path, network: object) -> None:
    weights, model = tmp_path / "net.safetensors", drawn(EVERY[0])
    fields = {**EVERY[0].as_json(), "network": network}
    save_tensors(weights, model.state_dict(), {"network": json.dumps(fields)})
    sentence = (
        rf"do not fit their network \({re.escape(repr(network))} is not one of {', '.join(NETWORKS)}\): train again\.$"
    )
    for use in (load_model, lambda path: export(path, tmp_path / "net.onnx")):
        with pytest.raises(DpedtoolError, match=sentence):
            use(weights)
    assert not (tmp_path / "net.onnx").exists()


def test_the_card_of_an_unknown_network_is_not_taken_for_that_of_the_weights(tmp_path: Path) -> None:
    save_model(tmp_path / "net.safetensors", drawn(EVERY[0]), {})
    described = tmp_path / "net.json"
    card = json.loads(described.read_text())
    described.write_text(json.dumps({**card, "network": {**card["network"], "network": "vit"}}))
    with pytest.raises(DpedtoolError, match=f"different network than the weights next to it, {EVERY[0].name}"):
        export(tmp_path / "net.safetensors", tmp_path / "net.onnx")
