"""PSNR and MS-SSIM against values worked out by hand."""

import math

import pytest
import torch
from skimage.metrics import structural_similarity
from torch.nn import functional

import dpedtool.training.metrics
from dpedtool.training.metrics import (
    SCALE_WEIGHTS,
    Measures,
    combine_scales,
    convolve_separable,
    gaussian_taps,
    measure_pairs,
    measure_protocols,
    ms_ssim_each,
    psnr_each,
    score,
    ssim_terms,
)


def photos(number: int = 2, side: int = 100, seed: int = 0) -> torch.Tensor:
    """Random images (N, 3, side, side) within 0.2..0.8."""
    return 0.2 + 0.6 * torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_psnr_of_a_constant_difference_is_that_of_its_square():
    grey = torch.full((2, 3, 8, 8), 0.5)
    # -10 log10(0.1^2) = 20 dB, -10 log10(0.01^2) = 40 dB
    shifted = grey + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert psnr_each(shifted, grey).tolist() == pytest.approx([20.0, 40.0], abs=1e-4)


def test_psnr_of_equal_images_is_infinite_and_left_out_of_the_mean():
    targets = photos(3)
    outputs = targets + torch.tensor([0.0, 0.1, 0.01]).view(3, 1, 1, 1)
    scores = score(outputs, targets, "image")
    assert scores.infinite_psnr == 1
    assert scores.pairs == 3
    assert scores.psnr_db == pytest.approx(30.0, abs=1e-4)


def test_scores_of_nothing_but_equal_images():
    targets = photos()
    scores = score(targets, targets, "image")
    assert (scores.psnr_db, scores.infinite_psnr) == (math.inf, 2)
    assert scores.ms_ssim == pytest.approx(1.0)


@pytest.mark.parametrize("side", [16, 33, 100, 177])
def test_ms_ssim_of_equal_images_is_one(side):
    images = photos(side=side)
    assert ms_ssim_each(images, images).tolist() == pytest.approx([1.0, 1.0])


def test_ms_ssim_of_constant_images_is_the_luminance_of_the_last_scale_alone():
    low, high = 0.4, 0.6
    luminance = (2 * low * high + 1e-4) / (low**2 + high**2 + 1e-4)
    outputs, targets = torch.full((1, 3, 100, 100), low), torch.full((1, 3, 100, 100), high)
    assert ms_ssim_each(outputs, targets).item() == pytest.approx(luminance ** SCALE_WEIGHTS[-1], rel=1e-6)


def test_an_image_of_opposite_contrast_scores_zero():
    images = photos()
    assert ms_ssim_each(1 - images, images).tolist() == [0.0, 0.0]


def test_scales_are_halved_by_means_of_four_with_the_edge_replicated():
    images = photos(side=25).double()
    padded = torch.cat([images, images[..., -1:]], dim=3)
    padded = torch.cat([padded, padded[..., -1:, :]], dim=2)
    corners = [padded[..., row::2, column::2] for row in (0, 1) for column in (0, 1)]
    halved = torch.stack(corners).mean(dim=0)
    assert halved.shape[2:] == (13, 13)
    last_of_two = ssim_terms(images + 0.1, images, scales=2)[1]
    torch.testing.assert_close(last_of_two, ssim_terms(halved + 0.1, halved, scales=1)[0])


def test_protocol_image_clips_and_protocol_batch_does_not():
    targets = torch.ones(2, 3, 32, 32)
    outputs = targets + 0.1
    assert score(outputs, targets, "image").psnr_db == math.inf
    assert score(outputs, targets, "batch").psnr_db == pytest.approx(20.0, abs=1e-4)


def test_protocol_batch_takes_one_psnr_over_each_fifty_pairs_in_order():
    targets = torch.full((75, 3, 16, 16), 0.5)
    outputs = targets.clone()
    outputs[:50] += 0.1
    outputs[50:] += 0.01
    # 50 pairs at 20 dB and 25 at 40 dB
    assert score(outputs, targets, "batch").psnr_db == pytest.approx((2 * 20 + 40) / 3, abs=1e-4)


def test_protocol_batch_averages_terms_before_the_powers():
    targets = photos(2)
    outputs = torch.stack([targets[0], photos(1, seed=1)[0]])
    terms = ssim_terms(outputs.double(), targets.double())
    expected = math.prod(
        max(term, 0.0) ** weight for term, weight in zip(terms.mean(dim=1).tolist(), SCALE_WEIGHTS, strict=True)
    )
    assert score(outputs, targets, "batch").ms_ssim == pytest.approx(expected)
    assert score(outputs, targets, "image").ms_ssim < expected


@pytest.mark.parametrize("protocol", ["image", "batch"])
def test_measures_of_parts_add_up_to_those_of_the_whole(protocol):
    targets = photos(120, side=16)
    outputs = targets + 0.6 * (photos(120, side=16, seed=1) - 0.5)
    cuts = [7, 50, 43, 20]
    parts = [
        measure_protocols(*part)[protocol]
        for part in zip(torch.split(outputs, cuts), torch.split(targets, cuts), strict=True)
    ]
    assert Measures.joined(parts).scores(protocol) == score(outputs, targets, protocol)


