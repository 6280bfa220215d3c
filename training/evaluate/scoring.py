"""Shared by evaluations of patches and of folders: memory for all measures, and a warning about a weak network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

import torch

from dpedtool.training.metrics import PROTOCOLS, SCALE_WEIGHTS, Measures, Protocol, Scores

VariantT = TypeVar("VariantT", bound=str)
"""A version that is scored, such as the untouched phone images or a network's output."""


class Sheet(Generic[VariantT]):
    """The measures of every pair, by variant and protocol, in memory allocated at the start; NaN until `put`.

    Small tensors kept from each batch would lie scattered between its large ones in the C library's heap. The next
    large tensors would not fit into the gaps, and a long evaluation would waste gigabytes.
    """

    def __init__(self, count: int, variants: Iterable[VariantT]) -> None:
        self.measures = {variant: {protocol: _room(count) for protocol in PROTOCOLS} for variant in variants}

    def put(self, variant: VariantT, start: int, measured: dict[Protocol, Measures]) -> None:
        """Keep the measures of the pairs from `start` on."""
        for protocol, part in measured.items():
            whole, span = self.measures[variant][protocol], slice(start, start + len(part))
            whole.squared_error[span] = part.squared_error
            whole.ssim_terms[:, span] = part.ssim_terms
            whole.ssim[span] = part.ssim


def _room(count: int) -> Measures:
    values = torch.full((2 + len(SCALE_WEIGHTS), count), torch.nan, dtype=torch.float64)
    return Measures(squared_error=values[0], ssim=values[1], ssim_terms=values[2:])


def shortfall(network: Scores, colour: Scores, fitted_to: str) -> str:
    """Return the scores in which a network is worse than a colour transform, as a sentence; empty if there are none."""
    compared = (("PSNR", network.psnr_db, colour.psnr_db), ("MS-SSIM", network.ms_ssim, colour.ms_ssim))
    worse = " and ".join(name for name, reached, rival in compared if reached < rival)
    return (
        f"In {worse} the network is worse than the colour transform fitted to {fitted_to}: train it longer."
        if worse
        else ""
    )
