"""The losses of the generator and the discriminator that need no other trained network.

DPED's losses are those of Ignatov et al., ICCV 2017, arXiv 1704.02470. All are means here, where the released code
sums some over the batch: another batch or patch size then leaves the balance of the terms as it is. The content
loss of DPED needs the weights of VGG-19 and has no place here; the mean absolute difference and MS-SSIM stand for it.

Images are (N, 3, H, W), RGB, float, nominally 0..1. Every loss is a scalar, 0 at best, and differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from dataset.params import TrainParams
from training.metrics import (
    SCALE_WEIGHTS,
    WINDOW_TAPS,
    check_pair,
    combine_scales,
    convolve_separable,
    ssim_terms,
)

# The place of each answer in the discriminator's logits.
FROM_DSLR, FROM_GENERATOR = 0, 1
COLOUR_TAPS = 21
COLOUR_REACH_SIGMAS = 3
# Below this the power of a small weight has a gradient that throws the step off.
SMALLEST_SSIM_TERM = 1e-3


def pixel_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute difference, 0..1.

    Squares would let the few px on edges that are still misaligned outweigh the rest, and blur them. Charbonnier's
    root differs from the absolute value only below its own epsilon, which is one parameter more for no gain.
    """
    check_pair(outputs, targets)
    return (outputs - targets).abs().mean()


def ms_ssim_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - MS-SSIM, averaged over the images, 0..1 (Wang et al. 2003, equation 7).

    It takes as many of the five scales as leave 11 px, the window, on the shorter side, and divides their weights
    by their sum: three at 48 px, four at 100 px. It is therefore not 1 minus the metric, which shrinks the window.

    Raises
    ------
    ValueError
        The shapes differ.

    """
    check_pair(outputs, targets)
    terms = ssim_terms(outputs, targets, scales=scales_within(min(outputs.shape[2:])))
    return 1 - combine_scales(terms, floor=SMALLEST_SSIM_TERM).mean()


def scales_within(side_px: int) -> int:
    """Return how many of the five scales of MS-SSIM have a side of 11 px or more; at least 1."""
    scales = 1
    while scales < len(SCALE_WEIGHTS) and math.ceil(side_px / 2) >= WINDOW_TAPS:
        side_px = math.ceil(side_px / 2)
        scales += 1
    return scales


def colour_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference of the blurred images, 0..1 (arXiv 1704.02470, "color loss").

    Blind to texture and to small shifts, it sees brightness and tint. The released code divides the sum by
    2 * batch: at H x W px that is 3 * H * W / 2 times this value (15 000 times at 100 px).
    """
    check_pair(outputs, targets)
    # The blur is linear: that of the difference is the difference of the blurs, at half the cost. Zeros beyond the
    # border, as in the released code, let the outer 10 px count for less.
    blurred = convolve_separable(outputs - targets, colour_taps(), padding=COLOUR_TAPS // 2)
    return (blurred**2).mean()


def colour_taps() -> list[float]:
    """Return the 21 taps along one axis of the colour loss's kernel, sum 1, standard deviation 4.34 px.

    The released code divides -3.17..3.17 standard deviations into 21 cells, which makes one 3.32 px, and takes the
    square root of the cells' probabilities, which widens it by sqrt(2) before the ends cut it. The paper names 3 px.
    """
    width = (2 * COLOUR_REACH_SIGMAS + 1) / COLOUR_TAPS
    end = COLOUR_REACH_SIGMAS + width / 2
    edges = torch.linspace(-end, end, COLOUR_TAPS + 1, dtype=torch.float64)
    roots = torch.special.ndtr(edges).diff().sqrt()
    taps: list[float] = (roots / roots.sum()).tolist()
    return taps


def tv_loss(images: Tensor) -> Tensor:
    """Return the total variation of (N, 3, H, W): mean squared step along rows plus that along columns, 0..2.

    It makes the output smooth (arXiv 1704.02470, "total variation loss"); the same as in the released code.
    """
    across = (images[..., :, 1:] - images[..., :, :-1]) ** 2
    down = (images[..., 1:, :] - images[..., :-1, :]) ** 2
    return across.mean() + down.mean()


def texture_loss(output_logits: Tensor) -> Tensor:
    """Return how far the discriminator is from taking enhanced patches for the DSLR's (arXiv 1704.02470).

    The mean of -log D, as in the paper: its gradient is large where the discriminator is sure. The released code
    takes the sum of log(1 - D), whose gradient fades there.

    Parameters
    ----------
    output_logits
        (N, 2), the discriminator's answer to the generator's outputs.

    """
    return _cross_entropy(output_logits, FROM_DSLR)


def discriminator_loss(target_logits: Tensor, output_logits: Tensor) -> Tensor:
    """Return the mean cross-entropy of the discriminator over both kinds of patches; log 2 when it knows nothing.

    Parameters
    ----------
    target_logits, output_logits
        (N, 2), its answers to the DSLR's patches and to the generator's outputs, the latter detached from the
        generator.

    """
    return (_cross_entropy(target_logits, FROM_DSLR) + _cross_entropy(output_logits, FROM_GENERATOR)) / 2


class GeneratorLoss:
    """The weighted sum of the losses; terms of weight 0 are not computed.

    Parameters
    ----------
    params
        Its fields ``*_weight`` are read.

    """

    def __init__(self, params: TrainParams) -> None:
        weights = {
            "pixel": params.pixel_weight,
            "ms_ssim": params.ms_ssim_weight,
            "colour": params.colour_weight,
            "texture": params.texture_weight,
            "tv": params.tv_weight,
        }
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}

    @property
    def needs_discriminator(self) -> bool:
        """Whether the texture loss is among the terms."""
        return "texture" in self.weights

    def __call__(
        self, outputs: Tensor, targets: Tensor, output_logits: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch, in float32 whatever autocast says: SSIM's variances need the digits.

        Parameters
        ----------
        outputs, targets
            (N, 3, H, W), RGB, nominally 0..1.
        output_logits
            (N, 2), the discriminator's answer to the outputs; needed where `needs_discriminator`.

        Returns
        -------
        total : Tensor
            The weighted sum, a scalar to go backward from.
        terms : dict
            The terms by name, before their weights, detached.

        Raises
        ------
        ValueError
            The shapes differ, or the logits are missing.

        """
        check_pair(outputs, targets)
        with torch.autocast(outputs.device.type, enabled=False):
            terms = {name: term() for name, term in self._terms(outputs.float(), targets.float(), output_logits)}
        total = torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()
        return total, {name: value.detach() for name, value in terms.items()}

    def _terms(
        self, outputs: Tensor, targets: Tensor, output_logits: Tensor | None
    ) -> list[tuple[str, Callable[[], Tensor]]]:
        if self.needs_discriminator and output_logits is None:
            raise ValueError("The texture loss needs the discriminator's logits of the outputs.")
        functions: dict[str, Callable[[], Tensor]] = {
            "pixel": partial(pixel_loss, outputs, targets),
            "ms_ssim": partial(ms_ssim_loss, outputs, targets),
            "colour": partial(colour_loss, outputs, targets),
            "tv": partial(tv_loss, outputs),
        }
        if output_logits is not None:
            functions["texture"] = partial(texture_loss, output_logits.float())
        return [(name, functions[name]) for name in self.weights]


def _cross_entropy(logits: Tensor, answer: int) -> Tensor:
    return -functional.log_softmax(logits, dim=1)[:, answer].mean()
