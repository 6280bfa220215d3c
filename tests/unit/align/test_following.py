"""Nodes that follow depth, against the truth of rendered scenes; flat scenes and flows that fail leave none behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dpedtool.dataset.params import AlignParams, DemoParams, PatchesParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.align.following import follow
from dpedtool.pipeline.align.refinement import refine
from dpedtool.pipeline.align.stage import align
from dpedtool.pipeline.geometry.aligned import crop_box, from_patches, map_points, transform
from dpedtool.pipeline.geometry.homographies import Box, transform_points
from dpedtool.pipeline.geometry.transform import NODE_PX
from dpedtool.pipeline.measure.keypoint_homography import register
from dpedtool.pipeline.pair.stage import pair_files
from dpedtool.pipeline.patches.stage import cut_patches
from dpedtool.pipeline.rig import Truth
from dpedtool.pipeline.rig.capture import capture
from dpedtool.pipeline.rig.session import DEEP_SCENE, demo_cameras, demo_scene

PARAMS = AlignParams()


@dataclass(frozen=True)
class Deep:
    """The demo's scene with depth, as one phone and the DSLR see it, aligned and cut."""

    row: Alignment
    truth: Truth
    patches: list[Patch]
    folder: Path

    def errors(self, points: np.ndarray) -> np.ndarray:
        """Distance (N,) of points from their true place, in phone px; NaN where the DSLR does not see them."""
        assert self.row.scale
        away = map_points(self.row, points) - self.truth.dslr_from_phone(points)
        return np.linalg.norm(away, axis=1) / self.row.scale


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Deep:
    folder = tmp_path_factory.mktemp("deep")
    cameras = demo_cameras()
    scene = demo_scene(DemoParams(moving_object=False), DEEP_SCENE, cameras)
    phone, _, dslr = cameras
    for camera, seed in ((phone, 1), (dslr, 2)):
        save_image(folder / f"{camera.name}.png", capture(scene, camera, np.random.default_rng(seed)))
    pair = pair_files(folder / f"{phone.name}.png", folder / f"{dslr.name}.png").rows
    (row,) = align(pair, folder / "aligned", PARAMS)
    cut_patches([row], folder / "patches", PatchesParams(stride_px=50))
    patches = read_rows(folder / "patches" / "patches.parquet", Patch)
    return Deep(row, Truth(phone=phone, dslr=dslr, panels=scene.panels), patches, folder)


def grid_of(row: Alignment, step: int = 4) -> np.ndarray:
    box = crop_box(row)
    xs, ys = np.arange(box.x, box.x + box.width, step), np.arange(box.y, box.y + box.height, step)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(float)


def test_a_scene_with_depth_is_aligned_by_nodes(deep: Deep) -> None:
    row = deep.row
    assert (row.status, row.model) == ("aligned", "local")
    assert row.at_place > 0.95
    assert 0 < row.hidden < 0.3
    assert 0 < row.jump < 0.3
    box = crop_box(row)
    assert box.x % NODE_PX == box.y % NODE_PX == 0
    assert (row.nodes_rows, row.nodes_columns) == (75, 100)
    assert row.nodes_path == deep.folder / "aligned" / "nodes" / f"{row.pair_id}.npy"


def test_nodes_bring_the_frame_to_its_true_place(deep: Deep) -> None:
    """Half of the frame is off by a few tenths at most; without nodes, twice as much of it is off by 1 px."""
    points = grid_of(deep.row)
    errors = deep.errors(points)
    flat = replace(transform(deep.row), nodes=None)
    left = np.linalg.norm(flat(points) - deep.truth.dslr_from_phone(points), axis=1) / deep.row.scale
    assert np.nanmedian(errors) < 0.25
    assert np.nanmean(errors > 1) < 0.5 * np.nanmean(left > 1)


def test_what_is_kept_is_in_its_true_place_and_seen_by_both(deep: Deep) -> None:
    kept = [patch for patch in deep.patches if patch.status == "accepted"]
    assert len(kept) > 20
    axis = np.arange(0, 100, 3)
    inside = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    errors = np.stack([deep.errors(inside + np.array([patch.x, patch.y])) for patch in kept])
    medians = np.nanmedian(errors, axis=1)
    assert np.median(medians) < 0.15
    assert medians.max() < 0.6
    assert np.isnan(errors).mean(axis=1).max() < 0.1
    reasons = {patch.reason for patch in deep.patches}
    assert {"hidden", "depth_jump"} <= reasons


def test_patches_say_how_far_a_homography_is_from_their_transform(deep: Deep) -> None:
    to, axis = transform(deep.row), np.arange(100.0)
    inside = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    for patch in deep.patches[::7]:
        matrix, corner = np.array(patch.dslr_from_patch).reshape(3, 3), np.array([[patch.x, patch.y]])
        places = from_patches(to, corner, 100)
        (found,), (bend,) = places.homographies, places.bends_px
        np.testing.assert_allclose(matrix, found, rtol=1e-9)
        away = np.linalg.norm(transform_points(matrix, inside) - to(inside + corner), axis=1) / deep.row.scale
        assert (patch.bends is None) == (patch.status != "accepted")
        assert bend == patch.bend_px == pytest.approx(away.max(), rel=0.1, abs=0.02)


