"""The commands import-weights and export: weights of others to ours, and ours to others."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.schema import Sample
from dpedtool.dataset.tables import holds
from dpedtool.pipeline.commands.options import (
    FILE,
    FOLDER,
    command,
    examples,
    flags_option,
    network_of_file,
    network_option,
)

if TYPE_CHECKING:
    from dpedtool.training.data import Pairs
    from dpedtool.training.weights.calibration import Examples


@command(name="import-weights", epilog=examples("dpedtool import-weights iphone_orig -o iphone_orig.safetensors"))
@click.argument("checkpoint", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE.safetensors", help="File of weights to write.")
def import_weights(checkpoint: Path, out: Path) -> None:
    """Convert weights that DPED's authors published. Writes FILE.safetensors and its card FILE.json.

    CHECKPOINT is a TensorFlow V2 checkpoint of a DPED generator or of SRCNN: the common beginning of the names of its
    files, such as iphone_orig, or one of the files. Its CRCs are verified.
    """
    from dpedtool.training.networks.generators import count_parameters
    from dpedtool.training.weights.published_weights import import_weights as convert

    imported = convert(checkpoint, out)
    network = imported.generator
    click.echo(f"{network.architecture.name}, {count_parameters(network)} parameters, in {imported.weights}.")


@command(
    epilog=examples(
        "dpedtool export models/iphone -o net.onnx --licence CC-BY-NC-4.0",
        "dpedtool export models/iphone -o net.onnx --int8 --calibrate splits/iphone.parquet",
        "dpedtool export models/iphone -o net.tflite --format litert --size 1024x768",
    )
)
@click.argument("model", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE", help="File to write: X.onnx or X.tflite.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["onnx", "litert"]),
    default="onnx",
    show_default=True,
    help="Kind of file. litert is for LiteRT, formerly TensorFlow Lite: float16 weights and one size of images.",
)
@click.option(
    "--opset",
    type=int,
    metavar="N",
    help="Version of ONNX's operators, 9 to 20; with --int8 from 13 on. By default 17. Older runtimes need lower ones.",
)
@click.option("--int8", is_flag=True, help="Also write X-int8.onnx or X-int8.tflite and its card. Needs --calibrate.")
@click.option(
    "--calibrate",
    type=FILE,
    metavar="SAMPLES|DIR",
    help="Images for --int8: a table of `dpedtool split` or its folder, a release or another folder in the layout of "
    "DPED, or a folder of a phone's photos. At most 200 of them set the ranges of values; at most 100 others show what "
    "int8 loses.",
)
@click.option(
    "--targets",
    type=FOLDER,
    metavar="DIR",
    help="Folder of the DSLR's images, of the same names and sizes as those of --calibrate DIR: the loss is measured "
    "against them as well.",
)
@click.option(
    "--size", "size_px", metavar="HxW", help="With litert: height and width of the images. By default 512x512."
)
@click.option("--clip/--no-clip", default=True, help="Cut the output to 0..1, or leave it as the network gives it.")
@click.option("--scores", type=FILE, metavar="FILE", help="metrics.json of `dpedtool evaluate`, for the card.")
@click.option("--licence", metavar="SPDX-ID", help="Licence of the weights, such as CC-BY-NC-4.0, for the card.")
@network_option
@flags_option
def export(
    model: Path,
    out: Path,
    file_format: str,
    opset: int | None,
    int8: bool,
    calibrate: Path | None,
    targets: Path | None,
    size_px: str | None,
    clip: bool,
    scores: Path | None,
    licence: str | None,
    network: str | None,
) -> None:
    """Write a network for apps. Writes FILE, checked against PyTorch in its runtime, and its card FILE.md.

    MODEL is a folder that `dpedtool train` wrote, or a file of weights. Input and output of an ONNX file are float32
    (batch, 3, height, width), RGB, 0..1, of any height and width; those of a LiteRT file (1, height, width, 3), of one
    height and width. Existing files are replaced; a FILE.md that is not a model card is kept, and then nothing is
    written. Install first: pip install onnx onnxruntime, or for LiteRT: pip install litert-torch.
    """
    if int8 != (calibrate is not None):
        raise click.UsageError("--int8 and --calibrate belong together: give both, or none of them.")
    if targets and not calibrate:
        raise click.UsageError("--targets is for --calibrate DIR: name the folder of the phone's images as well.")
    if file_format == "litert" and opset is not None:
        raise click.UsageError("--opset is for ONNX files: leave it out.")
    if file_format == "onnx" and size_px is not None:
        raise click.UsageError("--size is for --format litert: an ONNX file takes images of any size.")
    own = network or network_of_file()
    examples_of = functools.partial(_examples, calibrate, targets) if calibrate else None
    if file_format == "litert":
        from dpedtool.training.weights.litert_export import SIZE, export_litert, parse_size

        size = parse_size(size_px) if size_px else SIZE
        lines = export_litert(
            model, out, size, clip=clip, scores=scores, licence=licence, own=own, examples=examples_of
        ).lines()
    else:
        from dpedtool.training.weights.onnx_export import OPSET
        from dpedtool.training.weights.onnx_export import export as export_onnx

        version = OPSET if opset is None else opset
        lines = export_onnx(
            model, out, clip=clip, scores=scores, licence=licence, own=own, opset=version, examples=examples_of
        ).lines()
    for line in lines:
        click.echo(line)


def _examples(place: Path, targets: Path | None) -> Examples:
    """Return the images that a place holds for int8: a table of samples, folders in DPED's layout, or photos."""
    from dpedtool.training.weights import calibration

    if not place.is_dir():
        if targets:
            raise DpedtoolError(f"{place} knows its targets: leave out --targets.")
        return calibration.from_table(place)
    if targets:
        return calibration.from_folders(place, targets)
    tables = [file for file in sorted(place.glob("*.parquet")) if holds(file, Sample)]
    if len(tables) == 1:
        return calibration.from_table(tables[0])
    if tables:
        raise DpedtoolError(f"{place} holds several tables of samples: name one of them, such as {tables[0]}.")
    if pairs := _of_layout(place):
        return calibration.from_pairs(*pairs, str(place))
    return calibration.from_photos(place)


def _of_layout(folder: Path) -> tuple[Pairs, Pairs] | None:
    """Return training and test pairs of a folder in the layout of DPED; None if it has another layout."""
    from dpedtool.pipeline.foreign.dped_layout import BELOW, PARTS
    from dpedtool.training.data import FolderPairs

    above = folder / BELOW if (folder / BELOW).is_dir() else folder
    phones = sorted(phone for phone in above.iterdir() if (phone / PARTS["train"]).is_dir())
    if (above / PARTS["train"]).is_dir():
        phones = [above]
    if not phones:
        return None
    if len(phones) > 1:
        raise DpedtoolError(f"{folder} holds patches of several phones: name the folder of one, such as {phones[0]}.")
    found = []
    for part in (PARTS["train"], PARTS["test"]):
        cameras = sorted(camera for camera in (phones[0] / part).glob("*") if camera.is_dir())
        ours = [camera for camera in cameras if camera.name == phones[0].name]
        others = [camera for camera in cameras if camera.name != phones[0].name]
        if len(ours) != 1 or len(others) != 1:
            raise DpedtoolError(
                f"{phones[0] / part} must hold a folder {phones[0].name} of the phone's patches and one of the DSLR's: "
                "name the two by --calibrate and --targets."
            )
        found.append(FolderPairs(ours[0], others[0]))
    return found[0], found[1]
