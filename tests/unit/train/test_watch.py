"""The figures of the steps: their means, the first NaN or infinite figure, and a collapsed discriminator."""

from __future__ import annotations

import math
import re

import pytest
import torch

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.train.distributed import Processes
from dpedtool.training.train.watch import COLLAPSE_STEPS, Watch


def figures(loss: float, norm: float = 1.0) -> dict[str, torch.Tensor]:
    return {"train_loss": torch.tensor(loss), "gradient_norm": torch.tensor(norm)}


@pytest.mark.parametrize("look_every", [1, 2, 50])
def test_the_means_are_those_since_they_were_last_taken(look_every: int) -> None:
    watch = Watch(Processes(), look_every)
    for iteration, loss in enumerate((1.0, 2.0, 6.0), start=1):
        watch.note(iteration, ["a"], figures(loss, norm=2 * loss))
    assert watch.take_means() == {"train_loss": 3, "gradient_norm": 6}
    watch.note(4, ["a"], figures(5.0))
    assert watch.take_means() == {"train_loss": 5, "gradient_norm": 1}


@pytest.mark.parametrize("look_every", [1, 2, 50])
@pytest.mark.parametrize(
    ("bad", "said"), [(figures(math.nan), "train_loss is nan"), (figures(1.0, math.inf), "gradient_norm is inf")]
)
def test_the_first_step_that_fails_is_named_whenever_it_is_looked_at(
    look_every: int, bad: dict[str, torch.Tensor], said: str
) -> None:
    def four_steps() -> None:
        watch = Watch(Processes(), look_every)
        for iteration in range(1, 5):
            watch.note(iteration, [f"p{iteration}", f"q{iteration}"], bad if iteration >= 3 else figures(1.0))
        watch.take_means()

    with pytest.raises(DpedtoolError) as error:
        four_steps()
    assert str(error.value).startswith(f"Iteration 3 failed: {said} on the patches p3, q3; ")


def warnings_of(accuracies: list[float], capsys: pytest.CaptureFixture[str], rank: int = 0) -> list[str]:
    watch = Watch(Processes(rank), look_every=7)
    for iteration, accuracy in enumerate(accuracies, start=1):
        watch.note(iteration, ["a"], {"discriminator_accuracy": torch.tensor(accuracy)})
    watch.take_means()
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [(1.0, "judged 100.0% .* can learn nothing from it"), (0.5, "judged 50.0% .* it has learned nothing")],
)
def test_a_collapsed_discriminator_is_said_once(accuracy: float, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (warning,) = warnings_of([accuracy] * 3 * COLLAPSE_STEPS, capsys)
    assert warning.startswith("The discriminator has collapsed")
    assert re.search(said, warning)


def test_a_discriminator_that_is_sure_at_times_has_not_collapsed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not warnings_of([1.0] * (COLLAPSE_STEPS - 1), capsys)
    assert not warnings_of([0.7] * 3 * COLLAPSE_STEPS, capsys)
    assert not warnings_of(([1.0] * 19 + [0.6]) * 50, capsys)
    assert not warnings_of([0.3] * 50 + [0.9] * 3 * COLLAPSE_STEPS, capsys)


def test_one_of_several_processes_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert not warnings_of([1.0] * 2 * COLLAPSE_STEPS, capsys, rank=1)
