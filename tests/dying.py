"""A process that dies, or whose disk is full, between two changes of files: whatever would follow has no effect."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class DeadError(OSError):
    """What every change of a file raises after the death."""


@contextlib.contextmanager
def dying_after(changes: int) -> Iterator[list[str]]:
    """Let so many files be renamed, removed or written to the disk, and none after that.

    The list that is given has the names of the changes that were refused; it stays empty if there were no more.
    """
    done, refused = [], []

    def mortal(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            if len(done) >= changes:
                refused.append(change.__name__)
                raise DeadError("dead")
            done.append(change.__name__)
            return change(*arguments, **options)

        return changed

    with pytest.MonkeyPatch.context() as patched:
        for owner, name in ((Path, "unlink"), (Path, "replace"), (os, "fsync")):
            patched.setattr(owner, name, mortal(getattr(owner, name)))
        with contextlib.suppress(DeadError):
            yield refused
