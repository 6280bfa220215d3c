"""The cost of one training step: the same step that `dpedtool train` takes, timed and compared with its lower bound."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import Pairs
from dpedtool.training.precision import Computation
from dpedtool.training.train.loader import Loader, Step
from dpedtool.training.train.loop import TrainingRun
from dpedtool.training.train.vgg import Vgg19

PATCH_PX = 100
PRODUCTS = {"cuda": (8192, 10), "cpu": (2048, 3)}
"""Side of the matrices whose product is timed, and number of repetitions."""
_COUNTED = 2
"""Number of patches in the step whose operations are counted; the operations grow with the patches."""

Way = Literal["plain", "channels_last", "compile"]


@dataclass(frozen=True)
class StepFigures:
    """The average cost of a step of one kind."""

    precision: str
    way: Way
    batch: int
    wall_s: float
    cpu_s: float
    flop: float
    floor_s: float
    """Time that the operations alone would take at the device's measured rate of matrix products."""
    memory_bytes: int | None
    """Peak memory of tensors on a GPU; None on a processor."""


@dataclass(frozen=True)
class Ordered(Computation):
    """A computation whose memory layout is chosen here."""

    channels_last: bool = False

    @property
    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


class Noise(Pairs):
    """Pairs of random patches."""

    def __init__(self, count: int, side: int = PATCH_PX) -> None:
        rng = np.random.default_rng(0)
        self._images = rng.integers(0, 256, (count, 2, side, side, 3)).astype(np.uint8)

    def __len__(self) -> int:
        return len(self._images)

    def names(self) -> list[str]:
        return [str(index) for index in range(len(self))]

    def photos(self) -> list[str]:
        return self.names()

    def images(self, index: int) -> tuple[Image, Image]:
        phone, dslr = self._images[index]
        return phone, dslr

    def digest(self) -> str:
        return ""


def released_code(**changes: Any) -> TrainParams:
    """Return the parameters of the preset `released-code`, with changes."""
    return TrainParams(**TrainParams.completed({"preset": "released-code", **changes}))


def computations(device: torch.device, precisions: Sequence[str], ways: Sequence[Way]) -> Iterator[tuple[Way, Ordered]]:
    """Yield every way of computing in every precision; compiled networks use the training's memory layout."""
    for precision in precisions:
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
        for way in ways:
            last = way == "channels_last" or (way == "compile" and device.type == "cuda" and precision == "bfloat16")
            yield way, Ordered(device, dtype, way == "compile", last)


@dataclass(frozen=True)
class Task:
    """The settings and the data of a training, and the number of steps that are timed."""

    params: TrainParams
    vgg: Vgg19 | None
    pairs: Pairs
    steps: int

    @functools.cached_property
    def flop(self) -> float:
        """Operations of convolutions and matrix products in a step, forward and backward: two per multiplication."""
        few = dataclasses.replace(self.params, batch=_COUNTED)
        run = self.begin(Ordered(torch.device("cpu"), torch.float32))
        counter = FlopCounterMode(display=False)
        with counter:
            for step in self.given(few, run, 1):
                run.step(step)
        return float(counter.get_total_flops()) * self.params.batch / _COUNTED

    def begin(self, computation: Computation) -> TrainingRun:
        """Return a training that has not begun."""
        return TrainingRun(self.params, computation, min(self.pairs.images(0)[0].shape[:2]), vgg=self.vgg)

    def given(self, params: TrainParams, run: TrainingRun, count: int) -> list[Step]:
        """Return the input of the next steps."""
        loader = Loader(self.pairs, params, second_batch=run.needs_second_batch)
        return list(loader.steps(run.iteration, run.iteration + count))


def measure(task: Task, way: Way, computation: Ordered) -> StepFigures:
    """Time the steps after a warm-up of small steps, or of full-size ones where the size matters."""
    device, run = computation.device, task.begin(computation)
    # Compiled networks and a GPU's convolutions are chosen for a size; a processor's convolutions are not.
    whole = computation.compiled or device.type == "cuda"
    warm_up = task.params if whole else dataclasses.replace(task.params, batch=_COUNTED)
    with computation.repeatable():
        for step in task.given(warm_up, run, 3 if device.type == "cuda" else 1):
            run.step(step)
        given = task.given(task.params, run, task.steps)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        _settle(device)
        wall, cpu = time.perf_counter(), time.process_time()
        for step in given:
            run.step(step)
        _settle(device)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return StepFigures(
        precision=str(computation.dtype).removeprefix("torch."),
        way=way,
        batch=task.params.batch,
        wall_s=wall / task.steps,
        cpu_s=cpu / task.steps,
        flop=task.flop,
        floor_s=task.flop / matmul_rate(device, computation.dtype),
        memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    )


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the best rate of a large matrix product, in operations per second."""
    side, repeats = PRODUCTS["cuda" if device.type == "cuda" else "cpu"]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = math.inf
    for _ in range(repeats):
        _settle(device)
        start = time.perf_counter()
        left @ right
        _settle(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def _settle(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