def test_without_the_local_model_the_pair_has_no_nodes(deep: Deep, tmp_path: Path) -> None:
    pair = pair_files(deep.row.phone_path, deep.row.dslr_path).rows
    (row,) = align(pair, tmp_path, replace(PARAMS, local=False), images=False)
    assert row.nodes_sha256 is None
    assert row.model != "local"
    assert row.hidden is None
    assert not list((tmp_path / "nodes").iterdir())
    # What is left is seen all the same.
    assert row.misplaced > 0.2


def test_a_flat_scene_gets_no_nodes(shots, tmp_path: Path) -> None:
    save_image(tmp_path / "p.png", shots.phone)
    save_image(tmp_path / "d.png", shots.dslr)
    (row,) = align(pair_files(tmp_path / "p.png", tmp_path / "d.png").rows, tmp_path / "out", PARAMS, images=False)
    assert row.status == "aligned"
    assert row.model != "local"
    assert row.misplaced == 0


def grey(photo: np.ndarray) -> ReducedGrey:
    return ReducedGrey(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), np.eye(3), photo.shape[1::-1])


def test_in_a_flat_scene_there_is_nothing_to_follow(shots) -> None:
    phone, dslr = grey(shots.phone), grey(shots.dslr)
    first = register(phone, dslr, PARAMS).dslr_from_phone
    found = follow(phone, dslr, first, refine(phone, dslr, first).transform)
    assert not found.told.depth
    assert not found.told.moved.any()
    assert found.transform.nodes is None
    assert found.motion.along < 0.05
    assert found.motion.against < 0.05


