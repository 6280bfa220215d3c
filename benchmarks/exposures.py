"""Phone photos as a camera would have taken them with less light, or with another exposure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.yardstick import Image

Light = npt.NDArray[np.float64]

READ_NOISE = 1.5
"""Standard deviation, in electrons."""


def in_the_dark(image: Image, peak: float, rng: np.random.Generator) -> Image:
    """Return a photo, (H, W, 3) uint8, as a sensor sees it whose px hold `peak` electrons in full light.

    Photons arrive at random (Poisson), the electronics add `READ_NOISE`, and nothing removes the noise again.
    """
    electrons = rng.poisson(_as_light(image) * peak) + rng.normal(0, READ_NOISE, image.shape)
    return _as_image(electrons / peak)


def exposed(image: Image, stops: float) -> Image:
    """Return a photo with 2 to the power of `stops` times as much light: what exceeds the full light is burnt out."""
    return _as_image(_as_light(image) * 2.0**stops)


def _as_light(image: Image) -> Light:
    """Return linear light, 0..1, of sRGB values (IEC 61966-2-1)."""
    values = image / 255.0
    return np.asarray(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4))


def _as_image(light: Light) -> Image:
    light = np.clip(light, 0, 1)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(values * 255), np.uint8)
