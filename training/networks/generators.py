"""The generators, which enhance a phone photo: every known network, in every size.

Images are (N, 3, H, W), RGB, float, 0..1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from dpedtool.dataset.train_params import Norm
from dpedtool.training.networks import layer_kinds as kinds
from dpedtool.training.networks.layer_kinds import Layer
from dpedtool.training.networks.network_description import LARGEST, NetworkDescription
from dpedtool.training.networks.resnet import ResNet
from dpedtool.training.networks.srcnn import SRCNN

NETWORKS: Mapping[str, type[NetworkDescription]] = {"resnet": ResNet, "srcnn": SRCNN}
"""Every known network.

A new network needs a file with its description, a line here, and its name in `dpedtool.dataset.params.Network`;
`tests/unit/networks/test_every_network.py` then tests it.
"""


OUTPUT_SCALE, OUTPUT_CENTRE = 0.58, 0.5


@dataclass(frozen=True)
class Architecture:
    """Everything that defines a generator except its weights.

    Raises
    ------
    ValueError
        The network or the norm is unknown.

    """

    network: str = "resnet"
    channels: int = 64
    """resnet: feature maps of every hidden layer; 64 in DPED."""
    blocks: int = 4
    """resnet: residual blocks; 4 in DPED."""
    norm: Norm = "instance"
    """resnet: the blocks' normalisation; the released code has instance, the paper batch."""

    def __post_init__(self) -> None:
        for choice, known in ((self.network, tuple(NETWORKS)), (self.norm, get_args(Norm))):
            if choice not in known:
                raise ValueError(f"{choice!r} is not one of {', '.join(known)}")

    @property
    def name(self) -> str:
        """The name used in research: convolutions and channels, as in dped_resnet_12_64; or dped_srcnn."""
        return self.description.name

    @property
    def description(self) -> NetworkDescription:
        """The network's description in this size."""
        kind = NETWORKS[self.network]
        return kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers from the photo to the values that `Generator.squash` turns into colours."""
        return self.description.layers()

    def build(self) -> Generator:
        """Return the generator; its weights are not yet usable."""
        return Generator(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor in the generator's state, without allocating memory for it."""
        with torch.device("meta"):
            return {name: tuple(values.shape) for name, values in self.build().state_dict().items()}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Architecture:
        """Return what `as_json` described.

        Raises
        ------
        ValueError
            There are other fields, or values of another type.

        """
        known = Architecture()
        if not isinstance(fields, Mapping) or set(fields) != set(known.as_json()):
            raise ValueError(f"a network must have the fields {', '.join(known.as_json())}")
        sizes = fields["channels"], fields["blocks"]
        if not all(type(size) is int and 0 <= size <= LARGEST for size in sizes) or sizes[0] < 1:
            raise ValueError(f"channels and blocks must be whole numbers up to {LARGEST}, not {sizes}")
        return Architecture(**fields)

    def as_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    def settings(self) -> dict[str, Any]:
        """Return the fields that matter to the network, `network` first; the other fields have no effect."""
        return {"network": self.network, **asdict(self.description)}


class Generator(nn.Module):
    """A network that enhances photos: the layers of its architecture, and their weights."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.layers = architecture.layers
        kinds.add_modules(self, self.layers)

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
        """Return the output of the last convolution as colours, of the same shape, within -0.08..1.08."""
        # bfloat16 has three digits: the output would be in steps of a grey level.
        features = features.float() if features.dtype == torch.bfloat16 else features
        return torch.tanh(features) * OUTPUT_SCALE + OUTPUT_CENTRE

    def features(self, phone: Tensor) -> Tensor:
        """Return the output of the last convolution for a batch of phone images, (N, 3, H, W)."""
        return kinds.forward(self.layers, self, phone)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained values in a network."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