def test_where_depth_is_unlikely_photos_of_half_the_size_are_looked_at(shots) -> None:
    phone, dslr = grey(shots.phone), grey(shots.dslr)
    first = register(phone, dslr, PARAMS).dslr_from_phone
    seen: list[tuple[int, ...]] = []

    def still(one: np.ndarray, _: np.ndarray) -> np.ndarray:
        seen.append(one.shape)
        return np.zeros((*one.shape, 2), np.float32)

    found = follow(phone, dslr, first, refine(phone, dslr, first).transform, flow=still, is_doubtful=True)
    assert found.factor == 2
    assert seen == 2 * [(phone.size[1] // 2, phone.size[0] // 2)]
    assert found.transform.nodes is None
    assert found.shares(Box(0, 0, *phone.size)) == {"hidden": 0.0, "jump": 0.0}


def test_depth_that_was_unlikely_is_followed_like_any_other(shots) -> None:
    doubtful, usual = (follow_pushed(shots.phone, shots.dslr, 2.0, is_doubtful=doubt) for doubt in (True, False))
    assert doubtful.factor == usual.factor == 1
    np.testing.assert_array_equal(*(found.transform.nodes.displacements for found in (doubtful, usual)))


def test_matches_off_the_plane_alone_make_depth_unlikely(shots, tmp_path: Path, monkeypatch) -> None:
    """Those of repeated patterns lie there, too, in one of six scenes of the rig."""
    monkeypatch.setattr("dpedtool.pipeline.align.stage.may_have_depth", lambda *_: True)
    save_image(tmp_path / "p.png", shots.phone)
    save_image(tmp_path / "d.png", shots.dslr)
    asked = []

    def note(*photos, **how):
        asked.append(how)
        return follow(*photos, **how)

    monkeypatch.setattr("dpedtool.pipeline.align.stage.follow", note)
    (row,) = align(pair_files(tmp_path / "p.png", tmp_path / "d.png").rows, tmp_path / "out", PARAMS, images=False)
    assert asked == [{"is_doubtful": True}]
    assert (row.status, row.model != "local") == ("aligned", True)


def test_the_result_does_not_depend_on_the_number_of_threads(shots) -> None:
    threads, found = cv2.getNumThreads(), []
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            found.append(follow_pushed(shots.phone, shots.dslr, 2.0).transform.nodes.displacements)
            assert cv2.getNumThreads() == count
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_large_photo_is_followed_on_a_reduced_one(shots) -> None:
    """Nodes stay 8 px of the full photo apart, and say the same."""
    phone, dslr = (
        cv2.resize(photo, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC) for photo in (shots.phone, shots.dslr)
    )
    small = follow_pushed(shots.phone, shots.dslr, 2.0)
    large = follow_pushed(phone, dslr, 16.0)
    assert (small.factor, large.factor) == (1, 2)
    assert large.transform.nodes.displacements.shape[:2] == (240, 320)
    for found, push in ((small, 2.0), (large, 16.0)):
        middle = found.transform.nodes.displacements[5:-5, 5:-5]
        assert np.median(middle[..., 0]) == pytest.approx(push, rel=0.05)
        assert np.median(middle[..., 1]) == pytest.approx(0, abs=0.05 * push)


def follow_pushed(phone: np.ndarray, dslr: np.ndarray, push: float, *, is_doubtful: bool = False):
    """Follow a pair whose transform is wrong by so many phone px to the left."""
    photos = grey(phone), grey(dslr)
    first = register(*photos, PARAMS).dslr_from_phone
    right = refine(*photos, first).transform
    wrong = replace(right, homography=right.homography @ np.array([[1, 0, -push], [0, 1, 0], [0, 0, 1]]))
    return follow(*photos, first, wrong, is_doubtful=is_doubtful)


def test_a_flow_that_finds_nothing_leaves_the_transform_as_it_was(shots) -> None:
    """One that points somewhere else each time comes back nowhere."""
    phone, dslr = grey(shots.phone), grey(shots.dslr)
    first = register(phone, dslr, PARAMS).dslr_from_phone
    generator = np.random.default_rng(0)

    def lost(one: np.ndarray, _: np.ndarray) -> np.ndarray:
        return generator.uniform(20, 40, (*one.shape, 2)).astype(np.float32)

    found = follow(phone, dslr, first, refine(phone, dslr, first).transform, flow=lost)
    assert found.hidden.all()
    assert not found.transform.nodes.displacements.any()
    assert found.motion.lost > 0.9


def two_planes(shift: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A textured wall, and a thing on its left that covers a share of the frame and lies so many px farther right."""
    rng = np.random.default_rng(0)
    wall, thing = (
        cv2.GaussianBlur(rng.integers(0, 256, (480, 720, 3), np.uint8), (0, 0), 1.6).astype(np.float32) for _ in "ab"
    )
    wall, thing = (np.clip(128 + 4 * (layer - 128), 0, 255).astype(np.uint8) for layer in (wall, thing))
    photos = []
    for moved in (0, shift):
        photo, width = wall.copy(), int(share * 720)
        photo[:, moved : width + moved] = thing[:, :width]
        photos.append(photo[:, 40:])
    return photos[0], photos[1]


@pytest.mark.parametrize(("shift", "share"), [(12, 0.35), (20, 0.35), (20, 0.45)])
def test_a_thing_that_lies_beyond_the_search_for_windows_is_followed(shift: int, share: float, tmp_path: Path) -> None:
    """None of its windows is found without nodes, so that none of them counts as misplaced."""
    for name, photo in zip("pd", two_planes(shift, share), strict=True):
        save_image(tmp_path / f"{name}.png", photo)
    (row,) = align(pair_files(tmp_path / "p.png", tmp_path / "d.png").rows, tmp_path / "out", PARAMS, images=False)
    assert (row.status, row.model) == ("aligned", "local")
    assert row.at_place > 0.9
    point = np.array([[60.0, 200.0]])
    np.testing.assert_allclose(map_points(row, point), point + np.array([shift, 0]), atol=0.1)


@pytest.mark.parametrize("factor", [2, 4])
def test_depth_is_followed_on_reduced_photos_as_well(factor: int, deep: Deep, monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos are enlarged, so that the reduced ones hold the same detail."""
    monkeypatch.setattr("dpedtool.pipeline.align.following.MOST_PX", 800 * 600)
    points, away = grid_of(deep.row, 8), {}
    for size in (1, factor):
        photos = [
            grey(cv2.resize(load_photo(path), None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC))
            for path in (deep.row.phone_path, deep.row.dslr_path)
        ]
        first = register(*photos, PARAMS).dslr_from_phone
        found = follow(*photos, first, refine(*photos, first).transform)
        assert found.factor == size
        places = (found.transform((points + 0.5) * size - 0.5) + 0.5) / size - 0.5
        away[size] = np.linalg.norm(places - deep.truth.dslr_from_phone(points), axis=1) / deep.row.scale
    assert np.nanmedian(away[factor]) < 1.2 * np.nanmedian(away[1])
    assert np.nanmean(away[factor] > 1) < np.nanmean(away[1] > 1) + 0.03


def test_where_nodes_are_not_needed_they_fade_to_nothing(shots) -> None:
    """One in the middle is needed; the transform of the whole photo is more exact than the flow elsewhere."""
    photos = grey(shots.phone), grey(shots.dslr)
    first = register(*photos, PARAMS).dslr_from_phone
    right = refine(*photos, first).transform
    wrong = replace(right, homography=right.homography @ np.array([[1, 0, -3], [0, 1, 0], [0, 0, 1]]))
    needed = np.zeros((30, 40), bool)
    needed[15, 20] = True
    nodes = follow(*photos, first, wrong, needed).transform.nodes.displacements[..., 0]
    assert nodes[15, 20] == pytest.approx(3, abs=0.15)
    assert nodes[15, 22] == pytest.approx(1.5, abs=0.1)
    assert not nodes[15, 24:].any()
    assert not nodes[:11].any()
