"""What evaluations share, of patches and of folders: room for all measures, and the word on what a network adds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

import torch

from dpedtool.training.metrics import PROTOCOLS, SCALE_WEIGHTS, Measures, Protocol, Scores

VariantT = TypeVar("VariantT", bound=str)
"""What is scored, such as the untouched phone's images or a network's output."""


class Sheet(Generic[VariantT]):
    """What is kept of every pair, by variant and protocol, in room that is taken at the start; NaN until it is put.

    Small tensors that are kept from each batch would lie scattered between its large ones in the C library's heap, so
    that the next large ones find no room there: a long evaluation would take gigabytes for nothing.
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
    """Say in what a network is worse than the colour transform fitted to some pairs; empty where it is in nothing."""
    compared = (("PSNR", network.psnr_db, colour.psnr_db), ("MS-SSIM", network.ms_ssim, colour.ms_ssim))
    worse = " and ".join(name for name, reached, rival in compared if reached < rival)
    return f"The network is worse than that transform of {fitted_to} in {worse}: train it longer." if worse else ""
