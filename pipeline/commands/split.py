"""The command split, which also verifies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import Params, SplitParams
from dpedtool.dataset.schema import Patch, Photo
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.commands.options import (
    FILE,
    FOLDER,
    Local,
    command,
    examples,
    give_results,
    params_options,
    scene_table,
)
from dpedtool.pipeline.commands.verdicts import NOT_PROVEN, say_verdict

if TYPE_CHECKING:
    from dpedtool.pipeline.split.stage import Split

MOST_FAULTS = 20
FEWEST_GROUPS = 3
"""One for training, one for validation and one for the test."""
FEWEST_TESTED = 30


@command(
    gives="counts, or with --verify the verdict,",
    epilog=examples("dpedtool split patches -o splits", "dpedtool split --verify splits")
    + "Exit codes of --verify: 0, proven; 1, a leak or another fault, one line each; "
    f"{NOT_PROVEN}, nothing was found, but nothing is proven either.",
)
@click.argument("folder", type=FILE, metavar="PATCHES_DIR | --verify DIR")
@click.option("-o", "--out", type=FOLDER, help="Folder for the results; made if missing.")
@click.option(
    "--verify",
    is_flag=True,
    help="Prove that no scene, frame or near-duplicate of DIR is on two sides. No table changes. DIR is an earlier "
    "OUT. It may also be a data set in the layout of DPED, or one imported from it: then only its files are compared, "
    "which proves nothing.",
)
@click.option(
    "--verdict",
    type=Local(dir_okay=False),
    metavar="FILE",
    help="With --verify: write the verdict as JSON, with the SHA-256 of each table that was checked.",
)
@click.option(
    "--keep",
    type=FOLDER,
    metavar="SPLITS_OR_RELEASE",
    help="Start from the sides of an earlier OUT or of a release: its scenes keep them, and new scenes fill up to the "
    "shares.",
)
@params_options
def split(
    folder: Path, out: Path | None, verify: bool, verdict: Path | None, keep: Path | None, params: Params
) -> None:
    """Divide the scenes of all phones. Reads PATCHES_DIR/<phone>/, writes OUT/<phone>.parquet.

    Scenes that share a file or show the same view stay together: OUT/photos.parquet says which and why. Scenes that
    OUT holds of an earlier run keep their side, unless split.redraw is true. The table of scenes (captures.scenes) may
    group scenes and force their side. OUT/test_photos.csv lists the test's photos.
    """
    if verify:
        if out or keep:
            raise click.UsageError("--verify writes no tables: leave out --out and --keep.")
        _verify(folder, verdict)
        return
    if verdict:
        raise click.UsageError("--verdict is for --verify: give both, or neither.")
    if not out:
        raise click.UsageError("Missing option '-o' / '--out'.")
    from dpedtool.pipeline.split.stage import split as split_patches

    phones = params.captures.phones or _phones_below(folder)
    tables = {phone: Patch.table_in(folder / phone) for phone in phones}
    done = split_patches(tables, out, params.split, scenes=scene_table(params), keep=keep)
    if not done.patches.to_numpy().sum():
        click.echo("No patch was accepted, so there is nothing to split: the tables of patches name the reasons.")
    for phone, row in done.patches.iterrows():
        click.echo(f"{phone}: " + ", ".join(f"{count} {name}" for name, count in row.items()) + " patches.")
    scenes = ", ".join(f"{count} {name}" for name, count in done.scenes.items() if count) or "0"
    click.echo(f"{done.groups} {'group' if done.groups == 1 else 'groups'} of scenes: {scenes} scenes.")
    notes = [*done.notes, *_few(done, params.split)]
    give_results(
        {
            "out": str(out),
            "patches": {str(phone): row.to_dict() for phone, row in done.patches.iterrows()},
            "scenes": dict(done.scenes),
            "groups": done.groups,
            "notes": notes,
        }
    )
    for note in notes:
        click.echo(note, err=True)


def _few(done: Split, params: SplitParams) -> list[str]:
    """Say, before anything is trained, which sides have too little to be of use."""
    wanted = {"train": 1.0, "validation": params.validation, "test": params.test_scenes or params.test}
    counts = {side: done.patches[side] for side, share in wanted.items() if share}
    if not done.patches.to_numpy().sum():
        return []
    notes = []
    share = "split.test_scenes" if params.test_scenes else "split.test"
    redraw = " and set split.redraw, since scenes keep the sides of an earlier run" if done.keeps_sides else ""
    if lacking := [side for side, of_phones in counts.items() if not of_phones.sum()]:
        none = f"There are no patches for {' and '.join(lacking)}"
        notes.append(
            f"{none}: scenes keep the sides of an earlier run. Add scenes, or draw all again with split.redraw: true."
            if done.keeps_sides and done.groups >= FEWEST_GROUPS
            else f"{none}: whole groups of scenes are divided, and there are {done.groups}. Take at least "
            f"{FEWEST_GROUPS} different scenes; 20 are enough to try."
        )
    notes += [
        f"{phone} has {count} test {'patch' if count == 1 else 'patches'}, and scores of fewer than {FEWEST_TESTED} "
        f"say little: take more scenes, or raise {share}{redraw}."
        for phone, count in (counts["test"].items() if "test" in counts else ())
        if 0 < count < FEWEST_TESTED
    ]
    return notes


def _verify(folder: Path, file: Path | None) -> None:
    from dpedtool.pipeline.foreign.dped_layout import verify_layout
    from dpedtool.pipeline.split.samples_alone import holds_samples, verify_samples
    from dpedtool.pipeline.split.verification import verify_split

    if file:
        Verdict.check_replaceable(file, "verdict")
        file.unlink(missing_ok=True)
    if is_ours := Photo.table_in(folder).is_file():
        verdict = verify_split(folder)
    else:
        verdict = verify_samples(folder) if holds_samples(folder) else verify_layout(folder)
    if file:
        verdict.seen_from(folder).write(file)
    give_results(verdict.as_json())
    again = "split it again with split.redraw: true" if is_ours else "split it from scratch"
    say_verdict(folder, verdict, MOST_FAULTS, f"fix the data, or {again}")
    click.echo(f"Nothing in {folder} leaks.")


def _phones_below(folder: Path) -> tuple[str, ...]:
    phones = tuple(sorted(table.parent.name for table in folder.glob(f"*/{Patch.TABLE}.parquet")))
    if not phones and Patch.table_in(folder).is_file():
        above = folder.parent if folder.name else folder.resolve().parent
        raise DpedtoolError(
            f"{folder} is the folder of one phone: did you mean {above}? It holds the folders of all phones."
        )
    if not phones:
        raise DpedtoolError(f"{folder} holds no folder with a table of patches: run `dpedtool patches` first.")
    return phones
