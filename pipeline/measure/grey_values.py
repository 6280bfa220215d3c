"""The type of grey images that are measured on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GreyValues = npt.NDArray[np.float32]
"""(height, width), in grey levels, 0..255 where nothing was taken from them; `GreyPhoto` is what a file holds."""
