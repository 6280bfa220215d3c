"""Places that are chosen on the DSLR's photo, and the windows of each phone that lie there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.params import AlignParams, PatchesParams
from dpedtool.dataset.schema import Alignment, Pair, Patch
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.homographies import Box, transform_points, translation
from dpedtool.pipeline.geometry.transform import NODE_PX, Field, Nodes, Transform
from dpedtool.pipeline.patches.stage import cut_patches
from dpedtool.pipeline.patches.windows import corners_at, shared_places

PARAMS = PatchesParams(size_px=60, stride_px=60, places="shared", place_px=100)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> dict[str, list[Patch]]:
    """Patches of two phones of one scene: the second has the scene's photo of the first, moved by some px."""
    out = tmp_path_factory.mktemp("shared")
    alignments = [row for row in align(pairs, out / "aligned", AlignParams(), images=False) if row.status == "aligned"]
    return {row.pair_id: read_rows(cut_patches([row], out / row.pair_id, PARAMS), Patch) for row in alignments}


def test_places_are_the_middles_of_cells_of_the_dslr_photo() -> None:
    assert shared_places(250, 120, PARAMS).tolist() == [[49.5, 49.5], [149.5, 49.5]]


def test_windows_lie_at_their_places_to_half_a_px() -> None:
    to = Transform(translation(30.25, -10.6))
    corners, places = corners_at(np.array([[99.5, 99.5], [30.0, 20.0], [199.5, 99.5]]), to, Box(5, 7, 250, 250), PARAMS)
    # 99.5 - 30.25 - 5 - 29.5 = 34.75, and 99.5 + 10.6 - 7 - 29.5 = 73.6; the second lies outside the crop.
    assert corners.tolist() == [[35, 74], [135, 74]]
    assert places.tolist() == [[99.5, 99.5], [199.5, 99.5]]


def test_of_two_places_with_one_window_the_first_has_it() -> None:
    places = np.array([[99.7, 100.0], [99.9, 100.0]])
    corners, kept = corners_at(places, Transform(np.eye(3)), Box(0, 0, 300, 300), PARAMS)
    assert corners.tolist() == [[70, 70]]
    assert kept.tolist() == [[99.7, 100.0]]


def test_a_transform_with_field_and_nodes_is_inverted_where_it_can_be() -> None:
    rng = np.random.default_rng(3)
    size = (320, 240)
    smooth = np.zeros((30, 40, 2), np.float32)
    smooth[..., 0] = np.linspace(-3, 3, 40)
    to = Transform(
        np.array([[1.5, 0.02, 30], [-0.01, 1.52, -12], [1e-5, 2e-5, 1]]),
        Field(size, rng.normal(0, 0.8, (10, 2))),
        Nodes(smooth),
    )
    points = rng.uniform((5, 5), (315, 235), (200, 2))
    np.testing.assert_allclose(to.inverse(to(points)), points, atol=0.02)


def test_what_nothing_leads_to_has_no_place() -> None:
    """Left of x = 160, things move by 20 px to the left; right of it by 20 to the right: a gap of 40 px, but for the
    8 px between the two nodes, which fold it into a slope."""
    apart = np.zeros((30, 40, 2), np.float32)
    apart[..., 0] = np.where(np.arange(40) < 20, -20, 20)
    to = Transform(np.eye(3), None, Nodes(apart))
    assert NODE_PX == 8
    found = to.inverse(np.array([[100.0, 100.0], [220.0, 100.0], [161.0, 100.0]]))
    np.testing.assert_allclose(found[:2], [[120, 100], [200, 100]], atol=1e-6)
    assert np.isnan(found[2]).all()


def test_every_window_lies_at_its_place_of_the_dslr(rows: dict[str, list[Patch]]) -> None:
    assert len(rows) >= 2
    for patches in rows.values():
        assert sum(row.status == "accepted" for row in patches) > 5
        assert len({(row.place_x, row.place_y) for row in patches}) == len(patches)
        for row in patches:
            middle = np.array([[29.5, 29.5]])
            off = transform_points(np.array(row.dslr_from_patch).reshape(3, 3), middle)[0] - (row.place_x, row.place_y)
            # Half a phone px in x and in y, in DSLR px, and what the homography of the patch leaves.
            assert np.abs(off).max() < 0.5 * row.dslr_width / row.size + 0.25
            assert (row.place_x - 49.5) % 100 == 0
            assert (row.place_y - 49.5) % 100 == 0


def test_two_crops_of_one_photo_have_the_same_places(
    tmp_path: Path, pairs: list[Pair], rows: dict[str, list[Patch]]
) -> None:
    """The same pair with a smaller crop: the places in it are those of the whole, and the images are equal."""
    (alignment,) = (
        row for row in align(pairs[:1], tmp_path / "aligned", AlignParams(), images=False) if row.status == "aligned"
    )
    whole = {(row.place_x, row.place_y): row for row in rows[alignment.pair_id]}
    smaller: Alignment = replace(
        alignment, crop_x=alignment.crop_x + 33, crop_width=alignment.crop_width - 71, key="smaller"
    )
    found = read_rows(cut_patches([smaller], tmp_path / "out", PARAMS), Patch)
    assert 0 < len(found) < len(whole)
    for row in found:
        other = whole[row.place_x, row.place_y]
        assert (row.x, row.y, row.patch_id) == (other.x, other.y, other.patch_id)
        # The noise of another crop is a little different.
        assert row.ncc == pytest.approx(other.ncc, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"places": "shared"}, "place_px does not say how far apart"),
        ({"places": "shared", "place_px": 50, "mode": "dped"}, "use the mode strict"),
        ({"place_px": 50}, "place_px is for shared places"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        PatchesParams(**given)


def test_the_grid_of_a_phone_has_no_places(tmp_path: Path, pairs: list[Pair]) -> None:
    alignments = align(pairs[:1], tmp_path / "aligned", AlignParams(), images=False)
    found = read_rows(cut_patches(alignments, tmp_path / "out", PatchesParams(size_px=60, stride_px=60)), Patch)
    assert {(row.place_x, row.place_y) for row in found} == {(None, None)}
