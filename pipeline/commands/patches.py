"""The command patches."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.pipeline.commands.options import (
    FILE,
    command,
    out_option,
    outcomes,
    params_options,
    scheduler_option,
    workers_option,
)
from dpedtool.pipeline.runner import warm_up


@command(epilog=outcomes(Patch, "window"))
@click.argument("aligned", type=FILE)
@out_option
@workers_option
@scheduler_option
@params_options
def patches(aligned: Path, out: Path, workers: int, scheduler: str | None, params: Params) -> None:
    """Cut patches from aligned pairs. Writes OUT/patches.parquet and OUT/patches-NNNNN.tar.

    ALIGNED is what `dpedtool align` wrote. Mode and limits are section patches of the parameters: strict (the default)
    keeps windows that are aligned to a fraction of a px, and moves none; `-S patches.mode=dped` lets the phone's window
    move and turn to where it correlates best. OUT/frames.parquet has the pairs, OUT/selection.json what share of the
    windows was kept by brightness, texture and place in the frame.
    """
    if not scheduler:
        warm_up(workers, "dpedtool.pipeline.patches.stage")
    from dpedtool.dataset.tables import read_frame, read_rows
    from dpedtool.pipeline.commands.summary import check_lost, say_patches
    from dpedtool.pipeline.patches.stage import cut_patches

    if scheduler:
        aligned, out = aligned.absolute(), out.absolute()
    alignments = read_rows(Alignment.table_in(aligned), Alignment)
    table = cut_patches(alignments, out, params.patches, workers=workers, scheduler=scheduler)
    say_patches(table)
    check_lost(read_frame(table, Patch, ["reason"])["reason"], table)
    if not any(row.status == "aligned" for row in alignments):
        click.echo(f"No pair in {aligned} is aligned, so there was nothing to cut.")
