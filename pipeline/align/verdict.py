"""Decide whether an alignment can be trusted: by windows over the whole frame, never by inlier counts.

Where only a part of the frame is wrong (an object nearer than the rest, or one that moved), that part is masked, and
the rest can be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import AlignParams
from dpedtool.pipeline.align.following import Motion
from dpedtool.pipeline.geometry.homographies import Box, Points
from dpedtool.pipeline.geometry.node_files import grid_shape
from dpedtool.pipeline.geometry.transform import NODE_PX
from dpedtool.pipeline.measure.certainty import (
    FEWEST_CERTAIN,
    LEAST_AT_PLACE,
    MISPLACED_PX,
    MISPLACED_SHARE,
    MOST_ERROR_PX,
    misplaced,
)
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.keypoint_homography import FEWEST_OFF_PLANE, Registration
from dpedtool.pipeline.measure.residuals import MOVED_PX, WINDOW, Flags, Residual, Search

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Agreed = Callable[[Points], tuple[Points, Values]]
"""Takes points (N, 2) of the crop; returns the shifts (N, 2) on which the windows around them agree, and the standard
errors (N,) of these, in px."""

FLAT_SHARE, OFF_PLANE_SHARE = 0.03, 0.25
"""Of the matches, correct pairs of flat scenes have up to the first share off the plane, and those of scenes with much
depth 0.4 and more."""
NEEDED_PX, NEEDED_ERRORS = 0.1, 1.5
"""Where a window is shifted by more than this, and by more than its error explains, nodes are worth their noise."""
FEWEST_SHIFTED = 3
"""Fewer windows side by side may be shifted by chance: up to two of a flat scene's are."""
CHANGED_SHARE = 0.15
"""Share of the frame that must be displaced, or lost, for it to be called the cause of a rejection."""


@dataclass(frozen=True, eq=False)
class PairVerdict:
    """What was measured on a pair that passed."""

    residual: Residual
    """Over the windows that are not masked."""
    mask: Mask
    """(rows, columns) of cells of `cell` px from the crop's top left corner; true: not to be used."""
    cell: int


def may_have_depth(found: Search, certain: Flags, registration: Registration) -> bool:
    """Whether windows are misplaced, or matches lie off the plane, so that depth may be the cause.

    In flat scenes, a local model has nothing to gain, and its noise to lose. Only shifts that are known count, as a
    window of sky fits everywhere.
    """
    fewest = max(FEWEST_OFF_PLANE, FLAT_SHARE * registration.matches)
    return windows_show_depth(found, certain) or registration.off_plane >= fewest


def windows_show_depth(found: Search, certain: Flags) -> bool:
    """Whether windows are misplaced; if none is, matches off the plane are most often those of repeated patterns."""
    lost = len(found.places) > 0 and float(found.right.mean()) < LEAST_AT_PLACE
    return lost or misplaced(found, certain) > MISPLACED_SHARE


