"""The description of a kind of network; all computations, plans and texts about a network follow from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from dpedtool.training.networks.layer_kinds import Layer, widest

LARGEST = 4096
"""Upper limit for the sizes of networks in files; it bounds the memory that a file may ask for."""


@dataclass(frozen=True)
class Published:
    """How the checkpoints that DPED's authors published name the variables of a network.

    In the order of the layers, kernels are named W1, W2, ..., their biases b1, b2, ..., and the shifts and scales of
    norms Variable, Variable_1, ...
    """

    kernel: str
    """The letter before the number of a kernel."""
    names: str
    """The names, in words, for an error message."""


@dataclass(frozen=True)
class NetworkDescription(ABC):
    """A kind of network; its fields are those of `Architecture` that matter to it."""

    published: ClassVar[Published | None] = None
    """How published weights are named; None: no weights were published."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name used in research for the network in this size."""

    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """Return the layers from (N, 3, H, W), RGB, 0..1, to the 3 channels before `LayeredGenerator.squash`."""

    @property
    def adds_photo(self) -> bool:
        """Whether the layers end in a sum with the photo, RGB, nominally 0..1; otherwise a tanh makes it colours.

        The last convolution then starts at 0 if `initialise` is to pass the photo through.
        """
        return False

    @property
    def passes_colours(self) -> bool:
        """Whether `initialise` can let three channels carry red, green and blue from end to end.

        All layers but the last must be convolutions to 3 channels or more with ReLU, or residuals that end in a norm.
        """
        return False

    @property
    def onnx_megabytes(self) -> int:
        """The memory that onnxruntime takes for a megapixel, in MB.

        It was measured with onnxruntime 1.32 at 0.5 to 3 megapixels: three float32 maps of all channels, 766 MB for 64
        channels, 584 for 48, 383 for 32, 192 for 16; 112 for 4.
        """
        return max(3 * 4 * widest(self.layers()), 112)

    @classmethod
    def of_published(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self | None:
        """Return the network that published variables with these names and shapes may belong to, or None.

        Only the number of its layers and channels is checked.
        """
        del shapes
        return None
