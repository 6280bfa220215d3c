"""Calling code of the user's own: what it raises becomes one sentence that names the line."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.lack_of_memory import what_ran_out


def called(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a function and return what it returns.

    Parameters
    ----------
    what
        What is called, as the beginning of a sentence.
    function
        The function or class.
    *arguments, **named
        What it is given.

    Raises
    ------
    DpedtoolError
        The function raised an error. Where memory ran out, its own error goes on, since callers know the remedy.

    """
    try:
        return function(*arguments, **named)
    except DpedtoolError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Exception) and what_ran_out(error):
            raise
        raise DpedtoolError(f"{what} {raised(error)}.") from error


def raised(error: BaseException) -> str:
    """Return, as a predicate, which error code raised, and in which line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"raised {said} ({Path(last.filename).name}, line {last.lineno})"
