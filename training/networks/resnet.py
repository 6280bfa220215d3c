"""DPED's residual network, in its sizes.

It follows the released code of Ignatov et al., "DSLR-Quality Photos on Mobile Devices with Deep Convolutional
Networks", ICCV 2017, arXiv 1704.02470. With batch norm it follows the paper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dpedtool.dataset.train_params import Norm
from dpedtool.training.networks.layer_kinds import Convolution, Layer, Normalisation, ResidualBlock
from dpedtool.training.networks.network_description import LARGEST, NetworkDescription, Published


@dataclass(frozen=True)
class ResNet(NetworkDescription):
    """A 9x9 convolution, the residual blocks, two 3x3 convolutions and a 9x9 convolution.

    Notes
    -----
    Instance norm takes its statistics over the whole image, so a photo run in separate tiles comes out with a
    different brightness in every tile.

    """

    channels: int
    blocks: int
    norm: Norm

    published = Published("W", "a DPED generator has generator/W1, b1, ... and generator/Variable, ...")

    @property
    def name(self) -> str:
        """Convolutions and channels, as in dped_resnet_12_64."""
        batch_norm = "_batch_norm" if self.norm == "batch" else ""
        return f"dped_resnet_{2 * self.blocks + 4}_{self.channels}{batch_norm}"

    def layers(self) -> tuple[Layer, ...]:
        """As `NetworkDescription.layers`."""
        channels = self.channels
        return (
            Convolution("head", 3, channels, 9),
            *(self._block(f"blocks.{number}") for number in range(self.blocks)),
            Convolution("body1", channels, channels, 3),
            Convolution("body2", channels, channels, 3),
            Convolution("tail", channels, 3, 9, relu=False),
        )

    def _block(self, name: str) -> ResidualBlock:
        """Return two 3x3 convolutions, each with a norm and ReLU; the skip is added after the second ReLU."""
        channels = self.channels
        return ResidualBlock(
            (
                Convolution(f"{name}.conv1", channels, channels, 3, relu=False),
                Normalisation(f"{name}.norm1", channels, self.norm),
                Convolution(f"{name}.conv2", channels, channels, 3, relu=False),
                Normalisation(f"{name}.norm2", channels, self.norm),
            )
        )

    @property
    def passes_colours(self) -> bool:
        """As `NetworkDescription.passes_colours`."""
        return self.channels >= 3

    @classmethod
    def of_published(cls, shapes: Mapping[str, tuple[int, ...]]) -> ResNet | None:
        """As `NetworkDescription.of_published`; the published ones have instance norm."""
        convolutions = sum(re.fullmatch(r"W\d+", name) is not None for name in shapes)
        first = shapes.get("W1", ())
        if len(first) != 4 or convolutions < 4 or convolutions % 2 or not 1 <= first[3] <= LARGEST:
            return None
        return cls(channels=first[3], blocks=(convolutions - 4) // 2, norm="instance")
