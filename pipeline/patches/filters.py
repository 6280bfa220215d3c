"""Decide which windows become patches: what is measured on each of them, and which measures reject it.

A filter consists of a measure (a field of `Measured`, and a column of `dpedtool.dataset.schema.Patch` of the same
name), a limit in `dpedtool.dataset.params.PatchesParams`, and an objection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.params import PatchesParams
from dpedtool.pipeline.measure.correlation import Corners
from dpedtool.pipeline.measure.differences import differences, unexplained
from dpedtool.pipeline.measure.exposure import clipped
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import NO_NOISE, PairNoise
from dpedtool.pipeline.measure.shifts import LEAST_SLOPE, gradients, noise_correlation

Values = npt.NDArray[np.float64]

REDUCTION = 4
"""Motion is searched for on images reduced by this factor, where blur in one of them or a residual shift does not look
like motion."""
CELL_SHARE, LEAST_CELL = 5, 3
"""Side of the parts that are searched for motion: a fifth of a window's, and at least 3 px of the reduced images."""
CELL_CONTRAST, CELL_CONTRAST_SHARE = 5.0, 0.35
"""Standard deviation, in grey levels and as a share of the window's, above which a part has enough detail for its NCC
to mean something. In the sky next to a house, for example, sharpening and shading differ between the cameras."""
FEWEST_CELLS = 6
MOST_DISTANCE = 3.0
"""A window contradicts those around it if its own shift is farther from theirs, in standard errors."""
NOISE_FACTOR = 3.0
"""Windows differ by up to this factor from the noise of the plain parts of the pair of the same brightness."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured on one window: the columns of `Patch` of these names. None where there is no value."""

    ncc: float | None
    best_ncc: float | None
    dx: float
    dy: float
    angle_deg: float
    second_ncc: float | None
    residual_x: float | None
    residual_y: float | None
    residual_px: float | None
    residual_error_px: float | None
    phone_contrast: float
    dslr_contrast: float
    phone_brightness: float
    dslr_brightness: float
    flatness: float
    clipped: float
    phone_sharpness: float | None
    dslr_sharpness: float | None
    motion: float | None
    hidden: float | None = None
    jump: float | None = None
    unfollowed: float | None = None
    squeezed: float | None = None
    stretched: float | None = None
    noise: float | None = None
    difference: float | None = None
    difference_peak: float | None = None
    harm: float | None = None
    pair_shift_px: float | None = None
    pair_error_px: float | None = None
    pair_noise: float | None = None
    ncc_without_noise: float | None = None
    pair_distance: float | None = None
    colour: float | None = None


def rejection(window: Measured, masked: bool, params: PatchesParams) -> tuple[str, str]:
    """Return reason and detail of the first objection to a window; both are empty if there is none.

    Parameters
    ----------
    window
        What was measured on it.
    masked
        Whether the alignment masks the place.
    params
        Mode and limits.

    """
    return next(_objections(window, masked, params), ("", ""))


def proof(window: Measured, params: PatchesParams) -> str:
    """Return what proves that a window is aligned: itself (`window`), the pair (`pair`), or nothing (empty).

    A window proves itself if its own shift is short and well known. The pair proves it if the windows around agree that
    the transform is right there, if the window does not contradict them, and if a shift in the directions that it
    cannot know would change it by less than its noise: then no harm is done.
    """
    most, most_error = params.limit("max_residual_px"), params.limit("max_residual_error_px")
    if most is None or most_error is None:
        return ""
    residual, error, least = window.residual_px, window.residual_error_px, params.limit("min_contrast")
    contrast = min(window.phone_contrast, window.dslr_contrast)
    is_short = residual is not None and residual <= most
    is_known = error is not None and error <= most_error
    if is_short and is_known and (least is None or contrast >= least):
        return "window"
    return "pair" if _pair_proves(window, params, most) else ""


def _pair_proves(window: Measured, params: PatchesParams, most: float) -> bool:
    most_pair_error, most_harm = params.limit("max_pair_error_px"), params.limit("max_harm")
    shift, error, distance = window.pair_shift_px, window.pair_error_px, window.pair_distance
    if most_pair_error is None or most_harm is None or shift is None or error is None or window.ncc is None:
        return False
    is_known = error <= most_pair_error and shift + error <= most
    agrees = distance is None or distance <= MOST_DISTANCE
    harm, noise = window.harm, window.noise
    is_harmless = harm is not None and noise is not None and harm <= most_harm * noise
    return is_known and agrees and is_harmless


