"""Register two photos by SIFT keypoints, ratio test and RANSAC: get a homography, or the reason why there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import Rejection
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.pixels import GreyPhoto
from dpedtool.dataset.photos.stored import ReducedGrey
from dpedtool.pipeline.geometry.homographies import (
    Homography,
    Points,
    full_from_reduced,
    inverse,
    is_plausible,
    transform_points,
)
from dpedtool.pipeline.measure.exposure import clipped_share
from dpedtool.pipeline.measure.noise import sensor_noise

Descriptors = npt.NDArray[np.float32]
Matcher = Callable[[GreyPhoto, GreyPhoto], tuple[Points, Points]]
"""Takes two grey photos; returns points (N, 2) of the first, and those of the second that show the same, in px."""

FEWEST_OFF_PLANE = 30
"""Fewer matches may lie on epipolar lines by chance: up to 11 did so in wrong pairs of real photos."""
FINE_DETAIL = 5.5
"""What `sensor_noise` takes for noise in photos full of fine detail, reduced, in grey levels: up to 5.2."""
NOISE_BY_SIGMA = 8.0
"""By so many grey levels of noise beyond that, the variance of the smoothing before SIFT grows by 1 px^2. With this,
City100 with the noise of a peak of 5 and of 15 electrons has the most inliers."""
MIRRORED_SPREAD = 0.6
"""Share of the frame, across and down, that matches must spread over before a photo is called mirrored."""


@dataclass(frozen=True, eq=False)
class Registration:
    """A first transform between two photos, right to a few px, and the figures of its fit."""

    dslr_from_phone: Homography
    phone_keypoints: int
    dslr_keypoints: int
    matches: int
    inliers: int
    turn_deg: float
    """How far the phone photo's middle is turned clockwise, in degrees, -180..180."""
    reprojection_px: float
    """Median distance, in phone px, between the inliers' phone points and their DSLR mates brought back."""
    off_plane: int
    """Matches that only two views of one rigid scene explain, not a homography: things nearer or farther than most."""


@dataclass(frozen=True)
class Keypoints:
    """SIFT keypoints of one photo: points (N, 2) in px of the full photo, RootSIFT descriptors (N, 128)."""

    points: Points
    descriptors: Descriptors


def register(
    phone: ReducedGrey, dslr: ReducedGrey, params: AlignParams, matcher: Matcher | None = None
) -> Registration:
    """Find the homography from the phone photo to the DSLR photo, in px of the full photos.

    Small copies are tried first, and larger ones only if these do not suffice. A matcher in place of SIFT gets the
    larger ones.

    Raises
    ------
    Rejection
        `low_texture`, `clipped_exposure`, `few_matches`, `wrong_pair`, `mirrored_frame` or `rotated_frame`, with the
        figures.

    """
    if matcher:
        return _register_by(matcher, phone, dslr, params)
    with contextlib.suppress(Rejection):
        return _register(phone, dslr, params)
    closer = dataclasses.replace(params, detect_side_px=params.retry_side_px, features=params.retry_features)
    try:
        return _register(phone, dslr, closer)
    except Rejection as rejection:
        if rejection.reason != "rotated_frame" and _is_mirrored(phone, dslr, params):
            detail = "The phone photo matches the DSLR's when it is mirrored: flip it back."
            raise Rejection("mirrored_frame", detail) from None
        raise


def _register(phone: ReducedGrey, dslr: ReducedGrey, params: AlignParams) -> Registration:
    found = [detect(photo, params) for photo in (phone, dslr)]
    for name, photo, keypoints in zip(("phone", "DSLR"), (phone, dslr), found, strict=True):
        if len(keypoints.points) < params.min_inliers:
            raise _too_plain(name, photo, len(keypoints.points), params)
    return register_keypoints(found[0], found[1], phone.size, dslr.size, params)


def _register_by(matcher: Matcher, phone: ReducedGrey, dslr: ReducedGrey, params: AlignParams) -> Registration:
    closer = dataclasses.replace(params, detect_side_px=params.retry_side_px)
    small = [_shrunk(photo.image, closer) for photo in (phone, dslr)]
    points = [
        transform_points(photo.full_from_reduced @ _full_from_small(photo.image, one), found)
        for photo, one, found in zip((phone, dslr), small, matcher(*small), strict=True)
    ]
    if len(points[0]) < params.min_inliers:
        raise _few_matches(len(points[0]), params)
    counts = len(points[0]), len(points[0])
    return register_matches(points[0], points[1], counts, phone.size, dslr.size, closer)


