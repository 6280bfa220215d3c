"""The rig's bursts and brackets: which scenes have them, how their cameras stand, and what the files say."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as PillowImage

from dpedtool.dataset.params import DemoParams, PairParams
from dpedtool.dataset.photos.decoding import how_taken, load_photo
from dpedtool.pipeline.pair.intake import Folders, PairedFolders, pair_into
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
    load_truth,
)
from dpedtool.pipeline.rig.frames import Frame, frames_of, scene_of
from dpedtool.pipeline.rig.session import simulate_session

PHONE, OTHER_PHONE, DSLR = demo_cameras()
BURST_SCENE, BRACKET_SCENE = 1, 3


# Which scenes, and how the cameras stand


def test_only_phone_a_takes_several_frames_and_only_in_its_own_scenes() -> None:
    params = DemoParams(burst=5, bracket=True)
    counts = [len(frames_of(params, index, PHONE)) for index in range(10)]
    assert counts == [1, 5, 1, 3, 1, 5, 1, 3, 1, 5]
    for camera in (OTHER_PHONE, DSLR):
        assert all(frames_of(params, index, camera) == [Frame(camera=camera)] for index in range(4))


@pytest.mark.parametrize("burst", [0, 1])
def test_without_bursts_and_brackets_every_camera_takes_one_frame_as_it_stands(burst: int) -> None:
    assert all(frames_of(DemoParams(burst=burst), index, PHONE) == [Frame(camera=PHONE)] for index in range(4))


@pytest.mark.parametrize(
    ("burst", "after_s"), [(2, [-0.2, 0.0]), (3, [-0.2, 0.0, 0.2]), (5, [-0.4, -0.2, 0.0, 0.2, 0.4])]
)
def test_the_middle_of_a_burst_is_taken_together_with_the_dslrs_photo(burst: int, after_s: list[float]) -> None:
    frames = frames_of(DemoParams(burst=burst), BURST_SCENE, PHONE)
    assert [frame.after_s for frame in frames] == pytest.approx(after_s)
    assert [(frame.number, frame.ev) for frame in frames] == [(number, 0.0) for number in range(burst)]


def grid(camera: Camera, step: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(0, camera.width, step), np.arange(0, camera.height, step))
    return np.column_stack([x.ravel(), y.ravel()]).astype(float)


def moved_px(one: Camera, other: Camera) -> np.ndarray:
    """How far (N,) what one camera sees on a wall 8 m away lies in the other camera's photo, in px."""
    wall, points = Panel(centre_m=(0.0, 0.0, 8.0), width_m=90.0, height_m=90.0), grid(one, 50)
    return np.asarray(np.linalg.norm(wall.project(other, wall.hit(one, points)) - points, axis=1))


def test_a_hand_moves_the_photo_by_3_to_15_px_and_every_frame_otherwise() -> None:
    frames = [frame for index in (1, 5, 9) for frame in frames_of(DemoParams(burst=7), index, PHONE)]
    shifts = [moved_px(PHONE, frame.camera) for frame in frames]
    assert min(shift.mean() for shift in shifts) > 3
    assert max(shift.max() for shift in shifts) < 15.5
    assert len({frame.camera.rotation for frame in frames}) == len({frame.camera.position_m for frame in frames}) == 21
    away_m = [np.subtract(frame.camera.position_m, PHONE.position_m) for frame in frames]
    assert 0.001 < np.abs(away_m).max() <= 0.003


def test_a_bracket_hardly_moves_the_photo() -> None:
    for frame in frames_of(DemoParams(bracket=True), BRACKET_SCENE, PHONE):
        assert 0 < moved_px(PHONE, frame.camera).max() < 0.7


