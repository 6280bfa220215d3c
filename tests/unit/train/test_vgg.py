"""VGG-19 for the content loss: its computation, and the files that it takes its weights from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.training.train.vgg import KNOWN_SHA256, load_vgg, random_vgg, read_mat

pytestmark = pytest.mark.usefixtures("one_thread")

INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
ANY: dict[str, str] = {}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Return weights of VGG-19 with torchvision's names, and a layer that is not needed."""
    convolutions = random_vgg(3).convolutions
    named = {}
    for index, convolution in zip(INDICES, convolutions, strict=True):
        named[f"features.{index}.weight"] = convolution.weight
        named[f"features.{index}.bias"] = torch.full_like(convolution.bias, 0.01 * index)
    return named | {"classifier.0.weight": torch.zeros(3, 2)}


def photos(side: int, number: int = 1) -> torch.Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(1))


def write_mat(path: Path, layers: list[tuple[np.ndarray, np.ndarray] | None]) -> Path:
    """Write a file like MatConvNet's, with one cell per layer; layers without weights are ReLUs."""
    cells = np.empty((1, len(layers)), dtype=object)
    for position, layer in enumerate(layers):
        fields: dict[str, object] = {"type": "relu", "name": f"relu{position}"}
        if layer is not None:
            pair = np.empty((1, 2), dtype=object)
            pair[0, 0], pair[0, 1] = layer
            fields = {"weights": pair, "pad": np.ones((1, 4)), "type": "conv", "name": f"conv{position}"}
        cells[0, position] = fields
    savemat(path, {"layers": cells, "meta": {"classes": "none"}})
    return path


def as_mat(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    layers: list[tuple[np.ndarray, np.ndarray] | None] = []
    for index in INDICES:
        kernels = weights[f"features.{index}.weight"].numpy()
        layers += [(kernels.transpose(3, 2, 1, 0), weights[f"features.{index}.bias"].numpy()[None]), None]
    fully_connected = np.zeros((7, 7, 2, 3), np.float32), np.zeros((1, 3), np.float32)
    return write_mat(path, [*layers, fully_connected])


def test_a_patch_of_100_px_becomes_7() -> None:
    vgg, sides = random_vgg(0), []
    for convolution in vgg.convolutions:
        convolution.register_forward_hook(lambda _module, _inputs, output: sides.append(tuple(output.shape[1:])))
    assert vgg(photos(100)).shape == (1, 512, 7, 7)
    by_hand = [(64, 100)] * 2 + [(128, 50)] * 2 + [(256, 25)] * 4 + [(512, 13)] * 4 + [(512, 7)] * 4
    assert sides == [(channels, side, side) for channels, side in by_hand]


def test_earlier_layers_are_those_of_the_whole_network() -> None:
    vgg, images, computed = random_vgg(0), photos(50), []
    for number, convolution in enumerate(vgg.convolutions):
        convolution.register_forward_hook(lambda *_, number=number: computed.append(number))
    found = vgg.layers(images, ["relu3_2", "relu1_2"])
    assert {name: tuple(values.shape[1:]) for name, values in found.items()} == {
        "relu1_2": (64, 50, 50),
        "relu3_2": (256, 13, 13),
    }
    # What lies behind the last of them is not computed.
    assert computed == list(range(6))
    first = torch.relu(vgg.convolutions[0](images * vgg.scale - vgg.mean))
    torch.testing.assert_close(found["relu1_2"], torch.relu(vgg.convolutions[1](first)))
    assert torch.equal(vgg(images), vgg.layers(images, ["relu5_4"])["relu5_4"])
    with pytest.raises(ValueError, match="no layer relu6_1"):
        vgg.layers(images, ["relu6_1", "relu1_1"])


def test_it_is_frozen_ends_in_a_relu_and_passes_gradients_to_the_image() -> None:
    vgg, images = random_vgg(0), photos(32).requires_grad_()
    features = vgg(images)
    (gradient,) = torch.autograd.grad(features.sum(), images)
    assert features.min() == 0
    assert features.max() > 0
    assert gradient.abs().sum() > 0
    assert not vgg.training
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_random_weights_follow_from_the_seed_and_keep_the_size_of_what_they_see() -> None:
    torch.manual_seed(5)
    first, again, other = random_vgg(0), random_vgg(0), random_vgg(1)
    images = photos(32)
    assert torch.equal(first(images), again(images))
    assert not torch.equal(first(images), other(images))
    assert 0.1 < first(images).std() < 10


def test_channels_last_is_another_order_of_the_same() -> None:
    vgg, images = random_vgg(0), photos(32)
    expected = vgg(images)
    features = vgg.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_the_axes_of_a_matconvnet_file_by_hand(tmp_path: Path) -> None:
    # One kernel of 2 columns, 3 rows, 1 channel in, 1 out; in the file columns come first.
    kernels = np.array([[11.0, 21, 31], [12, 22, 32]]).reshape(2, 3, 1, 1)
    second = np.arange(8.0).reshape(1, 1, 4, 2), np.array([[7.0, 8.0]])
    found = read_mat(write_mat(tmp_path / "a.mat", [(kernels, np.array([[5.0]])), None, second]))
    assert list(found) == ["features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"]
    assert found["features.0.weight"].tolist() == [[[[11, 12], [21, 22], [31, 32]]]]
    assert found["features.0.bias"].tolist() == [5]
    assert found["features.2.weight"][:, :, 0, 0].tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert found["features.2.bias"].tolist() == [7, 8]


def first_input(vgg: torch.nn.Module, rgb: tuple[float, float, float]) -> list[float]:
    """Return the input of the first convolution for an image of one colour."""
    seen = []
    vgg.convolutions[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    vgg(torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 16, 16))
    values: list[float] = seen[0][0, :, 3, 3].tolist()
    return values


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, weights: dict[str, torch.Tensor]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vgg")
    torch.save(weights, folder / "a.pth", _use_new_zipfile_serialization=False)
    save_file(weights, folder / "a.safetensors")
    return {
        ".mat": as_mat(folder / "a.mat", weights),
        ".pth": folder / "a.pth",
        ".safetensors": folder / "a.safetensors",
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (".mat", (-123.68, 127.5 - 116.779, 255 - 103.939)),
        (".pth", (-0.485 / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225)),
        (".safetensors", (-0.485 / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225)),
    ],
)
def test_each_file_gives_its_weights_and_has_its_own_scale(
    files: dict[str, Path], weights: dict[str, torch.Tensor], kind: str, expected: tuple[float, ...]
) -> None:
    vgg = load_vgg(files[kind], ANY)
    assert first_input(vgg, (0.0, 0.5, 1.0)) == pytest.approx(expected, abs=1e-4)
    for index, convolution in zip(INDICES, vgg.convolutions, strict=True):
        assert torch.equal(convolution.weight, weights[f"features.{index}.weight"])
        assert torch.equal(convolution.bias, weights[f"features.{index}.bias"])
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


