"""The losses against values worked out by hand, and what each one sees and does not see."""

import math

import pytest
import torch

from dataset.errors import ParamsError
from dataset.params import TrainParams
from training.losses import (
    GeneratorLoss,
    colour_loss,
    colour_taps,
    discriminator_loss,
    ms_ssim_loss,
    pixel_loss,
    scales_within,
    texture_loss,
    tv_loss,
)

NO_WEIGHTS = {f"{name}_weight": 0.0 for name in ("pixel", "ms_ssim", "colour", "texture", "tv")}


def photos(number: int = 2, side: int = 48, seed: int = 0) -> torch.Tensor:
    """Random images (N, 3, side, side) within 0..1."""
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


def chequer(side: int = 48) -> torch.Tensor:
    """A chequerboard of single px, -1 and 1, shape (1, 1, side, side)."""
    index = torch.arange(side)
    return (1 - 2 * ((index[:, None] + index) % 2)).float().view(1, 1, side, side)


def test_pixel_loss_is_the_mean_absolute_difference():
    targets = torch.full((1, 3, 8, 8), 0.5)
    outputs = targets.clone()
    outputs[:, 0] += 0.3
    outputs[:, 1] -= 0.15
    assert pixel_loss(outputs, targets).item() == pytest.approx(0.15)


@pytest.mark.parametrize("loss", [pixel_loss, ms_ssim_loss, colour_loss])
def test_equal_images_cost_nothing(loss):
    assert loss(photos(), photos()).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("loss", [pixel_loss, ms_ssim_loss, colour_loss])
def test_images_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match="shape"):
        loss(photos(2), photos(1))


@pytest.mark.parametrize("loss", [pixel_loss, ms_ssim_loss, colour_loss])
def test_a_larger_batch_of_the_same_costs_the_same(loss):
    outputs, targets = photos(1), photos(1, seed=1)
    repeated = loss(outputs.repeat(3, 1, 1, 1), targets.repeat(3, 1, 1, 1))
    torch.testing.assert_close(repeated, loss(outputs, targets))


@pytest.mark.parametrize(("side", "scales"), [(5, 1), (16, 1), (21, 2), (48, 3), (100, 4), (161, 5), (900, 5)])
def test_ms_ssim_takes_the_scales_that_hold_the_window(side, scales):
    assert scales_within(side) == scales


@pytest.mark.parametrize("side", [16, 48, 100])
def test_gradients_of_ms_ssim_are_finite_even_where_contrast_is_opposite(side):
    targets = photos(side=side)
    for start in (1 - targets, torch.full_like(targets, 0.5), targets):
        outputs = start.clone().requires_grad_()
        loss = ms_ssim_loss(outputs, targets)
        (gradient,) = torch.autograd.grad(loss, outputs)
        assert loss.item() >= -1e-6
        assert gradient.isfinite().all()


def test_ms_ssim_grows_with_the_noise():
    targets, noise = photos(side=48), photos(side=48, seed=1) - 0.5
    losses = [ms_ssim_loss(targets + strength * noise, targets).item() for strength in (0.1, 0.3, 1.0)]
    assert 0 < losses[0] < losses[1] < losses[2] < 1


def test_colour_taps_have_the_spread_of_the_released_kernel():
    taps = colour_taps()
    spread = math.sqrt(sum(tap * (index - 10) ** 2 for index, tap in enumerate(taps)))
    assert len(taps) == 21
    assert sum(taps) == pytest.approx(1.0)
    assert spread == pytest.approx(4.34, abs=0.005)


def test_colour_loss_is_blind_to_texture_and_sees_tint():
    targets = torch.full((1, 3, 48, 48), 0.5)
    texture = targets + 0.1 * chequer()
    tint = targets + 0.1 * torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert pixel_loss(texture, targets) > 2 * pixel_loss(tint, targets)
    assert colour_loss(texture, targets) < 1e-3 * colour_loss(tint, targets)


def test_colour_loss_of_a_tint_is_its_square_away_from_the_border():
    targets = torch.zeros(1, 3, 400, 400)
    # The zeros beyond the border lower the square; at 400 px by a few per cent.
    assert colour_loss(targets + 0.1, targets).item() == pytest.approx(0.01, rel=0.05)


def test_tv_of_a_ramp_is_its_squared_slopes():
    rows, columns = torch.arange(6.0).view(1, 1, 6, 1), torch.arange(9.0).view(1, 1, 1, 9)
    ramp = (0.02 * columns + 0.05 * rows).expand(2, 3, 6, 9)
    assert tv_loss(ramp).item() == pytest.approx(0.02**2 + 0.05**2, rel=1e-4)


def test_adversarial_losses_of_a_discriminator_that_knows_nothing_are_log_two():
    logits = torch.zeros(3, 2)
    assert texture_loss(logits).item() == pytest.approx(math.log(2))
    from_dslr = torch.tensor([True, False, True])
    assert discriminator_loss("mean", logits, from_dslr).item() == pytest.approx(math.log(2))


def test_the_two_networks_want_opposite_logits():
    dslr, enhanced = torch.tensor([[9.0, -9.0]]), torch.tensor([[-9.0, 9.0]])
    assert discriminator_loss("mean", torch.cat([dslr, enhanced]), torch.tensor([True, False])) < 1e-6
    assert texture_loss(dslr) < 1e-6
    assert texture_loss(enhanced).item() == pytest.approx(18.0)


def test_the_texture_loss_keeps_its_gradient_where_the_discriminator_is_sure():
    logits = torch.tensor([[-9.0, 9.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(texture_loss(logits), logits)
    assert gradient[0].tolist() == pytest.approx([-1.0, 1.0], abs=1e-6)


def test_the_generator_loss_is_the_weighted_sum_of_its_terms():
    params = TrainParams(texture_weight=0.3, tv_weight=2.0)
    outputs, targets, logits = photos(), photos(seed=1), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    total, terms = GeneratorLoss(params)(outputs, targets, logits)
    expected = {
        "pixel": pixel_loss(outputs, targets),
        "ms_ssim": ms_ssim_loss(outputs, targets),
        "colour": colour_loss(outputs, targets),
        "texture": texture_loss(logits),
        "tv": tv_loss(outputs),
    }
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}
    )
    weighted = sum(getattr(params, f"{name}_weight") * value.item() for name, value in expected.items())
    assert total.item() == pytest.approx(weighted)


def test_terms_without_weight_are_skipped():
    loss = GeneratorLoss(TrainParams(**{**NO_WEIGHTS, "pixel_weight": 2.0}))
    total, terms = loss(photos(), photos(seed=1))
    assert list(terms) == ["pixel"]
    assert total.item() == pytest.approx(2 * terms["pixel"].item())
    assert not loss.needs_discriminator


def test_parameters_without_any_weight_are_refused_before_anything_is_trained():
    with pytest.raises(ParamsError, match=r"^pixel_weight, .*tv_weight are all 0"):
        TrainParams(**NO_WEIGHTS)


def test_the_texture_loss_without_logits_is_refused():
    loss = GeneratorLoss(TrainParams(texture_weight=1.0))
    assert loss.needs_discriminator
    with pytest.raises(ValueError, match="logits"):
        loss(photos(), photos())


def test_the_generator_loss_is_float32_under_autocast():
    outputs, targets = photos().bfloat16().requires_grad_(), photos(seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = GeneratorLoss(TrainParams())(outputs, targets)
    expected, _ = GeneratorLoss(TrainParams())(outputs.float(), targets)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, expected)
    total.backward()
    assert outputs.grad is not None
