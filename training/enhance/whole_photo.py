"""A whole photo through the network, as the network would take it in one piece, in stripes of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dpedtool.dataset.photos.stored import Image
from dpedtool.training.enhance.feature_map import FeatureMap, Scratch, open_scratch
from dpedtool.training.enhance.memory import Need, Plan, process_memory
from dpedtool.training.enhance.passes import (
    Pass,
    count_held,
    count_kept_rows,
    count_passes,
    map_channels,
    passes,
)
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.layer_kinds import widest
from dpedtool.training.networks.streams import Dtypes
from dpedtool.training.precision import Computation, has_bfloat16

Precision = Literal["float32", "bfloat16"]

STRIPE_PX = 1 << 15
"""A stripe has about so many px, whatever the memory: rounding follows from the stripes, and so the result's bytes."""
IN_HAND = 3
"""How many stripes of feature maps in float32 are under way at most: what a layer is given, what it makes, and what
the one behind it makes of that."""
LEAST_CHANNELS = 64
"""Channels that are counted of a stripe, however few it has: other things are not smaller then."""


@dataclass(frozen=True)
class Settings:
    """How photos are computed."""

    device: torch.device
    precision: Precision
    """Of the feature maps that wait, and of the blocks' convolutions where the device multiplies bfloat16."""
    max_memory: int | None = None
    """What the whole process may take at its peak, in bytes; None: what is free."""
    scratch: Path | None = None
    """Folder for a file of what finds no room in the memory; None: there is none, and such a photo is refused."""
    process: int = field(default_factory=process_memory)
    """What the process takes without a photo, in bytes; measured when this is made, which is before the first one."""


