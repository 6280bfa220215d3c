"""Images whose targets are another network's outputs: a large network teaches a small one.

A network that a phone can run has too few weights to find by itself, in some hundred pairs, what a large one finds
(Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531). What the large one makes
of a phone's photo is a target without noise and without a shift, and it can be had for photos that have no mate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import digest, file_sha256
from dpedtool.dataset.photos.decoding import MOST_BYTES, load_photo
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.progress import showing
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import Pairs, as_rgb
from dpedtool.training.inference import enhance_patches
from dpedtool.training.networks.generators import Generator

_DRAWS = 5
"""Random stream of a run for the taught images; the loader and the loop have those before."""


class TaughtPairs(Pairs):
    """A phone's images and what a teacher makes of them, in memory: 60 kB for a patch of 100 px and its target.

    They depend on the seed, the pairs, the photos and the teacher alone. Each is changed in exposure and colour at
    random before the teacher sees it, so that the network learns what the teacher does with such images, too.

    Parameters
    ----------
    teacher
        The network, ready to evaluate, on the device that computes it.
    pairs
        The training pairs; the phone's images of some of them are used.
    unpaired
        Photos without mates. Half of the images are crops of them, as large as those of the pairs; none: all images
        come from the pairs.
    params
        Parameters of the training; `taught`, `taught_jitter`, `crop_px` and `seed` are used.

    Raises
    ------
    DpedtoolError
        A photo or a pair cannot be read, or a photo is smaller than the crop.

    """

    def __init__(self, teacher: Generator, pairs: Pairs, unpaired: Sequence[Path], params: TrainParams) -> None:
        self.target_scale = teacher.scale
        self._images: list[tuple[Image, Image]] = []
        self._names: list[str] = []
        self._teacher, self._jitter = teacher, params.taught_jitter
        self._side = min(params.crop_px, *pairs.images(0)[0].shape[:2])
        rng = np.random.default_rng([params.seed, _DRAWS])
        crops, names = params.taught // 2 if unpaired else 0, pairs.names()
        drawn = _shared(range(len(pairs)), params.taught - crops, rng)
        photos = _shared(_by_content(unpaired), crops, rng)
        with showing("teach", params.taught) as reach:
            for index, count in drawn:
                self._teach(pairs.images(index)[0], names[index], count, rng)
                reach(len(self))
            for photo, count in photos:
                self._teach(_read_photo(photo), photo.name, count, rng)
                reach(len(self))

    def __len__(self) -> int:
        return len(self._images)

    def names(self) -> list[str]:
        """Return the pair or the photo that each image comes from."""
        return self._names

    def photos(self) -> list[str]:
        """As `names`."""
        return self._names

    def digest(self) -> str:
        """Return a digest of all images and targets."""
        return digest([side.tobytes().hex() for pair in self._images for side in pair])

    def images(self, index: int) -> tuple[Image, Image]:
        """Return an image and its target, each (H, W, 3), BGR, uint8."""
        return self._images[index]

    def _teach(self, photo: Image, name: str, count: int, rng: np.random.Generator) -> None:
        """Add so many crops of a photo."""
        if min(photo.shape[:2]) < self._side:
            raise DpedtoolError(
                f"{name} is smaller than the crop of {self._side} px: set train.crop_px to less, or remove the photo."
            )
        for _ in range(count):
            y, x = (int(rng.integers(length - self._side + 1)) for length in photo.shape[:2])
            image = jittered(photo[y : y + self._side, x : x + self._side].copy(), self._jitter, rng)
            self._images.append((image, _enhanced(self._teacher, image)))
            self._names.append(name)


def photos_of(folders: Sequence[str]) -> list[Path]:
    """Return the photos in some folders, sorted in each.

    Raises
    ------
    DpedtoolError
        A folder is missing, or it has no photos.

    """
    return [Path(str(photo)) for folder in folders for photo in list_photos(Path(folder))]


def photos_digest(photos: Sequence[Path]) -> str | None:
    """Return a SHA-256, hex, of the content of photos, whatever their order and names; None without photos."""
    return digest(sorted(file_sha256(photo, MOST_BYTES) for photo in photos)) if photos else None


def jittered(image: Image, jitter: float, rng: np.random.Generator) -> Image:
    """Return an image with a random gain and gamma, for all channels and for each by half as much.

    Parameters
    ----------
    image
        (H, W, 3), BGR, uint8.
    jitter
        The largest logarithm of both for all channels; 0: the image is returned as it is.
    rng
        Draws them.

    """
    gains, gammas = (rng.uniform(-jitter, jitter) + rng.uniform(-jitter / 2, jitter / 2, 3) for _ in range(2))
    if not jitter:
        return image
    levels = np.arange(256)[:, None] / 255
    table = np.clip(np.exp(gains) * levels ** np.exp(gammas), 0, 1) * 255
    changed = np.stack([table[image[..., channel], channel] for channel in range(3)], axis=-1)
    return np.asarray(np.rint(changed), np.uint8)


Item = TypeVar("Item", int, Path)


def _read_photo(photo: Path) -> Image:
    try:
        return load_photo(photo)
    except Rejection as rejection:
        raise DpedtoolError(
            f"{rejection.detail.rstrip('.')}: repair or remove it, or leave its folder out of train.unpaired."
        ) from None


def _by_content(photos: Sequence[Path]) -> list[Path]:
    """Return photos in an order that neither their folders nor their names change."""
    return sorted(photos, key=lambda photo: file_sha256(photo, MOST_BYTES))


def _shared(items: Sequence[Item], count: int, rng: np.random.Generator) -> list[tuple[Item, int]]:
    """Say how many of `count` images each item gives: all the same number, or one more; items without are left out."""
    if not items:
        return []
    times: npt.NDArray[np.int64] = np.full(len(items), count // len(items))
    times[rng.permutation(len(items))[: count % len(items)]] += 1
    return [(item, int(number)) for item, number in zip(items, times, strict=True) if number]


def _enhanced(teacher: Generator, image: Image) -> Image:
    """Return what the teacher makes of an image, (scale * H, scale * W, 3), BGR, uint8."""
    output = enhance_patches(teacher, as_rgb(image)[None].float() / 255, clip=True)[0]
    rgb = output.mul(255).round_().to(torch.uint8).numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(rgb[..., ::-1])