def test_exposure_by_hand() -> None:
    dark, middle, bright = frames_of(DemoParams(bracket=True), BRACKET_SCENE, PHONE)
    assert [frame.after_s for frame in (dark, middle, bright)] == [-0.4, 0.0, 0.4]
    assert [frame.ev for frame in (dark, middle, bright)] == [-2.0, 0.0, 2.0]
    # 1/60 s at ISO 100; -2 EV: 1/240 s; +2 EV: 1/30 s at ISO 200, with twice the noise per unit of light.
    files = [frame.camera.files for frame in (dark, middle, bright)]
    assert [1 / file.exposure_s for file in files] == pytest.approx([240, 60, 30])
    assert [file.iso for file in files] == [100, 100, 200]
    assert bright.camera.look.shot_noise == pytest.approx(2 * PHONE.look.shot_noise)
    assert dark.camera.look == middle.camera.look == PHONE.look


def test_a_bracket_renders_the_light_of_its_exposure_and_clips_it() -> None:
    """Grey levels of a clean camera: 255 * light ** (1 / 2.2)."""
    camera = Camera(name="phone-a", width=60, height=40, focal_px=60.0, look=Look())
    wall = Panel(centre_m=(0.0, 0.0, 8.0), width_m=20.0, height_m=16.0)
    light = Scene((Layer(wall, np.full((8, 10, 3), 160, np.uint8)),))
    levels = []
    for frame in frames_of(DemoParams(bracket=True), BRACKET_SCENE, camera):
        photo = capture(scene_of(light, frame, 0, BRACKET_SCENE), frame.camera, np.random.default_rng(0))
        assert np.ptp(photo) == 0
        levels.append(int(photo[20, 30, 1]))
    # 160 / 4 ** (1 / 2.2) = 85.2; 160 * 4 ** (1 / 2.2) = 300.5, which is above 255.
    assert levels == [85, 160, 255]


def test_what_moves_moves_on_by_1_5_of_its_widths_a_second_before_phone_a_alone() -> None:
    params = DemoParams(burst=3)
    before, now, after = frames_of(params, BURST_SCENE, PHONE)
    scene = demo_scene(params, BURST_SCENE, (PHONE, OTHER_PHONE, DSLR))
    places = []
    for frame in (before, now, after):
        wall, ball = scene_of(scene, frame, params.seed, BURST_SCENE).panels
        assert wall == scene.panels[0]
        assert {name: shift for name, shift in ball.moved_m.items() if name != "phone-a"} == {
            name: scene.panels[1].moved_m[name] for name in ("phone-b", "dslr")
        }
        places.append(np.array(ball.moved_m["phone-a"]))
    assert tuple(places[1]) == scene.panels[1].moved_m["phone-a"]
    np.testing.assert_allclose(places[2] - places[1], places[1] - places[0])
    assert np.linalg.norm(places[2] - places[1]) == pytest.approx(0.3 * scene.panels[1].width_m)


def test_the_wall_fills_the_photos_of_shaken_cameras_too() -> None:
    params = DemoParams(burst=20)
    wall = demo_scene(params, BURST_SCENE, (PHONE, OTHER_PHONE, DSLR)).panels[0]
    for frame in frames_of(params, BURST_SCENE, PHONE):
        assert wall.contains(wall.hit(frame.camera, grid(frame.camera, 1))).all()


# The files


