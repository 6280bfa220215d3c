"""The kinds of layers that networks are described with.

A network is a sequence of layers. Each kind defines in one place how it is computed, on whole images, on stripes of
rows and as ONNX, and its properties for plans and cards: how far it sees, what it holds back, whether it waits. A layer
has no weights itself; it has the names of the network's modules that hold them.

Features are (N, channels, H, W), float.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpedtool.dataset.train_params import Norm
from dpedtool.training.networks import streams
from dpedtool.training.networks.streams import Dtypes, Stream

NORM_EPS = 1e-3
LEAST_OPSET = 9
"""The version of ONNX's operators that all layers need, unless they need a newer one."""
NORMS: Mapping[Norm, type[nn.InstanceNorm2d | nn.BatchNorm2d]] = {
    "instance": nn.InstanceNorm2d,
    "batch": nn.BatchNorm2d,
}


class Graph(Protocol):
    """An ONNX graph under construction; its values have names."""

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return the name of its output."""

    def weights(self, module: str, *kinds: str) -> list[str]:
        """Add a module's tensors, such as weight and bias, to the graph and return their names."""


class Layer(ABC):
    """One step of a network, from features to features."""

    @property
    @abstractmethod
    def channels_out(self) -> int:
        """The number of channels of its output."""

    @property
    def reach(self) -> int:
        """The greatest distance, in px, of an input that an output depends on, apart from a norm's statistics."""
        return 0

    @property
    def scale(self) -> Fraction:
        """The px of its input that a px of its output stands for, along a side; 1/2 doubles height and width."""
        return Fraction(1)

    def seen(self, first: int, last: int) -> tuple[int, int]:
        """Return the first and last row of the input that the rows `first` to `last` of the output depend on.

        Columns follow the same rule. Statistics of a norm are left out, and rows beyond the image count.
        """
        return first - self.reach, last + self.reach

    @property
    def held(self) -> Fraction:
        """How many stripes its stream holds back, in addition to the current one, in stripes of its input's size."""
        return Fraction(0)

    @property
    def least_opset(self) -> int:
        """The oldest version of ONNX's operators that its nodes can have."""
        return LEAST_OPSET

    @property
    def waits(self) -> bool:
        """Whether it needs statistics of the whole photo before it can output a single row."""
        return False

    def leaves(self, px: Fraction = Fraction(1)) -> Iterator[tuple[Layer, Fraction]]:
        """Yield the layers within, or the layer itself if it contains no others, each with the px of its input.

        Parameters
        ----------
        px
            The px of the network's input that a px of this layer's input stands for, along a side.

        """
        yield self, px

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield new modules for its weights, each with its name; dots in names separate nested modules."""
        yield from ()

    @abstractmethod
    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """Compute the layer with a network's weights."""

    @abstractmethod
    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """Return the layer for stripes of rows, with a network's weights.

        Parameters
        ----------
        network
            The network, ready to evaluate.
        dtypes
            Types of the convolutions before norms, which remove the rounding again, and of the maps that wait.
        behind
            The layer that takes this one's output; None: no layer takes it.

        """

    @abstractmethod
    def nodes(self, graph: Graph, features: str) -> str:
        """Add the layer to an ONNX graph after a value, and return the name of its output."""


