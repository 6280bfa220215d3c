"""The generators, which enhance a phone photo: DPED's residual network in its sizes, and SRCNN.

The residual network follows the released code of Ignatov et al., "DSLR-Quality Photos on Mobile Devices with Deep
Convolutional Networks", ICCV 2017, arXiv 1704.02470, or with batch norm the paper; SRCNN is the net of Dong et al.,
"Image Super-Resolution Using Deep Convolutional Networks", arXiv 1501.00092, as DPED compares with it.

Images are (N, 3, H, W), RGB, float, 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpedtool.dataset.params import Network, Norm

NORM_EPS = 1e-3
OUTPUT_SCALE, OUTPUT_CENTRE = 0.58, 0.5

# Bounds the memory that a file of weights may ask for.
LARGEST = 4096


@dataclass(frozen=True)
class Architecture:
    """All that a generator is but its weights."""

    network: Network = "resnet"
    channels: int = 64
    """resnet: feature maps of every hidden layer; 64 in DPED."""
    blocks: int = 4
    """resnet: residual blocks; 4 in DPED."""
    norm: Norm = "instance"
    """resnet: the blocks' normalisation; the released code has instance, the paper batch."""

    @property
    def name(self) -> str:
        """The field's name: convolutions and channels, as in dped_resnet_12_64; or dped_srcnn."""
        if self.network == "srcnn":
            return "dped_srcnn"
        batch_norm = "_batch_norm" if self.norm == "batch" else ""
        return f"dped_resnet_{2 * self.blocks + 4}_{self.channels}{batch_norm}"

    def build(self) -> Generator:
        """Return the generator, its weights not yet of any use."""
        return ResNet(self) if self.network == "resnet" else SRCNN(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor in the generator's state, for which no memory is taken."""
        with torch.device("meta"):
            return {name: tuple(values.shape) for name, values in self.build().state_dict().items()}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Architecture:
        """Return what `as_json` described.

        Raises
        ------
        ValueError
            The fields are others, or of another kind.

        """
        known = Architecture()
        if not isinstance(fields, Mapping) or set(fields) != set(known.as_json()):
            raise ValueError(f"a network has the fields {', '.join(known.as_json())}")
        sizes = fields["channels"], fields["blocks"]
        choices = (fields["network"], get_args(Network)), (fields["norm"], get_args(Norm))
        if not all(type(size) is int and 0 <= size <= LARGEST for size in sizes) or sizes[0] < 1:
            raise ValueError(f"channels and blocks are whole numbers up to {LARGEST}, not {sizes}")
        for choice, choices_known in choices:
            if choice not in choices_known:
                raise ValueError(f"{choice!r} is none of {', '.join(choices_known)}")
        return Architecture(**fields)

    def as_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


class Generator(nn.Module):
    """A network that enhances photos; a subclass makes feature maps, and the last three of them."""

    architecture: Architecture

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture

    def forward(self, phone: Tensor) -> Tensor:
        """Enhance a batch of phone images.

        Parameters
        ----------
        phone
            (N, 3, H, W), RGB, 0..1; any H and W.

        Returns
        -------
        Tensor
            (N, 3, H, W), RGB, within -0.08..1.08: nominally 0..1 but not clipped.

        """
        return self.squash(self.features(phone))

    @staticmethod
    def squash(features: Tensor) -> Tensor:
        """Return what the last convolution made as colours, of the same shape, within -0.08..1.08."""
        # Of bfloat16, which has three digits, the output would be in steps of a grey level.
        features = features.float() if features.dtype == torch.bfloat16 else features
        return torch.tanh(features) * OUTPUT_SCALE + OUTPUT_CENTRE

    def features(self, phone: Tensor) -> Tensor:
        """Return what the last convolution makes of a batch of phone images, (N, 3, H, W)."""
        raise NotImplementedError


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Return a normalisation of (N, channels, H, W) with a scale and a shift a channel."""
    kind = nn.InstanceNorm2d if norm == "instance" else nn.BatchNorm2d
    return kind(channels, eps=NORM_EPS, affine=True)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with a norm and ReLU; the skip is added after the second ReLU.

    Parameters
    ----------
    channels
        Feature maps in and out.
    norm
        The normalisation.

    """

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = normalisation(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = normalisation(norm, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (N, channels, H, W)."""
        inner = functional.relu(self.norm1(self.conv1(features)))
        return functional.relu(self.norm2(self.conv2(inner))) + features


class ResNet(Generator):
    """DPED's enhancement network: 9x9, the residual blocks, two 3x3, 9x9.

    Notes
    -----
    Instance norm takes its statistics over the whole image, so a photo run in separate tiles comes out with
    another brightness in every tile.

    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        channels, norm = architecture.channels, architecture.norm
        self.head = nn.Conv2d(3, channels, 9, padding=4)
        self.blocks = nn.ModuleList(ResidualBlock(channels, norm) for _ in range(architecture.blocks))
        self.body1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.body2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.tail = nn.Conv2d(channels, 3, 9, padding=4)

    def features(self, phone: Tensor) -> Tensor:
        """Return what the last convolution makes of a batch of phone images, (N, 3, H, W)."""
        features = functional.relu(self.head(phone))
        for block in self.blocks:
            features = block(features)
        features = functional.relu(self.body1(features))
        features = functional.relu(self.body2(features))
        last: Tensor = self.tail(features)
        return last


class SRCNN(Generator):
    """Three convolutions, 9x9 to 64 maps, 5x5 to 32, 5x5 to the colours, with ReLU between them and no norm."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.conv1 = nn.Conv2d(3, 64, 9, padding=4)
        self.conv2 = nn.Conv2d(64, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 3, 5, padding=2)

    def features(self, phone: Tensor) -> Tensor:
        """Return what the last convolution makes of a batch of phone images, (N, 3, H, W)."""
        inner = functional.relu(self.conv1(phone))
        last: Tensor = self.conv3(functional.relu(self.conv2(inner)))
        return last


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained values in a network."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
