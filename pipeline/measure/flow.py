"""Dense optical flow between two aligned images, and what it says about an alignment: other depths, hidden parts.

Least squares over a window finds one shift, that of the strongest texture. A dense flow (Kroeger et al. 2016, ECCV,
arXiv 1603.03590; OpenCV's DIS) also shows which parts of the window do not share it. Here the flow only judges, so
that its own errors cost patches, and never spoil one; `dpedtool.pipeline.align.following` lets the transform follow it
where the scene has depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.noise import NO_NOISE, PairNoise
from dpedtool.pipeline.measure.shifts import LEAST_SLOPE, even_detail, gradients
from dpedtool.pipeline.measure.window_counts import WindowCounts

Bytes = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
FlowField = npt.NDArray[np.float32]
"""(H, W, 2): x and y of the displacement of each px of the first image, in px."""
Flow = Callable[[GreyValues, GreyValues], FlowField]
"""Takes two smoothed grey images (H, W), 0..255; returns the flow from the first to the second."""

MOST_PX = 2_000_000
"""Larger images are reduced to at most so many px: flow costs 0.4 CPU-s a megapixel."""
RETURN_PX = 0.5
"""If the flow there and back ends farther from its start than this, one of the cameras does not see the place."""
STRETCH = 0.3
"""In px per px: where the flow changes faster, the depth jumps."""
FAR_PX = 1.0
"""A part whose flow is longer than this is misplaced."""
LEVELS_PER_UNIT = 40.0
"""Of the even detail, whose standard deviation is about 1, in the 8 bit images that the flow is computed on."""


@dataclass(frozen=True, eq=False)
class FlowEvidence:
    """What the flow says about every window of two aligned images, by px of these images, reduced or not."""

    detail: WindowCounts
    hidden: WindowCounts
    """Px with detail that one camera does not see."""
    far: WindowCounts
    """Px with detail that are misplaced."""
    jumps: WindowCounts

    def shares(self, corners: npt.NDArray[np.int64], side: int) -> dict[str, Values]:
        """Return what speaks against windows, 0..1, (N,) each.

        Parameters
        ----------
        corners
            (N, 2): x, y of the windows' top left px.
        side
            Side of the windows, in px.

        Returns
        -------
        dict
            `hidden`: share of the px with detail that one camera does not see. `unfollowed`: share of the px with
            detail that lie more than 1 px from where the alignment puts them. `jump`: share of all px at jumps of the
            depth.

        """
        detail = np.maximum(self.detail.counts(corners, side), 1)
        return {
            "hidden": self.hidden.counts(corners, side) / detail,
            "unfollowed": self.far.counts(corners, side) / detail,
            "jump": self.jumps.shares(corners, side),
        }


def compare(phone: Bytes, dslr: Bytes, noise: PairNoise = NO_NOISE) -> FlowEvidence:
    """Compare two aligned grey images, (H, W) each, by the flow from the first to the second and back."""
    height, width = phone.shape
    factor = max(1, math.ceil(math.sqrt(height * width / MOST_PX)))
    smooth = [_smooth(image, factor, noise.reduced(factor).smoothing) for image in (phone, dslr)]
    there, back = (dis_flow(*images, finest_scale=1) for images in (smooth, smooth[::-1]))
    hidden = return_px(there, back) * factor > RETURN_PX
    far = np.linalg.norm(there, axis=2) * factor > FAR_PX
    # Only px with detail count, since the flow is guessed elsewhere.
    detail = has_detail(smooth[0])
    flags = detail, detail & hidden, detail & far, stretch(there) > STRETCH
    return FlowEvidence(*(WindowCounts(part, factor) for part in flags))


def dis_flow(first: GreyValues, second: GreyValues, *, finest_scale: int = 0) -> FlowField:
    """Return OpenCV's DIS flow on the even detail of two smoothed images.

    Parameters
    ----------
    first, second
        (H, W), 0..255.
    finest_scale
        The flow is refined down to images that are reduced by 2 to the power of this. Each step costs three times as
        much as the one before.

    """
    # OpenCV divides the work by the number of threads, and the result depends on the division.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        flow.setFinestScale(finest_scale)
        images = [_as_bytes(even_detail(image)) for image in (first, second)]
        found: FlowField = flow.calc(*images, None)  # type: ignore[call-overload]
    finally:
        cv2.setNumThreads(threads)
    return found


def return_px(there: FlowField, back: FlowField) -> GreyValues:
    """Return how far from its start each px (H, W) ends, if it follows the flow there and then the flow back."""
    xs, ys = np.meshgrid(*(np.arange(length, dtype=np.float32) for length in there.shape[1::-1]))
    returned: Any = cv2.remap(
        back, xs + there[..., 0], ys + there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(np.linalg.norm(there + returned, axis=2), np.float32)


def stretch(flow: FlowField) -> GreyValues:
    """Return how fast the flow changes from px to px (H, W): the norm of its gradient, in px per px."""
    slopes = (slope**2 for axis in (0, 1) for slope in gradients(np.ascontiguousarray(flow[..., axis])))
    return np.asarray(np.sqrt(sum(slopes)), np.float32)


def has_detail(smooth: GreyValues) -> Flags:
    """Return which px (H, W) of a smoothed image lie on detail; elsewhere, a flow is guessed."""
    return np.asarray(cv2.magnitude(*gradients(smooth)) > LEAST_SLOPE)


def _smooth(image: Bytes, factor: int, smoothing: float) -> GreyValues:
    height, width = (length // factor for length in image.shape)
    cropped = image[: height * factor, : width * factor].astype(np.float32)
    small = cropped if factor == 1 else cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), smoothing)  # type: ignore[return-value]


def _as_bytes(detail: GreyValues) -> Bytes:
    return np.asarray(np.clip(np.rint(detail * LEVELS_PER_UNIT + 128), 0, 255), np.uint8)
