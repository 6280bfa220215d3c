"""A matcher or a flow of the user's own, in place of SIFT or DIS. What they find is checked like what ours find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import ParamsError, Rejection
from dpedtool.dataset.own_code import raised
from dpedtool.dataset.params import AlignParams
from dpedtool.dataset.photos.pixels import GreyPhoto
from dpedtool.dataset.plugins import PluginName
from dpedtool.pipeline.geometry.homographies import Points
from dpedtool.pipeline.measure.flow import Flow, FlowField
from dpedtool.pipeline.measure.grey_values import GreyValues
from dpedtool.pipeline.measure.keypoint_homography import Matcher

FAILED = "own_method_failed"


def own_flow(params: AlignParams) -> Flow | None:
    """Return `align.flow` as a flow between two grey images; None if it is not set.

    The function takes two arrays (H, W), uint8, and returns (H, W, 2): x and y of the displacement of each px of the
    first one, in px.
    """
    if params.flow is None:
        return None
    call = _guarded("align.flow", params.flow)

    def flow(first: GreyValues, second: GreyValues) -> FlowField:
        found = _numbers("align.flow", call(_as_bytes(first), _as_bytes(second)))
        if found.shape != (*first.shape, 2):
            raise _failed("align.flow", f"returned an array {found.shape}, but {(*first.shape, 2)} is needed")
        # Px that it leaves open come back nowhere.
        return np.where(np.isfinite(found), found, np.inf).astype(np.float32)

    return flow


def own_matcher(params: AlignParams) -> Matcher | None:
    """Return `align.matcher` as a matcher of two grey photos; None if it is not set.

    The function takes two arrays (H, W), uint8, and returns two arrays (N, 2): x and y of points of the first one, and
    of the points of the second one that show the same, in px with pixel centres at integers.
    """
    if params.matcher is None:
        return None
    call = _guarded("align.matcher", params.matcher)

    def matcher(first: GreyPhoto, second: GreyPhoto) -> tuple[Points, Points]:
        found = call(first.copy(), second.copy())
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise _failed("align.matcher", "did not return two arrays of points")
        one, other = (_numbers("align.matcher", points) for points in found)
        if one.shape != other.shape or one.ndim != 2 or one.shape[1] != 2:
            raise _failed("align.matcher", f"returned arrays {one.shape} and {other.shape}, but (N, 2) each is needed")
        finite = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
        return one[finite], other[finite]

    return matcher


def check_own_methods(params: AlignParams) -> None:
    """Load what the parameters name, so that a mistake in them ends the run before it begins.

    Raises
    ------
    ParamsError
        There is no such module or function.

    """
    for name in (params.flow, params.matcher):
        if name is not None:
            PluginName.parse(name).load()


def _guarded(parameter: str, name: str) -> Callable[..., Any]:
    """Return a function that turns whatever the user's function raises into a Rejection."""
    plugin = PluginName.parse(name)
    try:
        function = plugin.load()
    except ParamsError as error:
        # It was found where the run began, so that this is a worker on another machine.
        raise Rejection(FAILED, f"{parameter}: {error}") from error

    def call(*images: npt.NDArray[np.uint8]) -> Any:
        try:
            return function(*images)
        except (Exception, SystemExit) as error:
            raise _failed(parameter, f"({plugin}) {raised(error)}") from error

    return call


def _numbers(parameter: str, found: Any) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(found, np.float64)
    except (TypeError, ValueError):
        raise _failed(parameter, f"returned {type(found).__name__}, which is not an array of numbers") from None


def _failed(parameter: str, what: str) -> Rejection:
    return Rejection(FAILED, f"The function {parameter} {what}.")


def _as_bytes(grey: GreyValues) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)