def _objections(window: Measured, masked: bool, params: PatchesParams) -> Iterator[tuple[str, str]]:
    """Yield the objections to a window, a cause before its effects."""
    if masked and params.limit("reject_masked"):
        yield "masked", "The alignment masks this place, because of parallax or motion."
    if proof(window, params) == "pair":
        yield from _objections_to_harmless(window, params)
        return
    yield from _dullness(window, params)
    score = window.best_ncc if params.mode == "dped" else window.ncc
    residual, error = window.residual_px, window.residual_error_px
    most, most_error = params.limit("max_residual_px"), params.limit("max_residual_error_px")
    is_found = _is_alike(window.best_ncc, window, params)
    if most is not None and residual is not None and residual > most and is_found:
        yield "shifted", f"The photos are {residual:.2f} px apart here; at most {most:g} px are allowed."
    if not _is_alike(score, window, params):
        yield from _hidden_by_noise(window, params)
        yield "low_ncc", f"The NCC is {_shown(score)}; at least {params.min_ncc:g} is needed."
    if most is not None and residual is None:
        yield "uncertain", "No sub-pixel shift can be measured."
    if most_error is not None and error is not None and error > most_error:
        yield "uncertain", f"The remaining shift is only known to {error:.2f} px; {most_error:g} px are needed."
    yield from _depths(window, params)
    yield from _differences(window, params)
    yield from _false_colours(window, params)


