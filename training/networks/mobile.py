"""A U-Net of plain convolutions for phones: whole photos at a sensible cost, and operators that every runtime has.

The form is that of Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation",
arXiv 1505.04597, with sums in place of concatenations, at half of the photo's resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpedtool.training.networks.layer_kinds import (
    Convolution,
    DepthToSpace,
    Downsampling,
    Layer,
    Padded,
    ResidualBlock,
    SpaceToDepth,
    Upsampling,
)
from dpedtool.training.networks.network_description import NetworkDescription

MULTIPLE = 8
"""The px that one px of the coarsest layers stands for, along a side; other photos are padded to a multiple of it."""


@dataclass(frozen=True)
class Mobile(NetworkDescription):
    """3x3 convolutions with ReLU at 1/2, 1/4 and 1/8 of the photo's resolution; their output is added to the photo.

    Notes
    -----
    It has no norms, so nothing depends on the whole photo, and a phone may run it in tiles. The output is not squashed,
    so that 8-bit numbers represent it evenly; where the layers add nothing, the photo comes out exactly.

    """

    channels: int

    @property
    def name(self) -> str:
        """The channels of the finest level, as in dped_mobile_24."""
        return f"dped_mobile_{self.channels}"

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels at 1/2, 1/4 and 1/8 of the resolution; 24 gives 24, 40, 64.

        The second and third are 5/3 and 8/3 of the first, rounded up to a multiple of 8, which processors compute at
        once.
        """
        middle, coarse = (math.ceil(self.channels * thirds / 24) * 8 for thirds in (5, 8))
        return self.channels, middle, coarse

    def layers(self) -> tuple[Layer, ...]:
        """As `NetworkDescription.layers`."""
        fine, middle, coarse = self.widths
        coarsest = ResidualBlock(
            (
                Downsampling("down2", middle, coarse),
                Convolution("coarse1", coarse, coarse, 3),
                Convolution("coarse2", coarse, coarse, 3),
                Convolution("coarse3", coarse, middle, 3),
                Upsampling(middle),
            )
        )
        coarser = ResidualBlock(
            (
                Downsampling("down1", fine, middle),
                Convolution("middle1", middle, middle, 3),
                coarsest,
                Convolution("middle2", middle, middle, 3),
                Convolution("middle3", middle, fine, 3),
                Upsampling(fine),
            )
        )
        every = (
            SpaceToDepth(3),
            Convolution("head", 4 * 3, fine, 3),
            Convolution("fine1", fine, fine, 3),
            coarser,
            Convolution("fine2", fine, fine, 3),
            Convolution("fine3", fine, fine, 3),
            Convolution("fine4", fine, fine, 3),
            Convolution("tail", fine, 4 * 3, 3, relu=False),
            DepthToSpace(3),
        )
        return (ResidualBlock((Padded(MULTIPLE, every),)),)

    @property
    def adds_photo(self) -> bool:
        """As `NetworkDescription.adds_photo`."""
        return True

    @property
    def onnx_megabytes(self) -> int:
        """As `NetworkDescription.onnx_megabytes`, measured in the same way: 38 MB for 4, 115 for 24, 197 for 48."""
        return 24 + 4 * self.channels
