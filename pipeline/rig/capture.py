"""Renders a scene as a photo: every pixel is sampled exactly, then the camera's processing is applied."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dpedtool.pipeline.rig.camera import Camera, Look, Vector
from dpedtool.pipeline.rig.scene import Image, Layer, Panel, Scene, hang
from dpedtool.pipeline.rig.truth import Truth

Light = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)

SAMPLES = 2  # a pixel is the mean of SAMPLES x SAMPLES samples
NODE_PX = 4  # rays are computed exactly at every fourth pixel, and linearly between: at most 0.0002 px off
BAND_PX = 16  # rows whose rays are interpolated at once; a multiple of NODE_PX
RIM_POINTS, RIM_PX = 9, 4  # a panel's rim is projected at so many points, and lenses bend it by less than so many px
STRIP_PX = 128  # rows rendered at once, so that 12 MP photos fit into memory
TEXTURE_GAMMA = 2.2
VOID = 0.02  # light where the scene ends
BOX_VARIANCE = 1 / 12  # of a square of side 1, along each axis
TRIANGLE_VARIANCE = 1 / 6  # of linear interpolation between points 1 apart, averaged over the positions


class _Surface(NamedTuple):
    """A layer made ready for one camera: linear light, smoothed for that camera's sampling."""

    panel: Panel
    light: Light
    samples_per_px: float  # samples per texture px
    smoothed: float  # standard deviation of the blur that its texture already has, in samples


def capture(scene: Scene, camera: Camera, rng: np.random.Generator) -> Image:
    """Photograph a scene.

    Parameters
    ----------
    scene
        What is in front of the camera.
    camera
        The camera; a clean one (`Look()`) gives the scene's own colours.
    rng
        Draws the noise; the same state gives the same photo.

    Returns
    -------
    The photo as it is seen, BGR uint8 (camera.height, camera.width, 3), before JPEG.

    """
    return _develop(_expose(scene, camera), camera, rng)


def simulate_pair(
    texture: Image,
    phone: Camera,
    dslr: Camera,
    rng: np.random.Generator,
    *,
    distance_m: float = 8.0,
    tilt: Vector = (0.01, -0.015, 0.0),
    brightness: float = 1.0,
) -> tuple[Image, Image, Truth]:
    """Photograph one picture with two cameras.

    Parameters
    ----------
    texture
        Any picture, BGR uint8 (H, W, 3), hung so that it fills both photos. For full sharpness it needs at least as
        many px as the DSLR's photo.
    phone, dslr
        The cameras.
    rng
        Draws the noise of both photos.
    distance_m, tilt
        Distance of the picture from the tripod in m, and its rotation as a Rodrigues vector in rad.
    brightness
        Factor on the scene's light.

    Returns
    -------
    The phone's photo, the DSLR's photo (both BGR uint8), and where points of one lie in the other.

    """
    wall = hang(texture, [phone, dslr], distance_m=distance_m, tilt=tilt)
    scene = Scene((wall,), brightness)
    phone_rng, dslr_rng = rng.spawn(2)
    truth = Truth(phone=phone, dslr=dslr, panels=scene.panels)
    return capture(scene, phone, phone_rng), capture(scene, dslr, dslr_rng), truth


def _expose(scene: Scene, camera: Camera) -> Light:
    """Return the light on the sensor (H, W, 3): the scene through the lens's blur, each pixel's area averaged."""
    surfaces = [_prepare(layer, camera) for layer in scene.layers]
    light = np.empty((camera.height, camera.width, 3), np.float32)
    for top in range(0, camera.height, STRIP_PX):
        bottom = min(top + STRIP_PX, camera.height)
        light[top:bottom] = _expose_rows(surfaces, camera, top, bottom)
    return light * np.float32(scene.brightness)


def _prepare(layer: Layer, camera: Camera) -> _Surface:
    """Linearise a layer's texture and smooth it where the camera's samples lie further apart than its px."""
    levels = (np.arange(256, dtype=np.float32) / 255) ** np.float32(TEXTURE_GAMMA)
    light = _light(levels[layer.texture])
    px_per_sample = _texture_px_per_camera_px(layer, camera) / SAMPLES
    # Samples that lie further apart than half a texture px would alias what linear interpolation lets through.
    sigma = 0.5 * math.sqrt(max(0.0, px_per_sample**2 - 0.25))
    if sigma > 0:
        light = _blur(light, sigma)
    smoothed = math.sqrt(sigma**2 + TRIANGLE_VARIANCE) / px_per_sample
    return _Surface(layer.panel, light, 1 / px_per_sample, smoothed)


