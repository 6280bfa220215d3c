"""Whether two photos show the same: the likeness of small copies of them, for pairs that no clock can tell apart.

The likeness of two photos is log2(inliers / 16), where inliers are the SIFT matches that one homography explains, on
copies of 480 px: 0 and more says that they show the same, each 1 more that twice as many matches agree. Fewer than 16
inliers, or a transform that folds the photo, are `UNLIKE`: on 100 right pairs of real photos of flat scenes the fewest
were 169, on those made dark and noisy 47 and blurred by 3 px 20; on 300 wrong ones the most were 7. Scenes that have a
thing in common, as some of the demo's do, reach 32 of the 190 and more that right pairs have: so likenesses are
compared, and never one alone believed where there is another.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from dataset.errors import Rejection
from dataset.params import AlignParams
from dataset.photos import load_photo
from dataset.places import Place
from pipeline.geometry import is_plausible
from pipeline.registration import Keypoints, detect, fit_homography, match

UNLIKE = -1.0
"""Likeness of photos that show different things."""
SKETCH = AlignParams(detect_side_px=480, features=500, ransac_px=4.0, min_inliers=16, min_inlier_share=0.05)
TELLING_KEYPOINTS = 100
"""A photo with fewer keypoints, of a clear sky or out of focus, may match nothing whatever it shows."""
KEPT_SKETCHES = 256


class Pictures:
    """Compares photos by their files; those that were looked at last are kept, of a quarter of a megabyte each."""

    def __init__(self) -> None:
        self._sketch = lru_cache(KEPT_SKETCHES)(_sketch)

    def likeness(self, phone: Place, dslr: Place) -> float | None:
        """Return the likeness of two photos; None where one cannot be read or shows too little to tell."""
        sketches = self._sketch(phone), self._sketch(dslr)
        if None in sketches:
            return None
        return _likeness(*sketches)  # type: ignore[arg-type]


class _Sketch:
    """Keypoints of one photo in px of the full photo, and its size; compared by identity."""

    def __init__(self, keypoints: Keypoints, width: int, height: int) -> None:
        self.keypoints, self.width, self.height = keypoints, width, height

    @property
    def reduction(self) -> float:
        """How much smaller the copy is that the keypoints were found on."""
        return min(1.0, SKETCH.detect_side_px / max(self.width, self.height))


def _sketch(path: Place) -> _Sketch | None:
    """The keypoints of a photo; None where it cannot be read, for which `align` has the words."""
    try:
        photo = load_photo(path)
    except Rejection:
        return None
    return _Sketch(detect(photo, SKETCH), photo.shape[1], photo.shape[0])


def _likeness(phone: _Sketch, dslr: _Sketch) -> float | None:
    counts = [len(sketch.keypoints.points) for sketch in (phone, dslr)]
    if min(counts) < SKETCH.min_inliers:
        return None
    inliers = _inliers(phone, dslr)
    if inliers:
        return math.log2(inliers / SKETCH.min_inliers)
    return UNLIKE if min(counts) >= TELLING_KEYPOINTS else None


def _inliers(phone: _Sketch, dslr: _Sketch) -> int:
    """Matches that one plausible homography explains, at least `SKETCH.min_inliers` of them; else 0."""
    try:
        points = match(phone.keypoints, dslr.keypoints, SKETCH)
        dslr_from_phone, explained = fit_homography(*points, dslr.reduction, SKETCH)
    except Rejection:
        return 0
    return int(np.count_nonzero(explained)) if is_plausible(dslr_from_phone, phone.width, phone.height) else 0
