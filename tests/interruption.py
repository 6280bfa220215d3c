"""Trainings that are interrupted at a step."""

from __future__ import annotations

import pytest

from dpedtool.training.train.loader import Step
from dpedtool.training.train.loop import TrainingRun


def interrupt_at(patched: pytest.MonkeyPatch, steps: int) -> None:
    """Raise in the step after this many."""
    real, taken = TrainingRun.step, []

    def interrupted(run: TrainingRun, step: Step) -> None:
        if len(taken) == steps:
            raise KeyboardInterrupt
        taken.append(1)
        real(run, step)

    patched.setattr(TrainingRun, "step", interrupted)
