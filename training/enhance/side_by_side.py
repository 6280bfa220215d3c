"""A photo before and after, in one picture to show: the whole of both, and below details of both at their own size.

The details are chosen by the photo before alone: where there is structure, neither black nor white, and far from each
other. Thin numbered frames in the whole photos say where they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.photos.stored import Image

WIDTH_PX = 2000
"""Of the picture, at most."""
HEIGHT_PX = 1400
"""Of one whole photo in it, at most."""
MOST_ENLARGED = 4
"""Of small photos; by whole factors, so that pixels stay squares."""
PANORAMA = 2.0
"""Photos this many times wider than high lie below each other."""

DETAILS = 3
GAP_PX, INNER_GAP_PX = 12, 4
STRIP_PX = 30
DETAIL_SIDE_PX = ((WIDTH_PX - (DETAILS + 1) * GAP_PX) // DETAILS - INNER_GAP_PX) // 2
"""A detail's side in the picture: so many, each before and after, fill the width."""
PLACES = 24
"""Details are looked for at so many places along a side, at most."""
DARK, BRIGHT = 24, 232
"""Grey levels beyond which a photo shows little."""

GROUND, INK = (32, 32, 32), (240, 240, 240)
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6
LABEL_PX = 100
NUMBERED_PX = 28
"""Smaller frames have no room for their number."""


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
        """Return where the part is in a photo that is so many times as wide and as high."""
        left, top = round(self.x * x), round(self.y * y)
        return Box(
            left, top, max(round((self.x + self.width) * x) - left, 1), max(round((self.y + self.height) * y) - top, 1)
        )

    def overlaps(self, other: Box) -> bool:
        """Whether it has px in common with one of its size."""
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
        (h, w, 3) BGR uint8, w at most `WIDTH_PX`. Whole photos are reduced to fit, small ones enlarged by a whole
        factor; details are 1:1, or 2:1 where the whole photos all but are. Where the whole photos are enlarged
        themselves there are none.

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
    """(width, height) of a whole photo in the picture."""
    scale = min(widest / width, HEIGHT_PX / height)
    if scale >= 1:
        factor = min(int(scale), MOST_ENLARGED, max(1, 2 * DETAIL_SIDE_PX // max(width, height)))
        return width * factor, height * factor
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _zoom(x: float, y: float) -> int:
    """How much larger than in the photo its details are; 0 where they would show no more than the whole photo."""
    scale = min(x, y)
    if scale >= 2:
        return 0
    return 2 if scale > 0.7 else 1


def choose_details(photo: Image, size: tuple[int, int], count: int) -> list[Box]:
    """Return the parts of a photo that tell most, from left to right.

    Parameters
    ----------
    photo
        (H, W, 3) BGR uint8.
    size
        (width, height) of a part in px; smaller where the photo is.
    count
        How many, at most: none overlaps another.

    """
    boxes = _candidates(photo.shape[1], photo.shape[0], size)
    worth = np.array([_worth(box.of(photo)) for box in boxes])
    # A plain photo shows its middle.
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
    """Boxes all over the photo, half of each within the next, or farther apart in large photos."""
    across, down = min(size[0], width), min(size[1], height)
    return [Box(x, y, across, down) for y in _starts(height, down) for x in _starts(width, across)]


def _starts(length: int, side: int) -> list[int]:
    count = min(-(-2 * (length - side) // side) + 1, PLACES)
    return [int(start) for start in np.linspace(0, length - side, count)]


def _worth(detail: Image) -> float:
    """How much a detail shows: edges and contrast, in as much of it as is neither black nor white."""
    grey = np.asarray(cv2.cvtColor(detail, cv2.COLOR_BGR2GRAY), np.uint8)
    lit = (grey > DARK) & (grey < BRIGHT)
    if not lit.any():
        return 0.0
    edges = cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S))
    return float(lit.mean() ** 2 * edges[lit].mean() * np.sqrt(grey[lit].std()))


def _centredness(boxes: list[Box]) -> npt.NDArray[np.float64]:
    """Weights of the boxes: 1 in the middle, a little less at the rim, where lenses are worse."""
    places = np.array([(box.x, box.y) for box in boxes], np.float64)
    middle = places.max(axis=0) / 2
    distance = np.abs(places - middle) / np.maximum(middle, 1)
    weights: npt.NDArray[np.float64] = 1 - 0.2 * distance.max(axis=1)
    return weights


def _apart(box: Box, chosen: Box, photo: Image) -> float:
    """A weight that is greater the farther from each other two boxes are; 1 from a third of the photo's diagonal on."""
    third = np.hypot(*photo.shape[:2]) / 3
    return float(min(np.hypot(box.x - chosen.x, box.y - chosen.y) / third, 1))


def _framed(photo: Image, boxes: list[Box], size: tuple[int, int]) -> Image:
    """The whole photo at the size (width, height), with the places of the details."""
    whole = resized(photo, size)
    for number, box in enumerate(boxes, start=1):
        place = box.scaled(size[0] / photo.shape[1], size[1] / photo.shape[0])
        _rectangle(whole, place)
        if min(place.width, place.height) >= NUMBERED_PX:
            _tag(whole, str(number), place)
    return whole


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Return an image at a size (width, height): smaller by means of areas, larger by repeated px."""
    if size == image.shape[1::-1]:
        return image.copy()
    larger = size[0] > image.shape[1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if larger else cv2.INTER_AREA), np.uint8)


def _rectangle(image: Image, box: Box) -> None:
    """A white line within a black one, that is seen on light and on dark."""
    last = box.x + box.width - 1, box.y + box.height - 1
    cv2.rectangle(image, (box.x, box.y), last, (0, 0, 0), 3)
    cv2.rectangle(image, (box.x, box.y), last, (255, 255, 255), 1)


def _tag(image: Image, text: str, box: Box) -> None:
    """A short text on black in the upper left corner of a box."""
    side = NUMBERED_PX - 6
    cv2.rectangle(image, (box.x + 2, box.y + 2), (box.x + side - 2, box.y + side), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (box.x + 6, box.y + side - 5), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)


def _pair(before: Image, after: Image, box: Box, number: int, zoom: int) -> Image:
    """One detail before and after."""
    size = (box.width * zoom, box.height * zoom)
    return _beside(
        [
            _labelled(resized(box.of(photo), size), f"{number} {label}")
            for photo, label in ((before, "before"), (after, "after"))
        ],
        INNER_GAP_PX,
    )


def _labelled(image: Image, label: str) -> Image:
    """The image below a strip with its label, which therefore is legible whatever the image shows."""
    height, width = image.shape[:2]
    panel = _ground(STRIP_PX + height, max(width, LABEL_PX))
    panel[STRIP_PX:, :width] = image
    cv2.putText(panel, label, (2, STRIP_PX - 9), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)
    return panel


def _beside(images: list[Image], gap: int) -> Image:
    """Images from left to right, their tops aligned."""
    row = _ground(max(len(image) for image in images), sum(image.shape[1] + gap for image in images) - gap)
    x = 0
    for image in images:
        row[: len(image), x : x + image.shape[1]] = image
        x += image.shape[1] + gap
    return row


def _below(rows: list[Image]) -> Image:
    """Rows from above, with a margin around and between, each in the middle."""
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
