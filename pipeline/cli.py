"""The command line: each command reads its parameters, calls one stage, and says how it went."""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import PairParams, Params, as_yaml, load_params, load_preset, preset_names
from dpedtool.dataset.places import Place, answering, as_place, is_url, printable
from dpedtool.dataset.schema import SPLITS, Alignment, Pair, Patch, Photo, Row, columns
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.dataset.tables import read_frame, read_rows, write_rows
from dpedtool.pipeline.records import make_room, recording
from dpedtool.pipeline.runner import WORKER_MEMORY, default_workers, warm_up

Command = TypeVar("Command", bound=Callable[..., Any])


class _Local(click.Path):
    """A path of this machine; a URL would become a folder of an odd name."""

    def __init__(self, **checks: bool) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
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


FILE = _Local()
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


class _InOrder(click.Group):
    """Commands in the order of the stages, which is that of this file."""

    command_class = _Recorded

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return list(self.commands)


class _Commands(_InOrder):
    """Turns what goes wrong for a reason into one sentence and an exit code; only bugs show a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            # Whoever asks for help starts nothing.
            if (record := ctx.params["record"]) and not {*ctx.args} & {*ctx.help_option_names}:
                make_room(record)
            return super().invoke(ctx)
        except DpedtoolError as error:
            raise _Failure(str(error), error.exit_code) from None
        except KeyboardInterrupt:
            message = "Interrupted. What was finished is kept: the same command goes on from there."
            raise _Failure(message, 130) from None
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough.
            sys.stderr.close()
            raise SystemExit(0) from None
        except OSError as error:
            if error.strerror is None:
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise _Failure(f"{place}{error.strerror}. What was finished is kept: mend this and run again.", 1) from None


class _Failure(click.ClickException):
    """An error of ours in click's dress, with an exit code of its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = exit_code


_PARAMS_FOLDER = "dpedtool.params_folder"
"""Where a command finds the folder of its params file, in the `meta` of its context."""


def params_options(command: Command) -> Command:
    """Add --params and --set, and pass the checked parameters on as `params`."""

    def checked(ctx: click.Context, _: click.Parameter, overrides: tuple[str, ...]) -> Params:
        file = ctx.params.pop("params_file")
        ctx.meta[_PARAMS_FOLDER] = file.parent if file else None
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
    return file(overrides(command))


FOLDER = _Local(file_okay=False)

csv_option = click.option(
    "--csv",
    "csv_file",
    type=FILE,
    help="List of the pairs, in place of names and clocks: columns phone and dslr, file names or stems (pair.csv).",
)
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


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dpedtool")
@click.option(
    "--record",
    type=_Local(dir_okay=False),
    metavar="FILE",
    help="Write as JSON what the command took (seconds, processor time, memory) and with which versions, if it ends "
    "well; an earlier record goes as it begins.",
)
@click.pass_context
def main(ctx: click.Context, record: Path | None) -> None:
    """From phone and DSLR photo pairs to an aligned data set and a trained network.

    The stages in order: pair, align, patches, split, train, evaluate, report. Each reads what the one before it
    wrote; `dvc repro` runs them all as params.yaml says. `enhance` runs the trained network over whole photos;
    `release` makes of patches and split a data set that others can load, check and cite.
    """
    ctx.obj = record


@main.command(name="params")
@params_options
def show_params(params: Params) -> None:
    """Print all parameters as a params file. With the meaning, range and value of each."""
    click.echo(as_yaml(params), nl=False)


@main.command()
@out_option
@params_options
def simulate(out: Path, params: Params) -> None:
    """Make simulated captures with known truth. As the section demo of the parameters says."""
    from dpedtool.pipeline.rig import simulate_session

    simulate_session(params.demo, out)
    click.echo(f"Simulated captures of {params.demo.scenes} scenes in {out}.")


