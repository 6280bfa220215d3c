"""Registration: SIFT keypoints, ratio test, homography by RANSAC. Photos in, transform out, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dataset.errors import Rejection
from dataset.params import AlignParams
from dataset.photos import Image
from dataset.stored import Grey
from pipeline.geometry import (
    Homography,
    Points,
    full_from_reduced,
    inverse,
    is_plausible,
    transform_points,
)

Descriptors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Registration:
    """The transform between two photos and what it rests on."""

    dslr_from_phone: Homography
    phone_keypoints: int
    dslr_keypoints: int
    matches: int
    inliers: int
    reprojection_px: float
    """Median distance, in phone px, between the inliers' phone points and their DSLR mates brought back."""


@dataclass(frozen=True)
class Keypoints:
    """SIFT keypoints of one photo: points (N, 2) in px of the full photo, RootSIFT descriptors (N, 128)."""

    points: Points
    descriptors: Descriptors


def register(phone: Image, dslr: Image, params: AlignParams) -> Registration:
    """Find the homography from the phone photo to the DSLR photo, both (H, W, 3) BGR uint8.

    Raises
    ------
    Rejection
        `few_keypoints`, `few_matches`, `few_inliers` or `implausible_transform`, with the figures.

    """
    found = [detect(photo, params) for photo in (phone, dslr)]
    for name, keypoints in zip(("phone", "DSLR"), found, strict=True):
        if len(keypoints.points) < params.min_inliers:
            raise Rejection(
                "few_keypoints",
                f"The {name} photo has {len(keypoints.points)} keypoints; {params.min_inliers} are needed.",
            )
    phone_points, dslr_points = match(found[0], found[1], params)
    dslr_from_phone, inliers = fit_homography(phone_points, dslr_points, _reduction(dslr, params), params)
    if not is_plausible(dslr_from_phone, phone.shape[1], phone.shape[0]):
        raise Rejection("implausible_transform", "The best homography mirrors, folds or distorts the phone photo.")
    back = transform_points(inverse(dslr_from_phone), dslr_points[inliers])
    return Registration(
        dslr_from_phone=dslr_from_phone,
        phone_keypoints=len(found[0].points),
        dslr_keypoints=len(found[1].points),
        matches=len(phone_points),
        inliers=int(inliers.sum()),
        reprojection_px=float(np.median(np.linalg.norm(back - phone_points[inliers], axis=1))),
    )


def detect(photo: Image, params: AlignParams) -> Keypoints:
    """Detect keypoints on a photo (H, W, 3) BGR uint8, as `detect_in_grey` does."""
    return detect_in_grey(np.asarray(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), np.uint8), params)


def detect_in_grey(grey: Grey, params: AlignParams) -> Keypoints:
    """Detect SIFT keypoints (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94) on the photo, reduced if it is large.

    Descriptors are RootSIFT (Arandjelovic and Zisserman 2012, doi:10.1109/CVPR.2012.6248018).
    """
    height, width = grey.shape
    ratio = _reduction(grey, params)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if size != (width, height) else grey
    # Without the precise upscale OpenCV's first octave is shifted by a quarter of a pixel.
    sift = cv2.SIFT.create(nfeatures=params.features, contrastThreshold=params.contrast, enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(small, None)
    if descriptors is None or not len(keypoints):
        return Keypoints(np.empty((0, 2)), np.empty((0, 128), np.float32))
    points: Points = np.array([keypoint.pt for keypoint in keypoints]).astype(np.float64)
    in_full = transform_points(full_from_reduced((width, height), size), points)
    return Keypoints(in_full, _root_sift(descriptors.astype(np.float32)))


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
        raise Rejection(
            "few_matches",
            f"{good.sum()} keypoints match; {params.min_inliers} are needed: do the photos show one scene?",
        )
    return phone.points[good], dslr.points[nearest[good]]


def fit_homography(
    phone_points: Points, dslr_points: Points, reduction: float, params: AlignParams
) -> tuple[Homography, npt.NDArray[np.bool_]]:
    """Fit dslr_from_phone to matches (N, 2) and tell which of them it explains.

    Raises
    ------
    Rejection
        `few_inliers`.

    """
    # USAC_ACCURATE is LO-RANSAC with a final least squares; its random state is fixed inside OpenCV.
    matrix, mask = cv2.findHomography(
        phone_points, dslr_points, cv2.USAC_ACCURATE, params.ransac_px / reduction, maxIters=10_000, confidence=0.9999
    )
    inliers = np.zeros(len(phone_points), bool) if mask is None else mask.ravel().astype(bool)
    needed = max(params.min_inliers, params.min_inlier_share * len(phone_points))
    if matrix is None or inliers.sum() < needed:
        raise Rejection(
            "few_inliers",
            f"{inliers.sum()} of {len(phone_points)} matches agree on one transform; {needed:.0f} are needed: "
            "another scene, or one with much parallax?",
        )
    return matrix / matrix[2, 2], inliers


def _reduction(photo: Image | Grey, params: AlignParams) -> float:
    """How much smaller than the photo the image is that keypoints are found on, at most 1."""
    return min(1.0, params.detect_side_px / float(max(photo.shape[:2])))


def _root_sift(descriptors: npt.NDArray[np.float32]) -> Descriptors:
    normalised: Descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
    return normalised
