"""Layers that process a photo in stripes of rows: each takes the next rows and outputs the rows it can compute.

A stripe is a tensor (rows, width, channels) with the next rows from top to bottom. A convolution outputs fewer rows at
first and the rest at the end, since it waits for the rows below; it keeps the rows above that it still needs. So
stripes of any height give the same result as the whole photo, without seams. Nothing is computed twice, except the
first stripe if a convolution in bfloat16 is centred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

NormLayer = nn.InstanceNorm2d | nn.BatchNorm2d

FEW_CHANNELS = 8
"""Up to this many outputs a convolution is faster along the rows, with sums down the columns; see `ToFewChannels`.

Processors multiply 16 outputs at once. A 9x9 convolution from 64 channels to 3 was measured at a quarter of the time.
"""


@dataclass(frozen=True)
class Dtypes:
    """The types that layers are computed in and stored as."""

    maps: torch.dtype
    """Type of the feature maps that wait for statistics."""
    convolutions: torch.dtype
    """Type of the convolutions before norms.

    Norms, sums and the other convolutions are always computed in float32: no norm would remove their rounding again.
    On photos, bfloat16 everywhere was twice as far from float32, and a quarter faster."""


class Stream(Protocol):
    """A layer that is given a photo stripe by stripe."""

    def push(self, rows: Tensor) -> Tensor:
        """Take the next rows, (h, W, C), h at least 1; return the rows that are ready, (h', W, C'), h' may be 0."""

    def finish(self) -> Tensor | None:
        """Return the rows that were held back, after the last `push`; None if there are none."""


class Chain:
    """Streams that run one after the other."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams

    def push(self, rows: Tensor) -> Tensor:
        """As `Stream.push`."""
        for stream in self._streams:
            if not len(rows):
                break
            rows = stream.push(rows)
        return rows

    def finish(self) -> Tensor | None:
        """As `Stream.finish`."""
        rest: Tensor | None = None
        for stream in self._streams:
            given = [None if rest is None else stream.push(rest), stream.finish()]
            there = [rows for rows in given if rows is not None and len(rows)]
            rest = torch.cat(there) if there else None
        return rest


class EachRow:
    """A function of each stripe alone, as a stream."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.push = function

    def finish(self) -> None:
        """Nothing is held back."""


class _Buffer:
    """Memory that is reused for each stripe: fresh pages, which the system clears, cost more than the work on them.

    Measured in float32, joining a stripe of 8 MB took 150 ns a px in fresh memory and a fifth of that in reused memory.
    """

    def __init__(self) -> None:
        self._values: Tensor | None = None

    def like(self, rows: Tensor, count: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return `count` rows with the width, channels and device of `rows`; their content is undefined."""
        if self._values is None or len(self._values) < count:
            self._values = rows.new_empty((count, *rows.shape[1:]), dtype=dtype)
        return self._values[:count]


class _Window:
    """The rows that a kernel sees: the photo's rows, with zeros above and below as far as the kernel reaches."""

    def __init__(self, reach: int, dtype: torch.dtype) -> None:
        self._reach, self._dtype = reach, dtype
        self._kept: Tensor | None = None
        self._buffer = _Buffer()

    def slide(self, rows: Tensor) -> Tensor:
        """Return the kept rows and the new ones, valid until the next call; keep twice the reach for that call."""
        kept = self._zeros(rows) if self._kept is None else self._kept
        joined = self._buffer.like(rows, len(kept) + len(rows), self._dtype)
        joined[: len(kept)] = kept
        joined[len(kept) :] = rows
        self._kept = joined[max(len(joined) - 2 * self._reach, 0) :].clone()
        return joined

    def slide_out(self) -> Tensor | None:
        """Return the last rows with the zeros below them; None if there were no rows."""
        return None if self._kept is None else self.slide(self._zeros(self._kept))

    def _zeros(self, like: Tensor) -> Tensor:
        return like.new_zeros((self._reach, *like.shape[1:]))


class ConvolutionStream:
    """A convolution of stride 1 with zeros around the photo, which keep its size, optionally followed by ReLU.

    Parameters
    ----------
    layer
        Its weights.
    dtype
        The type it is computed in; its rows may have another type.
    relu
        Whether negative outputs become 0.
    centred
        Whether every output channel is shifted to be about 0. This is allowed before a norm that subtracts the mean
        itself. The rounding of bfloat16 grows with the value: on a plain photo, where channels lie far from 0 and
        hardly vary, the norm would enlarge it to several grey levels.

    """

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype, *, relu: bool = False, centred: bool = False) -> None:
        self._weight = layer.weight.detach().to(dtype=dtype, memory_format=torch.channels_last)
        self._bias = _bias(layer).float()
        self._reach = layer.kernel_size[0] // 2
        self._window = _Window(self._reach, dtype)
        self._relu = relu
        self._to_centre = centred

    def push(self, rows: Tensor) -> Tensor:
        """As `Stream.push`."""
        return self._convolved(self._window.slide(rows))

    def finish(self) -> Tensor | None:
        """As `Stream.finish`."""
        last = self._window.slide_out()
        return None if last is None else self._convolved(last)

    def _convolved(self, seen: Tensor) -> Tensor:
        if len(seen) <= 2 * self._reach:
            return seen.new_empty((0, seen.shape[1], len(self._weight)))
        if self._to_centre:
            # The first rows decide: if other rows differ much from them, the rounding is small in comparison.
            self._bias -= self._made(seen).float().mean(dim=(0, 1))
            self._to_centre = False
        return self._made(seen)

    def _made(self, seen: Tensor) -> Tensor:
        bias = self._bias.to(seen.dtype)
        made = functional.conv2d(as_image(seen), self._weight, bias, padding=(0, self._reach))
        return as_rows(made.relu_() if self._relu else made)


