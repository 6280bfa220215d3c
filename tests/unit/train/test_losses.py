"""The losses compared with values worked out by hand, and what each loss sees and ignores."""

import math

import pytest
import torch
from loss_terms import only, with_usual

from dpedtool.dataset.errors import ParamsError
from dpedtool.dataset.train_params import LossForm, TrainParams
from dpedtool.training.train.losses import (
    GeneratorLoss,
    blur_matrix,
    colour_loss,
    colour_taps,
    content_loss,
    discriminator_accuracy,
    discriminator_loss,
    ms_ssim_loss,
    pixel_loss,
    psnr_loss,
    scales_within,
    texture_loss,
    tv_loss,
)

FORMS: tuple[LossForm, ...] = ("mean", "paper", "released-code")


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


@pytest.mark.parametrize("loss", [pixel_loss, psnr_loss, ms_ssim_loss, colour_loss])
def test_equal_images_cost_nothing(loss):
    assert loss(photos(), photos()).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("loss", [pixel_loss, psnr_loss, ms_ssim_loss, colour_loss])
def test_images_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match="shape"):
        loss(photos(2), photos(1))


@pytest.mark.parametrize("loss", [pixel_loss, psnr_loss, ms_ssim_loss, colour_loss])
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


def spread(profile: torch.Tensor) -> float:
    """Standard deviation of a profile of weights, in px."""
    at = torch.arange(len(profile), dtype=torch.float64)
    centre = (profile * at).sum() / profile.sum()
    return math.sqrt(((at - centre) ** 2 * profile).sum() / profile.sum())


@pytest.mark.parametrize(
    ("form", "spread_px", "total"), [("mean", 4.34, 1.0), ("released-code", 4.34, 1.0), ("paper", 1.73, 0.999)]
)
def test_a_point_is_blurred_to_the_published_spread(form, spread_px, total):
    point = torch.zeros(41, 41)
    point[20, 20] = 1
    blur = blur_matrix(form, 41, point.device)
    response = (blur @ point @ blur).double()
    assert response.sum().item() == pytest.approx(total, abs=1e-4)
    for axis in (0, 1):
        assert spread(response.sum(dim=axis)) == pytest.approx(spread_px, abs=0.005)
    # 21 px a side
    assert int((response > 0).sum()) == 21 * 21
    assert response[10:31, 10:31].min() > 0


def test_the_papers_kernel_is_its_formula():
    taps = torch.tensor(colour_taps("paper"), dtype=torch.float64)
    kernel = taps[:, None] * taps[None, :]
    assert kernel[10, 10].item() == pytest.approx(0.053)
    assert kernel[10, 11].item() == pytest.approx(0.053 * math.exp(-1 / 6))
    assert kernel[8, 13].item() == pytest.approx(0.053 * math.exp(-(4 + 9) / 6))


