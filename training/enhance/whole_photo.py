"""A whole photo through the network, as the network would take it in one piece, in stripes of rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dataset.stored import Image
from training.enhance.feature_map import FeatureMap, Scratch, open_scratch
from training.enhance.memory import Need, Plan
from training.enhance.passes import Dtypes, Maps, Pass, count_maps, count_passes, passes
from training.enhance.streams import Chain
from training.model import Architecture, Generator
from training.precision import Computation, has_bfloat16

Precision = Literal["float32", "bfloat16"]

STRIPE_PX = 1 << 16
"""A stripe has about so many px, whatever the memory: rounding follows from the stripes, and so the result's bytes."""
HALO = 8
"""Rows that the largest kernel keeps."""
IN_HAND = 6
"""How many stripes of feature maps in float32 the layers hold at most, as measured."""


@dataclass(frozen=True)
class Settings:
    """How photos are computed."""

    device: torch.device
    precision: Precision
    """Of the feature maps, and of the convolutions where the device multiplies bfloat16."""
    max_memory: int | None = None
    """What the whole process may take at its peak, in bytes; None: what is free."""
    scratch: Path | None = None
    """Folder for a file of what finds no room in the memory; None: there is none, and such a photo is refused."""


def plan(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Plan:
    """Say what a photo of this size (width, height) takes, before it is decoded.

    Raises
    ------
    Rejection
        `too_little_memory`: more than is allowed, with the least that would do; or `too_little_disk`.

    """
    need = _need(architecture, size, settings)
    if _fits_gpu(need, settings.device):
        beside = replace(need, map_row=0).plan(settings.max_memory, None)
        return replace(beside, rows=size[1], on_device=True)
    return need.plan(settings.max_memory, settings.scratch)


def enhance_photo(
    model: Generator, photo: Image, settings: Settings, tell: Callable[[float], None] | None = None
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

    _run(model, (photo.shape[1], photo.shape[0]), read, write, settings, tell)
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

    _run(model, (image.shape[2], image.shape[1]), read, write, settings, None)
    return enhanced.permute(2, 0, 1)


Read = Callable[[int, int], Tensor]
"""Rows `start` to `stop` of the photo on the device, (h, W, 3), RGB, float32, 0..1."""
Write = Callable[[int, Tensor], None]
"""Takes rows of the result, (h, W, 3), RGB, float32, from `start` on."""


def _run(
    model: Generator,
    size: tuple[int, int],
    read: Read,
    write: Write,
    settings: Settings,
    tell: Callable[[float], None] | None,
) -> None:
    planned = plan(model.architecture, size, settings)
    dtypes, steps = _dtypes(settings), count_passes(model.architecture)
    computation = Computation(settings.device, dtypes.convolutions)
    with torch.inference_mode(), computation.repeatable(), _scratch(planned, settings) as scratch:
        maps = _maps(model.architecture, size, dtypes.maps, planned, scratch, settings.device)
        for number, each in enumerate(passes(model, dtypes, maps)):

            def source(start: int, stop: int, each: Pass = each) -> Tensor:
                if each.source == "inner" and maps:
                    return maps.inner.read(start, stop, settings.device).to(dtypes.convolutions)
                return read(start, stop)

            def told(share: float, number: int = number) -> None:
                if tell:
                    tell((number + share) / steps)

            _go_over(size, each.chain, source, write if number == steps - 1 else _nowhere, told)


def _go_over(size: tuple[int, int], chain: Chain, read: Read, write: Write, tell: Callable[[float], None]) -> None:
    """Push all rows through a chain."""
    width, height = size
    at_once = max(1, STRIPE_PX // width)
    done = 0
    for start in range(0, height, at_once):
        made = chain.push(read(start, min(start + at_once, height)))
        if len(made):
            write(done, made)
            done += len(made)
        tell(min(start + at_once, height) / height)
    last = chain.finish()
    if last is not None:
        write(done, last)


def _nowhere(start: int, rows: Tensor) -> None:
    """What a pass gives that is already in a feature map."""


def _maps(
    architecture: Architecture,
    size: tuple[int, int],
    dtype: torch.dtype,
    planned: Plan,
    scratch: Scratch | None,
    device: torch.device,
) -> Maps | None:
    if not count_maps(architecture):
        return None
    shape = (size[1], size[0], architecture.channels)
    home = device if planned.on_device else torch.device("cpu")
    skip, inner = (FeatureMap(shape, dtype, rows=planned.rows, scratch=scratch, device=home) for _ in range(2))
    return Maps(skip, inner)


def _scratch(planned: Plan, settings: Settings) -> AbstractContextManager[Scratch | None]:
    if not planned.scratch or not settings.scratch:
        return nullcontext()
    return open_scratch(settings.scratch)


def _dtypes(settings: Settings) -> Dtypes:
    """Where nothing multiplies bfloat16 the convolutions are computed in float32, which is faster there."""
    maps = torch.float32 if settings.precision == "float32" else torch.bfloat16
    return Dtypes(maps, maps if has_bfloat16(settings.device) else torch.float32)


def _need(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Need:
    value = _dtypes(settings).maps.itemsize
    row = size[0] * architecture.channels * value * count_maps(architecture)
    rows = max(1, STRIPE_PX // size[0]) + HALO
    return Need(size, row, IN_HAND * rows * size[0] * max(architecture.channels, 64) * 4)


def _fits_gpu(need: Need, device: torch.device) -> bool:
    """Whether a GPU has room for all feature maps; beside it only stripes are there."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return need.maps + need.stripes < free
