"""PSNR and MS-SSIM as DPED reports them, so that figures compare with the published ones; and SSIM.

MS-SSIM follows Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar
2003, equation 7, with the choices of DPED's released code: the window shrinks to the image where a scale is smaller
than 11 px. A 100 px patch reaches that at the fifth scale. Libraries that refuse or pad give other figures.

SSIM follows Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE TIP 13 (4), 2004: a Gaussian window of 11 taps with sigma 1.5, normalised to the sum 1 (the variances
are not corrected for the sample), K1 = 0.01, K2 = 0.03, only windows wholly inside, at full resolution. It is computed
for each of the channels R, G, B and averaged. Only an image below 11 px has a smaller window, as above. scikit-image's
structural_similarity with gaussian_weights=True, sigma=1.5, use_sample_covariance=False gives the same.

Images are torch tensors (N, 3, H, W), RGB, float, nominally 0..1; the computation is in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dpedtool.dataset.sidecars.metrics import NOT_SCORED, VersionScores

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW_TAPS = 11
WINDOW_SIGMA_PX = 1.5
# (K L)^2 of Wang et al. with K1 = 0.01, K2 = 0.03. DPED computes on 0..255 with L = 255; 0..1 with L = 1 is the same.
LUMINANCE_STABILISER = 0.01**2
CONTRAST_STABILISER = 0.03**2
BATCH_PAIRS = 50
ROUNDING_ERROR = 1 / (12 * 255**2)
"""Mean squared error that rounding to 8 bits alone makes, on the scale 0..1."""
MOST_PSNR_DB = -10 * math.log10(ROUNDING_ERROR)
"""58.92 dB: beyond it, the DSLR's image itself is not known. Means over the same pairs count no more than this."""
CONSTANT_RMS = 0.5 / 255
"""An image is constant if each channel deviates from its mean by less than half a grey level (root mean square)."""
# Larger images are filtered in parts: this bounds the memory and the size of the band matrices.
TILE_WINDOWS = 118

