"""Two photos and a network to try the functions on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from dpedtool.api.inputs import RgbImage, rgb
from dpedtool.pipeline.rig import Camera, simulate_pair

if TYPE_CHECKING:
    from dpedtool.api.network import Model

_PHONE = Camera(name="phone", width=400, height=300, focal_px=350, rotation=(0.01, -0.015, 0.02))
_DSLR = Camera(name="dslr", width=640, height=460, focal_px=520, position_m=(0.07, 0.02, 0))
_TEXTURE_PX = (600, 820)
"""Height and width: somewhat more than the DSLR's photo has."""
_SIGMAS_PX = (1.5, 4, 10)


def example_photos(seed: int = 0) -> tuple[RgbImage, RgbImage]:
    """Simulate two small photos of one scene, to try the other functions on.

    A phone and a DSLR on one tripod photograph a wall with a random pattern.

    Parameters
    ----------
    seed
        Another seed draws another pattern.

    Returns
    -------
    tuple of ndarray
        The phone's photo, (300, 400, 3), and the DSLR's, (460, 640, 3), both RGB, uint8.

    Examples
    --------
    >>> import dpedtool
    >>> phone, dslr = dpedtool.example_photos()
    >>> phone.shape, dslr.shape, phone.dtype
    ((300, 400, 3), (460, 640, 3), dtype('uint8'))

    """
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(*_TEXTURE_PX, 3)), (0, 0), sigma) for sigma in _SIGMAS_PX]
    texture = np.clip(128 + 32 * sum(layer / layer.std() for layer in layers), 0, 255).astype(np.uint8)
    phone, dslr, _ = simulate_pair(texture, _PHONE, _DSLR, rng)
    return rgb(phone), rgb(dslr)


def example_model(seed: int = 0) -> Model:
    """Return a small network that is not trained: its output is nearly the photo that it is given.

    Parameters
    ----------
    seed
        Another seed draws other first weights.

    Returns
    -------
    Model
        DPED's network with 8 channels and 1 block, on the processor.

    Examples
    --------
    >>> import dpedtool
    >>> dpedtool.example_model()
    Model dped_resnet_6_8: 6267 trained values, on cpu

    """
    # Photos can be simulated without torch, which takes seconds to import.
    import torch

    from dpedtool.api.network import Model
    from dpedtool.training.networks.generators import Architecture
    from dpedtool.training.networks.initialisation import initialise

    network = Architecture(channels=8, blocks=1).build()
    initialise(network, torch.Generator().manual_seed(seed))
    return Model(None, network.eval())
