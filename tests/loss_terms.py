"""Terms of the generator's loss, from weights by name."""

from __future__ import annotations

from dpedtool.dataset.train_params import LossTerm


def only(**weights: float) -> tuple[LossTerm, ...]:
    """These losses and no others."""
    return tuple(LossTerm(loss=name, weight=weight) for name, weight in weights.items())


def with_usual(**weights: float) -> tuple[LossTerm, ...]:
    """The losses of the preset fidelity, with other weights or further losses."""
    return only(**({"psnr": 1.0, "ms_ssim": 1.0} | weights))