def register_keypoints(
    phone: Keypoints, dslr: Keypoints, phone_size: tuple[int, int], dslr_size: tuple[int, int], params: AlignParams
) -> Registration:
    """Find the homography between photos of these sizes (width, height) whose keypoints are known.

    Raises
    ------
    Rejection
        `few_matches`, `wrong_pair` or `rotated_frame`.

    """
    found = match(phone, dslr, params)
    return register_matches(*found, (len(phone.points), len(dslr.points)), phone_size, dslr_size, params)


def register_matches(
    phone_points: Points,
    dslr_points: Points,
    keypoints: tuple[int, int],
    phone_size: tuple[int, int],
    dslr_size: tuple[int, int],
    params: AlignParams,
) -> Registration:
    """Find the homography between photos of these sizes (width, height) from matched points (N, 2) of both.

    `keypoints` says how many points were found in each photo before they were matched.

    Raises
    ------
    Rejection
        `wrong_pair` or `rotated_frame`.

    """
    reduction = _reduction(dslr_size, params)
    dslr_from_phone, inliers = fit_homography(phone_points, dslr_points, reduction, params)
    if not is_plausible(dslr_from_phone, *phone_size):
        raise Rejection("wrong_pair", "The best homography mirrors, folds or distorts the phone photo.")
    turn = _turn(dslr_from_phone, phone_size)
    if abs(turn) > params.max_turn_deg:
        raise Rejection(
            "rotated_frame",
            f"The phone photo is turned by {turn:.0f} degrees against the DSLR's: turn it, or fix its EXIF tag.",
        )
    back = transform_points(inverse(dslr_from_phone), dslr_points[inliers])
    return Registration(
        dslr_from_phone=dslr_from_phone,
        phone_keypoints=keypoints[0],
        dslr_keypoints=keypoints[1],
        matches=len(phone_points),
        inliers=int(inliers.sum()),
        turn_deg=turn,
        reprojection_px=float(np.median(np.linalg.norm(back - phone_points[inliers], axis=1))),
        off_plane=_off_plane(phone_points, dslr_points, inliers, params.ransac_px / reduction),
    )


def detect(photo: ReducedGrey, params: AlignParams) -> Keypoints:
    """Detect keypoints as `detect_in_grey` does, their points in px of the full photo."""
    found = detect_in_grey(photo.image, params)
    return Keypoints(transform_points(photo.full_from_reduced, found.points), found.descriptors)


