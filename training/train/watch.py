"""The figures of the steps: they are collected for the history, and watched for signs that training has failed."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.train.distributed import Processes

ACCURACY = "discriminator_accuracy"
# The generator can learn nothing from a discriminator that is nearly always right, nor from one that is right no more
# often than a coin. Either may happen for some steps of a healthy run.
COLLAPSE_STEPS = 200
SURE, GUESSING = 0.99, 0.5


@dataclass(frozen=True)
class _Taken:
    """A step and its figures, (K,), which stay on the device until they are read."""

    iteration: int
    names: list[str]
    figures: Tensor


class Watch:
    """The figures of the steps since the last validation.

    Reading a figure makes a GPU wait until all its work is done. So the figures of several steps are read together, and
    the names of their patches are kept: the first NaN or infinite figure is found with its exact step, a few steps
    late. All figures are checked before anything is saved.

    Parameters
    ----------
    processes
        The processes that share the steps; each figure is the mean over them.
    look_every
        Number of steps whose figures are read together; it must be the same in all processes.

    """

    def __init__(self, processes: Processes, look_every: int) -> None:
        self._processes, self._look_every = processes, look_every
        self._columns: list[str] = []
        self._waiting: list[_Taken] = []
        self._read: list[list[float]] = []
        self._accuracies: deque[float] = deque(maxlen=COLLAPSE_STEPS)
        self._warned = False

    def note(self, iteration: int, names: list[str], figures: Mapping[str, Tensor]) -> None:
        """Add the figures of a step.

        Parameters
        ----------
        iteration
            The number of the step, counted from 1.
        names
            The patches of its batch, or of this process's part of it.
        figures
            Scalars on one device, the same names at every step.

        Raises
        ------
        DpedtoolError
            A figure of this step, or of an earlier step that was not checked yet, is not finite.

        """
        self._columns = list(figures)
        stacked = torch.stack([value.detach().float() for value in figures.values()])
        self._waiting.append(_Taken(iteration, names, stacked))
        if len(self._waiting) >= self._look_every:
            self._look()

    def take_means(self) -> dict[str, float]:
        """Return the mean of each figure over the steps since the last call; there must be at least one step.

        Raises
        ------
        DpedtoolError
            A figure is not finite.

        """
        self._look()
        read, self._read = self._read, []
        return {name: math.fsum(values) / len(read) for name, *values in zip(self._columns, *read, strict=True)}

    def _look(self) -> None:
        taken, self._waiting = self._waiting, []
        if not taken:
            return
        rows = self._processes.mean(torch.stack([step.figures for step in taken])).tolist()
        for step, row in zip(taken, rows, strict=True):
            if not all(map(math.isfinite, row)):
                self._stop(step, row)
            self._warn_of_collapse(dict(zip(self._columns, row, strict=True)))
        self._read += rows

    def _stop(self, step: _Taken, row: list[float]) -> None:
        odd = [f"{name} is {value}" for name, value in zip(self._columns, row, strict=True) if not math.isfinite(value)]
        names = self._processes.joined_lists(step.names)
        raise DpedtoolError(
            f"Iteration {step.iteration} failed: {', '.join(odd)} on the patches {', '.join(names)}; nothing was saved "
            "after the last validation: lower train.learning_rate, set train.clip_norm, or check these patches."
        )

    def _warn_of_collapse(self, figures: Mapping[str, float]) -> None:
        if ACCURACY not in figures or self._warned:
            return
        self._accuracies.append(figures[ACCURACY])
        share = math.fsum(self._accuracies) / len(self._accuracies)
        if len(self._accuracies) == COLLAPSE_STEPS and not GUESSING < share <= SURE:
            self._warned = True
            if self._processes.is_first:
                print(_collapse(share), file=sys.stderr, flush=True)


def _collapse(share: float) -> str:
    why = "the generator can learn nothing from it" if share > SURE else "it has learned nothing"
    return (
        f"The discriminator has collapsed: it judged {share:.1%} of the patches of the last {COLLAPSE_STEPS} steps "
        f"correctly, so {why}. Try another weight of texture in train.losses, or another train.learning_rate."
    )
