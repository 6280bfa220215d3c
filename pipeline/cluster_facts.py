"""What the machines of a cluster must have in common: versions, code and files. Otherwise results could differ."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import Place, answering, is_url


def check_scheduler(client: Any) -> None:
    """Refuse a scheduler of other versions, because it reads what is sent to the workers.

    Raises
    ------
    DpedtoolError
        It has other versions, or none of dpedtool.

    """
    try:
        flaw = _flaw(client.run_on_scheduler(_facts))
    except (ImportError, AttributeError) as error:
        flaw = _cannot_import(error)
    if flaw:
        raise DpedtoolError(f"The scheduler at {client.scheduler.address} {flaw}")


def find_flaws(
    client: Any, work: Callable[[Any], Any], files: Sequence[Place], addresses: Sequence[str]
) -> dict[str, str]:
    """Return, by address, why workers cannot be used.

    Parameters
    ----------
    client
        A client of the cluster.
    work
        What they are to do; they must be able to import it.
    files
        What they must be able to see.
    addresses
        The workers.

    """
    answers = client.run(_facts, files, work, workers=list(addresses), on_error="return")
    flaws = {address: _flaw(answer) for address, answer in answers.items()}
    return {address: flaw for address, flaw in flaws.items() if flaw}


def _flaw(answer: dict[str, str] | Exception) -> str:
    if isinstance(answer, OSError):
        return ""  # the worker has just left, and an event will report that
    if isinstance(answer, Exception):
        return _cannot_import(answer)
    for name, here in _facts().items():
        if answer[name] != here:
            return f"has {name} {answer[name]}, but here it is {here}: install the same there, or results could differ."
    if unseen := answer.get("unseen"):
        same = "packages and credentials must be the same" if is_url(unseen) else "folders must have the same paths"
        return f"does not see the files in {unseen}: {same} there as here."
    return ""


def _cannot_import(error: Exception) -> str:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"cannot import this version of dpedtool ({what}): install this checkout there."


def _facts(files: Sequence[Place] = (), work: object = None) -> dict[str, str]:
    """Return what a process must have in common with this one; if this runs there, `work` could be imported."""
    from importlib.metadata import version

    del work
    facts = {
        "dpedtool's code": _code(),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "distributed": version("distributed"),
        "numpy": np.__version__,
        "OpenCV": cv2.__version__,
    }
    unseen = [str(file.parent) for file in files if not is_seen(file)]
    return facts | {"unseen": unseen[0]} if unseen else facts


@functools.cache
def _code() -> str:
    here = Path(__file__).parents[1]
    sources = sorted(path for package in ("dataset", "pipeline") for path in (here / package).rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def is_seen(file: Place) -> bool:
    """Return whether a file or URL exists and can be reached from here."""
    try:
        with answering(file):
            file.stat()
    except (OSError, DpedtoolError):
        return False
    return True
