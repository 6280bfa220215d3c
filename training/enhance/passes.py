"""A network as passes over the rows of a whole photo.

Instance norm needs the statistics of the whole photo before it can output a single row, so the rows wait in a feature
map. The layers between two such norms are one pass. A network without such norms needs a single pass and no map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dpedtool.training.enhance.feature_map import FeatureMap, Plus, Store
from dpedtool.training.networks.generators import LayeredGenerator
from dpedtool.training.networks.layer_kinds import Layer, Normalisation, ResidualBlock, held, placed
from dpedtool.training.networks.streams import Chain, Dtypes, EachRow, Statistics, Stream

LEAST_HELD = 4
"""Every pass is counted with at least this many stripes, since norms and statistics keep stripes as convolutions do."""


def map_channels(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return the channels of each feature map of the whole photo that a network needs at the same time.

    Returns
    -------
    tuple[int, ...]
        The channels of the rows that wait for a norm's statistics, then of the rows that residual blocks will add:
        the outermost block first, then the block within it, and so on. Empty if nothing waits.

    Raises
    ------
    ValueError
        The number of channels of a map would differ between passes.

    """
    waiting = {part.norm.channels for part in _parts(layers) if part.norm}
    skips: dict[int, set[int]] = {}
    for step in _steps(layers):
        if isinstance(step, _Keep):
            skips.setdefault(step.depth, set()).add(step.channels)
    maps = [waiting, *skips.values()] if waiting else []
    if uneven := [channels for channels in maps if len(channels) > 1]:
        raise ValueError(f"a feature map that waits for statistics cannot have {sorted(uneven[0])} channels in turn")
    return tuple(channels.pop() for channels in maps)


def count_held(layers: Sequence[Layer]) -> int:
    """Return how many stripes the layers of one pass keep at most, in addition to the current one.

    A stripe counts with the height and width of the photo's; stripes of lower resolution count less.
    """
    most = max(held([step for step in part.steps if isinstance(step, Layer)]) for part in _parts(layers))
    return max(LEAST_HELD, math.ceil(most))


def count_kept_rows(layers: Sequence[Layer]) -> int:
    """Return how many of the photo's rows the largest kernel keeps."""
    return int(max(2 * layer.reach * px for layer, px in placed(layers)))


def count_passes(layers: Sequence[Layer]) -> int:
    """Return how many passes over all rows a network needs."""
    return len(_parts(layers))


@dataclass(frozen=True)
class Pass:
    """One pass of all rows through some layers."""

    source: FeatureMap | None
    """Where the rows come from; None: the photo."""
    chain: Chain


def passes(model: LayeredGenerator, dtypes: Dtypes, maps: Sequence[FeatureMap]) -> Iterator[Pass]:
    """Yield the passes in order. Finish each pass before asking for the next one, which needs its statistics.

    Each pass but the last ends before a norm; the next pass reads its result and begins with that norm.

    Parameters
    ----------
    model
        A generator of any architecture.
    dtypes
        The types it is computed in.
    maps
        The feature maps, with the channels that `map_channels` returns.

    Yields
    ------
    Pass
        In order; the last one gives the rows of the enhanced photo, RGB, (h, W, 3) float32.

    """
    source: FeatureMap | None = None
    first: list[Stream] = []
    parts = _parts(model.layers)
    for part, following in zip(parts, [*parts[1:], _Part(None)], strict=True):
        streams = [*first, *_streams(part, following.norm, model, dtypes, maps)]
        if following.norm is None:
            yield Pass(source, Chain([*streams, EachRow(model.squash)]))
        else:
            statistics = Statistics()
            yield Pass(source, Chain([*streams, statistics, Store(maps[0])]))
            first = [following.norm.stream_with(model, *statistics.mean_and_variance())]
            source = maps[0]


@dataclass(frozen=True)
class _Keep:
    """The beginning of a residual block with norms that wait: the rows are also written to a feature map."""

    depth: int
    """How many such blocks enclose it."""
    channels: int


@dataclass(frozen=True)
class _Add:
    """The end of that block: the rows of the feature map are added."""

    depth: int


_Step = Layer | _Keep | _Add


@dataclass(frozen=True)
class _Part:
    """The layers of one pass."""

    norm: Normalisation | None
    """The norm that it begins with, whose statistics are known by then; None: it begins with the photo."""
    steps: list[_Step] = field(default_factory=list)


def _steps(layers: Sequence[Layer], depth: int = 0) -> Iterator[_Step]:
    """Yield the layers in the order of computation; the layers of a block that waits lie between `_Keep` and `_Add`."""
    for layer in layers:
        if isinstance(layer, ResidualBlock) and layer.waits:
            yield _Keep(depth, layer.channels_out)
            yield from _steps(layer.inner, depth + 1)
            yield _Add(depth)
        else:
            yield layer


def _parts(layers: Sequence[Layer]) -> list[_Part]:
    parts = [_Part(None)]
    for step in _steps(layers):
        if isinstance(step, Normalisation) and step.waits:
            parts.append(_Part(step))
        else:
            parts[-1].steps.append(step)
    return parts


def _streams(
    part: _Part, norm: Normalisation | None, model: LayeredGenerator, dtypes: Dtypes, maps: Sequence[FeatureMap]
) -> Iterator[Stream]:
    """Yield the streams of a part's steps, without its own first norm; `norm` is the one the next part begins with."""
    for step, behind in zip(part.steps, [*part.steps[1:], norm], strict=False):
        if isinstance(step, _Keep):
            yield Store(maps[1 + step.depth])
        elif isinstance(step, _Add):
            yield Plus(maps[1 + step.depth])
        else:
            yield step.stream(model, dtypes, behind if isinstance(behind, Layer) else None)
