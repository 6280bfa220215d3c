"""Messages and exit code after data was checked for leaks and other faults."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.commands.options import Failure

NOT_PROVEN = 3
"""Exit code if no leak was found, but the folder cannot be verified."""


def say_verdict(folder: Path, verdict: Verdict, most: int | None, remedy: str) -> None:
    """Print what was found, at most `most` faults; fail unless everything is proven."""
    for line in verdict.said:
        click.echo(line)
    for line in verdict.faults[:most]:
        click.echo(line, err=True)
    if verdict.faults:
        more = len(verdict.faults) - most if most else 0
        rest = f", {more} of them not shown" if more > 0 else ""
        count = "1 fault" if len(verdict.faults) == 1 else f"{len(verdict.faults)} faults"
        raise DpedtoolError(f"{folder} has {count}{rest}: {remedy}.")
    if not verdict.is_proof:
        raise Failure(f"{folder} cannot be verified; no leak was found.", NOT_PROVEN)
