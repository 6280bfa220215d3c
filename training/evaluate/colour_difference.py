"""CIEDE2000: how different colours look to people, by the standard CIE 142-2001.

Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
mathematical observations", Color Research and Application 30 (1), 2005. Tests compare with its test data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpedtool.training.metrics import check_pair

# sRGB, IEC 61966-2-1, to XYZ under D65.
_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)
_25_TO_7 = 25.0**7
_PX_AT_ONCE = 500_000
"""A px takes some thirty numbers on the way, so this bounds the memory."""


def ciede2000(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over the px of the difference of the colours: (N,), float32; 0 for equal images, 1 just visible.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W), RGB as in sRGB files, float, 0..1: clip first.

    Raises
    ------
    ValueError
        The shapes differ or hold no images.

    """
    check_pair(outputs, targets)
    px = outputs[0, 0].numel()
    rows = max(1, _PX_AT_ONCE * outputs.shape[2] // (px * len(outputs)))
    parts = zip(*(torch.split(images.detach(), rows, dim=2) for images in (outputs, targets)), strict=True)
    sums = [lab_difference(*(_as_lab(images.float()) for images in part)).sum(dim=(1, 2)) for part in parts]
    return torch.stack(sums).sum(dim=0) / px


def lab_difference(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the CIEDE2000 difference of colours (N, 3, ...) in CIELAB, L 0..100: (N, ...), 0 or more."""
    light, other_light = ours[:, 0], theirs[:, 0]
    chroma = (ours[:, 1:].norm(dim=1) + theirs[:, 1:].norm(dim=1)) / 2
    stretch = 1.5 - 0.5 * _saturation(chroma)
    a, other_a = ours[:, 1] * stretch, theirs[:, 1] * stretch
    chroma, other_chroma = torch.hypot(a, ours[:, 2]), torch.hypot(other_a, theirs[:, 2])
    hue, other_hue = (
        torch.remainder(torch.atan2(b, of_a), 2 * math.pi) for b, of_a in ((ours[:, 2], a), (theirs[:, 2], other_a))
    )

    grey = chroma * other_chroma == 0
    turn = (other_hue - hue).masked_fill(grey, 0.0)
    # Opposite hues are half a turn apart up to rounding, and are not turned.
    turn = turn - 2 * math.pi * (turn.abs() > math.pi + 1e-9) * turn.sign()
    by_hue = 2 * torch.sqrt(chroma * other_chroma) * torch.sin(turn / 2)
    # A grey has no hue, so the mean hue is then that of the other colour.
    mean_hue = torch.where(grey, hue + other_hue, hue + turn / 2)

    mean_light, mean_chroma = (light + other_light) / 2, (chroma + other_chroma) / 2
    weight = (
        1
        - 0.17 * torch.cos(mean_hue - math.radians(30))
        + 0.24 * torch.cos(2 * mean_hue)
        + 0.32 * torch.cos(3 * mean_hue + math.radians(6))
        - 0.20 * torch.cos(4 * mean_hue - math.radians(63))
    )
    off = (mean_light - 50) ** 2
    light_part = (other_light - light) / (1 + 0.015 * off / torch.sqrt(20 + off))
    chroma_part = (other_chroma - chroma) / (1 + 0.045 * mean_chroma)
    hue_part = by_hue / (1 + 0.015 * mean_chroma * weight)
    degrees = torch.remainder(torch.rad2deg(mean_hue), 360)
    blue = math.radians(60) * torch.exp(-(((degrees - 275) / 25) ** 2))
    rotation = -2 * _saturation(mean_chroma) * torch.sin(blue)
    squares = light_part**2 + chroma_part**2 + hue_part**2 + rotation * chroma_part * hue_part
    return squares.clamp_min(0).sqrt()


def _saturation(chroma: Tensor) -> Tensor:
    seventh = chroma**7
    return torch.sqrt(seventh / (seventh + _25_TO_7))


def _as_lab(images: Tensor) -> Tensor:
    linear = torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055) ** 2.4)
    to_xyz = images.new_tensor(_XYZ) / images.new_tensor(_WHITE)[:, None]
    xyz = torch.einsum("ij,njhw->nihw", to_xyz, linear)
    cubic = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-9) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = cubic.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)
