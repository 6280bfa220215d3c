"""The simulated rig: geometry against hand-computed values, photos against the geometry, files against both."""

from __future__ import annotations

import itertools
import json
import math
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, ImageOps
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import CapturesParams, DemoParams, PairParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.pipeline.pair.intake import camera_folders, pair_into
from dpedtool.pipeline.rig import (
    Camera,
    Layer,
    Look,
    Panel,
    Scene,
    Truth,
    capture,
    demo_cameras,
    demo_scene,
    hang,
    load_truth,
    simulate_pair,
    simulate_session,
)
from dpedtool.pipeline.rig.collage import photographs, wall_of_prints

WALL = Panel(centre_m=(0.0, 0.0, 8.0), width_m=20.0, height_m=16.0)
LEFT = Camera(name="phone", width=200, height=150, focal_px=160.0)
RIGHT = Camera(name="dslr", width=300, height=200, focal_px=240.0, position_m=(0.1, 0.0, 0.0))


def grid(camera: Camera, step: int = 10, edge: int = 0) -> np.ndarray:
    """Pixels (N, 2) of a camera, every `step` px."""
    x, y = np.meshgrid(np.arange(edge, camera.width - edge, step), np.arange(edge, camera.height - edge, step))
    return np.column_stack([x.ravel(), y.ravel()]).astype(float)


# Geometry


def test_a_camera_looks_along_the_axis_through_the_middle_of_its_photo() -> None:
    np.testing.assert_allclose(LEFT.project(np.array([[0.0, 0.0, 5.0]])), [[99.5, 74.5]])


def test_projection_by_hand() -> None:
    # x = 160 * 1 / 4 + 99.5, y = 160 * -0.5 / 4 + 74.5
    np.testing.assert_allclose(LEFT.project(np.array([[1.0, -0.5, 4.0]])), [[139.5, 54.5]])


def test_distortion_by_hand() -> None:
    camera = replace(LEFT, k1=0.1, k2=0.01)
    # n = (0.5, 0): 0.5 * (1 + 0.1 * 0.25 + 0.01 * 0.0625) = 0.5128125
    np.testing.assert_allclose(camera.project(np.array([[2.0, 0.0, 4.0]])), [[99.5 + 160 * 0.5128125, 74.5]])


def test_rotation_about_y_turns_the_axis_sideways() -> None:
    camera = replace(LEFT, rotation=(0.0, 0.1, 0.0))
    np.testing.assert_allclose(camera.project(np.array([[0.0, 0.0, 5.0]])), [[99.5 + 160 * math.tan(0.1), 74.5]])


def test_what_lies_behind_the_camera_is_not_seen() -> None:
    assert np.isnan(LEFT.project(np.array([[0.0, 0.0, -1.0]]))).all()


def test_a_radius_beyond_the_fold_of_the_lens_has_no_image() -> None:
    camera = replace(LEFT, k1=-0.1)  # folds at r = sqrt(1 / 0.3) = 1.826
    assert np.isnan(camera.distort(np.array([[2.0, 0.0]]))).all()
    assert np.isnan(camera.undistort(np.array([[1.9, 0.0]]))).all()
    assert np.isfinite(camera.distort(np.array([[1.8, 0.0]]))).all()


def test_baseline_shifts_by_focal_length_over_distance() -> None:
    truth = Truth(phone=LEFT, dslr=replace(RIGHT, width=200, height=150, focal_px=160.0), panels=(WALL,))
    mapped = truth.dslr_from_phone(np.array([[50.0, 40.0]]))
    np.testing.assert_allclose(mapped, [[50.0 - 160 * 0.1 / 8, 40.0]], atol=1e-12)


def test_focal_lengths_scale_about_the_principal_point() -> None:
    truth = Truth(phone=LEFT, dslr=replace(RIGHT, position_m=(0.0, 0.0, 0.0)), panels=(WALL,))
    mapped = truth.dslr_from_phone(np.array([[109.5, 64.5]]))
    np.testing.assert_allclose(mapped, [[149.5 + 1.5 * 10, 99.5 - 1.5 * 10]], atol=1e-12)


def test_points_outside_either_photo_are_nan() -> None:
    truth = Truth(phone=LEFT, dslr=replace(RIGHT, focal_px=480.0), panels=(WALL,))
    outside_phone, outside_dslr, seen = truth.dslr_from_phone(np.array([[-1.0, 5.0], [5.0, 5.0], [100.0, 75.0]]))
    assert np.isnan(outside_phone).all()
    assert np.isnan(outside_dslr).all()
    assert np.isfinite(seen).all()


