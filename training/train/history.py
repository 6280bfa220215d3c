"""The history of a training: a table of its validations, and the same figures for TensorBoard."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.sidecars.history import HISTORY, Row, write_history


class Log:
    """Writes the complete history of a run each time, so that a continued run repeats no rows.

    Parameters
    ----------
    folder
        The folder of `HISTORY`.
    rows
        The rows that a continued run has already.
    board
        A folder for TensorBoard, which gets each new row and drops entries after the last iteration in `rows`; None:
        TensorBoard is not used.

    Raises
    ------
    DpedtoolError
        A `board` is given, but TensorBoard is not installed.

    """

    def __init__(self, folder: Path, rows: Sequence[Row], board: Path | None = None) -> None:
        self._path = folder / HISTORY
        self._board = _open_board(board, int(rows[-1]["iteration"]) + 1 if rows else 0) if board else None

    def write(self, rows: Sequence[Row]) -> None:
        """Write all rows; the last one is new."""
        write_history(self._path, rows)
        if self._board and rows:
            for name, value in rows[-1].items():
                if name != "iteration":
                    self._board.add_scalar(name, value, int(rows[-1]["iteration"]))
            self._board.flush()

    def close(self) -> None:
        """Close TensorBoard's files."""
        if self._board:
            self._board.close()


def _open_board(folder: Path, purge_step: int) -> Any:
    try:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise DpedtoolError(
            "--tensorboard needs TensorBoard, which is not installed: pip install tensorboard, or leave "
            "out the option; history.csv has the same figures."
        ) from None
    return tensorboard.SummaryWriter(str(folder), purge_step=purge_step)
