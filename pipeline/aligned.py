"""What a row of the table of alignments means: where a point lies, which crop is common, how the aligned images look.

Everything that uses an alignment goes through here, so that another model of the transform has one place to enter.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np

from dataset.errors import DpedtoolError
from dataset.photos import Image, load_unchanged
from dataset.places import Place
from dataset.schema import Alignment
from pipeline.geometry import Box, Homography, transform_points
from pipeline.warping import warp_dslr

Value = TypeVar("Value")


def find_pair(rows: Sequence[Alignment], pair_id: str) -> Alignment:
    """Return the aligned row of this pair.

    Raises
    ------
    DpedtoolError
        There is no such pair, or it could not be aligned.

    """
    by_id = {row.pair_id: row for row in rows}
    if pair_id not in by_id:
        raise DpedtoolError(f"There is no pair {pair_id}: {_suggestion(pair_id, sorted(by_id))}")
    row = by_id[pair_id]
    if row.status != "aligned":
        raise DpedtoolError(f"{pair_id} was not aligned ({row.reason}): {row.detail}")
    return row


def dslr_from_phone(row: Alignment, point: tuple[float, float]) -> tuple[float, float]:
    """Return where a pixel (x, y) of the upright phone photo lies in the upright DSLR photo."""
    x, y = transform_points(homography(row), np.array([point]))[0]
    return float(x), float(y)


def is_in_phone(row: Alignment, point: tuple[float, float]) -> bool:
    """Whether a point (x, y) lies in the upright phone photo, its rim included."""
    width, height = there(row.phone_width), there(row.phone_height)
    return -0.5 <= point[0] <= width - 0.5 and -0.5 <= point[1] <= height - 0.5


def crop_box(row: Alignment) -> Box:
    """Return the common crop of an aligned row, in the phone photo."""
    return Box(there(row.crop_x), there(row.crop_y), there(row.crop_width), there(row.crop_height))


def aligned_images(row: Alignment) -> tuple[Image, Image]:
    """Return the common crop of an aligned pair, (H, W, 3) each: the phone's pixels, and the DSLR's on the same grid.

    Raises
    ------
    Rejection
        `unreadable_photo` or `photo_changed`: a photo is not there any more as it was.

    """
    box = crop_box(row)
    phone = load_unchanged(row.phone_path, row.phone_sha256)
    dslr = load_unchanged(row.dslr_path, row.dslr_sha256)
    return cut(phone, box), warp_dslr(dslr, homography(row), box)


def homography(row: Alignment) -> Homography:
    """Return `dslr_from_phone` of an aligned row, (3, 3) float64."""
    return np.array(there(row.dslr_from_phone), np.float64).reshape(3, 3)


def cut(image: Image, box: Box) -> Image:
    """Return the box of an image, a view."""
    return image[box.y : box.y + box.height, box.x : box.x + box.width]


@overload
def there(value: Place | None) -> Place: ...
@overload
def there(value: Value | None) -> Value: ...
def there(value: Any) -> Any:
    """Return a column that is never empty for rows of this status; ValueError for a broken table."""
    if value is None:
        raise ValueError("a paired or aligned row lacks a value")
    return value


def _suggestion(pair_id: str, known: Sequence[str]) -> str:
    if close := difflib.get_close_matches(pair_id, known, n=1, cutoff=0.3):
        return f"did you mean {close[0]}?"
    more = " and others" if len(known) > 3 else ""
    return f"the table holds {', '.join(known[:3]) or 'none'}{more}."
