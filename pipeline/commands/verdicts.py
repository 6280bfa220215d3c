"""What is said of data that was checked for leaks and other faults, and the exit code of it."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.commands.options import Failure

NOT_PROVEN = 3
"""Exit code of a folder in which no leak was found, but that cannot be verified."""


def say_verdict(folder: Path, verdict: Verdict, most: int | None, mend: str) -> None:
    """Say what was found, at most so many faults; end the command where it is not that all is proven."""
    for line in verdict.said:
        click.echo(line)
    for line in verdict.faults[:most]:
        click.echo(line, err=True)
    if verdict.faults:
        more = len(verdict.faults) - most if most else 0
        rest = f", {more} of them not shown" if more > 0 else ""
        count = "1 fault" if len(verdict.faults) == 1 else f"{len(verdict.faults)} faults"
        raise DpedtoolError(f"{folder} has {count}{rest}: {mend}.")
    if not verdict.is_proof:
        raise Failure(f"{folder} cannot be verified; nothing was found that leaks.", NOT_PROVEN)
