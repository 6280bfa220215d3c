"""Bring the DSLR's photo onto the phone's pixel grid, or onto a finer one, in one resampling from the original.

OpenCV's Lanczos kernel is slow. Its cubic kernel (Keys, a = -0.75) is five times as fast, but moves smooth gradients by
up to 0.05 px and weakens fine detail, differently from phase to phase. Both can be undone: the kernel is given the
phases that it turns into the wanted shifts, and the filter that is needed before it anyway makes up for the mean loss.
This is not enough where both photos are about equally fine: there the source is first enlarged twofold by Lanczos,
whose taps are then the same everywhere. Everything is computed tile by tile in float32, and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.geometry.homographies import Box, Points, largest_box, local_scale
from dpedtool.pipeline.geometry.transform import NODE_PX, Map, Transform, between_nodes

DOUBLED_BELOW = 1.25
"""The source is enlarged twofold below this many DSLR px per phone px; from 1.2 on, the cubic kernel alone beats
Lanczos."""
TILE_PX = 512
"""Side in px of the part of the source that is processed at once, enlarged or not: two float32 copies fit in cache."""
SHIFT_FIT = -1.0122, 2.1563
"""With u = t - 1/2 the phase t + u (u^2 - 1/4) (SHIFT_FIT[0] + SHIFT_FIT[1] u^2) moves waves of 0.6 rad per px by t.