@dataclass(frozen=True)
class Convolution(Layer):
    """A convolution of stride 1 with a bias, optionally followed by ReLU; zeros around the image keep its size."""

    name: str
    inputs: int
    outputs: int
    side: int
    """Side of the kernel in px, an odd number."""
    relu: bool = True

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return self.outputs

    @property
    def reach(self) -> int:
        """As `Layer.reach`."""
        return self.side // 2

    @property
    def held(self) -> Fraction:
        """As `Layer.held`: new rows are joined with the rows that the kernel still sees."""
        return Fraction(1)

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """As `Layer.modules`."""
        yield self.name, nn.Conv2d(self.inputs, self.outputs, self.side, padding=self.reach)

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        convolved: Tensor = self.module(network)(features)
        return functional.relu(convolved) if self.relu else convolved

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`: centred if the norm after it allows that."""
        if self.relu or not isinstance(behind, Normalisation):
            return streams.convolution(self.module(network), torch.float32, relu=self.relu)
        is_rounded = dtypes.maps != torch.float32
        return streams.convolution(self.module(network), dtypes.convolutions, centred=behind.waits and is_rounded)

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`."""
        weights = graph.weights(self.name, "weight", "bias")
        convolved = graph.node("Conv", features, *weights, kernel_shape=[self.side, self.side], pads=[self.reach] * 4)
        return graph.node("Relu", convolved) if self.relu else convolved

    def module(self, network: nn.Module) -> nn.Conv2d:
        """Return the module of a network that has the weights."""
        return cast("nn.Conv2d", _submodule(network, self.name))


@dataclass(frozen=True)
class Normalisation(Layer):
    """A norm over one image or over the batch, with a scale and a shift per channel, optionally followed by ReLU."""

    name: str
    channels: int
    kind: Norm
    relu: bool = True

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return self.channels

    @property
    def waits(self) -> bool:
        """As `Layer.waits`: instance norm takes its statistics from the photo, batch norm from the training."""
        return self.kind == "instance"

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """As `Layer.modules`."""
        yield self.name, normalisation(self.kind, self.channels)

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        normed: Tensor = self.module(network)(features)
        return functional.relu(normed) if self.relu else normed

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`, with the statistics of the training."""
        del dtypes, behind
        return self.stream_with(network, *streams.trained_statistics(self.module(network)))

    def stream_with(self, network: nn.Module, mean: Tensor, variance: Tensor) -> Stream:
        """Return the layer for stripes, with the known mean and variance of every channel, (channels,) each."""
        return streams.Normalised(self.module(network), mean, variance, relu=self.relu)

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`."""
        trained = () if self.waits else ("running_mean", "running_var")
        kind = "InstanceNormalization" if self.waits else "BatchNormalization"
        weights = graph.weights(self.name, "weight", "bias", *trained)
        normed = graph.node(kind, features, *weights, epsilon=NORM_EPS)
        return graph.node("Relu", normed) if self.relu else normed

    def module(self, network: nn.Module) -> streams.NormLayer:
        """Return the module of a network that has the weights."""
        return cast("streams.NormLayer", _submodule(network, self.name))


@dataclass(frozen=True)
class ResidualBlock(Layer):
    """A sequence of layers whose input is added to their output."""

    inner: tuple[Layer, ...]
    """At least one layer; the output has as many channels as the input."""

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return self.inner[-1].channels_out

    @property
    def reach(self) -> int:
        """As `Layer.reach`."""
        return reach(self.inner)

    def seen(self, first: int, last: int) -> tuple[int, int]:
        """As `Layer.seen`."""
        within = seen(self.inner, first, last)
        return min(within[0], first), max(within[1], last)

    @property
    def held(self) -> Fraction:
        """As `Layer.held`: its input waits as well."""
        return 1 + held(self.inner)

    @property
    def least_opset(self) -> int:
        """As `Layer.least_opset`."""
        return least_opset(self.inner)

    @property
    def waits(self) -> bool:
        """As `Layer.waits`."""
        return any(layer.waits for layer in self.inner)

    def leaves(self, px: Fraction = Fraction(1)) -> Iterator[tuple[Layer, Fraction]]:
        """As `Layer.leaves`."""
        yield from placed(self.inner, px)

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """As `Layer.modules`."""
        for layer in self.inner:
            yield from layer.modules()

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        return forward(self.inner, network, features) + features

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`."""
        del behind
        return streams.ResidualStream(_chain(self.inner, network, dtypes))

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`."""
        return graph.node("Add", nodes(self.inner, graph, features), features)


@dataclass(frozen=True)
class Downsampling(Layer):
    """A convolution with a bias and ReLU that halves height and width, which must be even.

    Its kernels of 2x2 px lie side by side, so that no padding is needed.
    """

    name: str
    inputs: int
    outputs: int

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return self.outputs

    @property
    def scale(self) -> Fraction:
        """As `Layer.scale`."""
        return Fraction(2)

    def seen(self, first: int, last: int) -> tuple[int, int]:
        """As `Layer.seen`."""
        return _of_blocks(first, last)

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """As `Layer.modules`."""
        yield self.name, nn.Conv2d(self.inputs, self.outputs, 2, stride=2)

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        return functional.relu(_submodule(network, self.name)(features))

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`, always in float32."""
        del dtypes, behind
        return streams.Blocks(2, streams.strided(cast("nn.Conv2d", _submodule(network, self.name))))

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`."""
        weights = graph.weights(self.name, "weight", "bias")
        return graph.node("Relu", graph.node("Conv", features, *weights, kernel_shape=[2, 2], strides=[2, 2]))


@dataclass(frozen=True)
class Upsampling(Layer):
    """Doubles height and width: each px becomes 2x2 equal px."""

    channels: int

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return self.channels

    @property
    def scale(self) -> Fraction:
        """As `Layer.scale`."""
        return Fraction(1, 2)

    def seen(self, first: int, last: int) -> tuple[int, int]:
        """As `Layer.seen`."""
        return first // 2, last // 2

    @property
    def least_opset(self) -> int:
        """As `Layer.least_opset`: from version 13 on the region of Resize, which is not used, may be left out."""
        return 13

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        del network
        return functional.interpolate(features, scale_factor=2.0, mode="nearest")

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`."""
        del network, dtypes, behind
        return streams.EachRow(streams.doubled)

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`, with the rule for coordinates that all runtimes have."""
        scales = graph.node("Constant", value_floats=[1.0, 1.0, 2.0, 2.0])
        rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return graph.node("Resize", features, "", scales, **rule)


@dataclass(frozen=True)
class SpaceToDepth(Layer):
    """Moves each block of 2x2 px into the channels of one px; height and width must be even.

    The channels are those of the block's upper left px, then of its upper right, lower left and lower right px, as in
    ONNX and TensorFlow; `torch.nn.PixelUnshuffle` has another order.
    """

    inputs: int

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return 4 * self.inputs

    @property
    def scale(self) -> Fraction:
        """As `Layer.scale`."""
        return Fraction(2)

    def seen(self, first: int, last: int) -> tuple[int, int]:
        """As `Layer.seen`."""
        return _of_blocks(first, last)

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        del network
        count, channels, height, width = features.shape
        blocks = features.reshape(count, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(count, 4 * channels, height // 2, width // 2)

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`."""
        del network, dtypes, behind
        return streams.Blocks(2, streams.space_to_depth)

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`."""
        return graph.node("SpaceToDepth", features, blocksize=2)


