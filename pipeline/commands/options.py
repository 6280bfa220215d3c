"""What commands share: kinds of arguments, options, and the record that each may leave."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.io import remove_abandoned
from dpedtool.dataset.params import PairParams, Params
from dpedtool.dataset.params_files import FLAGS, load_flags, load_params, nearest
from dpedtool.dataset.places import Place, as_place, is_url
from dpedtool.dataset.plugins import located
from dpedtool.dataset.progress import OUTPUT
from dpedtool.dataset.rows import Row, columns
from dpedtool.dataset.scene_table import SceneTable, read_scene_table
from dpedtool.pipeline.records import recording, versions
from dpedtool.pipeline.runner import WORKER_MEMORY, default_workers, use_tls

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
            self.fail(f"{value!r} is not a size: write a number with its unit, as in 800MB, 3GB or 2.5GiB.", param, ctx)
        number, prefix = found[1], (found[2] or "").lower()
        step = 1024 if prefix.endswith("i") else 1000
        size = int(Decimal(number) * step ** " kmgt".index(prefix[:1] or " "))
        if not 0 < size < 2**63:
            self.fail(f"{value!r} is not a size that a memory has.", param, ctx)
        return size


class Failure(click.ClickException):
    """An error that click prints, with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = exit_code


FILE = Local()
FOLDER = Local(file_okay=False)
PHOTOS = _Photos()
SIZE = _Size()


_WRITTEN = ("out", "verdict")
"""Options of commands that name what is written."""
_META = "dpedtool.output"
_RESULTS = "dpedtool.results"


class Command(click.Command):
    """A command with what all commands share.

    It has --quiet and --verbose and, if it says what it `gives`, --json. If it ends well, it leaves a record where
    --record asks for one, which is the context's object.
    """

    def __init__(self, *words: Any, gives: str = "", prints: bool = False, **settings: Any) -> None:
        super().__init__(*words, **settings)
        self._prints = prints
        self.params += [
            _switch("-q", "--quiet", meaning="Print errors and warnings only."),
            _switch("-v", "--verbose", meaning="Print versions, a line for every item, and the time taken."),
        ]
        if gives:
            self.params.append(_switch("--json", meaning=f"Print {gives} as JSON; messages go to the error stream."))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command as its common options say."""
        chosen = ctx.meta.get(_META, {})
        quiet, verbose, as_json = (bool(chosen.get(name)) for name in ("quiet", "verbose", "json"))
        OUTPUT.quiet, OUTPUT.every_item = quiet, verbose
        stdout, start = sys.stdout, time.monotonic()
        if verbose:
            click.echo(", ".join(f"{name} {version}" for name, version in versions().items()), err=True)
        for name in _WRITTEN:
            if isinstance(out := ctx.params.get(name), Path):
                remove_abandoned(out)
        with recording(ctx.find_object(Path), _name(ctx)), _stdout(as_json, quiet and not self._prints):
            try:
                return super().invoke(ctx)
            finally:
                if as_json and _RESULTS in ctx.meta:
                    print(json.dumps(ctx.meta[_RESULTS], indent=2, allow_nan=False), file=stdout)
                if verbose:
                    click.echo(f"{_name(ctx)} took {time.monotonic() - start:.1f} s.", err=True)


def _switch(*names: str, meaning: str) -> click.Option:
    def note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        ctx.meta.setdefault(_META, {})[param.name] = value

    return click.Option(list(names), is_flag=True, expose_value=False, callback=note, help=meaning)


def _stdout(as_json: bool, is_hidden: bool) -> contextlib.AbstractContextManager[Any]:
    """Where what a command says goes: a program that reads JSON finds nothing else on the standard output."""
    if is_hidden:
        return contextlib.redirect_stdout(io.StringIO())
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


def give_results(results: Mapping[str, Any]) -> None:
    """Give what --json prints, also where the command fails afterwards."""
    click.get_current_context().meta[_RESULTS] = dict(results)


def _name(ctx: click.Context) -> str:
    """Name a command as one types it, without the program: release build."""
    group = _name(ctx.parent) if ctx.parent else ""
    return f"{group} {ctx.info_name}".strip() if ctx.parent else ""


class InOrder(click.Group):
    """Commands in the order in which they were added."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return list(self.commands)


