"""What a stage says when it ends: how many of what, and one line for each that did not work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import click
import numpy as np

from dataset.schema import Alignment, Pair

MOST_LINES = 20


class _Judged(Protocol):
    @property
    def pair_id(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...


def say_pairs(rows: Sequence[Pair], note: str) -> None:
    """Say how many photos were paired, how, and which have no mate."""
    paired = [row for row in rows if row.status == "paired"]
    click.echo(f"{len(paired)} {_plural(len(paired), 'pair')}, {note}.")
    _say_failures([row for row in rows if row.status != "paired"], "photo without a mate", "photos without a mate")


def say_alignments(rows: Sequence[Alignment]) -> None:
    """Say how many pairs were aligned, how well, and why the others were not."""
    aligned = [row for row in rows if row.status == "aligned"]
    residuals = [row.residual_px for row in aligned if row.residual_px is not None]
    quality = f"; median residual {np.median(residuals):.2f} px" if residuals else ""
    click.echo(f"Aligned {len(aligned)} of {len(rows)} {_plural(len(rows), 'pair')}{quality}.")
    _say_failures([row for row in rows if row.status != "aligned"], "pair failed", "pairs failed")


def _say_failures(rows: Sequence[_Judged], one: str, many: str) -> None:
    if not rows:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in rows).most_common())
    click.echo(f"{len(rows)} {one if len(rows) == 1 else many} ({reasons}):")
    for row in rows[:MOST_LINES]:
        click.echo(f"  {row.pair_id}: {row.detail}")
    if len(rows) > MOST_LINES:
        click.echo(f"  and {len(rows) - MOST_LINES} more, in the table.")


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