@pytest.mark.parametrize("kind", [".mat", ".pth"])
def test_another_file_than_the_known_one_is_refused(files: dict[str, Path], kind: str) -> None:
    with pytest.raises(DpedtoolError) as refused:
        load_vgg(str(files[kind]))
    assert file_sha256(files[kind]) in str(refused.value)
    assert KNOWN_SHA256[kind] in str(refused.value)
    assert load_vgg(files[kind], {kind: file_sha256(files[kind])})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, ["train.vgg is not set"]),
        ("none.mat", ["train.vgg is none.mat", "no such file"]),
        ("vgg.h5", ["train.vgg is vgg.h5", ".mat, .pth, .safetensors"]),
    ],
)
def test_without_a_file_it_is_said_which_and_where_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vgg.h5").touch()
    with pytest.raises(DpedtoolError) as refused:
        load_vgg(path)
    sources = ["imagenet-vgg-verydeep-19.mat", "MatConvNet", "vgg19-dcbb9e9d.pth", "torchvision"]
    message = str(refused.value)
    assert all(word in message for word in [*words, *sources, "set train.vgg", "take content and cobi out of"]), message
    assert "\n" not in message


def test_a_layer_that_is_missing_or_of_another_shape_is_refused(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"features.0.weight": weights["features.0.weight"]}, path)
    with pytest.raises(DpedtoolError, match=r"a\.safetensors: features\.0\.bias is missing, but .*\(64,\)"):
        load_vgg(path)
    save_file({"features.0.weight": weights["features.0.weight"][:, :1].contiguous()}, path)
    with pytest.raises(
        DpedtoolError, match=r"features\.0\.weight has the shape \(64, 1, 3, 3\), but .*\(64, 3, 3, 3\)"
    ):
        load_vgg(path)


@pytest.mark.parametrize("name", ["a.mat", "a.pth", "a.safetensors"])
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    for content in (b"", b"no weights at all", bytes(500)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DpedtoolError, match=name):
            load_vgg(tmp_path / name, ANY)


def test_a_mat_file_of_something_else_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"layers": np.eye(3)})
    with pytest.raises(DpedtoolError, match=r"features\.0\.weight is missing"):
        load_vgg(tmp_path / "a.mat", ANY)
    savemat(tmp_path / "a.mat", {"weights": np.eye(3)})
    with pytest.raises(DpedtoolError, match="is not a readable MatConvNet file"):
        load_vgg(tmp_path / "a.mat", ANY)


def test_without_scipy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(DpedtoolError, match=r"pip install scipy, or use vgg19-dcbb9e9d\.pth"):
        read_mat(tmp_path / "a.mat")
