"""history.csv: the validations of a training up to now, next to the network."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import write_text
from dpedtool.dataset.regular_files import read_regular

HISTORY = "history.csv"
SCORE_COLUMNS = ("validation_psnr_db", "validation_ms_ssim")

Row = Mapping[str, float]


def history_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV, one for each validation, with all digits of every number, so that it is read back exactly."""
    text = io.StringIO()
    columns = list(rows[0]) if rows else ["iteration", *SCORE_COLUMNS, "train_loss"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: repr(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as `history_csv` has them, whole or not at all."""
    write_text(path, history_csv(rows))


def read_history(path: Path) -> pd.DataFrame:
    """Read what `write_history` wrote: one row for each validation, all columns as float.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged, or lacks a column that every history has.

    """
    if not path.exists():
        raise DpedtoolError(f"{path} is missing: train again.")
    try:
        # As text first: not every pandas reads numbers to their last digit.
        table = pd.read_csv(io.BytesIO(read_regular(path)), dtype=str).astype(float)
    except (OSError, ValueError) as error:
        raise DpedtoolError(f"{path} cannot be read ({error}): train again.") from None
    if missing := [name for name in ("iteration", *SCORE_COLUMNS) if name not in table]:
        raise DpedtoolError(
            f"{path} is not as this version writes it (it lacks {', '.join(missing)}): run its stage again."
        )
    return table
