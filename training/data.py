"""Pairs of images for training and evaluation, read as they are needed: patches in shards, or two folders of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import digest, file_sha256
from dpedtool.dataset.names import by_stem, counting
from dpedtool.dataset.photos.decoding import MOST_BYTES, decode_image, load_photo
from dpedtool.dataset.photos.formats.table import SUFFIXES
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.regular_files import read_regular_text
from dpedtool.dataset.schema import Sample
from dpedtool.dataset.shards import Extent, read_extent
from dpedtool.dataset.tables import read_frame

_EXTENTS = ["phone_offset", "phone_bytes", "dslr_offset", "dslr_bytes"]


@dataclass(frozen=True)
class Batch:
    """Images as the network takes them: (N, 3, H, W), RGB; float32, 0..1, or before `as_float` also uint8, 0..255."""

    phone: Tensor
    dslr: Tensor

    def as_float(self, device: torch.device | str = "cpu") -> Batch:
        """Return the batch on a device as float32, 0..1; uint8 is converted there, so that less data is moved."""
        return Batch(_as_float(self.phone, device), _as_float(self.dslr, device))


class Pairs(Protocol):
    """Pairs of a phone's and a DSLR's image of equal size, or the DSLR's `target_scale` times as large; in order."""

    target_scale: int = 1
    """Px of the DSLR's images for each px of the phone's, along a side."""

    def __len__(self) -> int: ...

    def names(self) -> list[str]:
        """Return the name of every pair, in their order."""
        ...

    def photos(self) -> list[str]:
        """Return the photo that each pair was cut from; the pair's own name if the photo is not known."""
        ...

    def images(self, index: int) -> tuple[Image, Image]:
        """Decode a pair: phone and DSLR, each (H, W, 3), BGR, uint8; several threads may call this at once.

        Raises
        ------
        DpedtoolError
            An image is missing or damaged, or the two differ in size.

        """
        ...

    def digest(self) -> str:
        """Return a SHA-256, hex, that changes when the pairs or their order change."""
        ...

    def spread(self, most: int) -> list[int]:
        """Return the indices of at most `most` pairs, spread evenly from the first to the last."""
        count = len(self)
        indices: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
        return indices

    def read(self, indices: Sequence[int]) -> Batch:
        """Read pairs of one size in the order of the indices, as float32, 0..1.

        Raises
        ------
        DpedtoolError
            As in `images`, or the pairs are not all of one size.

        """
        pairs = [self.images(index) for index in indices]
        sizes = {phone.shape: index for (phone, _), index in zip(pairs, indices, strict=True)}
        if len(sizes) > 1:
            names, (one, other) = self.names(), list(sizes)[:2]
            raise DpedtoolError(
                f"{names[sizes[one]]} is {_size(one)} px and {names[sizes[other]]} is {_size(other)} px, but images "
                "used together must have the same size: cut them to one size."
            )
        return Batch(*(_as_tensor([pair[side] for pair in pairs]) for side in (0, 1))).as_float()