@main.command()
@click.argument("folders", nargs=-1, type=PHOTOS, metavar="[PHONE_DIR DSLR_DIR]")
@click.option("--phone", help="Take the folders from section captures of the params file: this phone's and the DSLR's.")
@csv_option
@out_option
@params_options
def pair(folders: tuple[Place, ...], phone: str | None, csv_file: Path | None, out: Path, params: Params) -> None:
    """Find which photos of two cameras show the same moment. Writes OUT/pairs.parquet and OUT/synchronisation.json."""
    phone_dir, dslr_dir = _camera_folders(folders, phone, params)
    _pair_folders(phone_dir, dslr_dir, out, _listed(params.pair, csv_file))


def _outcomes(row_type: type[Row], item: str) -> str:
    """What may become of an item, a line each; click leaves a paragraph behind a backspace as it is."""
    good = row_type.STATUSES[0]
    (status,) = (spec.meaning for spec in columns(row_type) if spec.name == "status")
    reasons = [f"  {name:<{max(map(len, row_type.REASONS))}}  {text}" for name, text in row_type.REASONS.items()]
    return "\n".join([f"A {item}'s status is {status}.", "", "\b", f"Its reason, where it is not {good}:", *reasons])


@main.command(epilog=_outcomes(Alignment, "pair"))
@click.argument("sources", nargs=-1, required=True, type=PHOTOS, metavar="PHONE DSLR | PAIRS_DIR")
@csv_option
@out_option
@click.option("--images/--no-images", default=True, help="Write the aligned images, or the table alone.")
@workers_option
@scheduler_option
@params_options
def align(
    sources: tuple[Place, ...],
    csv_file: Path | None,
    out: Path,
    images: bool,
    workers: int,
    scheduler: str | None,
    params: Params,
) -> None:
    """Align the photos of each pair. Writes OUT/alignments.parquet and OUT/{phone,dslr}/<pair_id>.png.

    PHONE and DSLR are two photos, or two folders whose photos are paired first; PAIRS_DIR is what `dpedtool pair`
    wrote. OUT/timings.parquet says how long each pair took. Of two photos OUT/overlay/<pair_id>.jpg shows both, in
    squares.
    """
    if not scheduler and _is_dir(sources[0]):
        warm_up(workers, "dpedtool.pipeline.align.stage")
    from dpedtool.pipeline.align.overlay import remove_overlays, write_overlay
    from dpedtool.pipeline.align.stage import OVERLAY, image_files, overlay_file
    from dpedtool.pipeline.align.stage import align as align_pairs
    from dpedtool.pipeline.commands.summary import check_lost, say_alignments

    if scheduler:
        sources, out = tuple(source.absolute() for source in sources), out.absolute()
    pairs = _pairs(sources, out, params, csv_file)
    rows = align_pairs(pairs, out, params.align, images=images, workers=workers, scheduler=scheduler)
    # They are of an earlier alignment.
    remove_overlays(out / OVERLAY)
    say_alignments(rows)
    check_lost((row.reason for row in rows), Alignment.table_in(out))
    if len(sources) == 2 and not any(row.status == "aligned" for row in rows):
        raise DpedtoolError(f"No pair could be aligned; {Alignment.table_in(out)} holds the figures.")
    if images and len(sources) == 2 and _is_file(sources[0]):
        (row,) = rows
        write_overlay(overlay := overlay_file(out, row), image_files(out, row))
        click.echo(
            f"Look at {printable(overlay)}: squares of the phone's photo and of the DSLR's in turn; edges that break "
            "at a border are misaligned."
        )


@main.command(name="map")
@click.argument("aligned", type=FILE)
@click.argument("pair_id")
def map_points(aligned: Path, pair_id: str) -> None:
    """Print where points of the phone photo lie in the DSLR photo. Reads them from standard input.

    One point x,y a line: px of the upright photos, centres at integers. ALIGNED is what `dpedtool align` wrote.
    """
    from dpedtool.pipeline.geometry.aligned import dslr_from_phone, find_pair, is_in_phone

    row = find_pair(read_rows(Alignment.table_in(aligned), Alignment), pair_id)
    if sys.stdin is None:
        raise DpedtoolError("There is no standard input: pipe points into it, one x,y a line.")
    for number, line in enumerate(sys.stdin, start=1):
        if text := line.strip("\ufeff \t\r\n"):
            point = _point(text, number)
            if not is_in_phone(row, point):
                click.echo(f"Line {number}: {text} lies outside the phone photo; its place is extrapolated.", err=True)
            x, y = dslr_from_phone(row, point)
            click.echo(f"{x:.4f},{y:.4f}")


