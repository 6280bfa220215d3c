"""What a row of the table of alignments means: where a point lies, which crop is common, how the aligned images look.

Everything that uses an alignment goes through here, so that another model of the transform is added in one place.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.decoding import PhotoFile, open_unchanged
from dpedtool.dataset.photos.stored import Image
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Alignment
from dpedtool.pipeline.geometry.homographies import Box, Points, fit_homographies
from dpedtool.pipeline.geometry.transform import Field, Transform
from dpedtool.pipeline.geometry.warping import warp_dslr

PLACES_PER_SIDE = 9
"""Places along each side of a window where the transform is compared with a homography."""

Value = TypeVar("Value")
Pixels = TypeVar("Pixels", npt.NDArray[np.uint8], npt.NDArray[np.float32])


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
    x, y = map_points(row, np.array([point], np.float64))[0]
    return float(x), float(y)


def map_points(row: Alignment, points: Points) -> Points:
    """Return where px (N, 2) of the upright phone photo lie in the upright DSLR photo, (N, 2)."""
    return transform(row)(points)


def is_in_phone(row: Alignment, point: tuple[float, float]) -> bool:
    """Whether a point (x, y) lies in the upright phone photo, its rim included."""
    width, height = required(row.phone_width), required(row.phone_height)
    return -0.5 <= point[0] <= width - 0.5 and -0.5 <= point[1] <= height - 0.5


def crop_box(row: Alignment) -> Box:
    """Return the common crop of an aligned row, in the phone photo."""
    return Box(required(row.crop_x), required(row.crop_y), required(row.crop_width), required(row.crop_height))


def aligned_images(row: Alignment) -> tuple[Image, Image]:
    """Return the common crop of an aligned pair, (H, W, 3) each: the phone's pixels, and the DSLR's on the same grid.

    Raises
    ------
    Rejection
        `unreadable_photo` or `photo_changed`: a photo is missing, damaged or has changed.

    """
    return crops(
        row,
        open_unchanged(row.phone_path, row.phone_sha256),
        open_unchanged(row.dslr_path, row.dslr_sha256),
    )


def crops(row: Alignment, phone: PhotoFile, dslr: PhotoFile) -> tuple[Image, Image]:
    """Return the same as `aligned_images`, of photos that are read already.

    Raises
    ------
    Rejection
        `unreadable_photo`: a photo is damaged.

    """
    box = crop_box(row)
    whole, other = phone.colour(), dslr.colour()
    return cut(whole, box), warp_dslr(other, transform(row), box)


def transform(row: Alignment) -> Transform:
    """Return the transform of an aligned row."""
    homography = np.array(required(row.dslr_from_phone), np.float64).reshape(3, 3)
    if row.field is None:
        return Transform(homography)
    size = required(row.phone_width), required(row.phone_height)
    return Transform(homography, Field(size, np.array(row.field, np.float64).reshape(-1, 2)))


def from_patches(
    row: Alignment, corners: npt.NDArray[np.int64], side: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the homographies that come closest to the transform inside windows, and what they leave.

    Parameters
    ----------
    row
        An aligned pair.
    corners
        (N, 2): x, y of the windows' top left px in the upright phone photo.
    side
        Side of the windows, in px.

    Returns
    -------
    tuple
        (N, 3, 3): from px of the window to px of the upright DSLR photo. (N,): the largest distance in a window between
        the place by the homography and the place by the transform, in px of the phone photo; 0 without a field.

    """
    to = transform(row)
    shift = np.zeros((len(corners), 3, 3)) + np.eye(3)
    shift[:, :2, 2] = corners
    if to.field is None:
        bends, phone_from_patch = np.zeros(len(corners)), shift
    else:
        axis = np.linspace(0, side - 1, PLACES_PER_SIDE)
        places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        points = corners[:, None, :] + places
        moved = places + to.field(points.reshape(-1, 2)).reshape(points.shape)
        fitted = fit_homographies(places, moved)
        projected = np.column_stack([places, np.ones(len(places))]) @ fitted.swapaxes(1, 2)
        bends = np.linalg.norm(projected[..., :2] / projected[..., 2:] - moved, axis=2).max(axis=1)
        phone_from_patch = shift @ fitted
    found = to.homography @ phone_from_patch
    return np.asarray(found / found[:, 2:, 2:]), bends


def transform_columns(transform: Transform) -> dict[str, tuple[float, ...] | None]:
    """Return the columns of a row that `transform` reads."""
    field = transform.field
    return {
        "dslr_from_phone": tuple(transform.homography.ravel().tolist()),
        "field": tuple(field.coefficients.ravel().tolist()) if field else None,
    }


def is_masked(row: Alignment, box: Box) -> bool:
    """Whether a box of the phone photo, inside the common crop, touches a cell that is not to be used."""
    if not row.masked:
        return False
    cells = mask(row)
    side, crop = required(row.mask_cell_px), crop_box(row)
    left, top = (box.x - crop.x) // side, (box.y - crop.y) // side
    right, bottom = (box.x - crop.x + box.width - 1) // side, (box.y - crop.y + box.height - 1) // side
    return bool(cells[top : bottom + 1, left : right + 1].any())


def mask(row: Alignment) -> npt.NDArray[np.bool_]:
    """Return the cells (rows, columns) of the common crop of an aligned row; true: not to be used."""
    side, crop = required(row.mask_cell_px), crop_box(row)
    rows, columns = -(-crop.height // side), -(-crop.width // side)
    bits = np.unpackbits(np.frombuffer(required(row.mask), np.uint8), count=rows * columns)
    return bits.reshape(rows, columns).astype(bool)


def mask_columns(cells: npt.NDArray[np.bool_], side: int) -> dict[str, bytes | int | float]:
    """Return the columns of a row that `mask` reads, for cells (rows, columns) of `side` px."""
    return {"mask": np.packbits(cells).tobytes(), "mask_cell_px": side, "masked": float(cells.mean())}


def cut(image: Pixels, box: Box) -> Pixels:
    """Return the box of an image (H, W) or (H, W, 3), a view."""
    return image[box.y : box.y + box.height, box.x : box.x + box.width]


@overload
def required(value: Place | None) -> Place: ...
@overload
def required(value: Value | None) -> Value: ...
def required(value: Any) -> Any:
    """Return a column that is never empty for rows of this status; ValueError for a broken table."""
    if value is None:
        raise ValueError("a paired or aligned row lacks a value")
    return value


def _suggestion(pair_id: str, known: Sequence[str]) -> str:
    if not known:
        return "the table is empty."
    if close := difflib.get_close_matches(pair_id, known, n=1, cutoff=0.3):
        return f"did you mean {close[0]}?"
    more = " and others" if len(known) > 3 else ""
    return f"the table holds {', '.join(known[:3])}{more}."