class ToFewChannels:
    """A convolution to few channels, the same as `ConvolutionStream` in float32 but faster.

    Its kernel's rows become channels: one convolution along the rows computes what each row of the photo adds to every
    row that sees it, and these parts are added up.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        channels, inputs, self._height, width = layer.weight.shape
        weight = layer.weight.detach().float().permute(2, 0, 1, 3).reshape(self._height * channels, inputs, 1, width)
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._bias = _bias(layer).float()
        self._channels = channels
        self._window = _Window(self._height // 2, torch.float32)

    def push(self, rows: Tensor) -> Tensor:
        """As `Stream.push`."""
        along = functional.conv2d(as_image(rows.float()), self._weight, padding=(0, self._weight.shape[-1] // 2))
        return self._added_up(self._window.slide(as_rows(along)))

    def finish(self) -> Tensor | None:
        """As `Stream.finish`."""
        last = self._window.slide_out()
        return None if last is None else self._added_up(last)

    def _added_up(self, seen: Tensor) -> Tensor:
        count = max(len(seen) - self._height + 1, 0)
        parts = seen.reshape(*seen.shape[:2], self._height, self._channels)
        total = self._bias.expand(count, seen.shape[1], self._channels).clone()
        for row in range(self._height):
            total += parts[row : row + count, :, row]
        return total


def convolution(layer: nn.Conv2d, dtype: torch.dtype, *, relu: bool = False, centred: bool = False) -> Stream:
    """Return a layer as a stream; a convolution to few channels is computed in float32 and ignores `dtype`."""
    if layer.out_channels <= FEW_CHANNELS and not relu:
        return ToFewChannels(layer)
    return ConvolutionStream(layer, dtype, relu=relu, centred=centred)


class Statistics:
    """Mean and variance of every channel over all rows; the rows are passed on unchanged."""

    def __init__(self) -> None:
        self._count = 0
        self._buffer = _Buffer()
        self._shift: Tensor | None = None
        self._sum = self._squares = torch.zeros((), dtype=torch.float64)

    def push(self, rows: Tensor) -> Tensor:
        """Take the next rows into account."""
        values = rows.reshape(-1, rows.shape[-1])
        if self._shift is None:
            # The shift is near the mean: squares of large values would lose the digits of the variance.
            self._shift = values.float().mean(dim=0)
        away = self._buffer.like(values, len(values), torch.float32).copy_(values).sub_(self._shift)
        self._count += len(values)
        self._sum = self._sum.to(rows.device) + away.sum(dim=0).double()
        self._squares = self._squares.to(rows.device) + away.mul_(away).sum(dim=0).double()
        return rows

    def finish(self) -> None:
        """Nothing is held back."""

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """Return both, (C,) float32; the variance is the mean squared deviation, as in instance norm."""
        if self._shift is None:
            raise RuntimeError("no row has passed")
        beyond = self._sum / self._count
        variance = (self._squares / self._count - beyond.square()).clamp(min=0)
        return (self._shift.double() + beyond).float(), variance.float()


def trained_statistics(layer: NormLayer) -> tuple[Tensor, Tensor]:
    """Return the mean and variance of every channel, (C,), that a batch norm keeps from its training."""
    if layer.running_mean is None or layer.running_var is None:
        raise TypeError("an instance norm has no statistics from training")
    return layer.running_mean, layer.running_var


class Normalised:
    """A norm with known statistics, in float32, optionally followed by ReLU.

    An output stripe is valid until the next one.
    """

    def __init__(self, layer: NormLayer, mean: Tensor, variance: Tensor, *, relu: bool) -> None:
        scale = layer.weight.detach().double() / (variance.double() + layer.eps).sqrt()
        self._scale = scale.float()
        self._shift = (layer.bias.detach().double() - mean.double() * scale).float()
        self._relu = relu
        self._buffer = _Buffer()

    def push(self, rows: Tensor) -> Tensor:
        """Normalise the next rows."""
        values = self._buffer.like(rows, len(rows), torch.float32).copy_(rows)
        values.mul_(self._scale).add_(self._shift)
        return values.relu_() if self._relu else values

    def finish(self) -> None:
        """Nothing is held back."""


class ResidualStream:
    """The output of a chain plus its input; input rows wait until the chain's output for them is ready."""

    def __init__(self, inner: Chain) -> None:
        self._inner = inner
        self._waiting: Tensor | None = None

    def push(self, rows: Tensor) -> Tensor:
        """As `Stream.push`."""
        self._waiting = rows if self._waiting is None else torch.cat([self._waiting, rows])
        return self._plus_waiting(self._inner.push(rows))

    def finish(self) -> Tensor | None:
        """As `Stream.finish`."""
        last = self._inner.finish()
        return None if last is None else self._plus_waiting(last)

    def _plus_waiting(self, made: Tensor) -> Tensor:
        if self._waiting is None:
            return made
        first = self._waiting[: len(made)]
        # A copy: otherwise the few rows that still wait would keep the others in memory.
        self._waiting = self._waiting[len(made) :].clone()
        # An empty result may have the channels of a layer within.
        return made + first if len(made) else made