This is exact to 0.002 px. Slower waves are off by 0.008 px at most, which weighs as much on real photos as the error of
faster ones.
"""
VECTOR_PX = 11
"""OpenCV's filters take 32 values at once, and round the px left over at a row's end differently: these are not
used."""
STEPS = np.float32(256)
"""Positions are rounded to this fraction of a px, which float32 holds exactly, wherever a tile begins."""
LANCZOS = np.sinc(np.arange(-3.5, 4)) * np.sinc(np.arange(-3.5, 4) / 4)
"""Weights, before they are normalised, of the four px on either side of the point halfway between two px."""

Taps = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]


def warp_dslr(dslr: Image, transform: Transform, box: Box) -> Image:
    """Return what the DSLR shows in a box of the phone photo, (box.height, box.width, 3) uint8.

    Where a phone pixel covers several DSLR pixels, the photo is smoothed first, so that detail finer than the phone's
    grid does not alias. The Gaussian widens a blur of half a source px to half a target px.
    """
    return Resampler.of(dslr, transform, box).part(Box(0, 0, box.width, box.height))


@dataclass(frozen=True, eq=False)
class Resampler:
    """The DSLR's photo on the phone's grid, or on one that is `finer` times as fine, part by part.

    A phone px x has `finer` target px along each axis, with their centres at x + (j + 0.5) / finer - 0.5, so that the
    target px of a phone px cover just that px. Every part is resampled once from the original, with the filter that is
    right for its own grid, and is the same as that part of a larger one.
    """

    finer: int
    _dslr: Image
    _nodes: Map
    """Places in the DSLR photo at the nodes of the box, whose spacing does not depend on `finer`."""
    _scale: float
    """DSLR px per target px at the centre of the box."""
    _enlarged: int
    """2 if the source is enlarged twofold before it is sampled, else 1."""
    _taps: Taps

    @classmethod
    def of(cls, dslr: Image, transform: Transform, box: Box, finer: int = 1) -> Resampler:
        """Prepare to resample.

        Parameters
        ----------
        dslr
            (H, W, 3) uint8: the whole DSLR photo.
        transform
            From the phone photo to the DSLR photo.
        box
            What parts are taken from, in the phone photo.
        finer
            Target px per phone px, along an axis.

        """
        scale = scale_at(transform, box) / finer
        enlarged = 2 if scale < DOUBLED_BELOW else 1
        return cls(finer, dslr, transform.map_nodes(box), scale, enlarged, _prefilter(scale, enlarged))

    def part(self, part: Box) -> Image:
        """Return a part, (finer * part.height, finer * part.width, 3) uint8; its x and y count from the box's corner.

        Its size is in phone px.
        """
        finer, spacing = self.finer, NODE_PX * self.finer
        # Maps begin at a node, so that they are the same for every part.
        left, top = (place % NODE_PX * finer for place in (part.x, part.y))
        first_x, first_y = part.x * finer - left, part.y * finer - top
        warped = np.empty((top + part.height * finer, left + part.width * finer, 3), np.uint8)
        for tile in _tiles(warped.shape[1], warped.shape[0], TILE_PX / (self._scale * self._enlarged), spacing):
            place = warped[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            wanted = Box(first_x + tile.x, first_y + tile.y, tile.width, tile.height)
            place[:] = _sampled(self._dslr, between_nodes(self._nodes, wanted, spacing), self._taps, self._enlarged)
        return warped[top:, left:]


Usable = tuple[tuple[int, int, int, int] | None, tuple[int, int, int, int] | None]


def common_box(
    phone_size: tuple[int, int], dslr_size: tuple[int, int], transform: Transform, usable: Usable = (None, None)
) -> Box | None:
    """Return the largest box of the phone photo that the DSLR photo covers; None if there is none.

    The rim of the DSLR photo that smoothing and interpolation would fill with invented pixels does not count.

    Parameters
    ----------
    phone_size, dslr_size
        Width and height in px.
    transform
        From the phone photo to the DSLR photo.
    usable
        x, y, width and height of the parts of both that damage leaves; None: all of it.

    """
    centre = (np.array(phone_size, np.float64) - 1) / 2
    margin = 4 + 3 * prefilter_sigma(local_scale(transform.homography, centre))
    own, (x, y, width, height) = usable[0], usable[1] or (0, 0, *dslr_size)
    low, high = np.array([x, y]) + margin, np.array([x + width, y + height]) - 1 - margin

    def inside(points: Points) -> npt.NDArray[np.bool_]:
        mapped = transform(points)
        covered = ((mapped >= low) & (mapped <= high)).all(axis=1)
        if own is not None:
            start, end = np.array(own[:2]), np.array(own[:2]) + np.array(own[2:]) - 1
            covered &= ((points >= start) & (points <= end)).all(axis=1)
        return np.asarray(covered)

    return largest_box(inside, *phone_size)


def scale_at(transform: Transform, box: Box) -> float:
    """Return the DSLR px per phone px at the centre of a box."""
    centre = np.array([box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2])
    return local_scale(transform.homography, centre)


def prefilter_sigma(scale: float) -> float:
    """Return the sigma of the Gaussian, in px of the source, for a target that is `scale` times coarser."""
    return 0.5 * float(np.sqrt(max(scale**2 - 1, 0)))


def cubic_weights(phases: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weights (N, 4) that OpenCV's cubic kernel gives the px at -1, 0, 1, 2, for phases (N,) in 0..1.

    Keys, IEEE Trans. ASSP 29 (1981), equation 4 with another coefficient, a = -0.75.
    """
    a, distances = -0.75, np.abs(phases[:, None] - np.arange(-1, 3))
    near = ((a + 2) * distances - (a + 3)) * distances**2 + 1
    far = ((a * distances - 5 * a) * distances + 8 * a) * distances - 4 * a
    return np.where(distances < 1, near, far)