@pytest.fixture(scope="module")
def quarter() -> tuple[Camera, ...]:
    return tuple(
        replace(camera, width=camera.width // 4, height=camera.height // 4, focal_px=camera.focal_px / 4)
        for camera in demo_cameras()
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, quarter: tuple[Camera, ...]) -> Path:
    """Twelve scenes at a quarter of the demo's size."""
    out = tmp_path_factory.mktemp("session") / "captures"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dpedtool.pipeline.rig.session.demo_cameras", lambda _seed: quarter)
        patch.setattr("dpedtool.pipeline.rig.session.WALL_PX", (440, 332))
        simulate_session(DemoParams(scenes=12, burst=3, bracket=True, missing=0, depth=False), out)
    return out


@pytest.fixture(scope="module")
def paired(session: Path, tmp_path_factory: pytest.TempPathFactory) -> PairedFolders:
    out = tmp_path_factory.mktemp("pairs")
    return pair_into(out, [Folders(session / "phone-a", session / "dslr")], PairParams(by="clock"))


def exif_of(path: Path) -> PillowImage.Exif:
    with PillowImage.open(path) as photo:
        return photo.getexif()


def exact_time(path: Path) -> datetime:
    time = how_taken(path).time
    assert time
    return time


def test_file_numbers_count_on_for_each_frame(session: Path) -> None:
    truths = load_truth(session / "truth.json")
    of_phone = {name: truth for (phone, name), truth in truths.items() if phone == "phone-a"}
    # Of 12 scenes, 1, 5 and 9 are bursts of three and 3, 7 and 11 brackets of three: 6 + 6 * 3 = 24 photos from 41.
    assert sorted(of_phone) == [f"IMG_{number:04d}.jpg" for number in range(41, 65)]
    assert sorted(of_phone) == sorted(path.name for path in (session / "phone-a").iterdir())
    found = [(of_phone[name].scene, of_phone[name].frame, of_phone[name].ev) for name in sorted(of_phone)][:8]
    assert found == [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 0, 0), (3, 0, -2), (3, 1, 0), (3, 2, 2)]
    for folder in ("phone-b", "dslr"):
        assert len(list((session / folder).iterdir())) == 12


def test_exif_tells_time_and_exposure_of_every_photo(session: Path) -> None:
    expected = {"phone-a": (60, 100, 1.8), "phone-b": (50, 100, 2.2), "dslr": (25, 100, 5.6)}
    for camera, (per_second, iso, f_number) in expected.items():
        photos = sorted((session / camera).iterdir())
        for path in photos:
            details = exif_of(path).get_ifd(ExifTags.IFD.Exif)
            assert re.fullmatch(r"\d{3}", details[ExifTags.Base.SubsecTimeOriginal])
        taken = how_taken(photos[0])
        assert (taken.exposure_s, taken.iso) == (pytest.approx(1 / per_second), iso)
        assert taken.f_number == pytest.approx(f_number)
    bracket = [how_taken(session / "phone-a" / f"IMG_{number:04d}.jpg") for number in (46, 47, 48)]
    assert [1 / shot.exposure_s for shot in bracket if shot.exposure_s] == pytest.approx([240, 60, 30])
    assert [shot.iso for shot in bracket] == [100, 100, 200]


def test_frames_are_0_2_s_apart_in_a_burst_and_0_4_s_in_a_bracket(session: Path) -> None:
    times = {number: exact_time(session / "phone-a" / f"IMG_{number:04d}.jpg") for number in range(41, 49)}
    for first, step in ((42, 0.2), (46, 0.4)):
        seconds = [(times[first + number] - times[first]).total_seconds() for number in range(3)]
        assert seconds == pytest.approx([0, step, 2 * step], abs=0.0011)
    # The phone's clock is 37 s ahead; a cable triggers both within 0.05 s.
    for number, scene in ((43, 1), (47, 3)):
        ahead = times[number] - exact_time(session / "dslr" / f"_MG_{7302 + scene}.jpg")
        assert ahead.total_seconds() == pytest.approx(37, abs=0.0511)


