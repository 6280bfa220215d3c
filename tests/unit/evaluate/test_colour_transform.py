"""The colour transform as a baseline: known transforms are recovered, and nothing else is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dpedtool.training.evaluate.colour_transform
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.data import Pairs, PatchPairs
from dpedtool.training.evaluate.colour_transform import ColourTransform, fit, fit_each_photo

KNOWN = torch.tensor(
    [
        [0.1, 0.5, 0.1, 0.0, 0.1, 0.0, 0.05, 0.02, 0.0, 0.03],
        [0.2, 0.0, 0.6, 0.1, 0.0, -0.1, 0.0, 0.0, 0.04, 0.0],
        [0.0, 0.1, 0.0, 0.7, 0.0, 0.0, 0.1, 0.0, 0.0, -0.05],
    ],
    dtype=torch.float64,
)


class Memory(Pairs):
    """Pairs of images in memory; each pair belongs to a photo."""

    def __init__(self, images: list[tuple[np.ndarray, np.ndarray]], photos: str) -> None:
        self._images, self._photos, self.asked = images, list(photos), []

    def __len__(self) -> int:
        return len(self._images)

    def names(self) -> list[str]:
        return [str(index) for index in range(len(self))]

    def photos(self) -> list[str]:
        return self._photos

    def images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(index)
        return self._images[index]

    def digest(self) -> str:
        return ""


def by_hand(coefficients: torch.Tensor, image: np.ndarray) -> np.ndarray:
    """Return a transformed image (H, W, 3), BGR, 0..255, not rounded."""
    b, g, r = np.moveaxis(image.astype(np.float64) / 255, -1, 0)
    terms = np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b], axis=-1)
    return np.clip(255 * terms @ coefficients.numpy().T, 0, 255)[..., ::-1]


def pair(texture, seed: int, coefficients: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    phone = texture(40, 52, seed=seed)
    return phone, np.rint(by_hand(coefficients, phone)).astype(np.uint8)


def test_a_transform_computes_its_polynomial_and_cuts_it(texture) -> None:
    phone = texture(20, 30)
    rgb = torch.from_numpy(phone[..., ::-1].transpose(2, 0, 1).copy()) / 255
    made = ColourTransform(2 * KNOWN).apply(torch.stack([rgb, rgb.flip(2)]))
    assert made.dtype == torch.float32
    expected = by_hand(2 * KNOWN, phone)[..., ::-1].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(made[0], expected, atol=1e-6)
    assert torch.equal(made[1], made[0].flip(2))
    assert made.max() == 1


def test_a_known_transform_is_found_again(texture) -> None:
    pairs = Memory([pair(texture, seed, KNOWN) for seed in range(3)], "abc")
    found = fit(pairs).coefficients
    torch.testing.assert_close(found, KNOWN, atol=5e-3, rtol=0)


def test_the_fit_is_least_squares(texture) -> None:
    """Compare with numpy's solution of the whole system, on images that no transform relates."""
    images = [(texture(30, 30, seed=seed), texture(30, 30, seed=seed + 9)) for seed in range(2)]
    columns = [np.concatenate([image[side].reshape(-1, 3)[:, ::-1] / 255 for image in images]) for side in (0, 1)]
    r, g, b = columns[0].T
    system = np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b], axis=1)
    expected = np.linalg.lstsq(system, columns[1], rcond=None)[0].T
    np.testing.assert_allclose(fit(Memory(images, "ab")).coefficients, expected, atol=1e-8)


def test_neither_fit_nor_result_depends_on_the_blocks(texture, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = Memory([pair(texture, seed, KNOWN) for seed in range(2)], "ab")
    image = torch.from_numpy(texture(40, 52, seed=7).transpose(2, 0, 1).copy()) / 255
    whole = fit(pairs)
    monkeypatch.setattr(dpedtool.training.evaluate.colour_transform, "_BLOCK_PX", 77)
    torch.testing.assert_close(fit(pairs).apply(image), whole.apply(image), atol=1e-6, rtol=0)


def test_each_photo_gets_its_own(texture) -> None:
    halved = KNOWN / 2
    images = [pair(texture, seed, halved if seed % 2 else KNOWN) for seed in range(4)]
    own = fit_each_photo(Memory(images, "abab"))
    assert sorted(own) == ["a", "b"]
    torch.testing.assert_close(own["a"].coefficients, KNOWN, atol=1e-2, rtol=0)
    torch.testing.assert_close(own["b"].coefficients, halved, atol=1e-2, rtol=0)


def test_a_photo_of_one_colour_has_a_transform_too() -> None:
    grey, blue = np.full((9, 9, 3), 100, np.uint8), np.full((9, 9, 3), (200, 40, 20), np.uint8)
    made = fit(Memory([(grey, blue)], "a")).apply(torch.full((1, 3, 4, 4), 100 / 255))
    torch.testing.assert_close(made[0, :, 0, 0], torch.tensor([20, 40, 200]) / 255, atol=1e-6, rtol=0)


def test_at_most_so_many_pairs_are_read_spread_evenly(texture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpedtool.training.evaluate.colour_transform, "MOST_FITTED", 3)
    pairs = Memory([pair(texture, 0, KNOWN)] * 9, "abcdefghi")
    fit(pairs)
    assert pairs.asked == [0, 4, 8]


def test_patches_are_fitted_like_any_pairs(tmp_path: Path, make_samples) -> None:
    """The phone's patch is 0.7 times the DSLR's plus 20, so that the inverse is linear."""
    patches = PatchPairs(make_samples(tmp_path, {"train": 3}), "train")
    batch = patches.read(range(3))
    inside = batch.dslr < 0.97
    made = fit(patches).apply(batch.phone)
    assert (made - batch.dslr)[inside].abs().max() < 3 / 255


def test_no_pairs_are_refused() -> None:
    with pytest.raises(DpedtoolError, match="There are no pairs to fit"):
        fit(Memory([], ""))