@main.command(epilog=_outcomes(Patch, "window"))
@click.argument("aligned", type=FILE)
@out_option
@workers_option
@scheduler_option
@params_options
def patches(aligned: Path, out: Path, workers: int, scheduler: str | None, params: Params) -> None:
    """Cut patches from aligned pairs. Writes OUT/patches.parquet and OUT/patches-NNNNN.tar.

    ALIGNED is what `dpedtool align` wrote. Mode and limits are section patches of the parameters: strict (the default)
    keeps windows that are aligned to a fraction of a px, and moves none; `-S patches.mode=dped` lets the phone's window
    move and turn to where it correlates best. OUT/frames.parquet has the pairs, OUT/selection.json what share of the
    windows was kept by brightness, texture and place in the frame.
    """
    if not scheduler:
        warm_up(workers, "dpedtool.pipeline.patches.stage")
    from dpedtool.pipeline.commands.summary import check_lost, say_patches
    from dpedtool.pipeline.patches.stage import cut_patches

    if scheduler:
        aligned, out = aligned.absolute(), out.absolute()
    alignments = read_rows(Alignment.table_in(aligned), Alignment)
    table = cut_patches(alignments, out, params.patches, workers=workers, scheduler=scheduler)
    say_patches(table)
    check_lost(read_frame(table, Patch, ["reason"])["reason"], table)
    if not any(row.status == "aligned" for row in alignments):
        click.echo(f"No pair in {aligned} is aligned, so there was nothing to cut.")


NOT_PROVEN = 3
"""Exit code of a folder in which no leak was found, but that cannot be verified."""
MOST_FAULTS = 20


@main.command(
    epilog="Exit codes of --verify: 0, proven; 1, a leak or another fault, named a line each; "
    f"{NOT_PROVEN}, nothing was found, but nothing is proven either."
)
@click.argument("folder", type=FILE, metavar="PATCHES_DIR | --verify DIR")
@click.option("-o", "--out", type=FOLDER, help="Folder for the results; made if missing.")
@click.option(
    "--verify",
    is_flag=True,
    help="Prove that no scene, frame or near-duplicate of DIR is on two sides; no table changes. DIR is an earlier "
    "OUT; or a data set in the layout of DPED, or what was imported from one, of which files are compared, which "
    "proves nothing.",
)
@click.option(
    "--verdict",
    type=_Local(dir_okay=False),
    metavar="FILE",
    help="With --verify: write what was found as JSON too, with the SHA-256 of each table that was looked at.",
)
@params_options
def split(folder: Path, out: Path | None, verify: bool, verdict: Path | None, params: Params) -> None:
    """Divide the scenes of all phones. Reads PATCHES_DIR/<phone>/, writes OUT/<phone>.parquet.

    Scenes that share a file or show the same view stay together: OUT/photos.parquet says which and why. Scenes that
    OUT holds of an earlier run with the same seed and shares keep their side. OUT/test_photos.csv lists the test's
    photos.
    """
    if verify:
        if out:
            raise click.UsageError("--verify writes no tables: leave out --out.")
        _verify(folder, verdict)
        return
    if verdict:
        raise click.UsageError("--verdict is what --verify finds: give both, or neither.")
    if not out:
        raise click.UsageError("Missing option '-o' / '--out'.")
    from dpedtool.dataset.split.stage import split as split_patches

    phones = params.captures.phones or _phones_below(folder)
    done = split_patches({phone: Patch.table_in(folder / phone) for phone in phones}, out, params.split)
    if not done.patches.to_numpy().sum():
        click.echo("No patch was accepted, so there is nothing to split: the tables of patches name the reasons.")
    for phone, row in done.patches.iterrows():
        click.echo(f"{phone}: " + ", ".join(f"{count} {name}" for name, count in row.items()) + " patches.")
    click.echo(f"{done.groups} groups of scenes: {', '.join(f'{n} {name}' for name, n in done.scenes.items())} scenes.")
    for note in done.notes:
        click.echo(note, err=True)


