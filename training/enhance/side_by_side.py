"""A photo before and after in one picture: both whole photos, and below them details of both at full size.

Only the photo before decides on the details: they show structure, are neither black nor white, and lie far apart.
Thin numbered frames in the whole photos show where the details are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.pixels import Image

WIDTH_PX = 2000
"""Greatest width of the picture."""
HEIGHT_PX = 1400
"""Greatest height of one whole photo in it."""
MOST_ENLARGED = 4
"""Greatest factor for small photos; factors are whole numbers so that pixels stay squares."""
PANORAMA = 2.0
"""Photos more than this many times as wide as high are placed one below the other."""

DETAILS = 3
GAP_PX, INNER_GAP_PX = 12, 4
STRIP_PX = 30
DETAIL_SIDE_PX = ((WIDTH_PX - (DETAILS + 1) * GAP_PX) // DETAILS - INNER_GAP_PX) // 2
"""A detail's side in the picture, chosen so that `DETAILS` pairs of before and after fill the width."""
PLACES = 24
"""Greatest number of places along a side where details are looked for."""
DARK, BRIGHT = 24, 232
"""Grey levels beyond which a photo shows little."""

GROUND, INK = (32, 32, 32), (240, 240, 240)
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6
LABEL_PX = 100
NUMBERED_PX = 28
"""Smaller frames are too small for their number."""


@dataclass(frozen=True)
class Box:
    """A part of a photo, in px: its first column and row, and its size."""

    x: int
    y: int
    width: int
    height: int

    def of(self, image: Image) -> Image:
        """Return the part, a view, (height, width, 3)."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def scaled(self, x: float, y: float) -> Box:
        """Return where the part is in a photo scaled by these factors."""
        left, top = round(self.x * x), round(self.y * y)
        return Box(
            left, top, max(round((self.x + self.width) * x) - left, 1), max(round((self.y + self.height) * y) - top, 1)
        )

    def overlaps(self, other: Box) -> bool:
        """Whether it has px in common with another part of the same size."""
        return abs(self.x - other.x) < self.width and abs(self.y - other.y) < self.height


def side_by_side(before: Image, after: Image) -> Image:
    """Show a photo before and after: both whole, and below them some details.

    Parameters
    ----------
    before, after
        (H, W, 3) BGR uint8, of equal size; any H and W.

    Returns
    -------
    Image
        (h, w, 3) BGR uint8, w at most `WIDTH_PX`. Whole photos are reduced to fit; small photos are enlarged by a
        whole factor. Details are 1:1, or 2:1 if the whole photos are shown almost 1:1. If the whole photos are
        enlarged, there are no details.

    """
    if before.shape != after.shape:
        raise ValueError(f"the photos differ in size: {before.shape} and {after.shape}")
    height, width = before.shape[:2]
    is_panorama = width > PANORAMA * height
    shown = _shown_size(width, height, WIDTH_PX - 2 * GAP_PX if is_panorama else (WIDTH_PX - 3 * GAP_PX) // 2)
    zoom = _zoom(shown[0] / width, shown[1] / height)
    boxes = choose_details(before, (DETAIL_SIDE_PX // zoom, DETAIL_SIDE_PX // zoom), DETAILS) if zoom else []
    wholes = [_labelled(_framed(photo, boxes, shown), label) for photo, label in ((before, "before"), (after, "after"))]
    rows = wholes if is_panorama else [_beside(wholes, GAP_PX)]
    if boxes:
        pairs = [_pair(before, after, box, number, zoom) for number, box in enumerate(boxes, start=1)]
        rows.append(_beside(pairs, GAP_PX))
    return _below(rows)


def _shown_size(width: int, height: int, widest: int) -> tuple[int, int]:
    """Return (width, height) of a whole photo in the picture."""
    scale = min(widest / width, HEIGHT_PX / height)
    if scale >= 1:
        factor = min(int(scale), MOST_ENLARGED, max(1, 2 * DETAIL_SIDE_PX // max(width, height)))
        return width * factor, height * factor
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _zoom(x: float, y: float) -> int:
    """Return the zoom factor of details; 0 if they would show no more than the whole photo."""
    scale = min(x, y)
    if scale >= 2:
        return 0
    return 2 if scale > 0.7 else 1


def choose_details(photo: Image, size: tuple[int, int], count: int) -> list[Box]:
    """Return the parts of a photo that show the most, from left to right.

    Parameters
    ----------
    photo
        (H, W, 3) BGR uint8.
    size
        (width, height) of a part in px; parts of a smaller photo are smaller.
    count
        Greatest number of parts; they never overlap.

    """
    boxes = _candidates(photo.shape[1], photo.shape[0], size)
    worth = np.array([_worth(box.of(photo)) for box in boxes])
    # The small constant makes a plain photo show its middle.
    worth = (worth + 1e-3) * _centredness(boxes)
    chosen: list[Box] = []
    for _ in range(count):
        if not worth.any():
            break
        best = boxes[int(worth.argmax())]
        chosen.append(best)
        worth *= np.array([0 if box.overlaps(best) else _apart(box, best, photo) for box in boxes])
    return sorted(chosen, key=lambda box: (box.x, box.y))


def _candidates(width: int, height: int, size: tuple[int, int]) -> list[Box]:
    """Return boxes all over the photo; neighbours overlap by half, or less in large photos."""
    across, down = min(size[0], width), min(size[1], height)
    return [Box(x, y, across, down) for y in _starts(height, down) for x in _starts(width, across)]


def _starts(length: int, side: int) -> list[int]:
    count = min(-(-2 * (length - side) // side) + 1, PLACES)
    return [int(start) for start in np.linspace(0, length - side, count)]


def _worth(detail: Image) -> float:
    """Return how much a detail shows: edges and contrast in its part that is neither black nor white."""
    grey = np.asarray(cv2.cvtColor(detail, cv2.COLOR_BGR2GRAY), np.uint8)
    lit = (grey > DARK) & (grey < BRIGHT)
    if not lit.any():
        return 0.0
    edges = cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S))
    return float(lit.mean() ** 2 * edges[lit].mean() * np.sqrt(grey[lit].std()))


def _centredness(boxes: list[Box]) -> npt.NDArray[np.float64]:
    """Return the weights of the boxes: 1 in the middle and a little less at the edge, where lenses are worse."""
    places = np.array([(box.x, box.y) for box in boxes], np.float64)
    middle = places.max(axis=0) / 2
    distance = np.abs(places - middle) / np.maximum(middle, 1)
    weights: npt.NDArray[np.float64] = 1 - 0.2 * distance.max(axis=1)
    return weights


def _apart(box: Box, chosen: Box, photo: Image) -> float:
    """Return a weight that grows with the distance of two boxes; 1 from a third of the photo's diagonal on."""
    third = np.hypot(*photo.shape[:2]) / 3
    return float(min(np.hypot(box.x - chosen.x, box.y - chosen.y) / third, 1))


