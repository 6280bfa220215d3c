"""The commands import-weights and export: weights of others to ours, and ours to others."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.pipeline.commands.options import FILE, command, examples, flags_option, network_of_file, network_option


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


@command(epilog=examples("dpedtool export models/iphone -o net.onnx --licence CC-BY-NC-4.0"))
@click.argument("model", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE.onnx", help="File to write.")
@click.option(
    "--format", "file_format", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="Kind of file."
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
    clip: bool,
    scores: Path | None,
    licence: str | None,
    network: str | None,
) -> None:
    """Write a network for apps. Writes FILE.onnx, checked against PyTorch in onnxruntime, and its card FILE.md.

    MODEL is a folder that `dpedtool train` wrote, or a file of weights. Input and output of FILE.onnx are float32
    (batch, 3, height, width), RGB, 0..1, of any height and width. The two files are replaced if they exist; a
    FILE.md that is not a model card is kept, and then nothing is written. Install first: pip install onnx onnxruntime.
    """
    del file_format
    from dpedtool.training.weights.onnx_export import export as export_model

    click.echo(
        export_model(model, out, clip=clip, scores=scores, licence=licence, own=network or network_of_file()).sentence()
    )
