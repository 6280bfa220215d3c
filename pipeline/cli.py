"""The command line: its commands in order, and what becomes of errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.commands.align import align, map_points
from dpedtool.pipeline.commands.enhance import enhance
from dpedtool.pipeline.commands.evaluate import evaluate
from dpedtool.pipeline.commands.options import Failure, InOrder, Local
from dpedtool.pipeline.commands.pair import pair
from dpedtool.pipeline.commands.params import show_params
from dpedtool.pipeline.commands.patches import patches
from dpedtool.pipeline.commands.release import release
from dpedtool.pipeline.commands.report import report
from dpedtool.pipeline.commands.session import code_digests, doctor, init, run
from dpedtool.pipeline.commands.simulate import simulate
from dpedtool.pipeline.commands.split import split
from dpedtool.pipeline.commands.train import train
from dpedtool.pipeline.commands.weights import export, import_weights
from dpedtool.pipeline.records import make_room

COMMANDS = (
    init,
    run,
    doctor,
    show_params,
    simulate,
    pair,
    align,
    map_points,
    patches,
    split,
    train,
    import_weights,
    evaluate,
    enhance,
    release,
    export,
    report,
    code_digests,
)
"""In the order of the stages, as `dpedtool --help` lists them."""


class _Commands(InOrder):
    """Turns what goes wrong for a reason into one sentence and an exit code; only bugs show a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            # Whoever asks for help starts nothing.
            if (record := ctx.params["record"]) and not {*ctx.args} & {*ctx.help_option_names}:
                make_room(record)
            return super().invoke(ctx)
        except DpedtoolError as error:
            raise Failure(str(error), error.exit_code) from None
        except KeyboardInterrupt:
            message = "Interrupted. What was finished is kept: the same command goes on from there."
            raise Failure(message, 130) from None
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough.
            sys.stderr.close()
            raise SystemExit(0) from None
        except OSError as error:
            if error.strerror is None:
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{place}{error.strerror}. What was finished is kept: mend this and run again.", 1) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dpedtool")
@click.option(
    "--record",
    type=Local(dir_okay=False),
    metavar="FILE",
    help="Write as JSON what the command took (seconds, processor time, memory) and with which versions, if it ends "
    "well; an earlier record goes as it begins.",
)
@click.pass_context
def main(ctx: click.Context, record: Path | None) -> None:
    """From phone and DSLR photo pairs to an aligned data set and a trained network.

    The stages in order: pair, align, patches, split, train, evaluate, report. Each reads what the one before it
    wrote; `dvc repro` runs them all as params.yaml says. `enhance` runs the trained network over whole photos;
    `release` makes of patches and split a data set that others can load, check and cite.
    """
    ctx.obj = record


for _command in COMMANDS:
    main.add_command(_command)
