"""The commands release build, release verify, release diff and release import."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import Alignment, Photo
from dpedtool.dataset.sides import SPLITS
from dpedtool.pipeline.commands.options import (
    FILE,
    FOLDER,
    InOrder,
    check_memory,
    examples,
    give_results,
    max_memory_option,
    out_option,
    params_options,
    scheduler_option,
    workers_option,
)
from dpedtool.pipeline.commands.urls import check_urls, urls_option
from dpedtool.pipeline.commands.verdicts import NOT_PROVEN, say_verdict
from dpedtool.pipeline.runner import warm_up


@click.group(cls=InOrder)
def release() -> None:
    """Build, verify, compare and import data sets that others can load, check and cite."""


@release.command(
    name="build",
    gives="counts and sizes",
    epilog=examples("dpedtool release build splits -o release -S release.name=tripod -S release.licence=CC-BY-4.0"),
)
@click.argument("splits", type=FILE, metavar="SPLITS_DIR")
@click.option(
    "-o", "--out", type=FOLDER, required=True, help="Folder of the release; it appears when the release is complete."
)
@click.option("--replace", is_flag=True, help="Replace an earlier release.")
@click.option(
    "--previous",
    type=FOLDER,
    metavar="DIR",
    help="An earlier release of the same data set: the card says what changed since. By default this is the release "
    "that --replace replaces, if it has the same name and another version.",
)
@click.option(
    "--aligned",
    type=FOLDER,
    metavar="DIR",
    help="What `dpedtool align` wrote for the phone, or the folder with those of all phones: layout dped gets the "
    "DSLR's full-size test photos as well, on the grid of the phone's.",
)
@urls_option
@workers_option
@max_memory_option
@scheduler_option
@params_options
def build_release(
    splits: Path,
    out: Path,
    replace: bool,
    previous: Path | None,
    aligned: Path | None,
    allow_urls: bool,
    workers: int,
    max_memory: int | None,
    scheduler: str | None,
    params: Params,
) -> None:
    """Build a release from `dpedtool split` output, using the `release` parameters.

    OUT gets the patches in the chosen layouts, tables of their origin (patches.parquet, pairs.parquet,
    scenes.parquet), a data set card, croissant.json, CITATION.cff, LICENSE and SHA256SUMS. It holds no metadata of
    photos and no path of this machine: every file is searched for them, and a finding ends the build. An interrupted
    build continues where it stopped.
    """
    check_memory(max_memory, scheduler)
    warm_up(workers, "dpedtool.pipeline.release.build")
    from dpedtool.pipeline.release.build import build_release as build
    from dpedtool.pipeline.release.whole_alignments import alignment_tables

    if scheduler:
        splits, out, aligned = splits.absolute(), out.absolute(), aligned.absolute() if aligned else None
    check_urls(Photo.table_in(splits), Photo, params, allowed=allow_urls)
    for table in alignment_tables(aligned) if aligned else ():
        check_urls(table, Alignment, params, allowed=allow_urls)
    built = build(
        splits,
        out,
        params.release,
        replace_old=replace,
        previous=previous,
        aligned=aligned,
        workers=workers,
        scheduler=scheduler,
        max_memory=max_memory,
    )
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
    gives="the verdict",
    epilog=examples("dpedtool release verify release") + "Exit codes: 0, nothing is wrong; 1, a defect, one line each; "
    f"{NOT_PROVEN}, nothing was found, but without scenes nothing is proven either.",
)
@click.argument("folder", type=FILE, metavar="DIR")
@workers_option
@scheduler_option
def verify_release(folder: Path, workers: int, scheduler: str | None) -> None:
    """Check a release: sums, tables, every image, pairs, leaks, licence and privacy.

    DIR is what `dpedtool release build` wrote. It may also be another data set in the layout of DPED, for which less
    can be proven. Nothing is written.
    """
    warm_up(workers, "dpedtool.pipeline.release.verification.verify")
    from dpedtool.pipeline.release.verification.verify import verify

    folder = folder.absolute() if scheduler else folder
    verdict = verify(folder, workers=workers, scheduler=scheduler)
    give_results(verdict.as_json())
    say_verdict(folder, verdict, None, "download or build it again")
    click.echo(f"Nothing wrong was found in {folder}.")


@release.command(
    name="diff",
    gives="all names",
    epilog=examples("dpedtool release diff release-1 release-2") + "Exit codes: 0, whatever differs; 1, no release.",
)
@click.argument("old", type=FILE, metavar="OLD")
@click.argument("new", type=FILE, metavar="NEW")
def diff_releases(old: Path, new: Path) -> None:
    """Say what changed from one release to the next: scenes and patches added, removed, moved or cut again.

    What is said about the scenes, such as their tags, is compared if both have a table of scenes (scenes.parquet).
    OLD and NEW are folders that `dpedtool release build` wrote. Only their tables are read. `--json` prints the names
    of all scenes and patches.
    """
    from dpedtool.pipeline.release.changes import compare

    found = compare(old, new)
    give_results(dataclasses.asdict(found))
    for line in found.sentences():
        click.echo(line)


@release.command(
    name="import",
    gives="counts",
    epilog=examples("dpedtool release import dped/iphone -o imported"),
)
@click.argument("folder", type=FILE, metavar="DIR")
@click.option(
    "--as",
    "part",
    type=click.Choice(SPLITS),
    help="Split of the patches of a DIR without training_data and test_data, which holds one folder for each camera.",
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

    Images are copied byte for byte and measured as `dpedtool patches` measures its own. `dpedtool train` and
    `dpedtool evaluate` run on OUT/splits/<phone>.parquet. Pairs that cannot be read become rejected rows.
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
