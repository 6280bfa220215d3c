"""Judge patches against dense truth: the DSLR's photo as a way has cut it, and as the truth warps it.

Both come from the same photo, so that shifts between them are known to some hundredths of a px, and the way's own
transform need not be known. The code is independent of the pipeline's measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.depth_truth import DenseTruth
from benchmarks.yardstick import Image
from dpedtool.pipeline.measure.correlation import sample

Grey = NDArray[np.float32]

SIDE, STRIDE = 100, 50
"""Side of the patches and step of the windows, in px of the phone's photo."""
PART, PARTS, RIM = 28, 4, 3
"""Side of a part in px, and parts along each side of a patch. Smoothing spoils the outer px of a patch."""
REACH = 8
"""How far a part is searched for, in px."""
SIGMA = 1.0
"""Of the Gaussian that smooths both images, in px."""
LEAST_DETAIL = 1.5
"""Of the smaller eigenvalue of a part's structure tensor, in (grey levels per px)^2: an edge alone shows no shift along
it."""
FEWEST_PARTS = 3
LEAST_NCC = 0.8
"""A part that is found with less shows something else."""
WRONG_PX = 1.0
MOST_OFF, FEWEST_OFF = 0.15, 2
"""A patch is mixed if more than this share of its parts with detail is off, and at least so many are."""
LEAST_SEEN, WINDOW_SEEN = 0.9, 0.97
"""Share that the DSLR sees of a patch that is not mixed, and of a window that counts as seen by both."""


@dataclass(frozen=True)
class Verdict:
    """What the truth says about a patch."""

    known: bool
    """Whether enough of its truth is known."""
    seen: float
    """Share of what is known that the DSLR sees."""
    parts: int
    """Parts with detail."""
    off: int
    """Those of them that are off by more than 1 px, show something else, or are not seen by the DSLR."""
    lost: int
    """Those of them that show something else."""
    shift_px: float
    """Length of the median shift of the parts that were found, in px; NaN if there is none."""
    part_shifts_px: tuple[float, ...] = ()
    """Length of the shift of each part that was found, in px."""

    @property
    def told(self) -> bool:
        """Whether the truth says anything about it."""
        return self.known and self.parts >= FEWEST_PARTS

    @property
    def wrong(self) -> bool:
        """Whether it is shifted by more than 1 px, or most of it shows something else."""
        return 2 * self.lost > self.parts or not self.shift_px <= WRONG_PX

    @property
    def mixed(self) -> bool:
        """Whether it is not wrong as a whole, but in parts."""
        some_off = self.off >= FEWEST_OFF and self.off > MOST_OFF * self.parts
        return not self.wrong and (some_off or self.seen < LEAST_SEEN)


