"""The kinds of layers that networks are described with.

A network is a sequence of layers. Each kind defines in one place how it is computed, on whole images, on stripes of
rows and as ONNX, and its properties for plans and cards: how far it sees, what it holds back, whether it waits. A layer
has no weights itself; it has the names of the network's modules that hold them.

Features are (N, channels, H, W), float.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpedtool.dataset.train_params import Norm
from dpedtool.training.networks import streams
from dpedtool.training.networks.streams import Dtypes, Stream

NORM_EPS = 1e-3
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
    def held(self) -> int:
        """How many stripes its stream holds back, in addition to the current one."""
        return 0

    @property
    def waits(self) -> bool:
        """Whether it needs statistics of the whole photo before it can output a single row."""
        return False

    def leaves(self) -> Iterator[Layer]:
        """Yield the layers within, or the layer itself if it contains no others."""
        yield self

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
    def held(self) -> int:
        """As `Layer.held`: new rows are joined with the rows that the kernel still sees."""
        return 1

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

    @property
    def held(self) -> int:
        """As `Layer.held`: its input waits as well."""
        return 1 + sum(layer.held for layer in self.inner)

    @property
    def waits(self) -> bool:
        """As `Layer.waits`."""
        return any(layer.waits for layer in self.inner)

    def leaves(self) -> Iterator[Layer]:
        """As `Layer.leaves`."""
        yield from leaves(self.inner)

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
        pairs = zip(self.inner, (*self.inner[1:], None), strict=True)
        return streams.ResidualStream(streams.Chain([layer.stream(network, dtypes, after) for layer, after in pairs]))

    def nodes(self, graph: Graph, features: str) -> str:
        """As `Layer.nodes`."""
        return graph.node("Add", nodes(self.inner, graph, features), features)


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


def leaves(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield all layers that contain no others, in the order of computation."""
    for layer in layers:
        yield from layer.leaves()


def reach(layers: Sequence[Layer]) -> int:
    """Return the `Layer.reach` of all layers together."""
    return sum(layer.reach for layer in layers)


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