def _texture_px_per_camera_px(layer: Layer, camera: Camera) -> float:
    panel = layer.panel
    centre = panel.project(camera, np.zeros((1, 2)))
    ends = panel.hit(camera, centre + np.array([[-0.5, 0.0], [0.5, 0.0]]))
    return float(np.linalg.norm(ends[1] - ends[0]) / panel.width_m * layer.texture.shape[1])


def _expose_rows(surfaces: list[_Surface], camera: Camera, top: int, bottom: int) -> Light:
    # Rows and columns beyond the photo are rendered too, so that the blur needs no invented border.
    margin = math.ceil(4 * camera.look.blur_px) + 1
    rows = (top - margin, bottom + margin)
    columns = (-margin, camera.width + margin)
    samples = np.full(((rows[1] - rows[0]) * SAMPLES, (columns[1] - columns[0]) * SAMPLES, 3), VOID, np.float32)
    for surface in surfaces:
        _paint(samples, surface, camera, rows, columns)
    # The wanted blur and the area of a sample, minus the smoothing that the wall's texture already has. Panels in
    # front of the wall may be softer or sharper by a fraction of a px.
    smoothed = surfaces[0].smoothed if surfaces else 0.0
    variance = (camera.look.blur_px * SAMPLES) ** 2 + BOX_VARIANCE - smoothed**2
    blurred = _blur(samples, math.sqrt(variance)) if variance > 0 else samples
    cropped = blurred[margin * SAMPLES : -margin * SAMPLES, margin * SAMPLES : -margin * SAMPLES]
    return _light(cv2.resize(cropped, (camera.width, bottom - top), interpolation=cv2.INTER_AREA))


