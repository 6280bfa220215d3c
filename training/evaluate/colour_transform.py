"""The baseline for the network: one quadratic colour transform for all photos, fitted by least squares.

Each output colour is a polynomial of second degree in the three input colours. The transform does not depend on the
place of a pixel, so a network that scores better does more than change colour and brightness.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.data import Pairs, as_rgb

MOST_FITTED = 2000
"""A transform is fitted to at most this many pairs, spread evenly: 20 million px of 100 px patches for 30 numbers."""
_TERMS = 10
_BLOCK_PX = 50_000
"""This bounds the memory; it changes results only by rounding."""


@dataclass(frozen=True)
class ColourTransform:
    """A quadratic map of colours in 0..1."""

    coefficients: Tensor
    """(3, 10), float64: a row for red, green and blue, with factors for 1, r, g, b, r2, g2, b2, rg, rb, gb."""

    def apply(self, images: Tensor) -> Tensor:
        """Return images (..., 3, H, W), RGB, float, 0..1, transformed and cut to 0..1; computed in float64."""
        if images.ndim > 3:
            return torch.stack([self.apply(image) for image in images])
        mapped = torch.cat([self.coefficients @ _terms(block) for block in _blocks(images)], dim=1)
        return mapped.clamp(0, 1).reshape(images.shape).to(images.dtype)


class _Equations:
    """The normal equations of one fit, summed pair by pair: 130 numbers for any number of pixels."""

    def __init__(self) -> None:
        self._left = torch.zeros(_TERMS, _TERMS, dtype=torch.float64)
        self._right = torch.zeros(_TERMS, 3, dtype=torch.float64)

    def add(self, phone: Tensor, dslr: Tensor) -> None:
        """Add a pair, each (3, H, W), RGB, float, 0..1."""
        for colours, wanted in zip(_blocks(phone), _blocks(dslr), strict=True):
            terms = _terms(colours)
            self._left += terms @ terms.T
            self._right += terms @ wanted.T

    def solution(self) -> ColourTransform:
        """Return the transform with the least squared error; if there are several, the one with the least norm."""
        solved = np.linalg.lstsq(self._left.numpy(), self._right.numpy(), rcond=1e-12)[0]
        return ColourTransform(torch.from_numpy(solved.T.copy()))


def fit(pairs: Pairs) -> ColourTransform:
    """Fit one transform from the phone's colours to the DSLR's, to at most `MOST_FITTED` of the pairs.

    Raises
    ------
    DpedtoolError
        There are no pairs, or one cannot be read.

    """
    if not len(pairs):
        raise DpedtoolError("There are no pairs to fit a colour transform to: choose a split or folders with pairs.")
    return _fit(pairs, pairs.spread(MOST_FITTED))


def fit_each_photo(pairs: Pairs) -> dict[str, ColourTransform]:
    """Fit a separate transform to each photo, by the names of `Pairs.photos`: the best that colour alone can do.

    It is an oracle: no method can reach it without having seen the DSLR's photo.

    Raises
    ------
    DpedtoolError
        A pair cannot be read.

    """
    of_photo: dict[str, list[int]] = defaultdict(list)
    for index, photo in enumerate(pairs.photos()):
        of_photo[photo].append(index)
    return {photo: _fit(pairs, indices) for photo, indices in of_photo.items()}


def _fit(pairs: Pairs, indices: Sequence[int]) -> ColourTransform:
    equations = _Equations()
    for index in indices:
        phone, dslr = (as_rgb(image).double() / 255 for image in pairs.images(index))
        equations.add(phone, dslr)
    return equations.solution()


def _blocks(image: Tensor) -> tuple[Tensor, ...]:
    """Split the pixels of an image (3, H, W) into blocks of float64 (3, n)."""
    return torch.split(image.double().flatten(1), _BLOCK_PX, dim=1)


def _terms(colours: Tensor) -> Tensor:
    """Return the terms (10, n) of colours (3, n), in the order of `ColourTransform`."""
    r, g, b = colours
    return torch.stack([torch.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b])
