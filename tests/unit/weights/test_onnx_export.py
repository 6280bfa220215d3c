"""ONNX files: the values equal PyTorch's at any size, the bytes are reproducible, and no wrong file is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.cli import main
from dpedtool.training.networks.generators import Architecture, Generator, LayeredGenerator
from dpedtool.training.weights import onnx_export
from dpedtool.training.weights.checkpoint import save_model
from dpedtool.training.weights.onnx_export import OPSET, TOLERANCE, as_onnx, export

ARCHITECTURES = (
    Architecture(channels=4, blocks=2),
    Architecture(channels=3, blocks=1, norm="batch"),
    Architecture(channels=4, blocks=0),
    Architecture("srcnn"),
    Architecture("mobile", channels=4),
)


def drawn(architecture: Architecture, seed: int = 0) -> Generator:
    """Return a network without weights or statistics of 0 or 1, whose outputs cover 0..1."""
    network = architecture.build().eval()
    random = torch.Generator().manual_seed(seed)
    for values in network.state_dict().values():
        if values.is_floating_point():
            values.copy_(torch.rand(values.shape, generator=random) * 0.2 + (0.4 if values.ndim == 1 else -0.1))
    return network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    save_model(path, drawn(Architecture(channels=4, blocks=1)), {"trained": True})
    return path


def run(file: Path, phone: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (enhanced,) = session.run(None, {"phone": phone})
    return np.asarray(enhanced)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.name)
def test_any_network_gives_what_pytorch_gives_at_any_size(tmp_path: Path, architecture: Architecture) -> None:
    network = drawn(architecture)
    save_model(tmp_path / "net.safetensors", network, {})
    done = export(tmp_path / "net.safetensors", tmp_path / "net.onnx", clip=False)
    assert done.difference < TOLERANCE
    for shape in ((1, 3, 1, 2), (3, 3, 7, 19), (1, 3, 64, 33), (1, 3, 16, 24)):
        phone = np.random.default_rng(1).random(shape, np.float32)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(phone)).numpy()
        assert wanted.std() > 0.01
        assert np.abs(run(done.onnx, phone) - wanted).max() < 1e-5


@pytest.mark.parametrize(("opset", "ir_version"), [(9, 4), (11, 6), (13, 7), (17, 8), (20, 9)])
def test_another_opset_gives_the_same_values(model: Path, tmp_path: Path, opset: int, ir_version: int) -> None:
    done = export(model, tmp_path / "net.onnx", opset=opset)
    made = onnx.load(done.onnx)
    assert (made.opset_import[0].version, made.ir_version, done.opset) == (opset, ir_version, opset)
    assert f"ONNX opset {opset}." in done.card.read_text()
    phone = np.random.default_rng(2).random((1, 3, 9, 14), np.float32)
    with torch.inference_mode():
        wanted = drawn(Architecture(channels=4, blocks=1))(torch.from_numpy(phone)).clamp(0, 1).numpy()
    assert np.abs(run(done.onnx, phone) - wanted).max() < 1e-5


@pytest.mark.parametrize("opset", [8, 21, -1])
def test_an_opset_that_cannot_be_written_is_refused(model: Path, tmp_path: Path, opset: int) -> None:
    with pytest.raises(DpedtoolError, match=rf"^Opset {opset} cannot be written: choose one from 9 to 20\.$"):
        export(model, tmp_path / "net.onnx", opset=opset)
    assert not (tmp_path / "net.onnx").exists()


def test_the_output_is_clipped_unless_told_otherwise(tmp_path: Path) -> None:
    network = drawn(Architecture(channels=4, blocks=1))
    with torch.no_grad():
        network.tail.bias.copy_(torch.tensor([9.0, 0.0, -9.0]))
        network.tail.weight.zero_()
    save_model(tmp_path / "model", network, {})
    phone = np.zeros((1, 3, 4, 5), np.float32)
    clipped = run(export(tmp_path / "model", tmp_path / "a.onnx").onnx, phone)
    raw = run(export(tmp_path / "model", tmp_path / "b.onnx", clip=False).onnx, phone)
    assert clipped[0, :, 0, 0].tolist() == [1, 0.5, 0]
    np.testing.assert_allclose(raw[0, :, 0, 0], [1.08, 0.5, -0.08], atol=1e-6)


def test_the_graph_has_the_networks_own_operators_and_nothing_else() -> None:
    made = as_onnx(drawn(Architecture(channels=4, blocks=2)), {}, clip=True)
    kinds = [node.op_type for node in made.graph.node]
    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == {
        "Add": 2 + 1,
        "Clip": 1,
        "Conv": 8,
        "InstanceNormalization": 4,
        "Mul": 1,
        "Relu": 7,
        "Tanh": 1,
    }
    epsilons = {a.f for node in made.graph.node for a in node.attribute if a.name == "epsilon"}
    assert epsilons == {np.float32(1e-3)}
    batch = as_onnx(drawn(Architecture(channels=4, blocks=2, norm="batch")), {}, clip=True)
    assert [node.op_type for node in batch.graph.node].count("BatchNormalization") == 4
    # The number of batches it was trained on is not a weight.
    assert not any("num_batches" in weight.name for weight in batch.graph.initializer)


def test_the_network_for_phones_has_plain_operators_of_a_newer_version() -> None:
    made = as_onnx(drawn(Architecture("mobile", channels=4)), {}, clip=True)
    kinds = [node.op_type for node in made.graph.node if node.op_type != "Constant"]
    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == {
        # Of these, one is for the padding, and so are Concat, Div, Mul, Pad, Shape, Slice and Sub.
        "Add": 3 + 1,
        "Clip": 1,
        "Concat": 1,
        "Conv": 14,
        "DepthToSpace": 1,
        "Div": 1,
        "Mul": 1,
        "Pad": 1,
        "Relu": 13,
        "Resize": 2,
        "Shape": 1,
        "Slice": 2,
        "SpaceToDepth": 1,
        "Sub": 1,
    }
    assert made.opset_import[0].version == OPSET


def test_the_network_for_phones_needs_an_opset_that_has_its_operators(tmp_path: Path) -> None:
    save_model(tmp_path / "model", drawn(Architecture("mobile", channels=4)), {})
    with pytest.raises(
        DpedtoolError, match=r"^Opset 12 lacks operators that dped_mobile_4 needs: choose 13 or later\.$"
    ):
        export(tmp_path / "model", tmp_path / "net.onnx", opset=12)
    assert not (tmp_path / "net.onnx").exists()
    assert export(tmp_path / "model", tmp_path / "net.onnx", opset=13).opset == 13


@pytest.mark.parametrize("clip", [True, False])
def test_the_network_for_phones_is_clipped_unless_told_otherwise(tmp_path: Path, clip: bool) -> None:
    network = drawn(Architecture("mobile", channels=4))
    with torch.no_grad():
        # The channels of the upper left px, then of the others.
        network.tail.bias.copy_(torch.tensor([2.0, 0.25, -2.0] * 4))
        network.tail.weight.zero_()
    save_model(tmp_path / "model", network, {})
    phone = np.full((1, 3, 5, 3), 0.5, np.float32)
    made = run(export(tmp_path / "model", tmp_path / "a.onnx", clip=clip).onnx, phone)
    assert made[0, :, 4, 2].tolist() == ([1, 0.75, 0] if clip else [2.5, 0.75, -1.5])


def test_the_file_says_what_it_is(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "net.onnx", licence="CC-BY-4.0")
    made = onnx.load(tmp_path / "net.onnx")
    notes = {entry.key: entry.value for entry in made.metadata_props}
    assert (made.producer_name, made.opset_import[0].version) == ("dpedtool", OPSET)
    assert made.graph.name == notes["network"] == "dped_resnet_6_4"
    assert notes["licence"] == "CC-BY-4.0"
    assert len(notes["weights_sha256"]) == 64
    for tensor in (made.graph.input[0], made.graph.output[0]):
        axes = [axis.dim_param or axis.dim_value for axis in tensor.type.tensor_type.shape.dim]
        assert axes == ["batch", 3, "height", "width"]
    assert [len(made.graph.input), made.graph.input[0].name, made.graph.output[0].name] == [1, "phone", "enhanced"]


def test_the_same_model_gives_the_same_bytes_wherever_it_is(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "a" / "net.onnx")
    moved = model.rename(tmp_path / "elsewhere")
    export(moved, tmp_path / "b" / "net.onnx")
    for name in ("net.onnx", "net.md"):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("a", "b"))
        # The card says on one line how fast the file ran.
        assert [line for line in one.split(b"\n") if not line.startswith(b"- Speed:")] == [
            line for line in other.split(b"\n") if not line.startswith(b"- Speed:")
        ]
        assert str(tmp_path).encode() not in one


def test_a_card_is_replaced_and_what_is_none_is_kept(model: Path, tmp_path: Path) -> None:
    for _ in range(2):
        export(model, tmp_path / "net.onnx")
    readme = tmp_path / "README.md"
    readme.write_text("# Mine\n")
    (tmp_path / "notes.md").mkdir()
    for name in ("README", "notes"):
        with pytest.raises(DpedtoolError, match=rf"{name}\.md is not a model card"):
            export(model, tmp_path / f"{name}.onnx")
        assert not (tmp_path / f"{name}.onnx").exists()
    assert readme.read_text() == "# Mine\n"


@pytest.mark.parametrize("wrong", [0.01, np.nan])
def test_a_file_that_computes_something_else_is_not_left(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    def other(_: Generator, phone: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(phone) + wrong

    monkeypatch.setattr(LayeredGenerator, "forward", other)
    with pytest.raises(DpedtoolError, match=r"values of onnxruntime differ from PyTorch's"):
        export(model, tmp_path / "out" / "net.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_the_packages_it_says_how_to_get_them(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DpedtoolError, match=r"^Export needs onnxruntime: pip install onnx onnxruntime, then"):
        export(model, tmp_path / "net.onnx")


def test_a_network_that_no_onnx_file_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "MOST_BYTES", 1000)
    with pytest.raises(DpedtoolError, match="larger than 2 GiB"):
        as_onnx(drawn(Architecture(channels=4, blocks=1)), {}, clip=True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"out": "net.pb"}, "does not have the suffix of an ONNX file"),
        ({"licence": "my own; see below"}, "is not the SPDX identifier"),
        ({"model": "none"}, "name a folder that `dpedtool train` wrote"),
        ({"scores": "model/model.json"}, "holds no scores"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    model: Path, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    out = tmp_path / "out" / options.get("out", "net.onnx")
    arguments = ["export", str(tmp_path / options.get("model", model.name)), "-o", str(out)]
    for name in ("licence", "scores"):
        if name in options:
            arguments += [f"--{name}", options[name] if name == "licence" else str(tmp_path / options[name])]
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 1
    assert sentence in ended.output
    assert len(ended.output.splitlines()) == 1
    assert not out.parent.exists()


def test_a_card_of_another_network_is_refused(model: Path, tmp_path: Path) -> None:
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**card, "network": {**card["network"], "channels": 5}}))
    with pytest.raises(DpedtoolError, match="a different network than the weights next to it, dped_resnet_6_4"):
        export(model, tmp_path / "net.onnx")
