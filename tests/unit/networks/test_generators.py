"""The two networks: shapes, padding, initial weights, gradients."""

import math

import pytest
import torch
from torch.nn import functional

from dpedtool.training.networks.discriminator import Discriminator, StridedConv, grey, same_padding
from dpedtool.training.networks.generators import Architecture, count_parameters
from dpedtool.training.networks.initialisation import initialise


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=random(9))


@pytest.mark.parametrize(("height", "width"), [(1, 2), (7, 5), (33, 48), (50, 31)])
def test_the_generator_keeps_any_size(height, width):
    outputs = Architecture(channels=8, blocks=2).build()(photos(height, width))
    assert outputs.shape == (2, 3, height, width)
    # tanh * 0.58 + 0.5
    assert outputs.min() >= -0.08
    assert outputs.max() <= 1.08


def test_the_generator_has_the_layers_of_the_released_code():
    # 9x9 3->64 and back, ten 3x3 64->64 with their biases, eight norms of scale and shift
    by_hand = (81 * 3 * 64 + 64) + (81 * 64 * 3 + 3) + 10 * (9 * 64 * 64 + 64) + 8 * 2 * 64
    assert count_parameters(Architecture().build()) == by_hand == 401_475


def test_the_skip_is_added_after_the_relu():
    generator = Architecture(channels=4, blocks=1).build()
    _, block, *_ = generator.layers
    features = torch.randn(1, 4, 9, 9, generator=random())
    assert (block.forward(generator, features) - features).min() >= -1e-6


def test_images_of_a_batch_do_not_mix():
    generator, images = Architecture(channels=8, blocks=1).build(), photos()
    torch.testing.assert_close(generator(images)[:1], generator(images[:1]))


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [
        (100, 11, 4, (3, 4)),
        (25, 5, 2, (2, 2)),
        (13, 3, 2, (1, 1)),
        (12, 3, 2, (0, 1)),
        (13, 3, 1, (1, 1)),
        (8, 1, 4, (0, 0)),
    ],
)
def test_same_padding_is_that_of_tensorflow(side, kernel, stride, padding):
    assert same_padding(side, kernel, stride) == padding


def test_the_extra_zeros_of_a_strided_convolution_come_last():
    layer = StridedConv(1, 1, 11, 4, norm=None)
    torch.nn.init.ones_(layer.conv.weight)
    torch.nn.init.zeros_(layer.conv.bias)
    sums = layer(torch.ones(1, 1, 100, 100))[0, 0]
    assert sums.shape == (25, 25)
    # 3 zeros before and 4 after leave 8 of the 11 taps at the first window and 7 at the last.
    assert [sums[0, 12].item(), sums[12, 12].item(), sums[-1, 12].item()] == pytest.approx([88, 121, 77])


@pytest.mark.parametrize(("side", "flat"), [(17, 128 * 2 * 2), (48, 128 * 3 * 3), (100, 128 * 7 * 7)])
def test_the_discriminator_gives_two_logits_for_the_patch_size_it_is_made_for(side, flat):
    discriminator = Discriminator(side)
    assert discriminator.hidden.in_features == flat
    assert discriminator(photos(side, side)).shape == (2, 2)


@pytest.mark.parametrize(
    ("form", "norm", "normed", "kind", "logits"),
    [
        ("mean", "instance", 4, torch.nn.InstanceNorm2d, 2),
        ("released-code", "instance", 4, torch.nn.InstanceNorm2d, 2),
        ("paper", "batch", 5, torch.nn.BatchNorm2d, 1),
        ("paper", "instance", 5, torch.nn.InstanceNorm2d, 1),
    ],
)
def test_the_discriminator_of_each_form(form, norm, normed, kind, logits):
    discriminator = Discriminator(32, form, norm)
    norms = [layer.norm for layer in discriminator.layers if isinstance(layer.norm, kind)]
    assert len(norms) == normed
    assert all(found.eps == 1e-3 and found.affine for found in norms)
    assert isinstance(discriminator.layers[0].norm, kind) == (form == "paper")
    assert discriminator(photos(32, 32)).shape == (2, logits)


def test_the_discriminator_normalises_what_the_leaky_relu_leaves():
    layer = StridedConv(1, 4, 3, 1, norm="instance")
    features = layer(torch.randn(1, 1, 16, 16, generator=random()))
    torch.testing.assert_close(features.mean(dim=(2, 3)), torch.zeros(1, 4), atol=1e-5, rtol=0)


