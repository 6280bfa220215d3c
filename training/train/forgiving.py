"""Losses that forgive what the network cannot know: the misalignment that remains, and the exposure of the DSLR.

Where pairs are off by a part of a px, in directions that differ from pair to pair, the output with the least absolute
or squared difference is the mean over all places where an edge may lie: a blurred edge. `with_best_shifts` moves the
target to where it fits the output, tile by tile, before the two are compared. `contextual_bilateral_loss` compares
features, each with the most similar one of its neighbourhood (Zhang, Chen, Ng, Koltun, "Zoom to Learn, Learn to Zoom",
CVPR 2019).

The DSLR chose exposure and white balance of each photo by itself. `with_matched_colours` brings the output's colours to
the target's by one affine map per image, before the two are compared.

Images are (N, 3, H, W), RGB, float32, nominally 0..1. Each image has its own shifts and its own
colours. So a mean over images is the same for one batch and for its parts in several processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.train_params import ContextualArgs, ShiftArgs
from dpedtool.training.metrics import check_pair

HALF_TAPS = 4
"""Shifts by a part of a px are a product with a sinc under Lanczos' window, which reaches this many px to each side."""
SMALLEST_INNER_PX = 8
"""Side that must be left of a patch after its border has been cut off."""
COLOUR_PRIOR = (1 / 255) ** 2
"""Weight of the identity in the colour match, as a variance: that of a contrast of one grey level."""
FEATURE_FLOOR = 0.01
"""Share of the mean length of the target's features below which features count as alike."""


def with_best_shifts(
    outputs: Tensor, targets: Tensor, args: ShiftArgs, *, power: int, what: str = "A shifted loss"
) -> tuple[Tensor, Tensor]:
    """Return the outputs without their border, and the targets moved to where they fit them best.

    Every tile takes the shift with the least difference, which counts ``1 + shift_cost * shift_px ** 2`` times; of
    equal ones it takes the smallest. The cost keeps outputs in the middle of all shifts that pairs have. Without it,
    it would cost nothing to move all outputs alike within the limit. Where tiles with different shifts meet, the moved
    target jumps by as many px. Targets are moved, and not outputs, because they need no gradient. The gradient at the
    best shift is the gradient of the least difference.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W).
    args
        The shifts to try, and the size of a tile.
    power
        1: absolute differences decide; 2: squared ones.
    what
        What is computed, as the beginning of a message.

    Returns
    -------
    tuple of Tensor
        Both (N, 3, H - 2 border, W - 2 border); see `border_px`. Only the first one has a gradient.

    Raises
    ------
    ValueError
        The shapes differ.
    DpedtoolError
        The images are too small for the border.

    """
    check_pair(outputs, targets)
    border = border_px(args)
    height, width = (side - 2 * border for side in outputs.shape[2:])
    if min(height, width) < SMALLEST_INNER_PX:
        raise DpedtoolError(
            f"{what} leaves out {border} px at each border of a patch, so it needs patches of "
            f"{2 * border + SMALLEST_INNER_PX} px or more, not {min(outputs.shape[2:])}: give it a smaller "
            "max_shift_px, or cut larger patches."
        )
    inner = outputs[..., border : border + height, border : border + width]
    with torch.no_grad():
        down, across = (max(1, round(side / args.tile_px)) if args.tile_px else 1 for side in (height, width))
        best, least = inner, inner.new_full((len(inner), 1, down, across), math.inf)
        for moved, squared_px in _moved(targets, args, border):
            difference = ((inner - moved).abs() ** power).mean(dim=1, keepdim=True)
            found = functional.adaptive_avg_pool2d(difference, (down, across)) * (1 + args.shift_cost * squared_px)
            better = functional.interpolate((found < least).float(), (height, width), mode="nearest") > 0
            best, least = torch.where(better, moved, best), torch.minimum(found, least)
    return inner, best


def border_px(args: ShiftArgs) -> int:
    """Return how many px at each border are left out, so that no shift needs px from beyond it."""
    return args.max_shift_px + (HALF_TAPS - 1 if args.steps_per_px > 1 else 0)


