"""The command simulate."""

from __future__ import annotations

from pathlib import Path

import click

from dpedtool.dataset.params import Params
from dpedtool.pipeline.commands.options import command, examples, out_option, params_options


@command(epilog=examples("dpedtool simulate -o captures -S demo.scenes=4"))
@out_option
@params_options
def simulate(out: Path, params: Params) -> None:
    """Make simulated captures with known truth, using the `demo` parameters."""
    from dpedtool.pipeline.rig import simulate_session

    simulate_session(params.demo, out)
    click.echo(f"Simulated captures of {params.demo.scenes} scenes in {out}.")
