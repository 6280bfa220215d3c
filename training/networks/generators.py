"""The generators, which enhance a phone photo: every known network, in every size, and networks of the user's own.

Images are (N, 3, H, W), RGB, float, 0..1.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import torch
from torch import Tensor, nn

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.plugins import PluginName
from dpedtool.dataset.train_params import SMALLEST_CROP_PX, Norm
from dpedtool.training.networks import layer_kinds as kinds
from dpedtool.training.networks.layer_kinds import Layer
from dpedtool.training.networks.mobile import Mobile
from dpedtool.training.networks.network_description import LARGEST, NetworkDescription
from dpedtool.training.networks.own_network import OwnNetwork, reflected, scale_of
from dpedtool.training.networks.resnet import ResNet
from dpedtool.training.networks.srcnn import SRCNN

NETWORKS: Mapping[str, type[NetworkDescription]] = {"resnet": ResNet, "srcnn": SRCNN, "mobile": Mobile}
"""Every known network.

A new network needs a file with its description, a line here, and its name in `dpedtool.dataset.params.Network`;
`tests/unit/networks/test_every_network.py` then tests it.
"""


OUTPUT_SCALE, OUTPUT_CENTRE = 0.58, 0.5
_OF_OWN = ("network", "args")
"""What a file says about a network of the user's own."""


@dataclass(frozen=True)
class Architecture:
    """Everything that defines a generator except its weights.

    Raises
    ------
    ValueError
        The network or the norm is unknown.

    """

    network: str = "resnet"
    """One of `NETWORKS`, or a network of the user's own: `package.module:Class`, as it stands in the parameters."""
    channels: int = 64
    """resnet: feature maps of every hidden layer; 64 in DPED. mobile: feature maps at half resolution; usually 24."""
    blocks: int = 4
    """resnet: residual blocks; 4 in DPED."""
    norm: Norm = "instance"
    """resnet: the blocks' normalisation; the released code has instance, the paper batch."""

    args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """A network of the user's own: what its class is given."""

    def __post_init__(self) -> None:
        networks = (self.network,) if self.is_own else tuple(NETWORKS)
        for choice, known in ((self.network, networks), (self.norm, get_args(Norm))):
            if choice not in known:
                raise ValueError(f"{choice!r} is not one of {', '.join(known)}")

    @property
    def is_own(self) -> bool:
        """Whether it is a network of the user's own."""
        return isinstance(self.network, str) and ":" in self.network

    @property
    def name(self) -> str:
        """The name, as in research: dped_resnet_12_64, from convolutions and channels; dped_srcnn; or a class."""
        return self.description.name

    @property
    def description(self) -> NetworkDescription:
        """The network's description in this size."""
        if self.is_own:
            return OwnNetwork(self.network, self.args)
        kind = NETWORKS[self.network]
        return kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers from the photo to the values that `LayeredGenerator.squash` turns into colours, where known."""
        return self.description.layers()

    @property
    def scale(self) -> int:
        """Px of the output for each px of the phone's image, along a side; it is measured for a class of the user's."""
        return self.description.measured().scale if isinstance(self.description, OwnNetwork) else 1

    def build(self, seed: int = 0) -> Generator:
        """Return the generator; its weights are not yet usable, but those that a class of the user's own has drawn.

        Raises
        ------
        DpedtoolError
            A class of the user's own cannot be imported, or its network cannot be used.

        """
        return OwnGenerator(self, seed) if self.is_own else LayeredGenerator(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor in the generator's state, without allocating memory for it.

        A network of the user's own takes its memory, since its class may need values.
        """
        with contextlib.nullcontext() if self.is_own else torch.device("meta"):
            return {name: tuple(values.shape) for name, values in self.build().state_dict().items()}

    @staticmethod
    def from_json(fields: Mapping[str, Any], own: str | None = None) -> Architecture:
        """Return what `as_json` described.

        Parameters
        ----------
        fields
            What a file says.
        own
            The network of the user's own that the user has named, with the folder of its module; None: none. No file
            leads to another class than this one.

        Raises
        ------
        ValueError
            There are other fields, or values of another type, or a class that the user has not named.

        """
        known = Architecture()
        if isinstance(fields, Mapping) and set(fields) == set(_OF_OWN):
            if own is None or fields["network"] != str(PluginName.parse(own)) or not isinstance(fields["args"], dict):
                raise ValueError("its class is not named by the user")
            return Architecture(own, args=fields["args"])
        if not isinstance(fields, Mapping) or set(fields) != set(known.as_json()):
            raise ValueError(f"a network must have the fields {', '.join(known.as_json())}")
        sizes = fields["channels"], fields["blocks"]
        if not all(type(size) is int and 0 <= size <= LARGEST for size in sizes) or sizes[0] < 1:
            raise ValueError(f"channels and blocks must be whole numbers up to {LARGEST}, not {sizes}")
        if fields["network"] not in tuple(NETWORKS):
            # A class of somebody's own, too.
            raise ValueError(f"{fields['network']!r} is not one of {', '.join(NETWORKS)}")
        return Architecture(**fields)

    def as_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON; those of a network of the user's own name no folder of this machine."""
        if self.is_own:
            return self.settings()
        return {name: value for name, value in asdict(self).items() if name != "args"}

    def settings(self) -> dict[str, Any]:
        """Return the fields that matter to the network, `network` first; the other fields have no effect."""
        if self.is_own:
            return dict(zip(_OF_OWN, (self.name, dict(self.args)), strict=True))
        return {"network": self.network, **asdict(self.description)}


