"""The command compare."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.io import write_text
from dpedtool.pipeline.commands.options import FILE, FOLDER, command, examples, flags_option, give_results


@command(
    gives="the differences",
    prints=True,
    epilog=examples("dpedtool compare scores/published scores/tuned", "dpedtool compare scores/* -o compared.md"),
)
@click.argument("scores", type=FOLDER, nargs=-1, required=True, metavar="SCORES...")
@click.option("-o", "--out", type=FILE, metavar="FILE.md", help="Write both tables as Markdown as well.")
@flags_option
def compare(scores: tuple[Path, ...], out: Path | None) -> None:
    """Compare networks, over the same pairs, and say how sure each difference is.

    SCORES are folders that `dpedtool evaluate` wrote with --out, one of each network. They must be about the same pairs
    of images. Pairs with a constant target are left out, and PSNR counts at most 58.92 dB. The interval of a difference
    is that of 95 % of 2000 draws of scenes. Scores that only some of the folders have are left out.
    """
    from dpedtool.training.evaluate.networks_compared import NetworksCompared

    compared = NetworksCompared.read(scores)
    if out:
        write_text(out, compared.as_markdown())
    click.echo(compared.as_text())
    give_results(
        {two: {name: of.as_json() for name, of in by_score.items()} for two, by_score in compared.differences().items()}
    )
