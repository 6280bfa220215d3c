"""Pairs of patches from the rig whose errors are known: targets pushed by known shifts, or of other exposures.

Phone and DSLR stand in the same place and have the same focal length, so a patch of one shows exactly what the patch of
the other shows. A push turns the DSLR's image on the sensor by part of a px, before the px are sampled. So a pushed
target is as sharp as any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.rig import Camera, Look
from dpedtool.pipeline.rig.camera import colour_matrix
from dpedtool.pipeline.rig.capture import capture
from dpedtool.pipeline.rig.collage import wall_of_prints
from dpedtool.pipeline.rig.scene import Scene, hang
from dpedtool.training.data import Pairs

PATCH_PX, PATCHES_A_SIDE = 64, 6
PHOTO_PX = PATCH_PX * PATCHES_A_SIDE
TEXTURE_PX = 500
"""More than a photo has, so that the DSLR's is sharp."""
_FOCAL_PX, _DISTANCE_M = 400.0, 5.0
_PHONE = Look(
    blur_px=0.9, colour=colour_matrix(0.85, (1.1, 1.0, 0.92)), contrast=0.3, shot_noise=0.0004, read_noise=0.004
)
_DSLR = Look(blur_px=0.45)


@dataclass(frozen=True)
class Errors:
    """How the targets of pairs differ from what they should be."""

    title: str
    push_px: float = 0.0
    """Each target is pushed by up to so many px along each axis, uniformly, both ways."""
    stops: float = 0.0
    """The DSLR exposes each target by up to so many stops more or less, uniformly."""
    white_balance: float = 0.0
    """Red and blue of each target are brighter or darker by up to this share, in linear light."""


class PushedPairs(Pairs):
    """Pairs of several scenes, in memory.

    Parameters
    ----------
    scenes
        Numbers of the scenes; each has 36 patches.
    errors
        What is wrong with the targets.
    seed
        Another one draws other errors. Scenes and phone photos do not depend on it.

    """

    def __init__(self, scenes: Sequence[int], errors: Errors, seed: int = 0) -> None:
        self._pairs = [pair for number in scenes for pair in _patches(number, errors, seed)]

    def __len__(self) -> int:
        return len(self._pairs)

    def names(self) -> list[str]:
        return [str(index) for index in range(len(self))]

    def photos(self) -> list[str]:
        return [str(index // PATCHES_A_SIDE**2) for index in range(len(self))]

    def images(self, index: int) -> tuple[Image, Image]:
        return self._pairs[index]

    def digest(self) -> str:
        return ""


def _patches(number: int, errors: Errors, seed: int) -> list[tuple[Image, Image]]:
    texture = wall_of_prints(np.random.default_rng([number, 0]), TEXTURE_PX, TEXTURE_PX, print_px=170)
    phone, dslr = (_camera(name, look) for name, look in (("phone", _PHONE), ("dslr", _DSLR)))
    scene = Scene((hang(texture, [phone, dslr], distance_m=_DISTANCE_M),))
    photo, rng = capture(scene, phone, np.random.default_rng([number, 1])), np.random.default_rng([number, 2, seed])
    sharp = capture(scene, dslr, rng)
    corners = [(y * PATCH_PX, x * PATCH_PX) for y in range(PATCHES_A_SIDE) for x in range(PATCHES_A_SIDE)]
    exact = errors == Errors(errors.title)
    return [
        (_cut(photo, corner), _cut(sharp, corner) if exact else capture(scene, _spoilt(dslr, corner, errors, rng), rng))
        for corner in corners
    ]


def _camera(name: str, look: Look) -> Camera:
    return Camera(name=name, width=PHOTO_PX, height=PHOTO_PX, focal_px=_FOCAL_PX, look=look)


def _cut(photo: Image, corner: tuple[int, int]) -> Image:
    top, left = corner
    return np.ascontiguousarray(photo[top : top + PATCH_PX, left : left + PATCH_PX])


def _spoilt(camera: Camera, corner: tuple[int, int], errors: Errors, rng: np.random.Generator) -> Camera:
    """Return a camera that sees one patch, with errors."""
    across, down = rng.uniform(-errors.push_px, errors.push_px, 2)
    light = 2 ** rng.uniform(-errors.stops, errors.stops)
    blue, red = 1 + rng.uniform(-errors.white_balance, errors.white_balance, 2)
    centre_x, centre_y = camera.principal_point
    centre = float(centre_x - corner[1] + across), float(centre_y - corner[0] + down)
    colour = colour_matrix(1.0, (light * blue, light, light * red))
    look = dataclasses.replace(camera.look, colour=colour)
    return dataclasses.replace(camera, width=PATCH_PX, height=PATCH_PX, centre_px=centre, look=look)
