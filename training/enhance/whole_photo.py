"""Enhancing a whole photo in stripes of rows; the result equals that of the photo in one piece.

Networks of the user's own run in tiles, see `dpedtool.training.enhance.tiles`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.photos.pixels import Image
from dpedtool.training.enhance.feature_map import FeatureMap, Scratch, open_scratch
from dpedtool.training.enhance.memory import PHOTO_PX, Need, Plan, process_memory
from dpedtool.training.enhance.passes import (
    Pass,
    count_held,
    count_kept_rows,
    count_passes,
    map_channels,
    passes,
)
from dpedtool.training.enhance.tiles import TILE_PX, Tiling, in_tiles, largest_tile, tiling_of
from dpedtool.training.networks.generators import Architecture, Generator, LayeredGenerator, OwnGenerator
from dpedtool.training.networks.layer_kinds import Layer, grain, grid, widest
from dpedtool.training.networks.own_network import OwnNetwork
from dpedtool.training.networks.streams import Dtypes
from dpedtool.training.precision import Computation, has_bfloat16

Precision = Literal["float32", "bfloat16"]

STRIPE_PX = 1 << 15
"""A stripe has about this many px of the finest convolution, independent of the memory: rounding, and so the result's
bytes, depend on it."""
IN_HAND = 3
"""Greatest number of stripes of feature maps in float32 that exist at once: a layer's input, its output, and the output
of the layer after it."""
TURNS = 8
"""The four quarter turns of a photo, and those of its mirror image."""
SUM_PX = 15
"""Bytes for a px of a photo in all turns: the sum of the results in float32, and the turned photo."""
LEAST_CHANNELS = 64
"""A stripe is counted with at least this many channels: other memory does not shrink with fewer channels."""


@dataclass(frozen=True)
class Settings:
    """How photos are computed."""

    device: torch.device
    precision: Precision
    """Precision of the waiting feature maps, and of the blocks' convolutions if the device multiplies bfloat16."""
    max_memory: int | None = None
    """Limit for the peak memory of the whole process, in bytes; None: the free memory."""
    scratch: Path | None = None
    """Folder for a temporary file for data that does not fit in memory; None: no file, such a photo is refused."""
    self_ensemble: bool = False
    """Whether the result is the mean over all turns of the photo; it takes eight times as long."""
    process: int = field(default_factory=process_memory)
    """Memory of the process without a photo, in bytes; measured when the settings are made, before the first photo."""