def _objections_to_harmless(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    """Yield the objections to a window that the pair proves: neither its contrast nor its own shift says anything."""
    # A limit that the user has set holds all the same.
    yield from _plainness(window, params, params.min_contrast)
    yield from _burning(window, params)
    if not _is_alike(window.ncc, window, params):
        yield from _more_than_noise(window, params)
    yield from _depths(window, params)
    yield from _motion_in(window, params)
    yield from _repetition(window, params.max_repetition)
    yield from _blur(window, params.min_sharpness, params.min_sharpness_ratio)
    yield from _false_colours(window, params)


def _more_than_noise(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    """Yield what noise does not explain of the difference of a window in which noise may be all there is."""
    difference, expected, peak = window.difference or 0.0, window.pair_noise or 0.0, window.difference_peak
    most = params.limit("max_difference_peak")
    if difference > NOISE_FACTOR * expected:
        yield (
            "low_ncc",
            f"The NCC is {_shown(window.ncc)}, and the photos differ by {difference:.1f} grey levels here; noise "
            f"explains {expected:.1f}.",
        )
    if most is not None and peak is not None and peak > most:
        yield (
            "low_ncc",
            f"The NCC is {_shown(window.ncc)}, and the photos differ at one place by {peak:.1f} times as much as they "
            f"do elsewhere in the window; at most {most:g} is allowed.",
        )


def _hidden_by_noise(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    """Yield that nobody knows the place of a window whose low NCC noise explains."""
    error, most = window.pair_error_px, params.limit("max_pair_error_px")
    is_noise = (window.difference or 0.0) <= NOISE_FACTOR * (window.pair_noise or 0.0)
    if most is not None and error is not None and error > most and is_noise:
        yield (
            "uncertain",
            f"Noise hides what the window shows, and the windows around know its place only to {error:.2f} px; "
            f"{most:g} px are needed.",
        )


def _is_alike(score: float | None, window: Measured, params: PatchesParams) -> bool:
    """Whether the NCC is high enough, or noise alone explains why it is not."""
    without_noise = window.ncc_without_noise if params.mode == "strict" else None
    return any(value is not None and value >= params.min_ncc for value in (score, without_noise))


def _dullness(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    yield from _plainness(window, params, params.limit("min_contrast"))
    yield from _burning(window, params)


def _plainness(window: Measured, params: PatchesParams, least: float | None) -> Iterator[tuple[str, str]]:
    contrast = min(window.phone_contrast, window.dslr_contrast)
    if least is not None and contrast < least:
        yield "flat", f"A window's contrast is {contrast:.1f} grey levels; at least {least:g} are needed."
    if window.ncc is None and window.best_ncc is None:
        yield "flat", "One of the windows has a single grey value."
    if window.flatness > params.max_flatness:
        yield "flat", f"{window.flatness:.0%} of the window shows no detail."


def _burning(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    most = params.limit("max_clipped")
    if most is not None and window.clipped > most:
        yield "clipped", f"{window.clipped:.0%} of a window is burnt out or black; at most {most:.0%} is allowed."


def _depths(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    said = {
        "hidden": ("hidden", "of the detail is seen by one camera alone"),
        "jump": ("depth_jump", "of the window is at jumps of the depth"),
        "unfollowed": ("unfollowed", "of the detail lies more than 1 px from where the alignment puts it"),
        "squeezed": ("hidden", "of the window is squeezed, as something nearer hides a part of it"),
        "stretched": ("depth_jump", "of the window is stretched, as the depth jumps there"),
    }
    for name, (reason, words) in said.items():
        value, most = getattr(window, name), params.limit(f"max_{name}")
        if most is not None and value is not None and value > most:
            yield reason, f"{value:.0%} {words}; at most {most:.0%} is allowed."


def _motion_in(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    motion, most = window.motion, params.limit("max_motion")
    if most is not None and motion is not None and motion > most:
        yield "motion", f"The NCC of a part falls {motion:.2f} below its surroundings; at most {most:g} is allowed."


def _differences(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    yield from _motion_in(window, params)
    yield from _repetition(window, params.limit("max_repetition"))
    yield from _blur(window, params.min_sharpness, params.limit("min_sharpness_ratio"))


def _false_colours(window: Measured, params: PatchesParams) -> Iterator[tuple[str, str]]:
    colour, most = window.colour, params.limit("max_colour")
    if most is not None and colour is not None and colour > most:
        yield (
            "colour",
            f"The colours differ by {colour:.0f} grey levels from what the rest of the photos makes expect; at most "
            f"{most:g} are allowed.",
        )


def _repetition(window: Measured, most: float | None) -> Iterator[tuple[str, str]]:
    second, best = window.second_ncc, window.best_ncc
    if most is not None and second is not None and best is not None and second > most * best:
        yield "repetitive", f"Another shift has NCC {second:.3f}, the best {best:.3f}: the window repeats itself."


def _blur(window: Measured, least: float, ratio: float | None) -> Iterator[tuple[str, str]]:
    sharpness = window.dslr_sharpness
    if sharpness is not None and sharpness < least:
        yield "unsharp", f"The DSLR's sharpness {sharpness:.2f} is below {least:g}."
    if ratio is not None and sharpness is not None and sharpness < ratio * (window.phone_sharpness or 0):
        yield "unsharp", f"The DSLR's sharpness {sharpness:.2f} is below {ratio:g} times the phone's."


def _shown(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.3f}"


def looks(phone: GreyValues, dslr: GreyValues, corners: Corners, side: int) -> dict[str, Values]:
    """Measure brightness, contrast, clipping and differences of windows.

    Parameters
    ----------
    phone, dslr
        (H, W) grey, 0..255: the two strips, aligned px by px.
    corners
        (N, 2): x, y of the top left px of the windows.
    side
        Side of the windows, in px.

    Returns
    -------
    dict
        (N,) each, by field of `Measured`.

    """
    columns: dict[str, Values] = {}
    worst = np.zeros(len(corners))
    for name, image in (("phone", phone), ("dslr", dslr)):
        moments = np.array([cv2.meanStdDev(window) for window in cut_windows(image, corners, side)]).reshape(-1, 2)
        columns[f"{name}_brightness"], columns[f"{name}_contrast"] = moments.T
        dead = clipped(image)
        worst = np.maximum(worst, [window.mean() for window in cut_windows(dead, corners, side)])
    cut = (cut_windows(image, corners, side) for image in (phone, dslr))
    values = (np.array(windows, np.float32).reshape(len(corners), side * side) for windows in cut)
    phone_values, dslr_values = values
    left = differences(phone_values, dslr_values, side)
    noise = unexplained(phone_values, dslr_values)
    return columns | {"clipped": worst, "noise": noise, "difference": left.rms, "difference_peak": left.peaks}


def details(
    phone: GreyValues, dslr: GreyValues, corners: Corners, side: int, noise: PairNoise = NO_NOISE
) -> dict[str, Values]:
    """Measure flatness, sharpness and motion of windows of two strips.

    Parameters are those of `looks`, but the strips are smoothed by a Gaussian of the sigma `noise.smoothing`.
    """
    plain = np.logical_and(*(_slope(image) < LEAST_SLOPE for image in (phone, dslr)))
    flatness = np.array([window.mean() for window in cut_windows(plain, corners, side)])
    return {
        "flatness": flatness,
        "phone_sharpness": _sharpness(phone, corners, side, noise.phone, noise.smoothing),
        "dslr_sharpness": _sharpness(dslr, corners, side, noise.dslr, noise.smoothing),
        "motion": _motion(phone, dslr, corners, side),
    }


def _sharpness(image: GreyValues, corners: Corners, side: int, noise: float, smoothing: float) -> Values:
    """Return how curved grey values are relative to their spread, without what noise adds to both.

    Smoothed white noise of the standard deviation s has the variance s^2 / (4 pi sigma^2), and its Laplacian the
    variance s^2 / (2 pi sigma^6).
    """
    curved = cut_windows(cv2.Laplacian(image, cv2.CV_32F), corners, side)
    rms = np.array([cv2.norm(window) for window in curved]) / side
    spread = np.array([cv2.meanStdDev(window)[1].item() for window in cut_windows(image, corners, side)])
    curvature, variance = (
        rms**2 - noise**2 / (2 * np.pi * smoothing**6),
        spread**2 - noise**2 / noise_correlation(smoothing),
    )
    squared = np.divide(np.maximum(curvature, 0), variance, out=np.full_like(rms, np.nan), where=variance > 0)
    return np.asarray(np.sqrt(squared), np.float64)


def _slope(image: GreyValues) -> GreyValues:
    return cv2.magnitude(*gradients(image))  # type: ignore[return-value]


def _motion(phone: GreyValues, dslr: GreyValues, corners: Corners, side: int) -> Values:
    """Return how far the NCC of each window's worst part falls below that of its median part; NaN for too few parts."""
    size = max(1, dslr.shape[1] // REDUCTION), max(1, dslr.shape[0] // REDUCTION)
    small_phone, small_dslr = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (phone, dslr))
    cell = max(LEAST_CELL, side // CELL_SHARE // REDUCTION)
    scores, contrasts = _cells(small_phone, small_dslr, cell)
    # Parts overlap by half, and lie wholly in the window.
    steps = np.arange(cell // 2, side // REDUCTION - (cell - 1) // 2, max(1, cell // 2))
    if not len(steps):
        return np.full(len(corners), np.nan)
    rows, columns = (corners[:, axis, None] // REDUCTION + steps for axis in (1, 0))
    places = np.minimum(rows, size[1] - 1)[:, :, None], np.minimum(columns, size[0] - 1)[:, None, :]
    parts = scores[places].reshape(len(corners), -1)
    enough = np.zeros(parts.shape, bool)
    for image, contrast in zip((phone, dslr), contrasts, strict=True):
        whole = np.array([cv2.meanStdDev(window)[1][0] for window in cut_windows(image, corners, side)])
        enough |= contrast[places].reshape(parts.shape) >= np.maximum(CELL_CONTRAST, CELL_CONTRAST_SHARE * whole)
    parts = np.sort(np.where(enough, parts, np.inf), axis=1)
    counts, each = enough.sum(axis=1), np.arange(len(parts))
    medians = (parts[each, np.maximum(counts - 1, 0) // 2] + parts[each, counts // 2]) / 2
    told = counts >= FEWEST_CELLS
    return np.where(told, np.where(told, medians, 0) - np.where(told, parts[:, 0], 0), np.nan)


def _cells(phone: Any, dslr: Any, cell: int) -> tuple[GreyValues, tuple[GreyValues, GreyValues]]:
    """Return the NCC of the (cell, cell) surroundings of every px, and their standard deviations, (H, W) each."""

    def mean(image: Any) -> Any:
        return cv2.blur(image, (cell, cell))

    means = mean(phone), mean(dslr)
    variances = [np.maximum(mean(i * i) - m * m, 0) for i, m in zip((phone, dslr), means, strict=True)]
    covariance = mean(phone * dslr) - means[0] * means[1]
    # Detail in one image alone gives a low score, and not an undefined one. The added 1 keeps noise from scoring.
    scores = covariance / np.sqrt((variances[0] + 1) * (variances[1] + 1))
    return np.asarray(scores, np.float32), (np.sqrt(variances[0]), np.sqrt(variances[1]))


def cut_windows(image: Any, corners: Corners, side: int) -> list[Any]:
    """Return the windows of an image (H, W) at corners (N, 2), of this side, as views."""
    return [image[y : y + side, x : x + side] for x, y in corners.tolist()]
