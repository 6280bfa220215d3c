"""The command train."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import Params
from dpedtool.dataset.train_params import load_preset, preset_names
from dpedtool.pipeline.commands.options import (
    FILE,
    FOLDER,
    command,
    examples,
    give_results,
    network_option,
    out_option,
    params_options,
)


def _presets() -> str:
    """Whose values each preset has; click leaves a paragraph behind a backspace as it is."""
    lines = ["Presets (-S train.preset=NAME) and their sources; explicit values override a preset:"]
    indent = " " * (max(map(len, preset_names())) + 4)
    for name in preset_names():
        source = textwrap.fill(load_preset(name).source, 96, initial_indent=indent, subsequent_indent=indent)
        lines.append(f"  {name}".ljust(len(indent)) + source.lstrip())
    return "\n".join(["\b", *lines])


@command(
    gives="what was trained",
    epilog=examples("dpedtool train splits/iphone.parquet -o models/iphone -S train.channels=16") + _presets(),
)
@click.argument("samples", type=FILE, required=False, metavar="SAMPLES | --phone DIR --dslr DIR")
@click.option("--phone", type=FILE, help="Folder of the phone's patches, in place of a table of samples.")
@click.option("--dslr", type=FILE, help="Folder of the DSLR's patches, named as the phone's: 1.jpg in both are a pair.")
@click.option("--names", type=FILE, help="Text file of the pairs to take from the two folders, one name a line.")
@click.option("--tensorboard", type=FOLDER, metavar="DIR", help="Write the history for TensorBoard to DIR as well.")
@network_option
@out_option
@params_options
def train(
    samples: Path | None,
    phone: Path | None,
    dslr: Path | None,
    names: Path | None,
    tensorboard: Path | None,
    network: str | None,
    out: Path,
    params: Params,
) -> None:
    """Train the network on one phone's patches. Writes the model to OUT, and OUT/history.csv as it goes.

    SAMPLES is a table of `dpedtool split`. With two folders, the share train.held_out of the pairs is kept for
    validation. After an interruption the same command continues where it stopped. On several GPUs: torchrun
    --standalone --nproc-per-node N -m dpedtool train ...
    """
    from dpedtool.pipeline.split.before_training import check_before_training
    from dpedtool.training.train.distributed import is_first
    from dpedtool.training.train.sources import from_folders, from_table
    from dpedtool.training.train.stage import train as train_model

    settings = replace(params.train, network=network) if network else params.train
    if samples and not (phone or dslr or names):
        # What takes minutes is for one process: torchrun ends the others if it fails.
        if faults := check_before_training(samples, also_images=is_first()):
            raise DpedtoolError(
                f"{samples} is not fit for training. {faults[0]} `dpedtool split --verify {samples.parent}` names all "
                "faults, and what helps."
            )
        source = from_table(samples)
    elif phone and dslr and not samples:
        source = from_folders(phone, dslr, names, settings)
    else:
        raise click.UsageError("Name either SAMPLES, or --phone and --dslr; --names is optional with these two.")
    outcome = train_model(source, out, settings, board=tensorboard)
    if is_first():
        click.echo(outcome.sentence())
        give_results({"model": str(out), "said": outcome.sentence()})