command = functools.partial(click.command, cls=Command)
"""As `click.command`, for a `Command`."""


PARAMS_FILE = "dpedtool.params_file"
PARAMS_FOLDER = "dpedtool.params_folder"
"""Where a command finds the folder of its params file, in the `meta` of its context."""


def _take_file(ctx: click.Context, _: click.Parameter, file: Path | None) -> Path | None:
    """Let the section `flags` of a params file replace the defaults of the command's options."""
    ctx.meta[PARAMS_FOLDER] = file.parent if file else None
    ctx.meta[PARAMS_FILE] = file
    if file:
        ctx.default_map = _flags(file, ctx)
    return file


NOT_IN_FILES = frozenset({"params", "params_file", "out", "csv_file"})
"""Options that make no sense in a params file, or that a parameter is for, which DVC watches (pair.csv)."""


def _all_names(ctx: click.Context) -> list[str]:
    """All commands, as one types them."""
    found: list[str] = []
    waiting = [("", ctx.find_root().command)]
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, click.Group):
            waiting += [(f"{name} {below}".strip(), one) for below, one in command.commands.items()]
        else:
            found.append(name)
    return found


def _flags(file: Path, ctx: click.Context) -> dict[str, Any]:
    known = {
        name.lstrip("-").replace("-", "_"): param.name or ""
        for param in ctx.command.params
        if isinstance(param, click.Option) and param.name not in NOT_IN_FILES
        for name in param.opts
        if name.startswith("--")
    }
    given = {key: value for key, value in load_flags(file, _name(ctx), _all_names(ctx)).items() if value is not None}
    for key in given:
        if key.replace("-", "_") not in known:
            words = nearest(key.replace("-", "_"), known, f"{FLAGS}.{_name(ctx)}.")
            raise ParamsError(f"{file}: unknown key '{FLAGS}.{_name(ctx)}.{key}'{words}")
    return {known[key.replace("-", "_")]: value for key, value in given.items()}


# Eager, so that it is parsed before the options whose defaults it replaces, and before --set, which is read on top.
_params_file = functools.partial(click.option, "--params", "params_file", type=FILE, is_eager=True, callback=_take_file)


def flags_option(decorated: Decorated) -> Decorated:
    """Add --params to a command that has no parameters: the file's section `flags` may hold the command's options."""
    meaning = f"YAML file whose section {FLAGS} holds options of this command, such as params.yaml."
    return _params_file(expose_value=False, help=meaning)(decorated)


def params_options(decorated: Decorated) -> Decorated:
    """Add --params and --set, and pass the checked parameters on as `params`."""

    def checked(ctx: click.Context, _: click.Parameter, overrides: tuple[str, ...]) -> Params:
        return load_params(ctx.params.pop("params_file"), overrides)

    overrides = click.option(
        "-S",
        "--set",
        "params",
        multiple=True,
        metavar="KEY=VALUE",
        callback=checked,
        help="Set one parameter, such as align.ratio=0.75; may be repeated.",
    )
    file = _params_file(help="YAML file with the parameters, such as params.yaml.")
    return file(overrides(decorated))


def network_option(decorated: Decorated) -> Decorated:
    """Add --network, and pass on as `network` the network of the user's own that the option names, or None.

    Its module is looked for beside the params file, or in the current folder if there is none.
    """

    def named(ctx: click.Context, _: click.Parameter, name: str | None) -> str | None:
        if name is None:
            return None
        found = replace(Params().train, network=name).own_network
        if found is None:
            raise click.BadParameter(f"{name} is a network of dpedtool, which no option needs to name.")
        return located(found, ctx.meta.get(PARAMS_FOLDER) or Path())

    option = click.option(
        "--network",
        metavar="package.module:Class",
        callback=named,
        help="The class of a network of your own, or what an installed package calls it. Code is imported only if you "
        "name it here or by train.network in the params file, whatever a file of weights says.",
    )
    return option(decorated)


def network_of_file() -> str | None:
    """Return the network of the user's own that the params file of the command names by train.network, or None."""
    file: Path | None = click.get_current_context().meta.get(PARAMS_FILE)
    return load_params(file).train.own_network if file else None


