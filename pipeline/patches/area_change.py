"""Where the nodes of a transform squeeze or stretch the photo, because the depth jumps.

Behind the edge of something nearer, one camera sees what the other does not. Where the phone sees more, the nodes
squeeze what it sees into less room than there is; where the DSLR sees more, they stretch it.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.transform import NODE_PX, Map, Nodes
from dpedtool.pipeline.measure.shifts import gradients
from dpedtool.pipeline.measure.window_counts import WindowCounts

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SAMPLE_PX = 2
"""The area is compared at every second px."""
SQUEEZED, STRETCHED = 0.7, 1.3
"""The depth jumps where the transform maps a place to less, or to more, than these shares of its area. Where it changes
smoothly, the area does by less."""


class AreaChange:
    """Which places of a common crop are squeezed or stretched.

    Parameters
    ----------
    nodes
        The nodes of the transform.
    box
        The common crop in the phone photo; it begins at whole squares of nodes.

    """

    def __init__(self, nodes: Nodes, box: Box) -> None:
        part = nodes_in(nodes, box)
        size = part.shape[1] * NODE_PX // SAMPLE_PX, part.shape[0] * NODE_PX // SAMPLE_PX
        x, y = (
            np.asarray(cv2.resize(part[..., axis] / SAMPLE_PX, size, interpolation=cv2.INTER_LINEAR), np.float32)
            for axis in (0, 1)
        )
        (xx, xy), (yx, yy) = gradients(x), gradients(y)
        area = (1 + xx) * (1 + yy) - xy * yx
        self._flags = {"squeezed": area < SQUEEZED, "stretched": area > STRETCHED}
        self._counts = {name: WindowCounts(flags, SAMPLE_PX) for name, flags in self._flags.items()}

    @property
    def flags(self) -> dict[str, Flags]:
        """Which places are `squeezed` and `stretched`, (rows, columns) each.

        There is one place for every `SAMPLE_PX` px of the crop in both directions, from its top left corner. The last
        square of nodes may reach beyond the crop, and the places do as well.
        """
        return self._flags

    def shares(self, corners: npt.NDArray[np.int64], side: int) -> dict[str, Values]:
        """Return the shares of windows that are `squeezed` and `stretched`, (N,) each, 0..1.

        Parameters
        ----------
        corners
            (N, 2): x, y of the windows' top left px in the crop.
        side
            Side of the windows, in px.

        """
        return {name: counts.shares(corners, side) for name, counts in self._counts.items()}


def nodes_in(nodes: Nodes, box: Box) -> Map:
    """Return the displacements (rows, columns, 2) of the nodes whose squares have px in a box of the photo, a view."""
    rows, columns = (
        slice(start // NODE_PX, -(-(start + length) // NODE_PX))
        for start, length in ((box.y, box.height), (box.x, box.width))
    )
    return nodes.displacements[rows, columns]
