"""Training: the cost of an iteration compared with its lower bound, and the speed of the loader.

    python -m benchmarks.train            # make bench-train
    python -m benchmarks.train --quick    # a quick try with small batches

The benchmark prints Markdown tables and writes them to train.md next to this file, and the figures behind them to
train.json. Every step is a step of `dpedtool train` with the preset `released-code`: generator and discriminator, with
the content loss on VGG-19. Its weights are random, which costs the same as trained weights, so no files are needed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch

from benchmarks import feeding, stepping
from benchmarks.feeding import LoaderFigures
from benchmarks.output import FOLDER, leave, say
from benchmarks.stepping import Noise, StepFigures, Task, Way
from dpedtool.training.inference import choose_device
from dpedtool.training.train.vgg import random_vgg

PARTS = ("steps", "loader")
PRECISIONS = ("float32", "bfloat16")
ITERATIONS = 20_000


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.quick:
        options.batch, options.steps, options.patches, options.batches = 2, 1, 200, 4
    device = choose_device(options.device)
    options.steps = options.steps or (50 if device.type == "cuda" else 2)
    steps = _steps(options, device) if "steps" in options.parts else []
    loader = _loader(options) if "loader" in options.parts else []
    record = {
        "steps": [dataclasses.asdict(row) for row in steps],
        "loader": [dataclasses.asdict(row) for row in loader],
    }
    leave(options.out, "train", as_markdown(steps, loader, _machine(device)), record)


def as_markdown(steps: Sequence[StepFigures], loader: Sequence[LoaderFigures], machine: str) -> str:
    """Return the tables, and what their columns mean."""
    return f"# Training: cost of an iteration, speed of the loader\n\n{machine}\n{tables(steps, loader)}"


def tables(steps: Sequence[StepFigures], loader: Sequence[LoaderFigures]) -> str:
    """Return the tables of steps and loader, each below its meaning; those without rows are left out."""
    parts = []
    if steps:
        parts.append(_STEPS + _table(_STEP_COLUMNS, [_step_cells(row) for row in steps]))
    if loader:
        parts.append(_LOADER + _table(_LOADER_COLUMNS, [_loader_cells(row) for row in loader]))
    return "\n".join(parts)


_STEPS = """
## An iteration

An iteration is one step of the generator and one of the discriminator with the content loss, preset `released-code`,
100 px, as in `dpedtool train` but without the loader. The times are means after a warm-up. `TFLOP` counts the
operations of convolutions and matrix products as torch runs them. `floor` is the time they would take at the rate of a
large matrix product in the same precision, measured in the same run. `compile` is torch.compile, without the minutes
that it takes at the start.

"""
_STEP_COLUMNS = (
    *("precision", "way", "batch", "s an iteration", "CPU-s", "TFLOP", "floor, s", "of the floor's speed"),
    *("20 000 iterations", "memory"),
)
_LOADER = """
## The loader

Threads of one process load pairs of 100 px, two batches of 50 per step, flipped and turned. `decoding` is the share of
the CPU time that OpenCV's decoder takes by itself; no loader can be faster than the decoder.

"""
_LOADER_COLUMNS = ("images", "threads", "pairs/s", "pairs a CPU-second", "decoding")


def _step_cells(row: StepFigures) -> list[str]:
    hours = ITERATIONS * row.wall_s / 3600
    return [
        *(row.precision, row.way, str(row.batch), f"{row.wall_s:.3g}", f"{row.cpu_s:.3g}", f"{row.flop / 1e12:.3g}"),
        *(f"{row.floor_s:.3g}", f"{row.floor_s / row.wall_s:.0%}"),
        f"{hours:.0f} h" if hours >= 10 else f"{60 * hours:.0f} min",
        f"{row.memory_bytes / 1e9:.1f} GB" if row.memory_bytes else "-",
    ]


def _loader_cells(row: LoaderFigures) -> list[str]:
    decoding = f"{row.decoding_share:.0%}" if row.decoding_share else "-"
    return [row.title, str(row.threads), f"{row.pairs_s:.0f}", f"{row.pairs_cpu_s:.0f}", decoding]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _steps(options: argparse.Namespace, device: torch.device) -> list[StepFigures]:
    params = stepping.released_code(batch=options.batch)
    task = Task(params, random_vgg(0), Noise(2 * params.batch), options.steps)
    ways = [way for way in options.ways if way != "compile" or _can_compile()]
    rows = []
    for way, computation in stepping.computations(device, options.precisions, ways):
        say(f"{computation.dtype}, {way}: {options.steps} iterations of {options.batch}")
        rows.append(stepping.measure(task, way, computation))
        torch.compiler.reset()
    return rows


def _can_compile() -> bool:
    found = shutil.which(os.environ.get("CXX", "g++"))
    if not found:
        say("torch.compile is left out: it needs a C++ compiler, and there is none.")
    return bool(found)


def _loader(options: argparse.Namespace) -> list[LoaderFigures]:
    say(f"loader: {options.batches} steps of two batches of 50 from {options.patches} patches")
    with tempfile.TemporaryDirectory() as folder:
        return feeding.measure(Path(folder), options.patches, options.batches, options.threads)


def _machine(device: torch.device) -> str:
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, {feeding.processors()} processors, "
        f"{torch.get_num_threads()} of them for torch{gpu}."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--parts", type=_words, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--precisions", type=_words, default=PRECISIONS, help=f"some of {','.join(PRECISIONS)}")
    parser.add_argument("--ways", type=_words, default=get_args(Way), help=f"some of {','.join(get_args(Way))}")
    parser.add_argument("--batch", type=int, default=50, help="patches per iteration")
    parser.add_argument("--steps", type=int, help="number of timed iterations; default: 2, or 50 on a GPU")
    parser.add_argument("--patches", type=int, default=2000, help="number of patches that the loader draws from")
    parser.add_argument("--batches", type=int, default=100, help="number of timed steps of the loader")
    parser.add_argument("--threads", type=int, default=feeding.processors(), help="threads of the loader")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one")
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
