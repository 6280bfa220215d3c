"""The commands align, and map, which asks what it found."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.params import Params
from dpedtool.dataset.places import Place, is_dir, is_file, printable
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.commands.options import (
    FILE,
    FOLDER,
    PHOTOS,
    check_memory,
    command,
    csv_option,
    examples,
    give_results,
    listed,
    max_memory_option,
    out_option,
    outcomes,
    params_options,
    recursive_option,
    scheduler_option,
    workers_option,
)
from dpedtool.pipeline.commands.urls import check_urls, urls_option
from dpedtool.pipeline.runner import warm_up


@command(
    gives="counts and residuals",
    epilog=examples("dpedtool align iphone canon -o aligned", "dpedtool align phone.jpg dslr.jpg -o aligned")
    + outcomes(Alignment, "pair"),
)
@click.argument("sources", nargs=-1, required=True, type=PHOTOS, metavar="PHONE DSLR | PAIRS_DIR")
@csv_option
@recursive_option
@out_option
@click.option("--images/--no-images", default=True, help="Write the aligned images, or the table alone.")
@click.option(
    "--reuse",
    type=FOLDER,
    metavar="DIR",
    help="Take over what DIR/NAME/alignments.parquet say about the same photos, under any names; with --no-images.",
)
@urls_option
@workers_option
@max_memory_option
@scheduler_option
@params_options
def align(
    sources: tuple[Place, ...],
    csv_file: Path | None,
    recursive: bool,
    out: Path,
    images: bool,
    reuse: Path | None,
    allow_urls: bool,
    workers: int,
    max_memory: int | None,
    scheduler: str | None,
    params: Params,
) -> None:
    """Align the photos of each pair. Writes OUT/alignments.parquet and OUT/{phone,dslr}/<pair_id>.png.

    PHONE and DSLR are two photos, or two folders whose photos are paired first; PAIRS_DIR is what `dpedtool pair`
    wrote. OUT/nodes/<pair_id>.npy belongs to pairs of scenes with depth. OUT/timings.parquet says how long each pair
    took. For two photos, OUT/overlay/<pair_id>.jpg shows squares of both in turn.
    """
    if csv_file and (len(sources) != 2 or not all(is_dir(source) for source in sources)):
        raise click.UsageError("--csv says which photos of two folders belong together: name the two folders.")
    if len(sources) > 2:
        raise click.UsageError("Name two photos, two folders, or one folder that `dpedtool pair` wrote.")
    if reuse and images:
        raise click.UsageError("--reuse takes over tables, and no images: add --no-images.")
    check_memory(max_memory, scheduler)
    if not scheduler and is_dir(sources[0]):
        warm_up(workers, "dpedtool.pipeline.align.stage")
    from dpedtool.pipeline.align.overlay import remove_overlays, write_overlay
    from dpedtool.pipeline.align.results import OVERLAY, image_files, overlay_file
    from dpedtool.pipeline.align.stage import align as align_pairs
    from dpedtool.pipeline.commands.summary import check_lost, median_residual, moment_counts, say_alignments, say_pairs
    from dpedtool.pipeline.pair.intake import PairedFolders, take_pairs

    if scheduler:
        sources, out = tuple(source.absolute() for source in sources), out.absolute()
    recursive = recursive or params.captures.recursive
    if len(sources) == 1 and isinstance(sources[0], Path):
        check_urls(Pair.table_in(sources[0]), Pair, params, allowed=allow_urls)
    taken = take_pairs(sources, out, listed(params.pair, csv_file), recursive=recursive)
    if isinstance(taken, PairedFolders):
        say_pairs(taken)
        pairs = taken.rows
    else:
        pairs = taken
    rows = align_pairs(
        pairs,
        out,
        params.align,
        images=images,
        workers=workers,
        scheduler=scheduler,
        reuse=reuse,
        max_memory=max_memory,
    )
    # They are of an earlier alignment.
    remove_overlays(out / OVERLAY)
    say_alignments(rows)
    figures = {**moment_counts(rows), "median_residual_px": median_residual(rows)}
    give_results({"table": str(Alignment.table_in(out)), **figures})
    check_lost((row.reason for row in rows), Alignment.table_in(out))
    if len(sources) == 2 and not any(row.status == "aligned" for row in rows):
        raise DpedtoolError(f"No pair could be aligned; {Alignment.table_in(out)} holds the figures.")
    if images and len(sources) == 2 and is_file(sources[0]):
        (row,) = rows
        write_overlay(overlay := overlay_file(out, row.pair_id), image_files(out, row.pair_id))
        click.echo(
            f"Look at {printable(overlay)}: squares of the phone's photo and of the DSLR's in turn; edges that break "
            "at a border are misaligned."
        )


@command(name="map", prints=True, epilog=examples("printf '100,200\\n' | dpedtool map aligned PAIR_ID"))
@click.argument("aligned", type=FILE)
@click.argument("pair_id")
def map_points(aligned: Path, pair_id: str) -> None:
    """Print where points of the phone photo lie in the DSLR photo.

    Points are read from standard input, one x,y a line: px of the upright photos, with pixel centres at integers.
    ALIGNED is what `dpedtool align` wrote.
    """
    import numpy as np

    from dpedtool.dataset.tables import read_rows
    from dpedtool.pipeline.geometry.aligned import find_pair, is_in_phone, transform

    row = find_pair(read_rows(Alignment.table_in(aligned), Alignment), pair_id)
    try:
        to = transform(row)
    except Rejection as changed:
        raise DpedtoolError(changed.detail) from None
    if sys.stdin is None:
        raise DpedtoolError("There is no standard input: pipe points into it, one x,y a line.")
    for number, line in enumerate(sys.stdin, start=1):
        if getattr(sys.stdout, "reader_left", False):
            break
        if text := line.strip("\ufeff \t\r\n"):
            point = _point(text, number)
            if not is_in_phone(row, point):
                click.echo(f"Line {number}: {text} lies outside the phone photo; its place is extrapolated.", err=True)
            x, y = to(np.array([point], np.float64))[0]
            click.echo(f"{x:.4f},{y:.4f}")


def _point(text: str, number: int) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DpedtoolError(f"Line {number} of the input is not a point: {text!r}. Write x,y.")
    return x, y
