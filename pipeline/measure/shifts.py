"""Measure the shifts between two nearly aligned grey images, window by window, to a few hundredths of a px.

The shift of each 64 px window is the one that, with a gain and an offset of its own, explains the phone's window by the
DSLR's. It comes from one Gauss-Newton step of least squares (Lucas and Kanade 1981; Baker and Matthews 2004,
doi:10.1023/B:VISI.0000011205.11775.fd), with sums over 32 px blocks. A step is only right for small shifts, so callers
warp by the result and measure again; at the end the shifts are near zero, where the step has no bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Points
from dpedtool.pipeline.measure.grey_values import GreyValues

Sums = npt.NDArray[np.float64]

BLOCK = 32
WINDOW = 2 * BLOCK
SMOOTHING = 1.2
"""Sigma of the Gaussian, in px of the phone: large enough that noise does not pull the shifts, and that linear
interpolation moves nothing by 0.01 px."""
DETAIL_PX, EVEN_PX = 8, 24
"""Detail coarser than about 8 px is removed, since shading that only one lens has would pull the shifts. The contrast
that is left is evened out over about 24 px."""
LEAST_SLOPE = 1.5
"""In grey levels per px, on smoothed images: noise changes by less, detail by more."""
LEAST_ENERGY = 4e-6
"""Squared grey levels of a window that always count as unexplained: a flat window proves nothing, however well it
fits."""


@dataclass(frozen=True, eq=False)
class Shifts:
    """The shifts of N windows, in px of the phone photo."""

    centres: Points
    """(N, 2)"""
    shifts: Points
    """(N, 2): the DSLR image shows at centre + shift what the phone's shows at the centre."""
    information: npt.NDArray[np.float64]
    """(N, 2, 2) in 1/px^2: inverse covariance by the windows' own texture and noise; an edge fixes one direction."""
    ncc: npt.NDArray[np.float64]
    """(N,): zero-mean normalised cross-correlation at shift zero, -1..1."""
    side: float = WINDOW
    """Side of a window, in px; neighbouring windows are half a side apart."""

    def __len__(self) -> int:
        return len(self.centres)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Shifts:
        """Return the windows for which `chosen` (N,) is true."""
        return Shifts(self.centres[chosen], self.shifts[chosen], self.information[chosen], self.ncc[chosen], self.side)


def noise_correlation(smoothing: float) -> float:
    """Return over how many px noise is correlated that was smoothed by a Gaussian of this sigma, in px.

    A window has fewer independent values than px by this factor. This is exact for detail coarser than the noise. Finer
    detail suffers less, so that windows claim up to 2.7 times the variance that they have, but never less than it.
    """
    return float(4 * np.pi * smoothing**2)


def even_detail(image: GreyValues) -> GreyValues:
    """Return the fine detail of a smoothed grey image (H, W), with mean 0 and the same contrast everywhere."""
    detail = image - _broad_mean(image, DETAIL_PX)
    contrast = np.sqrt(_broad_mean(detail * detail, EVEN_PX) + np.float32(1.0))
    return np.asarray(detail / contrast, np.float32)


def window_centres(height: int, width: int) -> Points:
    """Return the centres (N, 2) of the windows of an image, row by row, in the order of `measure_shifts`."""
    ys, xs = (np.arange(length // BLOCK - 1) * BLOCK + (WINDOW - 1) / 2 for length in (height, width))
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float64)


def measure_shifts(phone: GreyValues, dslr: GreyValues) -> Shifts:
    """Measure the shifts of all windows of two images (H, W) of `even_detail`, in their px; empty if no window fits."""
    centres = window_centres(*phone.shape)
    if not len(centres):
        return Shifts(centres, np.empty((0, 2)), np.empty((0, 2, 2)), np.empty(0))
    normal, moments, energy = _centred_sums([dslr, *gradients(dslr)], phone)
    shifts, texture, unexplained = gauss_newton(normal, moments, energy)
    variance = unexplained / WINDOW**2 * noise_correlation(SMOOTHING)
    information = texture / variance[:, None, None]
    ncc = moments[:, 0] / np.sqrt(np.maximum(energy * normal[:, 0, 0], 1e-9))
    return Shifts(centres, shifts, information, ncc)


def gradients(image: GreyValues) -> tuple[GreyValues, GreyValues]:
    """Return the gradients of an image (H, W) along x and y, (H, W) each, in grey levels per px."""
    # Scharr's kernels return 32 times the gradient.
    x, y = (cv2.Scharr(image, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    return x, y  # type: ignore[return-value]


def gauss_newton(normal: Sums, moments: Sums, energy: Sums) -> tuple[Points, Sums, Sums]:
    """Return the shift (N, 2) of N windows in px, the texture (N, 2, 2) behind it, and the error that is left (N,).

    One step of least squares for phone = gain * (dslr + shift . gradient) + offset: linear in gain and gain * shift.
    The texture is the sum of products of the gradients once the gain is fitted too; the error is the sum of squares
    that no shift explains. Both are in squared grey levels of the DSLR's window.

    Parameters
    ----------
    normal
        (N, 3, 3): covariances of the DSLR's window and its gradients along x and y, times the number of px.
    moments
        (N, 3): their covariances with the phone's window, times the same.
    energy
        (N,): the variance of the phone's window, times the same.

    """
    solved = np.linalg.solve(normal + 1e-9 * np.eye(3), moments[..., None])[..., 0]
    gain = np.where(np.abs(solved[:, 0]) > 1e-6, solved[:, 0], 1e-6)
    left = np.maximum(energy - (solved * moments).sum(axis=1), LEAST_ENERGY)
    # The Schur complement is what is known about the shift once the gain is fitted too.
    cross = normal[:, 1:, :1]
    texture = normal[:, 1:, 1:] - cross @ cross.swapaxes(1, 2) / np.maximum(normal[:, :1, :1], 1e-9)
    return solved[:, 1:] / gain[:, None], texture, left / gain**2


def _centred_sums(parts: Sequence[GreyValues], phone: GreyValues) -> tuple[Sums, Sums, Sums]:
    """Return covariances of each window, times the number of px.

    They are those of the parts (N, K, K), of the parts with the phone (N, K) and of the phone (N,). Every product is
    summed over blocks before the next is computed, so that memory for one image is enough.
    """
    images = [*parts, phone]
    means = [_window_sums(image) for image in images]
    count = len(images)
    sums = np.empty((len(means[0]), count, count))
    for i in range(count):
        for j in range(i, count):
            product = _window_sums(cv2.multiply(images[i], images[j])) - means[i] * means[j] / WINDOW**2
            sums[:, i, j] = sums[:, j, i] = product
    return sums[:, :-1, :-1], sums[:, :-1, -1], sums[:, -1, -1]


def _window_sums(image: npt.NDArray[np.float32] | cv2.typing.MatLike) -> Sums:
    rows, columns = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    whole = image[: rows * BLOCK, : columns * BLOCK]
    blocks = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float64) * BLOCK**2
    windows: Sums = blocks[:-1, :-1] + blocks[:-1, 1:] + blocks[1:, :-1] + blocks[1:, 1:]
    return windows.ravel()


def _broad_mean(image: GreyValues, sigma: int) -> GreyValues:
    """Return a wide Gaussian mean, computed on a reduced image: the difference is negligible, and it takes a tenth."""
    height, width = image.shape
    factor = max(1, sigma // 2)
    small = cv2.resize(image, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]
