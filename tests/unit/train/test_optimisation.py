"""Step size, length of the gradient and running mean of the weights, compared with values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.train.optimisation import MeanWeights, descend, learning_rate


def test_the_step_size_by_hand() -> None:
    params = TrainParams(iterations=100, learning_rate=1.0)
    assert [learning_rate(step, params) for step in (0, 4, 5)] == [pytest.approx(0.2), pytest.approx(1), 1]
    # half way through the cosine, and at its end
    assert learning_rate(5 + 95 // 2, params) == pytest.approx(0.5 * (1 + math.cos(math.pi * 47 / 95)))
    assert 0 < learning_rate(99, params) < 0.001
    assert learning_rate(0, TrainParams(iterations=1, learning_rate=1.0)) == 1


def test_a_constant_step_size_has_no_warm_up() -> None:
    params = TrainParams(iterations=100, learning_rate=0.25, schedule="constant")
    assert {learning_rate(step, params) for step in (0, 1, 50, 99)} == {0.25}


def two_weights() -> tuple[nn.Parameter, nn.Parameter, torch.Tensor]:
    """Weights with the gradients 3 and 4, whose joint length is 5."""
    one, other = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
    return one, other, 3 * one + 4 * other


@pytest.mark.parametrize(("clip_norm", "kept"), [(0.0, 1.0), (10.0, 1.0), (2.5, 0.5)])
def test_a_gradient_is_cut_to_its_length_and_not_its_direction(clip_norm: float, kept: float) -> None:
    one, other, loss = two_weights()
    norm = descend(torch.optim.SGD([one, other], lr=1.0), loss, clip_norm)
    assert float(norm) == 5
    assert (one.item(), other.item()) == (pytest.approx(-3 * kept), pytest.approx(-4 * kept))


def test_each_step_has_a_gradient_of_its_own() -> None:
    one, other, loss = two_weights()
    optimizer = torch.optim.SGD([one, other], lr=1.0)
    descend(optimizer, loss)
    descend(optimizer, 3 * one)
    assert (one.item(), other.item()) == (-6, -4)


def weighing(value: float) -> nn.BatchNorm2d:
    network = nn.BatchNorm2d(1)
    nn.init.constant_(network.weight, value)
    nn.init.constant_(network.running_mean, 10 * value)
    return network


def test_the_mean_of_the_weights_by_hand() -> None:
    mean = MeanWeights(weighing(100), kept=0.5)
    found = []
    for step, value in enumerate((1.0, 4.0, 2.0), start=1):
        mean.update(weighing(value), step)
        found.append(mean.network.weight.item())
    # The initial weights, 100, do not count; then (1 + 2 * 4) / 3 and (1 + 2 * 4 + 4 * 2) / 7.
    assert found == [pytest.approx(1), pytest.approx(3), pytest.approx(17 / 7)]
    # Running statistics are themselves means.
    assert float(mean.network.running_mean) == 20
    assert not any(weight.requires_grad for weight in mean.network.parameters())


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=30), st.floats(0, 0.9999))
def test_the_mean_is_the_weighted_mean_of_all_weights(values: list[float], kept: float) -> None:
    mean = MeanWeights(weighing(0), kept)
    for step, value in enumerate(values, start=1):
        mean.update(weighing(value), step)
    shares = [kept ** (len(values) - step) for step in range(1, len(values) + 1)]
    expected = math.fsum(share * value for share, value in zip(shares, values, strict=True)) / math.fsum(shares)
    assert mean.network.weight.item() == pytest.approx(expected, abs=1e-5)
    assert min(values) - 1e-5 <= mean.network.weight.item() <= max(values) + 1e-5
