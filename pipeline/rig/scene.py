"""The scene in front of the cameras: flat panels with pictures on them, from the wall at the back to the front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dpedtool.pipeline.rig.camera import Camera, Points, Vector, rotation_matrix

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A flat, opaque rectangle (or the ellipse inside it), by its geometry alone.

    Parameters
    ----------
    centre_m
        Its middle in the rig's frame.
    width_m, height_m
        Its size.
    tilt
        Rodrigues vector that turns it out of the plane square to the rig's z axis.
    round
        Whether it is the ellipse that fits the rectangle, instead of the rectangle.
    moved_m
        By camera name: how far it has moved along its own x and y when that camera exposes.

    """

    centre_m: Vector
    width_m: float
    height_m: float
    tilt: Vector = (0.0, 0.0, 0.0)
    round: bool = False
    moved_m: dict[str, tuple[float, float]] = field(default_factory=dict)

    def hit(self, camera: Camera, points: Points) -> Points:
        """Return where the rays of a camera's pixels (N, 2) meet the panel's plane: (N, 2) m from its middle."""
        axes, centre = self._axes_and_centre(camera)
        rays = camera.rays(points)
        to_plane = axes[:, 2] @ (centre - np.array(camera.position_m))
        slope = rays @ axes[:, 2]
        # A ray along the plane, or away from it, meets nothing.
        distance = np.divide(to_plane, slope, out=np.full_like(slope, np.nan), where=slope * to_plane > 0)
        return np.asarray((np.array(camera.position_m) + distance[:, None] * rays - centre) @ axes[:, :2])

    def project(self, camera: Camera, places: Points) -> Points:
        """Return the camera's pixels (N, 2) of places (N, 2) m from the panel's middle; inverse of `hit`."""
        axes, centre = self._axes_and_centre(camera)
        return camera.project(centre + places @ axes[:, :2].T)

    def contains(self, places: Points) -> NDArray[np.bool_]:
        """Return which places (N, 2) m from its middle lie on the panel; NaN does not."""
        share = np.abs(places) / (self.width_m / 2, self.height_m / 2)
        reach = np.hypot(share[:, 0], share[:, 1]) if self.round else share.max(axis=1)
        return np.asarray(reach <= 1)

    def _axes_and_centre(self, camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        axes = rotation_matrix(self.tilt)
        shift = np.array(self.moved_m.get(camera.name, (0.0, 0.0)))
        return axes, np.array(self.centre_m) + axes[:, :2] @ shift


@dataclass(frozen=True, eq=False)
class Layer:
    """A panel and the picture (H, W, 3) that covers it from edge to edge."""

    panel: Panel
    texture: Image


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers from the back to the front: a later one hides an earlier one. `brightness` scales the light."""

    layers: tuple[Layer, ...]
    brightness: float = 1.0

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The geometry of the layers, from the back to the front."""
        return tuple(layer.panel for layer in self.layers)


def hang(
    texture: Image,
    cameras: Sequence[Camera],
    *,
    distance_m: float,
    tilt: Vector = (0.0, 0.0, 0.0),
    margin: float = 0.01,
) -> Layer:
    """Hang a picture as the smallest wall that fills the photos of all cameras.

    Parameters
    ----------
    texture
        The picture; it keeps its proportions.
    cameras
        The cameras whose photos it must fill.
    distance_m
        From the tripod to the wall along the rig's z axis.
    tilt
        Rodrigues vector of the wall.
    margin
        Share of the wall's size that stays free on each side.

    """
    wall = Panel(centre_m=(0.0, 0.0, distance_m), width_m=1.0, height_m=1.0, tilt=tilt)
    seen = np.concatenate([wall.hit(camera, _frame(camera)) for camera in cameras])
    low, high = seen.min(axis=0), seen.max(axis=0)
    middle = rotation_matrix(tilt)[:, :2] @ (low + high) / 2 + np.array(wall.centre_m)
    height_px, width_px = texture.shape[:2]
    m_per_px = float(np.max((high - low) / (width_px, height_px))) / (1 - 2 * margin)
    centre = (float(middle[0]), float(middle[1]), float(middle[2]))
    panel = replace(wall, centre_m=centre, width_m=width_px * m_per_px, height_m=height_px * m_per_px)
    return Layer(panel, texture)


def _frame(camera: Camera) -> Points:
    """Return points (N, 2) along the edge of a camera's photo, in px."""
    along = np.linspace(-0.5, 0.5, max(2, math.ceil(camera.width / 16)))
    half = np.full_like(along, 0.5)
    sides = [(along, -half), (along, half), (-half, along), (half, along)]
    unit = np.concatenate([np.column_stack(side) for side in sides])
    return np.asarray((unit + 0.5) * (camera.width, camera.height) - 0.5)
