"""The colour match: what is left of a difference once the colours of one image are fitted to those of another.

The DSLR chose exposure and white balance of each photo by itself, and no network can know what it chose. So images are
also scored after one affine map of their colours, which is fitted to the DSLR's image by least squares.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dpedtool.training.metrics import check_pair

SMALLEST_SHARE = 1e-10
"""A direction of colour with less than this share of the largest variance is rounding, and nothing is fitted to it."""


def match_colours(outputs: Tensor, targets: Tensor, usable: Tensor | None = None) -> Tensor:
    """Return each output after the affine map of its colours that brings it nearest to its target.

    The result is the same for an output and for the same output after any affine map of its colours that can be undone.
    An output of one colour only, to which nothing can be fitted, becomes the mean colour of its target.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W), float, nominally 0..1; neither is clipped here, before or after.
    usable
        (N, 1, H, W), bool: the px that the map is fitted to, at least one of each image; None: all of them.

    Returns
    -------
    Tensor
        (N, 3, H, W), float64, on the device of the outputs.

    Raises
    ------
    ValueError
        The shapes differ or hold no images.

    """
    check_pair(outputs, targets)
    ours, theirs = (images.detach().double().flatten(2) for images in (outputs, targets))
    if usable is None:
        mean = theirs.mean(dim=2, keepdim=True)
        ours = fitted = ours - ours.mean(dim=2, keepdim=True)
    else:
        weights = usable.flatten(2).double()
        weights = weights / weights.sum(dim=2, keepdim=True)
        mean = (theirs * weights).sum(dim=2, keepdim=True)
        ours = ours - (ours * weights).sum(dim=2, keepdim=True)
        fitted = ours * usable.flatten(2)
    # The targets need no such step: what is constant in them has no product with these.
    # The inverse leaves out what is constant up to rounding, such as the differences of the channels of a grey image.
    inverse = torch.linalg.pinv(fitted @ fitted.mT, rtol=SMALLEST_SHARE, hermitian=True)
    matched: Tensor = torch.baddbmm(mean, theirs @ fitted.mT @ inverse, ours)
    return matched.reshape(outputs.shape)
