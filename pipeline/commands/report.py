"""The command report."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import Alignment, Pair
from dpedtool.pipeline.commands.options import (
    FILE,
    PARAMS_FOLDER,
    check_memory,
    command,
    examples,
    give_results,
    max_memory_option,
    out_option,
    params_options,
    scheduler_option,
    workers_option,
)
from dpedtool.pipeline.commands.urls import check_urls, urls_option
from dpedtool.pipeline.runner import warm_up


@command(
    gives="the path of the page and the number of pairs",
    epilog=examples("dpedtool report results -o report --params params.yaml"),
)
@click.argument("results", type=FILE)
@out_option
@click.option("--pictures/--no-pictures", default=True, help="Write the pictures of every pair, or the figures alone.")
@click.option(
    "--single-file",
    is_flag=True,
    help="Put the pictures of all pairs into the page, to hand it on as one file; for some hundred pairs at most.",
)
@urls_option
@workers_option
@max_memory_option
@scheduler_option
@params_options
def report(
    results: Path,
    out: Path,
    pictures: bool,
    single_file: bool,
    allow_urls: bool,
    workers: int,
    max_memory: int | None,
    scheduler: str | None,
    params: Params,
) -> None:
    """Write one HTML page on a whole run. Writes OUT/report.html, and OUT/report.json for machines.

    RESULTS is what `dpedtool run` writes; the page says which stages have not run. OUT/files has the pictures of the
    pairs, which the page loads when they are opened: share both together, or use --single-file. The page needs no
    network. An interrupted report continues where it stopped, and pictures that are still right are kept.
    """
    if single_file and not pictures:
        raise click.UsageError("--single-file puts the pictures into the page, --no-pictures makes none: choose one.")
    check_memory(max_memory, scheduler)
    if pictures:
        warm_up(workers, "dpedtool.pipeline.report.pairs.details")
    from dpedtool.pipeline.commands.summary import check_lost
    from dpedtool.pipeline.report.places import ALIGNED, PAIRS
    from dpedtool.pipeline.report.results import RunResults
    from dpedtool.pipeline.report.stage import write_report

    if scheduler:
        results, out = results.absolute(), out.absolute()
    for phone in RunResults(results, params).phones if pictures and results.is_dir() else ():
        check_urls(Pair.table_in(phone.folder(PAIRS)), Pair, params, allowed=allow_urls)
        check_urls(Alignment.table_in(phone.folder(ALIGNED)), Alignment, params, allowed=allow_urls)
    written = write_report(
        results,
        out,
        params,
        pictures=pictures,
        single_file=single_file,
        workers=workers,
        scheduler=scheduler,
        max_memory=max_memory,
        params_folder=click.get_current_context().meta[PARAMS_FOLDER],
    )
    if gone := sum(reason in {"unreadable_photo", "photo_changed"} for reason in written.reasons):
        click.echo(
            f"Pairs with a photo that cannot be shown: {gone} of {len(written.reasons)}; the page says why for each."
        )
    click.echo(f"Report: {written.page.resolve().as_uri()}")
    give_results({"page": str(written.page), "pairs": len(written.reasons)})
    check_lost(written.reasons, written.page)
    if written.lack:
        raise DpedtoolError(written.lack)
