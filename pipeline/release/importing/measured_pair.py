"""Reads one pair of images that somebody else cut, and measures it like the pipeline's own windows.

The images show only the patch, so there is nothing around it to search in. A square window in their middle is measured
instead: at each edge it is smaller than the patch's shorter side by the search range and `GUARD_PX`. With patches of
100 px and a search within 5 px, it is the middle 86 px.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import TARGET_SCALES, PatchesParams
from dpedtool.dataset.photos.decoding import PhotoFile, decode_image, open_photo
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.patches.windows import measure_row_of_windows

GUARD_PX = 2
"""Margin in addition to the search range, needed by sub-pixel steps of up to `subpixel.ASTRAY_PX`."""
REACH_SHARE = 8
"""The search range is at most the shorter side divided by this, so that most of a small patch is measured."""
LEAST_PX, MOST_PX = 8, 512
"""Side of the window. Smaller ones are not measured, and in whole photos the middle is enough."""
_KEPT = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n")
"""First bytes of JPEG and PNG files, the formats in shards."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found for a pair."""

    facts: Mapping[str, Any]
    """Columns of `dpedtool.dataset.schema.Patch`."""
    images: tuple[bytes, bytes] | None
    """The files to store, the phone's and the DSLR's; None if the pair is rejected."""


def judge_pair(phone: Path, dslr: Path, params: PatchesParams) -> Judged:
    """Read and measure two images. They are rejected only if they do not form a pair, never for what they show.

    Parameters
    ----------
    phone, dslr
        The files.
    params
        `search_px` and `blur_px`, used for the measurements.

    """
    sums: dict[str, str] = {}
    try:
        files = open_photo(phone), open_photo(dslr)
        for side, file in zip(("phone", "dslr"), files, strict=True):
            sums[f"{side}_sha256"] = hashlib.sha256(file.content).hexdigest()
        images = files[0].colour(), files[1].colour()
        _check_sizes(files, images)
        stored = _storable(files[0], images[0]), _storable(files[1], images[1])
    except Rejection as problem:
        return Judged({**sums, "reason": problem.reason, "detail": problem.detail}, None)
    detail, scale = _changes(files, stored), _scale(images)
    measured = measure_pair(images[0], _on_phones_grid(images), params)
    shape = {**_shape(images[0]), "target_scale": scale}
    return Judged({**sums, "detail": detail, **shape, **measured}, stored)


def measure_pair(phone: Image, dslr: Image, params: PatchesParams) -> dict[str, float | None]:
    """Measure the window in the middle of two images (H, W, 3) of one size, BGR.

    Returns
    -------
    dict
        Values by column of `dpedtool.dataset.schema.Patch`; None if a value could not be measured. Empty for images
        that are too small.

    """
    height, width = phone.shape[:2]
    reach = max(1, min(params.search_px, min(height, width) // REACH_SHARE))
    side = min(min(height, width) - 2 * (reach + GUARD_PX), MOST_PX)
    if side < LEAST_PX:
        return {}
    ours, theirs = (np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in (phone, dslr))
    corner = np.array([[(width - side) // 2, (height - side) // 2]])
    measures = measure_row_of_windows(ours, theirs, Box(0, 0, width, height), corner, _unmoved(params, side, reach))
    (measured,) = measures.each()
    return asdict(measured)


@lru_cache(64)
def _unmoved(params: PatchesParams, side: int, reach: int) -> PatchesParams:
    return replace(params, mode="strict", size_px=side, search_px=reach)


def _check_sizes(files: tuple[PhotoFile, PhotoFile], images: tuple[Image, Image]) -> None:
    if not _scale(images):
        sizes = [f"{file.path} is {_size(image)} px" for file, image in zip(files, images, strict=True)]
        larger = " or ".join(str(scale) for scale in TARGET_SCALES if scale > 1)
        raise Rejection(
            "unequal_sizes",
            f"{sizes[0]}, but {sizes[1]}: a pair must have one size, or the DSLR's image {larger} times the phone's.",
        )


def _scale(images: tuple[Image, Image]) -> int | None:
    """Return the px of the DSLR's image for each of the phone's, along a side; None for none of `TARGET_SCALES`."""
    height, width = images[0].shape[:2]
    return next((scale for scale in TARGET_SCALES if images[1].shape[:2] == (scale * height, scale * width)), None)


def _on_phones_grid(images: tuple[Image, Image]) -> Image:
    """Return the DSLR's image on the phone's px, each the mean of those that it covers."""
    height, width = images[0].shape[:2]
    return np.asarray(cv2.resize(images[1], (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _shape(image: Image) -> dict[str, int | None]:
    height, width = image.shape[:2]
    return {"size": width if width == height else None}


def _storable(file: PhotoFile, image: Image) -> bytes:
    """Return the file as it is if readers of shards see the same pixels in it; else its pixels as PNG.

    Readers of shards ignore orientation and colour profile.
    """
    if file.content.startswith(_KEPT) and np.array_equal(decode_image(file.content, file.path), image):
        return file.content
    return encode_image(image, ".png")


def _changes(files: tuple[PhotoFile, PhotoFile], stored: tuple[bytes, bytes]) -> str:
    """Return a sentence that names the files not stored as they are; empty if both are."""
    changed = [file.path.name for file, content in zip(files, stored, strict=True) if content is not file.content]
    if not changed:
        return ""
    return (
        f"{' and '.join(changed)}: stored as PNG, pixel for pixel, since the file is turned by its EXIF orientation, "
        "has a colour profile or 16 bit, or is neither JPEG nor PNG."
    )


def _size(image: Image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
