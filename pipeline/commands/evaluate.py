"""The command evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import Frame
from dpedtool.dataset.sidecars.metrics import Metrics, NetworkCost
from dpedtool.pipeline.commands.options import (
    FILE,
    FOLDER,
    command,
    examples,
    give_results,
    network_option,
    params_options,
)
from dpedtool.pipeline.commands.urls import check_urls, urls_option
from dpedtool.pipeline.records import memory_bytes


@command(
    gives="the scores",
    prints=True,
    epilog=examples(
        "dpedtool evaluate splits/iphone.parquet --model models/iphone -o scores",
        "dpedtool evaluate --phone outputs --dslr targets",
    ),
)
@click.argument("samples", type=FILE, required=False, metavar="[SAMPLES --model PATH -o DIR]")
@click.option(
    "--model",
    "--weights",
    type=FILE,
    help="Folder that `dpedtool train` wrote, or a file of weights. With --phone and --dslr it may be left out: then "
    "the phone is scored alone.",
)
@click.option("--phone", type=FOLDER, help="Folder of the phone's images.")
@click.option("--dslr", type=FOLDER, help="Folder of the DSLR's, of the same names and sizes.")
@click.option(
    "--names",
    type=FILE,
    help="With --phone and --dslr: text file of the names to score, one a line. A quadratic colour transform is fitted "
    "to the other pairs and scored as well.",
)
@click.option(
    "--lpips",
    type=FOLDER,
    help="With --phone and --dslr: add LPIPS, from the folder that holds torchvision's alexnet-owt-7be5be79.pth and "
    "alex.pth of the package lpips. With SAMPLES, evaluate.lpips names it.",
)
@click.option("-o", "--out", type=FOLDER, help="Folder for the results; made if missing.")
@urls_option
@network_option
@params_options
def evaluate(
    samples: Path | None, out: Path | None, allow_urls: bool, network: str | None, params: Params, **options: Any
) -> None:
    """Score a network, and for comparison the untouched phone images and a colour transform alone.

    With SAMPLES, a table of `dpedtool split`, the test patches are scored, and OUT/metrics.json and more are written.
    The patches of each tag in the table of scenes are scored too, and those of each session, if there are several.
    With --phone and --dslr, two folders of images with equal names are scored: PSNR, MS-SSIM and SSIM under the
    protocols image and batch are printed, and --out writes OUT/metrics.json and OUT/scores.csv. The colour transform
    needs --names there, since it must not have seen the pairs that are scored.

    A second table has more scores, over the same pairs for all versions, and how sure the network's gain is:
    evaluate.metrics chooses them. `dpedtool compare` sets several networks side by side.
    """
    own = network or params.train.own_network
    if samples is None:
        _evaluate_folders(out, params, own, **options)
        return
    model = options.pop("model")
    if any(options.values()):
        raise click.UsageError("--phone, --dslr, --names and --lpips are for two folders: leave out SAMPLES.")
    if not model or not out:
        raise click.UsageError("SAMPLES needs --model and --out; two folders are named by --phone and --dslr.")
    from dpedtool.training.data import PatchPairs
    from dpedtool.training.evaluate.stage import evaluate as evaluate_model

    for folder in PatchPairs(samples, "test").folders():
        check_urls(Frame.table_in(folder), Frame, params, allowed=allow_urls)
    scores = evaluate_model(samples, model, out, params.evaluate, own)
    for line in (scores.sentence(), *scores.tag_lines(), *scores.table_lines()):
        click.echo(line)
    give_results(Metrics.read(Metrics.file_in(out)).as_json())


def _evaluate_folders(
    out: Path | None,
    params: Params,
    own: str | None,
    *,
    phone: Path | None,
    dslr: Path | None,
    names: Path | None,
    lpips: Path | None,
    model: Path | None,
) -> None:
    if not phone or not dslr:
        raise click.UsageError("Name a table of samples, or two folders by --phone and --dslr.")
    import torch

    from dpedtool.training.data import read_names
    from dpedtool.training.evaluate.comparison import compare
    from dpedtool.training.inference import choose_device

    comparison = compare(phone, dslr, model, params.evaluate, read_names(names) if names else None, lpips, own)
    if out:
        comparison.write(out)
        if comparison.ms_per_megapixel is not None:
            device = choose_device(params.evaluate.device).type
            cost = NetworkCost(comparison.ms_per_megapixel, memory_bytes() / 1e9, device, torch.get_num_threads())
            cost.write(NetworkCost.file_in(out))
    click.echo(comparison.as_text())
    give_results(comparison.metrics().as_json())