def _verify(folder: Path, file: Path | None) -> None:
    from dpedtool.dataset.foreign.dped_layout import verify_layout
    from dpedtool.dataset.split.samples_alone import holds_samples, verify_samples
    from dpedtool.dataset.split.verification import verify_split

    if file:
        Verdict.check_replaceable(file, "verdict")
        file.unlink(missing_ok=True)
    if Photo.table_in(folder).is_file():
        verdict = verify_split(folder)
    else:
        verdict = verify_samples(folder) if holds_samples(folder) else verify_layout(folder)
    if file:
        verdict.seen_from(folder).write(file)
    _say_verdict(folder, verdict, MOST_FAULTS, "mend the data, or split it anew")
    click.echo(f"Nothing in {folder} leaks.")


def _say_verdict(folder: Path, verdict: Verdict, most: int | None, mend: str) -> None:
    """Say what was found, at most so many faults; end the command where it is not that all is proven."""
    for line in verdict.said:
        click.echo(line)
    for line in verdict.faults[:most]:
        click.echo(line, err=True)
    if verdict.faults:
        more = len(verdict.faults) - most if most else 0
        rest = f", {more} of them not shown" if more > 0 else ""
        count = "1 fault" if len(verdict.faults) == 1 else f"{len(verdict.faults)} faults"
        raise DpedtoolError(f"{folder} has {count}{rest}: {mend}.")
    if not verdict.is_proof:
        raise _Failure(f"{folder} cannot be verified; nothing was found that leaks.", NOT_PROVEN)


def _presets() -> str:
    """Whose values each preset has; click leaves a paragraph behind a backspace as it is."""
    lines = ["Presets (-S train.preset=NAME), whose values hold where none is given, are from:"]
    indent = " " * (max(map(len, preset_names())) + 4)
    for name in preset_names():
        source = textwrap.fill(load_preset(name).source, 96, initial_indent=indent, subsequent_indent=indent)
        lines.append(f"  {name}".ljust(len(indent)) + source.lstrip())
    return "\n".join(["\b", *lines])


@main.command(epilog=_presets())
@click.argument("samples", type=FILE, required=False, metavar="SAMPLES | --phone DIR --dslr DIR")
@click.option("--phone", type=FILE, help="Folder of the phone's patches, in place of a table of samples.")
@click.option("--dslr", type=FILE, help="Folder of the DSLR's patches, named as the phone's: 1.jpg in both are a pair.")
@click.option("--names", type=FILE, help="Text file of the pairs to take from the two folders, one name a line.")
@click.option("--tensorboard", type=FOLDER, metavar="DIR", help="Write the history for TensorBoard to DIR as well.")
@out_option
@params_options
def train(
    samples: Path | None,
    phone: Path | None,
    dslr: Path | None,
    names: Path | None,
    tensorboard: Path | None,
    out: Path,
    params: Params,
) -> None:
    """Train the network on one phone's patches. Writes the model to OUT, and OUT/history.csv as it goes.

    SAMPLES is a table of `dpedtool split`. Of two folders train.held_out of the pairs is kept for validation. The same
    command goes on where an interrupted one stopped. On several GPUs: torchrun --standalone --nproc-per-node N
    -m dpedtool train ...
    """
    from dpedtool.training.train.distributed import is_first
    from dpedtool.training.train.sources import from_folders, from_table
    from dpedtool.training.train.stage import train as train_model

    if samples and not (phone or dslr or names):
        source = from_table(samples)
    elif phone and dslr and not samples:
        source = from_folders(phone, dslr, names, params.train)
    else:
        raise click.UsageError("Name either SAMPLES, or --phone and --dslr and, with them, --names.")
    outcome = train_model(source, out, params.train, board=tensorboard)
    if is_first():
        click.echo(outcome.sentence())