def test_the_released_kernel_is_the_square_root_of_a_gaussians_cells():
    # 21 cells from -19/6 to 19/6 standard deviations; erf gives what lies between the edges of one.
    def cell(index: int) -> float:
        low, high = (index - 10.5) * 19 / 63, (index - 9.5) * 19 / 63
        return (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2

    roots = [math.sqrt(cell(index)) for index in range(21)]
    assert colour_taps("released-code") == pytest.approx([root / sum(roots) for root in roots])


@pytest.mark.parametrize(("form", "divisor"), [("paper", 1), ("released-code", 2)])
def test_the_colour_loss_of_one_px_is_the_kernels_energy(form, divisor):
    # A difference d in one px of one channel, far from the border: d^2 times the kernel's squares, summed by hand.
    outputs, targets = torch.zeros(1, 3, 50, 50), torch.zeros(1, 3, 50, 50)
    outputs[0, 1, 20, 30] = 0.5
    energy = sum(tap**2 for tap in colour_taps(form)) ** 2
    assert colour_loss(outputs, targets, form).item() == pytest.approx(0.25 * energy / divisor, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_the_colour_loss_of_a_tint_in_closed_form(form):
    # A constant difference d under zero padding: along an axis px y keeps the taps that lie inside, share s(y), and
    # the square is d^2 s(y)^2 s(x)^2; three channels, two images.
    height, width, d = 30, 26, 0.1
    taps = colour_taps(form)

    def squares(side: int) -> float:
        shares = [sum(taps[t] for t in range(21) if 0 <= y + t - 10 < side) for y in range(side)]
        return sum(share**2 for share in shares)

    whole = 2 * 3 * d**2 * squares(height) * squares(width)
    expected = {"mean": whole / (2 * 3 * height * width), "paper": whole / 2, "released-code": whole / 4}[form]
    targets = torch.zeros(2, 3, height, width)
    assert colour_loss(targets + d, targets, form).item() == pytest.approx(expected, rel=1e-5)


def test_the_released_colour_loss_is_15_000_times_the_mean_at_100_px():
    outputs, targets = photos(2, 100), photos(2, 100, seed=1)
    ratio = colour_loss(outputs, targets, "released-code") / colour_loss(outputs, targets, "mean")
    assert ratio.item() == pytest.approx(15_000)


def test_the_blur_can_be_made_in_inference_mode_first():
    with torch.inference_mode():
        colour_loss(torch.zeros(1, 3, 23, 29), torch.ones(1, 3, 23, 29))
    outputs = torch.zeros(1, 3, 23, 29, requires_grad=True)
    (gradient,) = torch.autograd.grad(colour_loss(outputs, torch.ones(1, 3, 23, 29)), outputs)
    assert gradient.max() < 0


def test_content_is_the_mean_squared_difference_of_features():
    targets = torch.zeros(2, 512, 3, 3)
    outputs = targets.clone()
    outputs[0, :, 0, 0] = 2.0
    # 512 squares of 4, over channels * rows * columns * batch
    assert content_loss(outputs, targets).item() == pytest.approx(512 * 4 / (512 * 3 * 3 * 2))
    assert content_loss(outputs.bfloat16(), targets.bfloat16()).dtype == torch.float32


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


def test_tv_of_a_step_by_hand():
    # Two images of 4 x 5 px; in one of them, in one channel, the last two columns are 0.3 higher: 4 steps along rows.
    images = torch.zeros(2, 3, 4, 5)
    images[0, 2, :, 3:] = 0.3
    steps = 4 * 0.3**2
    assert tv_loss(images, "mean").item() == pytest.approx(steps / (2 * 3 * 4 * 4))
    # sum / (C H (W - 1)) / batch is the same
    assert tv_loss(images, "released-code").item() == pytest.approx(steps / (3 * 4 * 4) / 2)
    assert tv_loss(images, "paper").item() == pytest.approx(steps / (3 * 4 * 5) / 2)


def logits_of(probabilities: list[float], columns: int = 2) -> torch.Tensor:
    """Logits of a discriminator that gives the DSLR these probabilities."""
    odds = torch.logit(torch.tensor(probabilities, dtype=torch.float64)).float()
    return odds[:, None] if columns == 1 else torch.stack([odds + 1, torch.ones_like(odds)], dim=1)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("mean", -(math.log(0.25) + math.log(0.9)) / 2),
        ("paper", -(math.log(0.25) + math.log(0.9))),
        ("released-code", math.log(0.75) + math.log(0.1)),
    ],
)
def test_the_texture_loss_by_hand(columns, form, expected):
    assert texture_loss(logits_of([0.25, 0.9], columns), form).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_the_discriminators_loss_by_hand(columns, form):
    # The logits are correct for the DSLR's patch, wrong for one enhanced patch and undecided for another.
    logits, from_dslr = logits_of([0.9, 0.8, 0.5], columns), torch.tensor([True, False, False])
    total = -(math.log(0.9) + math.log(0.2) + math.log(0.5))
    expected = total / 3 if form == "mean" else total
    assert discriminator_loss(form, logits, from_dslr).item() == pytest.approx(expected, rel=1e-5)


def test_the_released_code_counts_no_probability_below_1e_10():
    logits = torch.tensor([[-60.0, 0.0]], requires_grad=True)
    from_dslr = torch.tensor([True])
    clipped = discriminator_loss("released-code", logits, from_dslr)
    assert clipped.item() == pytest.approx(-math.log(1e-10))
    assert torch.autograd.grad(clipped, logits)[0].abs().max() == 0
    assert texture_loss(-logits, "released-code").item() == pytest.approx(math.log(1e-10))
    assert discriminator_loss("paper", logits, from_dslr).item() == pytest.approx(60)


