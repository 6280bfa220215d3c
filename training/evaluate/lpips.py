"""LPIPS, a distance between images that follows people's judgement, with weights that the user provides.

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018, arXiv 1801.03924, version 0.1 on AlexNet, the default of its authors' package. Two files are needed:
`alexnet-owt-7be5be79.pth` from torchvision's model zoo, and `alex.pth` from lpips/weights/v0.1 in the authors'
repository or in the package lpips. Neither is unpickled, and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.regular_files import MOST_WEIGHTS_BYTES
from dpedtool.training.evaluate.named_metrics import Metric
from dpedtool.training.metrics import check_pair
from dpedtool.training.weights.state_dicts import read_tensors

ALEXNET, HEADS = "alexnet-owt-7be5be79.pth", "alex.pth"
KNOWN_SHA256 = {ALEXNET: "7be5be79", HEADS: "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"}
"""The beginning of each file's SHA-256; torchvision's file names contain its first 8 digits."""
_SOURCES = {ALEXNET: "torchvision's model zoo", HEADS: "lpips/weights/v0.1 of the package lpips 0.1.4"}

SMALLEST_PX = 31
"""Smaller images leave no px after AlexNet's second pool."""

# AlexNet's convolutions by torchvision's numbers: channels, taps, stride, padding. A pool precedes those in _POOLED.
_LAYERS = {0: (64, 11, 4, 2), 3: (192, 5, 1, 2), 6: (384, 3, 1, 1), 8: (256, 3, 1, 1), 10: (256, 3, 1, 1)}
_POOLED = (3, 6)
_MEAN, _STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_SMALLEST_NORM = 1e-10


class Lpips(nn.Module):
    """The distance (N,) between images (N, 3, H, W) and others; 0 for equal images."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        self.convolutions, self.heads = nn.ModuleDict(), nn.ParameterList()
        for layer, (wide, taps, stride, padding) in _LAYERS.items():
            self.convolutions[str(layer)] = nn.Conv2d(channels, wide, taps, stride, padding)
            self.heads.append(nn.Parameter(torch.zeros(1, wide, 1, 1)))
            channels = wide
        self.requires_grad_(False).eval()

    @torch.inference_mode()
    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the distance of each pair, float32.

        Parameters
        ----------
        outputs, targets
            (N, 3, H, W), RGB, float, 0..1: clip first. H and W at least `SMALLEST_PX`.

        Raises
        ------
        ValueError
            The shapes differ, or hold no images or too small ones.

        """
        check_pair(outputs, targets)
        if min(outputs.shape[2:]) < SMALLEST_PX:
            raise ValueError(f"LPIPS needs images of {SMALLEST_PX} px or more, not {tuple(outputs.shape[2:])}.")
        distances = []
        for ours, theirs, head in zip(self._features(outputs), self._features(targets), self.heads, strict=True):
            distances.append((head * (ours - theirs) ** 2).sum(dim=1).mean(dim=(1, 2)))
        return torch.stack(distances).sum(dim=0)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Return the features after each convolution; the vector of every px is divided by its length."""
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        features = (2 * images - 1 - mean) / std
        found = []
        for layer, convolution in self.convolutions.items():
            if int(layer) in _POOLED:
                features = functional.max_pool2d(features, 3, 2)
            features = functional.relu(convolution(features))
            found.append(features / (features.norm(dim=1, keepdim=True) + _SMALLEST_NORM))
        return found


def load_lpips(folder: Path, known: Mapping[str, str] = KNOWN_SHA256) -> Lpips:
    """Read the weights from the folder that holds both files.

    Parameters
    ----------
    folder
        It holds `ALEXNET` and `HEADS`.
    known
        What the SHA-256 of each file must begin with.

    Raises
    ------
    DpedtoolError
        A file is missing, is not the known one, or is damaged.

    """
    for name, sha256 in known.items():
        _check(folder / name, sha256)
    lpips = Lpips()
    wanted = {f"features.{name}": values for name, values in lpips.convolutions.named_parameters()}
    _fill(folder / ALEXNET, wanted)
    _fill(folder / HEADS, {f"lin{number}.model.1.weight": values for number, values in enumerate(lpips.heads)})
    return lpips


def lpips_metric(folder: Path) -> Metric:
    """Return LPIPS as a metric among others; `load_lpips` says what the folder holds, and what it raises."""
    return Metric("lpips", load_lpips(folder), "lower", SMALLEST_PX)


def _check(path: Path, sha256: str) -> None:
    source = _SOURCES[path.name]
    if not path.is_file():
        raise DpedtoolError(f"LPIPS needs {path}, which is not there: get it from {source}.")
    if not (found := file_sha256(path, MOST_WEIGHTS_BYTES)).startswith(sha256):
        raise DpedtoolError(f"{path} has the SHA-256 {found}, which is not the known {sha256}: get it from {source}.")


def _fill(path: Path, wanted: Mapping[str, Tensor]) -> None:
    found = read_tensors(path, wanted.keys())
    for name, values in wanted.items():
        if found[name].shape != values.shape:
            raise DpedtoolError(
                f"{path} has {name} as {tuple(found[name].shape)}, not {tuple(values.shape)}: get it from "
                f"{_SOURCES[path.name]}."
            )
        values.copy_(found[name])
