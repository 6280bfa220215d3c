"""Refine a coarse homography to a few hundredths of a px: measure, fit, warp, measure again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.pipeline.geometry.homographies import Box, Homography, inverse, local_scale
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.geometry.warping import prefilter_sigma
from dpedtool.pipeline.measure.common_range import WHOLE, cut_off
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import NO_NOISE, PairNoise
from dpedtool.pipeline.measure.shift_models import Fit, Model, fit
from dpedtool.pipeline.measure.shifts import SMOOTHING, WINDOW, Shifts, even_detail, measure_shifts

COARSE_SIDE = 512
"""Longer side in px of the images of the first step, which reaches far and takes little time."""
REACH_PX = 2.0
"""Larger shifts are ignored, since one step of least squares cannot measure them."""
LEAST_NCC = 0.5
"""Of windows without noise; less where there is noise."""
LIGHT = (255 * (np.arange(256) / 255) ** 1.3).astype(np.float32)
"""Converts grey levels towards linear light. Smoothing grey levels moves the edge between dark and bright by up to
0.25 px where the tone curves of the two cameras differ. Smoothing linear light does not, but gives too much weight to
the shadows, which 8 bit store coarsely. The exponent is the best compromise on rendered and real pairs."""
GREY_LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Refined:
    """A transform, and the fit that it comes from."""

    transform: Transform
    fit: Fit | None
    """None if too few windows could be used; the transform is then the one that was given."""


def refine(
    phone: ReducedGrey,
    dslr: ReducedGrey,
    dslr_from_phone: Homography,
    *,
    bend: bool = True,
    noise: PairNoise = NO_NOISE,
) -> Refined:
    """Refine a homography that is right to a few px.

    Parameters
    ----------
    phone
        The phone's photo at full size.
    dslr
        The DSLR's photo, reduced or not, but not much coarser than the phone's.
    dslr_from_phone
        The homography between the full photos.
    bend
        Whether to refine at all; otherwise the coarse homography is returned.
    noise
        That of both photos. It lowers the NCC of windows that show the same.

    """
    if not bend:
        return Refined(Transform(dslr_from_phone), None)
    step = max(1, round(max(phone.size) / COARSE_SIDE))
    pairs = {factor: WarpedPair.of(phone, dslr, dslr_from_phone, factor) for factor in {step, 1}}
    # The first step leaves a part of large shifts, which would look like a bend: bends are fitted from the second on.
    passes: tuple[tuple[int, Model], ...] = ((step, "homography"), (step, "quintic"), (1, "quintic"), (1, "quintic"))
    transform, found = Transform(dslr_from_phone), None
    for factor, richest in passes:
        transform, found = _improved(
            pairs[factor], transform, phone.size, richest, noise.reduced(factor).least_ncc(LEAST_NCC)
        )
    return Refined(transform, found)


@dataclass(frozen=True, eq=False)
class WarpedPair:
    """Both photos, equally smoothed, at one resolution: full, or reduced by a whole factor."""

    phone: GreyValues
    """(H, W) on the phone's grid, reduced by `factor`."""
    dslr: GreyValues
    dslr_from_full: Homography
    dslr_size: tuple[int, int]
    """(width, height) of the full DSLR photo."""
    factor: int

    @classmethod
    def of(
        cls,
        phone: ReducedGrey,
        dslr: ReducedGrey,
        dslr_from_phone: Homography,
        factor: int = 1,
        tones: GreyValues = LIGHT,
        smoothing: float = SMOOTHING,
    ) -> WarpedPair:
        """Reduce and smooth both photos, within the ranges of brightness that both show.

        The homography is only used to compare the scales; `tones` (256,) maps grey levels to the values to measure;
        `smoothing` is the sigma of the Gaussian, in px of the phone's reduced photo.
        """
        centre = (np.array(phone.size) - 1) / 2
        scale = local_scale(inverse(dslr.full_from_reduced) @ dslr_from_phone, centre)
        # The DSLR's photo is reduced only as far as it stays at least as fine as the phone's.
        least = max(1, int(scale * factor))
        small, small_from_image = _reduced(dslr.image, least, tones)
        scale *= factor / least
        sigmas = smoothing * scale, prefilter_sigma(scale)
        own = cv2.GaussianBlur(_reduced(cut_off(phone.image, phone.shown), factor, tones)[0], (0, 0), smoothing)
        if dslr.shown == WHOLE:
            other = cv2.GaussianBlur(small, (0, 0), float(np.hypot(*sigmas)))
        else:
            # The phone was overexposed by what its lens had blurred already.
            blurred = cv2.GaussianBlur(small, (0, 0), sigmas[1]) if sigmas[1] else small
            other = cv2.GaussianBlur(np.clip(blurred, *tones[list(dslr.shown)]), (0, 0), sigmas[0])
        small_from_full = small_from_image @ inverse(dslr.full_from_reduced)
        return cls(own, other, small_from_full, dslr.size, factor)  # type: ignore[arg-type]

    @cached_property
    def _phone_detail(self) -> GreyValues:
        return even_detail(self.phone)

    def warped(self, transform: Transform) -> GreyValues:
        """Return the DSLR's image on the phone's grid, (H, W); its rim is repeated outside of it."""
        height, width = self.phone.shape
        inner = replace(transform, homography=self.dslr_from_full @ transform.homography)
        x, y = inner.maps(Box(0, 0, width, height), self.factor)
        return cv2.remap(  # type: ignore[return-value]
            self.dslr, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    def shifts(self, transform: Transform) -> Shifts:
        """Measure the windows that lie in both photos, in px of the full phone photo."""
        found = measure_shifts(self._phone_detail, even_detail(self.warped(transform)))
        centres = found.centres * self.factor + (self.factor - 1) / 2
        seen = np.ones(len(centres), bool)
        for corner in np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * WINDOW / 2 * self.factor:
            mapped = transform(centres + corner)
            seen &= ((mapped >= 0) & (mapped <= np.array(self.dslr_size) - 1)).all(axis=1)
        information = found.information / self.factor**2
        scaled = Shifts(centres, found.shifts * self.factor, information, found.ncc, found.side * self.factor)
        return scaled.where(seen)


def _reduced(image: npt.NDArray[np.uint8], factor: int, tones: GreyValues) -> tuple[GreyValues, Homography]:
    """Return the means of squares of factor x factor px, and reduced_from_image; the rest at the rim is cut off."""
    matrix = np.diag([1 / factor, 1 / factor, 1.0])
    matrix[:2, 2] = -(factor - 1) / 2 / factor
    height, width = (side // factor for side in image.shape)
    whole = np.asarray(cv2.LUT(np.ascontiguousarray(image[: height * factor, : width * factor]), tones), np.float32)
    if factor == 1:
        return whole, matrix
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), matrix  # type: ignore[return-value]


def _improved(
    pair: WarpedPair, transform: Transform, size: tuple[int, int], richest: Model, least_ncc: float
) -> tuple[Transform, Fit | None]:
    """Return the transform that fits the windows, or the given one where there are too few windows."""
    shifts = pair.shifts(transform)
    near = np.linalg.norm(shifts.shifts, axis=1) < REACH_PX * pair.factor
    shifts = shifts.where(near & (shifts.ncc > least_ncc))
    wanted = shifts.shifts + (transform.field(shifts.centres) if transform.field else 0)
    found = fit(shifts, wanted, size, richest)
    if found is None:
        return transform, None
    homography = transform.homography @ found.homography
    return Transform(homography / homography[2, 2], found.field), found