def examples(*lines: str) -> str:
    """Show commands as one types them, for an epilog; click leaves a paragraph behind a backspace as it is."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines), "", ""])


csv_option = click.option(
    "--csv",
    "csv_file",
    type=FILE,
    help="CSV file of the pairs, in place of names and clocks. The columns phone and dslr hold file names or stems.",
)

recursive_option = click.option(
    "--recursive",
    is_flag=True,
    help="Read the photos in sub-folders as well, such as DCIM/100CANON and DCIM/101CANON; as captures.recursive.",
)


def listed(params: PairParams, csv_file: Path | None) -> PairParams:
    """Return how photos are paired, by the list of `--csv` where one is given."""
    return replace(params, csv=str(csv_file)) if csv_file else params


def scene_table(params: Params) -> SceneTable:
    """Return the table of scenes that captures.scenes names, or an empty one.

    Raises
    ------
    DpedtoolError
        It is a URL, is missing, or is not such a table.

    """
    named = params.captures.scenes
    if named is None:
        return SceneTable()
    if is_url(named):
        raise DpedtoolError(f"{named} is a URL: only photos are read from URLs, so captures.scenes must name a file.")
    return read_scene_table(Path(named))


out_option = click.option("-o", "--out", type=FOLDER, required=True, help="Folder for the results; made if missing.")
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=default_workers,
    show_default="processors",
    help=f"Number of processes. Each takes up to {WORKER_MEMORY}. The results are the same for any number.",
)
MAX_MEMORY = "DPEDTOOL_MAX_MEMORY"
"""The environment variable that stands for --max-memory on every command that has it, as in `dvc repro`."""
_max_memory_option = functools.partial(
    click.option, "--max-memory", type=SIZE, envvar=MAX_MEMORY, show_envvar=True, metavar="SIZE"
)
max_memory_option = _max_memory_option(
    help="Largest memory of all processes here together, such as 3GB or 800MB; fewer than --workers start if more do "
    "not fit. If not even one pair fits, the command ends and says how much it needs. By default, no limit.",
)
run_memory_option = _max_memory_option(
    help="As --max-memory of the stages, for those that have it; for example 3GB or 800MB. It runs no stage again.",
)
_address_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    envvar="DASK_SCHEDULER_ADDRESS",
    show_envvar=True,
    help="Use the Dask cluster of this scheduler, such as tcp://host:8786, instead of --workers processes here. "
    "Scheduler and workers need the same versions of dpedtool, Python and packages, and the workers must see the "
    f"folders of photos and results under the same paths. Workers may come and go; each thread takes {WORKER_MEMORY}.",
)


def _use_tls(_: click.Context, __: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        use_tls(folder)


_tls_option = click.option(
    "--scheduler-tls",
    metavar="FOLDER",
    type=FOLDER,
    callback=_use_tls,
    expose_value=False,
    help="Folder with ca.pem, cert.pem and key.pem, for a scheduler at tls://host:8786 that asks for them. Anybody "
    "who reaches a scheduler without TLS can run code as its user.",
)


def check_memory(max_memory: int | None, scheduler: str | None) -> None:
    """Refuse a limit for the processes of this machine where those of a cluster do the work."""
    if max_memory is not None and scheduler:
        raise click.UsageError(
            "--max-memory is for the processes of this machine, not for those of a cluster: leave it out, and limit "
            "the workers of the cluster with `dask worker --memory-limit`."
        )


def scheduler_option(wrapped: Decorated) -> Decorated:
    """Add the options of a cluster to a command."""
    decorated: Decorated = _address_option(_tls_option(wrapped))
    return decorated


def outcomes(row_type: type[Row], item: str) -> str:
    """Explain the statuses and reasons of an item, one a line, for an epilog."""
    good = row_type.STATUSES[0]
    (status,) = (spec.meaning for spec in columns(row_type) if spec.name == "status")
    reasons = [f"  {name:<{max(map(len, row_type.REASONS))}}  {text}" for name, text in row_type.REASONS.items()]
    return "\n".join([f"The status of a {item}: {status}.", "", "\b", f"The reasons, if it is not {good}:", *reasons])