def _paint(samples: Light, surface: _Surface, camera: Camera, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """Lay a surface over the samples of a part of the photo, in place."""
    panel, (height, width) = surface.panel, surface.light.shape[:2]
    within = _within(panel, camera, rows, columns)
    if within is None:
        return
    parts = (
        slice((first - whole[0]) * SAMPLES, (end - whole[0]) * SAMPLES)
        for (first, end), whole in zip(within, (rows, columns), strict=True)
    )
    area = samples[tuple(parts)]
    for band, x, y in _places(panel, camera, *within):
        part = area[band]
        cover = _cover(panel, x, y, panel.width_m / width / surface.samples_per_px)
        if not cover.any():
            continue
        texture_x = x * np.float32(width / panel.width_m) + np.float32((width - 1) / 2)
        texture_y = y * np.float32(height / panel.height_m) + np.float32((height - 1) / 2)
        # Linear interpolation keeps every gradient where it is; cv2's cubic kernel shifts it by up to 0.05 px.
        picture = cv2.remap(surface.light, texture_x, texture_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        part += cover[..., None] * (_light(picture) - part)


def _within(
    panel: Panel, camera: Camera, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the rows and columns of a part of the photo that may show a panel; None if none of them does."""
    along = np.linspace(-0.5, 0.5, RIM_POINTS)
    half = np.full_like(along, 0.5)
    sides = [(along, -half), (along, half), (-half, along), (half, along)]
    rim = np.concatenate([np.column_stack(side) for side in sides]) * (panel.width_m, panel.height_m)
    seen = panel.project(camera, rim)
    if not np.isfinite(seen).all():
        return rows, columns
    spans = []
    for whole, places in ((rows, seen[:, 1]), (columns, seen[:, 0])):
        low, high = math.floor(places.min()) - RIM_PX, math.ceil(places.max()) + RIM_PX
        # The nodes of `_places` stay where they are without this cut.
        first = whole[0] + max(0, low - whole[0]) // BAND_PX * BAND_PX
        end = min(whole[1], high)
        if first >= end:
            return None
        spans.append((first, end))
    return spans[0], spans[1]


def _places(
    panel: Panel, camera: Camera, rows: tuple[int, int], columns: tuple[int, int]
) -> Iterator[tuple[slice, Light, Light]]:
    """Yield bands of sample rows, with the place (x, y) in m on the panel that each sample sees."""
    node_x = np.arange(columns[0] - 1, columns[1] + NODE_PX + 1, NODE_PX, dtype=np.float64)
    node_y = np.arange(rows[0] - 1, rows[1] + NODE_PX + 1, NODE_PX, dtype=np.float64)
    nodes = np.stack(np.meshgrid(node_x, node_y), axis=-1)
    places = panel.hit(camera, nodes.reshape(-1, 2)).reshape(nodes.shape)
    sample_x, sample_y = _sample_positions(*columns), _sample_positions(*rows)
    across = _light(_between(places.transpose(1, 0, 2), (sample_x - node_x[0]) / NODE_PX).transpose(1, 0, 2))
    step = BAND_PX * SAMPLES
    for first in range(0, len(sample_y), step):
        band = slice(first, first + step)
        seen = _between(across, (sample_y[band] - node_y[0]) / NODE_PX)
        yield band, np.ascontiguousarray(seen[..., 0]), np.ascontiguousarray(seen[..., 1])


def _sample_positions(first: int, end: int) -> NDArray[np.float64]:
    """Return where the samples of pixels first .. end - 1 lie, in px, pixel centres at integers."""
    return first - 0.5 + (np.arange((end - first) * SAMPLES) + 0.5) / SAMPLES


def _between(values: NDArray[Real], positions: NDArray[np.float64]) -> NDArray[Real]:
    """Interpolate linearly along the first axis at positions given in steps of that axis."""
    before = np.floor(positions).astype(int)
    share = (positions - before)[:, None, None].astype(values.dtype)
    return np.asarray(values[before] + (values[before + 1] - values[before]) * share)


def _cover(panel: Panel, x: Light, y: Light, sample_m: float) -> Light:
    """Return the share (0..1) of each sample that the panel covers; its edge is one sample wide."""
    half_width, half_height = panel.width_m / 2, panel.height_m / 2
    if panel.round:
        inwards = (1 - np.hypot(x / half_width, y / half_height)) * min(half_width, half_height)
    else:
        inwards = np.minimum(half_width - np.abs(x), half_height - np.abs(y))
    return _light(np.clip(np.nan_to_num(inwards / sample_m + 0.5, nan=0.0), 0, 1))


def _develop(light: Light, camera: Camera, rng: np.random.Generator) -> Image:
    """Make a photo of the light on the sensor."""
    look = camera.look
    light = _vignette(light, camera)
    light = _light(cv2.transform(light, np.array(look.colour, np.float32)))
    light = np.clip(_add_noise(light, look, rng), 0, 1)
    encoded = _encode(light, look)
    if look.sharpening:
        encoded = encoded + np.float32(look.sharpening) * (encoded - _blur(encoded, 1.0))
    return np.asarray(np.clip(np.rint(encoded * 255), 0, 255), dtype=np.uint8)


def _vignette(light: Light, camera: Camera) -> Light:
    if not camera.look.vignetting:
        return light
    centre_x, centre_y = camera.principal_point
    x = (np.arange(camera.width) - centre_x) / (camera.width / 2)
    y = (np.arange(camera.height) - centre_y) / (camera.height / 2)
    loss = camera.look.vignetting * (x[None, :] ** 2 + y[:, None] ** 2) / 2
    return _light(light * (1 - loss)[..., None].astype(np.float32))


def _add_noise(light: Light, look: Look, rng: np.random.Generator) -> Light:
    if not (look.shot_noise or look.read_noise):
        return light
    variance = np.float32(look.shot_noise) * np.maximum(light, 0) + np.float32(look.read_noise**2)
    return _light(light + np.sqrt(variance) * rng.standard_normal(light.shape, dtype=np.float32))


def _encode(light: Light, look: Look) -> Light:
    """Apply the tone curve: gamma, S-curve, black and white level."""
    encoded = light ** (1 / np.array(look.gamma, np.float32))
    s_curve = encoded * encoded * (3 - 2 * encoded)
    encoded = encoded + np.float32(look.contrast) * (s_curve - encoded)
    return _light(np.float32(look.black) + np.float32(look.white - look.black) * encoded)


def _blur(light: Light, sigma: float) -> Light:
    return _light(cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def _light(array: object) -> Light:
    return np.asarray(array, dtype=np.float32)
