"""What a training says of itself as it goes: a table of its validations, and the same for TensorBoard."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.sidecars.history import HISTORY, Row, write_history


class Log:
    """Writes the history of a run, whole each time, so that a run that goes on repeats nothing.

    Parameters
    ----------
    folder
        For `HISTORY`.
    rows
        What the run that is gone on with has found already.
    board
        A folder for TensorBoard, which gets each new row, and forgets what it has of iterations after the last of
        `rows`; None: none.

    Raises
    ------
    DpedtoolError
        There is a `board`, and TensorBoard is not installed.

    """

    def __init__(self, folder: Path, rows: Sequence[Row], board: Path | None = None) -> None:
        self._path = folder / HISTORY
        self._board = _open_board(board, int(rows[-1]["iteration"]) + 1 if rows else 0) if board else None

    def write(self, rows: Sequence[Row]) -> None:
        """Write all rows, of which the last is new."""
        write_history(self._path, rows)
        if self._board and rows:
            for name, value in rows[-1].items():
                if name != "iteration":
                    self._board.add_scalar(name, value, int(rows[-1]["iteration"]))
            self._board.flush()

    def close(self) -> None:
        """Write nothing more."""
        if self._board:
            self._board.close()


def _open_board(folder: Path, purge_step: int) -> Any:
    try:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise DpedtoolError(
            "TensorBoard is not installed, which --tensorboard writes for: pip install -e '.[tensorboard]', or leave "
            "the option out; history.csv has the same figures."
        ) from None
    return tensorboard.SummaryWriter(str(folder), purge_step=purge_step)
