"""Bring two photos of different exposures to the range of brightness that both show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.measure.exposure import BLACK, BURNT_OUT

Bytes = npt.NDArray[np.uint8]

MATTERS = 0.01
"""Share of the px that must be clipped in one photo and not in the other one."""
WHOLE = 0, 255


def in_common_range(phone: Bytes, dslr: Bytes) -> tuple[Bytes, Bytes]:
    """Return two grey photos of the same content, 0..255, cut off where the other one is; see `common_range`."""
    ranges = common_range(phone, dslr)
    return cut_off(phone, ranges[0]), cut_off(dslr, ranges[1])


def common_range(phone: Bytes, dslr: Bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the lowest and the highest grey level of each of two photos of the same content that both show.

    Where one photo is burnt out, the other one still has detail. Then the rim of what is burnt out looks like an edge
    that lies elsewhere in the other photo. So both should be cut off at the same content: as many px of the other photo
    as are burnt out, or black, in this one. The photos need not be aligned, as only their histograms are compared.

    Parameters
    ----------
    phone, dslr
        Grey, of any shape, 0..255: the parts that show the same.

    """
    low, high = _lows(phone, dslr), _lows(255 - phone, 255 - dslr, 255 - BURNT_OUT)
    return (low[0], 255 - high[0]), (low[1], 255 - high[1])


def cut_off(image: Bytes, limits: tuple[int, int]) -> Bytes:
    """Return an image with all grey levels within limits."""
    return image if limits == WHOLE else np.clip(image, *limits)


def _lows(phone: Bytes, dslr: Bytes, black: int = BLACK) -> tuple[int, int]:
    """Return the lowest grey level of each photo that the other one shows, too."""
    shares = [float((image <= black).mean()) for image in (phone, dslr)]
    if abs(shares[0] - shares[1]) <= MATTERS:
        return 0, 0
    if shares[0] > shares[1]:
        return 0, int(np.quantile(dslr, shares[0]))
    return int(np.quantile(phone, shares[1])), 0