@pytest.mark.parametrize("form", FORMS)
def test_the_texture_loss_pushes_towards_the_dslr_and_the_discriminators_apart(form):
    logits = torch.zeros(2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(texture_loss(logits, form), logits)
    # A step down the gradient raises "from the DSLR" for all enhanced patches.
    assert (gradient[:, 0] < 0).all()
    assert (gradient[:, 1] > 0).all()
    (gradient,) = torch.autograd.grad(discriminator_loss(form, logits, torch.tensor([True, False])), logits)
    assert gradient[0, 0] < 0 < gradient[1, 0]


@pytest.mark.parametrize(("form", "strength"), [("mean", 1.0), ("paper", 1.0), ("released-code", 0.0)])
def test_only_the_released_texture_loss_saturates(form, strength):
    # d/dx of -log sigmoid(x) is sigmoid(x) - 1; of log(1 - sigmoid(x)) it is -sigmoid(x): nothing at x = -18.
    logits = torch.tensor([[-9.0, 9.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(texture_loss(logits, form), logits)
    assert gradient[0].tolist() == pytest.approx([-strength, strength], abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_a_discriminator_that_knows_nothing_costs_log_two(form):
    patches = 1 if form == "mean" else 3
    logits, from_dslr = torch.zeros(3, 2), torch.tensor([True, False, True])
    assert discriminator_loss(form, logits, from_dslr).item() == pytest.approx(patches * math.log(2))
    sign = -1 if form == "released-code" else 1
    assert texture_loss(logits, form).item() == pytest.approx(sign * patches * math.log(2))


@pytest.mark.parametrize("columns", [1, 2])
def test_accuracy_is_the_share_judged_rightly(columns):
    from_dslr = torch.tensor([True, True, False, False])
    assert discriminator_accuracy(logits_of([0.9, 0.4, 0.6, 0.2], columns), from_dslr).item() == 0.5
    assert discriminator_accuracy(logits_of([0.9, 0.6, 0.4, 0.2], columns), from_dslr).item() == 1
    assert discriminator_accuracy(logits_of([0.5] * 4, columns), from_dslr).item() == 0.5


def test_logits_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(N, 1\) or \(N, 2\), not \(4, 3\)"):
        texture_loss(torch.zeros(4, 3))


def test_the_generator_loss_is_the_weighted_sum_of_its_terms():
    weights = {"pixel": 1.0, "psnr": 0.5, "ms_ssim": 0.2, "colour": 0.5, "texture": 0.3, "tv": 2.0}
    params = TrainParams(losses=only(**weights))
    outputs, targets, logits = photos(), photos(seed=1), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    total, terms = GeneratorLoss(params)(outputs, targets, logits)
    expected = {
        "pixel": pixel_loss(outputs, targets),
        "psnr": psnr_loss(outputs, targets),
        "ms_ssim": ms_ssim_loss(outputs, targets),
        "colour": colour_loss(outputs, targets),
        "texture": texture_loss(logits),
        "tv": tv_loss(outputs),
    }
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}
    )
    weighted = sum(params.weight_of(name) * value.item() for name, value in expected.items())
    assert total.item() == pytest.approx(weighted)


def test_terms_without_weight_are_skipped():
    loss = GeneratorLoss(TrainParams(losses=only(pixel=2.0, tv=0.0)))
    total, terms = loss(photos(), photos(seed=1))
    assert list(terms) == ["pixel"]
    assert total.item() == pytest.approx(2 * terms["pixel"].item())
    assert not loss.needs_discriminator


def test_parameters_without_any_weight_are_refused_before_anything_is_trained():
    with pytest.raises(ParamsError, match=r"^losses has no term with a weight above 0"):
        TrainParams(losses=only(pixel=0.0, tv=0.0))


def test_the_texture_loss_without_logits_is_refused():
    loss = GeneratorLoss(TrainParams(losses=with_usual(texture=1.0)))
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


class Features(torch.nn.Module):
    """A replacement for VGG that returns twice the image."""

    def layers(self, images: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
        return dict.fromkeys(names, 2 * images)


def preset(name: str) -> TrainParams:
    return TrainParams(**TrainParams.completed({"preset": name}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # content: (2 * 0.1)^2; texture: both patches at 0.25; colour below; TV: a constant image has none
        ("paper", 1 * 0.04 + 0.4 * (-2 * math.log(0.25))),
        ("released-code", 10 * 0.04 + 1 * (2 * math.log(0.75))),
    ],
)
def test_a_presets_losses_put_together_by_hand(name, expected):
    params = preset(name)
    targets = torch.full((2, 3, 24, 24), 0.4)
    logits = logits_of([0.25, 0.25], columns=1 if name == "paper" else 2)
    total, terms = GeneratorLoss(params, Features())(targets + 0.1, targets, logits)
    assert set(terms) == {"content", "colour", "texture", "tv"}
    taps = colour_taps(name)
    shares = [sum(taps[t] for t in range(21) if 0 <= y + t - 10 < 24) ** 2 for y in range(24)]
    colour = 3 * 0.01 * sum(shares) ** 2
    expected += 0.1 * colour if name == "paper" else 0.5 * colour / 2
    assert total.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["paper", "released-code"])
def test_sums_over_the_batch_grow_with_it_and_the_others_do_not(name):
    loss = GeneratorLoss(preset(name), Features())
    outputs, targets, logits = photos(1), photos(1, seed=1), logits_of([0.3])
    _, one = loss(outputs, targets, logits)
    _, two = loss(outputs.repeat(2, 1, 1, 1), targets.repeat(2, 1, 1, 1), logits.repeat(2, 1))
    ratios = {term: (two[term] / one[term]).item() for term in one}
    assert ratios == pytest.approx({"content": 1, "colour": 1, "texture": 2, "tv": 1}, rel=1e-5)


@pytest.mark.parametrize("name", ["paper", "released-code"])
def test_of_another_patch_size_only_the_colour_loss_takes_the_area(name):
    loss = GeneratorLoss(preset(name), Features())
    small, large = ((torch.zeros(1, 3, side, side), torch.full((1, 3, side, side), 0.2)) for side in (200, 400))
    logits = logits_of([0.3])
    _, of_small = loss(*small, logits)
    _, of_large = loss(*large, logits)
    assert (of_large["colour"] / of_small["colour"]).item() == pytest.approx(4, rel=0.1)
    assert of_large["content"].item() == pytest.approx(of_small["content"].item(), rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_the_parts_of_two_processes_average_to_the_joint_batch(form):
    params = TrainParams(loss_form=form, losses=with_usual(content=0.5, texture=0.3, tv=2.0))
    outputs, targets, logits = photos(4).requires_grad_(), photos(4, seed=1), logits_of([0.2, 0.6, 0.5, 0.9])
    logits.requires_grad_()
    joint, terms = GeneratorLoss(params, Features())(outputs, targets, logits)
    expected = torch.autograd.grad(joint, [outputs, logits])
    shared = GeneratorLoss(params, Features(), processes=2)
    parts = [shared(outputs[part], targets[part], logits[part]) for part in (slice(2), slice(2, 4))]
    averaged = (parts[0][0] + parts[1][0]) / 2
    assert averaged.item() == pytest.approx(joint.item(), rel=1e-5)
    for term, value in terms.items():
        assert (parts[0][1][term] + parts[1][1][term]).item() / 2 == pytest.approx(value.item(), rel=1e-5)
    for found, wanted in zip(torch.autograd.grad(averaged, [outputs, logits]), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("form", FORMS)
def test_the_discriminators_parts_average_to_the_joint_batch(form):
    logits, from_dslr = logits_of([0.2, 0.6, 0.5, 0.9]), torch.tensor([True, False, False, True])
    halves = [discriminator_loss(form, logits[part], from_dslr[part], 2) for part in (slice(2), slice(2, 4))]
    assert sum(halves).item() / 2 == pytest.approx(discriminator_loss(form, logits, from_dslr).item(), rel=1e-6)


def test_the_content_loss_needs_features_and_gives_the_targets_no_gradient():
    params = TrainParams(losses=only(content=1.0))
    with pytest.raises(ValueError, match="features"):
        GeneratorLoss(params)
    outputs, targets = photos().requires_grad_(), photos(seed=1).requires_grad_()
    total, _ = GeneratorLoss(params, Features())(outputs, targets)
    assert total.item() == pytest.approx(4 * ((outputs - targets) ** 2).mean().item())
    total.backward()
    assert outputs.grad is not None
    assert targets.grad is None


def test_the_psnr_loss_is_the_mean_of_the_patches_psnr_over_40_db() -> None:
    targets = torch.zeros(2, 3, 4, 4)
    outputs = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), 1.0)])
    # 1e-2 and 1 squared, each with 1e-4 added: 19.957 and -0.000434 dB.
    assert psnr_loss(outputs, targets).item() == pytest.approx(1 - (19.9568 - 0.000434) / 2 / 40, abs=1e-5)
    assert psnr_loss(targets, targets).item() == pytest.approx(0, abs=1e-6)
