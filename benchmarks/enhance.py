"""Enhancing whole photos: time, memory, and the difference from plain eager PyTorch.

    python -m benchmarks.enhance            # make bench-enhance
    python -m benchmarks.enhance --quick    # a quick try with a small photo

The benchmark prints a Markdown table and writes it to enhance.md next to this file, and the figures to enhance.json.
The photos are simulated: a wall of prints. The network is DPED's dped_resnet_12_64. With `--other-python` the same
network also runs in onnxruntime, OpenVINO and TensorFlow, as far as that interpreter has them.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.enhancers import REFERENCE, WAYS, Bench, Size, WayFigures, side_by_side, usable
from benchmarks.feeding import processors
from benchmarks.machine import processor
from benchmarks.output import FOLDER, leave
from benchmarks.table import markdown, median
from dpedtool.pipeline.rig.collage import wall_of_prints
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.weights.checkpoint import load_model, save_model
from dpedtool.training.weights.onnx_export import as_onnx

SIZES = {"3.1": (2048, 1536), "12": (4032, 3024)}
"""By megapixels; the second size is that of most phones."""
QUICK_SIZE = (200, 150)
SEED = 20170


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := set(options.ways) - set(WAYS):
        parser.error(f"--ways: {', '.join(sorted(unknown))} is not one of {', '.join(WAYS)}")
    if options.quick:
        options.sizes, options.repeats = [QUICK_SIZE], 1
    ways = usable(options.ways, options.other_python)
    model = network(options.weights)
    with prepared(model, options.sizes, ways, scratch=options.scratch, other_python=options.other_python) as bench:
        rows = side_by_side(bench, options.sizes, ways, options.repeats)
    notes = [_machine(rows), _conditions(options, model.architecture)]
    leave(options.out, "enhance", as_markdown(rows, notes), [dataclasses.asdict(row) for row in rows])


def as_markdown(rows: Sequence[WayFigures], notes: Sequence[str]) -> str:
    """Return the table, and what its columns mean."""
    return "\n\n".join(["# Whole photos", *notes, _MEANING, markdown(_COLUMNS, [_cells(row) for row in rows])]) + "\n"


_MEANING = f"""\
Each row is a separate process that may use all processors. Seconds run from the decoded photo to the enhanced one, both
with 8 bits; starting the program, loading the network, and reading and writing files are left out. `speed` is relative
to {WAYS[REFERENCE].title} in the same repetition. `memory` is the peak of the whole process, with dpedtool's limit in
brackets. `scratch` is its temporary file for data that does not fit in memory. `largest` and `mean` are the differences
from the photo of {WAYS[REFERENCE].title}, in grey levels of 255, over all pixels and colours. A largest difference of 1
with a mean below 0.001 comes from single values that lay midway and were rounded the other way."""
_COLUMNS = ("photo", "way", "wall s", "CPU-s", "speed", "memory", "scratch", "largest", "mean")


def _cells(row: WayFigures) -> list[str]:
    names = [f"{row.size[0]}x{row.size[1]}", WAYS[row.way].title]
    allowed = f" ({_gigabytes(row.memory_bytes)})" if row.memory_bytes else ""
    memory = f"{_gigabytes(row.peak_bytes)}{allowed}"
    if row.failure:
        return [*names, row.failure, "-", "-", memory, "-", "-", "-"]
    seconds = [_seconds(median(values)) for values in (row.wall_s, row.cpu_s)]
    speed = f"{median(row.times_reference):.2f}" if row.times_reference else "-"
    scratch = _gigabytes(row.scratch_bytes) if row.scratch_bytes else "-"
    differences = ["-"] * 2 if row.mean is None else [str(row.largest), f"{row.mean:.2g}"]
    return [*names, *seconds, speed, memory, scratch, *differences]


def _seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


@contextmanager
def prepared(
    model: Generator,
    sizes: Sequence[Size],
    ways: Sequence[str] = (),
    *,
    scratch: Path | None = None,
    other_python: str = sys.executable,
) -> Iterator[Bench]:
    """Write photos of some sizes, the weights and, if one of the ways reads it, the graph; remove all at the end.

    They lie in a folder of their own below `scratch`, or in that of the system.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        work = Path(folder)
        bench = Bench(work / "network.safetensors", work / "network.onnx", work, other_python)
        save_model(bench.weights, model, {})
        if any(WAYS[way].reads_onnx for way in ways):
            bench.onnx.write_bytes(as_onnx(model, {}, clip=True).SerializeToString())
        for size in sizes:
            np.save(bench.photo(size), wall_of_prints(np.random.default_rng(SEED), *size))
        yield bench


def network(weights: Path | None) -> Generator:
    """Return the network in a file, or DPED's with random weights that pass the picture through."""
    if weights is None:
        model = Architecture().build()
        initialise(model, torch.Generator().manual_seed(SEED), "pass-through")
        return model.eval()
    model = load_model(weights)
    if (model.architecture.network, model.architecture.norm) != ("resnet", "instance"):
        sys.exit(f"{weights} holds {model.architecture.name}: choose weights of dped_resnet with instance norm.")
    return model


def _machine(rows: Sequence[WayFigures]) -> str:
    others = {WAYS[row.way].module: row.version for row in rows if WAYS[row.way].module and row.version}
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    versions += [f"{module} {version}" for module, version in others.items()]
    return f"{', '.join(versions)}; {processors()} processors{_processor()}."


def _processor() -> str:
    name, instructions = processor()
    return f" ({', '.join([name or 'of unknown make', *instructions])})"


def _conditions(options: argparse.Namespace, architecture: Architecture) -> str:
    weights = f"weights {options.weights.stem}" if options.weights else "random weights that pass the picture through"
    repeats = (
        f"medians of {options.repeats} interleaved repetitions, but for memory the maximum"
        if options.repeats > 1
        else "each measured once"
    )
    return f"{architecture.name}, {weights}; simulated photos; {repeats}."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enhance", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--ways", type=_words, default=list(WAYS), help=f"some of {','.join(WAYS)}")
    parser.add_argument("--sizes", type=_sizes, default=list(SIZES.values()), help="3.1, 12 megapixels, or as 800x600")
    parser.add_argument("--repeats", type=int, default=2, help="how often everything is measured, interleaved")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a trained network; default: random weights")
    parser.add_argument(
        "--other-python", default=sys.executable, metavar="PATH", help="the interpreter that has the other tools"
    )
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="folder for scratch files, on a disk")
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


def _words(text: str) -> list[str]:
    return text.split(",")


def _sizes(text: str) -> list[Size]:
    return [SIZES.get(word) or _size(word) for word in text.split(",")]


def _size(word: str) -> Size:
    width, height = word.split("x")
    return int(width), int(height)


if __name__ == "__main__":
    main()
