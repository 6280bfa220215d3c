"""Steps of the optimiser: the step size, the length of the gradient, and the running mean of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from dpedtool.dataset.train_params import TrainParams

WARM_UP_SHARE = 0.05


def learning_rate(iteration: int, params: TrainParams) -> float:
    """Return the step size of one iteration, counted from 0.

    ``constant``: `learning_rate` always. ``cosine``: a linear warm-up to it over the first twentieth of the
    iterations, then half a cosine down to zero (Loshchilov and Hutter, arXiv 1608.03983, equation 5, one period).
    """
    if params.schedule == "constant":
        return params.learning_rate
    warm_up = max(1, round(WARM_UP_SHARE * params.iterations))
    if iteration < warm_up:
        return params.learning_rate * (iteration + 1) / warm_up
    done = (iteration - warm_up) / max(1, params.iterations - warm_up)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float = 0.0) -> Tensor:
    """Take a step against the gradient of `loss`.

    Parameters
    ----------
    optimizer
        The optimiser of all weights that are trained.
    loss
        A scalar.
    clip_norm
        The gradient of all weights together is shortened to this length if it is longer; 0: never.

    Returns
    -------
    Tensor
        A scalar, on the weights' device: the length of the gradient before it was shortened.

    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if clip_norm > 0:
        clip_grads_with_norm_(weights, clip_norm, norm)
    optimizer.step()
    return norm


Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def towards(network: Network, start: Mapping[str, Tensor], share: float) -> Network:
    """Return a copy of a network whose weights are the mean of its own and of those that its training started from.

    What both do well is kept, and the weights fit the training data less closely (Wortsman et al., "Robust fine-tuning
    of zero-shot models", CVPR 2022, arXiv 2109.01903).

    Parameters
    ----------
    network
        The trained network.
    start
        The weights that the training started from, by name.
    share
        Their share, 0..1. Running statistics are the network's own.

    """
    mixed = copy.deepcopy(network)
    for name, weight in mixed.named_parameters():
        weight.lerp_(start[name].to(weight), share)
    return mixed


class MeanWeights(Generic[Network]):
    """The running mean of a network's weights, which varies less from step to step than the weights.

    After t steps, the weights w_1 to w_t are averaged. Their shares add up to 1 and fall by the factor `kept` from each
    step to the one before it. The initial weights have no share, so the mean is useful after a few steps already: this
    is Adam's bias correction (Kingma and Ba, arXiv 1412.6980, section 3) instead of a warm-up.

    Parameters
    ----------
    network
        The network whose weights are averaged; it is not changed.
    kept
        0 or more and below 1; the share of the old mean that each step keeps after many steps.

    """

    def __init__(self, network: Network, kept: float) -> None:
        self.network: Network = copy.deepcopy(network).requires_grad_(False)
        self.kept = kept

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Add the weights after a step to the mean; steps count from 1, and running statistics are copied."""
        share = (1 - self.kept) / (1 - self.kept**step)
        for mean, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, share)
        for copied, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            copied.copy_(buffer)
