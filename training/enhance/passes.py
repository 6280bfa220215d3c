"""A network as passes over the rows of a whole photo.

Instance norm needs the statistics of the whole photo before it can give a single row, so the rows wait in a feature
map in between. Everything between two such norms is one pass; networks without them take one pass in all, and no map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dpedtool.training.enhance.feature_map import FeatureMap, Plus, Store
from dpedtool.training.networks.generators import Generator
from dpedtool.training.networks.layer_kinds import Layer, Normalisation, ResidualBlock, leaves
from dpedtool.training.networks.streams import Chain, Dtypes, EachRow, Statistics, Stream

LEAST_HELD = 4
"""Stripes that are counted of any pass, however few its convolutions are: norms and statistics keep some, too."""


def map_channels(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return the channels of each feature map of the whole photo that a network needs at a time.

    Returns
    -------
    tuple[int, ...]
        Of what waits for the statistics of a norm; then of what residuals will add: the outermost one's, that of one
        within it, and so on. Empty where nothing waits.

    Raises
    ------
    ValueError
        A map would have other channels in one pass than in another.

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
    """Return how many stripes the layers of one pass keep at most, beside the one that is under way."""
    held = (sum(step.held for step in part.steps if isinstance(step, Layer)) for part in _parts(layers))
    return max(LEAST_HELD, *held)


def count_kept_rows(layers: Sequence[Layer]) -> int:
    """Return how many rows the largest kernel keeps."""
    return max(2 * layer.reach for layer in leaves(layers))


def count_passes(layers: Sequence[Layer]) -> int:
    """Return how many times all rows are gone over."""
    return len(_parts(layers))


@dataclass(frozen=True)
class Pass:
    """One way of all rows through some layers."""

    source: FeatureMap | None
    """Where the rows come from; None: from the photo."""
    chain: Chain


def passes(model: Generator, dtypes: Dtypes, maps: Sequence[FeatureMap]) -> Iterator[Pass]:
    """Yield what is to be done; each pass must be over before the next is asked for, which needs its statistics.

    Each pass but the last ends before a norm; the next one reads what it left and begins with that norm.

    Parameters
    ----------
    model
        A generator of any architecture.
    dtypes
        How it is computed.
    maps
        As `map_channels` says.

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
    """The beginning of a residual with norms that wait: the rows go to a feature map as well."""

    depth: int
    """How many such residuals it is within."""
    channels: int


@dataclass(frozen=True)
class _Add:
    """The end of that residual: the rows of the feature map are added."""

    depth: int


_Step = Layer | _Keep | _Add


@dataclass(frozen=True)
class _Part:
    """What one pass computes."""

    norm: Normalisation | None
    """What it begins with, whose statistics are known by then; None: it begins with the photo."""
    steps: list[_Step] = field(default_factory=list)


def _steps(layers: Sequence[Layer], depth: int = 0) -> Iterator[_Step]:
    """Yield the layers in the order of their computation, those of a residual that waits between `_Keep` and `_Add`."""
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
    part: _Part, norm: Normalisation | None, model: Generator, dtypes: Dtypes, maps: Sequence[FeatureMap]
) -> Iterator[Stream]:
    """Yield the steps of a part, with the norm that the next one begins with. Its own first norm is left out."""
    for step, behind in zip(part.steps, [*part.steps[1:], norm], strict=False):
        if isinstance(step, _Keep):
            yield Store(maps[1 + step.depth])
        elif isinstance(step, _Add):
            yield Plus(maps[1 + step.depth])
        else:
            yield step.stream(model, dtypes, behind if isinstance(behind, Layer) else None)
