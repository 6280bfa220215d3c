"""The initial weights of a network."""

from __future__ import annotations

import math

import torch
from torch import nn

from dpedtool.dataset.train_params import Initialisation
from dpedtool.training.networks.generators import LayeredGenerator
from dpedtool.training.networks.layer_kinds import Convolution, Normalisation, ResidualBlock

# Initial scale of the norm that ends a residual block, if the picture is passed through.
BLOCK_START = 0.03


def initialise(module: nn.Module, generator: torch.Generator, scheme: Initialisation = "pass-through") -> None:
    """Draw all weights of a network from the given random generator only.

    Norms start with scale 1 and shift 0, except as described for `pass-through`.

    Parameters
    ----------
    module
        A generator or `Discriminator`, on the device of the random generator.
    generator
        The source of every random number.
    scheme
        ``pass-through``: normal with standard deviation sqrt(2 / inputs of a neuron) and bias 0 (He et al. 2015,
        arXiv 1502.01852, equation 10), and a tenth of that deviation in the last layer. A generator that
        `passes_colours` then returns nearly its input. A generator that adds the photo starts with a last layer of 0
        and returns exactly its input. On real pairs (2 blocks of 16 channels, 8 crops of 48 px a step) it
        scored higher after 50 steps than a random start of either kind after 300 steps.
        ``released-code``: normal with standard deviation 0.01, cut at two standard deviations, and bias 0.01.

    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        if scheme == "released-code":
            _truncated_normal(layer, generator)
        else:
            _fan_in_normal(layer, generator, gain=0.1 if layer is layers[-1] else 1.0)
    for norm in module.modules():
        if isinstance(norm, nn.InstanceNorm2d | nn.BatchNorm2d):
            norm.reset_parameters()
    if scheme == "pass-through" and isinstance(module, LayeredGenerator):
        if module.description.adds_photo:
            nn.init.zeros_(layers[-1].weight)
        elif module.description.passes_colours:
            _pass_through(module)


def _truncated_normal(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02, generator=generator)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, 0.01)


def _fan_in_normal(layer: nn.Conv2d | nn.Linear, generator: torch.Generator, gain: float) -> None:
    inputs = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / inputs), generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def _pass_through(network: LayeredGenerator) -> None:
    """Let the first three feature maps carry red, green and blue from end to end."""
    *hidden, tail = (layer.module(network) for layer in network.layers if isinstance(layer, Convolution))
    for conv in hidden:
        conv.weight[:3] = 0
        _connect_colours(conv, 1.0)
    last_of_residuals = (layer.inner[-1] for layer in network.layers if isinstance(layer, ResidualBlock))
    for norm in (layer.module(network) for layer in last_of_residuals if isinstance(layer, Normalisation)):
        # Small compared with contrasts of 0.1, but not 0: at 0 ReLU has no gradient, and the block would stay dead.
        nn.init.constant_(norm.weight, BLOCK_START)
    # 0.58 tanh(2 x - 1) + 0.5 is within 0.06 of x on 0..1.
    nn.init.zeros_(tail.weight)
    _connect_colours(tail, 2.0)
    nn.init.constant_(tail.get_parameter("bias"), -1.0)


def _connect_colours(conv: nn.Conv2d, weight: float) -> None:
    centre = conv.kernel_size[0] // 2
    for colour in range(3):
        conv.weight[colour, colour, centre, centre] = weight
