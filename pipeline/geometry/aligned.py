"""What a row of the table of alignments means: where a point lies, which crop is common, how the aligned images look.

Everything that uses an alignment goes through here, so that another model of the transform is added in one place.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.photos.decoding import PhotoFile, open_unchanged
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.places import Place
from dpedtool.dataset.schema import Alignment
from dpedtool.pipeline.geometry.homographies import Box, Points, fit_homographies
from dpedtool.pipeline.geometry.node_files import read_nodes
from dpedtool.pipeline.geometry.transform import NODE_PX, Field, Transform
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


def map_points(row: Alignment, points: Points) -> Points:
    """Return where px (N, 2) of the upright phone photo lie in the upright DSLR photo, (N, 2).

    Raises
    ------
    Rejection
        `nodes_changed`, as in `transform`.

    """
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
        `unreadable_photo`, `photo_changed` or `nodes_changed`: a file is missing, damaged or has changed.

    """
    files = open_unchanged(row.phone_path, row.phone_sha256), open_unchanged(row.dslr_path, row.dslr_sha256)
    return crops(files, transform(row), crop_box(row))


def crops(files: tuple[PhotoFile, PhotoFile], to: Transform, box: Box) -> tuple[Image, Image]:
    """Return the same as `aligned_images`, of photos that are read already, and their transform and common crop.

    Raises
    ------
    Rejection
        `unreadable_photo`: a photo is damaged.

    """
    whole, other = (file.colour() for file in files)
    return cut(whole, box), warp_dslr(other, to, box)


def transform(row: Alignment) -> Transform:
    """Return the transform of an aligned row.

    Raises
    ------
    Rejection
        `nodes_changed`: the file of the nodes of a local model is missing, or has changed.

    """
    whole = whole_transform(row)
    if row.nodes_sha256 is None:
        return whole
    shape = required(row.nodes_rows), required(row.nodes_columns)
    return replace(whole, nodes=read_nodes(required(row.nodes_path), row.nodes_sha256, *shape))


def whole_transform(row: Alignment) -> Transform:
    """Return the transform of an aligned row without the nodes of a local model: what the whole photo shares."""
    homography = np.array(required(row.dslr_from_phone), np.float64).reshape(3, 3)
    size = required(row.phone_width), required(row.phone_height)
    field = None if row.field is None else Field(size, np.array(row.field, np.float64).reshape(-1, 2))
    return Transform(homography, field)


@dataclass(frozen=True, eq=False)
class PatchPlaces:
    """Where N windows lie in the DSLR photo."""

    homographies: npt.NDArray[np.float64]
    """(N, 3, 3): from px of the window to px of the upright DSLR photo, the closest ones to the transform."""
    bends_px: npt.NDArray[np.float64]
    """(N,): the largest distance in a window between the place by the homography and the place by the transform, in px
    of the phone photo; 0 if the transform is a homography."""
    nodes: npt.NDArray[np.float64] | None
    """(N, n, n, 2): what to add to px of the window before the homography, so that the place is exact, at the nodes of
    the transform, row by row, x and y in px; n is `nodes_per_side`. None without nodes."""


def nodes_per_side(side: int) -> int:
    """Return how many nodes cover a window of `side` px, wherever it begins."""
    return -(-(side + NODE_PX - 1) // NODE_PX) + 1


def first_node(corner: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return x, y of the first of these nodes in px of the window, for corners (N, 2) in the phone photo: (N, 2)."""
    return np.asarray(-((corner - (NODE_PX - 1) / 2) % NODE_PX))


def from_patches(to: Transform, corners: npt.NDArray[np.int64], side: int) -> PatchPlaces:
    """Return where windows lie in the DSLR photo.

    Parameters
    ----------
    to
        The transform of an aligned pair.
    corners
        (N, 2): x, y of the windows' top left px in the upright phone photo.
    side
        Side of the windows, in px.

    """
    shift = np.zeros((len(corners), 3, 3)) + np.eye(3)
    shift[:, :2, 2] = corners
    if to.field is None and to.nodes is None:
        return PatchPlaces(_scaled(to.homography @ shift), np.zeros(len(corners)), None)
    axis = np.linspace(0, side - 1, PLACES_PER_SIDE)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    fitted = fit_homographies(places, _moved(to, corners, places[None]))
    # Between nodes the displacement is bilinear, so that it bends the most at a node.
    looked_at = _node_places(corners, side) if to.nodes else places[None]
    away = _projected(fitted, looked_at) - _moved(to, corners, looked_at)
    nodes = None
    if to.nodes:
        count = nodes_per_side(side)
        steps = np.arange(count) * float(NODE_PX)
        grid = first_node(corners)[:, None, :] + np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        back = _projected(np.asarray(np.linalg.inv(fitted)), _moved(to, corners, grid))
        nodes = (back - grid).reshape(len(corners), count, count, 2)
    found = _scaled(to.homography @ shift @ fitted)
    return PatchPlaces(found, np.linalg.norm(away, axis=2).max(axis=1), nodes)


def _scaled(homographies: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(homographies / homographies[:, 2:, 2:])


def _projected(homographies: npt.NDArray[np.float64], places: Points) -> Points:
    """Return places (N or 1, K, 2) as N homographies move them, (N, K, 2)."""
    moved = np.concatenate([places, np.ones((*places.shape[:2], 1))], axis=2) @ homographies.swapaxes(1, 2)
    return np.asarray(moved[..., :2] / moved[..., 2:])


def _moved(to: Transform, corners: npt.NDArray[np.int64], places: Points) -> Points:
    """Return places (N or 1, K, 2) of windows, displaced by field and nodes, (N, K, 2) in px of the windows."""
    points = corners[:, None, :] + places
    return np.asarray(places + to.displacement(points.reshape(-1, 2)).reshape(points.shape))


def _node_places(corners: npt.NDArray[np.int64], side: int) -> Points:
    """Return the places (N, K, 2) of the nodes in windows, in px of the windows, and where their lines meet the rim."""
    first = ((NODE_PX - 1) / 2 - corners) % NODE_PX
    steps = np.arange(-(-side // NODE_PX)) * NODE_PX
    inside = np.minimum(first[:, None, :] + steps[:, None], side - 1)
    ends = np.zeros((len(corners), 1, 2)), np.full((len(corners), 1, 2), side - 1.0)
    axes = np.concatenate([ends[0], inside, ends[1]], axis=1)
    grids = np.broadcast_arrays(axes[:, None, :, 0], axes[:, :, None, 1])
    return np.stack(grids, axis=-1).reshape(len(corners), -1, 2)


def transform_columns(transform: Transform) -> dict[str, tuple[float, ...] | None]:
    """Return the columns of a row that `transform` reads, except those of the nodes."""
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
    return mask_of(required(row.mask), required(row.mask_cell_px), crop_box(row))


def mask_of(packed: bytes, side: int, crop: Box) -> npt.NDArray[np.bool_]:
    """Return the same for the bytes of the column `mask`, cells of `side` px and the common crop."""
    rows, columns = -(-crop.height // side), -(-crop.width // side)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=rows * columns)
    return bits.reshape(rows, columns).astype(bool)


def usable_px(packed: bytes, side: int | None, crop: Box) -> npt.NDArray[np.bool_]:
    """Return which px (H, W) of a common crop can be compared, for the bytes of the column `mask`; empty: all of it."""
    if not packed:
        return np.ones((crop.height, crop.width), bool)
    cells = mask_of(packed, required(side), crop)
    whole = cells.repeat(required(side), axis=0).repeat(required(side), axis=1)
    return np.asarray(~whole[: crop.height, : crop.width])


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
