"""Images for exports in int8: some to calibrate on, and others to measure on what the export loses.

Images are (3, H, W), RGB, uint8. Sides are at most `WINDOW_PX`, so that few images take little memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.training.data import FolderPairs, Pairs, PatchPairs, as_rgb

MOST_CALIBRATED, MOST_MEASURED = 200, 100
"""How many images are used at most; more of them take longer and change little."""
WINDOW_PX = 128
"""Larger images are cut into windows with sides of this many px."""
_HELD_OUT = 5
"""Every fifth image is measured if nothing says which images are for testing."""


@dataclass(frozen=True, eq=False)
class Measured:
    """An image that was not calibrated on."""

    phone: Tensor
    target: Tensor | None
    """What the DSLR shows there, as large as the network's output; None if it is not known."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What an export in int8 is calibrated on, and what its loss is measured on."""

    calibration: Sequence[Tensor]
    measured: Sequence[Measured]


def from_table(table: Path) -> Examples:
    """Calibrate on the training patches of a table of samples, and measure on its test patches.

    If the table has no test patches, its validation patches are measured; if it has neither, every fifth patch is.

    Raises
    ------
    DpedtoolError
        The table is missing or is not a table of samples, a shard is missing or damaged, or there are fewer than two
        patches.

    """
    splits = [PatchPairs(table, split) for split in ("train", "test", "validation")]
    training, *others = splits
    tests = next((pairs for pairs in others if len(pairs)), None)
    return from_pairs(training, tests, str(table))


def from_folders(phone: Path, dslr: Path) -> Examples:
    """Calibrate on the phone's images of two folders with equal names; every fifth pair is measured instead.

    Raises
    ------
    DpedtoolError
        As in `FolderPairs`, or there are fewer than two pairs.

    """
    return from_pairs(FolderPairs(phone, dslr), None, f"{phone} and {dslr}")


def from_pairs(training: Pairs, tests: Pairs | None, said: str) -> Examples:
    """Calibrate on the phone's images of some pairs, and measure on other pairs.

    Parameters
    ----------
    training
        The pairs to calibrate on.
    tests
        The pairs to measure on; None: every fifth of the others, which is then not calibrated on.
    said
        Where the pairs come from, for an error message.

    Raises
    ------
    DpedtoolError
        There are no pairs to calibrate on or none to measure on, or one of them cannot be read.

    """
    indices, measured = list(range(len(training))), list(range(len(tests) if tests else 0))
    if tests is None:
        indices, measured = _held_out(len(training))
    if not indices or not measured:
        raise DpedtoolError(_too_few(said))
    return Examples(
        [phone for phone, _ in _windows_of_pairs(training, indices, MOST_CALIBRATED)],
        [Measured(*both) for both in _windows_of_pairs(tests or training, measured, MOST_MEASURED)],
    )


def from_photos(folder: Path) -> Examples:
    """Calibrate on photos of a phone; every fifth photo is measured instead, without a target.

    Raises
    ------
    DpedtoolError
        The folder is missing or holds fewer than two photos, or one of them cannot be read.

    """
    photos = [Path(str(place)) for place in list_photos(folder)]
    calibrated, measured = _held_out(len(photos))
    if not measured:
        raise DpedtoolError(_too_few(str(folder)))
    return Examples(
        list(_windows_of_photos([photos[index] for index in calibrated], MOST_CALIBRATED)),
        [Measured(image, None) for image in _windows_of_photos([photos[index] for index in measured], MOST_MEASURED)],
    )


def _too_few(said: str) -> str:
    return (
        f"{said} holds too few images, but int8 needs some to calibrate on and others to measure on: choose at least "
        f"two images, better {MOST_CALIBRATED}."
    )


def _held_out(count: int) -> tuple[list[int], list[int]]:
    """Return the indices to calibrate on and those to measure on; of fewer than five images, the last is measured."""
    measured = list(range(_HELD_OUT - 1, count, _HELD_OUT)) or ([count - 1] if count > 1 else [])
    return sorted(set(range(count)) - set(measured)), measured


def _windows_of_pairs(pairs: Pairs, indices: Sequence[int], most: int) -> Iterator[tuple[Tensor, Tensor]]:
    chosen = [indices[place] for place in _spread(len(indices), most)]
    for index in chosen:
        phone, dslr = (as_rgb(image) for image in pairs.images(index))
        for rows, columns in _cells(phone, most // len(chosen)):
            scaled = (
                slice(pairs.target_scale * side.start, pairs.target_scale * side.stop) for side in (rows, columns)
            )
            yield phone[:, rows, columns].clone(), dslr[:, *scaled].clone()


def _windows_of_photos(photos: Sequence[Path], most: int) -> Iterator[Tensor]:
    chosen = [photos[place] for place in _spread(len(photos), most)]
    for photo in chosen:
        try:
            image = as_rgb(load_photo(photo))
        except Rejection as rejection:
            raise DpedtoolError(f"{rejection.detail.rstrip('.')}: repair or remove it.") from None
        for rows, columns in _cells(image, most // len(chosen)):
            yield image[:, rows, columns].clone()


def _cells(image: Tensor, most: int) -> list[tuple[slice, slice]]:
    """Return the rows and columns of at most so many windows, spread over an image; all of it, if it is small."""
    sides = [(min(side, WINDOW_PX), max(side // WINDOW_PX, 1)) for side in image.shape[1:]]
    (height, down), (width, across) = sides
    places = [divmod(place, across) for place in _spread(down * across, most)]
    return [(slice(y * height, (y + 1) * height), slice(x * width, (x + 1) * width)) for y, x in places]


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many numbers below a count, from the first to the last."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return places