class Reference:
    """The DSLR's photo on the grid of the phone's, by the truth."""

    def __init__(self, dslr: Image, truth: DenseTruth) -> None:
        """Warp a photo (H, W, 3) BGR uint8; what the phone's grid is too coarse for is smoothed away first."""
        sigma = 0.5 * float(np.sqrt(max(truth.scale**2 - 1, 0)))
        source = cv2.GaussianBlur(dslr, (0, 0), sigma) if sigma else dslr
        x, y = (np.ascontiguousarray(truth.places[..., axis], np.float32) for axis in (0, 1))
        # OpenCV's cubic kernel moves smooth gradients by up to 0.05 px.
        warped = cv2.remap(source, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
        self.truth = truth
        self._smooth = smooth(np.asarray(warped, np.uint8))
        self._known, self._seen = (flags.astype(np.uint8) for flags in (truth.known, truth.seen))

    def judge(self, dslr: Image, corner: tuple[float, float], turn_deg: float = 0.0) -> Verdict:
        """Judge the DSLR's image (SIDE, SIDE, 3) of a patch.

        Parameters
        ----------
        dslr
            The image, BGR uint8.
        corner
            x, y of the top left px of the phone's image of the patch, in px of the phone's photo.
        turn_deg
            How far the phone's image is turned about its middle, in degrees, as `sample` says.

        """
        area = self._area(corner, turn_deg)
        known, seen = (sample(flags, corner, SIDE, turn_deg, cv2.INTER_NEAREST) > 0 for flags in self._flags)
        patch = smooth(dslr)
        shifts, parts, off, lost = [], 0, 0, 0
        for x, y in _parts_with_detail(area):
            inside = np.s_[y : y + PART, x : x + PART]
            if known[inside].mean() < self.truth.least_known:
                continue
            parts += 1
            around = area[y : y + PART + 2 * REACH, x : x + PART + 2 * REACH]
            shift = _shift(patch[inside], around)
            if shift is None:
                lost += 1
            else:
                shifts.append(shift)
            is_off = shift is None or np.hypot(*shift) > WRONG_PX
            off += bool(is_off or 2 * seen[inside].sum() < known[inside].sum())
        middle = float(np.hypot(*np.median(shifts, axis=0))) if shifts else float("nan")
        lengths = tuple(float(np.hypot(*shift)) for shift in shifts)
        return Verdict(self._is_known(known), _share(seen, known), parts, off, lost, middle, lengths)

    def windows(self) -> int:
        """Count the windows, `STRIDE` px apart over the whole photo, that have detail and that both cameras see."""
        height, width = self.truth.known.shape
        corners = [(x, y) for y in range(0, height - SIDE + 1, STRIDE) for x in range(0, width - SIDE + 1, STRIDE)]
        return sum(self._is_usable(corner) for corner in corners)

    @property
    def _flags(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return self._known, self._seen

    def _area(self, corner: tuple[float, float], turn_deg: float = 0.0) -> Grey:
        """Return a window and `REACH` px around it."""
        outer = corner[0] - REACH, corner[1] - REACH
        return sample(self._smooth, outer, SIDE + 2 * REACH, turn_deg, cv2.INTER_LANCZOS4)

    def _is_usable(self, corner: tuple[int, int]) -> bool:
        x, y = corner
        inside = np.s_[y : y + SIDE, x : x + SIDE]
        known, seen = self.truth.known[inside], self.truth.seen[inside]
        if not self._is_known(known) or _share(seen, known) < WINDOW_SEEN:
            return False
        least, parts = self.truth.least_known, _parts_with_detail(self._area(corner))
        count = sum(known[v : v + PART, u : u + PART].mean() >= least for u, v in parts)
        return bool(count >= FEWEST_PARTS)

    def _is_known(self, known: NDArray[np.bool_]) -> bool:
        return bool(known.mean() >= self.truth.least_known)


def smooth(image: Image) -> Grey:
    """Return an image (H, W, 3) BGR uint8 as smoothed grey (H, W)."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), SIGMA), np.float32)


def _parts_with_detail(area: Grey) -> Iterator[tuple[int, int]]:
    """Yield x, y of the parts with detail, in px of the window that an area has `REACH` px around."""
    along, down = (cv2.Scharr(area, cv2.CV_32F, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1)))
    steps = np.linspace(RIM, SIDE - RIM - PART, PARTS).round().astype(int)
    for y in steps.tolist():
        for x in steps.tolist():
            inside = np.s_[REACH + y : REACH + y + PART, REACH + x : REACH + x + PART]
            gx, gy = along[inside], down[inside]
            xx, xy, yy = float((gx * gx).mean()), float((gx * gy).mean()), float((gy * gy).mean())
            if (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy) >= LEAST_DETAIL:
                yield x, y


def _shift(part: Grey, around: Grey) -> tuple[float, float] | None:
    """Return how far a part lies from the middle of an area, in px; None if it is not found inside the area."""
    scores = np.asarray(cv2.matchTemplate(around, part, cv2.TM_CCOEFF_NORMED), np.float32)
    y, x = (int(place) for place in np.unravel_index(int(scores.argmax()), scores.shape))
    if scores[y, x] < LEAST_NCC or not (0 < x < 2 * REACH and 0 < y < 2 * REACH):
        return None
    return x - REACH + _top(scores[y, x - 1 : x + 2]), y - REACH + _top(scores[y - 1 : y + 2, x])


def _top(scores: Grey) -> float:
    """Return where the parabola through three scores, at -1, 0 and 1, is highest."""
    before, here, after = scores.tolist()
    bend = before - 2 * here + after
    return (before - after) / (2 * bend) if bend < 0 else 0.0


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float((part & whole).sum() / max(1, whole.sum()))
