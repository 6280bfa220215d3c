"""What other stages have written in JSON: its keys may be those of another version."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError


@contextlib.contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Name the file in which something is missing or of another kind than this version writes.

    Raises
    ------
    DpedtoolError
        The block has raised KeyError, TypeError, AttributeError or ValueError.

    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DpedtoolError(f"{path} is not as this version writes it ({error}): run its stage again.") from None


def finite(value: Any) -> float | None:
    """Return a number, or None where it is none, infinite or missing, as JSON has no word for these."""
    return float(value) if value is not None and math.isfinite(value) else None
