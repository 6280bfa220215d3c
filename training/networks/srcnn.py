"""SRCNN, the net of Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", arXiv 1501.00092.

Its size is the one that DPED compares with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dpedtool.training.networks.layer_kinds import Convolution, Layer
from dpedtool.training.networks.network_description import NetworkDescription, Published


@dataclass(frozen=True)
class SRCNN(NetworkDescription):
    """Three convolutions: 9x9 to 64 maps, 5x5 to 32 maps, 5x5 to the colours, with ReLU between them and no norm."""

    published = Published("w", "SRCNN generator/w1, b1, ...")

    @property
    def name(self) -> str:
        """As `NetworkDescription.name`."""
        return "dped_srcnn"

    def layers(self) -> tuple[Layer, ...]:
        """As `NetworkDescription.layers`."""
        return (
            Convolution("conv1", 3, 64, 9),
            Convolution("conv2", 64, 32, 5),
            Convolution("conv3", 32, 3, 5, relu=False),
        )

    @property
    def onnx_megabytes(self) -> int:
        """As `NetworkDescription.onnx_megabytes`, and measured in the same way."""
        return 490

    @classmethod
    def of_published(cls, shapes: Mapping[str, tuple[int, ...]]) -> SRCNN | None:
        """As `NetworkDescription.of_published`."""
        return cls() if "w1" in shapes else None
