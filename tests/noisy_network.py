"""A saved network whose weights are noise, small enough for values that int8 can hold."""

from __future__ import annotations

from pathlib import Path

import torch

from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.weights.checkpoint import save_model


def save_noisy(folder: Path, architecture: Architecture) -> tuple[Path, Generator]:
    """Save the network in a folder; return the file and the network."""
    network = architecture.build().eval()
    random = torch.Generator().manual_seed(0)
    for values in network.state_dict().values():
        if values.is_floating_point():
            values.copy_(torch.rand(values.shape, generator=random) * 0.2 + (0.4 if values.ndim == 1 else -0.1))
    save_model(folder / "net.safetensors", network, {})
    return folder / "net.safetensors", network