def test_points_beside_the_scene_are_nan() -> None:
    truth = Truth(phone=LEFT, dslr=RIGHT, panels=(replace(WALL, width_m=1.0, height_m=1.0),))
    assert np.isnan(truth.dslr_from_phone(np.array([[5.0, 5.0]]))).all()


def test_the_front_panel_counts_and_hides_what_is_behind_it() -> None:
    board = Panel(centre_m=(0.0, 0.0, 2.0), width_m=0.5, height_m=0.5)
    truth = Truth(phone=LEFT, dslr=replace(RIGHT, focal_px=160.0), panels=(WALL, board))
    # The board spans x = 79.5 .. 119.5 of the phone and 8 px less of the DSLR's photo (centre 149.5); the wall shifts
    # by 2 px, so that the wall just left of the board is hidden from the DSLR.
    on_board, hidden, on_wall = truth.dslr_from_phone(np.array([[100.0, 75.0], [78.0, 75.0], [60.0, 75.0]]))
    np.testing.assert_allclose(on_board, [150.0 - 8.0, 100.0])
    assert np.isnan(hidden).all()
    np.testing.assert_allclose(on_wall, [110.0 - 2.0, 100.0])


def test_a_moved_object_has_no_truth_in_either_photo() -> None:
    ball = Panel(centre_m=(0, 0, 7.0), width_m=1, height_m=1, round=True, moved_m={"phone": (-2, 0), "dslr": (2, 0)})
    dslr = replace(RIGHT, position_m=(0.0, 0.0, 0.0))
    truth = Truth(phone=LEFT, dslr=dslr, panels=(WALL, ball))
    offset = 160 * 2 / 7
    at = np.array([[99.5 - offset, 74.5], [99.5 + offset, 74.5], [99.5, 74.5]])
    assert np.isnan(truth.dslr_from_phone(at)).all(axis=1).tolist() == [True, True, False]


def test_truth_survives_json() -> None:
    ball = Panel(centre_m=(0.0, 0.0, 7.0), width_m=1.0, height_m=1.0, round=True, moved_m={"phone": (-2.0, 0.5)})
    truth = Truth(phone=demo_cameras()[1], dslr=RIGHT, panels=(WALL, ball), phone_file="a.jpg", scene=3)
    assert Truth.from_json(json.loads(json.dumps(truth.to_json()))) == truth


def test_a_hung_picture_fills_both_photos() -> None:
    cameras = demo_cameras()
    wall = hang(np.zeros((300, 400, 3), np.uint8), cameras, distance_m=8.0, tilt=(0.03, -0.03, 0.0)).panel
    assert all(wall.contains(wall.hit(camera, grid(camera, step=1))).all() for camera in cameras)
    assert wall.width_m / wall.height_m == pytest.approx(4 / 3)


def test_the_dslr_covers_most_of_each_phones_view() -> None:
    *phones, dslr = demo_cameras()
    for phone in phones:
        seen = Truth(phone=phone, dslr=dslr, panels=(WALL,)).dslr_from_phone(grid(phone))
        assert 0.85 <= np.isfinite(seen[:, 0]).mean() <= 1.0


# Photos


def smooth_texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blurred noise: detail everywhere, well below the texture's own sampling limit."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(128 + 45 * blurred / blurred.std(), 0, 255).astype(np.uint8)


def window_shifts(first: np.ndarray, second: np.ndarray, side: int = 48, search: int = 3) -> np.ndarray:
    """Sub-pixel shifts (N, 2) of windows of `first` in `second`, at the vertex of the NCC's parabola."""
    grey = [cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY).astype(np.float32) for photo in (first, second)]
    blurred = [cv2.GaussianBlur(photo, (0, 0), 1.2) for photo in grey]
    shifts = []
    for y in range(16, first.shape[0] - side - 16, side):
        for x in range(16, first.shape[1] - side - 16, side):
            window = blurred[0][y : y + side, x : x + side]
            around = blurred[1][y - search : y + side + search, x - search : x + side + search]
            ncc = cv2.matchTemplate(around, window, cv2.TM_CCOEFF_NORMED)
            row, column = np.unravel_index(ncc.argmax(), ncc.shape)
            assert ncc.max() > 0.95
            shifts.append((vertex(ncc[row], column) - search, vertex(ncc[:, column], row) - search))
    return np.array(shifts)


def vertex(values: np.ndarray, peak: int) -> float:
    left, middle, right = (float(value) for value in values[peak - 1 : peak + 2])
    return peak + (left - right) / (2 * (left - 2 * middle + right))