def _framed(photo: Image, boxes: list[Box], size: tuple[int, int]) -> Image:
    """Return the whole photo at the size (width, height), with frames around the details."""
    whole = resized(photo, size)
    for number, box in enumerate(boxes, start=1):
        place = box.scaled(size[0] / photo.shape[1], size[1] / photo.shape[0])
        _rectangle(whole, place)
        if min(place.width, place.height) >= NUMBERED_PX:
            _tag(whole, str(number), place)
    return whole


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Return an image at a size (width, height): reduced by averaging areas, or enlarged by repeating px."""
    if size == image.shape[1::-1]:
        return image.copy()
    larger = size[0] > image.shape[1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if larger else cv2.INTER_AREA), np.uint8)


def _rectangle(image: Image, box: Box) -> None:
    """Draw a white line within a black one, visible on light and on dark."""
    last = box.x + box.width - 1, box.y + box.height - 1
    cv2.rectangle(image, (box.x, box.y), last, (0, 0, 0), 3)
    cv2.rectangle(image, (box.x, box.y), last, (255, 255, 255), 1)


def _tag(image: Image, text: str, box: Box) -> None:
    """Write a short text on black in the upper left corner of a box."""
    side = NUMBERED_PX - 6
    cv2.rectangle(image, (box.x + 2, box.y + 2), (box.x + side - 2, box.y + side), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (box.x + 6, box.y + side - 5), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)


def _pair(before: Image, after: Image, box: Box, number: int, zoom: int) -> Image:
    """Return one detail before and after."""
    size = (box.width * zoom, box.height * zoom)
    return _beside(
        [
            _labelled(resized(box.of(photo), size), f"{number} {label}")
            for photo, label in ((before, "before"), (after, "after"))
        ],
        INNER_GAP_PX,
    )


def _labelled(image: Image, label: str) -> Image:
    """Return the image below a strip with its label, so that the label is legible above any image."""
    height, width = image.shape[:2]
    panel = _ground(STRIP_PX + height, max(width, LABEL_PX))
    panel[STRIP_PX:, :width] = image
    cv2.putText(panel, label, (2, STRIP_PX - 9), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)
    return panel


def _beside(images: list[Image], gap: int) -> Image:
    """Return images joined from left to right, their tops aligned."""
    row = _ground(max(len(image) for image in images), sum(image.shape[1] + gap for image in images) - gap)
    x = 0
    for image in images:
        row[: len(image), x : x + image.shape[1]] = image
        x += image.shape[1] + gap
    return row


def _below(rows: list[Image]) -> Image:
    """Return rows joined from top to bottom and centred, with margins around and between them."""
    width = max(row.shape[1] for row in rows) + 2 * GAP_PX
    picture = _ground(sum(len(row) + GAP_PX for row in rows) + GAP_PX, width)
    y = GAP_PX
    for row in rows:
        x = (width - row.shape[1]) // 2
        picture[y : y + len(row), x : x + row.shape[1]] = row
        y += len(row) + GAP_PX
    return picture


def _ground(height: int, width: int) -> Image:
    return np.full((height, width, 3), GROUND, np.uint8)
