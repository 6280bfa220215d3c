"""The losses that forgive, over random images, shifts and colour changes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from dpedtool.dataset.train_params import ShiftArgs
from dpedtool.training.train.forgiving import border_px, with_best_shifts
from dpedtool.training.train.losses import Loss, matched_loss, ms_ssim_loss, pixel_loss, psnr_loss, shifted_loss

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = st.sampled_from([pixel_loss, psnr_loss, ms_ssim_loss])
SEEDS = st.integers(0, 1000)


def photo(seed: int, side: int = 32) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


@given(
    PLAIN,
    SEEDS,
    st.integers(1, 3).flatmap(lambda most: st.tuples(st.just(most), *[st.integers(-most, most)] * 2)),
    st.sampled_from([1, 2]),
)
def test_a_shift_by_whole_px_within_the_limit_costs_what_no_shift_costs(
    plain: Loss, seed: int, shift: tuple[int, int, int], steps_per_px: int
) -> None:
    most, down, across = shift
    large, noise = photo(seed, 48), 0.05 * photo(seed + 1)
    outputs = large[..., 8:40, 8:40] + noise
    moved = large[..., 8 + down : 40 + down, 8 + across : 40 + across]
    args = ShiftArgs(max_shift_px=most, steps_per_px=steps_per_px)
    inner = slice(border_px(args), 32 - border_px(args))
    expected = plain(outputs[..., inner, inner], large[..., 8:40, 8:40][..., inner, inner])
    torch.testing.assert_close(shifted_loss(plain, args)(outputs, moved), expected)


@given(st.sampled_from([1, 2]), SEEDS, st.sampled_from([0, 8, 16]), st.integers(1, 3), st.booleans())
def test_the_best_shifts_are_never_worse_than_none_and_more_are_never_worse(
    power: int, seed: int, tile_px: int, most: int, finely: bool
) -> None:
    outputs, targets = photo(seed), photo(seed + 1)
    args = ShiftArgs(max_shift_px=most, steps_per_px=2 if finely else 1, tile_px=tile_px)
    inner, moved = with_best_shifts(outputs, targets, args, power=power)
    border = border_px(args)
    unmoved = targets[..., border:-border, border:-border]
    assert ((inner - moved).abs() ** power).mean() <= ((inner - unmoved).abs() ** power).mean() + 1e-6


@given(PLAIN, SEEDS, st.lists(st.floats(-0.3, 0.3), min_size=9, max_size=9), st.floats(-1, 1))
def test_any_affine_change_of_the_colours_is_taken_back(
    plain: Loss, seed: int, change: list[float], offset: float
) -> None:
    targets = photo(seed)
    matrix = torch.eye(3) + torch.tensor(change).view(3, 3)
    # A matrix that makes an image nearly grey leaves nothing to bring its colours back from.
    assume(torch.linalg.cond(matrix) < 20)
    outputs = torch.einsum("ij,njhw->nihw", matrix, targets) + offset
    assert matched_loss(plain)(outputs, targets).item() < 2e-3
