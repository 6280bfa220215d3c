"""The commands release build, release verify and release import."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import SPLITS
from dpedtool.pipeline.commands.options import (
    FILE,
    FOLDER,
    InOrder,
    out_option,
    params_options,
    scheduler_option,
    workers_option,
)
from dpedtool.pipeline.commands.verdicts import NOT_PROVEN, say_verdict
from dpedtool.pipeline.runner import warm_up


@click.group(cls=InOrder)
def release() -> None:
    """Data sets that others can load, check and cite: build, verify, import."""


@release.command(name="build")
@click.argument("splits", type=FILE, metavar="SPLITS_DIR")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of the release; it appears when all is there.")
@click.option("--replace", is_flag=True, help="Let the release take the place of an earlier one.")
@workers_option
@scheduler_option
@params_options
def build_release(splits: Path, out: Path, replace: bool, workers: int, scheduler: str | None, params: Params) -> None:
    """Release the data set of SPLITS_DIR. Which `dpedtool split` wrote, as section release of the parameters says.

    OUT has the patches in the layouts asked for, where each comes from (patches.parquet, pairs.parquet), a data set
    card, croissant.json, CITATION.cff, LICENSE and SHA256SUMS. No photo's metadata and no path of this machine is in
    it: every file is searched for them, and a finding ends the build. An interrupted build goes on where it stopped.
    """
    warm_up(workers, "dpedtool.pipeline.release.build")
    from dpedtool.pipeline.release.build import build_release as build

    if scheduler:
        splits, out = splits.absolute(), out.absolute()
    built = build(splits, out, params.release, replace_old=replace, workers=workers, scheduler=scheduler)
    for phone, counts in built.counts.items():
        click.echo(f"{phone}: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + " patches.")
    for note in built.notes:
        click.echo(note, err=True)
    click.echo(
        f"{built.files} files, {built.bytes / 1e6:.1f} MB, {built.files / built.seconds:.0f} files/s, in {out}: "
        f"look at {out / 'README.md'}, then `dpedtool release verify {out}`."
    )


@release.command(
    name="verify",
    epilog="Exit codes: 0, nothing is amiss; 1, a defect, named a line each; "
    f"{NOT_PROVEN}, nothing was found, but a folder that names no scenes proves nothing either.",
)
@click.argument("folder", type=FILE, metavar="DIR")
@workers_option
@scheduler_option
def verify_release(folder: Path, workers: int, scheduler: str | None) -> None:
    """Check a release. Sums, tables, every image, pairs, leaks, licence and privacy.

    DIR is what `dpedtool release build` wrote, or somebody else's data set in the layout of DPED, of which less can be
    proven. Nothing is written.
    """
    warm_up(workers, "dpedtool.pipeline.release.verification.verify")
    from dpedtool.pipeline.release.verification.verify import verify

    folder = folder.absolute() if scheduler else folder
    say_verdict(folder, verify(folder, workers=workers, scheduler=scheduler), None, "download or build it anew")
    click.echo(f"Nothing was found amiss in {folder}.")


@release.command(name="import")
@click.argument("folder", type=FILE, metavar="DIR")
@click.option(
    "--as",
    "part",
    type=click.Choice(SPLITS),
    help="What the patches are for, where the folder does not say so: DIR then holds one folder a camera.",
)
@click.option("--dslr", default="canon", show_default=True, metavar="NAME", help="Folder of the DSLR's patches.")
@out_option
@workers_option
@scheduler_option
@params_options
def import_release(
    folder: Path, part: str | None, dslr: str, out: Path, workers: int, scheduler: str | None, params: Params
) -> None:
    """Import a data set in the layout of DPED. Writes OUT/patches/<phone> and OUT/splits/<phone>.parquet.

    Images are taken over byte for byte, and measured as `dpedtool patches` measures its own; `dpedtool train` and
    `dpedtool evaluate` run on OUT/splits/<phone>.parquet. Pairs that cannot be read are rejected rows.
    """
    warm_up(workers, "dpedtool.pipeline.release.importing.layout")
    from dpedtool.pipeline.release.importing.layout import import_layout

    if scheduler:
        folder, out = folder.absolute(), out.absolute()
    imported = import_layout(folder, out, params, part=part, dslr=dslr, workers=workers, scheduler=scheduler)
    for phone, row in imported.patches.iterrows():
        click.echo(f"{phone}: " + ", ".join(f"{count} {name}" for name, count in row.items()) + " patches.")
    for note in imported.notes:
        click.echo(note, err=True)
