"""The command pair."""

from __future__ import annotations

from dataclasses import replace
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
    recursive_option,
    scene_table,
)


@command(gives="counts and clocks", epilog=examples("dpedtool pair iphone canon -o pairs/iphone"))
@click.argument("folders", nargs=-1, type=PHOTOS, metavar="[PHONE_DIR DSLR_DIR]")
@click.option("--phone", help="Take the folders from section captures of the params file: this phone's and the DSLR's.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=PHOTOS,
    metavar="DIR",
    help="Folder of a further reference, another DSLR or another lens, for further targets; may be given again.",
)
@csv_option
@recursive_option
@out_option
@params_options
def pair(
    folders: tuple[Place, ...],
    phone: str | None,
    references: tuple[Place, ...],
    csv_file: Path | None,
    recursive: bool,
    out: Path,
    params: Params,
) -> None:
    """Find which photos of two cameras show the same moment. Writes OUT/pairs.parquet and OUT/synchronisation.json.

    OUT/scenes.csv is a template of the table of scenes. Fill in groups, splits, tags or licences, and name your copy
    in captures.scenes of the params file.
    """
    from dpedtool.dataset.io import write_text
    from dpedtool.dataset.scene_table import TEMPLATE, filled_in, template, unknown_scenes
    from dpedtool.pipeline.commands.summary import counts, say_pairs
    from dpedtool.pipeline.pair.intake import Folders, camera_folders, pair_into

    if phone is not None and folders:
        raise click.UsageError("Give either two folders or --phone, not both.")
    if phone is None and len(folders) != 2:
        raise click.UsageError("Name the phone's folder and the DSLR's, or give --phone with --params.")
    if phone is not None and references:
        raise click.UsageError("--reference is for two folders: with --phone, captures.references names the folders.")
    captures = replace(params.captures, recursive=recursive or params.captures.recursive)
    table = scene_table(params) if params.captures.scenes else filled_in(out / TEMPLATE)
    further = dict(enumerate(references, start=1))
    of_sessions = (
        camera_folders(captures, phone)
        if phone is not None
        else [Folders(folders[0], folders[1], recursive=captures.recursive, references=further)]
    )
    is_one_of_several = phone is not None and len(captures.phones) > 1
    found = pair_into(out, of_sessions, listed(params.pair, csv_file), may_be_empty=is_one_of_several)
    scenes = found.scenes()
    write_text(out / TEMPLATE, template(table, scenes))
    say_pairs(found)
    others = set(params.captures.sessions) - {each.session for each in of_sessions}
    unknown = unknown_scenes(table, scenes, others)
    for note in unknown:
        click.echo(note, err=True)
    sessions = [each.session for each in of_sessions if each.session]
    give_results(
        {
            "out": str(out),
            **counts(found.rows),
            "sessions": sessions,
            "notes": [*found.notes, *unknown],
            "left_out": [each.as_json() for each in found.left_out],
            "synchronisation": found.report.as_json(),
        }
    )
