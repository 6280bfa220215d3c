"""What a network costs: numbers that hold everywhere, and what it took on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dpedtool.dataset.sidecars.metrics import NetworkSize
from dpedtool.training.networks.generators import Generator, count_parameters

_COUNTED_PX = 64


@torch.no_grad()
def network_size(model: Generator) -> NetworkSize:
    """Return the number of values of a network, and of its multiplications for one px of the output."""
    device = next(model.parameters()).device
    counter = FlopCounterMode(display=False)
    with counter:
        output = model(torch.zeros(1, 3, _COUNTED_PX, _COUNTED_PX, device=device))
    # The counter counts a multiplication with its addition as two.
    return NetworkSize(
        parameters=count_parameters(model),
        multiply_adds_per_px=counter.get_total_flops() / 2 / output[0, 0].numel(),
    )


@dataclass
class Stopwatch:
    """Seconds that a network ran, and for how many px of its output."""

    seconds: float = 0.0
    px: int = 0

    def timed(self, run: Callable[[], Tensor]) -> Tensor:
        """Run the network, and return its output (N, 3, H, W)."""
        start = time.perf_counter()
        outputs = run()
        self.seconds += time.perf_counter() - start
        self.px += outputs[:, 0].numel()
        return outputs

    def ms_per_megapixel(self) -> float | None:
        """Return the time for a million px of output; None if nothing ran."""
        return 1e9 * self.seconds / self.px if self.px else None
