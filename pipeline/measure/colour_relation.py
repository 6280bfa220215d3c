"""How the colours of an aligned pair relate: exposure and white balance in stops, and one affine colour transform.

A camera's automatic exposure and white balance wander from photo to photo. What a session has in common, a network can
learn; what a single pair adds to it, no network can know from the phone's photo.

Exposure and white balance are ratios of light, so 8 bit values are turned into light as sRGB defines it. The tone
curves of the cameras are not known, so they are a part of the ratios; they are the same in all pairs of a session.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.measure.colour_agreement import (
    FEWEST_CELLS,
    Cells,
    Terms,
    applied,
    burnt_and_black,
    cell_means,
    fitted,
    places_of,
)

Mask = npt.NDArray[np.bool_]

CELLS_A_SIDE, LEAST_CELL, MOST_CELL = 64, 4, 64
"""The shorter side of the crop has about so many cells, of at least 4 px and at most 64 px a side. What is left of
misalignment is small against them."""
LUMINANCE = (0.0722, 0.7152, 0.2126)
"""Weights of linear B, G and R (ITU-R BT.709)."""
PENALTIES = (1e-6, 1e-3, 1e-3, 1e-6)
"""On the weights of the affine transform, a cell: more on those of other channels, which grey scenes do not tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColourRelation:
    """What the DSLR's photo makes of the phone's colours, as columns of `dpedtool.dataset.schema.Frame`."""

    exposure_difference: float
    """Stops; positive: the DSLR's photo is brighter."""
    red_gain: float
    blue_gain: float
    """Stops by which red, and blue, is stronger against green in the DSLR's photo."""
    colour_transform: tuple[float, ...]
    """(12,): rows of factors of R, G and B, and an offset in grey levels, for R, G and B of the DSLR."""
    colour_residual: float
    """Grey levels."""


def colour_relation(
    phone: Image, dslr: Image, masked: Mask | None = None, masked_px: int | None = None
) -> ColourRelation | None:
    """Measure the relation of two aligned images by the medians over cells, and by a robust fit.

    Cells with masked, burnt out or black parts are left out. What lies elsewhere in one of the photos changes a median
    only if it is a large part of the photo.

    Parameters
    ----------
    phone, dslr
        (H, W, 3) BGR, uint8: the common crop of an aligned pair.
    masked, masked_px
        Cells (rows, columns) of the crop that are not to be used, and their side in px, as
        `dpedtool.pipeline.geometry.aligned.mask` returns them; None: all can be used.

    Returns
    -------
    ColourRelation
        None if fewer than 60 cells can be used.

    """
    cell = int(np.clip(min(phone.shape[:2]) // CELLS_A_SIDE, LEAST_CELL, MOST_CELL))
    rows, columns = phone.shape[0] // cell, phone.shape[1] // cell
    if rows * columns < FEWEST_CELLS:
        return None
    burnt, black = burnt_and_black((phone, dslr), cell)
    known = ~(burnt | black)
    if masked is not None and masked_px is not None:
        known &= ~_covered(masked, masked_px, cell, known.shape)
    if known.sum() < FEWEST_CELLS:
        return None
    own, other = (_light(image, cell)[known].astype(np.float64) for image in (phone, dslr))
    exposure = np.log2((other @ LUMINANCE) / (own @ LUMINANCE))
    blue, green, red = np.log2(other / own).T
    factors, residual = _affine(cell_means(phone, cell)[known], cell_means(dslr, cell)[known], places_of(known))
    return ColourRelation(
        exposure_difference=float(np.median(exposure)),
        red_gain=float(np.median(red - green)),
        blue_gain=float(np.median(blue - green)),
        colour_transform=factors,
        colour_residual=residual,
    )


def _covered(masked: Mask, masked_px: int, cell: int, shape: tuple[int, ...]) -> Mask:
    """Return the cells of this shape that touch a masked one of another size."""
    for axis, count in enumerate(shape):
        spread = np.moveaxis(np.repeat(masked, masked_px, axis=axis), axis, 0)[: count * cell]
        masked = np.moveaxis(np.any(spread.reshape(count, cell, -1), axis=1), 0, axis)
    return masked


def _light(image: Image, cell: int) -> Cells:
    """Return the mean light of the whole cells, (rows, columns, 3), BGR, 0..1."""
    rows, columns = image.shape[0] // cell, image.shape[1] // cell
    # A whole photo as floats would take four times its memory.
    bands = (image[row * cell : (row + 1) * cell, : columns * cell] for row in range(rows))
    means = [cv2.resize(cv2.LUT(band, _LIGHT), (columns, 1), interpolation=cv2.INTER_AREA) for band in bands]
    return np.asarray(np.concatenate(means), np.float32)


def _affine(phone: Cells, dslr: Cells, places: Terms) -> tuple[tuple[float, ...], float]:
    """Return the affine transform of colours (N, 3), BGR, 0..255, as 12 numbers in the order RGB, and what it leaves.

    What it leaves is the median over the cells of the root mean square over the channels, in grey levels.
    """
    channels = phone.astype(np.float64).T / 255
    terms = []
    for index, own in enumerate(channels):
        beyond = (channels[other] - own for other in range(3) if other != index)
        terms.append(np.stack([own, *beyond, np.ones_like(own)], axis=-1))
    targets = dslr.astype(np.float64)
    weights = fitted(terms, targets, places, PENALTIES)
    left = np.sqrt(np.mean((applied(terms, weights) - targets) ** 2, axis=1))
    factors = np.zeros((3, 4))
    for index, (own, first, second, offset) in enumerate(weights):
        others = [other for other in range(3) if other != index]
        factors[index, others] = first / 255, second / 255
        factors[index, index] = (own - first - second) / 255
        factors[index, 3] = offset
    in_rgb = factors[::-1][:, [2, 1, 0, 3]]
    return tuple(in_rgb.ravel().tolist()), float(np.median(left))


def _srgb_light() -> Cells:
    """Return the light, 0..1, of each 8 bit value (IEC 61966-2-1)."""
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LIGHT = _srgb_light()