def warp_to_phone(dslr_photo: np.ndarray, truth: Truth) -> np.ndarray:
    """Resample the DSLR's photo at the truth of each phone pixel."""
    seen = truth.dslr_from_phone(grid(truth.phone, step=1)).reshape(truth.phone.height, truth.phone.width, 2)
    seen = np.nan_to_num(seen, nan=-1.0).astype(np.float32)
    wide = cv2.GaussianBlur(dslr_photo, (0, 0), 0.8)
    return cv2.remap(wide, seen[..., 0], seen[..., 1], cv2.INTER_LINEAR)


def test_pixels_agree_with_the_truth() -> None:
    clean = Look(blur_px=0.5)
    phone = Camera(name="phone", width=320, height=240, focal_px=280, rotation=(0.01, -0.02, 0.03), k1=0.01, look=clean)
    dslr = Camera(name="dslr", width=600, height=440, focal_px=480, position_m=(0.07, 0.02, 0), k1=-0.006, look=clean)
    phone_photo, dslr_photo, truth = simulate_pair(smooth_texture(560, 760), phone, dslr, np.random.default_rng(1))
    shifts = window_shifts(phone_photo, warp_to_phone(dslr_photo, truth))
    assert len(shifts) >= 15
    assert np.median(np.linalg.norm(shifts, axis=1)) < 0.02
    assert np.abs(shifts.mean(axis=0)).max() < 0.01


@pytest.mark.parametrize("texture_px", [1.0, 1.5, 2.0, 3.3])
def test_the_render_lies_where_the_geometry_says(texture_px: float) -> None:
    """Waves of a known phase: the offset of the photo from the analytic value, by least squares in windows."""
    camera = Camera(name="c", width=200, height=160, focal_px=170, rotation=(0.01, -0.02, 0.015), k1=0.01)
    width, height = int(235 * texture_px), int(190 * texture_px)
    wave = 2 * np.pi / (9 * texture_px)
    y, x = np.mgrid[:height, :width]
    dither = np.random.default_rng(0).uniform(-0.5, 0.5, x.shape)
    levels = 255 * (0.45 + 0.2 * np.sin(wave * x) + 0.2 * np.sin(wave * y)) ** (1 / 2.2) + dither
    layer = hang(np.repeat(np.rint(levels).astype(np.uint8)[..., None], 3, axis=2), [camera], distance_m=8.0)
    photo = (capture(Scene((layer,)), camera, np.random.default_rng(0))[..., 1] / 255.0) ** 2.2
    seen = layer.panel.hit(camera, grid(camera, 1)) * width / layer.panel.width_m + ((width - 1) / 2, (height - 1) / 2)
    seen = seen.reshape(camera.height, camera.width, 2)
    offsets = [
        phase_offset(photo[window], seen[window] * wave) / (wave * texture_px)
        for top in range(8, 110, 36)
        for left in range(8, 150, 36)
        for window in [np.s_[top : top + 36, left : left + 36]]
    ]
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.002
    assert np.sqrt(np.mean(np.square(offsets))) < 0.004


