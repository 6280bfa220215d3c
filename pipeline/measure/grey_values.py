"""The type of the grey images that are measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GreyValues = npt.NDArray[np.float32]
"""(height, width) in grey levels, 0..255 unless a mean was subtracted; `GreyPhoto` is what a file holds."""
