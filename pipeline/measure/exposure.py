"""How much of a photo is burnt out or black."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BURNT_OUT, BLACK = 254, 1
"""Grey levels from the first up are burnt out, those up to the second are black."""


def clipped(grey: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which px of a grey image are burnt out or black."""
    return np.asarray((grey >= BURNT_OUT) | (grey <= BLACK))


def clipped_share(grey: npt.NDArray[Any]) -> float:
    """Return the share of px, 0..1, that are burnt out or black."""
    return float(clipped(grey).mean())
