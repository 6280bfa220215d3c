"""The demo's photos: a session of many scenes by two phones and a DSLR on one tripod, written as they would do it."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from dpedtool.dataset.demo_params import DemoParams
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.progress import track
from dpedtool.pipeline.rig.camera import Camera, Files, Look, Vector, colour_matrix
from dpedtool.pipeline.rig.camera_files import save_photo
from dpedtool.pipeline.rig.capture import capture
from dpedtool.pipeline.rig.collage import single_print, wall_of_prints
from dpedtool.pipeline.rig.frames import Frame, frames_of, scene_of, takes_several
from dpedtool.pipeline.rig.scene import Layer, Panel, Scene, hang
from dpedtool.pipeline.rig.truth import Truth

WALL_PX = (1760, 1330)  # enough for the demo's DSLR
WALL_M = 8.0
DEEP_SCENE, LEAVES = 8, 40
FURTHER = "dslr-wide"
"""Folder of the further reference."""
START = datetime(2024, 5, 4, 10, 12, 7)
TRIGGER_S = {False: 0.3, True: 0.05}
"""The remote triggers the cameras within so many seconds of each other; with bursts or brackets, a cable does."""
CLOCK_SET = timedelta(seconds=250)
"""By how much the phones' clocks are set forward from one session to the next."""
README = """These photos are simulated: no camera took them.

pipeline/rig rendered them from photographs that the scikit-image package ships, as two phones and a DSLR on one tripod
would have seen them. truth.json holds the geometry of every pair. Do not train a network on them that you want to use.
"""
PHONES = 2
"""So many of the cameras are phones; they come first."""
# Each purpose has its own random generator, so that results do not depend on the order in which things are drawn;
# number 6 belongs to `frames`.
MOUNT, TIMES, SCENE, SHOT, MISSING, DEPTH = range(6)


def demo_cameras(seed: int = 0) -> tuple[Camera, Camera, Camera]:
    """Return phone-a, phone-b and dslr; the seed draws how crookedly each sits on the tripod, up to 2 degrees."""
    cameras = (_phone_a(), _phone_b(), _dslr())
    return tuple(  # type: ignore[return-value]
        replace(camera, rotation=_crooked(_generator(seed, MOUNT, index))) for index, camera in enumerate(cameras)
    )


def further_reference(seed: int = 0) -> Camera:
    """Return dslr-wide, a second DSLR with another lens and a wider aperture; the seed draws how crookedly it sits."""
    camera = replace(
        _dslr(),
        name=FURTHER,
        focal_px=1010,
        position_m=(0.02, -0.09, 0),
        k1=-0.018,
        look=replace(_dslr().look, blur_px=0.7, vignetting=0.3, colour=colour_matrix(0.95, (1.0, 0.97, 1.05))),
        files=replace(
            _dslr().files,
            pattern="DSC{:05d}.jpg",
            first_number=118,
            clock_offset_s=-412,
            model="simulated wide DSLR",
            exposure_s=1 / 100,
            f_number=2.8,
        ),
    )
    return replace(camera, rotation=_crooked(_generator(seed, MOUNT, 3)))


def demo_scene(params: DemoParams, index: int, cameras: tuple[Camera, ...]) -> Scene:
    """Compose one scene of a session.

    Parameters
    ----------
    params
        `seed`, `parallax`, `depth` and `moving_object` decide what is in front of the cameras; `burst` and `bracket`,
        how far the wall must reach for cameras that shake.
    index
        Running number of the scene, from 0; the scene does not depend on what else is drawn.
    cameras
        The cameras whose photos it must fill.

    Raises
    ------
    DpedtoolError
        scikit-image is not installed.

    """
    rng = _generator(params.seed, SCENE, index)
    tilt = _vector(rng.uniform(-0.03, 0.03, 3) * (1, 1, 0.3))
    brightness = float(rng.uniform(0.65, 1.15))
    views = [frame.camera for camera in cameras for frame in frames_of(params, index, camera)]
    layers = [hang(wall_of_prints(rng, *WALL_PX), views, distance_m=WALL_M, tilt=tilt)]
    if params.parallax and index % 2 == 0:
        layers += [_board(rng, distance_m) for distance_m in (5.5, 4.0, 2.8)]
    if params.depth and index == DEEP_SCENE:
        layers += depth_layers(_generator(params.seed, DEPTH, index))
    if params.moving_object and index % 3 == 1:
        layers.insert(1, _ball(rng, cameras))  # nearer than the wall, behind all boards
    return Scene(tuple(layers), brightness)


