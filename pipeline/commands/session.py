"""The commands init, run and doctor, and code-digests, which a session's recipe calls."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import Params
from dpedtool.dataset.places import printable
from dpedtool.dataset.printing import as_it_is
from dpedtool.dataset.progress import OUTPUT
from dpedtool.pipeline.commands.options import (
    FOLDER,
    MAX_MEMORY,
    command,
    examples,
    give_results,
    out_option,
    params_options,
    run_memory_option,
)


@command(
    epilog=examples(
        "dpedtool init my-demo --demo", "dpedtool init my-session --captures /data/tripod --reference canon"
    )
)
@click.argument("session", type=FOLDER)
@click.option(
    "--captures",
    type=FOLDER,
    metavar="DIR",
    help="Folder that holds one folder of photos a camera, or one folder a session with these in it.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="NAME",
    help="Name of the DSLR's folder in --captures; not needed if it is dslr. Given again: a further reference.",
)
@click.option("--demo", is_flag=True, help="Make the demo: simulated photos of two phones and a DSLR.")
@click.option("--dvc/--no-dvc", "with_dvc", default=True, help="Set up DVC in the session, or leave it to you.")
@click.option("--git/--no-git", "with_git", default=True, help="Set up git in the session, or leave it to you.")
def init(
    session: Path, captures: Path | None, references: tuple[str, ...], demo: bool, with_dvc: bool, with_git: bool
) -> None:
    """Make a session: a folder with the parameters and the recipe for your own photos.

    Writes params.yaml, dvc.yaml, .gitignore, .gitattributes, README.md and LICENCE.txt to SESSION. Nothing is written
    to the folder of the photos. `dpedtool run` in SESSION then makes the data set, the network and the report.
    """
    if demo == bool(captures):
        raise click.UsageError("Name the photos by --captures DIR, or use --demo: one of the two.")
    if demo and references:
        raise click.UsageError("--reference is for --captures: the demo has its own DSLR.")
    from dpedtool.pipeline.session.init import DEMO, find_captures, set_up

    cameras = find_captures(captures, references) if captures else DEMO
    made = set_up(session, cameras, is_demo=demo, with_dvc=with_dvc, with_git=with_git)
    click.echo(f"DSLR: {made.captures.reference}. Phones: {', '.join(made.captures.phones)}.")
    if made.captures.references:
        click.echo(f"Further references: {', '.join(made.captures.references)}.")
    if made.captures.sessions:
        click.echo(f"Sessions: {', '.join(made.captures.sessions)}.")
    if made.captures.recursive:
        click.echo("Photos lie in sub-folders of the cameras' folders: captures.recursive is true.")
    click.echo(f"Wrote {', '.join(made.files)} to {printable(made.folder)}.")
    click.echo(f"Next: cd {shlex.quote(printable(made.folder))} && dpedtool run")


@command(gives="the stages that ran", epilog=examples("dpedtool run", "dpedtool run align@phone-a"))
@click.argument("stages", nargs=-1, metavar="[STAGE]...")
@click.option("--force", is_flag=True, help="Run stages even where nothing has changed.")
@click.option("--check", is_flag=True, help="Check parameters and folders, and run nothing.")
@run_memory_option
def run(stages: tuple[str, ...], force: bool, check: bool, max_memory: int | None) -> None:
    """Run the session in this folder: every stage whose photos, parameters or code have changed.

    Checks the parameters and folders first, then calls `dvc repro`, which does the same without these checks. STAGE
    runs one stage and what it needs. All that is printed is in .dpedtool/logs as well.
    """
    from dpedtool.pipeline.session.run import REPORT, check_session
    from dpedtool.pipeline.session.run import run as run_stages

    session = check_session(Path())
    if check:
        click.echo(f"The session is ready: {session.count} stages.")
        return
    ran, log = run_stages(
        session,
        stages,
        say=lambda line: click.secho(line, bold=True),
        show=lambda text: click.echo(text, file=as_it_is(sys.stdout), nl=False),
        force=force,
        is_shown=not OUTPUT.quiet,
        variables={} if max_memory is None else {MAX_MEMORY: f"{max_memory}B"},
    )
    give_results({"stages": ran, "log": str(log), "report": str(Path(REPORT).resolve())})
    click.echo(f"{len(ran)} {'stage' if len(ran) == 1 else 'stages'} ran. Log: {printable(log)}.")
    if (page := Path(REPORT).resolve()).is_file():
        click.echo(f"Report: {page.as_uri()}")


@command(gives="what was found", prints=True, epilog=examples("dpedtool doctor"))
def doctor() -> None:
    """Say what is installed, what works, and what is wrong with the session in this folder.

    The exit code is 1 where something is wrong with the session.
    """
    from dpedtool.pipeline.session.doctor import diagnose

    found = diagnose(Path())
    give_results(found.as_json())
    click.echo(f"Python {found.python} on {found.platform}")
    click.echo(", ".join(f"{name} {version}" for name, version in found.versions.items() if name != "python"))
    click.echo(
        f"{found.processors} processors, {found.memory_gb:g} GB memory, {found.free_disk_gb:g} GB free here; "
        f"GPU: {found.gpu or 'none that PyTorch can use'}; git: {'yes' if found.git else 'not installed'}"
    )
    click.echo(f"Photos: {', '.join(found.formats)}")
    for extra in found.extras:
        state = "installed" if extra.installed else f"missing: {extra.install}"
        click.echo(f"  {extra.name:<12} {extra.purpose}: {state}")
    click.echo(f"Session: {found.session or 'none in this folder'}")
    for problem in found.problems:
        click.echo(f"  {problem}")
    if found.problems:
        raise DpedtoolError(f"{len(found.problems)} {'thing is' if len(found.problems) == 1 else 'things are'} wrong.")


@command(name="code-digests", hidden=True)
@click.option("--files", is_flag=True, help="Write the files named in the parameters alone.")
@out_option
@params_options
def code_digests(files: bool, out: Path, params: Params) -> None:
    """Write the code and the files named in the parameters that each stage depends on, for DVC to compare."""
    from dpedtool.pipeline.session.recipe import write_code_digests, write_file_digests

    (write_file_digests if files else write_code_digests)(out, params)
