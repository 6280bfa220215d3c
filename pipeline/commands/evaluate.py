"""The command evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dpedtool.dataset.params import Params
from dpedtool.pipeline.commands.options import FILE, FOLDER, command, params_options


@command()
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
