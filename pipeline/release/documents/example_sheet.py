"""The example picture of a phone: some unchanged pairs of patches."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dpedtool.dataset.photos.pixels import Image

ENLARGED = 2
GAP_PX = 4
_WHITE = 255


def example_picture(pairs: Sequence[tuple[Image, Image]]) -> Image:
    """Return pairs side by side: the phone's patch above, the DSLR's below, enlarged twice, with white gaps.

    Parameters
    ----------
    pairs
        The phone's and the DSLR's image of each patch, (H, W, 3) BGR uint8, all of one size; at least one pair.

    Returns
    -------
    Image
        (4 H + GAP_PX, n (2 W + GAP_PX) - GAP_PX, 3).

    """
    rows = [_row([pair[side] for pair in pairs]) for side in (0, 1)]
    gap = np.full((GAP_PX, *rows[0].shape[1:]), _WHITE, np.uint8)
    return np.vstack([rows[0], gap, rows[1]])


def _row(images: Sequence[Image]) -> Image:
    # Pixels are repeated, not interpolated, so that the picture shows nothing that is not in the patch.
    large = [
        cv2.resize(image, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_NEAREST_EXACT) for image in images
    ]
    gap = np.full((large[0].shape[0], GAP_PX, 3), _WHITE, np.uint8)
    parts = [part for image in large for part in (gap, image)][1:]
    return np.asarray(np.hstack(parts), np.uint8)
