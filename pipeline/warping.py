"""Bring the DSLR's photo onto the phone's pixel grid, in one resampling from the original."""

from __future__ import annotations

import cv2
import numpy as np

from dataset.photos import Image
from pipeline.geometry import Box, Homography, Points, largest_box, local_scale, transform_points, translation


def warp_dslr(dslr: Image, dslr_from_phone: Homography, box: Box) -> Image:
    """Return what the DSLR shows in a box of the phone photo, (box.height, box.width, 3) uint8.

    Where a phone pixel covers several DSLR pixels the photo is smoothed first, so that detail finer than the phone's
    grid does not alias: a Gaussian that widens a blur of half a px of the source to half a px of the target.
    """
    scale = scale_at(dslr_from_phone, box)
    if scale > 1:
        dslr = cv2.GaussianBlur(dslr, (0, 0), _prefilter_sigma(scale))  # type: ignore[assignment]
    dslr_from_box = dslr_from_phone @ translation(box.x, box.y)
    # OpenCV's cubic kernel (a = -0.75) moves smooth gradients by up to 0.05 px; Lanczos stays within 0.012 px.
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(dslr, dslr_from_box, (box.width, box.height), flags=flags)  # type: ignore[return-value]


def common_box(phone_size: tuple[int, int], dslr_size: tuple[int, int], dslr_from_phone: Homography) -> Box | None:
    """Return the largest box of the phone photo that the DSLR photo covers; sizes as (width, height) in px.

    The rim of the DSLR photo that smoothing and interpolation would fill with invented pixels does not count.
    """
    centre = (np.array(phone_size, np.float64) - 1) / 2
    margin = 4 + 3 * _prefilter_sigma(local_scale(dslr_from_phone, centre))
    low, high = margin, np.array(dslr_size) - 1 - margin

    def inside(points: Points) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        mapped = transform_points(dslr_from_phone, points)
        return np.asarray(((mapped >= low) & (mapped <= high)).all(axis=1))

    return largest_box(inside, *phone_size)


def scale_at(dslr_from_phone: Homography, box: Box) -> float:
    """Return the DSLR px a phone px at the centre of a box."""
    return local_scale(dslr_from_phone, np.array([box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2]))


def _prefilter_sigma(scale: float) -> float:
    return 0.5 * float(np.sqrt(max(scale**2 - 1, 0)))