@main.command(name="import-weights")
@click.argument("checkpoint", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE.safetensors", help="File of weights to write.")
def import_weights(checkpoint: Path, out: Path) -> None:
    """Convert weights that DPED's authors published. Writes FILE.safetensors and its card FILE.json.

    CHECKPOINT is a TensorFlow V2 checkpoint of a DPED generator or of SRCNN: what the names of its files have in
    common, such as iphone_orig, or one of the files. Its CRCs are verified.
    """
    from dpedtool.training.networks.generators import count_parameters
    from dpedtool.training.weights.published import import_weights as convert

    imported = convert(checkpoint, out)
    network = imported.generator
    click.echo(f"{network.architecture.name}, {count_parameters(network)} parameters, in {imported.weights}.")


@main.command()
@click.argument("samples", type=FILE, required=False, metavar="[SAMPLES --model PATH -o DIR]")
@click.option("--model", type=FILE, help="With SAMPLES: folder that `dpedtool train` wrote, or a file of weights.")
@click.option(
    "--weights", type=FILE, help="With --phone and --dslr: file of weights; without, the phone is scored alone."
)
@click.option("--phone", type=FOLDER, help="Folder of the phone's images.")
@click.option("--dslr", type=FOLDER, help="Folder of the DSLR's, of the same names and sizes.")
@click.option(
    "--names",
    type=FILE,
    help="With --phone and --dslr: text file of the names that count, one a line. To the other pairs a quadratic "
    "colour transform is fitted, and scored beside the network.",
)
@click.option(
    "--lpips",
    type=FOLDER,
    help="With --phone and --dslr: add LPIPS, from the folder that holds torchvision's alexnet-owt-7be5be79.pth and "
    "alex.pth of the package lpips.",
)
@click.option("--json", "as_json", is_flag=True, help="With --phone and --dslr: print JSON in place of a table.")
@click.option("-o", "--out", type=FOLDER, help="Folder for the results; made if missing.")
@params_options
def evaluate(samples: Path | None, out: Path | None, params: Params, **options: Any) -> None:
    """Score a network, and beside it the untouched phone images and what a change of colours alone would do.

    Either on the test patches of SAMPLES, a table of `dpedtool split`: writes OUT/metrics.json and more. Or on any two
    folders of equal-named images: prints PSNR, MS-SSIM and SSIM under the protocols image and batch, and with --out
    writes OUT/metrics.json and OUT/scores.csv; the change of colours needs --names there, since it must not have seen
    the pairs that are scored.
    """
    if samples is None:
        _evaluate_folders(out, params, **options)
        return
    model = options.pop("model")
    if any(options.values()):
        raise click.UsageError(
            "--weights, --phone, --dslr, --names, --lpips and --json are for two folders: leave out SAMPLES."
        )
    if not model or not out:
        raise click.UsageError("SAMPLES needs --model and --out; two folders are named by --phone and --dslr.")
    from dpedtool.training.evaluate.stage import evaluate as evaluate_model

    scores = evaluate_model(samples, model, out, params.evaluate)
    click.echo(scores.sentence())


def _evaluate_folders(
    out: Path | None,
    params: Params,
    *,
    phone: Path | None,
    dslr: Path | None,
    weights: Path | None,
    names: Path | None,
    lpips: Path | None,
    as_json: bool,
    model: Path | None,
) -> None:
    if not phone or not dslr:
        raise click.UsageError("Name a table of samples, or two folders by --phone and --dslr.")
    if model:
        raise click.UsageError("--model is for a table of samples: name the network of two folders by --weights.")
    from dpedtool.training.data import read_names
    from dpedtool.training.evaluate.comparison import compare

    comparison = compare(phone, dslr, weights, params.evaluate, read_names(names) if names else None, lpips)
    if out:
        comparison.write(out)
    click.echo(
        json.dumps(comparison.metrics().as_json(), indent=2, allow_nan=False) if as_json else comparison.as_text()
    )


_GO_ON = "with --existing skip the same command goes on from there"


@main.command(
    epilog="What is kept of a photo's EXIF: camera and lens, exposure, times, descriptions, names, copyright. Left out "
    "are the position (unless --gps), thumbnails, which show the old picture, serial numbers, maker's notes, and all "
    "of XMP and IPTC, since these may hold positions too."
)
@click.argument("photos", nargs=-1, required=True, type=PHOTOS, metavar="PHOTO...")
@out_option
@click.option("--weights", type=FILE, required=True, help="File of weights, or a folder that `dpedtool train` wrote.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "jpg", "tiff"]),
    default="png",
    show_default=True,
    help="Of the results; PNG and TIFF keep every pixel.",
)
@click.option("--quality", type=click.IntRange(1, 100), help="Of jpg; 95 unless given.")
@click.option(
    "--metadata",
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="What the photo's EXIF says, kept as far as it holds for the result, or dropped.",
)
@click.option("--gps", is_flag=True, help="Keep the position as well.")
@click.option("--compare", is_flag=True, help="Write OUT/<stem>.compare.jpg too, the photo before and after.")
@click.option(
    "--existing",
    type=click.Choice(["refuse", "skip", "replace"]),
    default="refuse",
    show_default=True,
    help="Where results are there already: do nothing at all; leave out their photos, so that an interrupted run goes "
    "on; or replace them. A photo that is enhanced in the same run is never replaced.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 where the device has instructions for it. It may differ by a grey level.",
)
@click.option(
    "--max-memory",
    type=SIZE,
    help="What the program may take, such as 3GB or 800MB; a photo that needs more is refused. What is free, unless "
    "given.",
)
@click.option(
    "--scratch",
    type=_Local(exists=True, file_okay=False, writable=True),
    metavar="DIR",
    help="Folder for a passing file of what finds no room in the memory; the folder of the results, unless given.",
)
@click.option("--no-scratch", is_flag=True, help="Make no such file: refuse photos that do not fit into the memory.")
def enhance(
    photos: tuple[Place, ...],
    out: Path,
    weights: Path,
    format_: Literal["png", "jpg", "tiff"],
    quality: int | None,
    metadata: str,
    gps: bool,
    compare: bool,
    existing: Literal["refuse", "skip", "replace"],
    device: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "float32", "bfloat16"],
    max_memory: int | None,
    scratch: Path | None,
    no_scratch: bool,
) -> None:
    """Enhance whole photos. Writes OUT/<stem>.png.

    PHOTO is a photo or a folder of photos, of any size. Results are upright and in sRGB, 8 bit. A photo that cannot be
    enhanced is named, and the others are enhanced; the exit code is 1 then. After an interruption or on a full disk the
    same command goes on with --existing skip.
    """
    if gps and metadata == "drop":
        raise click.UsageError("--gps keeps the position, and --metadata drop drops all: choose one.")
    if quality and format_ != "jpg":
        raise click.UsageError(f"--quality is for --format jpg: {format_} keeps every pixel.")
    if scratch and no_scratch:
        raise click.UsageError("--scratch and --no-scratch exclude each other: choose one.")
    from dpedtool.training.enhance.stage import Output, enhance_photos
    from dpedtool.training.enhance.whole_photo import Settings
    from dpedtool.training.inference import choose_device
    from dpedtool.training.precision import choose_precision
    from dpedtool.training.weights.checkpoint import load_model

    chosen = choose_device(device)
    # Settings count what the process has, the model among it.
    model = load_model(weights).to(chosen)
    room = None if no_scratch else scratch or out
    settings = Settings(chosen, choose_precision(precision, chosen), max_memory, room)
    output = Output(
        out, format_, quality or 95, metadata=metadata == "keep", gps=gps, compare=compare, existing=existing
    )
    try:
        enhanced, asked, there = enhance_photos(model, photos, settings, output)
    except KeyboardInterrupt:
        raise _Failure(f"Interrupted. What was finished is in {printable(out)}: {_GO_ON}.", 130) from None
    except OSError as error:
        if not error.filename or not error.strerror:
            raise
        place = printable(Path(error.filename))
        raise _Failure(f"{place}: {error.strerror}. What was finished is kept: mend this, and {_GO_ON}.", 1) from None
    beside = f", {there} {'was' if there == 1 else 'were'} there already" if there else ""
    if enhanced < asked:
        raise DpedtoolError(
            f"Enhanced {enhanced} of {asked} photos{beside}: what was wrong with the others is said above."
        )
    click.echo(f"{asked} {'photo' if asked == 1 else 'photos'} in {printable(out)}{beside}.")