def _tiles(width: int, height: int, side_px: float, spacing: int) -> Iterator[Box]:
    """Yield the boxes that cover an image of this size in px; each begins at a multiple of `spacing`."""
    side = max(int(side_px) // spacing, 1) * spacing
    for y in range(0, height, side):
        for x in range(0, width, side):
            yield Box(x, y, min(side, width - x), min(side, height - y))


def _sampled(dslr: Image, maps: tuple[Map, Map], taps: Taps, finer: int) -> Image:
    """Return the source at the places of the maps (H, W), as (H, W, 3)."""
    # The cubic kernel needs two px on either side, and the filters before it need theirs.
    margin = 2 + len(LANCZOS) // 2 + len(taps) // 2 + VECTOR_PX
    part, left, top = _part(dslr, maps, margin)
    # Positions are rounded before the tile's corner is subtracted, so that the corner does not matter.
    x, y = (np.rint(_asked(places * np.float32(finer)) * STEPS) / STEPS for places in maps)
    x, y = x - np.float32(finer * left), y - np.float32(finer * top)
    source: Pixels = cv2.sepFilter2D(part, cv2.CV_32F, taps, taps)  # type: ignore[assignment]
    if finer == 2:
        source = _twice_as_fine(source)
    sampled = cv2.remap(source, x, y, cv2.INTER_CUBIC)
    return np.clip(np.rint(sampled, out=sampled), 0, 255, out=sampled).astype(np.uint8)


def _part(dslr: Image, maps: tuple[Map, Map], margin: int) -> tuple[Image, int, int]:
    """Return the px of the source that maps need, mirrored at its rim, and the x and y of the first of them."""
    spans, pads = [], []
    for places, length in zip(maps, dslr.shape[1::-1], strict=True):
        first = int(np.clip(np.floor(places.min()) - margin, -margin, length - 1))
        last = int(np.clip(np.ceil(places.max()) + margin, 0, length - 1 + margin))
        spans.append((first, slice(max(first, 0), min(last, length - 1) + 1)))
        pads.append((max(-first, 0), max(last - length + 1, 0)))
    (left, columns), (top, rows) = spans
    part = cv2.copyMakeBorder(dslr[rows, columns], *pads[1], *pads[0], cv2.BORDER_REFLECT_101)
    return part, left, top  # type: ignore[return-value]


def _asked(places: Map) -> Map:
    """Return the positions to give the cubic kernel, so that it samples at these."""
    u = places - np.floor(places) - np.float32(0.5)
    square = u * u
    return places + u * (square - np.float32(0.25)) * (np.float32(SHIFT_FIT[0]) + np.float32(SHIFT_FIT[1]) * square)


def _twice_as_fine(pixels: Pixels) -> Pixels:
    """Return pixels (H, W, 3) enlarged twofold, (2 H, 2 W, 3): pixel (x, y) is at (2 x, 2 y)."""
    for _ in "xy":
        pixels = _rows_between(np.asarray(cv2.transpose(pixels), np.float32))
    return pixels


def _rows_between(pixels: Pixels) -> Pixels:
    height, width, channels = pixels.shape
    finer = np.empty((2 * height, width, channels), np.float32)
    finer[::2] = pixels
    weights = LANCZOS / LANCZOS.sum()
    cv2.sepFilter2D(pixels, cv2.CV_32F, np.ones(1), weights, dst=finer[1::2], anchor=(-1, len(weights) // 2 - 1))
    return finer


def _prefilter(scale: float, finer: int) -> Taps:
    """Return the symmetric filter that is applied before sampling, along both axes.

    Its response is that of the Gaussian. Before the cubic kernel alone, it is chosen so that both together come closest
    to the Gaussian over all phases, and over the frequencies of photos, whose amplitudes fall as one over the
    frequency.
    """
    sigma = prefilter_sigma(scale)
    # An enlarged source has little to make up for, and the margin of `common_box` has no room for more taps.
    half = int(np.ceil(3 * sigma)) if finer > 1 else max(3, int(np.ceil(3 * sigma)))
    frequencies = np.linspace(0, np.pi, 257)[1:]
    target = np.exp(-((sigma * frequencies) ** 2) / 2)
    if finer == 1:
        target *= _cubic_gain(frequencies)
    cosines = np.cos(np.outer(frequencies, np.arange(half + 1))) / frequencies[:, None]
    sides = np.linalg.lstsq(cosines, target / frequencies)[0]
    taps = np.concatenate([sides[:0:-1] / 2, sides[:1], sides[1:] / 2])
    return np.asarray(taps / taps.sum())


def _cubic_gain(frequencies: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the gains, one per frequency (rad per px), that bring the cubic kernel closest to 1 over all phases."""
    phases = np.arange(64) / 64
    weights = cubic_weights(_asked(phases.astype(np.float32)).astype(np.float64))
    waves = np.exp(1j * (np.arange(-1, 3)[:, None, None] - phases[:, None]) * frequencies)
    response = np.einsum("pk,kpf->pf", weights, waves)
    return np.asarray(response.real.mean(axis=0) / (np.abs(response) ** 2).mean(axis=0))
