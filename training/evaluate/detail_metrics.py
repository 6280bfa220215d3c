"""VIFp, GMSD, HaarPSI and FSIMc: how well the details of an image agree with those of another, by published formulas.

The library piq has them too, and a test compares with its values. It is not used, because it imports torchvision, whose
published builds do not run with every build of torch: with torch for processors alone, its import fails.

- VIFp: Sheikh, Bovik, "Image information and visual quality", IEEE TIP 15 (2), 2006, in the authors' pixel domain.
- GMSD: Xue, Zhang, Mou, Bovik, "Gradient magnitude similarity deviation", IEEE TIP 23 (2), 2014.
- HaarPSI: Reisenhofer, Bosse, Kutyniok, Wiegand, "A Haar wavelet-based perceptual similarity index", 2018.
- FSIMc: Zhang, Zhang, Mou, Zhang, "FSIM: a feature similarity index", IEEE TIP 20 (8), 2011. Its map of features is
  Kovesi's phase congruency.

All functions take outputs and targets (N, 3, H, W), RGB, float, 0..1, and return (N,), float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from dpedtool.training.metrics import check_pair, convolve_separable, gaussian_taps

VIF_SMALLEST_PX, HAARPSI_SMALLEST_PX, GMSD_SMALLEST_PX, FSIM_SMALLEST_PX = 41, 16, 6, 16
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))

_VIF_NOISE = 2.0
"""Variance of the noise of the eye, in grey levels squared."""
_VIF_SCALES = 4
_SMALLEST_VARIANCE = 1e-8
_GMSD_STABILISER = 170 / 255**2
_HAAR_STABILISER, _HAAR_STEEPNESS, _HAAR_SCALES = 30.0, 4.2, 3

_FEATURE_SCALES, _FEATURE_ORIENTATIONS = 4, 4
_SHORTEST_WAVE_PX, _WAVE_RATIO, _BANDWIDTH = 6, 2, 0.55
_ANGLE_SIGMA = math.pi / _FEATURE_ORIENTATIONS / 1.2
_LOW_PASS_CUTOFF, _LOW_PASS_ORDER = 0.45, 15
_NOISE_DEVIATIONS, _NOISE_SCALING = 2.0, 1.7
# For phase congruency, gradients, I and Q on the scale 0..255; the last one is the weight of the colours.
_FSIM_STABILISERS, _FSIM_COLOUR_POWER = (0.85, 160.0, 200.0, 200.0), 0.03


def vif(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of the target's information that the output keeps: 1 for equal images, more with more contrast.

    Raises
    ------
    ValueError
        The shapes differ, hold no images, or are below 41 px.

    """
    ours, theirs = (255 * _grey(images) for images in _checked(outputs, targets, VIF_SMALLEST_PX))
    kept, whole = torch.zeros(len(ours), device=ours.device), torch.zeros(len(ours), device=ours.device)
    for scale in range(_VIF_SCALES):
        taps = 2 ** (_VIF_SCALES - scale) + 1
        window = gaussian_taps(taps, taps / 5)
        if scale:
            ours, theirs = (convolve_separable(images, window)[..., ::2, ::2] for images in (ours, theirs))
        variance, target_variance, covariance = _variances(ours, theirs, window)
        gain = covariance / (target_variance + _SMALLEST_VARIANCE)
        flat_target, flat_output = target_variance < _SMALLEST_VARIANCE, variance < _SMALLEST_VARIANCE
        gain = gain.masked_fill(flat_target | flat_output, 0.0)
        rest = torch.where(flat_target, variance, variance - gain * covariance)
        rest = torch.where(gain < 0, variance, rest.masked_fill(flat_output, 0.0)).clamp_min(_SMALLEST_VARIANCE)
        target_variance = target_variance.masked_fill(flat_target, 0.0)
        kept += torch.log10(1 + gain.clamp_min(0) ** 2 * target_variance / (rest + _VIF_NOISE)).sum(dim=(1, 2, 3))
        whole += torch.log10(1 + target_variance / _VIF_NOISE).sum(dim=(1, 2, 3))
    return (kept + _SMALLEST_VARIANCE) / (whole + _SMALLEST_VARIANCE)


