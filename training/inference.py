"""Running the network over patches: the choice of the device, and the patches run together."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.networks.generators import Generator

PATCHES_AT_ONCE = 16
"""This bounds the memory: DPED's network takes about 10 MB for a patch of 100 px."""


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return where to compute; ``auto`` is a GPU if there is one.

    Raises
    ------
    DpedtoolError
        The parameter asks for a GPU, but there is no usable one.

    """
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise DpedtoolError("device is cuda, but torch finds no usable GPU here: set device to auto or cpu.")
    return torch.device("cuda" if found and wanted != "cpu" else "cpu")


@torch.inference_mode()
def enhance_patches(model: Generator, phone: Tensor, *, clip: bool, at_once: int = PATCHES_AT_ONCE) -> Tensor:
    """Run the network over patches.

    Parameters
    ----------
    model
        On any device.
    phone
        (N, 3, H, W), RGB, 0..1, N above 0.
    clip
        Cut the outputs to 0..1; otherwise they are only nominally within.
    at_once
        Number of patches run together; it changes results only by rounding.

    Returns
    -------
    Tensor
        (N, 3, H, W), RGB, on the processor.

    """
    device = next(model.parameters()).device
    outputs = torch.cat([model(part.to(device)).cpu() for part in torch.split(phone, at_once)])
    return outputs.clamp(0, 1) if clip else outputs
