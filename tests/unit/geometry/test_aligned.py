"""What a row of alignments means: transforms and masks survive the table, borders lie where they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.tables import read_rows, write_rows
from dpedtool.pipeline.geometry.aligned import (
    from_patches,
    is_in_phone,
    is_masked,
    map_points,
    mask,
    mask_columns,
    nodes_per_side,
    transform,
    transform_columns,
)
from dpedtool.pipeline.geometry.homographies import Box, fit_homographies, transform_points
from dpedtool.pipeline.geometry.node_files import columns_of, rounded, write_nodes
from dpedtool.pipeline.geometry.transform import Field, Transform

HOMOGRAPHY = np.array([[1.8, 0.05, 12.0], [-0.04, 1.82, -7.0], [1e-5, -2e-5, 1.0]])
POINTS = np.array([[0.0, 0.0], [319.5, 239.5], [639.0, 17.25]])
CELLS = np.zeros((4, 5), bool)
CELLS[1, 2] = True


def aligned(**columns: object) -> Alignment:
    """A crop of 150 x 120 px at (10, 20): cells of 32 px, five a row, four rows."""
    crop = {"crop_x": 10, "crop_y": 20, "crop_width": 150, "crop_height": 120}
    known = {"dslr_from_phone": tuple(HOMOGRAPHY.ravel().tolist()), "field": None, **mask_columns(CELLS, 32)}
    return Alignment(
        pair_id="a",
        phone="phone",
        scene_id="1",
        status="aligned",
        phone_path=Path("p.jpg"),
        dslr_path=Path("d.jpg"),
        phone_sha256="0",
        dslr_sha256="1",
        phone_width=640,
        phone_height=480,
        key="k",
        **crop | known | columns,
    )


def stored(row: Alignment, folder: Path) -> Alignment:
    write_rows(folder / "alignments.parquet", Alignment, [row])
    return read_rows(folder / "alignments.parquet", Alignment)[0]


# Transforms


@pytest.mark.parametrize("terms", [None, 10, 21])
def test_a_transform_survives_the_table(terms: int | None, tmp_path: Path) -> None:
    coefficients = np.random.default_rng(0).normal(size=(terms, 2)) if terms else None
    mapping = Transform(HOMOGRAPHY, Field((640, 480), coefficients) if terms else None)
    row = stored(aligned(**transform_columns(mapping)), tmp_path)
    again = transform(row)
    np.testing.assert_array_equal(again.homography, HOMOGRAPHY)
    assert (again.field is None) == (terms is None)
    np.testing.assert_array_equal(map_points(row, POINTS), mapping(POINTS))


def test_nodes_survive_the_table_and_their_file(tmp_path: Path) -> None:
    nodes = rounded(np.random.default_rng(1).normal(0, 5, (60, 80, 2)))
    write_nodes(tmp_path / "nodes" / "a.npy", nodes)
    mapping = Transform(HOMOGRAPHY, LINEAR, nodes)
    columns = transform_columns(mapping) | columns_of(nodes, tmp_path / "nodes" / "a.npy") | {"model": "local"}
    row = stored(aligned(**columns), tmp_path)
    assert (row.nodes_rows, row.nodes_columns, row.nodes_spacing_px) == (60, 80, 8)
    np.testing.assert_array_equal(map_points(row, POINTS), mapping(POINTS))
    assert not np.allclose(map_points(row, POINTS), Transform(HOMOGRAPHY, LINEAR)(POINTS), atol=0.1)


def test_a_row_whose_nodes_are_gone_or_others_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    row = aligned(**columns_of(rounded(np.zeros((60, 80, 2))), file))
    with pytest.raises(Rejection, match="cannot be read") as missing:
        transform(row)
    assert missing.value.reason == "nodes_changed"
    write_nodes(file, rounded(np.ones((60, 80, 2))))
    with pytest.raises(Rejection, match="is not the one that the alignment made"):
        transform(row)


def test_columns_by_hand() -> None:
    field = Field((640, 480), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    columns = transform_columns(Transform(np.eye(3), field))
    assert columns == {"dslr_from_phone": (1, 0, 0, 0, 1, 0, 0, 0, 1), "field": (1, 2, 3, 4, 5, 6)}
    assert transform_columns(Transform(np.eye(3)))["field"] is None
    # At the middle of the longer side's end u = 1: the field moves by (1 + 3, 2 + 4).
    row = aligned(**columns)
    np.testing.assert_allclose(map_points(row, np.array([[639.5, 239.5]])), [[643.5, 245.5]], atol=1e-12)


def test_the_rim_belongs_to_the_photo() -> None:
    row = aligned()
    assert is_in_phone(row, (-0.5, 479.5))
    assert is_in_phone(row, (639.5, -0.5))
    assert not is_in_phone(row, (639.6, 0))
    assert not is_in_phone(row, (0, -0.6))


# Masks


@pytest.mark.parametrize("width", [1, 32, 33, 150, 257])
@pytest.mark.parametrize("height", [1, 31, 64, 120])
def test_the_bits_of_a_mask_survive_the_table(width: int, height: int, tmp_path: Path) -> None:
    shape = -(-height // 32), -(-width // 32)
    cells = np.random.default_rng(width + height).random(shape) < 0.4
    columns = mask_columns(cells, 32)
    row = stored(aligned(crop_width=width, crop_height=height, **columns), tmp_path)
    np.testing.assert_array_equal(mask(row), cells)
    assert row.masked == pytest.approx(cells.mean())
    assert len(row.mask) == -(-cells.size // 8)


def test_bits_by_hand() -> None:
    cells = np.array([[True, False, False, True, False], [False, True, False, False, False]])
    columns = mask_columns(cells, 16)
    assert columns == {"mask": bytes([0b10010010, 0b00000000]), "mask_cell_px": 16, "masked": 0.3}


# The masked cell spans x 74..105 and y 52..83 of the phone photo.
@pytest.mark.parametrize(
    ("box", "touches"),
    [
        (Box(74, 52, 32, 32), True),
        (Box(42, 52, 32, 32), False),  # ends at 73
        (Box(43, 52, 32, 32), True),  # ends at 74
        (Box(105, 83, 10, 10), True),
        (Box(106, 83, 10, 10), False),
        (Box(105, 84, 10, 10), False),
        (Box(74, 20, 32, 32), False),  # ends at 51
        (Box(74, 20, 32, 33), True),
        (Box(90, 60, 1, 1), True),
        (Box(10, 20, 150, 120), True),
        (Box(10, 84, 150, 56), False),
    ],
)
def test_a_box_that_touches_a_masked_cell_is_masked(box: Box, touches: bool) -> None:
    assert is_masked(aligned(), box) == touches


def test_nothing_is_masked_without_masked_cells() -> None:
    assert not is_masked(aligned(**mask_columns(np.zeros((4, 5), bool), 32)), Box(10, 20, 150, 120))


def test_a_row_without_a_mask_is_a_broken_table() -> None:
    with pytest.raises(ValueError, match="lacks a value"):
        mask(aligned(mask=None))


LINEAR = Field((640, 480), np.array([[0.5, -0.25], [2.0, 0.0], [0.0, 1.0]]))
BENT = Field((640, 480), np.array([[0.5, -0.25], [2.0, 0.0], [0.0, 1.0], [3, 0], [0, 2], [1, 1]]))
"""It bends by 40 px over the frame."""


@pytest.mark.parametrize("field", [None, LINEAR])
def test_a_window_gets_the_homography_that_the_transform_is_there(field: Field | None) -> None:
    """A homography and a linear field are one homography."""
    corners, inside = np.array([[100, 40], [300, 200]]), np.array([[0.0, 0.0], [59, 59], [10, 20], [30, 59]])
    row = aligned(**transform_columns(Transform(HOMOGRAPHY, field)))
    places = from_patches(transform(row), corners, 60)
    homographies, bends = places.homographies, places.bends_px
    assert places.nodes is None
    np.testing.assert_allclose(bends, 0, atol=1e-9)
    for corner, found in zip(corners, homographies, strict=True):
        assert found[2, 2] == 1
        np.testing.assert_allclose(transform_points(found, inside), map_points(row, inside + corner), atol=1e-9)


@pytest.mark.parametrize(("side", "most"), [(60, 0.03), (256, 0.4)])
def test_what_a_homography_leaves_of_a_bend_is_said_for_the_whole_window(side: int, most: float) -> None:
    row = aligned(**transform_columns(Transform(np.eye(3), BENT)))
    axis = np.arange(side, dtype=float)
    inside = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    corners = np.array([[100, 40], [300, 200]])
    places = from_patches(transform(row), corners, side)
    for corner, found, bend in zip(corners, places.homographies, places.bends_px, strict=True):
        left = np.linalg.norm(transform_points(found, inside) - map_points(row, inside + corner), axis=1)
        assert 0 < bend < most
        assert bend == pytest.approx(left.max(), rel=0.02)


def test_what_a_homography_leaves_of_nodes_is_said_for_the_whole_window() -> None:
    """One node is displaced by 2 px: no homography follows it, and the bend is largest near it."""
    displacements = np.zeros((60, 80, 2))
    displacements[20, 30] = (2.0, 0.0)
    to, side, corner = Transform(np.eye(3), nodes=rounded(displacements)), 100, np.array([190, 110])
    axis = np.arange(side, dtype=float)
    inside = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    places = from_patches(to, corner[None], side)
    (found,), (bend,) = places.homographies, places.bends_px
    left = np.linalg.norm(transform_points(found, inside) - to(inside + corner), axis=1)
    assert bend == pytest.approx(left.max(), rel=0.15)
    assert 1.5 < bend < 2.0


@pytest.mark.parametrize("corner", [(192, 112), (195, 109), (199, 119), (3, 4)])
@pytest.mark.parametrize("side", [16, 100, 101])
def test_the_nodes_of_a_window_make_its_place_exact(corner: tuple[int, int], side: int) -> None:
    """They are all that is needed: nothing of the pair but the homography of the window."""
    smooth = np.cumsum(np.cumsum(np.random.default_rng(5).normal(0, 0.05, (60, 80, 2)), axis=0), axis=1)
    to = Transform(HOMOGRAPHY, BENT, rounded(np.clip(smooth, -9, 9)))
    places = from_patches(to, np.array([corner]), side)
    count = nodes_per_side(side)
    nodes = places.nodes[0]
    assert nodes.shape == (count, count, 2)
    axis = np.arange(side, dtype=float)
    inside = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    first = -((np.array(corner) - 3.5) % 8)
    assert (first <= 0).all()
    assert (first + 8 * (count - 1) >= side - 1).all()
    # Bilinear by hand.
    at = (inside - first) / 8
    low = at.astype(int)
    share = at - low
    bend = sum(
        nodes[low[:, 1] + v, low[:, 0] + u]
        * (share[:, 0] if u else 1 - share[:, 0])[:, None]
        * (share[:, 1] if v else 1 - share[:, 1])[:, None]
        for u in (0, 1)
        for v in (0, 1)
    )
    found = transform_points(places.homographies[0], inside + bend)
    assert np.linalg.norm(found - to(inside + np.array(corner)), axis=1).max() / 1.8 < 0.06


def test_the_homography_of_a_window_is_nearer_than_one_through_its_corners() -> None:
    row, side, corner = aligned(**transform_columns(Transform(np.eye(3), BENT))), 256, np.array([300, 200])
    axis = np.linspace(0, side - 1, 33)
    inside = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    rim = np.array([[0, 0], [side - 1, 0], [side - 1, side - 1], [0, side - 1]], np.float64)
    through = fit_homographies(rim, map_points(row, rim + corner)[None])[0]
    wanted = map_points(row, inside + corner)
    (bend,) = from_patches(transform(row), corner[None], side).bends_px
    assert np.linalg.norm(transform_points(through, inside) - wanted, axis=1).max() > 1.3 * bend
