"""The command enhance."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.places import Place, is_dir, printable
from dpedtool.pipeline.commands.options import (
    FILE,
    PHOTOS,
    SIZE,
    Failure,
    Local,
    command,
    examples,
    flags_option,
    give_results,
    network_of_file,
    network_option,
    out_option,
)

_GO_ON = "run the same command with --existing skip to continue"


@command(
    gives="counts",
    epilog=examples("dpedtool enhance photos -o enhanced --model models/iphone --compare")
    + "The results keep of the EXIF: camera and lens, exposure, times, descriptions, names, copyright. They leave out "
    "the position (unless --gps), thumbnails, which show the old picture, serial numbers, maker's notes, and all of "
    "XMP and IPTC, which may hold positions too.",
)
@click.argument("photos", nargs=-1, required=True, type=PHOTOS, metavar="PHOTO...")
@out_option
@click.option(
    "--model",
    "--weights",
    "weights",
    type=FILE,
    required=True,
    help="Folder that `dpedtool train` wrote, or a file of weights.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "jpg", "tiff"]),
    default="png",
    show_default=True,
    help="Format of the results; PNG and TIFF keep every pixel.",
)
@click.option("--quality", type=click.IntRange(1, 100), help="Quality of jpg; 95 by default.")
@click.option(
    "--metadata",
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="Keep what the photo's EXIF says, as far as it is true of the result, or drop it.",
)
@click.option("--gps", is_flag=True, help="Keep the position as well.")
@click.option("--compare", is_flag=True, help="Also write OUT/<stem>.compare.jpg: the photo before and after.")
@click.option(
    "--existing",
    type=click.Choice(["refuse", "skip", "replace"]),
    default="refuse",
    show_default=True,
    help="If results exist already: do nothing (refuse), continue with the other photos (skip), or write them again "
    "(replace). A photo of the run is never replaced by a result.",
)
@click.option(
    "--self-ensemble",
    is_flag=True,
    help="Enhance each photo in its eight turns and mirror images, and write the mean: a little better, in eight times "
    "the time.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 where the device has instructions for it. It may differ from float32 by a grey level.",
)
@click.option(
    "--max-memory",
    type=SIZE,
    help="Largest memory of the program, such as 3GB or 800MB; a photo that needs more is refused. By default, the "
    "free memory.",
)
@click.option(
    "--scratch",
    type=Local(exists=True, file_okay=False, writable=True),
    metavar="DIR",
    help="Folder for a temporary file for data that does not fit in memory; by default the folder of the results.",
)
@click.option("--no-scratch", is_flag=True, help="Write no such file: refuse photos that do not fit in memory.")
@network_option
@flags_option
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
    self_ensemble: bool,
    device: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "float32", "bfloat16"],
    max_memory: int | None,
    scratch: Path | None,
    no_scratch: bool,
    network: str | None,
) -> None:
    """Enhance whole photos. Writes OUT/<stem>.png.

    PHOTO is a photo or a folder of photos, of any size. Results are upright, in sRGB, 8 bit. If a photo cannot be
    enhanced, it is named, the others are enhanced, and the exit code is 1. After an interruption or a full disk, run
    the same command with --existing skip to continue.
    """
    if gps and metadata == "drop":
        raise click.UsageError("--gps keeps the position, and --metadata drop drops all: choose one.")
    if quality and format_ != "jpg":
        raise click.UsageError(f"--quality is for --format jpg: {format_} keeps every pixel.")
    if scratch and no_scratch:
        raise click.UsageError("--scratch and --no-scratch exclude each other: choose one.")
    from dpedtool.dataset.photo_folders import check_no_photos, check_outside
    from dpedtool.training.enhance.stage import Output, enhance_photos
    from dpedtool.training.enhance.whole_photo import Settings
    from dpedtool.training.inference import choose_device
    from dpedtool.training.precision import choose_precision
    from dpedtool.training.weights.checkpoint import load_model

    folders = [photo for photo in photos if is_dir(photo)]
    check_outside(out, folders)
    check_no_photos(out, (photo for photo in photos if photo not in folders))
    chosen = choose_device(device)
    # Settings count what the process has, the model among it.
    model = load_model(weights, network or network_of_file()).to(chosen)
    room = None if no_scratch else scratch or out
    settings = Settings(chosen, choose_precision(precision, chosen), max_memory, room, self_ensemble)
    output = Output(
        out, format_, quality or 95, metadata=metadata == "keep", gps=gps, compare=compare, existing=existing
    )
    try:
        enhanced, asked, there = enhance_photos(model, photos, settings, output)
    except KeyboardInterrupt:
        raise Failure(f"Interrupted. What was finished is in {printable(out)}: {_GO_ON}.", 130) from None
    except OSError as error:
        if not error.filename or not error.strerror:
            raise
        place = printable(Path(error.filename))
        raise Failure(f"{place}: {error.strerror}. What was finished is kept: fix this, and {_GO_ON}.", 1) from None
    beside = f", {there} {'was' if there == 1 else 'were'} there already" if there else ""
    give_results({"out": str(out), "photos": asked, "enhanced": enhanced, "existing": there})
    if enhanced < asked:
        raise DpedtoolError(f"Enhanced {enhanced} of {asked} photos{beside}: see above for the others.")
    click.echo(f"{asked} {'photo' if asked == 1 else 'photos'} in {printable(out)}{beside}.")
