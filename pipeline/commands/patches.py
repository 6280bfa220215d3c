"""The command patches."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.dataset.sidecars.selection import Selection
from dpedtool.pipeline.commands.options import (
    FILE,
    check_memory,
    command,
    examples,
    give_results,
    max_memory_option,
    out_option,
    outcomes,
    params_options,
    scheduler_option,
    workers_option,
)
from dpedtool.pipeline.commands.urls import check_urls, urls_option
from dpedtool.pipeline.runner import warm_up


@command(
    gives="selection.json",
    epilog=examples("dpedtool patches aligned -o patches/iphone -S patches.min_ncc=0.95") + outcomes(Patch, "window"),
)
@click.argument("aligned", type=FILE)
@out_option
@urls_option
@workers_option
@max_memory_option
@scheduler_option
@params_options
def patches(
    aligned: Path,
    out: Path,
    allow_urls: bool,
    workers: int,
    max_memory: int | None,
    scheduler: str | None,
    params: Params,
) -> None:
    """Cut patches from aligned pairs. Writes OUT/patches.parquet and OUT/patches-NNNNN.tar.

    ALIGNED is what `dpedtool align` wrote. The parameters' section `patches` has mode and limits. Mode strict (the
    default) keeps windows that are aligned to a fraction of a px, and moves none. `-S patches.mode=dped` lets the
    phone's window move and turn to where it correlates best. OUT/frames.parquet has the pairs. OUT/selection.json has
    the share of windows that was kept, by brightness, texture, noise and place in the frame.
    """
    check_memory(max_memory, scheduler)
    if not scheduler:
        warm_up(workers, "dpedtool.pipeline.patches.stage")
    from dpedtool.dataset.photo_folders import check_apart
    from dpedtool.dataset.tables import read_frame, read_rows
    from dpedtool.pipeline.commands.summary import check_lost, say_notes, say_patches
    from dpedtool.pipeline.patches.stage import cut_patches

    if scheduler:
        aligned, out = aligned.absolute(), out.absolute()
    check_urls(Alignment.table_in(aligned), Alignment, params, allowed=allow_urls)
    alignments = read_rows(Alignment.table_in(aligned), Alignment)
    check_apart(out, alignments)
    table = cut_patches(alignments, out, params.patches, workers=workers, scheduler=scheduler, max_memory=max_memory)
    say_patches(table)
    say_notes([row.note for row in alignments if row.note])
    give_results({"table": str(table), **Selection.read(Selection.file_in(out)).as_json()})
    check_lost(read_frame(table, Patch, ["reason"])["reason"], table)
    if not any(row.status == "aligned" for row in alignments):
        click.echo(f"No pair in {aligned} is aligned, so there was nothing to cut.")
