"""Turns what a user gives into what the stages take: photos as arrays or files, parameters as mappings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params_files import build_section
from dpedtool.dataset.photos.decoding import PhotoFile, open_photo
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.places import Place, as_place
from dpedtool.dataset.sections import Section

RgbImage: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3), RGB, 0..255."""
PhotoLike: TypeAlias = npt.NDArray[Any] | str | os.PathLike[str]
"""A photo: an array (H, W, 3), RGB, uint8, or its file."""
SectionT = TypeVar("SectionT", bound=Section)

_EIGHT_BIT = {
    "uint16": "np.rint(image / 257).astype(np.uint8)",
    "float": "np.rint(image * 255).clip(0, 255).astype(np.uint8), if its values are 0..1",
}


def place_of(photo: PhotoLike, name: str) -> Place:
    """Return the file or folder that is meant.

    Raises
    ------
    DpedtoolError
        It is neither an array nor a path.

    """
    if isinstance(photo, str | os.PathLike):
        return as_place(os.fspath(photo))
    raise DpedtoolError(
        f"{name} is of the type {type(photo).__name__}: give an array (height, width, 3), RGB, uint8, or the path of "
        "a photo."
    )


def folder_of(folder: str | os.PathLike[str]) -> Path:
    """Return a folder or file of this machine.

    Raises
    ------
    DpedtoolError
        It is not a path, or it is a URL.

    """
    place = place_of(folder, "path")
    if not isinstance(place, Path):
        raise DpedtoolError(f"{place} is a URL: only photos are read from URLs, so give a path of this machine.")
    return place


def bgr(image: npt.NDArray[Any], name: str) -> Image:
    """Return an RGB or grey array as OpenCV takes it, (H, W, 3) BGR uint8, contiguous.

    Raises
    ------
    DpedtoolError
        Another shape or type; the message says how to convert it.

    """
    if image.dtype != np.uint8:
        kind = "float" if np.issubdtype(image.dtype, np.floating) else str(image.dtype)
        how = f" with {_EIGHT_BIT[kind]}" if kind in _EIGHT_BIT else ""
        raise DpedtoolError(f"{name} is an array of {image.dtype}, but uint8, 0..255, is needed: convert it{how}.")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3:
        how = "drop the alpha channel with image[..., :3]" if image.ndim == 3 and image.shape[2] == 4 else "reshape it"
        raise DpedtoolError(f"{name} has the shape {image.shape}, but (height, width, 3), RGB, is needed: {how}.")
    if not image.size:
        raise DpedtoolError(f"{name} has the shape {image.shape}, and so no pixels: give a photo.")
    return np.ascontiguousarray(image[..., ::-1])


def rgb(image: Image) -> RgbImage:
    """Return an image (H, W, 3) of the stages, which is BGR, as RGB."""
    return np.ascontiguousarray(image[..., ::-1])


def photo_file(photo: PhotoLike, name: str) -> PhotoFile:
    """Return a photo as the stages read it; an array becomes a PNG file in memory, which loses nothing.

    Parameters
    ----------
    photo
        An array (H, W, 3) or (H, W), or a file.
    name
        Names an array in messages.

    Raises
    ------
    DpedtoolError
        The array has another shape or type.
    Rejection
        `unreadable_photo`: the file is missing or cannot be read.

    """
    if isinstance(photo, np.ndarray):
        return PhotoFile(Path(f"{name} (an array)"), encode_image(bgr(photo, name), ".png"))
    return open_photo(place_of(photo, name))


def pixels(photo: PhotoLike, name: str) -> Image:
    """Return a photo's pixels, (H, W, 3) BGR uint8; arguments and errors are those of `photo_file`."""
    return bgr(photo, name) if isinstance(photo, np.ndarray) else photo_file(photo, name).colour()


def section(kind: type[SectionT], params: Mapping[str, Any] | SectionT | None) -> SectionT:
    """Return parameters as the stages take them, checked.

    Parameters
    ----------
    kind
        The section, such as `AlignParams`.
    params
        Some of its fields by name, a section, or None for the defaults.

    Raises
    ------
    ParamsError
        A name is unknown, or a value is of the wrong type or out of range.

    """
    if isinstance(params, kind):
        return params
    if params is not None and not isinstance(params, Mapping):
        raise ParamsError(
            f"params is of the type {type(params).__name__}: give a mapping of names to values, or an instance of "
            f"{kind.__module__}.{kind.__name__}."
        )
    return build_section(kind, params or {}, "params")