Protocol = Literal["image", "batch"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Mean scores of a set of pairs under one protocol; figures of different protocols are not comparable."""

    protocol: Protocol
    psnr_db: float
    """Mean of the finite values, in dB; infinite if no value is finite, NaN without pairs."""
    ms_ssim: float
    """0..1; 1 for identical images; NaN without pairs."""
    ssim: float
    """-1..1; 1 for identical images; NaN without pairs. Both protocols take its mean and differ only in clipping."""
    pairs: int
    infinite_psnr: int
    """Pairs (`image`) or batches (`batch`) without any difference, left out of `psnr_db`."""


@dataclass(frozen=True)
class Measures:
    """Seven numbers a pair, enough for both protocols: a large set is measured in parts that are then joined."""

    squared_error: Tensor
    """(N,), float64: mean over the channels and px."""
    ssim_terms: Tensor
    """(5, N), float64, as `ssim_terms` returns them."""
    ssim: Tensor
    """(N,), float64: SSIM of Wang et al. 2004, -1..1."""

    def __len__(self) -> int:
        return len(self.squared_error)

    @staticmethod
    def joined(parts: Sequence[Measures]) -> Measures:
        """Return the measures of all parts in their order; without parts, the measures of zero pairs."""
        none = torch.empty(len(SCALE_WEIGHTS), 0, dtype=torch.float64)
        whole = [Measures(none[0], none, none[0]), *parts]
        return Measures(
            torch.cat([part.squared_error for part in whole]),
            torch.cat([part.ssim_terms for part in whole], dim=1),
            torch.cat([part.ssim for part in whole]),
        )

    def some(self, chosen: Tensor | list[int]) -> Measures:
        """Return the measures of some pairs, by a mask (N,) or by indices."""
        return Measures(self.squared_error[chosen], self.ssim_terms[:, chosen], self.ssim[chosen])

    def psnr_db(self) -> Tensor:
        """Return the PSNR of every pair, in dB: float64 (N,), infinite where the two are equal."""
        return _psnr_db(self.squared_error)

    def limited_psnr_db(self) -> Tensor:
        """Return the same, but at most `MOST_PSNR_DB`, so that every pair counts in a mean."""
        return self.psnr_db().clamp(max=MOST_PSNR_DB)

    def ms_ssim(self) -> Tensor:
        """Return the MS-SSIM of every pair: float64 (N,), 0..1."""
        return combine_scales(self.ssim_terms)

    def scores(self, protocol: Protocol, *, limited: bool = False) -> Scores:
        """Return the mean scores, as `score` describes them; clipping was decided when the images were measured.

        With `limited`, PSNR counts at most `MOST_PSNR_DB`, and no pair is left out.
        """
        units = self if protocol == "image" else self._of_batches()
        weights = torch.ones_like(units.squared_error) if protocol == "image" else self._pairs_of_batches()
        psnr = units.limited_psnr_db() if limited else units.psnr_db()
        finite = psnr.isfinite()
        only_infinite = len(self) > 0 and not finite.any()
        return Scores(
            protocol=protocol,
            psnr_db=math.inf if only_infinite else _mean(psnr[finite], weights[finite]),
            ms_ssim=_mean(units.ms_ssim(), weights),
            ssim=_mean(units.ssim, weights),
            pairs=len(self),
            infinite_psnr=int((~finite).sum()),
        )

    def _of_batches(self) -> Measures:
        """Average the measures over each batch of 50 pairs, as if a batch were one pair."""
        starts = range(0, len(self), BATCH_PAIRS)
        columns = [slice(start, start + BATCH_PAIRS) for start in starts]
        return Measures.joined(
            [
                Measures(
                    self.squared_error[column].mean(dim=0, keepdim=True),
                    self.ssim_terms[:, column].mean(dim=1, keepdim=True),
                    self.ssim[column].mean(dim=0, keepdim=True),
                )
                for column in columns
            ]
        )

    def _pairs_of_batches(self) -> Tensor:
        sizes = [min(BATCH_PAIRS, len(self) - start) for start in range(0, len(self), BATCH_PAIRS)]
        return torch.tensor(sizes, dtype=torch.float64)


def measure_pairs(outputs: Tensor, targets: Tensor) -> Measures:
    """Measure some pairs; the measures are on the processor.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W), float; the peak is 1. Taken as given: clip first for the values of the protocol ``image``.

    Raises
    ------
    ValueError
        The shapes differ or hold no images.

    """
    check_pair(outputs, targets)
    outputs, targets = outputs.detach().double(), targets.detach().double()
    ssim, contrast = ssim_by_scale(outputs, targets)
    return Measures(_squared_error(outputs, targets).cpu(), _terms(ssim, contrast).cpu(), ssim[0].cpu())


def measure_protocols(outputs: Tensor, targets: Tensor) -> dict[Protocol, Measures]:
    """Measure some pairs as each protocol needs them: (N, 3, H, W), float, nominally 0..1, not clipped.

    Images within 0..1, such as photos, are measured once for both protocols.

    Raises
    ------
    ValueError
        The shapes differ or hold no images.

    """
    as_given = measure_pairs(outputs, targets)
    clipped = outputs.clamp(0, 1), targets.clamp(0, 1)
    unchanged = torch.equal(clipped[0], outputs) and torch.equal(clipped[1], targets)
    return {"image": as_given if unchanged else measure_pairs(*clipped), "batch": as_given}


def are_constant(images: Tensor) -> Tensor:
    """Return which images (N, 3, H, W), 0..1, are constant in the sense of `CONSTANT_RMS`: bool (N,), on the processor.

    Such an image, a white sky say, has no detail that a network could get right or wrong.
    """
    deviations: Tensor = images.detach().double().flatten(2).std(dim=2, correction=0)
    return (deviations.amax(dim=1) < CONSTANT_RMS).cpu()


def score(outputs: Tensor, targets: Tensor, protocol: Protocol) -> Scores:
    """Score enhanced images against the DSLR's.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W), RGB, float, nominally 0..1, N above 0; the outputs as the generator gives them, not clipped.
    protocol
        ``image``: both clipped to 0..1, one value a pair, then the mean over the pairs.
        ``batch``: not clipped; batches of 50 in the order given, one PSNR over each batch, its SSIM terms averaged
        before the powers are taken, then the mean over the batches weighted by their pairs. The released code's log
        and the paper's table are computed like this; the released code also drops a last batch below 50, which is
        kept here.

    Raises
    ------
    ValueError
        The shapes differ or hold no images, or the protocol is unknown.

    """
    check_pair(outputs, targets)
    if protocol not in PROTOCOLS:
        raise ValueError(f"The protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}.")
    if protocol == "image":
        outputs, targets = outputs.clamp(0, 1), targets.clamp(0, 1)
    batches = zip(torch.split(outputs, BATCH_PAIRS), torch.split(targets, BATCH_PAIRS), strict=True)
    return Measures.joined([measure_pairs(*batch) for batch in batches]).scores(protocol)


def recorded(scores: Scores | None, varied: Scores | None = None, matched: Scores | None = None) -> VersionScores:
    """Return scores as a file holds them: missing, NaN and infinite values are None.

    Parameters
    ----------
    scores
        Of all pairs.
    varied, matched
        Of the pairs whose targets are not constant: of the images as they are, and after the match of their colours.

    """
    if scores is None:
        return NOT_SCORED
    return VersionScores(
        _finite(scores.psnr_db),
        _finite(scores.ms_ssim),
        _finite(scores.ssim),
        scores.infinite_psnr,
        **{
            f"{score}_{kind}{unit}": _finite(getattr(of, score + unit)) if of else None
            for kind, of in (("varied", varied), ("matched", matched))
            for score, unit in (("psnr", "_db"), ("ms_ssim", ""), ("ssim", ""))
        },
    )


def psnr_each(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the PSNR of every pair, in dB: float64 (N,), infinite where the two are equal.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W), float; the peak is 1. Taken as given: clip first for the values of the protocol ``image``.

    Raises
    ------
    ValueError
        The shapes differ or hold no images.

    """
    check_pair(outputs, targets)
    return _psnr_db(_squared_error(outputs.detach().double(), targets.detach().double()))


