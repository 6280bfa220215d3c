"""The mean over the eight turns of a photo: hand-computed, equal for turned photos, and planned for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dpedtool.dataset.errors import Rejection
from dpedtool.training.enhance.whole_photo import Settings, enhance_image, enhance_photo, plan
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.initialisation import initialise

ONCE = Settings(torch.device("cpu"), "float32")
TURNED = replace(ONCE, self_ensemble=True)


@pytest.fixture(scope="module")
def model() -> Generator:
    network = Architecture(channels=4, blocks=1).build()
    initialise(network, torch.Generator().manual_seed(1), "pass-through")
    with torch.no_grad():
        # A kernel that treats the directions differently.
        network.tail.weight += 0.03 * torch.randn(network.tail.weight.shape, generator=torch.Generator().manual_seed(2))
    return network.eval()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (37, 52, 3), np.uint8)


def as_image(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(photo[..., ::-1].transpose(2, 0, 1))).float() / 255


def test_the_result_is_the_mean_of_all_turns_turned_back(model: Generator, photo: np.ndarray) -> None:
    image, results = as_image(photo), []
    for mirrored in (False, True):
        for turns in range(4):
            seen = image.flip(2) if mirrored else image
            made = enhance_image(model, seen.rot90(turns, (1, 2)).contiguous(), ONCE).clamp(0, 1).rot90(-turns, (1, 2))
            results.append(made.flip(2) if mirrored else made)
    assert len({result.numpy().tobytes() for result in results}) == 8
    mean = torch.stack(results).mean(0).numpy().transpose(1, 2, 0)[..., ::-1] * 255
    found = enhance_photo(model, photo, TURNED)
    assert found.dtype == np.uint8
    assert np.abs(found - mean).max() <= 0.5 + 1e-3
    assert np.abs(found.astype(int) - enhance_photo(model, photo, ONCE)).max() > 3


def test_a_turned_photo_gives_the_turned_result(model: Generator, photo: np.ndarray) -> None:
    found = enhance_photo(model, photo, TURNED).astype(int)
    for turned in (np.rot90, np.flipud, np.fliplr):
        again = enhance_photo(model, np.ascontiguousarray(turned(photo)), TURNED)
        # The sums are added in another order.
        assert np.abs(turned(found) - again).max() <= 1
        assert np.mean(turned(found) != again) < 0.01


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_a_photo_of_one_row_or_column_is_turned_too(model: Generator, shape: tuple[int, int, int]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert enhance_photo(model, photo, TURNED).shape == shape


def test_the_progress_reaches_the_end_without_going_back(model: Generator, photo: np.ndarray) -> None:
    told: list[float] = []
    enhance_photo(model, photo, TURNED, tell=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    assert told[0] < 0.125


def test_the_memory_for_the_sum_is_planned(model: Generator) -> None:
    size = (4000, 3000)
    more = plan(model.architecture, size, TURNED).memory - plan(model.architecture, size, ONCE).memory
    assert more == 15 * 12_000_000


def test_a_photo_that_needs_more_on_its_side_is_refused_before_it_is_decoded(model: Generator) -> None:
    """A stripe has whole rows, which are long where the photo lies on its side."""
    upright, on_side = ((20, 200_000), (200_000, 20))
    enough_once = plan(model.architecture, upright, ONCE).memory
    assert plan(model.architecture, on_side, ONCE).memory > enough_once + 15 * 4_000_000
    limited = replace(TURNED, max_memory=enough_once + 15 * 4_000_000)
    with pytest.raises(Rejection, match=r"200000x20 px need at least"):
        plan(model.architecture, upright, limited)
