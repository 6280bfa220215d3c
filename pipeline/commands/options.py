"""What commands share: kinds of arguments, options, and the record that each may leave."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from dpedtool.dataset.params import PairParams, Params, load_params
from dpedtool.dataset.places import Place, as_place, is_url
from dpedtool.dataset.schema import Row, columns
from dpedtool.pipeline.records import recording
from dpedtool.pipeline.runner import WORKER_MEMORY, default_workers

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Local(click.Path):
    """A path of this machine; a URL would become a folder of an odd name."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse a URL; everything else as `click.Path`."""
        if is_url(str(value)):
            self.fail(f"{value} is a URL: only photos are read from URLs, so name a path of this machine.", param, ctx)
        return super().convert(value, param, ctx)


class _Photos(click.ParamType[Place]):
    """A photo or a folder of photos: a path or a URL."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        del param, ctx
        return as_place(str(value))


class _Size(click.ParamType[int]):
    """Bytes, as a number with a unit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b\s*", str(value), re.IGNORECASE)
        if not found:
            self.fail(f"{value!r} is no size: write a number with its unit, as in 800MB, 3GB or 2.5GiB.", param, ctx)
        number, prefix = found[1], (found[2] or "").lower()
        step = 1024 if prefix.endswith("i") else 1000
        size = int(Decimal(number) * step ** " kmgt".index(prefix[:1] or " "))
        if not 0 < size < 2**63:
            self.fail(f"{value!r} is no size that a memory has.", param, ctx)
        return size


class Failure(click.ClickException):
    """An error of ours in click's dress, with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = exit_code


FILE = Local()
FOLDER = Local(file_okay=False)
PHOTOS = _Photos()
SIZE = _Size()


class _Recorded(click.Command):
    """A command that leaves a record if it ends well and --record, which becomes the context's object, asks for it."""

    def invoke(self, ctx: click.Context) -> Any:
        with recording(ctx.find_object(Path), _name(ctx)):
            return super().invoke(ctx)


def _name(ctx: click.Context) -> str:
    """Name a command as one types it, without the program: release build."""
    group = _name(ctx.parent) if ctx.parent else ""
    return f"{group} {ctx.info_name}".strip() if ctx.parent else ""


class InOrder(click.Group):
    """Commands in the order in which they were added."""

    command_class = _Recorded

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return list(self.commands)


command = functools.partial(click.command, cls=_Recorded)
"""As `click.command`; `--record` writes down what the command took."""


PARAMS_FOLDER = "dpedtool.params_folder"
"""Where a command finds the folder of its params file, in the `meta` of its context."""


def params_options(decorated: Decorated) -> Decorated:
    """Add --params and --set, and pass the checked parameters on as `params`."""

    def checked(ctx: click.Context, _: click.Parameter, overrides: tuple[str, ...]) -> Params:
        file = ctx.params.pop("params_file")
        ctx.meta[PARAMS_FOLDER] = file.parent if file else None
        return load_params(file, overrides)

    # Parsed eagerly and first, since --set is read on top of the file.
    file = click.option(
        "--params", "params_file", type=FILE, is_eager=True, help="YAML file with the parameters, such as params.yaml."
    )
    overrides = click.option(
        "-S",
        "--set",
        "params",
        multiple=True,
        metavar="KEY=VALUE",
        callback=checked,
        help="Set one parameter, such as align.ratio=0.75; may be repeated.",
    )
    return file(overrides(decorated))


csv_option = click.option(
    "--csv",
    "csv_file",
    type=FILE,
    help="List of the pairs, in place of names and clocks: columns phone and dslr, file names or stems (pair.csv).",
)


def listed(params: PairParams, csv_file: Path | None) -> PairParams:
    """Return how photos are paired, by the list of `--csv` where one is given."""
    return replace(params, csv=str(csv_file)) if csv_file else params


out_option = click.option("-o", "--out", type=FOLDER, required=True, help="Folder for the results; made if missing.")
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=default_workers,
    show_default="processors",
    help=f"Parallel processes, of at most {WORKER_MEMORY} each; the results are the same for any number.",
)
scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    envvar="DASK_SCHEDULER_ADDRESS",
    show_envvar=True,
    help="Work on the Dask cluster of this scheduler, such as tcp://host:8786, instead of in --workers processes here. "
    "It must have this checkout installed, scheduler and workers alike, with the same versions of Python and "
    "packages, and its workers must see the folders of photos and results under the same paths. They may come and go, "
    f"and take {WORKER_MEMORY} for each thread.",
)


def outcomes(row_type: type[Row], item: str) -> str:
    """Say what may become of an item, a line each; click leaves a paragraph behind a backspace as it is."""
    good = row_type.STATUSES[0]
    (status,) = (spec.meaning for spec in columns(row_type) if spec.name == "status")
    reasons = [f"  {name:<{max(map(len, row_type.REASONS))}}  {text}" for name, text in row_type.REASONS.items()]
    return "\n".join([f"A {item}'s status is {status}.", "", "\b", f"Its reason, where it is not {good}:", *reasons])