def gmsd(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how unevenly the gradients agree over the image: 0 for equal images, larger for worse ones.

    Raises
    ------
    ValueError
        The shapes differ, hold no images, or are below 6 px.

    """
    ours, theirs = (_halved(_grey(images)) for images in _checked(outputs, targets, GMSD_SMALLEST_PX))
    prewitt = torch.tensor([[-1.0, 0.0, 1.0]] * 3, device=ours.device) / 3
    agreement = _similarity([_gradients(images, prewitt) for images in (ours, theirs)], _GMSD_STABILISER)
    return agreement.flatten(1).std(dim=1, correction=0)


def haarpsi(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the similarity of Haar wavelets, weighted by their strength: 0..1, 1 for equal images.

    Raises
    ------
    ValueError
        The shapes differ, hold no images, or are below 16 px.

    """
    ours, theirs = (_halved(255 * _yiq(images)) for images in _checked(outputs, targets, HAARPSI_SMALLEST_PX))
    bands = [_haar_bands(images[:, :1]).abs() for images in (ours, theirs)]
    fine, weights = [band[:, :, :-1] for band in bands], torch.maximum(bands[0][:, :, -1], bands[1][:, :, -1])
    agreement = _similarity(fine, _HAAR_STABILISER).mean(dim=2)
    colours = [
        functional.avg_pool2d(functional.pad(images[:, 1:], (0, 1, 0, 1)), 2, 1).abs() for images in (ours, theirs)
    ]
    agreement = torch.cat([agreement, _similarity(colours, _HAAR_STABILISER).mean(dim=1, keepdim=True)], dim=1)
    weights = torch.cat([weights, weights.mean(dim=1, keepdim=True)], dim=1)
    tiny = torch.finfo(weights.dtype).eps
    steep = ((_HAAR_STEEPNESS * agreement).sigmoid() * weights).sum(dim=(1, 2, 3)) + tiny
    return (torch.logit(steep / (weights.sum(dim=(1, 2, 3)) + tiny)) / _HAAR_STEEPNESS) ** 2


def fsim(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the similarity of features and gradients where there are features, with colours: 0..1, 1 for equal images.

    Raises
    ------
    ValueError
        The shapes differ, hold no images, or are below 16 px.

    """
    # The waves of an image take 32 times its memory, so there is one after the other.
    pairs = zip(*(torch.split(images, 1) for images in _checked(outputs, targets, FSIM_SMALLEST_PX)), strict=True)
    return torch.cat([_fsim(ours, theirs) for ours, theirs in pairs])


def _fsim(ours: Tensor, theirs: Tensor) -> Tensor:
    reduced = max(1, round(min(ours.shape[2:]) / 256))
    ours, theirs = (_yiq(255 * functional.avg_pool2d(images, reduced)) for images in (ours, theirs))
    filters = _log_gabor(ours.shape[2], ours.shape[3], ours.device)
    features = [_phase_congruency(images[:, 0], filters) for images in (ours, theirs)]
    scharr = torch.tensor([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]], device=ours.device) / 16
    maps = [
        features,
        [_gradients(images[:, :1], scharr)[:, 0] for images in (ours, theirs)],
        *([images[:, channel] for images in (ours, theirs)] for channel in (1, 2)),
    ]
    by_feature, by_gradient, *by_colour = (
        _similarity(pair, stabiliser) for pair, stabiliser in zip(maps, _FSIM_STABILISERS, strict=True)
    )
    weights = torch.maximum(*features)
    agreement = by_feature * by_gradient * (by_colour[0] * by_colour[1]).abs() ** _FSIM_COLOUR_POWER
    return (agreement * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2))


def _checked(outputs: Tensor, targets: Tensor, smallest_px: int) -> tuple[Tensor, Tensor]:
    check_pair(outputs, targets)
    if min(outputs.shape[2:]) < smallest_px:
        raise ValueError(f"Images must have {smallest_px} px or more, not {tuple(outputs.shape[2:])}.")
    return outputs.detach().float(), targets.detach().float()


def _yiq(images: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", images.new_tensor(_YIQ), images)


def _grey(images: Tensor) -> Tensor:
    return torch.einsum("j,njhw->nhw", images.new_tensor(_YIQ[0]), images)[:, None]


def _halved(images: Tensor) -> Tensor:
    """Average blocks of 2x2 px; where a side is odd, both get a line of zeros, as in the authors' code."""
    odd = max(images.shape[2] % 2, images.shape[3] % 2)
    return functional.avg_pool2d(functional.pad(images, (0, odd, 0, odd)), 2)


def _similarity(maps: Sequence[Tensor], stabiliser: float) -> Tensor:
    ours, theirs = maps
    return (2 * ours * theirs + stabiliser) / (ours**2 + theirs**2 + stabiliser)


def _gradients(images: Tensor, across: Tensor) -> Tensor:
    """Return the strengths of the gradients of images (N, 1, H, W) by a filter (3, 3) and its transpose."""
    kernels = torch.stack([across, across.T])[:, None]
    strengths: Tensor = functional.conv2d(images, kernels, padding=1).norm(dim=1, keepdim=True)
    return strengths


def _variances(ours: Tensor, theirs: Tensor, window: list[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the variances of both images and their covariance in every window; no variance is below 0."""
    sums = convolve_separable(torch.cat([ours, theirs, ours**2, theirs**2, ours * theirs], dim=1), window)
    mean, target_mean, square, target_square, product = torch.split(sums, 1, dim=1)
    variance, target_variance = square - mean**2, target_square - target_mean**2
    return variance.clamp_min(0), target_variance.clamp_min(0), product - mean * target_mean


def _haar_bands(images: Tensor) -> Tensor:
    """Return Haar coefficients of images (N, 1, H, W): (N, 2, 3, H, W), by direction and scale."""
    bands = []
    for scale in range(_HAAR_SCALES):
        taps = 2 ** (scale + 1)
        across = torch.full((taps, taps), 1 / taps, device=images.device)
        across[taps // 2 :] *= -1
        kernels = torch.stack([across, across.T])[:, None]
        before, after = taps // 2 - 1, taps // 2
        bands.append(functional.conv2d(functional.pad(images, (before, after, before, after)), kernels))
    return torch.stack(bands, dim=2)


def _log_gabor(height: int, width: int, device: torch.device) -> Tensor:
    """Return the filters of phase congruency for the spectrum of an image: (orientations, scales, H, W)."""
    # For odd sides the frequencies are those of the authors' code: they are divided by one less than the side.
    rows, columns = ((torch.arange(side, device=device) - side // 2) / (side - side % 2) for side in (height, width))
    across, down = torch.meshgrid(rows, columns, indexing="ij")
    radius = torch.fft.ifftshift(torch.hypot(across, down))
    angle = torch.fft.ifftshift(torch.atan2(-down, across))
    low_pass = 1 / (1 + (radius / _LOW_PASS_CUTOFF) ** (2 * _LOW_PASS_ORDER))
    radius[0, 0] = 1
    waves = [_SHORTEST_WAVE_PX * _WAVE_RATIO**scale for scale in range(_FEATURE_SCALES)]
    by_scale = torch.stack(
        [torch.exp(-(torch.log(radius * wave) ** 2) / (2 * math.log(_BANDWIDTH) ** 2)) * low_pass for wave in waves]
    )
    by_scale[:, 0, 0] = 0
    spreads = []
    for number in range(_FEATURE_ORIENTATIONS):
        turn = angle - number * math.pi / _FEATURE_ORIENTATIONS
        away = torch.atan2(torch.sin(turn), torch.cos(turn)).abs()
        spreads.append(torch.exp(-(away**2) / (2 * _ANGLE_SIGMA**2)))
    return torch.stack(spreads)[:, None] * by_scale


def _phase_congruency(images: Tensor, filters: Tensor) -> Tensor:
    """Return how well the phases of the waves agree at each px of images (N, H, W): the same shape, 0..1."""
    tiny = torch.finfo(images.dtype).eps
    waves = torch.fft.ifft2(torch.fft.fft2(images)[:, None, None] * filters)
    amplitudes, sums = waves.abs(), waves.sum(dim=2, keepdim=True)
    direction = sums / (sums.abs() + tiny)
    turned = waves * direction.conj()
    energy = (turned.real - turned.imag.abs()).sum(dim=2)
    energy = (energy - _noise(amplitudes[:, :, 0], filters)[..., None, None]).clamp_min(0)
    agreement: Tensor = (energy.sum(dim=1) + tiny) / (amplitudes.sum(dim=(1, 2)) + tiny)
    return agreement


def _noise(finest: Tensor, filters: Tensor) -> Tensor:
    """Return the energy (N, orientations) that noise alone would have, judged by the waves of the finest scale."""
    height, width = filters.shape[-2:]
    power = finest.flatten(2).median(dim=2).values ** 2 / math.log(2) / (filters[:, 0] ** 2).sum(dim=(1, 2))
    responses = torch.fft.ifft2(filters).real * math.sqrt(height * width)
    squares = (responses**2).sum(dim=(1, 2, 3))
    products = sum(
        (responses[:, one] * responses[:, other]).sum(dim=(1, 2))
        for one, other in combinations(range(_FEATURE_SCALES), 2)
    )
    tau = torch.sqrt(power * (squares + 2 * products))
    mean, deviation = tau * math.sqrt(math.pi / 2), tau * math.sqrt(2 - math.pi / 2)
    return (mean + _NOISE_DEVIATIONS * deviation) / _NOISE_SCALING
