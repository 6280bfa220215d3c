"""A wall of prints: seeded collages of the photographs that scikit-image ships, so that the demo works offline."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.rig.scene import Image

COLOUR = (
    "astronaut.png",
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "ihc.png",
    "hubble_deep_field.jpg",
)
GREY = ("grass.png", "gravel.png", "brick.png", "coins.png", "camera.png", "page.png", "text.png", "moon.png")
# BGR factors for the grey photographs, light enough to keep their detail.
TINTS = ((0.78, 0.92, 1.0), (1.0, 0.93, 0.82), (0.84, 0.97, 0.88), (0.74, 0.86, 1.0), (1.0, 1.0, 1.0))
PAINTS = ((206, 214, 220), (172, 160, 132), (138, 160, 148), (128, 138, 186), (182, 196, 208), (150, 138, 132))
FRAMES = ((28, 30, 34), (236, 238, 240), (48, 78, 112), (70, 72, 78))
LARGEST_ENLARGEMENT = 1.4

Box = tuple[int, int, int, int]  # left, top, right, bottom in px; right and bottom are excluded


@functools.cache
def photographs() -> tuple[Image, ...]:
    """Return the photographs that the scikit-image package holds, BGR uint8, the colour ones first.

    Raises
    ------
    DpedtoolError
        scikit-image is not installed, or its photographs are missing.

    """
    try:
        import skimage
    except ImportError:
        raise DpedtoolError(
            "The demo's scenes are made of scikit-image's photographs: pip install scikit-image."
        ) from None
    folder = Path(str(skimage.__file__)).parent / "data"
    paths = [folder / name for name in COLOUR + GREY]
    photos = tuple(_read(path) for path in paths if path.exists())
    if len(photos) < 4:
        raise DpedtoolError(f"{folder} lacks scikit-image's photographs: reinstall scikit-image 0.25 or newer.")
    return photos


def _read(path: Path) -> Image:
    with PillowImage.open(path) as photo:
        return np.ascontiguousarray(np.asarray(photo.convert("RGB"))[..., ::-1])


def wall_of_prints(rng: np.random.Generator, width: int, height: int, print_px: int = 380) -> Image:
    """Compose a picture of a painted wall with framed prints, BGR uint8 (height, width, 3).

    Parameters
    ----------
    rng
        Draws the paint, the arrangement and the content.
    width, height
        Size in px.
    print_px
        Usual side of a print and its frame, in px.

    """
    wall = _painted(rng, width, height)
    boxes = _divide(rng, (0, 0, width, height), print_px)
    pictures = _shuffled(rng, len(boxes))
    for box, picture in zip(boxes, pictures, strict=True):
        _hang_print(wall, rng, _shrink(box, int(rng.integers(5, 12))), picture)
    return np.asarray(np.clip(_lit(wall, rng), 0, 255), dtype=np.uint8)


def single_print(rng: np.random.Generator, width: int, height: int, border_px: int = 0) -> Image:
    """Return one photograph, BGR uint8 (height, width, 3), with a white border if wanted."""
    canvas = np.full((height, width, 3), 238, np.float32)
    inner = _shrink((0, 0, width, height), border_px)
    _region(canvas, inner)[:] = _content(rng, _shuffled(rng, 1)[0], *_size(inner))
    return np.asarray(canvas, dtype=np.uint8)


def _painted(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    grain = cv2.GaussianBlur(rng.normal(0, 14, (height, width)).astype(np.float32), (0, 0), 1.6)
    paint = np.array(PAINTS[rng.integers(len(PAINTS))], np.float32)
    return np.asarray(paint + grain[..., None], dtype=np.float32)


def _divide(rng: np.random.Generator, box: Box, print_px: int) -> list[Box]:
    """Cut a box in two, again and again, until the parts have about the size of a print."""
    left, top, right, bottom = box
    width, height = _size(box)
    if max(width, height) < 1.5 * print_px:
        return [box]
    share = rng.uniform(0.38, 0.62)
    if width > height:
        cut = left + round(width * share)
        parts = [(left, top, cut, bottom), (cut, top, right, bottom)]
    else:
        cut = top + round(height * share)
        parts = [(left, top, right, cut), (left, cut, right, bottom)]
    return [small for part in parts for small in _divide(rng, part, print_px)]


def _shuffled(rng: np.random.Generator, count: int) -> list[int]:
    """Draw photographs by index, colour ones twice as often as grey ones, by dealing a shuffled deck."""
    available = len(photographs())
    twice = [index for index in range(available) if index < len(COLOUR)]
    deck = [*range(available), *twice]
    drawn = [deck[card] for _ in range(count // len(deck) + 1) for card in rng.permutation(len(deck))]
    return drawn[:count]


def _hang_print(wall: NDArray[np.float32], rng: np.random.Generator, box: Box, picture: int) -> None:
    """Draw a frame with a mat and a photograph, and its shadow on the wall, in place."""
    _shade(wall, box)
    _region(wall, box)[:] = FRAMES[rng.integers(len(FRAMES))]
    inner = _shrink(box, int(rng.integers(4, 9)))
    if rng.random() < 0.4:
        _region(wall, inner)[:] = (232, 236, 238)
        inner = _shrink(inner, int(rng.integers(6, 14)))
    _region(wall, inner)[:] = _content(rng, picture, *_size(inner))


def _shade(wall: NDArray[np.float32], box: Box, reach: int = 8) -> None:
    left, top, right, bottom = box
    around = (max(0, left - reach), max(0, top - reach), right + 2 * reach, bottom + 2 * reach)
    part = _region(wall, around)
    shadow = np.zeros(part.shape[:2], np.float32)
    shadow[top - around[1] + 5 : bottom - around[1] + 5, left - around[0] + 4 : right - around[0] + 4] = 0.45
    part *= 1 - cv2.GaussianBlur(shadow, (0, 0), reach / 2)[..., None]


def _content(rng: np.random.Generator, picture: int, width: int, height: int) -> NDArray[np.float32]:
    """Cut a random part of a photograph and bring it to the size wanted, (height, width, 3)."""
    photo = np.rot90(photographs()[picture], int(rng.choice([0, 0, 1, 3])))
    if rng.random() < 0.5:
        photo = photo[:, ::-1]
    largest = min(photo.shape[1] / width, photo.shape[0] / height)
    scale = min(largest, rng.uniform(1 / LARGEST_ENLARGEMENT, 1.2))
    crop_width, crop_height = max(1, int(width * scale)), max(1, int(height * scale))
    x = int(rng.integers(photo.shape[1] - crop_width + 1))
    y = int(rng.integers(photo.shape[0] - crop_height + 1))
    crop = photo[y : y + crop_height, x : x + crop_width]
    resized = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)
    return np.clip(_tinted(rng, resized.astype(np.float32)), 0, 255)


def _tinted(rng: np.random.Generator, photo: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.array_equal(photo[..., 0], photo[..., 2]):
        return photo
    return photo * np.array(TINTS[rng.integers(len(TINTS))], np.float32)


def _lit(wall: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Light the wall from one side."""
    height, width = wall.shape[:2]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(rng.uniform(-0.12, 0.12))
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(rng.uniform(0.02, 0.1))
    return np.asarray(wall * (0.94 + across - down)[..., None], dtype=np.float32)


def _size(box: Box) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _shrink(box: Box, by: int) -> Box:
    return box[0] + by, box[1] + by, box[2] - by, box[3] - by


def _region(image: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    return image[box[1] : box[3], box[0] : box[2]]
