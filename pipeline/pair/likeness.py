"""Whether two photos show the same: the likeness of small copies of them, for pairs that no clock can tell apart.

The likeness of two photos is log2(inliers / 16), where inliers are the SIFT matches that one homography explains, on
copies of 480 px: 0 and more says that they show the same, each 1 more that twice as many matches agree. Fewer than 16
inliers, or a transform that folds the photo, are `UNLIKE`. Of 100 right pairs of real photos of flat scenes the fewest
inliers were 171, of 50 made dark and noisy 47, of 50 blurred by 3 px 20; of 600 wrong pairs none had 16. Scenes that
have a thing in common, as some of the demo's have a print, reach 30 of the 205 and more that the right pairs have: so a
likeness counts only by how much it is above others, or by the majority of several.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.decoding import PhotoFile, open_photo
from dpedtool.dataset.photos.stored import Factor, GreyPhoto
from dpedtool.dataset.places import Place
from dpedtool.pipeline.geometry.homographies import is_plausible
from dpedtool.pipeline.measure.keypoint_homography import Keypoints, detect_in_grey, fit_homography, match

UNLIKE = -1.0
"""Likeness of photos that show different things."""
SKETCH = AlignParams(detect_side_px=480, features=500, ransac_px=4.0, min_inliers=16, min_inlier_share=0.05)
TELLING_KEYPOINTS = 100
"""A photo with fewer keypoints, of a clear sky or out of focus, may match nothing whatever it shows."""
KEPT_SKETCHES = 256
FACTORS: tuple[Factor, ...] = (2, 4, 8)


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


@dataclass(frozen=True, eq=False)
class _Sketch:
    """Keypoints of one photo in px of a grey copy, and the size of that."""

    keypoints: Keypoints
    width: int
    height: int

    @property
    def reduction(self) -> float:
        """How much smaller than the copy the image is that keypoints were found on."""
        return min(1.0, SKETCH.detect_side_px / max(self.width, self.height))


def _sketch(path: Place) -> _Sketch | None:
    """The keypoints of a photo; None where it cannot be read, for which `align` has the words."""
    try:
        grey = _small_grey(open_photo(path))
    except Rejection:
        return None
    return _Sketch(detect_in_grey(grey, SKETCH), grey.shape[1], grey.shape[0])


def _small_grey(photo: PhotoFile) -> GreyPhoto:
    """The photo in grey, decoded at the smallest size that is not below the sketch's."""
    smallest = photo.grey(8)
    fitting: list[Factor] = [factor for factor in FACTORS if max(smallest.size) >= factor * SKETCH.detect_side_px]
    factor: Factor = max(fitting, default=1)
    return smallest.image if factor == 8 else photo.grey(factor).image


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
