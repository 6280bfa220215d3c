"""Patches for training and evaluation, read from the shards as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from dataset.errors import DpedtoolError, Rejection
from dataset.photos import Image, decode_photo
from dataset.schema import Sample
from dataset.shards import Extent, read_extent
from dataset.tables import read_frame

_EXTENTS = ["phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes"]


@dataclass(frozen=True)
class Batch:
    """Patches as the network takes them: (N, 3, H, W), RGB, float32, 0..1."""

    phone: Tensor
    dslr: Tensor


class PatchPairs:
    """The patches of one split. Of each, some 70 bytes are held: its name and where in which shard its images lie.

    Parameters
    ----------
    table
        A table of samples, one phone's.
    split
        train, validation or test.

    Raises
    ------
    DpedtoolError
        The table is missing or not one of samples.

    """

    def __init__(self, table: Path, split: str) -> None:
        frame = read_frame(table, Sample, ["patch_id", "shard", *_EXTENTS], where={"split": split})
        self._names = pa.array(frame["patch_id"], pa.string())
        shards, self._shards = pd.factorize(frame["shard"])
        self._shard = shards.astype(np.int32)
        self._extents = frame[_EXTENTS].to_numpy(np.int64)

    def __len__(self) -> int:
        return len(self._shard)

    def names(self) -> list[str]:
        """Return the `patch_id` of every patch, in their order."""
        names: list[str] = self._names.to_pylist()
        return names

    def spread(self, most: int) -> list[int]:
        """Return the indices of at most `most` patches, spread evenly from the first to the last."""
        count = len(self)
        indices: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
        return indices

    def read(self, indices: Sequence[int]) -> Batch:
        """Read patches in the order of the indices.

        Raises
        ------
        DpedtoolError
            A shard is missing or damaged.

        """
        pairs = [self._read_pair(index) for index in indices]
        return Batch(*(_as_tensor([pair[side] for pair in pairs]) for side in (0, 1)))

    def draw(self, count: int, crop_px: int, rng: np.random.Generator) -> Batch:
        """Read `count` random patches, with repetition; each gets a random crop, flip and quarter turn."""
        pairs = [self._read_pair(index) for index in rng.integers(len(self), size=count)]
        augmented = [_augment(phone, dslr, crop_px, rng) for phone, dslr in pairs]
        return Batch(*(_as_tensor([pair[side] for pair in augmented]) for side in (0, 1)))

    def _read_pair(self, index: int) -> tuple[Image, Image]:
        shard = Path(self._shards[self._shard[index]])
        phone_offset, phone_bytes, dslr_offset, dslr_bytes = self._extents[index].tolist()
        extents = Extent(phone_offset, phone_bytes), Extent(dslr_offset, dslr_bytes)
        try:
            phone, dslr = (decode_photo(read_extent(shard, extent), shard) for extent in extents)
        except (OSError, Rejection) as error:
            raise DpedtoolError(
                f"Patch {self._names[index]} cannot be read from {shard} ({error}): cut the patches again."
            ) from None
        return phone, dslr


def _augment(phone: Image, dslr: Image, crop_px: int, rng: np.random.Generator) -> tuple[Image, Image]:
    """The same random part of both patches, turned the same way: what is right stays right under all eight."""
    side = min(crop_px, *phone.shape[:2])
    y, x = (int(rng.integers(length - side + 1)) for length in phone.shape[:2])
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    crops = (np.rot90(image[y : y + side, x : x + side], turns) for image in (phone, dslr))
    phone, dslr = (crop[:, ::-1] if mirrored else crop for crop in crops)
    return phone, dslr


def _as_tensor(images: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
    rgb = np.stack(images)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2))).float() / 255
