"""Whether two photos show the same, judged by the likeness of small copies, for pairs that the clocks leave open.

The likeness of two photos is log2(inliers / 16), where inliers are the SIFT matches that one homography explains, on
copies of 480 px. A likeness of 0 or more says that they show the same, and each 1 more that twice as many matches
agree. Photos with fewer than 16 inliers, or with a transform that folds the photo, are `UNLIKE`.

The right pairs had at least 171 inliers in 100 pairs of real photos of flat scenes, 47 in 50 pairs that were made dark
and noisy, and 20 in 50 pairs that were blurred by 3 px; none of 600 wrong pairs had 16. Scenes with an object in
common, such as a print in some of the demo's scenes, reach 30 inliers, and the right pairs of these scenes have 205 or
more. Therefore a likeness counts only by how much it is above others, or by the majority of several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.decoding import PhotoFile, open_photo
from dpedtool.dataset.photos.pixels import Factor, GreyPhoto
from dpedtool.dataset.places import Place
from dpedtool.pipeline.geometry.homographies import is_plausible
from dpedtool.pipeline.measure.cells import Cells, cosines, count_cells
from dpedtool.pipeline.measure.keypoint_homography import Keypoints, detect_in_grey, fit_homography, match

UNLIKE = -1.0
"""Likeness of photos that show different things."""
SKETCH = AlignParams(detect_side_px=480, features=500, ransac_px=4.0, min_inliers=16, min_inlier_share=0.05)
TELLING_KEYPOINTS = 100
"""A photo with fewer keypoints, such as one of a clear sky or out of focus, may match nothing at all."""
KEPT_SKETCHES = 2048
"""As many as the largest group of shots of one time, in up to half a gigabyte."""
CELLS_ALIKE = 0.03
"""Cosine of two photos' hashes from which they may show the same; 1 in 1000 pairs of different views has it."""
NEAREST = 2
"""The photos with the greatest cosines may always show the same, since noise and blur make all cosines small."""
FACTORS: tuple[Factor, ...] = (2, 4, 8)


class Pictures:
    """Compares photos by their files.

    The keypoints of the latest photos are kept, a quarter of a megabyte for each, and all likenesses.
    """

    def __init__(self) -> None:
        self.damaged: dict[Place, str] = {}
        """What is wrong with the photos that were decoded, as clauses."""
        self._sketch = lru_cache(KEPT_SKETCHES)(self._sketched)
        self._known: dict[tuple[Place, Place], float | None] = {}

    def likeness(self, phone: Place, dslr: Place) -> float | None:
        """Return the likeness of two photos; None if one cannot be read or shows too little to compare."""
        if (phone, dslr) not in self._known:
            sketches = self._sketch(phone), self._sketch(dslr)
            self._known[phone, dslr] = None if None in sketches else _likeness(*sketches)  # type: ignore[arg-type]
        return self._known[phone, dslr]

    def plainly_unlike(self, phones: Sequence[Place], dslrs: Sequence[Place]) -> npt.NDArray[np.bool_]:
        """Return which photos show different things by their hash alone, (len(phones), len(dslrs)).

        Each photo, even an unlike one, is left to be compared with the `NEAREST` of the other camera. So are photos
        that show little. This takes far less time than to compare all photos of a session.
        """
        sketches = [[self._sketch(path) for path in paths] for paths in (phones, dslrs)]
        telling = [[bool(one and len(one.keypoints.points) >= TELLING_KEYPOINTS) for one in of] for of in sketches]
        blank = count_cells(np.empty((0, 128), np.float32))
        alike = cosines(*(np.stack([one.cells if one else blank for one in of]) for of in sketches))
        unlike: npt.NDArray[np.bool_] = np.logical_and.outer(*telling) & (alike < CELLS_ALIKE)
        for axis in (0, 1):
            nearest = np.argsort(-alike, axis=axis, kind="stable").take(range(min(NEAREST, alike.shape[axis])), axis)
            np.put_along_axis(unlike, nearest, values=False, axis=axis)
        return unlike

    def _sketched(self, path: Place) -> _Sketch | None:
        """Return the keypoints of a photo; None if it cannot be read, which `align` reports."""
        try:
            photo = open_photo(path)
            grey = _small_grey(photo)
        except Rejection as rejection:
            self.damaged[path] = rejection.detail
            return None
        if photo.damage:
            self.damaged[path] = photo.damage
        keypoints = detect_in_grey(grey, SKETCH)
        return _Sketch(keypoints, count_cells(keypoints.descriptors), grey.shape[1], grey.shape[0])


@dataclass(frozen=True, eq=False)
class _Sketch:
    """Keypoints of one photo in px of a grey copy, and the size of that copy."""

    keypoints: Keypoints
    cells: Cells
    width: int
    height: int

    @property
    def reduction(self) -> float:
        """Scale from the copy to the image on which the keypoints were found, at most 1."""
        return min(1.0, SKETCH.detect_side_px / max(self.width, self.height))


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
    """Number of matches that one plausible homography explains; 0 if they are fewer than `SKETCH.min_inliers`."""
    try:
        points = match(phone.keypoints, dslr.keypoints, SKETCH)
        dslr_from_phone, explained = fit_homography(*points, dslr.reduction, SKETCH)
    except Rejection:
        return 0
    return int(np.count_nonzero(explained)) if is_plausible(dslr_from_phone, phone.width, phone.height) else 0
