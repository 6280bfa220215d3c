"""Where a dense optical flow contradicts an alignment: parts at other depths, parts that one camera cannot see.

Least squares over a window finds one shift, that of the strongest texture. A dense flow (Kroeger et al. 2016, ECCV,
arXiv 1603.03590; OpenCV's DIS) also shows which parts of the window do not share it. The flow is not used to move
anything, so that its own errors can only cost patches, and never spoil one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.shifts import LEAST_SLOPE, SMOOTHING, even_detail, gradients

Bytes = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]
FlowField = npt.NDArray[np.float32]

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
    """What the flow says about every window of two aligned images, as sums over all px above and left of a place."""

    factor: int
    """The images were reduced by this factor."""
    detail: Values
    hidden: Values
    far: Values
    jumps: Values

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
        low = corners // self.factor
        high = np.maximum((corners + side) // self.factor, low + 1)
        high = np.minimum(high, np.array(self.detail.shape[::-1]) - 1)
        area = np.maximum(np.prod(high - low, axis=1), 1)
        detail = np.maximum(_sums(self.detail, low, high), 1)
        return {
            "hidden": _sums(self.hidden, low, high) / detail,
            "unfollowed": _sums(self.far, low, high) / detail,
            "jump": _sums(self.jumps, low, high) / area,
        }


def compare(phone: Bytes, dslr: Bytes) -> FlowEvidence:
    """Compare two aligned grey images, (H, W) each, by the flow from the first to the second and back."""
    height, width = phone.shape
    factor = max(1, math.ceil(math.sqrt(height * width / MOST_PX)))
    smooth = [_smooth(image, factor) for image in (phone, dslr)]
    there, back = _flows(*(_as_bytes(even_detail(image)) for image in smooth))
    xs, ys = np.meshgrid(*(np.arange(length, dtype=np.float32) for length in there.shape[1::-1]))
    returned: Any = cv2.remap(
        back, xs + there[..., 0], ys + there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    # Only px with detail count, since the flow is guessed elsewhere.
    detail = cv2.magnitude(*gradients(smooth[0])) > LEAST_SLOPE
    stretch = np.sqrt(sum(slope**2 for axis in (0, 1) for slope in gradients(np.ascontiguousarray(there[..., axis]))))
    hidden = np.linalg.norm(there + returned, axis=2) * factor > RETURN_PX
    far = np.linalg.norm(there, axis=2) * factor > FAR_PX
    return FlowEvidence(
        factor, *(_integral(part) for part in (detail, detail & hidden, detail & far, stretch > STRETCH))
    )


def _smooth(image: Bytes, factor: int) -> GreyValues:
    height, width = (length // factor for length in image.shape)
    cropped = image[: height * factor, : width * factor].astype(np.float32)
    small = cropped if factor == 1 else cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), SMOOTHING)  # type: ignore[return-value]


def _as_bytes(detail: GreyValues) -> Bytes:
    return np.asarray(np.clip(np.rint(detail * LEVELS_PER_UNIT + 128), 0, 255), np.uint8)


def _flows(phone: Bytes, dslr: Bytes) -> tuple[FlowField, FlowField]:
    """Return the flow from the first image to the second and back, (H, W, 2) each."""
    # OpenCV divides the work by the number of threads, and the result depends on the division.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        there, back = (flow.calc(*images, None) for images in ((phone, dslr), (dslr, phone)))  # type: ignore[call-overload]
    finally:
        cv2.setNumThreads(threads)
    return there, back


def _integral(flags: npt.NDArray[np.bool_]) -> Values:
    return np.asarray(cv2.integral(flags.astype(np.uint8)), np.float64)


def _sums(integral: Values, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Values:
    (left, top), (right, bottom) = low.T, high.T
    return np.asarray(integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left])