def test_a_patch_too_small_for_the_discriminator_is_refused():
    with pytest.raises(ValueError, match="17 px or more, not 16"):
        Discriminator(16)


def test_the_discriminator_is_blind_to_colour_of_equal_grey():
    images = photos(48, 48)
    colourless = grey(images).expand(-1, 3, -1, -1) / sum((0.2989, 0.5870, 0.1140))
    discriminator = Discriminator(48)
    initialise(discriminator, random())
    torch.testing.assert_close(discriminator(images), discriminator(colourless), rtol=1e-3, atol=1e-5)


def test_grey_weighs_the_channels():
    colours = torch.eye(3).view(3, 3, 1, 1)
    assert grey(colours).flatten().tolist() == pytest.approx([0.2989, 0.5870, 0.1140])


def test_the_discriminator_flattens_rows_columns_channels():
    discriminator = Discriminator(48)
    seen = []
    discriminator.hidden.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = photos(48, 48)
    discriminator(images)
    features = grey(images)
    for layer in discriminator.layers:
        features = layer(features)
    torch.testing.assert_close(seen[0][:, :128], features[:, :, 0, 0])
    torch.testing.assert_close(seen[0][:, 128:256], features[:, :, 0, 1])


@pytest.mark.parametrize("scheme", ["pass-through", "released-code"])
@pytest.mark.parametrize("build", [lambda: Architecture(channels=8, blocks=2).build(), lambda: Discriminator(17)])
def test_first_weights_come_from_the_given_random_generator_alone(build, scheme):
    states = []
    for global_seed, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(global_seed)
        network = build()
        before = torch.get_rng_state()
        initialise(network, random(seed), scheme)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(network.state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_released_scheme_is_cut_at_two_standard_deviations():
    generator = Architecture(channels=8, blocks=1).build()
    initialise(generator, random(), "released-code")
    assert generator.head.weight.abs().max() <= 0.02
    # A normal distribution cut at two standard deviations keeps 0.88 of its standard deviation.
    assert generator.head.weight.std().item() == pytest.approx(0.0088, rel=0.05)
    assert torch.equal(generator.tail.bias, torch.full((3,), 0.01))
    assert torch.equal(generator.get_parameter("blocks.0.norm1.weight"), torch.ones(8))


@pytest.mark.parametrize("blocks", [0, 4])
def test_a_new_generator_passes_the_picture_on(blocks):
    generator, images = Architecture(channels=16, blocks=blocks).build(), functional.avg_pool2d(photos(96, 96), 3)
    initialise(generator, random())
    with torch.no_grad():
        outputs = generator(images)
    assert (outputs - images).abs().mean() < 0.06
    correlation = torch.corrcoef(torch.stack([outputs.flatten(), images.flatten()]))[0, 1]
    assert correlation > 0.95


@pytest.mark.parametrize("channels", [1, 2])
def test_a_generator_too_narrow_for_three_colours_still_starts(channels):
    generator = Architecture(channels=channels, blocks=1).build()
    initialise(generator, random())
    assert generator(photos()).isfinite().all()


def test_a_new_discriminator_is_undecided_but_not_indifferent():
    discriminator = Discriminator(48)
    initialise(discriminator, random())
    logits = discriminator(photos(48, 48))
    assert logits.abs().max() < 1
    assert (logits[0] - logits[1]).abs().max() > 1e-4


@pytest.mark.parametrize("scheme", ["pass-through", "released-code"])
def test_gradients_reach_every_weight_of_the_generator_after_one_step(scheme):
    generator, images = Architecture(channels=8, blocks=2).build(), photos()
    initialise(generator, random(), scheme)
    optimiser = torch.optim.SGD(generator.parameters(), lr=1e-3)
    for _ in range(2):
        optimiser.zero_grad()
        generator(images).square().mean().backward()
        optimiser.step()
    for name, weights in generator.named_parameters():
        # A norm removes the bias of the convolution before it.
        if not ("conv" in name and name.endswith("bias")):
            assert weights.grad.abs().max() > 0, name


def test_gradients_reach_the_images_through_the_discriminator():
    discriminator, images = Discriminator(48), photos(48, 48).requires_grad_()
    initialise(discriminator, random())
    discriminator(images).square().sum().backward()
    assert images.grad.abs().max() > 0
    assert math.isfinite(images.grad.abs().sum().item())


def test_names_of_the_weights_say_where_they_belong():
    names = set(Architecture(channels=4, blocks=1).build().state_dict())
    assert {"head.weight", "blocks.0.conv1.weight", "blocks.0.norm2.weight", "body1.bias", "tail.weight"} <= names
