"""The network for phones: its sizes and costs, counted by hand, and what it makes of a photo before it has learned."""

from __future__ import annotations

import pytest
import torch

from dpedtool.training.evaluate.network_cost import network_size
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.networks.layer_kinds import leaves
from dpedtool.training.networks.mobile import Mobile

pytestmark = pytest.mark.usefixtures("one_thread")


def first(channels: int = 8) -> Generator:
    network = Architecture("mobile", channels=channels).build()
    initialise(network, torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize(
    ("channels", "widths"), [(1, (1, 8, 8)), (16, (16, 32, 48)), (24, (24, 40, 64)), (25, (25, 48, 72))]
)
def test_coarser_levels_have_more_channels(channels: int, widths: tuple[int, int, int]) -> None:
    network = Mobile(channels)
    assert network.widths == widths
    assert {layer.channels_out for layer in leaves(network.layers())} == {12, 3, *widths}


def test_the_cost_of_a_px_by_hand() -> None:
    half = 9 * 12 * 24 + 4 * 9 * 24 * 24 + 9 * 24 * 12
    quarter = 4 * 24 * 40 + 2 * 9 * 40 * 40 + 9 * 40 * 24
    eighth = 4 * 40 * 64 + 2 * 9 * 64 * 64 + 9 * 64 * 40
    biases = 5 * 24 + 12 + 3 * 40 + 24 + 3 * 64 + 40
    size = network_size(Architecture("mobile", channels=24).build())
    assert size.multiply_adds_per_px == half / 4 + quarter / 16 + eighth / 64 == 10_732
    assert size.parameters == half + quarter + eighth + biases == 174_716


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_before_it_has_learned_the_photo_comes_out_to_the_last_bit(dtype: torch.dtype) -> None:
    phone = torch.rand(2, 3, 13, 22, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        assert first()(phone).equal(phone)


def test_every_weight_can_be_learned_after_the_last_layer_has_moved() -> None:
    network, phone = first(), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (network(phone) - 1).square().mean().backward()
        optimiser.step()
    assert all(weights.grad is not None and weights.grad.abs().max() > 0 for weights in network.parameters())
