"""The command evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.schema import Alignment, Frame, Sample
from dpedtool.dataset.sidecars.metrics import Metrics, NetworkCost
from dpedtool.dataset.tables import holds
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

if TYPE_CHECKING:
    from dpedtool.pipeline.release.whole_pairs import TestedPair
    from dpedtool.training.data import Pairs
    from dpedtool.training.evaluate.comparison import Comparison


@command(
    gives="the scores",
    prints=True,
    epilog=examples(
        "dpedtool evaluate splits/iphone.parquet --model models/iphone -o scores",
        "dpedtool evaluate splits/iphone.parquet --model models/iphone --aligned aligned/iphone -o scores",
        "dpedtool evaluate release --model models/iphone -o scores",
        "dpedtool evaluate --phone outputs --dslr targets",
    ),
)
@click.argument("samples", type=FILE, required=False, metavar="[SAMPLES|RELEASE --model PATH -o DIR]")
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
@click.option(
    "--aligned",
    type=FOLDER,
    metavar="DIR",
    help="With SAMPLES: score the whole test photos as well. DIR is what `dpedtool align` wrote for the phone, or the "
    "folder with those of all phones.",
)
@click.option("-o", "--out", type=FOLDER, help="Folder for the results; made if missing.")
@urls_option
@network_option
@params_options
def evaluate(
    samples: Path | None,
    out: Path | None,
    aligned: Path | None,
    allow_urls: bool,
    network: str | None,
    params: Params,
    **options: Any,
) -> None:
    """Score a network, and for comparison the untouched phone images and a colour transform alone.

    With SAMPLES, a table of `dpedtool split`, the test patches are scored, and OUT/metrics.json and more are written.
    The patches of each tag in the table of scenes are scored too, and those of each session, if there are several.
    With --aligned, so are the whole test photos, as far as both cameras show the same, into OUT/whole.

    With RELEASE, a folder of `dpedtool release build` that holds whole photos of the DSLR, the test patches of layout
    dped and the whole test photos are scored: each phone has OUT/PHONE/patches and OUT/PHONE/whole.

    With --phone and --dslr, two folders of images with equal names are scored: PSNR, MS-SSIM and SSIM under the
    protocols image and batch are printed, and --out writes OUT/metrics.json and OUT/scores.csv. The colour transform
    needs --names there, since it must not have seen the pairs that are scored.

    A second table has more scores, over the same pairs for all versions, and how sure the network's gain is:
    evaluate.metrics chooses them. `dpedtool compare` sets several networks side by side.
    """
    own = network or params.train.own_network
    if aligned and (samples is None or samples.is_dir()):
        raise click.UsageError("--aligned is for SAMPLES: name a table of `dpedtool split`, or leave it out.")
    if samples is None:
        _evaluate_folders(out, params, own, **options)
        return
    model = options.pop("model")
    if any(options.values()):
        raise click.UsageError("--phone, --dslr, --names and --lpips are for two folders: leave out SAMPLES.")
    if samples.is_dir() and not _holds_samples(samples):
        if not model or not out:
            raise click.UsageError("RELEASE needs --model and --out.")
        _evaluate_release(samples, model, out, params, own)
        return
    if not model or not out:
        raise click.UsageError("SAMPLES needs --model and --out; two folders are named by --phone and --dslr.")
    from dpedtool.training.data import EnlargedPairs, PatchPairs
    from dpedtool.training.evaluate.stage import evaluate as evaluate_model

    for folder in PatchPairs(samples, "test").folders():
        check_urls(Frame.table_in(folder), Frame, params, allowed=allow_urls)
    pairs = _pairs_of_session(samples, aligned, params, allow_urls=allow_urls) if aligned else []
    scores = evaluate_model(samples, model, out, params.evaluate, own)
    for line in (scores.sentence(), *scores.tag_lines(), *scores.table_lines()):
        click.echo(line)
    results = Metrics.read(Metrics.file_in(out)).as_json()
    if aligned and not pairs:
        click.echo("There are no whole test photos, so none were scored.")
    elif aligned:
        training = EnlargedPairs(PatchPairs(samples, "train"))
        whole = _compare_whole(pairs, (samples, aligned), model, params, training, own)
        results["whole"] = _write(whole, out / "whole", params)
    give_results(results)


def _holds_samples(folder: Path) -> bool:
    """Whether a folder is one of `dpedtool split`, so that one of its tables was meant, and no release."""
    return any(holds(file, Sample) for file in sorted(folder.glob("*.parquet")))


def _pairs_of_session(samples: Path, aligned: Path, params: Params, *, allow_urls: bool) -> Sequence[TestedPair]:
    from dpedtool.pipeline.release.whole_alignments import alignment_tables
    from dpedtool.pipeline.release.whole_pairs import pairs_of_session

    for table in alignment_tables(aligned):
        check_urls(table, Alignment, params, allowed=allow_urls)
    return pairs_of_session(samples, aligned)


def _evaluate_release(folder: Path, model: Path, out: Path, params: Params, own: str | None) -> None:
    from dpedtool.pipeline.release.whole_pairs import phones_of_release
    from dpedtool.training.data import FolderPairs
    from dpedtool.training.evaluate.comparison import KnownSides, compare

    results = {}
    for phone, known in phones_of_release(folder).items():
        training = FolderPairs(*known.training) if known.training[0].is_dir() else None
        patches = compare(*known.patches, model, params.evaluate, own=own, known=KnownSides(known.scenes, training))
        click.echo(f"{phone}, test patches:")
        results[phone] = {"patches": _write(patches, out / phone / "patches", params)}
        click.echo(f"\n{phone}, whole test photos:")
        whole = _compare_whole(known.pairs, known.photos, model, params, training, own)
        results[phone]["whole"] = _write(whole, out / phone / "whole", params)
    give_results(results)


def _compare_whole(
    pairs: Sequence[TestedPair],
    places: tuple[Path, Path],
    model: Path,
    params: Params,
    training: Pairs | None,
    own: str | None,
) -> Comparison:
    from dpedtool.training.data import WholePair, WholePairs
    from dpedtool.training.evaluate.comparison import compare_whole

    whole = WholePairs(
        names=[pair.pair_id for pair in pairs],
        scenes=[pair.scene_id for pair in pairs],
        read=lambda index: WholePair(*pairs[index].read()),
    )
    return compare_whole(whole, places, model, params.evaluate, training, own)


def _write(comparison: Comparison, out: Path | None, params: Params) -> dict[str, Any]:
    """Print scores, write them to a folder if one is named, and return them, ready for JSON."""
    import torch

    from dpedtool.training.inference import choose_device

    if out:
        comparison.write(out)
        if comparison.ms_per_megapixel is not None:
            device = choose_device(params.evaluate.device).type
            cost = NetworkCost(comparison.ms_per_megapixel, memory_bytes() / 1e9, device, torch.get_num_threads())
            cost.write(NetworkCost.file_in(out))
    click.echo(comparison.as_text())
    return comparison.metrics().as_json()


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
    from dpedtool.training.data import read_names
    from dpedtool.training.evaluate.comparison import compare

    comparison = compare(phone, dslr, model, params.evaluate, read_names(names) if names else None, lpips, own)
    give_results(_write(comparison, out, params))
