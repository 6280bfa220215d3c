"""The command params."""

from __future__ import annotations

import click

from dpedtool.dataset.params import Params, as_yaml
from dpedtool.pipeline.commands.options import command, params_options


@command(name="params")
@params_options
def show_params(params: Params) -> None:
    """Print all parameters as a params file. With the meaning, range and value of each."""
    click.echo(as_yaml(params), nl=False)