def test_measures_are_a_few_numbers_a_pair():
    measures = measure_pairs(photos(3), photos(3, seed=1))
    assert (measures.squared_error.shape, measures.ssim_terms.shape) == ((3,), (5, 3))
    assert len(measures) == 3
    assert measures.psnr_db().tolist() == psnr_each(photos(3), photos(3, seed=1)).tolist()
    assert measures.ssim.shape == (3,)
    assert measures.ms_ssim().tolist() == ms_ssim_each(photos(3), photos(3, seed=1)).tolist()


@pytest.mark.parametrize("size", [(100, 100), (40, 23), (300, 270)])
def test_ssim_is_that_of_scikit_image(size):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets, outputs = images[:1], (0.7 * images[:1] + 0.3 * images[1:]) ** 1.5
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = structural_similarity(outputs[0].numpy(), targets[0].numpy(), channel_axis=0, **options)
    assert measure_pairs(outputs, targets).ssim.item() == pytest.approx(expected, abs=1e-12)


def test_ssim_of_constant_images_is_their_luminance():
    low, high = 0.4, 0.6
    outputs, targets = torch.full((1, 3, 16, 20), low), torch.full((1, 3, 16, 20), high)
    expected = (2 * low * high + 1e-4) / (low**2 + high**2 + 1e-4)
    assert score(outputs, targets, "image").ssim == pytest.approx(expected, rel=1e-6)


def test_mean_ssim_of_a_short_last_batch_counts_by_its_pairs():
    targets = photos(53, side=16)
    outputs = torch.cat([targets[:50], photos(3, side=16, seed=1)])
    scores = [score(outputs, targets, protocol).ssim for protocol in ("image", "batch")]
    each = measure_pairs(outputs, targets).ssim
    assert scores == pytest.approx([each.mean().item()] * 2)
    assert each[:50].tolist() == pytest.approx([1.0] * 50)


@pytest.mark.parametrize("tile", [1, 7, 100])
def test_large_images_are_filtered_in_parts_that_give_what_the_whole_gives(monkeypatch, tile):
    outputs, targets = photos(side=37)[..., :29], photos(side=37, seed=1)[..., :29]
    whole = ssim_terms(outputs.double(), targets.double())
    monkeypatch.setattr(dpedtool.training.metrics, "TILE_WINDOWS", tile)
    torch.testing.assert_close(ssim_terms(outputs.double(), targets.double()), whole)


@pytest.mark.parametrize("protocol", ["image", "batch"])
def test_of_no_pair_there_is_no_score(protocol):
    scores = Measures.joined([]).scores(protocol)
    assert (scores.pairs, scores.infinite_psnr) == (0, 0)
    assert math.isnan(scores.psnr_db)
    assert math.isnan(scores.ms_ssim)
    assert math.isnan(scores.ssim)


def test_what_needs_no_clipping_is_measured_once():
    inside = measure_protocols(photos(), photos(seed=1))
    assert inside["image"] is inside["batch"]
    beyond = measure_protocols(photos() * 2, photos(seed=1))
    assert beyond["image"].psnr_db().min() > beyond["batch"].psnr_db().min()


def test_fewer_scales_share_the_weights():
    terms = torch.tensor([[0.25], [0.25]], dtype=torch.float64)
    assert combine_scales(terms).item() == pytest.approx(0.25)


@pytest.mark.parametrize("taps", [7, 10, 11])
def test_gaussian_taps_are_symmetric_and_sum_to_one(taps):
    window = gaussian_taps(taps, 1.5)
    assert sum(window) == pytest.approx(1.0)
    assert window == pytest.approx(window[::-1])
    assert window[taps // 2] / window[taps // 2 - 1] == pytest.approx(math.exp(0.5 / 1.5**2) if taps % 2 else 1.0)


@pytest.mark.parametrize("padding", [0, 2, 5])
def test_separable_convolution_is_that_with_the_outer_product_of_the_taps(padding):
    images = photos(2, side=12)[..., :9]
    taps = torch.tensor(gaussian_taps(5, 1.0))
    planes = images.reshape(6, 1, 12, 9)
    expected = functional.conv2d(planes, torch.outer(taps, taps).view(1, 1, 5, 5), padding=padding)
    filtered = convolve_separable(images, taps.tolist(), padding)
    torch.testing.assert_close(filtered, expected.view(2, 3, *expected.shape[2:]))


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((2, 3, 8, 8), (1, 3, 8, 8)), ((3, 8, 8), (3, 8, 8)), ((1, 8, 8, 3), (1, 8, 8, 3)), ((0, 3, 8, 8), (0, 3, 8, 8))],
)
def test_shapes_that_would_broadcast_or_mean_nothing_are_refused(outputs, targets):
    with pytest.raises(ValueError, match="shape"):
        score(torch.zeros(outputs), torch.zeros(targets), "image")


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="one of image, batch"):
        score(photos(), photos(), "mean")
