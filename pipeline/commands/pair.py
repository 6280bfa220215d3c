"""The command pair."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.places import Place
from dpedtool.pipeline.commands.options import (
    PHOTOS,
    command,
    csv_option,
    examples,
    give_results,
    listed,
    out_option,
    params_options,
)


@command(gives="counts and clocks", epilog=examples("dpedtool pair iphone canon -o pairs/iphone"))
@click.argument("folders", nargs=-1, type=PHOTOS, metavar="[PHONE_DIR DSLR_DIR]")
@click.option("--phone", help="Take the folders from section captures of the params file: this phone's and the DSLR's.")
@csv_option
@out_option
@params_options
def pair(folders: tuple[Place, ...], phone: str | None, csv_file: Path | None, out: Path, params: Params) -> None:
    """Find which photos of two cameras show the same moment. Writes OUT/pairs.parquet and OUT/synchronisation.json."""
    from dpedtool.pipeline.commands.summary import counts, say_pairs
    from dpedtool.pipeline.pair.intake import camera_folders, pair_into

    if phone is not None and folders:
        raise click.UsageError("Give either two folders or --phone, not both.")
    if phone is None and len(folders) != 2:
        raise click.UsageError("Name the phone's folder and the DSLR's, or give --phone with --params.")
    phone_dir, dslr_dir = camera_folders(params.captures, phone) if phone is not None else folders
    found = pair_into(out, phone_dir, dslr_dir, listed(params.pair, csv_file))
    say_pairs(found)
    give_results({"out": str(out), **counts(found.rows), "synchronisation": found.report.as_json()})