def simulate_session(params: DemoParams, out: Path) -> None:
    """Write a session's photos, truth.json and README.txt; equal parameters give equal bytes.

    Parameters
    ----------
    params
        How many scenes, what is in them, and which shots are missing.
    out
        Folder that is made, with one sub-folder for each camera. An earlier simulated session there is replaced.

    Raises
    ------
    DpedtoolError
        scikit-image is not installed, `out` holds something else, or it cannot be written.

    """
    out = out.absolute()  # so that it has a name even when it is given as '.'
    _refuse_to_replace(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        _write_session(params, part)
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    except OSError as error:
        raise DpedtoolError(f"{out} cannot be written ({error.strerror or error}): choose another folder.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _refuse_to_replace(out: Path) -> None:
    """Refuse to replace somebody's own photos by simulated ones."""
    if out.is_dir() and (not any(out.iterdir()) or (out / "truth.json").exists()):
        return
    if out.exists():
        raise DpedtoolError(f"{out} holds something other than a simulated session: choose another folder.")


def _write_session(params: DemoParams, out: Path) -> None:
    cameras: tuple[Camera, ...] = demo_cameras(params.seed)
    if params.references > 1:
        cameras = *cameras, further_reference(params.seed)
    if takes_several(params):
        cameras = tuple(replace(camera, files=replace(camera.files, tells_exposure=True)) for camera in cameras)
    times = _shot_times(params)
    numbers = [_file_numbers(params, camera, index) for index, camera in enumerate(cameras)]
    for place in {out / session_of(params, index) for index in range(params.scenes)}:
        for camera in cameras:
            (place / camera.name).mkdir(parents=True)
    pairs, targets = list[Truth](), list[Truth]()
    for index in track(range(params.scenes), "simulate", params.scenes):
        names = [numbered.get(index, []) for numbered in numbers]
        for truth in _write_scene(params, index, times[index], cameras, names, out):
            (targets if truth.dslr.name == FURTHER else pairs).append(truth)
    document = {"note": "exact geometry of simulated photos", "pairs": [truth.to_json() for truth in pairs]}
    document |= {"targets": [truth.to_json() for truth in targets]} if targets else {}
    (out / "truth.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "README.txt").write_text(README, encoding="utf-8")


def _write_scene(
    params: DemoParams, index: int, taken: datetime, cameras: tuple[Camera, ...], names: list[list[str]], out: Path
) -> list[Truth]:
    """Write the photos of one scene under their names (none: the shot is missing).

    Returns the truth of each photo of a phone with that of each DSLR.
    """
    scene, session = demo_scene(params, index, cameras), session_of(params, index)
    truths: list[Truth] = []
    for number, (camera, own_names) in enumerate(zip(cameras, names, strict=True)):
        if not own_names:
            continue
        rng = _generator(params.seed, SHOT, index, number)
        moment = taken + timedelta(seconds=float(rng.uniform(0, TRIGGER_S[takes_several(params)])))
        if camera in cameras[:PHONES]:
            moment += CLOCK_SET * _day(params, index)
        for frame, name in zip(frames_of(params, index, camera), own_names, strict=True):
            seen = scene_of(scene, frame, params.seed, index)
            # The first frame's noise is that of the only one.
            noise = _generator(params.seed, SHOT, index, number, frame.number) if frame.number else rng
            path = out / session / camera.name / name
            save_photo(
                capture(seen, frame.camera, noise), frame.camera, path, moment + timedelta(seconds=frame.after_s)
            )
            if camera in cameras[:PHONES]:
                truths += [
                    _truth(frame, dslr, seen, (name, of_dslr[0]), index, session)
                    for dslr, of_dslr in zip(cameras[PHONES:], names[PHONES:], strict=True)
                ]
    return truths


def _truth(frame: Frame, dslr: Camera, scene: Scene, files: tuple[str, str], index: int, session: str) -> Truth:
    return Truth(
        phone=frame.camera,
        dslr=dslr,
        panels=scene.panels,
        phone_file=files[0],
        dslr_file=files[1],
        scene=index,
        session=session,
        frame=frame.number,
        ev=frame.ev,
    )


def session_of(params: DemoParams, scene: int) -> str:
    """Return the name of a scene's session; empty if there is only one."""
    return f"day-{_day(params, scene) + 1}" if params.sessions > 1 else ""


def _day(params: DemoParams, scene: int) -> int:
    return scene * params.sessions // params.scenes


def _file_numbers(params: DemoParams, camera: Camera, index: int) -> dict[int, list[str]]:
    """Return the file names of the frames by scene; a phone that did not fire leaves no gap in its numbers.

    Each session begins with the same number, as after the card was formatted.
    """
    missing = _missing(params, index)
    names, taken = {}, Counter[int]()
    for scene in range(params.scenes):
        if scene not in missing:
            day, count = _day(params, scene), len(frames_of(params, scene, camera))
            first = camera.files.first_number + taken[day]
            names[scene] = [camera.files.pattern.format(first + number) for number in range(count)]
            taken[day] += count
    return names


def _missing(params: DemoParams, index: int) -> set[int]:
    """Draw the scenes that a camera missed: the share of a phone that is asked for, but never all; none of a DSLR."""
    if index >= PHONES:
        return set()
    count = round(params.missing * params.scenes)
    if params.missing > 0 and params.scenes >= 4:
        count = max(count, 1)
    rng = _generator(params.seed, MISSING, index)
    return {int(scene) for scene in rng.choice(params.scenes, min(count, params.scenes - 1), replace=False)}


def _shot_times(params: DemoParams) -> list[datetime]:
    pauses = _generator(params.seed, TIMES).uniform(8, 60, params.scenes)
    return [
        START + timedelta(days=_day(params, scene), seconds=float(seconds))
        for scene, seconds in enumerate(np.cumsum(pauses))
    ]


def _board(rng: np.random.Generator, distance_m: float) -> Layer:
    """Stand a print in front of the wall, somewhere in the view."""
    width_px, height_px = int(rng.integers(240, 420)), int(rng.integers(240, 420))
    # About as many px as the DSLR sees of it.
    m_per_px = distance_m / _dslr().focal_px
    x, y = rng.uniform((-0.42, -0.3), (0.42, 0.3)) * distance_m
    panel = Panel(
        centre_m=(float(x), float(y), distance_m),
        width_m=width_px * m_per_px,
        height_m=height_px * m_per_px,
        tilt=_vector(rng.uniform(-0.05, 0.05, 3)),
    )
    return Layer(panel, single_print(rng, width_px, height_px, border_px=10))


def depth_layers(rng: np.random.Generator) -> list[Layer]:
    """Stand things at many depths in front of the wall: a ramp, two boards, and a plant-like tangle of thin leaves."""
    ramp = _standing(rng, (0.0, 1.55, 6.0), (900, 520), tilt=(-1.0, 0.0, 0.0))
    boards = [_board(rng, distance_m) for distance_m in (5.0, 3.8)]
    stem = rng.uniform((-0.9, -0.2), (0.9, 0.3))
    leaves = []
    for distance_m in np.sort(rng.uniform(3.0, 4.5, LEAVES))[::-1]:
        x, y = stem + rng.normal(0, (0.35, 0.3))
        width_px, length_px = int(rng.integers(14, 34)), int(rng.integers(90, 200))
        tilt = _vector(rng.uniform(-1, 1, 3) * (0.5, 0.5, 1.5))
        leaves.append(
            _standing(rng, (float(x), float(y), float(distance_m)), (width_px, length_px), tilt, is_round=True)
        )
    return [ramp, *boards, *leaves]


def _standing(
    rng: np.random.Generator, centre_m: Vector, size_px: tuple[int, int], tilt: Vector, *, is_round: bool = False
) -> Layer:
    """Return a print of about as many px as the DSLR sees of it."""
    m_per_px = centre_m[2] / _dslr().focal_px
    width_m, height_m = (side * m_per_px for side in size_px)
    panel = Panel(centre_m=centre_m, width_m=width_m, height_m=height_m, tilt=tilt, round=is_round)
    return Layer(panel, single_print(rng, *size_px))


def _ball(rng: np.random.Generator, cameras: tuple[Camera, ...]) -> Layer:
    """Let something round pass between the wall and the cameras while they expose one after the other."""
    side_px, distance_m = int(rng.integers(170, 260)), WALL_M - 1.0
    side_m = side_px * distance_m / _dslr().focal_px
    x, y = rng.uniform((-0.35, -0.25), (0.35, 0.25)) * distance_m
    steps = rng.uniform(-0.6, 0.6, (len(cameras), 2)) * side_m
    moved = {camera.name: (float(step[0]), float(step[1])) for camera, step in zip(cameras, steps, strict=True)}
    panel = Panel(centre_m=(float(x), float(y), distance_m), width_m=side_m, height_m=side_m, round=True, moved_m=moved)
    return Layer(panel, single_print(rng, side_px, side_px))


def _phone_a() -> Camera:
    look = Look(
        blur_px=0.75,
        vignetting=0.5,
        colour=colour_matrix(0.62, (0.98, 0.88, 0.74)),
        gamma=(2.25, 2.2, 2.15),
        contrast=-0.15,
        black=0.05,
        white=0.93,
        shot_noise=0.0007,
        read_noise=0.0035,
        sharpening=0.7,
    )
    files = Files(
        pattern="IMG_{:04d}.jpg",
        first_number=41,
        jpeg_quality=88,
        clock_offset_s=37,
        make="simulated phone maker",
        model="simulated phone A",
    )
    return Camera(
        name="phone-a",
        width=800,
        height=600,
        focal_px=700,
        position_m=(-0.07, 0.01, 0),
        k1=0.01,
        look=look,
        files=files,
    )


def _phone_b() -> Camera:
    look = Look(
        blur_px=0.7,
        vignetting=0.38,
        colour=colour_matrix(0.7, (0.66, 0.86, 0.98)),
        gamma=(2.1, 2.2, 2.25),
        contrast=-0.05,
        black=0.07,
        white=0.96,
        shot_noise=0.001,
        read_noise=0.0045,
        sharpening=0.9,
    )
    files = Files(
        pattern="DSCN{:05d}.jpg",
        first_number=1207,
        jpeg_quality=85,
        orientation=6,
        clock_offset_s=-3607,
        exposure_s=1 / 50,
        f_number=2.2,
        make="simulated phone maker",
        model="simulated phone B",
    )
    return Camera(
        name="phone-b",
        width=672,
        height=504,
        focal_px=592,
        position_m=(0.06, 0.02, 0),
        k1=-0.006,
        look=look,
        files=files,
    )


def _dslr() -> Camera:
    look = Look(
        blur_px=0.55,
        vignetting=0.08,
        colour=colour_matrix(1.06, (1.02, 1.0, 1.02)),
        contrast=0.18,
        shot_noise=0.00005,
        read_noise=0.001,
        sharpening=0.35,
    )
    files = Files(
        pattern="_MG_{:04d}.jpg",
        first_number=7302,
        jpeg_quality=95,
        make="simulated camera maker",
        model="simulated DSLR",
        exposure_s=1 / 25,
        f_number=5.6,
    )
    return Camera(name="dslr", width=1500, height=1000, focal_px=1165, k1=0.004, look=look, files=files)


def _crooked(rng: np.random.Generator) -> Vector:
    """Draw a rotation: the axis is off by up to 1 degree each way, and rolled by up to 1.4 degrees."""
    return _vector(np.deg2rad(rng.uniform(-1, 1, 3) * (1.0, 0.8, 1.4)))


def _vector(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