def plan(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Plan:
    """Say what a photo of this size (width, height) takes, before it is decoded.

    Raises
    ------
    Rejection
        `too_little_memory`: more than is allowed, with the least that would do; or `too_little_disk`.

    """
    need = _need(architecture, size, settings)
    if _fits_gpu(need, settings.device):
        beside = replace(need, map_row=0).plan(settings.process, settings.max_memory, None)
        return replace(beside, rows=size[1], on_device=True)
    return need.plan(settings.process, settings.max_memory, settings.scratch)


def enhance_photo(
    model: Generator,
    photo: Image,
    settings: Settings,
    planned: Plan | None = None,
    tell: Callable[[float], None] | None = None,
) -> Image:
    """Enhance a photo, (H, W, 3) BGR uint8; return one of the same shape.

    Parameters
    ----------
    model
        On `settings.device`.
    photo
        Upright, in sRGB.
    settings
        How.
    planned
        What `plan` said of it before it was decoded; None: it is asked now.
    tell
        Called now and then with the share of the work that is done, 0..1.

    Raises
    ------
    Rejection
        As `plan`; `too_little_disk` also where the disk fills up meanwhile.

    """
    enhanced = np.empty_like(photo)

    def read(start: int, stop: int) -> Tensor:
        return torch.from_numpy(photo[start:stop]).to(settings.device).flip(-1).float() / 255

    def write(start: int, rows: Tensor) -> None:
        bgr = rows.clamp(0, 1).mul(255).round_().to(torch.uint8).flip(-1)
        enhanced[start : start + len(rows)] = bgr.cpu().numpy()

    _run(model, _Ends((photo.shape[1], photo.shape[0]), read, write), settings, planned, tell)
    return enhanced


def enhance_image(model: Generator, image: Tensor, settings: Settings) -> Tensor:
    """Enhance an image as the network gives it, not rounded and not clipped.

    Parameters
    ----------
    model
        On `settings.device`.
    image
        (3, H, W), RGB, 0..1.
    settings
        How.

    Returns
    -------
    Tensor
        (3, H, W), RGB, within -0.08..1.08, float32, on the processor.

    Raises
    ------
    Rejection
        As `enhance_photo`.

    """
    rows = image.permute(1, 2, 0)
    enhanced = torch.empty(rows.shape)

    def read(start: int, stop: int) -> Tensor:
        return rows[start:stop].to(settings.device, torch.float32)

    def write(start: int, made: Tensor) -> None:
        enhanced[start : start + len(made)] = made

    _run(model, _Ends((image.shape[2], image.shape[1]), read, write), settings)
    return enhanced.permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class _Ends:
    """Where rows come from in the end, and go to."""

    size: tuple[int, int]
    """(width, height), px."""
    read: Callable[[int, int], Tensor]
    """Gives rows `start` to `stop` of the photo on the device, (h, W, 3), RGB, float32, 0..1."""
    write: Callable[[int, Tensor], None]
    """Takes rows of the result, (h, W, 3), RGB, float32, from `start` on."""


def _run(
    model: Generator,
    ends: _Ends,
    settings: Settings,
    planned: Plan | None = None,
    tell: Callable[[float], None] | None = None,
) -> None:
    """Make all passes; what each gives but the last is in a feature map by then."""
    planned = planned or plan(model.architecture, ends.size, settings)
    dtypes, count = _dtypes(settings), count_passes(model.layers)
    repeatable = Computation(settings.device, dtypes.convolutions).repeatable()
    with torch.inference_mode(), repeatable, _scratch(planned, settings) as scratch:
        maps = _maps(model, ends.size, dtypes.maps, planned, scratch, settings.device)
        for number, each in enumerate(passes(model, dtypes, maps)):
            for start, made, share in _rows(each, ends, settings.device):
                if number == count - 1:
                    ends.write(start, made)
                if tell:
                    tell((number + share) / count)


def _rows(each: Pass, ends: _Ends, device: torch.device) -> Iterator[tuple[int, Tensor, float]]:
    """Yield the rows that a pass gives with the number of the first, and the share of the photo that it has taken."""
    width, height = ends.size
    at_once = max(1, STRIPE_PX // width)
    given = 0
    for start in range(0, height, at_once):
        stop = min(start + at_once, height)
        rows = each.source.read(start, stop, device) if each.source else ends.read(start, stop)
        made = each.chain.push(rows)
        if len(made):
            yield given, made, stop / height
            given += len(made)
    last = each.chain.finish()
    if last is not None:
        yield given, last, 1.0


def _maps(
    model: Generator,
    size: tuple[int, int],
    dtype: torch.dtype,
    planned: Plan,
    scratch: Scratch | None,
    device: torch.device,
) -> list[FeatureMap]:
    home = device if planned.on_device else torch.device("cpu")
    shapes = [(size[1], size[0], channels) for channels in map_channels(model.layers)]
    return [FeatureMap(shape, dtype, rows=planned.rows, scratch=scratch, device=home) for shape in shapes]


def _scratch(planned: Plan, settings: Settings) -> AbstractContextManager[Scratch | None]:
    if not planned.scratch or not settings.scratch:
        return nullcontext()
    return open_scratch(settings.scratch)


def _dtypes(settings: Settings) -> Dtypes:
    """Where nothing multiplies bfloat16 the convolutions are computed in float32, which is faster there."""
    maps = torch.float32 if settings.precision == "float32" else torch.bfloat16
    return Dtypes(maps, maps if has_bfloat16(settings.device) else torch.float32)


def _need(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Need:
    width, _ = size
    value, layers = _dtypes(settings).maps.itemsize, architecture.layers
    rows = max(1, STRIPE_PX // width) + count_kept_rows(layers)
    return Need(
        size,
        map_row=width * value * sum(map_channels(layers)),
        stripes=(IN_HAND + count_held(layers)) * rows * width * max(widest(layers), LEAST_CHANNELS) * 4,
    )


def _fits_gpu(need: Need, device: torch.device) -> bool:
    """Whether a GPU has room for all feature maps; beside it only stripes are there."""
    return device.type == "cuda" and need.maps + need.stripes < torch.cuda.mem_get_info(device)[0]
