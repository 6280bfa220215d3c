"""Reads JSON that other stages have written, perhaps with the keys of another version."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError


@contextlib.contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Name the file if something in it is missing, or not as this version writes it.

    Raises
    ------
    DpedtoolError
        The block raised KeyError, TypeError, AttributeError or ValueError.

    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DpedtoolError(f"{path} is not as this version writes it ({error}): run its stage again.") from None


def finite(value: Any) -> float | None:
    """Return a number, or None if it is NaN, infinite or missing, as JSON cannot express these."""
    return float(value) if value is not None and math.isfinite(value) else None
