"""What an export in int8 loses, and how fast an exported file runs."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.metrics import MOST_PSNR_DB, psnr_each
from dpedtool.training.weights.calibration import Examples

Array = npt.NDArray[Any]
Run = Callable[[Array], Array]
"""Enhances images (N, 3, H, W), float32, RGB, 0..1, with an exported file."""

MOST_LOSS_DB = 0.2
"""The loss against the targets up to which an export in int8 counts as good."""
_TIMED = (1, 3, 192, 256)
_TIMES = 2
_CPU = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class TargetScores:
    """PSNR against what the DSLR shows: the mean over the images, clipped to 0..1, in dB."""

    float_db: float
    int8_db: float

    @property
    def loss_db(self) -> float:
        """What int8 loses, in dB; negative if it gains."""
        return self.float_db - self.int8_db


@dataclass(frozen=True)
class Quantised:
    """What is known about an export in int8."""

    calibrated: int
    """Number of the images that it was calibrated on."""
    measured: int
    """Number of the other images that it was measured on."""
    convolutions: tuple[int, int]
    """How many convolutions compute in int8, and how many there are."""
    psnr_db: float
    """PSNR between its outputs and those of the float file: the mean over the images, in dB."""
    targets: TargetScores | None
    """None: the images have no targets."""

    def clauses(self) -> tuple[str, str]:
        """Return in words what it was calibrated on, and what it loses."""
        done, count = self.convolutions
        how = f"{done} of {count} convolutions in int8, calibrated on {_images(self.calibrated)}"
        what = f"on {_images(self.measured)} that it was not calibrated on, the PSNR to the float file is "
        what += f"{self.psnr_db:.1f} dB"
        if self.targets is None:
            return how, what
        loss = self.targets.loss_db
        what += (
            f", and the PSNR to the targets is {self.targets.int8_db:.2f} dB in place of {self.targets.float_db:.2f} "
            f"dB, {abs(loss):.2f} dB {'less' if loss >= 0 else 'more'}"
        )
        if loss > MOST_LOSS_DB:
            what += f", which is a loss of more than {MOST_LOSS_DB} dB: calibrate on more images of the same phone"
        return how, what


@dataclass(frozen=True)
class Speed:
    """How fast a file ran when it was exported."""

    seconds: float
    """For a megapixel."""
    threads: int
    processor: str


def measure(examples: Examples, of_float: Run, of_int8: Run, convolutions: tuple[int, int]) -> Quantised:
    """Measure what an export in int8 loses.

    Parameters
    ----------
    examples
        The images; those that are measured may have targets.
    of_float, of_int8
        The two files.
    convolutions
        As in `Quantised`.

    Raises
    ------
    DpedtoolError
        The file in int8 returned NaN or infinite values.

    """
    rows = []
    for example in examples.measured:
        phone = as_input(example.phone)
        exact, coarse = (torch.from_numpy(run(phone)).clamp(0, 1) for run in (of_float, of_int8))
        if not bool(coarse.isfinite().all()):
            raise DpedtoolError("The network returns NaN or infinite values in int8: export it without --int8.")
        row = [_psnr(coarse, exact)]
        if example.target is not None:
            target = torch.from_numpy(as_input(example.target))
            row += [_psnr(exact, target), _psnr(coarse, target)]
        rows.append(row)
    means = np.mean(rows, axis=0).tolist()
    return Quantised(
        len(examples.calibration),
        len(rows),
        convolutions,
        means[0],
        TargetScores(*means[1:]) if len(means) > 1 else None,
    )


def as_input(image: Tensor) -> Array:
    """Return an image (3, H, W), uint8, as a batch of one, (1, 3, H, W), float32, 0..1."""
    return np.asarray((image[None].float() / 255).numpy())


def time_run(run: Run, shape: tuple[int, ...] = _TIMED) -> Speed:
    """Measure how fast a file runs on noise (N, 3, H, W): the best of a few times, after a first one."""
    noise = np.random.default_rng(0).random(shape, np.float32)
    run(noise)
    seconds = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        run(noise)
        seconds.append(time.perf_counter() - start)
    return Speed(min(seconds) / (shape[0] * shape[2] * shape[3] / 1e6), torch.get_num_threads(), _processor())


def _psnr(outputs: Tensor, targets: Tensor) -> float:
    # Equal images count with the most that is measured, so that every image counts.
    return min(float(psnr_each(outputs, targets)), MOST_PSNR_DB)


def _images(count: int) -> str:
    return f"{count} image{'s' * (count > 1)}"


def _processor() -> str:
    try:
        lines = _CPU.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        # Only Linux has this file.
        lines = []
    names = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == "model name"]
    return names[0] if names else platform.processor() or platform.machine() or "an unknown processor"
