"""What the steps measure: gathered for the history, and watched for what makes more steps useless."""

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
# A discriminator that is nearly always right has no doubt left that the generator could learn from; one that is right
# no more often than a coin has not learned what to teach. Either may be so for some steps of any healthy run.
COLLAPSE_STEPS = 200
SURE, GUESSING = 0.99, 0.5


@dataclass(frozen=True)
class _Taken:
    """A step, and what it measured, (K,), which stays on the device until it is looked at."""

    iteration: int
    names: list[str]
    figures: Tensor


class Watch:
    """The figures of the steps since the last validation.

    Reading a figure makes a GPU wait until all its work is done. So the figures of some steps are read at once, each
    with the names of its patches: of figures that are not finite the first one is found, exactly, a few steps late.
    Nothing is saved without having been looked at.

    Parameters
    ----------
    processes
        Those that share the steps; each figure is the mean over them.
    look_every
        Steps that are read at once. All processes must name the same number.

    """

    def __init__(self, processes: Processes, look_every: int) -> None:
        self._processes, self._look_every = processes, look_every
        self._columns: list[str] = []
        self._waiting: list[_Taken] = []
        self._read: list[list[float]] = []
        self._accuracies: deque[float] = deque(maxlen=COLLAPSE_STEPS)
        self._warned = False

    def note(self, iteration: int, names: list[str], figures: Mapping[str, Tensor]) -> None:
        """Take in what a step measured.

        Parameters
        ----------
        iteration
            Its number, the first being 1.
        names
            The patches of its batch, or of this process's part of it.
        figures
            Scalars on one device, the same names at every step.

        Raises
        ------
        DpedtoolError
            A figure of this step, or of one that was not yet looked at, is not finite.

        """
        self._columns = list(figures)
        stacked = torch.stack([value.detach().float() for value in figures.values()])
        self._waiting.append(_Taken(iteration, names, stacked))
        if len(self._waiting) >= self._look_every:
            self._look()

    def take_means(self) -> dict[str, float]:
        """Return the mean of each figure over the steps since this was last asked for; at least one was taken.

        Raises
        ------
        DpedtoolError
            One of them is not finite.

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
            f"Iteration {step.iteration} failed: {', '.join(odd)}, on the batch of the patches {', '.join(names)}; "
            "nothing was saved since the last validation: lower train.learning_rate or set train.clip_norm, or look "
            "at these patches."
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
    why = "nothing is left to learn from it" if share > SURE else "it has learned nothing to teach"
    return (
        f"The discriminator has collapsed: it judged {share:.1%} of the patches of the last {COLLAPSE_STEPS} steps "
        f"rightly, so that {why}; another train.texture_weight or train.learning_rate may help."
    )
