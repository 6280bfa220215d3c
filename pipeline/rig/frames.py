"""Moments of which phone-a takes several frames: bursts from the hand, and exposure brackets from a tripod.

Every fourth scene from the second on (numbers 1, 5, 9, 13 ...) is taken as a burst, and every fourth from the fourth on
(3, 7, 11 ...) as a bracket, if the parameters ask for them. Every third of either has the moving object (1 and 13 of
the bursts, 7 of the brackets); none is the deep scene, and none has boards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from dpedtool.dataset.demo_params import DemoParams
from dpedtool.pipeline.rig.camera import Camera, Vector, rotation_matrix
from dpedtool.pipeline.rig.scene import Layer, Scene

BURST_CAMERA = "phone-a"
EVERY, FIRST_BURST, FIRST_BRACKET = 4, 1, 3
BURST_STEP_S, BRACKET_STEP_S = 0.2, 0.4
BRACKET_EV = (-2.0, 0.0, 2.0)
SHAKE = 6  # number of the random generator, after those of `session`
HAND_PX, HAND_ROLL, HAND_M = (3.0, 7.0), 0.003, 0.003
"""A hand turns the phone by so many px, either way, about x and about y each, rolls it by up to so many rad, and moves
it by up to so many m along each axis. The content of a photo of 800 x 600 px moves by 3 to 15 px."""
TRIPOD_PX, TRIPOD_ROLL, TRIPOD_M = (0.0, 0.3), 0.0002, 0.0001
SPEED = 1.5
"""Of the moving object, in its own sizes a second: it is drawn with 170 to 260 px of the DSLR's photo."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One of the photos that a camera takes of a moment.

    Parameters
    ----------
    camera
        The camera as it stands for this frame, with its shake and exposure.
    number
        From 0, in the order of time.
    after_s
        Time after the frame that is taken together with the DSLR's photo, in s; negative before.
    ev
        Exposure in stops against the camera's own; positive is brighter.

    """

    camera: Camera
    number: int = 0
    after_s: float = 0.0
    ev: float = 0.0


def takes_several(params: DemoParams) -> bool:
    """Whether there are bursts or brackets, so that all cameras tell exposure and fractions of a second."""
    return params.burst > 1 or params.bracket


def frames_of(params: DemoParams, index: int, camera: Camera) -> list[Frame]:
    """Return the frames that a camera takes of a scene, in the order of time; one, as it is, in most scenes.

    Parameters
    ----------
    params
        `burst`, `bracket` and `seed` decide.
    index
        Running number of the scene, from 0.
    camera
        The camera on the tripod.

    """
    if camera.name == BURST_CAMERA and params.burst > 1 and index % EVERY == FIRST_BURST:
        middle = params.burst // 2
        times = [(number - middle) * BURST_STEP_S for number in range(params.burst)]
        return [
            Frame(camera=_shaken(camera, params.seed, index, number), number=number, after_s=after_s)
            for number, after_s in enumerate(times)
        ]
    if camera.name == BURST_CAMERA and params.bracket and index % EVERY == FIRST_BRACKET:
        return [
            Frame(
                camera=_exposed(_shaken(camera, params.seed, index, number, is_held=False), ev),
                number=number,
                after_s=(number - 1) * BRACKET_STEP_S,
                ev=ev,
            )
            for number, ev in enumerate(BRACKET_EV)
        ]
    return [Frame(camera=camera)]


def scene_of(scene: Scene, frame: Frame, seed: int, index: int) -> Scene:
    """Return the scene as it is when a frame is exposed: with what moves moved on, as bright as the exposure makes it.

    Parameters
    ----------
    scene
        The scene at the moment of the DSLR's photo.
    frame
        The frame.
    seed, index
        Those of the session and of the scene, which draw the direction in which things move.

    """
    if frame.after_s == frame.ev == 0:
        return scene
    angle = _generator(seed, index).uniform(0, 2 * np.pi)
    step = SPEED * frame.after_s * np.array([np.cos(angle), np.sin(angle)])
    layers = tuple(_moved_on(layer, frame.camera.name, step) for layer in scene.layers)
    return Scene(layers, scene.brightness * 2**frame.ev)


def _moved_on(layer: Layer, camera: str, step: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Layer:
    """Move a layer by a step in its own widths, before one camera, if it moves at all."""
    panel = layer.panel
    if not panel.moved_m:
        return layer
    x, y = panel.moved_m[camera]
    moved = {**panel.moved_m, camera: (x + float(step[0]) * panel.width_m, y + float(step[1]) * panel.width_m)}
    return Layer(replace(panel, moved_m=moved), layer.texture)


def _shaken(camera: Camera, seed: int, index: int, number: int, *, is_held: bool = True) -> Camera:
    """Turn and move a camera a little, as a hand does it or, much less, a tripod when its phone is touched."""
    rng = _generator(seed, index, number)
    (least, most), roll, shift_m = (HAND_PX, HAND_ROLL, HAND_M) if is_held else (TRIPOD_PX, TRIPOD_ROLL, TRIPOD_M)
    turned_px = rng.uniform(least, most, 2) * rng.choice([-1, 1], 2)
    shake = (*(turned_px / camera.focal_px).tolist(), float(rng.uniform(-roll, roll)))
    turned = rotation_matrix(shake) @ rotation_matrix(camera.rotation)
    return replace(
        camera,
        rotation=_vector(cv2.Rodrigues(turned)[0]),
        position_m=_vector(np.array(camera.position_m) + rng.uniform(-shift_m, shift_m, 3)),
    )


def _exposed(camera: Camera, ev: float) -> Camera:
    """Expose by so many stops more: a stop less is half the time; of stops more, half are time and half are ISO."""
    longer, gain = (2**ev, 1.0) if ev < 0 else (2 ** (ev / 2), 2 ** (ev / 2))
    files = replace(camera.files, exposure_s=camera.files.exposure_s * longer, iso=round(camera.files.iso * gain))
    # With a higher ISO, as much light in the file is fewer photons on the sensor.
    look = replace(camera.look, shot_noise=camera.look.shot_noise * gain, read_noise=camera.look.read_noise * gain)
    return replace(camera, files=files, look=look)


def _vector(values: object) -> Vector:
    x, y, z = np.asarray(values, dtype=np.float64).ravel().tolist()
    return x, y, z


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SHAKE, *key)))