def nodes_needed(found: Search, errors: Values, box: Box, size: tuple[int, int]) -> Flags:
    """Return where the transform does not suffice, by square of the grid of nodes of a photo of this size in px.

    Nodes are needed under each window that is not found at its place, or that is shifted by more than `NEEDED_PX` plus
    `NEEDED_ERRORS` standard errors.

    Parameters
    ----------
    found
        The search for N windows of the common crop.
    errors
        (N,): standard errors of their shifts, in px; NaN where they are not known.
    box
        The crop in the phone photo.
    size
        Width and height of the phone photo, in px.

    Returns
    -------
    ndarray
        (rows, columns).

    """
    # A comparison with NaN is false.
    wrong = ~found.right | (found.lengths > NEEDED_PX + NEEDED_ERRORS * errors)
    needed = np.zeros(grid_shape(*size), bool)
    for x, y in (found.places[wrong] + np.array([box.x, box.y])).tolist():
        rows, columns = (slice(start // NODE_PX, -(-(start + WINDOW) // NODE_PX)) for start in (y, x))
        needed[rows, columns] = True
    return needed


def is_better(new: tuple[Search, Flags], old: tuple[Search, Flags]) -> bool:
    """Whether fewer windows than before are lost or misplaced; each is a search and which of its shifts are certain."""
    return len(new[0].places) > 0 and _share_off(*new) < _share_off(*old)


def _share_off(found: Search, certain: Flags) -> float:
    """Return the share of the windows that are not where they should be, or are certainly shifted, 0..1."""
    return float((~found.right | (certain & (found.lengths > MISPLACED_PX))).mean()) if len(found.places) else 1.0


def judge(
    found: Search,
    registration: Registration,
    shape: tuple[int, int],
    params: AlignParams,
    certain: Flags | None = None,
    motion: Motion | None = None,
    agreed: Agreed | None = None,
) -> PairVerdict:
    """Judge the windows of an aligned pair whose common crop is of this shape (height, width).

    The limits on shifts hold for those (N,) that are `certain`: a window of sky along one gradient shifts freely along
    it. If these are too few, as at night, the limits hold for the shifts on which the windows around each window agree.
    If these are too few as well, or if `certain` is None, the limits hold for all windows. What a flow says about the
    frame, if one was computed, only names the cause of a rejection.

    Raises
    ------
    Rejection
        `low_texture`, `parallax`, `moving_object`, `not_followed`, `misaligned` or `wrong_pair`.

    """
    everything = found.residual()
    if everything.textured < params.min_windows:
        raise Rejection(
            "low_texture",
            "Too few windows have enough texture to check the alignment "
            f"({everything.textured}; at least {params.min_windows} are needed).",
        )
    mask = _mask(found, shape)
    share = float(found.right.mean())
    if share < params.min_found:
        raise _refused(
            f"Only {share:.0%} of {everything.textured} textured windows are where they should be; at least "
            f"{params.min_found:.0%} is needed",
            registration,
            motion,
        )
    unmasked = ~_masked(found, mask)
    residual = found.residual(unmasked)
    if residual.median_px is None or residual.p95_px is None:
        raise Rejection(
            "low_texture",
            f"Too few windows correlate well enough to measure a shift ({residual.windows}; at least 5 are needed).",
        )
    lengths = _judged_lengths(found, unmasked, certain, agreed)
    for name, percent, most in (("Half", 50, params.max_residual_px), ("5 %", 95, params.max_p95_px)):
        value = float(np.percentile(lengths, percent))
        if value > most:
            raise _refused(
                f"{name} of {len(lengths)} windows are still shifted by more than {value:.1f} px; at most {most:g} px "
                "are allowed",
                registration,
                motion,
            )
    return PairVerdict(residual, mask, found.step)


def shifted_cells(found: Search, certain: Flags, shape: tuple[int, int]) -> Mask:
    """Return the cells of a crop of this shape where at least half of the windows are wrong, or certainly shifted.

    This is the mask of a transform that all windows share. Where `FEWEST_SHIFTED` windows or more, side by side, lie
    more than 1 px from their place, and their shifts are `certain` (N,), something moved, even if they differ too
    little from what is there to be called wrong.
    """
    shifted = certain & found.found & (found.lengths > MOVED_PX)
    places = found.places // found.step
    grid = np.zeros(places.max(axis=0, initial=0)[::-1] + 1, np.uint8)
    grid[places[:, 1], places[:, 0]] = shifted | found.amiss
    _, labels, figures, _ = cv2.connectedComponentsWithStats(grid, connectivity=8)
    sizes = figures[labels[places[:, 1], places[:, 0]], cv2.CC_STAT_AREA]
    return _cells_with(found, found.amiss | (shifted & (sizes >= FEWEST_SHIFTED)), shape)


def widened(verdict: PairVerdict, found: Search, mask: Mask) -> PairVerdict:
    """Return the verdict with the cells of another mask as well, unless that leaves too few windows."""
    mask = verdict.mask | mask
    residual = found.residual(~_masked(found, mask))
    return verdict if residual.median_px is None else PairVerdict(residual, mask, verdict.cell)


def _judged_lengths(found: Search, unmasked: Flags, certain: Flags | None, agreed: Agreed | None) -> Values:
    """Return the lengths of the shifts that the limits hold for, in px: of all windows, or of those that are known."""
    everything = found.lengths[unmasked & found.found]
    if certain is None:
        return everything
    sure = certain & found.found & unmasked
    if sure.sum() >= FEWEST_CERTAIN:
        return found.lengths[sure]
    if agreed is None:
        return everything
    shifts, errors = agreed(np.asarray(found.places[unmasked] + (WINDOW - 1) / 2, np.float64))
    lengths = np.asarray(np.linalg.norm(shifts, axis=1)[errors <= MOST_ERROR_PX], np.float64)
    return lengths if len(lengths) >= FEWEST_CERTAIN else everything


def blur_evenness(phone: GreyValues, dslr: GreyValues) -> float:
    """Return how evenly one of two aligned images (H, W) is blurred over all directions against the other, 0..1.

    One image keeps a share of the other's gradient energy in each direction. The smallest of these shares is divided by
    the largest: 1 for equal images and for round blur, near 0 where one camera moved along a line.
    """
    tensors = [_structure(image) for image in (phone, dslr)]
    if min(np.linalg.eigvalsh(tensor)[0] for tensor in tensors) <= 0:
        return 1.0
    kept = np.linalg.eigvals(np.linalg.solve(tensors[1], tensors[0])).real
    return float(kept.min() / kept.max())


def check_blur(evenness: float, params: AlignParams) -> None:
    """Raise where one photo is blurred along a line.

    Raises
    ------
    Rejection
        `motion_blur`.

    """
    if evenness < params.min_blur_evenness:
        raise Rejection(
            "motion_blur",
            f"One photo is blurred in one direction, where it keeps only {evenness:.0%} of the detail that it keeps in "
            f"its sharpest direction; at least {params.min_blur_evenness:.0%} is needed.",
        )


def _structure(image: GreyValues) -> npt.NDArray[np.float64]:
    small = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    x, y = (cv2.Scharr(small, cv2.CV_32F, *order).ravel() for order in ((1, 0), (0, 1)))
    cross = float(np.dot(x, y))
    return np.array([[float(np.dot(x, x)), cross], [cross, float(np.dot(y, y))]])


def _mask(found: Search, shape: tuple[int, int]) -> Mask:
    """Return the cells where at least half of the windows that lie on them are wrong."""
    return _cells_with(found, found.amiss, shape)


def _cells_with(found: Search, wrong: Flags, shape: tuple[int, int]) -> Mask:
    rows, columns = (-(-side // found.step) for side in shape)
    votes = np.zeros((2, rows + 1, columns + 1), np.int64)
    verdicts = wrong.astype(np.int64)
    top, bottom, left, right = _cells(found)
    # A rectangle of ones is the running sum of its four corners.
    for y, x, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(votes, (verdicts, y, x), sign)
    right_ones, wrong_ones = votes.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1]
    return np.asarray((wrong_ones > 0) & (wrong_ones >= right_ones))


def _masked(found: Search, mask: Mask) -> npt.NDArray[np.bool_]:
    """Which windows (N,) lie mostly on masked cells."""
    top, bottom, left, right = _cells(found)
    sums = np.pad(mask.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    masked = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(2 * masked > (bottom - top) * (right - left))


def _cells(found: Search) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the cells that windows cover by at least half of their sides: rows from and to, columns from and to."""
    x, y = found.places.reshape(-1, 2).T.astype(np.int64)
    return *_span(y, found.step), *_span(x, found.step)


def _span(start: npt.NDArray[np.int64], step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    first, end = ((place + step // 2) // step for place in (start, start + WINDOW))
    first = np.where(first == end, (start + WINDOW // 2) // step, first)
    return first, np.maximum(end, first + 1)


def _refused(why: str, registration: Registration, motion: Motion | None) -> Rejection:
    """The rejection with the likeliest cause."""
    if registration.off_plane >= max(FEWEST_OFF_PLANE, OFF_PLANE_SHARE * registration.matches):
        return _parallax(f"{why}: {registration.off_plane} of {registration.matches} matches lie nearer or farther")
    if 2 * registration.inliers < registration.matches:
        return Rejection("wrong_pair", f"{why}: the photos seem to show different scenes.")
    shares = (motion.along, motion.against, motion.lost) if motion else ()
    if motion and max(shares) > CHANGED_SHARE:
        if max(shares) == motion.against:
            return Rejection("moving_object", f"{why}: {motion.against:.0%} of the frame has moved between the shots.")
        if max(shares) == motion.along:
            return _parallax(f"{why}: {motion.along:.0%} of the frame lies nearer or farther")
        return Rejection(
            "not_followed",
            f"{why}: {motion.lost:.0%} of the frame cannot be found again in the other photo, as it repeats itself, "
            "moves, or lies too far from its place.",
        )
    return Rejection("misaligned", f"{why}.")


def _parallax(why: str) -> Rejection:
    return Rejection(
        "parallax",
        f"{why} than the rest, or have moved as such things seem to, and following them was not enough; put the lenses "
        "closer together, or photograph things farther away.",
    )
