"""The losses that forgive: shifts by hand, colours by hand, and the contextual loss beside a slow computation."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from loss_terms import only
from torch import Tensor

from benchmarks.stepping import Noise
from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.train_params import ContextualArgs, LossTerm, ShiftArgs, TrainParams
from dpedtool.training.precision import Computation
from dpedtool.training.train.forgiving import (
    FEATURE_FLOOR,
    Layer,
    border_px,
    contextual_bilateral_loss,
    fraction_taps,
    with_best_shifts,
    with_matched_colours,
)
from dpedtool.training.train.loader import Loader
from dpedtool.training.train.loop import TrainingRun
from dpedtool.training.train.losses import (
    GeneratorLoss,
    Loss,
    matched_loss,
    ms_ssim_loss,
    pixel_loss,
    psnr_loss,
    shifted_loss,
)
from dpedtool.training.train.vgg import random_vgg

pytestmark = pytest.mark.usefixtures("one_thread")

WHOLE = ShiftArgs(max_shift_px=1, steps_per_px=1)
HALVES = ShiftArgs(max_shift_px=1, steps_per_px=2)
PLAIN = {"pixel": pixel_loss, "psnr": psnr_loss, "ms_ssim": ms_ssim_loss}
FORGIVING: dict[str, Loss] = {
    **{f"shifted_{name}": shifted_loss(plain, HALVES) for name, plain in PLAIN.items()},
    **{f"matched_{name}": matched_loss(plain) for name, plain in PLAIN.items()},
    "both": shifted_loss(psnr_loss, replace(HALVES, match_colours=True)),
}


def photos(number: int = 2, side: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


def column(x: int, side: int = 16) -> Tensor:
    """A black image with one white column."""
    image = torch.zeros(1, 3, side, side)
    image[..., x] = 1
    return image


@pytest.mark.parametrize(
    ("x", "most", "expected"),
    # The border is as wide as the largest shift. Two columns differ unless they meet.
    [(9, 1, 0), (10, 1, 2 / 14), (10, 2, 0), (6, 2, 0), (5, 2, 2 / 12)],
)
def test_a_column_that_is_off_costs_only_what_no_shift_explains(x: int, most: int, expected: float) -> None:
    loss = shifted_loss(pixel_loss, replace(WHOLE, max_shift_px=most))
    assert loss(column(x), column(8)).item() == pytest.approx(expected)


def test_each_image_has_its_own_shift() -> None:
    outputs, targets = torch.cat([column(7), column(9)]), torch.cat([column(8), column(8)])
    assert shifted_loss(pixel_loss, WHOLE)(outputs, targets).item() == 0


@pytest.mark.parametrize(("tile_px", "expected"), [(0, 2 / 38 / 2), (20, 0)])
def test_tiles_shift_by_themselves(tile_px: int, expected: float) -> None:
    # The upper half is off by a px to the left, and the lower one to the right: one shift explains only one of them.
    outputs = torch.cat([column(19, 40)[..., :20, :], column(21, 40)[..., 20:, :]], dim=2)
    loss = shifted_loss(pixel_loss, replace(WHOLE, tile_px=tile_px))
    assert loss(outputs, column(20, 40)).item() == pytest.approx(expected)


def wave(phase_px: float, side: int = 32) -> Tensor:
    """A wave of 8 px along x and of 6 px along y, moved by so many px along both."""
    at = torch.arange(side, dtype=torch.float64) - phase_px
    across, down = torch.sin(2 * math.pi * at / 8), torch.sin(2 * math.pi * at / 6)
    return (0.5 + 0.2 * across[None, :] + 0.2 * down[:, None]).float().expand(1, 3, side, side)


@pytest.mark.parametrize(("moved_px", "steps_per_px"), [(0.5, 2), (-0.5, 2), (0.75, 4), (1.0, 4)])
def test_parts_of_a_px_are_forgiven_as_finely_as_asked(moved_px: float, steps_per_px: int) -> None:
    args = ShiftArgs(max_shift_px=1, steps_per_px=steps_per_px)
    assert shifted_loss(pixel_loss, args)(wave(moved_px), wave(0)).item() < 2e-3
    assert shifted_loss(pixel_loss, replace(args, steps_per_px=1))(wave(0.5), wave(0)).item() > 0.05


def test_the_taps_are_those_of_a_sinc_under_lanczos_window() -> None:
    # At half a px the distances are 0.5, 1.5, 2.5, 3.5: sin(pi d) / (pi d) * sin(pi d / 4) / (pi d / 4).
    half = [
        math.sin(math.pi * d) / (math.pi * d) * math.sin(math.pi * d / 4) / (math.pi * d / 4)
        for d in (3.5, 2.5, 1.5, 0.5)
    ]
    expected = [value / (2 * sum(half)) for value in half]
    assert fraction_taps(0.5) == pytest.approx([*expected, *reversed(expected)])
    assert fraction_taps(0.25) == pytest.approx(list(reversed(fraction_taps(0.75))))


def test_the_gradient_is_that_of_the_plain_loss_at_the_best_shift() -> None:
    outputs, targets = photos().requires_grad_(), photos(seed=1)
    inner, moved = with_best_shifts(outputs, targets, HALVES, power=2)
    expected = torch.autograd.grad(psnr_loss(inner, moved.detach()), outputs)
    torch.testing.assert_close(
        torch.autograd.grad(shifted_loss(psnr_loss, HALVES)(outputs, targets), outputs), expected
    )
    border = border_px(HALVES)
    assert border == 4
    assert expected[0][..., :border, :].abs().max() == 0
    assert expected[0][..., border, border:-border].abs().min() > 0


def test_too_small_patches_are_refused_with_the_size_they_need() -> None:
    loss = shifted_loss(pixel_loss, ShiftArgs(max_shift_px=2), "The loss shifted_pixel")
    assert loss(photos(side=18), photos(side=18)).item() == 0
    with pytest.raises(
        DpedtoolError, match=r"^The loss shifted_pixel leaves out 5 px .* needs patches of 18 px .* not 17"
    ):
        loss(photos(side=17), photos(side=17))


MATRIX = torch.tensor([[1.3, 0.2, 0.0], [-0.1, 0.7, 0.1], [0.0, 0.1, 0.5]])


def recoloured(images: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", MATRIX, images) + torch.tensor([0.1, -0.2, 0.05]).view(1, 3, 1, 1)


@pytest.mark.parametrize("plain", PLAIN)
def test_an_affine_change_of_the_colours_costs_nothing_after_the_match(plain: str) -> None:
    targets, loss = photos(), matched_loss(PLAIN[plain])
    assert PLAIN[plain](recoloured(targets), targets).item() > 0.1
    # The pull to the identity leaves at most half a grey level for each unit by which the matrix differs from it.
    assert loss(recoloured(targets), targets).item() == pytest.approx(0, abs=5e-4)


def test_a_plain_output_gets_the_targets_mean() -> None:
    # The target is 0.2 in one half and 0.6 in the other, so each px is 0.2 from the mean.
    targets = torch.full((1, 3, 16, 16), 0.2)
    targets[..., 8:] = 0.6
    outputs = torch.full_like(targets, 0.9)
    torch.testing.assert_close(with_matched_colours(outputs, targets), torch.full_like(targets, 0.4))
    assert matched_loss(pixel_loss)(outputs, targets).item() == pytest.approx(0.2)


def test_a_grey_image_is_matched_by_hand() -> None:
    # Deviations of 0.1 in all channels alike, and of 0.3 in the target. Along (1, 1, 1) the output's variance is
    # 3 * 0.01 and the covariance 3 * 0.03, each increased by the prior.
    outputs, targets = torch.full((1, 3, 8, 8), 0.4), torch.full((1, 3, 8, 8), 0.2)
    outputs[..., 4:], targets[..., 4:] = 0.6, 0.8
    gain = (0.09 + 255**-2) / (0.03 + 255**-2)
    matched = with_matched_colours(outputs, targets)
    assert matched[0, :, 0, 0].tolist() == pytest.approx([0.5 - 0.1 * gain] * 3, abs=1e-6)
    assert matched[0, :, 0, 7].tolist() == pytest.approx([0.5 + 0.1 * gain] * 3, abs=1e-6)


@pytest.mark.parametrize("plain", ["pixel", "psnr", "ms_ssim"])
def test_the_loss_after_the_match_has_no_slope_along_what_it_forgives(plain: str) -> None:
    outputs, targets, loss = photos(1, seed=2), photos(1), matched_loss(PLAIN[plain])
    change = torch.zeros(3, 4, requires_grad=True)
    moved = outputs + torch.einsum("ij,njhw->nihw", change[:, :3], outputs) + change[:, 3].view(1, 3, 1, 1)
    (slope,) = torch.autograd.grad(loss(moved, targets), change, retain_graph=True)
    (unmatched,) = torch.autograd.grad(PLAIN[plain](moved, targets), change)
    assert slope.abs().max() < 2e-3 * unmatched.abs().max()


FLAT = torch.full((2, 3, 32, 32), 0.5)


@pytest.mark.parametrize("name", FORGIVING)
@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (FLAT, FLAT),
        (FLAT, photos()),
        (photos(), FLAT),
        (photos(), photos()),
        (FLAT + 1e-6 * photos(), FLAT + 1e-6 * photos(seed=1)),
        (photos()[:, :1].expand(-1, 3, -1, -1), photos(seed=1)),
    ],
    ids=["both flat", "flat output", "flat target", "equal", "nearly flat", "grey output"],
)
def test_gradients_are_finite_whatever_the_patches_are(name: str, outputs: Tensor, targets: Tensor) -> None:
    outputs = outputs.clone().requires_grad_()
    loss = FORGIVING[name](outputs, targets)
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert -1e-5 <= loss.item() < 2
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1


def features(number: int = 2, channels: int = 5, side: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(number, channels, side, side, generator=torch.Generator().manual_seed(seed)).relu()


def slowly(layer: Layer, args: ContextualArgs) -> float:
    """The contextual loss of one layer, place by place, with all distances."""
    reach, total = math.ceil(args.max_shift_px / layer.stride_px), 0.0
    number, _, height, width = layer.outputs.shape
    for ours, theirs in zip(layer.outputs.double(), layer.targets.double(), strict=True):
        mean = theirs.mean(dim=(1, 2))
        floor = FEATURE_FLOOR**2 * (theirs**2).sum(dim=0).mean()
        for y, x in ((y, x) for y in range(height) for x in range(width)):
            costs = []
            for v, u in ((v, u) for v in range(height) for u in range(width)):
                if max(abs(v - y), abs(u - x)) > reach:
                    continue
                a, b = ours[:, y, x] - mean, theirs[:, v, u] - mean
                a, b = a / (a @ a + floor).sqrt(), b / (b @ b + floor).sqrt()
                away = layer.stride_px**2 * ((v - y) ** 2 + (u - x) ** 2)
                costs.append(((a - b) @ (a - b)).item() / 2 + args.spatial_weight * away)
            total += min(costs)
    return total / (number * height * width)


@pytest.mark.parametrize(
    ("stride_px", "most", "weight"), [(1, 1, 0.0), (1, 2, 0.02), (2, 3, 0.1), (4, 2, 0.01), (1, 9, 0)]
)
def test_the_contextual_loss_is_that_of_a_slow_computation(stride_px: int, most: int, weight: float) -> None:
    layer, args = (
        Layer(features(), features(seed=1), stride_px),
        ContextualArgs(max_shift_px=most, spatial_weight=weight),
    )
    assert contextual_bilateral_loss([layer], args).item() == pytest.approx(slowly(layer, args), rel=1e-5)


def test_a_feature_that_moved_by_one_px_costs_the_weight_of_its_distance() -> None:
    # Opposite features alternate, so that the partner of each lies beside it: cosine 1 at 1 px, and -1 at 0 px.
    pattern = (1.0 - 2 * (torch.arange(8) % 2)).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    outputs, targets = (1 + sign * pattern for sign in (1, -1))
    layer, free = Layer(outputs, targets, 1), ContextualArgs(max_shift_px=1, spatial_weight=0)
    assert contextual_bilateral_loss([layer], free).item() == pytest.approx(0, abs=1e-6)
    for weight, cost in ((0.25, 0.25), (5.0, 2.0)):
        args = replace(free, spatial_weight=weight)
        assert contextual_bilateral_loss([layer], args).item() == pytest.approx(cost, abs=2e-3)


def test_the_layers_of_the_contextual_loss_count_alike() -> None:
    layers = [Layer(features(), features(seed=1), 1), Layer(features(side=3), features(side=3, seed=1), 2)]
    args = ContextualArgs()
    apart = [contextual_bilateral_loss([layer], args).item() for layer in layers]
    assert contextual_bilateral_loss(layers, args).item() == pytest.approx(sum(apart) / 2)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_contextual_loss_of_plain_features_is_finite_and_of_equal_ones_zero(scale: float) -> None:
    flat = scale * torch.ones(1, 4, 5, 5)
    for outputs, targets in (
        (flat, flat),
        (flat, scale * features(1, 4, 5)),
        (scale * features(1, 4, 5), flat),
        (0 * flat,) * 2,
    ):
        layer = Layer(outputs.clone().requires_grad_(), targets, 1)
        loss = contextual_bilateral_loss([layer], ContextualArgs())
        (gradient,) = torch.autograd.grad(loss, layer.outputs)
        assert gradient.isfinite().all()
        assert loss.item() == 0 if torch.equal(outputs, targets) else loss.item() > 0
        # The length of the features does not matter, so the gradient is the smaller, the longer they are.
        assert gradient.abs().max() * scale < 10


ALL = only(**{name: 1.0 for name in FORGIVING if name != "both"}, cobi=1.0)


def test_the_generator_loss_knows_all_of_them_and_their_arguments() -> None:
    vgg, outputs, targets = random_vgg(0), photos(), photos(seed=1)
    terms = (*ALL[1:], LossTerm(loss="shifted_pixel", args={"max_shift_px": 2, "steps_per_px": 1}))
    params = TrainParams(losses=terms)
    _, found = GeneratorLoss(params, vgg)(outputs, targets)
    expected = {name: loss(outputs, targets) for name, loss in FORGIVING.items() if name != "both"}
    expected["shifted_pixel"] = shifted_loss(pixel_loss, ShiftArgs(max_shift_px=2, steps_per_px=1))(outputs, targets)
    names = ("relu1_2", "relu2_2", "relu3_2")
    of = [vgg.layers(images, names) for images in (outputs, targets)]
    layers = [Layer(of[0][name], of[1][name], stride) for name, stride in zip(names, (1, 2, 4), strict=True)]
    expected["cobi"] = contextual_bilateral_loss(layers, ContextualArgs())
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}
    )
    with pytest.raises(ValueError, match="features"):
        GeneratorLoss(params)


def test_the_parts_of_two_processes_average_to_the_joint_batch() -> None:
    loss = partial(GeneratorLoss, TrainParams(losses=ALL), random_vgg(0))
    outputs, targets = photos(4).requires_grad_(), photos(4, seed=1)
    joint, _ = loss()(outputs, targets)
    halves = [loss(processes=2)(outputs[part], targets[part])[0] for part in (slice(2), slice(2, 4))]
    expected = torch.autograd.grad(joint, outputs)
    found = torch.autograd.grad(torch.stack(halves).mean(), outputs)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


def test_a_training_with_all_of_them_gives_the_same_bits_twice() -> None:
    # One patch a step, of the smallest size, in bfloat16.
    params = TrainParams(losses=ALL, channels=4, blocks=1, batch=1, crop_px=32, precision="bfloat16", device="cpu")
    weights = []
    for _ in range(2):
        run = TrainingRun(params, Computation.of(params, torch.device("cpu")), 32, vgg=random_vgg(0))
        for step in Loader(Noise(3, side=32), params, second_batch=False, threads=1).steps(0, 2):
            run.step(step)
        weights.append(run.generator.network.state_dict())
    for name, values in weights[0].items():
        assert values.isfinite().all()
        assert torch.equal(values, weights[1][name])