def _moved(targets: Tensor, args: ShiftArgs, border: int) -> Iterator[tuple[Tensor, float]]:
    """Yield the targets' inner part moved by each shift, and the shift's square in px; the smallest comes first."""
    steps, most = args.steps_per_px, args.max_shift_px * args.steps_per_px
    shifts = sorted(product(range(-most, most + 1), repeat=2), key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, shift))
    height, width = (side - 2 * border for side in targets.shape[2:])
    between = {parts: _between(targets, [part / steps for part in parts]) for parts in product(range(steps), repeat=2)}
    for down, across in shifts:
        images = between[down % steps, across % steps]
        # An image between the px begins HALF_TAPS - 1 px further inside.
        top, left = (border + shift // steps - (HALF_TAPS - 1 if shift % steps else 0) for shift in (down, across))
        yield images[..., top : top + height, left : left + width], (down**2 + across**2) / steps**2


def _between(images: Tensor, parts: Sequence[float]) -> Tensor:
    """Return images moved down and across by a part of a px, 0..1; each axis that is moved loses 7 px."""
    for axis, part in zip((2, 3), parts, strict=True):
        if part:
            taps = fraction_taps(part)
            length = images.shape[axis] - len(taps) + 1
            images = torch.stack([tap * images.narrow(axis, at, length) for at, tap in enumerate(taps)]).sum(dim=0)
    return images


def fraction_taps(part: float) -> list[float]:
    """Return the 8 taps that give the value at a part of a px behind the fourth of 8 px, 0..1; their sum is 1."""
    distances = [tap - (HALF_TAPS - 1) - part for tap in range(2 * HALF_TAPS)]
    taps = [_sinc(distance) * _sinc(distance / HALF_TAPS) for distance in distances]
    return [tap / sum(taps) for tap in taps]


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def with_matched_colours(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return each output after the affine map of its colours that brings it nearest to its target.

    The map has least squares, with a weak pull of its matrix towards the identity: `COLOUR_PRIOR` is added to the
    variances of the output and to its covariances with the target. So a plain image keeps its contrast and gets the
    target's mean, and all gradients are finite. `dpedtool.training.evaluate.colour_match` has no such pull.

    The gradient goes through the fit. A loss after the match then has no slope along the colour changes that it
    forgives. If the fit counted as constant, absolute differences and SSIM would push the output's colours on and on,
    since the next fit would take each push back.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W).

    Raises
    ------
    ValueError
        The shapes differ.

    """
    check_pair(outputs, targets)
    ours, theirs = outputs.flatten(2), targets.flatten(2)
    mean = theirs.mean(dim=2, keepdim=True)
    ours = ours - ours.mean(dim=2, keepdim=True)
    # Nine numbers an image: in float64 they cost nothing, and nearly grey images leave most digits to their difference.
    variance, covariance = ((images @ ours.mT / ours.shape[2]).double() for images in (ours, theirs - mean))
    prior = COLOUR_PRIOR * torch.eye(3, dtype=torch.float64, device=ours.device)
    # Both variance and prior are symmetric, so this is (covariance + prior) (variance + prior)^-1.
    matrix = torch.linalg.solve(variance + prior, (covariance + prior).mT).mT
    matched: Tensor = mean + matrix.to(ours.dtype) @ ours
    return matched.reshape(outputs.shape)


class Layer(NamedTuple):
    """Features of one layer of VGG-19."""

    outputs: Tensor
    """(N, C, h, w)."""
    targets: Tensor
    """The same shape; they need no gradient."""
    stride_px: int
    """Distance of two neighbours, in px of the image."""


def contextual_bilateral_loss(layers: Sequence[Layer], args: ContextualArgs) -> Tensor:
    """Return the contextual bilateral loss (CoBi): the mean over the layers, and over the places of the output.

    Each of the output's features is compared with the target's features around its place, and the least of
    ``1 - cosine + spatial_weight * distance_px ** 2`` counts. As in the paper, the mean of the target's features, here
    of each image, is subtracted before. It differs from the paper in three ways. Only features up to `max_shift_px`
    away, rounded up to a neighbour, are looked at, and not the whole image: the paper's loss keeps all of N x N
    distances. Distances are in px of the image. And plain areas, whose features are nearly equal to the mean, have no
    direction: the length by which features are divided is at least about `FEATURE_FLOOR` of the usual length, so that
    equal images cost nothing and gradients are finite.

    Parameters
    ----------
    layers
        Features of outputs and targets.
    args
        The neighbourhood, and the weight of the distance.

    """
    return torch.stack([_contextual(layer, args) for layer in layers]).mean()


def _contextual(layer: Layer, args: ContextualArgs) -> Tensor:
    targets = layer.targets.float()
    mean = targets.mean(dim=(2, 3), keepdim=True)
    floor = FEATURE_FLOOR**2 * (targets**2).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    ours, theirs = (_directions(features.float() - mean, floor) for features in (layer.outputs, targets))
    with torch.no_grad():
        chosen, distances = _most_similar(ours, theirs, layer.stride_px, args)
        partners = theirs.flatten(2).gather(2, chosen.flatten(1)[:, None].expand(-1, theirs.shape[1], -1))
    # For vectors of length 1 this is 1 - cosine.
    differences = ((ours - partners.view_as(ours)) ** 2).sum(dim=1) / 2
    return (differences + args.spatial_weight * distances).mean()


def _directions(features: Tensor, floor: Tensor) -> Tensor:
    """Return features (N, C, h, w) divided by their lengths, whose squares are increased by the floor (N, 1, 1, 1)."""
    tiny = torch.finfo(features.dtype).tiny
    lengths = ((features**2).sum(dim=1, keepdim=True) + floor + tiny).sqrt()
    directions: Tensor = features / lengths
    return directions


def _most_similar(ours: Tensor, theirs: Tensor, stride_px: int, args: ContextualArgs) -> tuple[Tensor, Tensor]:
    """Return, for each place, the index of the target's feature with the least cost, and its squared distance in px."""
    height, width = ours.shape[2:]
    reach = math.ceil(args.max_shift_px / stride_px)
    index = torch.arange(height * width, device=ours.device).view(1, height, width).expand(len(ours), -1, -1)
    least = torch.full(index.shape, math.inf, device=ours.device)
    chosen, distances = index.clone(), torch.zeros_like(least)
    for down, across in product(range(-reach, reach + 1), repeat=2):
        if abs(down) >= height or abs(across) >= width:
            continue
        here, there = (_overlap(height, width, sign * down, sign * across) for sign in (1, -1))
        away = float(stride_px**2 * (down**2 + across**2))
        cost = ((ours[..., *here] - theirs[..., *there]) ** 2).sum(dim=1) / 2 + args.spatial_weight * away
        better = cost < least[..., *here]
        for kept, found in ((least, cost), (chosen, index[..., *there]), (distances, torch.full_like(cost, away))):
            kept[..., *here] = torch.where(better, found, kept[..., *here])
    return chosen, distances


def _overlap(height: int, width: int, down: int, across: int) -> tuple[slice, slice]:
    """Return the part of an image whose px have a partner down and across."""
    return (
        slice(max(0, -down), height - max(0, down)),
        slice(max(0, -across), width - max(0, across)),
    )
