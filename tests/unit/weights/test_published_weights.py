"""DPED's checkpoints as dpedtool's generators: each tensor is in its place, and other networks are refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tensorflow_writer import data_file, index_file, write_checkpoint
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.sidecars.model_info import SourceFile
from dpedtool.pipeline.cli import main
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.weights.checkpoint import load_card, load_model
from dpedtool.training.weights.published_weights import generator_of, import_weights
from dpedtool.training.weights.tensorflow_checkpoint import Checkpoint

Tensors = dict[str, np.ndarray]


def drawn(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    rng = np.random.default_rng(0)
    return {f"generator/{name}": rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def resnet(channels: int = 4, blocks: int = 1) -> Tensors:
    """Return a residual network with the names of DPED's code."""
    wide = (3, 3, channels, channels)
    last = 2 * blocks + 4
    kernels = {f"W{number}": wide for number in range(2, last)}
    biases = {f"b{number}": (channels,) for number in range(1, last)}
    norms = {f"Variable_{number}" if number else "Variable": (channels,) for number in range(4 * blocks)}
    ends = {"W1": (9, 9, 3, channels), f"W{last}": (9, 9, channels, 3), f"b{last}": (3,)}
    return drawn(kernels | biases | norms | ends)


def srcnn(last_bias: int = 1) -> Tensors:
    kernels = {"w1": (9, 9, 3, 64), "w2": (5, 5, 64, 32), "w3": (5, 5, 32, 3)}
    return drawn({**kernels, "b1": (64,), "b2": (32,), "b3": (last_bias,)})


def generator(tensors: Tensors) -> Generator:
    return generator_of(Checkpoint((Path("net.index"),), tensors))


def equal(ours: Tensor, theirs: np.ndarray) -> bool:
    return np.array_equal(ours.detach().numpy(), theirs)


@pytest.mark.parametrize(("channels", "blocks"), [(4, 1), (2, 4), (3, 0)])
def test_the_sizes_of_a_residual_network_are_told_from_its_shapes(channels: int, blocks: int) -> None:
    found = generator(resnet(channels, blocks)).architecture
    assert found == Architecture("resnet", channels=channels, blocks=blocks)


def test_each_variable_goes_to_its_place() -> None:
    theirs = resnet(blocks=2)
    ours = generator(theirs)
    assert not ours.training
    kernel = theirs["generator/W4"]
    assert ours.get_parameter("blocks.1.conv1.weight")[2, 3, 0, 1] == kernel[0, 1, 3, 2]
    assert equal(ours.get_parameter("blocks.1.conv1.weight"), kernel.transpose(3, 2, 0, 1))
    assert equal(ours.get_parameter("blocks.1.conv2.bias"), theirs["generator/b5"])
    assert equal(ours.body1.bias, theirs["generator/b6"])
    assert equal(ours.tail.bias, theirs["generator/b8"])


def test_of_each_norm_the_shift_comes_before_the_scale() -> None:
    theirs = resnet(blocks=2)
    ours = generator(theirs)
    norms = [ours.get_submodule(f"blocks.{block}.norm{place}") for block in (0, 1) for place in (1, 2)]
    names = ["Variable", *(f"Variable_{number}" for number in range(1, 8))]
    for norm, shift, scale in zip(norms, names[::2], names[1::2], strict=True):
        assert equal(norm.bias, theirs[f"generator/{shift}"])
        assert equal(norm.weight, theirs[f"generator/{scale}"])


@pytest.mark.parametrize("last_bias", [1, 3])
def test_srcnn_may_have_one_bias_for_all_colours(last_bias: int) -> None:
    theirs = srcnn(last_bias)
    ours = generator(theirs)
    assert ours.architecture == Architecture("srcnn")
    assert equal(ours.conv3.bias, np.broadcast_to(theirs["generator/b3"], 3))
    assert equal(ours.conv2.weight, theirs["generator/w2"].transpose(3, 2, 0, 1))


def test_what_is_no_generator_s_is_left_out() -> None:
    more = {"generator/W1/Adam": np.zeros(1), "discriminator/W1": np.zeros(2), "beta1_power": np.zeros(())}
    assert generator({**resnet(), **more}).architecture.channels == 4


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: values for key, values in tensors.items() if key != name}


def with_(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: np.zeros(shape, np.float32)}


@pytest.mark.parametrize(
    "change",
    [
        without("generator/W3"),
        without("generator/W1"),
        without("generator/b2"),
        without("generator/Variable_3"),
        with_("generator/Variable_4", 4),
        with_("generator/W7", 3, 3, 4, 4),
        with_("generator/W2", 3, 3, 4, 5),
        with_("generator/W1", 9, 9, 3, 4096),
        with_("generator/W1", 4),
        with_("generator/b1", 5),
        with_("generator/more", 1),
        lambda _: {"dense/kernel": np.zeros((2, 3), np.float32)},
    ],
)
def test_another_network_is_refused_with_what_was_found(change: Callable[[Tensors], Tensors]) -> None:
    changed = change(resnet())
    with pytest.raises(DpedtoolError, match=r"net\.index does not belong to a known network") as error:
        generator(changed)
    name, values = next(iter(changed.items()))
    assert f"this one has {name} {'x'.join(map(str, values.shape))}" in str(error.value)


def test_weights_that_are_no_numbers_are_refused() -> None:
    changed = resnet()
    changed["generator/b1"][0] = np.nan
    with pytest.raises(DpedtoolError, match="holds NaN or infinite weights"):
        generator(changed)


def test_a_checkpoint_becomes_a_file_of_weights_and_its_card(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "net", resnet(), shards=2)
    imported = import_weights(tmp_path / "net", tmp_path / "out" / "net.safetensors")
    loaded = load_model(imported.weights)
    images = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(images), imported.generator(images))
    card = load_card(imported.weights)
    assert card.trained is True
    assert card.name == "dped_resnet_6_4"
    files = [index_file(tmp_path / "net"), *(data_file(tmp_path / "net", shard, 2) for shard in (0, 1))]
    assert card.imported.files == [
        SourceFile(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files
    ]
    assert card.imported.tensors == sorted(resnet())


@pytest.mark.parametrize("name", ["net", "net.index", "net.data-00000-of-00001"])
def test_the_command_takes_the_prefix_or_any_file(tmp_path: Path, name: str) -> None:
    write_checkpoint(tmp_path / "net", resnet())
    out = tmp_path / "weights.safetensors"
    done = CliRunner().invoke(main, ["import-weights", str(tmp_path / name), "-o", str(out)])
    assert done.exit_code == 0
    assert done.output == f"dped_resnet_6_4, 2559 parameters, in {out}.\n"
    assert json.loads(out.with_suffix(".json").read_text())["trained"] is True


@pytest.mark.parametrize("name", ["weights", "weights.pth", "weights.safetensor"])
def test_a_file_that_is_not_named_as_one_of_weights_is_refused(tmp_path: Path, name: str) -> None:
    write_checkpoint(tmp_path / "net", resnet())
    done = CliRunner().invoke(main, ["import-weights", str(tmp_path / "net"), "-o", str(tmp_path / name)])
    assert done.exit_code == 1
    assert f"{name} does not have the suffix of a file of weights: give it the suffix .safetensors." in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.data-00000-of-00001", "net.index"]


def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["import-weights", str(tmp_path / "none"), "-o", str(tmp_path / "a.safetensors")])
    assert done.exit_code == 1
    assert done.output.startswith("Error: There is no file")
    assert done.output.count("\n") == 1