def ms_ssim_each(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the MS-SSIM of every pair: float64 (N,), 0..1.

    A mean contrast term below 0, where the released code yields NaN, counts as 0.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W), float; the peak is 1. Taken as given: clip first for the values of the protocol ``image``.

    Raises
    ------
    ValueError
        The shapes differ or hold no images.

    """
    check_pair(outputs, targets)
    return combine_scales(ssim_terms(outputs.detach().double(), targets.detach().double()))


def check_pair(outputs: Tensor, targets: Tensor) -> None:
    """Refuse what broadcasting would accept silently.

    Raises
    ------
    ValueError
        The shapes differ, or are not (N, 3, H, W) with N, H and W above 0.

    """
    shapes = f"{tuple(outputs.shape)} and {tuple(targets.shape)}"
    if outputs.shape != targets.shape:
        raise ValueError(f"Outputs and targets must have one shape, not {shapes}.")
    if outputs.ndim != 4 or outputs.shape[1] != 3 or outputs.numel() == 0:
        raise ValueError(f"Outputs and targets must be of shape (N, 3, H, W) and not empty, not {shapes}.")


def ssim_terms(outputs: Tensor, targets: Tensor, scales: int = len(SCALE_WEIGHTS)) -> Tensor:
    """Return the terms whose weighted product is MS-SSIM.

    Parameters
    ----------
    outputs, targets
        (N, 3, H, W), float, the peak is 1; gradients flow.
    scales
        Number of scales, 1 or more; each is half the size of the one before.

    Returns
    -------
    Tensor
        (scales, N), each -1..1: contrast and structure of all scales but the last, whole SSIM of the last; means
        over the three channels and all windows that lie wholly inside.

    """
    return _terms(*ssim_by_scale(outputs, targets, scales))


def ssim_by_scale(outputs: Tensor, targets: Tensor, scales: int = len(SCALE_WEIGHTS)) -> tuple[Tensor, Tensor]:
    """Return SSIM, and SSIM without its luminance factor, at every scale.

    Parameters
    ----------
    outputs, targets, scales
        As in `ssim_terms`.

    Returns
    -------
    Tensor
        (scales, N), -1..1; the first row is the SSIM of Wang et al. 2004.
    Tensor
        The same without the luminance factor: contrast and structure.

    """
    found = []
    for scale in range(scales):
        if scale:
            outputs, targets = _half(outputs), _half(targets)
        found.append(_ssim(outputs, targets))
    ssim, contrast = zip(*found, strict=True)
    return torch.stack(ssim), torch.stack(contrast)


def _terms(ssim: Tensor, contrast: Tensor) -> Tensor:
    return torch.cat([contrast[:-1], ssim[-1:]])


def combine_scales(terms: Tensor, floor: float = 0.0) -> Tensor:
    """Return the MS-SSIM of terms (scales, ...): the product over the scales, each to the power of its weight.

    Parameters
    ----------
    terms
        (scales, ...) as `ssim_terms` returns them. With fewer than five scales the weights of the first ones are
        divided by their sum.
    floor
        Smaller terms are raised to this; above 0 it keeps the gradient finite.

    """
    weights = terms.new_tensor(SCALE_WEIGHTS[: len(terms)])
    weights = weights / weights.sum() if len(terms) < len(SCALE_WEIGHTS) else weights
    powers = terms.clamp_min(floor) ** weights.view(-1, *[1] * (terms.ndim - 1))
    return powers.prod(dim=0)


def gaussian_taps(taps: int, sigma_px: float) -> list[float]:
    """Return `taps` samples of a centred Gaussian, symmetric for even numbers too, with the sum 1."""
    samples = [math.exp(-((index - (taps - 1) / 2) ** 2) / (2 * sigma_px**2)) for index in range(taps)]
    return [sample / sum(samples) for sample in samples]


def convolve_separable(images: Tensor, taps: list[float], padding: int = 0) -> Tensor:
    """Filter every channel of (N, C, H, W) with the same symmetric taps along rows and columns.

    Each side shrinks by ``len(taps) - 1`` and grows by twice the padding of zeros.
    """
    if padding == 0 and images.device.type == "cpu" and not images.requires_grad:
        return _filtered_by_opencv(images, taps)
    # Products with band matrices are several times as fast on patches as convolutions in float64. They are never in
    # TF32, which GPUs use by default for convolutions of float32 and which is too coarse for variances.
    height, width = images.shape[2:]
    return _band(images, height, taps, padding) @ images @ _band(images, width, taps, padding).T


def _filtered_by_opencv(images: Tensor, taps: list[float]) -> Tensor:
    """Do the same for images in the processor's memory, without gradients: in a third of the time."""
    before, after = len(taps) // 2, (len(taps) - 1) // 2
    kernel, (height, width) = np.array(taps), images.shape[2:]
    filtered = np.stack(
        [
            cv2.sepFilter2D(plane, -1, kernel, kernel)[before : height - after, before : width - after]
            for plane in images.detach().flatten(0, 1).numpy()
        ]
    )
    return torch.from_numpy(filtered).view(*images.shape[:2], *filtered.shape[1:])


