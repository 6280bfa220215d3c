"""What a GPU does: the loader, a training step and whole photos, each in float32 and bfloat16, and their memory.

    python -m benchmarks.gpu            # make bench-gpu
    python -m benchmarks.gpu --quick    # a quick try with small batches and a small photo

The benchmark prints Markdown tables and writes them to gpu.md next to this file, and the figures with a description of
the machine to gpu.json. gpu.json names no host, no user and no folder, so that you can send it in. Without a GPU, all
is measured on the processor, and both files say so.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import feeding, stepping, train
from benchmarks.enhance import QUICK_SIZE, SIZES, network, prepared
from benchmarks.enhancers import Bench, Size, failure, run
from benchmarks.feeding import LoaderFigures
from benchmarks.machine import machine
from benchmarks.output import FOLDER, leave, say
from benchmarks.stepping import Noise, Ordered, StepFigures, Task, released_code
from benchmarks.table import markdown
from dpedtool.training.inference import choose_device
from dpedtool.training.precision import has_bfloat16
from dpedtool.training.train.vgg import random_vgg

FORM = 1
"""Version of the fields of gpu.json."""
NO_GPU = "torch finds no GPU on this machine, so these are the figures of its processor. They say nothing about a GPU."
NO_BFLOAT16 = "bfloat16 is left out: this device has no instructions for it."
STEPS = {"cuda": 50, "cpu": 2}
"""Number of timed training steps on each kind of device."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    batch: int = 50
    steps: int | None = None
    """Number of timed training steps; None: `STEPS`."""
    patches: int = 2000
    """Number of patches that the loader draws from."""
    loads: int = 100
    """Number of timed steps of the loader."""
    photos: tuple[Size, ...] = tuple(SIZES.values())
    """(width, height) of the photos, px."""


QUICK = Sizes(batch=2, steps=1, patches=20, loads=1, photos=(QUICK_SIZE,))


@dataclass(frozen=True)
class PhotoFigures:
    """A whole photo, enhanced in one precision."""

    size: Size
    precision: str
    wall_s: float
    """From the decoded photo to the enhanced one; on a GPU, the second time in a process."""
    cpu_s: float
    memory_bytes: int
    """Peak memory of the process."""
    gpu_bytes: int | None
    """Peak memory of tensors on the GPU; None on a processor."""
    failure: str = ""
    """Why the photo could not be enhanced, as a clause; then the other figures are 0."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    sizes, device = QUICK if options.quick else Sizes(), choose_device("auto")
    notes = [] if device.type == "cuda" else [NO_GPU]
    precisions = ["float32", "bfloat16"] if has_bfloat16(device) else ["float32"]
    if len(precisions) == 1:
        notes.append(NO_BFLOAT16)
    for note in notes:
        say(note)
    steps = _steps(sizes, device, precisions)
    loader = _loader(sizes)
    photos = _photos(sizes, device, precisions)
    record = {
        "form": FORM,
        "notes": notes,
        "quick": options.quick,
        "machine": machine(device),
        "steps": [dataclasses.asdict(row) for row in steps],
        "loader": [dataclasses.asdict(row) for row in loader],
        "photos": [dataclasses.asdict(row) for row in photos],
    }
    leave(options.out, "gpu", as_markdown(record["machine"], notes, steps, loader, photos), record)


def as_markdown(
    about: dict[str, Any],
    notes: Sequence[str],
    steps: Sequence[StepFigures],
    loader: Sequence[LoaderFigures],
    photos: Sequence[PhotoFigures],
) -> str:
    """Return the tables, and what their columns mean."""
    told = [[name, _said(value)] for name, value in about.items() if value is not None]
    parts = ["# Training and whole photos on one machine", *notes, markdown(("machine", ""), told)]
    parts += [train.tables(steps, loader).strip(), _PHOTOS, markdown(_PHOTO_COLUMNS, [_cells(row) for row in photos])]
    return "\n\n".join(parts) + "\n"


_PHOTOS = """\
## Whole photos

DPED's network, dped_resnet_12_64, as `dpedtool enhance` runs it, in a process of its own for each row. Seconds run from
the decoded photo to the enhanced one. On a GPU a photo is enhanced twice, and the second time counts. `GPU` is the peak
memory of tensors on the GPU."""
_PHOTO_COLUMNS = ("photo", "precision", "wall s", "CPU-s", "memory", "GPU")


def _cells(row: PhotoFigures) -> list[str]:
    what = [f"{row.size[0]}x{row.size[1]}", row.precision]
    if row.failure:
        return [*what, row.failure, "-", "-", "-"]
    gpu = "-" if row.gpu_bytes is None else f"{row.gpu_bytes / 1e9:.2f} GB"
    return [*what, f"{row.wall_s:.3g}", f"{row.cpu_s:.3g}", f"{row.memory_bytes / 1e9:.2f} GB", gpu]


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _steps(sizes: Sizes, device: torch.device, precisions: Sequence[str]) -> list[StepFigures]:
    """Time the steps in the memory layout in which `dpedtool train` takes them."""
    params, count = released_code(batch=sizes.batch), sizes.steps or STEPS[device.type]
    task = Task(params, random_vgg(0), Noise(2 * sizes.batch), count)
    rows = []
    for precision in precisions:
        say(f"{precision}: {count} training steps of {sizes.batch} patches")
        last = device.type == "cuda" and precision == "bfloat16"
        computation = Ordered(device, getattr(torch, precision), channels_last=last)
        rows.append(stepping.measure(task, "channels_last" if last else "plain", computation))
    return rows


def _loader(sizes: Sizes) -> list[LoaderFigures]:
    say(f"loader: {sizes.loads} steps of two batches of 50 from {sizes.patches} patches")
    with tempfile.TemporaryDirectory() as folder:
        return feeding.measure(Path(folder), sizes.patches, sizes.loads, feeding.processors())


def _photos(sizes: Sizes, device: torch.device, precisions: Sequence[str]) -> list[PhotoFigures]:
    with prepared(network(None), sizes.photos) as bench:
        return [_photo(bench, size, precision, device) for size in sizes.photos for precision in precisions]


def _photo(bench: Bench, size: Size, precision: str, device: torch.device) -> PhotoFigures:
    say(f"a photo of {size[0]}x{size[1]} px, {precision}")
    report = bench.scratch / "report.json"
    usage = run(bench, size, f"dpedtool-{precision}", report, "--device", device.type)
    if usage.code:
        return PhotoFigures(size, precision, 0, 0, 0, None, failure(usage))
    told = json.loads(report.read_text(encoding="utf-8"))
    return PhotoFigures(size, precision, told["wall_s"], told["cpu_s"], usage.peak_bytes, told["gpu_bytes"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
