"""The example picture of a phone: some unchanged pairs of patches."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dpedtool.dataset.photos.pixels import Image

ENLARGED = 2
"""Images are enlarged this many times, or, if the DSLR's are larger than the phone's, the phone's as many times as they
are larger."""
GAP_PX = 4
_WHITE = 255


def example_picture(pairs: Sequence[tuple[Image, Image]]) -> Image:
    """Return pairs side by side: the phone's patch above, the DSLR's below, at one size, with white gaps.

    Parameters
    ----------
    pairs
        The phone's image of each patch, (H, W, 3) BGR uint8, and the DSLR's, (k H, k W, 3); all of one size, and k a
        whole number; at least one pair.

    Returns
    -------
    Image
        (2 m H + GAP_PX, n (m W + GAP_PX) - GAP_PX, 3), with m = max(k, `ENLARGED`) and n pairs.

    """
    finer = pairs[0][1].shape[0] // pairs[0][0].shape[0]
    enlarged = max(finer, ENLARGED)
    factors = enlarged, enlarged // finer
    rows = [_row([pair[side] for pair in pairs], factors[side]) for side in (0, 1)]
    gap = np.full((GAP_PX, *rows[0].shape[1:]), _WHITE, np.uint8)
    return np.vstack([rows[0], gap, rows[1]])


def _row(images: Sequence[Image], factor: int) -> Image:
    # Pixels are repeated, not interpolated, so that the picture shows nothing that is not in the patch.
    large = [cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST_EXACT) for image in images]
    gap = np.full((large[0].shape[0], GAP_PX, 3), _WHITE, np.uint8)
    parts = [part for image in large for part in (gap, image)][1:]
    return np.asarray(np.hstack(parts), np.uint8)