class PatchPairs(Pairs):
    """The patches of one split. Each takes about 70 bytes of memory: its name and the place of its images in a shard.

    Parameters
    ----------
    table
        A table of samples of one phone.
    split
        train, validation or test.

    Raises
    ------
    DpedtoolError
        The table is missing or is not a table of samples, or the scales of its targets differ.

    """

    def __init__(self, table: Path, split: str) -> None:
        wanted = ["patch_id", "pair_id", "target_scale", "shard", *_EXTENTS]
        frame = read_frame(table, Sample, wanted, where={"split": split})
        scales = sorted(frame["target_scale"].unique().tolist())
        if len(scales) > 1:
            raise DpedtoolError(
                f"{table}: the DSLR's images are {' or '.join(map(str, scales))} times as large as the phone's, but "
                "patches used together must have one scale: cut all of them with the same patches.target_scale."
            )
        self.target_scale = int(scales[0]) if scales else 1
        self._names = pa.array(frame["patch_id"], pa.string())
        self._photos = pa.array(frame["pair_id"], pa.string()).dictionary_encode()
        shards, places = pd.factorize(frame["shard"])
        self._shards = [Path(place) for place in places]
        self._shard = shards.astype(np.int32)
        self._extents = frame[_EXTENTS].to_numpy(np.int64)
        self._table, self._split = table, split

    def __len__(self) -> int:
        return len(self._shard)

    def names(self) -> list[str]:
        """Return the `patch_id` of every patch, in their order."""
        names: list[str] = self._names.to_pylist()
        return names

    def photos(self) -> list[str]:
        """Return the `pair_id` of every patch: the pair of photos that it was cut from."""
        photos: list[str] = self._photos.to_pylist()
        return photos

    def folders(self) -> list[Path]:
        """Return the folders of the shards, sorted; they also hold the tables of what the patches were cut from."""
        return sorted({shard.parent for shard in self._shards})

    def digest(self) -> str:
        """Return a digest of the table and the split; the table says what its patches were made from."""
        return digest([file_sha256(self._table), self._split])

    def images(self, index: int) -> tuple[Image, Image]:
        """Decode a patch: phone and DSLR, each (H, W, 3), BGR, uint8; several threads may call this at once.

        Raises
        ------
        DpedtoolError
            A shard is missing or damaged.

        """
        shard = self._shards[self._shard[index]]
        phone_offset, phone_bytes, dslr_offset, dslr_bytes = self._extents[index].tolist()
        extents = Extent(phone_offset, phone_bytes), Extent(dslr_offset, dslr_bytes)
        try:
            phone, dslr = (decode_image(read_extent(shard, extent), shard) for extent in extents)
        except FileNotFoundError:
            raise DpedtoolError(
                f"There is no {shard}, which holds patches of {self._table}: the table names it relative to its own "
                "folder, so if one of them was moved, move it back, or run `dpedtool split` again. If it was removed, "
                "run `dpedtool patches` before."
            ) from None
        except (OSError, Rejection) as error:
            raise DpedtoolError(
                f"Patch {self._names[index]} cannot be read from {shard} ({error}): remove this file, and run "
                "`dpedtool patches` and `dpedtool split` again."
            ) from None
        return phone, dslr


class FolderPairs(Pairs):
    """Two folders of images with equal names, such as DPED's `iphone/1.jpg` and `canon/1.jpg`; suffixes may differ.

    Parameters
    ----------
    phone, dslr
        The folders. Images that only one of them has are left out.
    names
        The pairs wanted, in this order, with suffix or without; None: all, in numeric order, 9.jpg before 10.jpg.

    Raises
    ------
    DpedtoolError
        A folder is missing or holds no images, no names are equal, or a listed name is not in both folders or is
        listed twice.

    """

    def __init__(self, phone: Path, dslr: Path, names: Sequence[str] | None = None) -> None:
        sides = phone_images, dslr_images = _images_of(phone), _images_of(dslr)
        if names is None:
            stems = sorted(phone_images.keys() & dslr_images.keys(), key=counting)
            if not stems:
                raise DpedtoolError(
                    f"{phone} and {dslr} have no image names in common: choose two folders whose images have equal "
                    "names, such as 1.jpg in both."
                )
        else:
            stems = _all_listed(names, (phone, dslr), sides)
        self._paths = [(phone_images[stem], dslr_images[stem]) for stem in stems]

    def __len__(self) -> int:
        return len(self._paths)

    def names(self) -> list[str]:
        """Return the name of the phone's image of every pair, in their order."""
        return [phone.name for phone, _ in self._paths]

    def photos(self) -> list[str]:
        """Return the names of the pairs, since it is not known which images come from the same photo."""
        return self.names()

    def digest(self) -> str:
        """Return a digest of all names and file contents; all files are read."""
        return digest([[path.name, file_sha256(path, MOST_BYTES)] for pair in self._paths for path in pair])

    def images(self, index: int) -> tuple[Image, Image]:
        """Decode a pair: phone and DSLR, each (H, W, 3), BGR, uint8; several threads may call this at once.

        Raises
        ------
        DpedtoolError
            An image is missing or damaged, or the two differ in size.

        """
        paths = self._paths[index]
        try:
            phone, dslr = (load_photo(path) for path in paths)
        except Rejection as rejection:
            raise DpedtoolError(f"{rejection.detail.rstrip('.')}: repair or remove it.") from None
        if phone.shape != dslr.shape:
            raise DpedtoolError(
                f"{paths[0]} is {_size(phone.shape)} px and {paths[1]} is {_size(dslr.shape)} px, but the images of a "
                "pair must have the same size: align and cut them, or remove them."
            )
        return phone, dslr


@dataclass(frozen=True, eq=False)
class WholePair:
    """What both photos of an aligned pair show: the common crop, on the phone's grid."""

    phone: Image
    """(H, W, 3), BGR, uint8."""
    dslr: Image
    """As large."""
    usable: npt.NDArray[np.bool_]
    """(H, W): which px can be compared. Of the others, it is known that they do not show the same."""