class Blocks:
    """A function of blocks of rows; the first rows of a block wait for the others.

    Parameters
    ----------
    height
        Rows of a block. The photo must consist of whole blocks.
    function
        Takes rows (h, W, C), where h is a multiple of `height` above 0.

    """

    def __init__(self, height: int, function: Callable[[Tensor], Tensor]) -> None:
        self._height, self._function = height, function
        self._waiting: Tensor | None = None

    def push(self, rows: Tensor) -> Tensor:
        """As `Stream.push`."""
        if self._waiting is not None:
            rows = torch.cat([self._waiting, rows])
        whole = len(rows) - len(rows) % self._height
        self._waiting = rows[whole:].clone() if whole < len(rows) else None
        return self._function(rows[:whole]) if whole else rows[:0]

    def finish(self) -> None:
        """Nothing is held back.

        Raises
        ------
        RuntimeError
            A block is incomplete.

        """
        if self._waiting is not None:
            raise RuntimeError(f"the photo does not consist of blocks of {self._height} rows")


class PaddedStream:
    """A chain that is given a photo of whole blocks: the last column and row are repeated, and cut off its output.

    Parameters
    ----------
    multiple
        Rows and columns of a block, in px.
    inner
        The chain; its output has as many rows and columns as its input, and no row comes before that of the input.

    """

    def __init__(self, multiple: int, inner: Chain) -> None:
        self._multiple, self._inner = multiple, inner
        self._taken = self._given = self._width = 0
        self._last: Tensor | None = None

    def push(self, rows: Tensor) -> Tensor:
        """As `Stream.push`."""
        self._taken += len(rows)
        self._width = rows.shape[1]
        if missing := -self._width % self._multiple:
            rows = torch.cat([rows, rows[:, -1:].expand(-1, missing, -1)], dim=1)
        self._last = rows[-1:].clone()
        return self._cut(self._inner.push(rows))

    def finish(self) -> Tensor | None:
        """As `Stream.finish`."""
        if self._last is None:
            return None
        missing = -self._taken % self._multiple
        given = [self._inner.push(self._last.expand(missing, -1, -1)) if missing else None, self._inner.finish()]
        there = [rows for rows in given if rows is not None and len(rows)]
        return self._cut(torch.cat(there)) if there else None

    def _cut(self, made: Tensor) -> Tensor:
        made = made[: self._taken - self._given, : self._width]
        self._given += len(made)
        return made


def strided(layer: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """Return a convolution whose kernels lie side by side, followed by ReLU, as a function of whole blocks of rows."""
    weight = layer.weight.detach().float().contiguous(memory_format=torch.channels_last)
    bias, stride = _bias(layer).float(), layer.stride

    def convolved(rows: Tensor) -> Tensor:
        return as_rows(functional.conv2d(as_image(rows.float()), weight, bias, stride=stride).relu_())

    return convolved


def doubled(rows: Tensor) -> Tensor:
    """Return rows (h, W, C) with each px as 2x2 px, (2 h, 2 W, C)."""
    height, width, channels = rows.shape
    return rows[:, None, :, None].expand(-1, 2, -1, 2, -1).reshape(2 * height, 2 * width, channels)


def space_to_depth(rows: Tensor) -> Tensor:
    """Return rows (2 h, 2 W, C) with the channels of each block of 2x2 px in one px, (h, W, 4 C), block row first."""
    height, width, channels = rows.shape
    blocks = rows.reshape(height // 2, 2, width // 2, 2, channels).transpose(1, 2)
    return blocks.reshape(height // 2, width // 2, 4 * channels)


def depth_to_space(rows: Tensor) -> Tensor:
    """Undo `space_to_depth`: return rows (h, W, 4 C) as (2 h, 2 W, C)."""
    height, width, channels = rows.shape
    blocks = rows.reshape(height, width, 2, 2, channels // 4).transpose(1, 2)
    return blocks.reshape(2 * height, 2 * width, channels // 4)


def as_image(rows: Tensor) -> Tensor:
    """Return rows (h, W, C) as an image (1, C, h, W), which shares their memory."""
    return rows.permute(2, 0, 1)[None]


def as_rows(image: Tensor) -> Tensor:
    """Return an image (1, C, h, W) as rows (h, W, C)."""
    return image[0].permute(1, 2, 0).contiguous()


def _bias(layer: nn.Conv2d) -> Tensor:
    """Return a copy of the biases."""
    if layer.bias is None:
        return layer.weight.new_zeros(layer.out_channels)
    return layer.bias.detach().clone()
