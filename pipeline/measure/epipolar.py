"""Tell depth from motion: two cameras see a still scene displaced along lines through one point, the epipole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Points

TRIALS = 500
ACROSS_PX, ACROSS_SHARE = 0.7, 0.1
"""A displacement may miss its line by this many px, and by this share of its length: the homography is that of a plane
only to some tenths of a px."""


def against_epipole(points: Points, displacements: Points) -> npt.NDArray[np.bool_]:
    """Return which displacements (N,) do not point along a line through the epipole that explains most of them.

    After the homography of a plane, the displacements that depth leaves all point to the epipole or away from it
    (Hartley and Zisserman, Multiple View Geometry, 2nd ed., section 13.3: plane and parallax). Something that moves
    along these lines looks like depth.

    Parameters
    ----------
    points
        (N, 2) in px.
    displacements
        (N, 2) in px, none of them zero.

    """
    if len(points) < 2:
        return np.zeros(len(points), bool)
    # Large values would dominate the cross products.
    centre, size = points.mean(axis=0), max(float(np.ptp(points, axis=0).max()), 1.0)
    places = (points - centre) / size
    lines = np.cross(_homogeneous(places), _homogeneous(places + displacements / size))
    chosen = np.random.default_rng(0).integers(0, len(points), (TRIALS, 2))
    epipoles = np.cross(lines[chosen[:, 0]], lines[chosen[:, 1]])
    epipoles = epipoles[np.linalg.norm(epipoles, axis=1) > 1e-12]
    lengths = np.linalg.norm(displacements, axis=1)
    allowed = np.maximum(ACROSS_PX, ACROSS_SHARE * lengths)
    fewest = np.ones(len(points), bool)
    for epipole in epipoles:
        # To an epipole at infinity, all directions are the same.
        towards = epipole[:2] - epipole[2] * places
        norms = np.maximum(np.linalg.norm(towards, axis=1), 1e-12)
        across = np.abs(displacements[:, 0] * towards[:, 1] - displacements[:, 1] * towards[:, 0]) / norms
        missed = across > allowed
        if missed.sum() < fewest.sum():
            fewest = missed
    return fewest


def _homogeneous(points: Points) -> Points:
    return np.column_stack([points, np.ones(len(points))])
