"""Whole photos in tiles, for networks of the user's own, whose layers are not known.

If each px of the output depends on nothing but the px around it, tiles with enough of their surroundings give the same
as the photo in one piece. Whether it does, and how far it sees, is measured on images of noise. Other networks, such as
those with statistics of the whole image, get larger photos in tiles that overlap and fade into each other.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from dpedtool.training.networks.generators import OwnGenerator

TILE_PX = 512
"""Side of the part of the photo for which a tile is computed."""
GRIDS_PX = (8, 64)
"""Tiles begin at multiples of one of these, the first that gives the same: networks with strides or windows treat
places differently. The finer it is, the less tiles have beyond what the network sees."""
FADE_PX = 128
"""How wide tiles overlap if they cannot give the same as the whole photo."""
SIDES_PX = (128, 256)
"""Sides of the images on which it is measured how far a network sees; the larger one only where the smaller does not
suffice."""
NEAR_BORDER_PX = 16
"""What is seen from as near as this to the border of such an image may be seen from farther away."""
SAME = 1e-5
"""Differences below this count as rounding; a grey level is 4e-3."""
SAME_IN_TILES = 1e-4
"""Greatest difference of a noise image in tiles and in one piece, as for ONNX."""
CHECKED_SIZE = (395, 331)
"""(height, width) of that image, and `CHECKED_TILE_PX`, the side of its tiles."""
CHECKED_TILE_PX = 128


@dataclass(frozen=True)
class Tiling:
    """How a photo is divided."""

    side: int
    """Side of a tile with its surroundings, px."""
    overlap: int
    """How much of it the next tile sees as well, px."""
    is_exact: bool
    """Whether the result equals that of the photo in one piece."""

    def starts(self, length: int) -> list[int]:
        """Return where tiles begin along an axis of this length."""
        return list(range(0, max(length - self.overlap, 1), self.side - self.overlap))

    def shares(self, start: int, stop: int, length: int) -> Tensor:
        """Return the share of a tile in the result along an axis, 0..1: with those of its neighbours it is 1."""
        shares = torch.ones(stop - start)
        # Halfway through the overlap, another tile takes over: all at once, or gradually.
        ramp = (torch.arange(self.overlap) + 0.5) / self.overlap
        ramp = (ramp > 0.5).float() if self.is_exact else ramp
        if start > 0:
            shares[: self.overlap] = ramp
        if stop < length:
            shares[-self.overlap :] = 1 - ramp
        return shares


@dataclass(frozen=True)
class Seen:
    """How far a network sees."""

    reach: int | None
    """Distance in px; None: farther than could be measured, or it depends on the place in the image."""
    grid: int = GRIDS_PX[-1]
    """Tiles must begin at multiples of this, px."""

    def tiling(self, tile: int = TILE_PX) -> Tiling:
        """Return the tiles for such a network."""
        if self.reach is None:
            return Tiling(tile, FADE_PX, is_exact=False)
        margin = -(-self.reach // self.grid) * self.grid
        return Tiling(tile + 2 * margin, 2 * margin, is_exact=True)


_SEEN: WeakKeyDictionary[OwnGenerator, Seen] = WeakKeyDictionary()


def largest_tile() -> int:
    """Return the side of the largest tile that any network gets, px."""
    return Seen(SIDES_PX[-1] // 2).tiling().side


def tiling_of(model: OwnGenerator) -> Tiling:
    """Return how photos are divided for a network with its weights; say so if the tiles may be seen."""
    if (seen := _SEEN.get(model)) is None:
        _SEEN[model] = seen = measure(model)
        if seen.reach is None:
            print(
                f"The network {model.architecture.name} was not found to see only its surroundings of at most "
                f"{SIDES_PX[-1] // 2 - NEAR_BORDER_PX} px. Photos above {TILE_PX} px are enhanced in tiles that fade "
                "into each other, which may differ in brightness and colour.",
                file=sys.stderr,
                flush=True,
            )
    return seen.tiling()


@torch.inference_mode()
def measure(model: OwnGenerator) -> Seen:
    """Measure on noise how far a network sees, and prove that tiles give the same as the image in one piece."""
    far = next((far for side in SIDES_PX if (far := _reach(model, side)) is not None), None)
    if far is None:
        return Seen(None)
    image = _noise(*CHECKED_SIZE)
    rows, size = image.permute(1, 2, 0), (image.shape[2], image.shape[1])
    whole = _run(model, image).permute(1, 2, 0)
    for grid in GRIDS_PX:
        seen = Seen(max(far, 1), grid)
        bands = in_tiles(model, seen.tiling(CHECKED_TILE_PX), size, lambda start, stop: rows[start:stop])
        tiled = torch.cat([made for _, made, _ in bands])
        if float((tiled - whole).abs().max()) <= SAME_IN_TILES:
            return seen
    return Seen(None)


def _reach(model: OwnGenerator, side: int) -> int | None:
    """Return how far a change of one half of an image is seen in the other half; None if as far as can be measured.

    A change of a whole half also changes statistics of the image, which a change of a single px would hardly do.
    """
    image, half = _noise(side, side), side // 2
    before = _run(model, image)
    if float((before - _run(model, image)).abs().max()) > SAME:
        return None
    farthest = 0
    for axis, is_first in itertools.product((1, 2), (True, False)):
        for other in (torch.ones(3, side, side), 0.2 * _noise(side, side)):
            changed = image.clone()
            changed.narrow(axis, 0 if is_first else half, half).copy_(other.narrow(axis, 0, half))
            difference = (_run(model, changed) - before).abs().amax(dim=(0, 3 - axis))
            # From the border between the halves into the one that has not changed.
            kept = difference[half:] if is_first else difference[:half].flip(0)
            seen = (kept > SAME).nonzero()[:, 0]
            farthest = max([farthest, *(seen[-1:] + 1).tolist()])
    return farthest if farthest <= half - NEAR_BORDER_PX else None


def in_tiles(
    model: OwnGenerator, tiling: Tiling, size: tuple[int, int], read: Callable[[int, int], Tensor]
) -> Iterator[tuple[int, Tensor, float]]:
    """Enhance a photo in tiles.

    Parameters
    ----------
    model
        The network.
    tiling
        How the photo is divided.
    size
        (width, height), px.
    read
        Gives rows `start` to `stop` of the photo, (h, W, 3), RGB, 0..1.

    Yields
    ------
    tuple
        The number of the first row, the next rows of the result, (h, W, 3), float32, on the processor, and the share of
        the work that is done.

    """
    width, height = size
    tops, lefts = tiling.starts(height), tiling.starts(width)
    kept = torch.zeros(0, width, 3)
    for band, top in enumerate(tops):
        bottom = min(top + tiling.side, height)
        rows, down = read(top, bottom), tiling.shares(top, bottom, height)
        total = torch.zeros(bottom - top, width, 3)
        total[: len(kept)] = kept
        for left in lefts:
            right = min(left + tiling.side, width)
            made = _run(model, rows[:, left:right].permute(2, 0, 1)).permute(1, 2, 0)
            shares = down[:, None] * tiling.shares(left, right, width)
            total[:, left:right] += made * shares[..., None]
        ready = bottom - top if bottom == height else tops[band + 1] - top
        yield top, total[:ready], (band + 1) / len(tops)
        kept = total[ready:]


def _run(model: OwnGenerator, image: Tensor) -> Tensor:
    """Return what a network makes of one image, (3, H, W), on the processor."""
    device = next(model.parameters()).device
    made: Tensor = model(image[None].to(device))
    return made[0].cpu()


def _noise(height: int, width: int) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
