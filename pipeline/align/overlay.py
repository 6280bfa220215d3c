"""Pictures that show how well two photos are aligned."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from dpedtool.dataset.io import replacing
from dpedtool.dataset.photos.decoding import MOST_BYTES, decode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.regular_files import read_regular

SQUARES_ACROSS = 8
_MARK = b"dpedtool overlay"
"""Comment in the header of our files: only files that have it are removed."""


def write_overlay(path: Path, images: tuple[Path, Path]) -> None:
    """Write the checkerboard of two aligned images at their own size, as JPEG, whole or not at all.

    Parameters
    ----------
    path
        The file to write.
    images
        The phone's image and the DSLR's, as `dpedtool.pipeline.align.stage.align` has written them.

    """
    phone, dslr = (decode_image(read_regular(file, MOST_BYTES), file) for file in images)
    picture = PillowImage.fromarray(checkerboard(phone, dslr)[..., ::-1])
    with replacing(path) as temporary:
        # Colour is stored at full resolution, as it would bleed over the borders of the squares otherwise.
        picture.save(temporary, format="JPEG", quality=90, subsampling=0, comment=_MARK)


def remove_overlays(folder: Path) -> None:
    """Remove what `write_overlay` has written into a folder, and nothing else."""
    for path in folder.glob("*.jpg"):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            is_ours = _MARK in file.read(100)
        if is_ours:
            path.unlink()


def checkerboard(phone: Image, dslr: Image) -> Image:
    """Return a checkerboard of both images; an edge that breaks at the border of a square is misaligned."""
    height, width = phone.shape[:2]
    side = max(1, round(width / SQUARES_ACROSS))
    rows, columns = np.arange(height) // side, np.arange(width) // side
    from_dslr = (rows[:, None] + columns[None, :]) % 2 == 1
    board: Image = np.where(from_dslr[..., None], dslr, phone)
    return board


def shrunk(image: Image, width: int) -> Image:
    """Return the image, shrunk if it is wider than `width` px."""
    if image.shape[1] <= width:
        return image
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
