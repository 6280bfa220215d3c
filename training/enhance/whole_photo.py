"""A whole photo through the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from dataset.stored import Image
from training.model import Architecture, Generator

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Settings:
    """How photos are computed."""

    device: torch.device
    precision: Precision
    """Of the feature maps, and of the convolutions where the device multiplies bfloat16."""
    max_memory: int | None = None
    """What the whole process may take at its peak, in bytes; None: what is free."""
    scratch: Path | None = None
    """Folder for a file of what finds no room in the memory; None: there is none, and such a photo is refused."""


@dataclass(frozen=True)
class Plan:
    """What one photo takes, in bytes."""

    memory: int
    """Of the process at its peak."""
    scratch: int
    """Of the scratch file; 0: none is made."""


def plan(architecture: Architecture, size: tuple[int, int], settings: Settings) -> Plan:
    """Say what a photo of this size (width, height) takes, before it is decoded.

    Raises
    ------
    Rejection
        `too_little_memory`: more than is allowed, with the least that would do; or `too_little_disk`.

    """
    raise NotImplementedError


def enhance_photo(
    model: Generator, photo: Image, settings: Settings, tell: Callable[[float], None] = lambda share: None
) -> Image:
    """Enhance a photo, (H, W, 3) BGR uint8; return one of the same shape.

    Parameters
    ----------
    model
        On `settings.device`.
    photo
        Upright, in sRGB.
    settings
        How.
    tell
        Called now and then with the share of the work that is done, 0..1.

    Raises
    ------
    Rejection
        As `plan`.

    """
    with torch.inference_mode():
        phone = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
        rgb = (model(phone).clamp(0, 1) * 255).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
    tell(1.0)
    return np.ascontiguousarray(rgb[..., ::-1])