def phase_offset(values: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Fit values = a + b (sin(px + dx) + sin(py + dy)) and return (dx, dy) in rad."""
    px, py = phase[..., 0].ravel(), phase[..., 1].ravel()
    columns = np.column_stack([np.ones_like(px), np.sin(px) + np.sin(py), np.cos(px), np.cos(py)])
    fit = np.linalg.lstsq(columns, values.ravel(), rcond=None)[0]
    return np.asarray(fit[2:] / fit[1])


def test_a_clean_camera_keeps_the_scenes_colours() -> None:
    texture = np.full((200, 260, 3), (40, 120, 200), np.uint8)
    photo, _, _ = simulate_pair(texture, LEFT, RIGHT, np.random.default_rng(0))
    assert np.abs(photo.astype(int) - (40, 120, 200)).max() <= 1


def test_strips_leave_no_seam() -> None:
    tall = replace(LEFT, height=270)
    texture = np.full((400, 300, 3), 128, np.uint8)
    photo, _, _ = simulate_pair(texture, tall, RIGHT, np.random.default_rng(0))
    assert np.ptp(photo) == 0


def test_vignetting_darkens_the_corners_and_noise_depends_on_the_generator() -> None:
    camera = replace(LEFT, look=Look(vignetting=0.5, shot_noise=0.001, read_noise=0.01))
    scene = Scene((Layer(WALL, np.full((8, 10, 3), 128, np.uint8)),))
    first, again, other = (capture(scene, camera, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first[:20, :20].mean() < 0.8 * first[65:85, 90:110].mean()
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_nothing_but_the_void_where_the_scene_ends() -> None:
    scene = Scene((Layer(replace(WALL, width_m=1.0, height_m=1.0), np.full((8, 8, 3), 255, np.uint8)),))
    photo = capture(scene, LEFT, np.random.default_rng(0))
    assert photo[75, 100].min() == 255
    assert photo[5, 5].max() < 50


def test_every_wall_of_prints_is_another() -> None:
    walls = [wall_of_prints(np.random.default_rng(seed), 300, 240, print_px=90) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(walls[0], walls[1])
    assert (walls[0] != walls[2]).mean() > 0.8


# The session


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's cameras and walls at a quarter of their size, so that a session takes a moment."""
    quarter = tuple(
        replace(camera, width=camera.width // 4, height=camera.height // 4, focal_px=camera.focal_px / 4)
        for camera in demo_cameras()
    )
    monkeypatch.setattr("dpedtool.pipeline.rig.session.demo_cameras", lambda _seed: quarter)
    monkeypatch.setattr("dpedtool.pipeline.rig.session.WALL_PX", (440, 332))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def taken_at(path: Path) -> datetime:
    with PillowImage.open(path) as photo:
        text = photo.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal]
    return datetime.strptime(text, "%Y:%m:%d %H:%M:%S")


@pytest.mark.usefixtures("small")
def test_equal_parameters_give_equal_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        simulate_session(DemoParams(scenes=2, seed=seed, parallax=True), tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    first, other = contents(tmp_path / "one"), contents(tmp_path / "three")
    assert first["dslr/_MG_7302.jpg"] != other["dslr/_MG_7302.jpg"]


@pytest.mark.usefixtures("small")
def test_a_scene_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    for name, scenes in (("short", 2), ("long", 3)):
        simulate_session(DemoParams(scenes=scenes, missing=0.0), tmp_path / name)
    short, long = contents(tmp_path / "short"), contents(tmp_path / "long")
    photos = [name for name in short if name.endswith(".jpg")]
    assert len(photos) == 6
    assert all(short[name] == long[name] for name in photos)


@pytest.mark.usefixtures("small")
def test_missing_shots_are_absent_from_the_phones_only(tmp_path: Path) -> None:
    simulate_session(DemoParams(scenes=5, missing=0.01), tmp_path / "out")
    counts = {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "out").iterdir() if folder.is_dir()}
    assert counts == {"phone-a": 4, "phone-b": 4, "dslr": 5}
    truths = load_truth(tmp_path / "out" / "truth.json")
    assert len(truths) == 8
    for (phone, name), truth in truths.items():
        assert (tmp_path / "out" / phone / name).exists()
        assert (tmp_path / "out" / "dslr" / truth.dslr_file).exists()


@pytest.mark.usefixtures("small")
def test_exif_tells_the_time_by_each_cameras_clock(tmp_path: Path) -> None:
    simulate_session(DemoParams(scenes=4, missing=0.3), tmp_path)
    for (phone, name), truth in load_truth(tmp_path / "truth.json").items():
        ahead = taken_at(tmp_path / phone / name) - taken_at(tmp_path / "dslr" / truth.dslr_file)
        assert abs(ahead.total_seconds() - {"phone-a": 37, "phone-b": -3607}[phone]) <= 1
    shots = [taken_at(path) for path in sorted((tmp_path / "dslr").iterdir())]
    pauses = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(shots)]
    assert all(7 <= pause <= 61 for pause in pauses)


@pytest.mark.usefixtures("small")
def test_files_say_that_they_are_simulated_and_how_they_are_turned(tmp_path: Path) -> None:
    simulate_session(DemoParams(scenes=1), tmp_path)
    for (phone, name), truth in load_truth(tmp_path / "truth.json").items():
        with PillowImage.open(tmp_path / phone / name) as photo:
            exif = photo.getexif()
            assert exif[ExifTags.Base.Orientation] == {"phone-a": 1, "phone-b": 6}[phone]
            assert "simulated" in exif[ExifTags.Base.Make]
            assert "simulated" in exif[ExifTags.Base.Model]
            assert ImageOps.exif_transpose(photo).size == (truth.phone.width, truth.phone.height)
    assert "simulated" in (tmp_path / "README.txt").read_text(encoding="utf-8")