def plan(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Plan:
    """Return what a photo of this size (width, height) needs, before it is decoded; on its side, if it is turned, too.

    Raises
    ------
    Rejection
        `too_little_memory`, with the least memory that would suffice, or `too_little_disk`; `enlarges`: the network
        enlarges images, which is possible for patches alone.

    """
    if (scale := architecture.scale) > 1:
        raise Rejection(
            "enlarges",
            f"The network {architecture.name} enlarges images {scale} times, which is possible for patches, but not "
            "for whole photos yet: export it, and run the ONNX file.",
        )
    if settings.self_ensemble:
        # The rows of a photo on its side are of another length, and it may need more.
        _plan(architecture, size[::-1], settings)
    return _plan(architecture, size, settings)


def _plan(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Plan:
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
        The network, on `settings.device`.
    photo
        The photo, upright and in sRGB.
    settings
        How it is computed.
    planned
        The plan that `plan` returned before the photo was decoded; None: it is made now.
    tell
        Called now and then with the share of the work that is done, 0..1.

    Raises
    ------
    Rejection
        As in `plan`; `too_little_disk` also if the disk fills up meanwhile.

    """
    if settings.self_ensemble:
        return _mean_of_turns(model, photo, settings, planned, tell)
    enhanced = np.empty_like(photo)

    def write(start: int, rows: Tensor) -> None:
        bgr = rows.clamp(0, 1).mul(255).round_().to(torch.uint8).flip(-1)
        enhanced[start : start + len(rows)] = bgr.cpu().numpy()

    _run(model, _ends(photo, settings, write), settings, planned, tell)
    return enhanced


def _mean_of_turns(
    model: Generator,
    photo: Image,
    settings: Settings,
    planned: Plan | None,
    tell: Callable[[float], None] | None,
) -> Image:
    """Enhance a photo in all turns, turn the results back, and return their mean.

    Timofte, Rothe and Van Gool, "Seven ways to improve example-based single image super resolution", CVPR 2016, arXiv
    1511.02228, section 3.6.
    """
    total = np.zeros(photo.shape, np.float32)
    for number in range(TURNS):
        turned, into = _turned(photo, number), _turned(total, number)

        def write(start: int, rows: Tensor, into: FloatImage = into) -> None:
            # It is a view, so the rows are turned back where they are added.
            into[start : start + len(rows)] += rows.clamp(0, 1).flip(-1).cpu().numpy()

        def reach(share: float, number: int = number) -> None:
            if tell:
                tell((number + share) / TURNS)

        plan_of_turn = planned if turned.shape == photo.shape else None
        # torch takes no negative strides, which numpy lets stand along sides of one px unless the array is copied.
        _run(model, _ends(turned.copy(), settings, write), settings, plan_of_turn, reach)
    total *= 255 / TURNS
    return np.rint(total, out=total).astype(np.uint8)


AnyImage = TypeVar("AnyImage", bound=npt.NDArray[Any])
FloatImage = npt.NDArray[np.float32]


def _turned(image: AnyImage, number: int) -> AnyImage:
    """Return a view of an image (H, W, 3) in one of its turns, 0 to 7; the last four are those of its mirror image."""
    mirrored = image[:, ::-1] if number >= TURNS // 2 else image
    return cast("AnyImage", np.rot90(mirrored, number % (TURNS // 2)))


def _ends(photo: Image, settings: Settings, write: Callable[[int, Tensor], None]) -> _Ends:
    """Return the ends of a photo, (H, W, 3) BGR uint8."""

    def read(start: int, stop: int) -> Tensor:
        return torch.from_numpy(photo[start:stop]).to(settings.device).flip(-1).float() / 255

    return _Ends((photo.shape[1], photo.shape[0]), read, write)


def enhance_image(model: Generator, image: Tensor, settings: Settings) -> Tensor:
    """Enhance an image as the network gives it, not rounded and not clipped.

    Parameters
    ----------
    model
        The network, on `settings.device`.
    image
        (3, H, W), RGB, 0..1.
    settings
        How it is computed.

    Returns
    -------
    Tensor
        (3, H, W), RGB, nominally 0..1, float32, on the processor.

    Raises
    ------
    Rejection
        As in `enhance_photo`.

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
    """Where the rows of the photo come from, and where the rows of the result go."""

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
    """Run all passes; the last one gives the result, and the others fill the feature maps."""
    planned = planned or plan(model.architecture, ends.size, settings)
    if isinstance(model, OwnGenerator):
        _run_tiles(model, ends, settings, tell)
        return
    if not isinstance(model, LayeredGenerator):
        raise TypeError(f"{type(model).__name__} is no kind of generator")
    dtypes, count = _dtypes(settings), count_passes(model.layers)
    at_once = _stripe_rows(model.layers, ends.size[0])
    repeatable = Computation(settings.device, dtypes.convolutions).repeatable()
    with torch.inference_mode(), repeatable, _scratch(planned, settings) as scratch:
        maps = _maps(model, ends.size, dtypes.maps, planned, scratch, settings.device)
        for number, each in enumerate(passes(model, dtypes, maps)):
            for start, made, share in _rows(each, ends, settings.device, at_once):
                if number == count - 1:
                    ends.write(start, made)
                if tell:
                    tell((number + share) / count)


def _run_tiles(model: OwnGenerator, ends: _Ends, settings: Settings, tell: Callable[[float], None] | None) -> None:
    """Run a network of the user's own in float32, since nothing is known of its rounding."""
    width, height = ends.size
    with torch.inference_mode(), Computation(settings.device, torch.float32).repeatable():
        # A photo as large as a tile is computed in one piece.
        tiling = tiling_of(model) if max(width, height) > TILE_PX else Tiling(TILE_PX, 1, is_exact=True)
        for start, made, share in in_tiles(model, tiling, ends.size, ends.read):
            ends.write(start, made)
            if tell:
                tell(share)


def _rows(each: Pass, ends: _Ends, device: torch.device, at_once: int) -> Iterator[tuple[int, Tensor, float]]:
    """Yield the number of the first row, the rows that a pass gives, and the share of the photo that it has read."""
    height = ends.size[1]
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
    model: LayeredGenerator,
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
    """Return the types; without bfloat16 instructions the convolutions are in float32, which is faster there."""
    maps = torch.float32 if settings.precision == "float32" else torch.bfloat16
    return Dtypes(maps, maps if has_bfloat16(settings.device) else torch.float32)


def _need(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Need:
    width, height = size
    description = architecture.description
    beside = PHOTO_PX + SUM_PX if settings.self_ensemble else PHOTO_PX
    if isinstance(description, OwnNetwork):
        side = largest_tile()
        tile = min(width, side) * min(height, side)
        # The kernels' own memory was never seen to be more than that of the tensors.
        stripes = 2 * tile * description.measured().bytes_px + 24 * side * width
        return Need(size, map_row=0, stripes=stripes, photo_px=beside)
    value, layers = _dtypes(settings).maps.itemsize, architecture.layers
    rows = _stripe_rows(layers, width) + count_kept_rows(layers)
    held = IN_HAND / grain(layers) ** 2 + count_held(layers)
    return Need(
        size,
        map_row=width * value * sum(map_channels(layers)),
        stripes=int(held * rows * width * max(widest(layers), LEAST_CHANNELS) * 4),
        photo_px=beside,
    )


def _stripe_rows(layers: Sequence[Layer], width: int) -> int:
    """Return how many rows of the photo a stripe has: whole px of the coarsest layer where possible."""
    rows = max(1, STRIPE_PX * grain(layers) ** 2 // width)
    return rows - rows % grid(layers) or rows


def _fits_gpu(need: Need, device: torch.device) -> bool:
    """Whether all feature maps and the stripes fit in a GPU's memory."""
    return device.type == "cuda" and need.maps + need.stripes < torch.cuda.mem_get_info(device)[0]
