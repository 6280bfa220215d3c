"""Bring the DSLR's photo onto the phone's pixel grid, in one resampling from the original."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dataset.photos import Image
from pipeline.geometry import Box, Points, largest_box, local_scale, translation
from pipeline.transform import Transform


def warp_dslr(dslr: Image, transform: Transform, box: Box) -> Image:
    """Return what the DSLR shows in a box of the phone photo, (box.height, box.width, 3) uint8.

    Where a phone pixel covers several DSLR pixels the photo is smoothed first, so that detail finer than the phone's
    grid does not alias: a Gaussian that widens a blur of half a px of the source to half a px of the target.
    """
    scale = scale_at(transform, box)
    if scale > 1:
        dslr = cv2.GaussianBlur(dslr, (0, 0), prefilter_sigma(scale))  # type: ignore[assignment]
    # OpenCV's cubic kernel (a = -0.75) moves smooth gradients by up to 0.05 px; Lanczos stays within 0.012 px.
    if transform.field:
        return cv2.remap(dslr, *transform.maps(box), cv2.INTER_LANCZOS4)  # type: ignore[return-value]
    dslr_from_box = transform.homography @ translation(box.x, box.y)
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(dslr, dslr_from_box, (box.width, box.height), flags=flags)  # type: ignore[return-value]


def common_box(phone_size: tuple[int, int], dslr_size: tuple[int, int], transform: Transform) -> Box | None:
    """Return the largest box of the phone photo that the DSLR photo covers; sizes as (width, height) in px.

    The rim of the DSLR photo that smoothing and interpolation would fill with invented pixels does not count.
    """
    centre = (np.array(phone_size, np.float64) - 1) / 2
    margin = 4 + 3 * prefilter_sigma(local_scale(transform.homography, centre))
    low, high = margin, np.array(dslr_size) - 1 - margin

    def inside(points: Points) -> npt.NDArray[np.bool_]:
        mapped = transform(points)
        return np.asarray(((mapped >= low) & (mapped <= high)).all(axis=1))

    return largest_box(inside, *phone_size)


def scale_at(transform: Transform, box: Box) -> float:
    """Return the DSLR px a phone px at the centre of a box."""
    centre = np.array([box.x + (box.width - 1) / 2, box.y + (box.height - 1) / 2])
    return local_scale(transform.homography, centre)


def prefilter_sigma(scale: float) -> float:
    """Return the Gaussian, in px of the source, that a target `scale` times coarser asks for."""
    return 0.5 * float(np.sqrt(max(scale**2 - 1, 0)))