@dataclass(frozen=True)
class DepthToSpace(Layer):
    """Undoes `SpaceToDepth`: the channels of a px become the channels of 2x2 px."""

    outputs: int

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return self.outputs

    @property
    def scale(self) -> Fraction:
        """As `Layer.scale`."""
        return Fraction(1, 2)

    def seen(self, first: int, last: int) -> tuple[int, int]:
        """As `Layer.seen`."""
        return first // 2, last // 2

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        del network
        count, channels, height, width = features.shape
        blocks = features.reshape(count, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(count, channels // 4, 2 * height, 2 * width)

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`."""
        del network, dtypes, behind
        return streams.EachRow(streams.depth_to_space)

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`."""
        return graph.node("DepthToSpace", features, blocksize=2)


@dataclass(frozen=True)
class Padded(Layer):
    """Layers that need a height and width of a multiple of some px, and get it for images of any size.

    The last column and row are repeated as often as needed, to the right and below, and what the layers make of these
    px is cut off. Layers that change height and width must be inside.

    Raises
    ------
    ValueError
        The layers within wait for statistics, in which the repeated px would count; or their output has another height
        and width than their input.

    """

    multiple: int
    """In px."""
    inner: tuple[Layer, ...]
    """At least one layer."""

    def __post_init__(self) -> None:
        if any(layer.waits for layer in self.inner):
            raise ValueError("layers that need statistics of the photo cannot work on a padded photo")
        if (scale := _scale(self.inner)) != 1:
            raise ValueError(f"the layers within must keep the height and width, not divide them by {scale}")

    @property
    def channels_out(self) -> int:
        """As `Layer.channels_out`."""
        return self.inner[-1].channels_out

    @property
    def reach(self) -> int:
        """As `Layer.reach`."""
        return reach(self.inner)

    def seen(self, first: int, last: int) -> tuple[int, int]:
        """As `Layer.seen`."""
        return seen(self.inner, first, last)

    @property
    def held(self) -> Fraction:
        """As `Layer.held`."""
        return held(self.inner)

    @property
    def least_opset(self) -> int:
        """As `Layer.least_opset`: version 12 can write numbers without a tensor."""
        return max(12, least_opset(self.inner))

    def leaves(self, px: Fraction = Fraction(1)) -> Iterator[tuple[Layer, Fraction]]:
        """As `Layer.leaves`."""
        yield from placed(self.inner, px)

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """As `Layer.modules`."""
        for layer in self.inner:
            yield from layer.modules()

    def forward(self, network: nn.Module, features: Tensor) -> Tensor:
        """As `Layer.forward`."""
        height, width = features.shape[2:]
        more = (0, -width % self.multiple, 0, -height % self.multiple)
        return forward(self.inner, network, functional.pad(features, more, mode="replicate"))[..., :height, :width]

    def stream(self, network: nn.Module, dtypes: Dtypes, behind: Layer | None) -> Stream:
        """As `Layer.stream`."""
        del behind
        return streams.PaddedStream(self.multiple, _chain(self.inner, network, dtypes))

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`: the graph computes the number of px that are missing for any height and width."""

        def whole(*values: int) -> str:
            return graph.node("Constant", value_ints=list(values))

        size = graph.node("Slice", graph.node("Shape", features), whole(2), whole(4))
        multiple = whole(self.multiple)
        # Division of whole numbers rounds down.
        blocks = graph.node("Div", graph.node("Add", size, whole(self.multiple - 1)), multiple)
        missing = graph.node("Sub", graph.node("Mul", blocks, multiple), size)
        more = graph.node("Concat", whole(0, 0, 0, 0, 0, 0), missing, axis=0)
        made = nodes(self.inner, graph, graph.node("Pad", features, more, mode="edge"))
        return graph.node("Slice", made, whole(0, 0), size, whole(2, 3))


def forward(layers: Sequence[Layer], network: nn.Module, features: Tensor) -> Tensor:
    """Compute layers one after the other with a network's weights."""
    for layer in layers:
        features = layer.forward(network, features)
    return features


def nodes(layers: Sequence[Layer], graph: Graph, features: str) -> str:
    """Add layers one after the other to an ONNX graph, and return the name of their output."""
    for layer in layers:
        features = layer.nodes(graph, features)
    return features


def placed(layers: Sequence[Layer], px: Fraction = Fraction(1)) -> Iterator[tuple[Layer, Fraction]]:
    """Yield all layers that contain no others, in the order of computation, each with the px of its input.

    Parameters
    ----------
    layers
        The layers.
    px
        The px of the network's input that a px of the layers' input stands for, along a side.

    """
    for layer in layers:
        yield from layer.leaves(px)
        px *= layer.scale


def leaves(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield all layers that contain no others, in the order of computation."""
    return (layer for layer, _ in placed(layers))


def seen(layers: Sequence[Layer], first: int, last: int) -> tuple[int, int]:
    """Return the `Layer.seen` of all layers together."""
    for layer in reversed(layers):
        first, last = layer.seen(first, last)
    return first, last


def reach(layers: Sequence[Layer]) -> int:
    """Return the `Layer.reach` of all layers together; their output has the height and width of their input."""
    ranges = ((row, seen(layers, row, row)) for row in range(grid(layers)))
    return max(max(row - first, last - row) for row, (first, last) in ranges)


def grid(layers: Sequence[Layer]) -> int:
    """Return the most px of the input that one px of any layer stands for, along a side.

    An image that is moved by a multiple of it gives the same output, moved, apart from the borders.
    """
    return int(max(max(px, px * layer.scale) for layer, px in placed(layers)))


def grain(layers: Sequence[Layer]) -> int:
    """Return the least px of the input that one px of a convolution's output stands for, along a side; 1 without any.

    Most of the work is done, and most of the memory is taken, at this resolution.
    """
    convolved = (px * layer.scale for layer, px in placed(layers) if isinstance(layer, Convolution))
    return int(min(convolved, default=Fraction(1)))


def held(layers: Sequence[Layer]) -> Fraction:
    """Return the `Layer.held` of all layers together, in stripes of their input's size."""
    total, px = Fraction(0), Fraction(1)
    for layer in layers:
        total += layer.held / px**2
        px *= layer.scale
    return total


def least_opset(layers: Sequence[Layer]) -> int:
    """Return the `Layer.least_opset` of all layers together."""
    return max(layer.least_opset for layer in layers)


def widest(layers: Sequence[Layer]) -> int:
    """Return the greatest number of output channels of any layer."""
    return max(layer.channels_out for layer in leaves(layers))


def add_modules(network: nn.Module, layers: Sequence[Layer]) -> None:
    """Give a network new modules for the weights of layers, in their order."""
    for layer in layers:
        for name, module in layer.modules():
            scope, _, last = name.rpartition(".")
            _scope(network, scope).add_module(last, module)


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Return a normalisation of (N, channels, H, W) with a scale and a shift per channel."""
    return NORMS[norm](channels, eps=NORM_EPS, affine=True)


def _chain(layers: Sequence[Layer], network: nn.Module, dtypes: Dtypes) -> streams.Chain:
    """Return the streams of layers that follow each other."""
    pairs = zip(layers, (*layers[1:], None), strict=True)
    return streams.Chain([layer.stream(network, dtypes, behind) for layer, behind in pairs])


def _scale(layers: Sequence[Layer]) -> Fraction:
    """Return the `Layer.scale` of all layers together."""
    return math.prod((layer.scale for layer in layers), start=Fraction(1))


def _of_blocks(first: int, last: int) -> tuple[int, int]:
    """Return the first and last row of the blocks of two rows from `first` to `last`."""
    return 2 * first, 2 * last + 1


def _submodule(network: nn.Module, name: str) -> nn.Module:
    """Return the module with a dotted name.

    `get_submodule` takes sixteen times as long: 250 instead of 16 microseconds were measured for the 20 modules of
    DPED's network, and each training step would wait for that.
    """
    for part in name.split("."):
        network = cast("nn.Module", network._modules[part])
    return network


def _scope(network: nn.Module, name: str) -> nn.Module:
    """Return the module with a dotted name within a network; create it if it is missing."""
    for part in name.split(".") if name else ():
        if part not in dict(network.named_children()):
            network.add_module(part, nn.Module())
        network = network.get_submodule(part)
    return network
