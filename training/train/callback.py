"""A callback of the user's own, which sends the figures of a training to a log: W&B, MLflow or any other.

It is a class that the parameters name as `package.module:Class`. It is told what happens and decides on nothing, so
that neither it nor a change of it trains anything again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.own_code import called, raised
from dpedtool.dataset.plugins import PluginName
from dpedtool.dataset.sidecars.history import Row

METHODS = ("start", "validated", "end")
"""What a callback may have; at least one of them."""


class Callback:
    """Calls the methods that a class of the user's own has, in the process that writes.

    An error in the class itself or in `start` ends the command, before anything is trained. Later ones only give a
    warning, and nothing more is sent: a log that cannot be reached must not cost a network.

    Parameters
    ----------
    name
        `package.module:Class`; the folder of its module may stand before it.

    Raises
    ------
    ParamsError
        There is no such class, it takes arguments, or it has none of `METHODS`.
    DpedtoolError
        The class raised an error.

    """

    def __init__(self, name: str) -> None:
        plugin = PluginName.parse(name)
        self._name = str(plugin)
        kind = plugin.load("class")
        if not isinstance(kind, type):
            raise ParamsError(f"train.callback: {plugin} is not a class: name a class.")
        if not any(callable(getattr(kind, method, None)) for method in METHODS):
            raise ParamsError(
                f"train.callback: the class {plugin} has none of the methods {', '.join(METHODS)}: write at least one."
            )
        self._made: Any = called(f"The callback {plugin}", kind)

    def start(self, folder: Path, parameters: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """Tell it that the training begins or goes on.

        Parameters
        ----------
        folder
            The model's folder.
        parameters
            Those of the training, as JSON can hold them.
        rows
            The validations that a continued training has already, oldest first; none for a new one.

        Raises
        ------
        DpedtoolError
            The user's method raised an error.

        """
        if start := self._method("start"):
            called(self._said("start"), start, folder.resolve(), dict(parameters), [dict(row) for row in rows])

    def validated(self, row: Row) -> None:
        """Tell it of a validation: the row of history.csv, with the validation's scores and the losses since the last.

        An error of the user's method is printed as a warning.
        """
        self._try("validated", dict(row))

    def end(self, files: Sequence[Path]) -> None:
        """Tell it that the training has ended, with the files of the model, which are complete.

        An error of the user's method is printed as a warning.
        """
        self._try("end", [file.resolve() for file in files])

    def _try(self, method: str, *arguments: Any) -> None:
        found = self._method(method)
        if found is None:
            return
        try:
            called(self._said(method), found, *arguments)
        except Exception as error:
            self._made = None
            # `called` leaves a lack of memory as it is.
            words = str(error) if isinstance(error, DpedtoolError) else f"{self._said(method)} {raised(error)}."
            print(
                f"Warning: {words} This does not affect the training. The callback is not called again in this run.",
                file=sys.stderr,
                flush=True,
            )

    def _method(self, name: str) -> Any:
        found = getattr(self._made, name, None)
        return found if callable(found) else None

    def _said(self, method: str) -> str:
        return f"The callback {self._name}, in its method {method},"
