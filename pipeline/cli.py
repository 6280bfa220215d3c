"""The command line: its commands in order, and what becomes of errors."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.printing import printing_visibly
from dpedtool.pipeline.commands.align import align, map_points
from dpedtool.pipeline.commands.compare import compare
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
from dpedtool.pipeline.signals import Stopped, stoppable

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
    compare,
    enhance,
    release,
    export,
    report,
    code_digests,
)
"""In the order of the stages, as `dpedtool --help` lists them."""


class _Commands(InOrder):
    """Turns what goes wrong for a reason into one sentence and an exit code; only bugs show a traceback."""

    def main(self, *words: Any, **settings: Any) -> Any:
        """Run the program; errors, too, show the control characters of the names in them."""
        with printing_visibly():
            return super().main(*words, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            # A request for help starts nothing.
            if (record := ctx.params["record"]) and not {*ctx.args} & {*ctx.help_option_names}:
                make_room(record)
            with stoppable(), _readers_may_leave():
                return super().invoke(ctx)
        except DpedtoolError as error:
            failure = Failure(str(error), error.exit_code)
        except Stopped as stop:
            failure = Failure(str(stop), stop.exit_code)
        except KeyboardInterrupt:
            asked = Stopped(signal.SIGINT)
            failure = Failure(str(asked), asked.exit_code)
        except OSError as error:
            if not str(error):
                raise
            failure = Failure(_in_words(error), 1)
        # Raised in a handler, it would refer to all that the error interrupted, such as generators that have workers.
        # They would then end with Python itself, which no longer hears signals.
        raise failure


class _Outliving:
    """A stream whose reader may leave, as `head` does once it has seen enough: the work goes on, and nobody is told."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.reader_left = False
        """Whether nobody reads any more, for commands that have nothing else to do than to print."""

    def write(self, text: str) -> int:
        """Write a text, or nothing once the reader has left."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._write_nowhere()
            return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._write_nowhere()

    def _write_nowhere(self) -> None:
        self.reader_left = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _readers_may_leave() -> Iterator[None]:
    """Finish the work of a command whose output nobody reads any more: a table that is missing is no small matter."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Outliving(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def _in_words(error: OSError) -> str:
    """Say what the system says, and what to do."""
    kept = "What was finished is kept"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f"{error.filename}: the disk" if error.filename else "The disk"
        return f"{where} is full. {kept}: make room and run again."
    if not error.filename:
        # Libraries give a sentence of their own in place of the system's.
        return f"{error.strerror or str(error).removesuffix('.')}. {kept}: fix this and run again."
    return f"Cannot use {error.filename}: {error.strerror}. {kept}: fix this or choose another place."


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dpedtool")
@click.option(
    "--record",
    type=Local(dir_okay=False),
    metavar="FILE",
    help="Write the cost of the command (seconds, processor time, memory) and its versions as JSON, if it ends well. "
    "An earlier record is removed at the start.",
)
@click.pass_context
def main(ctx: click.Context, record: Path | None) -> None:
    """From phone and DSLR photo pairs to an aligned data set and a trained network.

    `init` makes a session from your photos and `run` runs it: all stages, as its params.yaml says. Each stage is a
    command as well: pair, align, patches, split, train, evaluate, report. `enhance` runs the network over whole photos.
    `release` builds a data set that others can load, check and cite.
    """
    ctx.obj = record


for _command in COMMANDS:
    main.add_command(_command)
