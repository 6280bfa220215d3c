"""A network as passes over the rows of a whole photo.

Instance norm needs the statistics of the whole photo before it can give a single row, so the rows wait in a feature
map in between. Everything between two such norms is one pass; networks without them take one pass in all, and no map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from dpedtool.training.enhance.feature_map import FeatureMap
from dpedtool.training.enhance.streams import (
    Chain,
    EachRow,
    Norm,
    Normalised,
    Plus,
    Residual,
    Statistics,
    Store,
    Stream,
    convolution,
    trained_statistics,
)
from dpedtool.training.networks.generators import SRCNN, Architecture, Generator, ResidualBlock, ResNet


@dataclass(frozen=True)
class Dtypes:
    """Of what things are."""

    maps: torch.dtype
    """Of the feature maps that wait for statistics."""
    convolutions: torch.dtype
    """Of the convolutions of the blocks.

    Norms, sums and the other convolutions are always computed in float32: their rounding would not be taken off again
    by a norm. On photos bfloat16 everywhere was twice as far from float32, and a quarter faster."""


@dataclass(frozen=True)
class Maps:
    """The feature maps that wait for statistics."""

    skip: FeatureMap
    """What a block adds to its result."""
    inner: FeatureMap
    """What its convolutions make."""


def count_maps(architecture: Architecture) -> int:
    """Return how many feature maps of the whole photo a network needs at a time."""
    waits = architecture.network == "resnet" and architecture.norm == "instance" and architecture.blocks > 0
    return 2 if waits else 0


def count_held(architecture: Architecture) -> int:
    """Return how many stripes the layers of one pass keep at most, beside the one that is under way."""
    if architecture.network == "srcnn" or count_maps(architecture) or not architecture.blocks:
        return 4
    # Each convolution joins its rows; each block has rows of its own that wait.
    return 4 + 3 * architecture.blocks


def count_passes(architecture: Architecture) -> int:
    """Return how many times all rows are gone over."""
    return 1 + 2 * architecture.blocks if count_maps(architecture) else 1


@dataclass(frozen=True)
class Pass:
    """One way of all rows through some layers."""

    source: FeatureMap | None
    """Where the rows come from; None: from the photo."""
    chain: Chain


def passes(model: Generator, dtypes: Dtypes, maps: Maps | None) -> Iterator[Pass]:
    """Yield what is to be done; each pass must be over before the next is asked for, which needs its statistics.

    Parameters
    ----------
    model
        A generator of any architecture.
    dtypes
        How it is computed.
    maps
        As many as `count_maps` says, or None where that is 0.

    Yields
    ------
    Pass
        In order; the last one gives the rows of the enhanced photo, RGB, (h, W, 3) float32.

    """
    if isinstance(model, ResNet) and maps:
        yield from _by_statistics(model, dtypes, maps)
    elif isinstance(model, ResNet):
        blocks = [Residual(Chain(list(_block(block, dtypes)))) for block in _blocks(model)]
        yield Pass(None, Chain([convolution(model.head, torch.float32, relu=True), *blocks, *_tail(model)]))
    elif isinstance(model, SRCNN):
        hidden = [convolution(layer, torch.float32, relu=True) for layer in (model.conv1, model.conv2)]
        yield Pass(None, Chain([*hidden, *_to_colours(model, model.conv3)]))
    else:
        raise TypeError(f"{type(model).__name__} is not known here")


def _by_statistics(model: ResNet, dtypes: Dtypes, maps: Maps) -> Iterator[Pass]:
    """Each pass but the last ends before a norm; the next one reads what it left and begins with that norm."""
    source: FeatureMap | None = None
    streams = [convolution(model.head, torch.float32, relu=True)]
    for block in _blocks(model):
        streams.append(Store(maps.skip))
        for layer, norm in _layers(block):
            statistics = Statistics()
            convolved = convolution(layer, dtypes.convolutions, centred=True)
            yield Pass(source, Chain([*streams, convolved, statistics, Store(maps.inner)]))
            source = maps.inner
            streams = [Normalised(norm, *statistics.mean_and_variance())]
        streams.append(Plus(maps.skip))
    yield Pass(source, Chain([*streams, *_tail(model)]))


def _block(block: ResidualBlock, dtypes: Dtypes) -> Iterator[Stream]:
    """A block whose norms have their statistics from the training."""
    for layer, norm in _layers(block):
        yield convolution(layer, dtypes.convolutions)
        yield Normalised(norm, *trained_statistics(norm))


def _blocks(model: ResNet) -> list[ResidualBlock]:
    return cast("list[ResidualBlock]", list(model.blocks))


def _layers(block: ResidualBlock) -> Iterator[tuple[nn.Conv2d, Norm]]:
    yield block.conv1, cast("Norm", block.norm1)
    yield block.conv2, cast("Norm", block.norm2)


def _tail(model: ResNet) -> list[Stream]:
    body = [convolution(layer, torch.float32, relu=True) for layer in (model.body1, model.body2)]
    return [*body, *_to_colours(model, model.tail)]


def _to_colours(model: Generator, layer: nn.Conv2d) -> list[Stream]:
    return [convolution(layer, torch.float32), EachRow(model.squash)]