@dataclass(frozen=True)
class WholePairs:
    """Whole aligned pairs of photos, read one by one as they are needed, since they are large."""

    names: Sequence[str]
    """The name of every pair."""
    scenes: Sequence[str]
    """The scene of every pair."""
    read: Callable[[int], WholePair]
    """Reads a pair by its index; raises DpedtoolError."""


class EnlargedPairs(Pairs):
    """Pairs whose phone's images are enlarged to the size of the DSLR's, by bicubic interpolation.

    Parameters
    ----------
    pairs
        Pairs of any `target_scale`.

    """

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def names(self) -> list[str]:
        """As of the pairs."""
        return self._pairs.names()

    def photos(self) -> list[str]:
        """As of the pairs."""
        return self._pairs.photos()

    def digest(self) -> str:
        """As of the pairs."""
        return self._pairs.digest()

    def images(self, index: int) -> tuple[Image, Image]:
        """As of the pairs, the phone's enlarged."""
        phone, dslr = self._pairs.images(index)
        return enlarged(phone, self._pairs.target_scale), dslr


def enlarged(image: Image, scale: int) -> Image:
    """Return an image (H, W, 3), uint8, enlarged by bicubic interpolation, (scale H, scale W, 3).

    Its px divide those of the image, as those of a target do.
    """
    if scale == 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)


def check_scale(pairs: Pairs, scale: int, network: str) -> None:
    """Refuse pairs whose targets are not as large as what a network makes of the phone's images.

    Parameters
    ----------
    pairs
        The pairs.
    scale
        How many times as large as an image the network's output is.
    network
        The network's name.

    Raises
    ------
    DpedtoolError
        The sizes differ.

    """
    if len(pairs) and pairs.target_scale != scale:
        raise DpedtoolError(
            f"The DSLR's images of these pairs are {_times(pairs.target_scale)} the phone's, but what the network "
            f"{network} makes is {_times(scale)} its input: cut the patches with patches.target_scale {scale}, or "
            "choose another network."
        )


def _times(scale: int) -> str:
    return "as large as" if scale == 1 else f"{scale} times as large as"


def read_names(file: Path) -> list[str]:
    """Return the image names that a file lists, one per line, as `FolderPairs` takes them; empty lines are skipped.

    Raises
    ------
    DpedtoolError
        The file is missing, is not text, or lists no names.

    """
    try:
        lines = read_regular_text(file, "utf-8-sig").splitlines()
    except OSError as error:
        raise DpedtoolError(
            f"{file} cannot be read ({error.strerror}): choose a text file with one image name per line."
        ) from None
    except UnicodeDecodeError:
        raise DpedtoolError(f"{file} is not UTF-8 text: choose a text file with one image name per line.") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DpedtoolError(
            f"{file} lists no names: write one image name per line, such as 1.jpg, or leave out the file."
        )
    return names


def _images_of(folder: Path) -> dict[str, Path]:
    return by_stem(Path(str(place)) for place in list_photos(folder))


def _all_listed(
    names: Sequence[str], folders: tuple[Path, Path], sides: tuple[dict[str, Path], dict[str, Path]]
) -> list[str]:
    stems: dict[str, None] = {}
    for name in names:
        stem = _listed(name, folders, sides)
        if stem in stems:
            raise DpedtoolError(f"{name} is listed twice and would count twice: list it once.")
        stems[stem] = None
    return list(stems)


def _listed(name: str, folders: tuple[Path, Path], sides: tuple[dict[str, Path], dict[str, Path]]) -> str:
    """Return the stem of a listed name; both folders must have an image of that name."""
    path = Path(name)
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    for folder, images in zip(folders, sides, strict=True):
        if stem not in images:
            raise DpedtoolError(
                f"{name} is listed, but {folder} has no image of that name: correct the list or add the image."
            )
    return stem


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def as_rgb(image: Image) -> Tensor:
    """Return an image (H, W, 3), BGR, as the network takes them: (3, H, W), RGB, uint8."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def _as_tensor(images: Sequence[Image]) -> Tensor:
    return torch.stack([as_rgb(image) for image in images])


def _as_float(images: Tensor, device: torch.device | str) -> Tensor:
    moved = images.to(device, non_blocking=True)
    return moved if moved.is_floating_point() else moved.float() / 255