def _band(like: Tensor, side: int, taps: list[float], padding: int) -> Tensor:
    """Return the matrix (side + 2 padding - len(taps) + 1, side) that filters a column of `side` values."""
    rows = torch.arange(side + 2 * padding - len(taps) + 1, device=like.device).unsqueeze(1)
    tap = torch.arange(side, device=like.device) + padding - rows
    inside = (tap >= 0) & (tap < len(taps))
    return like.new_tensor(taps)[tap.clamp(0, len(taps) - 1)] * inside


def _ssim(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM and its contrast-structure part, each (N,): Wang et al. 2003, equations 1 to 6."""
    taps = min(WINDOW_TAPS, *outputs.shape[2:])
    window = gaussian_taps(taps, WINDOW_SIGMA_PX * taps / WINDOW_TAPS)
    rows, columns = (side - taps + 1 for side in outputs.shape[2:])
    sums = [
        torch.stack(_ssim_sums(outputs[..., part[0], part[1]], targets[..., part[0], part[1]], window))
        for part in product(_tiles(rows, taps), _tiles(columns, taps))
    ]
    ssim, contrast = torch.stack(sums).sum(dim=0) / (outputs.shape[1] * rows * columns)
    return ssim, contrast


def _tiles(windows: int, taps: int) -> list[slice]:
    """Split a side into parts of at most `TILE_WINDOWS` windows each; neighbouring parts share px."""
    starts = range(0, windows, TILE_WINDOWS)
    return [slice(start, min(start + TILE_WINDOWS, windows) + taps - 1) for start in starts]


def _ssim_sums(outputs: Tensor, targets: Tensor, window: list[float]) -> tuple[Tensor, Tensor]:
    """Return the same as `_ssim`, but as sums over the channels and windows."""
    maps = torch.cat([outputs, targets, outputs**2 + targets**2, outputs * targets], dim=1)
    mean_out, mean_target, square_sum, mixed = convolve_separable(maps, window).chunk(4, dim=1)
    mean_square_sum = mean_out**2 + mean_target**2
    mean_product = mean_out * mean_target
    covariance, variance_sum = mixed - mean_product, square_sum - mean_square_sum
    contrast = (2 * covariance + CONTRAST_STABILISER) / (variance_sum + CONTRAST_STABILISER)
    luminance = (2 * mean_product + LUMINANCE_STABILISER) / (mean_square_sum + LUMINANCE_STABILISER)
    return (luminance * contrast).sum(dim=(1, 2, 3)), contrast.sum(dim=(1, 2, 3))


def _half(images: Tensor) -> Tensor:
    # With ceil_mode the last window of an odd side averages only the px inside, which equals replicating the edge.
    return functional.avg_pool2d(images, 2, ceil_mode=True)


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean(dim=(1, 2, 3))


def _psnr_db(squared_error: Tensor) -> Tensor:
    return -10 * torch.log10(squared_error)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean(values: Tensor, weights: Tensor) -> float:
    return float((values * weights).sum() / weights.sum())
