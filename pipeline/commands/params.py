"""The command params."""

from __future__ import annotations

import click

from dpedtool.dataset.params import Params
from dpedtool.dataset.params_files import as_yaml
from dpedtool.pipeline.commands.options import command, examples, params_options


@command(name="params", prints=True, epilog=examples("dpedtool params > params.yaml"))
@params_options
def show_params(params: Params) -> None:
    """Print all parameters as a params file, with the meaning, range and value of each."""
    click.echo(as_yaml(params), nl=False)