class Generator(nn.Module):
    """A network that enhances photos, of any architecture.

    It takes a batch of phone images (N, 3, H, W), RGB, 0..1, of any H and W, and returns as many of the same size, or
    `scale` times as large, RGB, nominally 0..1 but not clipped.
    """

    scale: int = 1
    """Px of the output for each px of the phone's image, along a side."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture


class LayeredGenerator(Generator):
    """The layers of a known architecture, and their weights."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.description = architecture.description
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
            (N, 3, H, W), RGB, nominally 0..1 but not clipped; within -0.08..1.08 unless the network adds the photo.

        """
        return self.squash(self.features(phone))

    def squash(self, features: Tensor) -> Tensor:
        """Return the output of the last layer as colours, of the same shape; a sum with the photo stays as it is."""
        if self.description.adds_photo:
            return features
        # bfloat16 has three digits: the output would be in steps of a grey level.
        features = features.float() if features.dtype == torch.bfloat16 else features
        return torch.tanh(features) * OUTPUT_SCALE + OUTPUT_CENTRE

    def features(self, phone: Tensor) -> Tensor:
        """Return the output of the last layer for a batch of phone images, (N, 3, H, W)."""
        return kinds.forward(self.layers, self, phone)


class OwnGenerator(Generator):
    """A network of the user's own, with images continued by their reflection to the size that it needs.

    Its first weights are those that its class draws from torch's random numbers, which depend on `seed` alone.
    """

    def __init__(self, architecture: Architecture, seed: int = 0) -> None:
        super().__init__(architecture)
        self.description = OwnNetwork(architecture.network, architecture.args)
        measured = self.description.measured()
        self.multiple, self.scale = measured.multiple, measured.scale
        self.network = self.description.make(seed)

    def forward(self, phone: Tensor) -> Tensor:
        """As `Generator`; the user's code decides on the range of the output.

        Raises
        ------
        DpedtoolError
            The user's code raised an error or returned anything but such images; or, outside of training, its output is
            not finite.

        """
        height, width = phone.shape[2:]
        seen = reflected(phone, height + -height % self.multiple, width + -width % self.multiple)
        made, scale = self.description.run(self.network, seen), self.scale
        if scale_of(made, seen) != scale:
            raise DpedtoolError(
                f"The network {self.description.name} enlarges images {scale_of(made, seen)} times and others {scale} "
                "times: it must enlarge all of them alike."
            )
        enhanced = made[..., : scale * height, : scale * width].float()
        # In training, the losses are watched, and the message names the patches.
        if not self.training and not bool(enhanced.isfinite().all()):
            raise DpedtoolError(
                f"The network {self.description.name} returned NaN or infinite values: choose weights from before the "
                "training diverged, or check its code."
            )
        return enhanced

    def leaves_unused(self) -> bool:
        """Return whether some of the trained weights have no effect on the output."""
        network = copy.deepcopy(self).cpu().train()
        with torch.random.fork_rng(devices=[]):
            network(torch.rand(2, 3, SMALLEST_CROP_PX, SMALLEST_CROP_PX)).sum().backward()
        return any(weights.requires_grad and weights.grad is None for weights in network.parameters())

    def __deepcopy__(self, memo: dict[int, Any]) -> OwnGenerator:
        """Make the class again and copy the weights, since not every module can be copied."""
        copied = OwnGenerator(self.architecture)
        copied.load_state_dict(self.state_dict())
        memo[id(self)] = copied
        return copied.to(next(self.parameters()).device).train(self.training)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained values in a network."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
