"""The depth of a pair as a picture: how far its nodes displace each place of the common crop."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.geometry.homographies import Box
from dpedtool.pipeline.geometry.transform import NODE_PX, Nodes
from dpedtool.pipeline.patches.area_change import SAMPLE_PX, AreaChange, nodes_in
from dpedtool.pipeline.report.pairs.contract import Depth, DepthPlace, Picture

ENDS: tuple[tuple[float, float, float], ...] = ((38, 8, -45), (95, 0, 0), (38, 36, 28))
"""Blue, a light grey and red-brown in CIELAB. The outer ones are equally dark and equally strong, so that neither sign
looks larger than the other. Colour-blind people can distinguish the two."""
COLOURS = 65
"""An odd number, so that one colour means 0. With more colours, the files are larger, and nobody sees more."""
LEAST_RANGE_PX, RANGE_STEP_PX = 1.0, 0.5
"""The colours of a flat scene would show noise if they ended at less."""
INSIDE_RANGE = 99
"""Percentage of the nodes whose displacement is inside the range of the colours."""
HATCHING_PX, HATCHES = 6, 128
"""The stripes are so many px apart, and in large pictures so far apart that about so many fit next to each other."""
PLACES = 24
"""Places along the longer side whose displacement the page tells in words."""

Values = npt.NDArray[np.float32]


class DepthPicture:
    """Colours for displacements, with hatching where something hides a part of the scene from one camera.

    Two cameras see things at different depths displaced along one direction. The picture shows the displacement along
    the direction that fits the nodes best.

    Parameters
    ----------
    nodes
        The nodes of the transform of a pair.
    box
        The common crop in the phone's photo; it begins at whole squares of nodes.

    """

    def __init__(self, nodes: Nodes, box: Box) -> None:
        self._nodes, self._box = nodes, box
        inside = nodes_in(nodes, box)
        self.direction = direction_of(inside)
        """Unit vector (x, y); displacements along it are positive. It points to the right, or straight down."""
        self._along = _along(inside, self.direction)
        self.range_px = _range_px(self._along)
        """The colours end at this displacement in both directions."""
        self._change = AreaChange(nodes, box)

    def draw(self, size: tuple[int, int]) -> Image:
        """Return the picture of the crop, (height, width, 3), for a size (width, height) in px."""
        steps = (np.clip(self._shown(size) / self.range_px, -1, 1) + 1) / 2 * (COLOURS - 1)
        picture: Image = colours()[np.rint(steps).astype(np.intp)]
        rows, columns = np.indices(picture.shape[:2])
        period = max(HATCHING_PX, round(max(size) / HATCHES))
        # The stripes lean to different sides, as colours are taken, and have a ground that narrow places show as well.
        stripes = {"squeezed": (columns + rows, 40, 255), "stretched": (columns - rows, 225, 0)}
        for name, (places, ground, stripe) in stripes.items():
            hatched = np.where(places % period < (period + 1) // 3, stripe, ground)
            flags = self._flags(name, size)
            picture[flags] = hatched[flags][:, None]
        return picture

    def details(self, picture: Picture) -> Depth:
        """Return what the page needs, for the file of the picture."""
        inside, box = nodes_in(self._nodes, self._box), self._box
        across = _along(inside, (-self.direction[1], self.direction[0]))
        width, height = -(-box.width // SAMPLE_PX), -(-box.height // SAMPLE_PX)
        shares = {name: float(flags[:height, :width].mean()) for name, flags in self._change.flags.items()}
        return Depth(
            picture=picture,
            direction=(round(self.direction[0], 4), round(self.direction[1], 4)),
            range_px=self.range_px,
            colours=[f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in colours()[:: COLOURS // 16].tolist()],
            largest_px=round(float(np.abs(self._along).max()), 2),
            across_px=round(float(np.percentile(np.abs(across), 95)), 2),
            squeezed=round(shares["squeezed"], 4),
            stretched=round(shares["stretched"], 4),
            places=self._places(),
        )

    def _shown(self, size: tuple[int, int]) -> Values:
        """Return the displacement along the direction, (height, width), at the middles of the picture's px."""
        xs, ys = (
            ((np.arange(count) + 0.5) * length / count - 0.5 + start % NODE_PX - (NODE_PX - 1) / 2) / NODE_PX
            for count, length, start in zip(
                size, (self._box.width, self._box.height), (self._box.x, self._box.y), strict=True
            )
        )
        across, down = (np.asarray(part, np.float32) for part in np.meshgrid(xs, ys))
        shown = cv2.remap(self._along, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(shown, np.float32)

    def _flags(self, name: str, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return which px of the picture, (height, width), show any flagged place, so that narrow ones stay visible."""
        width, height = -(-self._box.width // SAMPLE_PX), -(-self._box.height // SAMPLE_PX)
        flags = self._change.flags[name][:height, :width].astype(np.float32)
        shrinks = size[0] < width
        resized = cv2.resize(flags, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
        return np.asarray(resized > 0)

    def _places(self) -> list[DepthPlace]:
        """Return places all over the crop, the most displaced ones first."""
        box = self._box
        side = -(-max(box.width, box.height) // PLACES)
        xs, ys = (np.arange((side - 1) / 2, length, side) for length in (box.width, box.height))
        middles = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
        found = self._nodes(middles + np.array([box.x, box.y]))
        moved = [round(value, 2) for value in (found @ np.array(self.direction)).tolist()]
        places = [DepthPlace(x, y, px) for (x, y), px in zip(middles.tolist(), moved, strict=True)]
        return sorted(places, key=lambda place: -abs(place.px))


def colours() -> Image:
    """Return the colours (`COLOURS`, 3), BGR, from the most negative displacement to the most positive one.

    They lie in equal steps on two straight lines in CIELAB, so that equal differences of the displacement look alike.
    """
    places = np.linspace(0, len(ENDS) - 1, COLOURS)
    lab = [np.interp(places, range(len(ENDS)), axis) for axis in zip(*ENDS, strict=True)]
    bgr = cv2.cvtColor(np.stack(lab, axis=-1).astype(np.float32)[None], cv2.COLOR_Lab2BGR)[0]
    return np.asarray(np.rint(bgr * 255), np.uint8)


def direction_of(displacements: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return the unit vector along which displacements (rows, columns, 2) lie best, forth or back.

    Each displacement counts by its length, not by its square, so that a few wrong ones do not decide.
    """
    vectors = displacements[..., 0].astype(np.float64) + 1j * displacements[..., 1]
    # Squares of complex numbers are the same for opposite displacements.
    lengths = np.abs(vectors)
    total = complex((vectors**2 / np.where(lengths > 0, lengths, 1)).sum())
    angle = math.atan2(total.imag, total.real) / 2
    return math.cos(angle), math.sin(angle)


def _along(displacements: npt.NDArray[np.float32], direction: tuple[float, float]) -> Values:
    return np.asarray(displacements @ np.array(direction, np.float32), np.float32)


def _range_px(along: Values) -> float:
    most = float(np.percentile(np.abs(along), INSIDE_RANGE))
    return max(LEAST_RANGE_PX, math.ceil(most / RANGE_STEP_PX - 1e-6) * RANGE_STEP_PX)
