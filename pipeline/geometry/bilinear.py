"""Bilinear interpolation between the points of a grid, exact at any place, which OpenCV's is only to 1/32 of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Points


def bilinear(values: npt.NDArray[Any], places: Points) -> npt.NDArray[np.float64]:
    """Return the values at places between the points of a grid; beyond the outer points, theirs.

    Parameters
    ----------
    values
        (rows, columns, K).
    places
        (N, 2): x in columns and y in rows, 0 being the first point.

    Returns
    -------
    ndarray
        (N, K).

    """
    last = np.array(values.shape[1::-1]) - 1
    inside = np.clip(places, 0, last)
    low = np.minimum(inside.astype(np.int64), np.maximum(last - 1, 0))
    high, (u, v) = np.minimum(low + 1, last), (inside - low).T[..., None]
    above, below = (
        values[rows, low[:, 0]] * (1 - u) + values[rows, high[:, 0]] * u for rows in (low[:, 1], high[:, 1])
    )
    return np.asarray(above * (1 - v) + below * v, np.float64)