@pytest.mark.usefixtures("small")
def test_a_turned_file_shows_the_photo_upright(tmp_path: Path) -> None:
    simulate_session(DemoParams(scenes=1), tmp_path)
    (truth,) = (truth for (phone, _), truth in load_truth(tmp_path / "truth.json").items() if phone == "phone-b")
    with PillowImage.open(tmp_path / "phone-b" / truth.phone_file) as file:
        upright = np.asarray(ImageOps.exif_transpose(file).convert("L"), float)
    with PillowImage.open(tmp_path / "dslr" / truth.dslr_file) as file:
        reference = warp_to_phone(np.asarray(file.convert("RGB")), truth).mean(axis=2)
    middle = np.s_[20:-20, 20:-20]
    agreement = np.corrcoef(upright[middle].ravel(), reference[middle].ravel())[0, 1]
    assert agreement > 0.85


@pytest.mark.usefixtures("small")
def test_an_earlier_session_is_replaced_and_nothing_is_left_over(tmp_path: Path) -> None:
    out = tmp_path / "captures"
    simulate_session(DemoParams(scenes=2), out)
    simulate_session(DemoParams(scenes=1), out)
    assert len(list((out / "dslr").iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["captures"]


def test_somebodys_own_photos_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(DpedtoolError, match="choose another folder"):
        simulate_session(DemoParams(scenes=1), tmp_path)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DpedtoolError, match="cannot be written"):
        simulate_session(DemoParams(scenes=1), tmp_path / "file" / "out")


def test_without_scikit_image_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    photographs.cache_clear()
    with pytest.raises(DpedtoolError, match="pip install scikit-image"):
        simulate_session(DemoParams(scenes=1), tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_a_file_that_is_no_truth_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text("{}")
    with pytest.raises(DpedtoolError, match="not the truth"):
        load_truth(tmp_path / "truth.json")


@pytest.mark.usefixtures("small")
def test_parallax_and_moving_objects_come_when_asked_for() -> None:
    cameras = demo_cameras()
    flat = [len(demo_scene(DemoParams(moving_object=False), index, cameras).layers) for index in range(2)]
    deep = demo_scene(DemoParams(parallax=True), 0, cameras).panels
    moving = demo_scene(DemoParams(), 1, cameras).panels
    assert flat == [1, 1]
    assert [panel.centre_m[2] for panel in deep] == sorted((panel.centre_m[2] for panel in deep), reverse=True)
    assert len(deep) == 4
    assert set(moving[1].moved_m) == {"phone-a", "phone-b", "dslr"}


@pytest.mark.usefixtures("small")
def test_sessions_begin_their_file_names_and_clocks_again(tmp_path: Path) -> None:
    params = DemoParams(scenes=5, sessions=2, missing=0, depth=False, moving_object=False)
    simulate_session(params, tmp_path / "two")
    simulate_session(replace(params, sessions=1), tmp_path / "one")
    found = {str(path.relative_to(tmp_path / "two")) for path in (tmp_path / "two").rglob("*.jpg")}
    names = ["IMG_0041.jpg", "IMG_0042.jpg", "IMG_0043.jpg"]
    assert {name for name in found if "phone-a" in name} == {
        *(f"day-1/phone-a/{name}" for name in names), *(f"day-2/phone-a/{name}" for name in names[:2])
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "one" / "phone-a").iterdir()} == {*names, "IMG_0044.jpg", "IMG_0045.jpg"}
    truths = load_truth(tmp_path / "two" / "truth.json")
    assert {key for key in truths if key[0] == "phone-a"} == {
        ("phone-a", name.replace("/phone-a", "")) for name in found if "phone-a" in name
    }
    assert truths["phone-a", "day-2/IMG_0041.jpg"].scene == 3
    # The scenes themselves are those of a single session.
    for one, two in (("IMG_0041", "day-1/phone-a/IMG_0041"), ("IMG_0044", "day-2/phone-a/IMG_0041")):
        first, second = (load_photo(tmp_path / name) for name in (f"one/phone-a/{one}.jpg", f"two/{two}.jpg"))
        np.testing.assert_array_equal(first, second)
    captures = CapturesParams(root=str(tmp_path / "two"), phones=("phone-a", "phone-b"), sessions=("day-1", "day-2"))
    for phone, offset in (("phone-a", -37), ("phone-b", 3607)):
        paired = pair_into(tmp_path / phone, camera_folders(captures, phone), PairParams(by="clock"))
        offsets = {row.pair_id: row.clock_offset_s for row in paired.rows}
        assert len(offsets) == 5
        for name, found_s in offsets.items():
            assert found_s == pytest.approx(offset - (250 if "day-2" in name else 0), abs=1.5)
