"""Patches for training and evaluation, read from the shards as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dataset.errors import DpedtoolError, Rejection
from dataset.io import read_rows
from dataset.photos import Image, decode_photo
from dataset.schema import Sample
from dataset.shards import Extent, read_extent


@dataclass(frozen=True)
class Batch:
    """Patches as the network takes them: (N, 3, H, W), RGB, float32, 0..1."""

    phone: Tensor
    dslr: Tensor


class PatchPairs:
    """The patches of one split. Nothing is held in memory: a read is one pread and one decoding a patch.

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
        self.samples = [sample for sample in read_rows(table, Sample) if sample.split == split]

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, indices: Sequence[int]) -> Batch:
        """Read patches in the order of the indices.

        Raises
        ------
        DpedtoolError
            A shard is missing or damaged.

        """
        pairs = [_read_pair(self.samples[index]) for index in indices]
        return Batch(*(_as_tensor([pair[side] for pair in pairs]) for side in (0, 1)))

    def draw(self, count: int, crop_px: int, rng: np.random.Generator) -> Batch:
        """Read `count` random patches, with repetition; each gets a random crop, flip and quarter turn."""
        pairs = [_read_pair(self.samples[index]) for index in rng.integers(len(self.samples), size=count)]
        augmented = [_augment(phone, dslr, crop_px, rng) for phone, dslr in pairs]
        return Batch(*(_as_tensor([pair[side] for pair in augmented]) for side in (0, 1)))


def _read_pair(sample: Sample) -> tuple[Image, Image]:
    extents = (
        Extent(sample.phone_offset, sample.phone_bytes),
        Extent(sample.dslr_offset, sample.dslr_bytes),
    )
    try:
        phone, dslr = (decode_photo(read_extent(sample.shard, extent), sample.shard) for extent in extents)
    except (OSError, Rejection) as error:
        raise DpedtoolError(
            f"Patch {sample.patch_id} cannot be read from {sample.shard} ({error}): cut the patches again."
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