def detect_in_grey(grey: GreyPhoto, params: AlignParams) -> Keypoints:
    """Detect SIFT keypoints (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94) on the photo, reduced if it is large.

    Descriptors are RootSIFT (Arandjelovic and Zisserman 2012, doi:10.1109/CVPR.2012.6248018).
    """
    small = _shrunk(grey, params)
    # Noise has keypoints of its own, which hide those of the scene.
    beyond = sensor_noise(small) - FINE_DETAIL
    calm = cv2.GaussianBlur(small, (0, 0), math.sqrt(beyond / NOISE_BY_SIGMA)) if beyond > 0 else small
    # Without the precise upscale OpenCV's first octave is shifted by a quarter of a pixel.
    sift = cv2.SIFT.create(nfeatures=params.features, contrastThreshold=params.contrast, enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(calm, None)
    if descriptors is None or not len(keypoints):
        return Keypoints(np.empty((0, 2)), np.empty((0, 128), np.float32))
    points: Points = np.array([keypoint.pt for keypoint in keypoints]).astype(np.float64)
    in_grey = transform_points(_full_from_small(grey, small), points)
    return Keypoints(in_grey, _root_sift(descriptors.astype(np.float32)))


def match(phone: Keypoints, dslr: Keypoints, params: AlignParams) -> tuple[Points, Points]:
    """Return the points (N, 2) of both photos whose descriptors are each other's nearest and pass the ratio test.

    Raises
    ------
    Rejection
        `few_matches`.

    """
    # Squared distances of unit vectors: |a-b|^2 = 2 - 2 a.b, so nearest is largest product.
    products = phone.descriptors @ dslr.descriptors.T
    rows = np.arange(len(products))
    nearest = products.argmax(axis=1)
    second = np.partition(products, -2, axis=1)[:, -2]
    distances = np.sqrt(np.maximum(2 - 2 * np.stack([products[rows, nearest], second]), 0))
    mutual = products.argmax(axis=0)[nearest] == rows
    good = mutual & (distances[0] < params.ratio * distances[1])
    if good.sum() < params.min_inliers:
        raise _few_matches(int(good.sum()), params)
    return phone.points[good], dslr.points[nearest[good]]


def fit_homography(
    phone_points: Points, dslr_points: Points, reduction: float, params: AlignParams
) -> tuple[Homography, npt.NDArray[np.bool_]]:
    """Fit dslr_from_phone to matches (N, 2), and return it and which of them it explains.

    Raises
    ------
    Rejection
        `wrong_pair`.

    """
    # USAC_ACCURATE is LO-RANSAC with a final least squares; its random state is fixed inside OpenCV.
    matrix, mask = cv2.findHomography(
        phone_points, dslr_points, cv2.USAC_ACCURATE, params.ransac_px / reduction, maxIters=10_000, confidence=0.9999
    )
    inliers = np.zeros(len(phone_points), bool) if mask is None else mask.ravel().astype(bool)
    needed = max(params.min_inliers, params.min_inlier_share * len(phone_points))
    if matrix is None or inliers.sum() < needed:
        raise Rejection(
            "wrong_pair",
            f"{inliers.sum()} of {len(phone_points)} matches agree on one transform; {needed:.0f} are needed: "
            "the photos seem to show different scenes.",
        )
    return matrix / matrix[2, 2], inliers


def _off_plane(phone_points: Points, dslr_points: Points, inliers: npt.NDArray[np.bool_], threshold_px: float) -> int:
    """Return how many matches lie off the homography, but on the epipolar lines of one fundamental matrix.

    Hartley and Zisserman, Multiple View Geometry, 2nd ed., sections 9.2 and 11.11: a plane and parallax.
    """
    if (~inliers).sum() < FEWEST_OFF_PLANE:
        return 0
    _, mask = cv2.findFundamentalMat(phone_points, dslr_points, cv2.USAC_ACCURATE, threshold_px, 0.9999, 10_000)
    return 0 if mask is None else int((mask.ravel().astype(bool) & ~inliers).sum())


def _turn(dslr_from_phone: Homography, phone_size: tuple[int, int]) -> float:
    """Return how far the phone photo's middle is turned clockwise, in degrees, -180..180."""
    centre = (np.array(phone_size) - 1) / 2
    here, right = transform_points(dslr_from_phone, centre + np.array([[0, 0], [1, 0]]))
    return float(np.degrees(np.arctan2(right[1] - here[1], right[0] - here[0])))


def _is_mirrored(phone: ReducedGrey, dslr: ReducedGrey, params: AlignParams) -> bool:
    """Whether matches all over the frame agree once the phone photo is mirrored; one mirrored object is not enough.

    A photo mirrored top to bottom is found too, since that is the same as left to right with a turn.
    """
    flipped = dataclasses.replace(phone, image=np.ascontiguousarray(phone.image[:, ::-1]))
    found = [detect(photo, params) for photo in (flipped, dslr)]
    if min(len(keypoints.points) for keypoints in found) < params.min_inliers:
        return False
    try:
        points, dslr_points = match(found[0], found[1], params)
        dslr_from_phone, inliers = fit_homography(points, dslr_points, _reduction(dslr.size, params), params)
    except Rejection:
        return False
    spread = np.ptp(points[inliers], axis=0) / np.array(phone.size)
    return is_plausible(dslr_from_phone, *phone.size) and bool(spread.min() > MIRRORED_SPREAD)


def _too_plain(name: str, photo: ReducedGrey, keypoints: int, params: AlignParams) -> Rejection:
    clipped = clipped_share(photo.image)
    if clipped > params.max_clipped:
        return Rejection("clipped_exposure", f"{clipped:.0%} of the {name} photo is burnt out or black.")
    return Rejection(
        "low_texture",
        f"The {name} photo has too few keypoints ({keypoints}; at least {params.min_inliers} are needed).",
    )


def _few_matches(count: int, params: AlignParams) -> Rejection:
    return Rejection(
        "few_matches",
        f"Too few keypoints match ({count}; at least {params.min_inliers} are needed): do the photos show the same "
        "scene?",
    )


def _shrunk(grey: GreyPhoto, params: AlignParams) -> GreyPhoto:
    """Return the photo at the size at which keypoints are detected."""
    height, width = grey.shape
    ratio = _reduction((width, height), params)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    if size == (width, height):
        return grey
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _full_from_small(grey: GreyPhoto, small: GreyPhoto) -> Homography:
    return full_from_reduced((grey.shape[1], grey.shape[0]), (small.shape[1], small.shape[0]))


def _reduction(size: tuple[int, int], params: AlignParams) -> float:
    """Return the scale, at most 1, that a photo of this size is reduced by before keypoints are detected."""
    return min(1.0, params.detect_side_px / float(max(size)))


def _root_sift(descriptors: npt.NDArray[np.float32]) -> Descriptors:
    normalised: Descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
    return normalised