def test_without_bursts_and_brackets_exif_has_whole_seconds_and_no_exposure(
    tmp_path: Path, quarter: tuple[Camera, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpedtool.pipeline.rig.session.demo_cameras", lambda _seed: quarter)
    monkeypatch.setattr("dpedtool.pipeline.rig.session.WALL_PX", (440, 332))
    contents = []
    for name, burst in (("none", 0), ("one", 1)):
        simulate_session(DemoParams(scenes=2, burst=burst, missing=0), tmp_path / name)
        contents.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.jpg"))])
    assert contents[0] == contents[1]
    for path in (tmp_path / "none").rglob("*.jpg"):
        details = exif_of(path).get_ifd(ExifTags.IFD.Exif)
        assert set(details) == {ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized}


def test_other_scenes_and_cameras_show_the_same_with_and_without_bursts(
    session: Path, tmp_path: Path, quarter: tuple[Camera, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpedtool.pipeline.rig.session.demo_cameras", lambda _seed: quarter)
    monkeypatch.setattr("dpedtool.pipeline.rig.session.WALL_PX", (440, 332))
    simulate_session(DemoParams(scenes=3, missing=0, depth=False), tmp_path / "plain")
    for plain, with_bursts in (("IMG_0041", "IMG_0041"), ("IMG_0043", "IMG_0045")):
        first, second = tmp_path / "plain" / "phone-a" / f"{plain}.jpg", session / "phone-a" / f"{with_bursts}.jpg"
        np.testing.assert_array_equal(load_photo(first), load_photo(second))


def test_pairing_finds_all_frames_with_their_roles_numbers_and_exposures(session: Path, paired: PairedFolders) -> None:
    truths = load_truth(session / "truth.json")
    shots = {shot.path: shot for shot in paired.shots if shot.camera == "phone-a"}
    assert len(paired.rows) == len(shots) == 24
    for row in paired.rows:
        assert row.status == "paired"
        assert row.phone_path
        assert row.dslr_path
        truth = truths["phone-a", row.phone_path.name]
        several = truth.scene % 2 == 1
        assert row.dslr_path.name == truth.dslr_file
        assert (row.frame, row.frames) == (truth.frame, 3 if several else 1)
        assert row.role == ("base" if truth.frame == 1 or not several else "frame")
        assert shots[row.phone_path].ev == truth.ev
        assert (shots[row.phone_path].role, shots[row.phone_path].frame) == (row.role, row.frame)


# Pixels against the truth


def shifts_of(photo: np.ndarray, dslr_photo: np.ndarray, truth: Truth) -> np.ndarray:
    """How far (N, 2) windows of the phone's photo lie from where the truth has them, in px, by phase correlation."""
    seen = np.nan_to_num(truth.dslr_from_phone(grid(truth.phone, 1)), nan=-1.0).astype(np.float32)
    seen = seen.reshape(truth.phone.height, truth.phone.width, 2)
    warped = cv2.remap(cv2.GaussianBlur(dslr_photo, (0, 0), 0.8), seen[..., 0], seen[..., 1], cv2.INTER_LINEAR)
    greys = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY).astype(np.float32) for each in (warped, photo)]
    window = cv2.createHanningWindow((64, 64), cv2.CV_32F)
    return np.array(
        [
            cv2.phaseCorrelate(*(grey[top : top + 64, left : left + 64] for grey in greys), window)[0]
            for top in range(60, truth.phone.height - 124, 64)
            for left in range(100, truth.phone.width - 164, 64)
        ]
    )


@pytest.mark.parametrize(("index", "burst"), [(5, 3), (BRACKET_SCENE, 0)], ids=["burst", "bracket"])
def test_pixels_of_each_frame_lie_where_its_truth_says(index: int, burst: int) -> None:
    params = DemoParams(burst=burst, bracket=True, moving_object=False)
    cameras = (PHONE, OTHER_PHONE, DSLR)
    scene = demo_scene(params, index, cameras)
    dslr_photo = capture(scene, DSLR, np.random.default_rng(0))
    for frame in frames_of(params, index, PHONE):
        seen = scene_of(scene, frame, params.seed, index)
        photo = capture(seen, frame.camera, np.random.default_rng(1))
        shifts = shifts_of(photo, dslr_photo, Truth(phone=frame.camera, dslr=DSLR, panels=seen.panels))
        assert np.linalg.norm(np.median(shifts, axis=0)) < 0.05
        if burst:
            still = shifts_of(photo, dslr_photo, Truth(phone=PHONE, dslr=DSLR, panels=seen.panels))
            assert np.linalg.norm(np.median(still, axis=0)) > 3
