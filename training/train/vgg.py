"""VGG-19 up to relu5_4, from a file that the user has; the losses content and cobi compare its features.

The network is that of Simonyan and Zisserman, arXiv 1409.1556, with two changes from DPED's released code: zeros around
each convolution, and pools that round up, so that the side of a 100 px patch becomes 100, 50, 25, 13 and 7.

Two files of weights are known. DPED uses Oxford's, which the MatConvNet project distributes: their input is 0..255 less
a mean. torchvision's were trained again from scratch, and their input is normalised by the mean and standard deviation
of ImageNet. Their features have another scale, so the same weight of the content loss has another effect than in DPED.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.regular_files import MOST_WEIGHTS_BYTES
from dpedtool.training.weights.state_dicts import read_tensors

# Channels of the convolutions, one row between two pools.
BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
LAST_LAYER = "relu5_4"
# Images 0..1 are multiplied by the first triple, then the second is subtracted, for red, green and blue.
_OXFORD_INPUT = (255.0, 255.0, 255.0), (123.68, 116.779, 103.939)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TORCHVISION_INPUT = (
    tuple(1 / std for std in _IMAGENET_STD),
    tuple(mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)),
)
KNOWN_SHA256 = {
    ".mat": "abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695",
    ".pth": "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
}
"""By file type; .safetensors files have no known digest, since anybody can convert one."""
_SOURCES = {
    ".mat": "imagenet-vgg-verydeep-19.mat from the MatConvNet project's page of pretrained models (Oxford's VGG group)",
    ".pth": "vgg19-dcbb9e9d.pth from torchvision's model zoo",
}
_WAYS_OUT = (
    f"get {_SOURCES['.mat']} or {_SOURCES['.pth']} and set train.vgg to it, or take content and cobi out of "
    "train.losses"
)


class Vgg19(nn.Module):
    """VGG-19 to relu5_4, frozen.

    Parameters
    ----------
    scale, mean
        For red, green and blue: images 0..1 are multiplied by the scale, then the mean is subtracted.

    """

    def __init__(self, scale: tuple[float, ...], mean: tuple[float, ...]) -> None:
        super().__init__()
        channels = [3, *(channels for block in BLOCKS for channels in block)]
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in itertools.pairwise(channels))
        self.scale: Tensor
        self.mean: Tensor
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return features of images (N, 3, H, W), RGB, 0..1: (N, 512, h, w), each side halved 4 times, rounded up."""
        return self.layers(images, [LAST_LAYER])[LAST_LAYER]

    def layers(self, images: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return the features of some layers by name: relu1_2 is the second convolution of the first block.

        Parameters
        ----------
        images
            (N, 3, H, W), RGB, 0..1.
        names
            The layers. Those behind the last one of them are not computed.

        Returns
        -------
        dict
            (N, C, h, w) each; the sides are halved before each block but the first, rounded up.

        """
        found: dict[str, Tensor] = {}
        features = images.float() * self.scale - self.mean
        convolutions = iter(self.convolutions)
        for number, block in enumerate(BLOCKS, start=1):
            if number > 1:
                features = functional.max_pool2d(features, 2, ceil_mode=True)
            for layer in range(1, len(block) + 1):
                features = functional.relu(next(convolutions)(features), inplace=True)
                if (name := f"relu{number}_{layer}") in names:
                    found[name] = features
                if len(found) == len(set(names)):
                    return found
        raise ValueError(f"VGG-19 has no layer {min(set(names) - set(found))}.")


def load_vgg(path: Path | str | None, known: Mapping[str, str] = KNOWN_SHA256) -> Vgg19:
    """Read the weights of VGG-19; nothing is unpickled, and nothing is downloaded.

    Parameters
    ----------
    path
        ``imagenet-vgg-verydeep-19.mat`` (but not the different copy in MatConvNet's folder beta16); torchvision's
        ``vgg19-dcbb9e9d.pth``; or a ``.safetensors`` file with torchvision's names and weights.
    known
        The SHA-256 that a file must have, by its type.

    Raises
    ------
    DpedtoolError
        The path is None or not a file, the file has another type, is not the known one, is damaged or lacks a layer; or
        scipy, which reads .mat files, is not installed.

    """
    if path is None:
        raise DpedtoolError(
            f"The losses content and cobi need the weights of VGG-19, but train.vgg is not set: {_WAYS_OUT}."
        )
    path = Path(path)
    if not path.is_file():
        raise DpedtoolError(f"train.vgg is {path}, but there is no such file: {_WAYS_OUT}.")
    if path.suffix not in _READERS:
        raise DpedtoolError(f"train.vgg is {path}, whose type is not one of {', '.join(_READERS)}: {_WAYS_OUT}.")
    _check_digest(path, known)
    tensors = _READERS[path.suffix](path)
    vgg = Vgg19(*(_OXFORD_INPUT if path.suffix == ".mat" else _TORCHVISION_INPUT))
    for name, parameter in zip(_NAMES, vgg.parameters(), strict=True):
        _fill(parameter, tensors.get(name), f"{path}: {name}")
    return vgg


def random_vgg(seed: int) -> Vgg19:
    """Return the network with random weights (He et al. 2015, arXiv 1502.01852), for benchmarks and tests."""
    generator = torch.Generator().manual_seed(seed)
    vgg = Vgg19(*_TORCHVISION_INPUT)
    for parameter in vgg.parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return vgg


def read_mat(path: Path) -> dict[str, Tensor]:
    """Read the convolutions of a MatConvNet file, in torch's order of axes and with torchvision's names.

    Kernels in the file are (columns, rows, channels in, channels out).

    Raises
    ------
    DpedtoolError
        scipy is missing, or the file is not a MatConvNet file.

    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:
        raise DpedtoolError(
            f"Reading {path} needs scipy, which is not installed: pip install scipy, or use {_SOURCES['.pth']}."
        ) from None
    try:
        layers = loadmat(path, variable_names=["layers"])["layers"].flat
        cells = [layer["weights"].item() for layer in layers if "weights" in (layer.dtype.names or ())]
        tensors = [torch.tensor(array) for cell in cells if cell.size == 2 for array in cell.flat]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, MatReadError) as error:
        raise DpedtoolError(f"{path} is not a readable MatConvNet file ({error}): get {_SOURCES['.mat']}.") from None
    in_order = [tensor.permute(3, 2, 1, 0) if tensor.ndim == 4 else tensor.flatten() for tensor in tensors]
    # The fully connected layers follow.
    return dict(zip(_NAMES, in_order, strict=False))


def _read_pth(path: Path) -> dict[str, Tensor]:
    return read_tensors(path, _NAMES)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            there = set(file.keys())
            return {name: file.get_tensor(name) for name in _NAMES if name in there}
    except (OSError, SafetensorError) as error:
        raise DpedtoolError(f"{path} is not a readable safetensors file ({error}): convert it again.") from None


def _check_digest(path: Path, known: Mapping[str, str]) -> None:
    try:
        wanted, found = known.get(path.suffix), file_sha256(path, MOST_WEIGHTS_BYTES)
    except OSError as error:
        raise DpedtoolError(f"train.vgg is {path}, which cannot be read ({error.strerror}): {_WAYS_OUT}.") from None
    if wanted not in (None, found):
        raise DpedtoolError(
            f"{path} is not the known file, since its SHA-256 is {found}, not {wanted}: get {_SOURCES[path.suffix]}."
        )


def _fill(parameter: Tensor, value: Tensor | None, name: str) -> None:
    if value is None or value.shape != parameter.shape:
        found = "is missing" if value is None else f"has the shape {tuple(value.shape)}"
        raise DpedtoolError(
            f"{name} {found}, but VGG-19 needs {tuple(parameter.shape)}: set train.vgg to weights of VGG-19."
        )
    parameter.copy_(value)


def _names() -> tuple[str, ...]:
    """Return torchvision's names of weights and biases in order; their numbers also count ReLUs and pools."""
    names: list[str] = []
    index = 0
    for block in BLOCKS:
        for _ in block:
            names += [f"features.{index}.weight", f"features.{index}.bias"]
            index += 2
        index += 1
    return tuple(names)


_NAMES = _names()
_READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".mat": read_mat,
    ".pth": _read_pth,
    ".safetensors": _read_safetensors,
}