@main.group(cls=_InOrder)
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
    _say_verdict(folder, verify(folder, workers=workers, scheduler=scheduler), None, "download or build it anew")
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


@main.command()
@click.argument("model", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE.onnx", help="File to write.")
@click.option(
    "--format", "file_format", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="Kind of file."
)
@click.option("--clip/--no-clip", default=True, help="Cut the output to 0..1, or leave it as the network gives it.")
@click.option("--scores", type=FILE, metavar="FILE", help="metrics.json of `dpedtool evaluate`, for the card.")
@click.option("--licence", metavar="SPDX-ID", help="Licence of the weights, such as CC-BY-NC-4.0, for the card.")
def export(model: Path, out: Path, file_format: str, clip: bool, scores: Path | None, licence: str | None) -> None:
    """Write a network for apps. Writes FILE.onnx, checked against PyTorch in onnxruntime, and its card FILE.md.

    MODEL is a folder that `dpedtool train` wrote, or a file of weights. Input and output of FILE.onnx are float32
    (batch, 3, height, width), RGB, 0..1, of any height and width. What the two files held is replaced; a FILE.md that
    is no card of a model is kept, and then nothing is written. Needed: pip install -e '.[onnx]'.
    """
    del file_format
    from dpedtool.training.weights.onnx_export import export as export_model

    click.echo(export_model(model, out, clip=clip, scores=scores, licence=licence).sentence())


@main.command()
@click.argument("results", type=FILE)
@out_option
@click.option("--pictures/--no-pictures", default=True, help="Let every pair be looked at, or write the figures alone.")
@click.option(
    "--single-file",
    is_flag=True,
    help="Put the pictures of all pairs into the page, to hand it on as one file; for some hundred pairs at most.",
)
@workers_option
@scheduler_option
@params_options
def report(
    results: Path,
    out: Path,
    pictures: bool,
    single_file: bool,
    workers: int,
    scheduler: str | None,
    params: Params,
) -> None:
    """Write one HTML page on a whole run. Writes OUT/report.html, and OUT/report.json for machines.

    RESULTS is what `dvc repro` leaves; stages that have not run are said to be so. OUT/files has the pictures of the
    pairs, which the page loads as they are looked at: hand both on together, or use --single-file. The page needs no
    network. An interrupted report goes on where it stopped, and pictures that are still right are kept.
    """
    if single_file and not pictures:
        raise click.UsageError("--single-file puts the pictures into the page, --no-pictures makes none: choose one.")
    if pictures:
        warm_up(workers, "dpedtool.pipeline.report.pairs.details")
    from dpedtool.pipeline.commands.summary import check_lost
    from dpedtool.pipeline.report.stage import write_report

    if scheduler:
        results, out = results.absolute(), out.absolute()
    written = write_report(
        results,
        out,
        params,
        pictures=pictures,
        single_file=single_file,
        workers=workers,
        scheduler=scheduler,
        params_folder=click.get_current_context().meta[_PARAMS_FOLDER],
    )
    if gone := sum(reason in {"unreadable_photo", "photo_changed"} for reason in written.reasons):
        click.echo(
            f"Of {gone} of {len(written.reasons)} pairs a photo cannot be shown; opened in the page, each says why."
        )
    click.echo(f"The report is {written.page}.")
    check_lost(written.reasons, written.page)


def _camera_folders(folders: tuple[Place, ...], phone: str | None, params: Params) -> tuple[Place, Place]:
    if phone is None:
        if len(folders) != 2:
            raise click.UsageError("Name the phone's folder and the DSLR's, or give --phone with --params.")
        return folders[0], folders[1]
    if folders:
        raise click.UsageError("Give either two folders or --phone, not both.")
    root = as_place(params.captures.root)
    with answering(root):
        _check_cameras(root, params)
    return root / phone, root / params.captures.reference


def _check_cameras(root: Place, params: Params) -> None:
    """Refuse cameras that the params file names and the folder lacks: the commonest slip with photos of one's own."""
    wanted = {params.captures.reference, *params.captures.phones}
    if not root.is_dir():
        raise DpedtoolError(f"There is no folder {root}: captures.root in the params file must name one.")
    found = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if missing := sorted(wanted - found):
        raise DpedtoolError(
            f"{root} has no folder {', '.join(missing)}: it holds {', '.join(sorted(found)) or 'none'}; name the "
            "DSLR's in captures.reference and the phones' in captures.phones of the params file."
        )


def _pairs(sources: tuple[Place, ...], out: Path, params: Params, csv_file: Path | None) -> list[Pair]:
    from dpedtool.pipeline.pair.stage import pair_files

    if csv_file and (len(sources) != 2 or not all(_is_dir(source) for source in sources)):
        raise click.UsageError("--csv says which photos of two folders belong together: name the two folders.")
    if len(sources) == 1:
        folder = sources[0]
        if not isinstance(folder, Path) or not Pair.table_in(folder).is_file():
            raise DpedtoolError(
                f"{folder} holds no table of pairs: name the DSLR's photo or folder too, or a folder that "
                "`dpedtool pair` wrote."
            )
        return read_rows(Pair.table_in(folder), Pair)
    if len(sources) != 2:
        raise click.UsageError("Name two photos, two folders, or one folder that `dpedtool pair` wrote.")
    phone, dslr = sources
    if _is_file(phone) or _is_file(dslr):
        if _is_dir(phone) or _is_dir(dslr):
            raise DpedtoolError(f"{phone} and {dslr} are a photo and a folder: name two photos or two folders.")
        pairing = pair_files(phone, dslr)
        write_rows(Pair.table_in(out), Pair, pairing.rows)
        return pairing.rows
    return _pair_folders(phone, dslr, out, _listed(params.pair, csv_file))


def _pair_folders(phone_dir: Place, dslr_dir: Place, out: Path, params: PairParams) -> list[Pair]:
    """Pair two folders, write the table and the report of the synchronisation, and say how it went."""
    from dpedtool.pipeline.commands.summary import say_pairs
    from dpedtool.pipeline.pair.stage import pair_folders
    from dpedtool.pipeline.pair.synchronisation import synchronisation

    pairing = pair_folders(phone_dir, dslr_dir, params)
    report = synchronisation(pairing.rows, params.tolerance_s)
    write_rows(Pair.table_in(out), Pair, pairing.rows)
    report.write(report.file_in(out))
    say_pairs(pairing.rows, pairing.note, report)
    return pairing.rows


def _listed(params: PairParams, csv_file: Path | None) -> PairParams:
    return replace(params, csv=str(csv_file)) if csv_file else params


def _is_file(place: Place) -> bool:
    with answering(place):
        return place.is_file()


def _is_dir(place: Place) -> bool:
    with answering(place):
        return place.is_dir()


def _point(text: str, number: int) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DpedtoolError(f"Line {number} of the input is no point: {text!r}; write x,y.")
    return x, y


def _phones_below(folder: Path) -> tuple[str, ...]:
    phones = tuple(sorted(table.parent.name for table in folder.glob(f"*/{Patch.TABLE}.parquet")))
    if not phones:
        raise DpedtoolError(f"{folder} holds no folder with a table of patches: run `dpedtool patches` first.")
    return phones
