"""The batches of a training, decoded ahead in threads; each batch depends only on the seed and the iteration."""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt
import torch
from cv2.typing import MatLike
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.train_params import SMALLEST_CROP_PX, TrainParams
from dpedtool.training.data import Batch, Pairs
from dpedtool.training.free_memory import free_memory

MOST_THREADS = 8
"""More threads would be no faster, since they take turns in Python."""
MEMORY_SHARE = 0.25
"""The share of the memory free at the loader's start that decoded images may fill."""
PLAIN_LEVELS = 15.0
"""A pair is plain if the standard deviation of its grey DSLR image is below this many levels, as of skies and walls."""
MOST_TRIES = 8
"""A draw ends with this try, so that it also ends where all pairs are plain."""
_BATCHES, _POOLS, _TRIES, _TAUGHT = 2, 3, 4, 6
"""Random streams of a run; streams 0 and 1 are for the initial weights, and 5 for the taught images."""

_QUARTER_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True)
class Step:
    """The input of one step, or one process's part of it."""

    iteration: int
    batch: Batch
    """(N, 3, side, side), RGB, uint8; the DSLR's are `Pairs.target_scale` times as large."""
    second: Batch | None
    """Another batch of the same kind, for the discriminator; None if it was not asked for."""
    swaps: Tensor | None
    """(N,), bool: true where the discriminator sees the DSLR's image of the second batch; None without that batch."""
    names: list[str]
    """The pairs of `batch`."""


@dataclass(frozen=True)
class _Draw:
    """The pairs of a batch, and how each of them is cropped, turned and mirrored."""

    indices: npt.NDArray[np.int64]
    """(N, MOST_TRIES): the pairs that are tried one after the other, until one is taken."""
    chances: npt.NDArray[np.float64]
    """(N, MOST_TRIES), 0..1: a plain pair is taken if its chance is below `plain_share`."""
    corners: npt.NDArray[np.float64]
    """(N, 2): place of the crop, down and across, 0..1 of the possible range."""
    turns: npt.NDArray[np.int64]
    """Number of quarter turns, 0..3."""
    mirrored: npt.NDArray[np.bool_]
    taught: npt.NDArray[np.int64]
    """(N,): the taught image that is used instead of the pairs; -1: none."""

    def part(self, span: slice) -> _Draw:
        pairs = self.indices[span], self.chances[span]
        return _Draw(*pairs, self.corners[span], self.turns[span], self.mirrored[span], self.taught[span])


class Loader:
    """Draws, decodes, crops and turns the batches of a training.

    A batch is drawn with repetition, from all pairs or from the pool of its iterations; a pool has no pair twice. Of
    the plain pairs that are drawn, only `plain_share` is taken, and other pairs are drawn in place of the rest. If
    there are several processes, each loads its contiguous part of the joint batch. Decoded images are kept in memory
    until they fill a quarter of the memory free at the start (all processes together); images that do not fit are
    decoded each time.

    With taught images, the first `teacher_share` of each joint batch is drawn from them, with repetition, whether plain
    or not. A second batch has none of them.

    Parameters
    ----------
    pairs
        One or more pairs.
    params
        Parameters of the training; `batch`, `crop_px`, `augment`, `plain_share`, `pool`, `pool_iterations`,
        `teacher_share` and `seed` are used.
    second_batch
        Whether each step gets a second batch, with a random `swaps`.
    taught
        Images whose targets are a teacher's outputs; None without a teacher.
    rank, processes
        The number of this process and the number of processes.
    threads
        Number of threads that decode, by default one per processor; no result depends on it.
    memory_bytes
        Memory for decoded images, instead of the rule above; no result depends on it.

    Raises
    ------
    DpedtoolError
        There are no pairs.
    ParamsError
        The batch cannot be divided evenly among the processes.

    """

    def __init__(
        self,
        pairs: Pairs,
        params: TrainParams,
        *,
        second_batch: bool,
        taught: Pairs | None = None,
        rank: int = 0,
        processes: int = 1,
        threads: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        if not len(pairs):
            raise DpedtoolError("There are no pairs to train on: choose a split or folders with pairs.")
        if params.batch % processes:
            raise ParamsError(
                f"train.batch is {params.batch}, which {processes} processes cannot share evenly: set it to a multiple "
                f"of {processes}."
            )
        share = params.batch // processes
        self._pairs, self._params, self._second_batch, self._taught = pairs, params, second_batch, taught
        self._span = slice(rank * share, (rank + 1) * share)
        self._names, self._taught_names = pairs.names(), taught.names() if taught else []
        self._threads = threads or min(MOST_THREADS, _processors())
        self._decoded = _Decoded(pairs, _free_bytes() // processes if memory_bytes is None else memory_bytes)

    def steps(self, first: int, last: int) -> Generator[Step, None, None]:
        """Yield the steps of the iterations `first` to `last` - 1, counted from 0, in order.

        Some steps are prepared ahead in threads that end with the iterator: exhaust or close it.

        Raises
        ------
        DpedtoolError
            A pair cannot be read, or images of a batch are smaller than the crop and differ in size.

        """
        iterations = iter(range(first, last))
        workers = ThreadPoolExecutor(self._threads, "loader")
        try:
            ahead = deque(workers.submit(self._step, at) for at in islice(iterations, self._threads + 1))
            while ahead:
                step = ahead.popleft().result()
                ahead.extend(workers.submit(self._step, at) for at in islice(iterations, 1))
                yield step
        finally:
            workers.shutdown(cancel_futures=True)

    def _step(self, iteration: int) -> Step:
        params = self._params
        rng, tries = (np.random.default_rng([params.seed, stream, iteration]) for stream in (_BATCHES, _TRIES))
        pool = self._pool(iteration)
        batch, names = self._load(self._with_taught(_draw(rng, tries, pool, params), iteration).part(self._span))
        if not self._second_batch:
            return Step(iteration, batch, None, None, names)
        second, _ = self._load(_draw(rng, tries, pool, params).part(self._span))
        swaps = torch.from_numpy(rng.integers(2, size=params.batch)[self._span] == 1)
        return Step(iteration, batch, second, swaps, names)

    def _with_taught(self, draw: _Draw, iteration: int) -> _Draw:
        """Replace the first pairs of a joint batch by taught images."""
        if self._taught is None:
            return draw
        rng, params = np.random.default_rng([self._params.seed, _TAUGHT, iteration]), self._params
        taught = rng.integers(len(self._taught), size=params.batch)
        taught[round(params.teacher_share * params.batch) :] = -1
        return replace(draw, taught=taught)

    def _pool(self, iteration: int) -> npt.NDArray[np.int64]:
        params = self._params
        if not 0 < params.pool < len(self._names):
            return np.arange(len(self._names))
        return _draw_pool(params.seed, iteration // params.pool_iterations, len(self._names), params.pool)

    def _load(self, draw: _Draw) -> tuple[Batch, list[str]]:
        """Return a batch and the names of its pairs."""
        names, *crops = zip(*(self._crop(draw, row) for row in range(len(draw.indices))), strict=True)
        sides = [phone.shape[-1] for phone in crops[0]]
        if len(set(sides)) > 1:
            smaller = names[int(np.argmin(sides))]
            crop = f"set train.crop_px to {min(sides)} or less, or " if min(sides) >= SMALLEST_CROP_PX else ""
            raise DpedtoolError(
                f"{smaller} is smaller than the crop of {max(sides)} px that other images allow: {crop}remove this "
                "image."
            )
        phones, dslrs = (torch.from_numpy(np.stack(images)) for images in crops)
        return Batch(phones, dslrs), list(names)

    def _crop(self, draw: _Draw, row: int) -> tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the name and the crops of one pair of a batch; cropping at once avoids holding whole photos."""
        if self._taught is not None and (taught := int(draw.taught[row])) >= 0:
            name, images = self._taught_names[taught], self._taught.images(taught)
        else:
            index, images = self._taken(draw.indices[row].tolist(), draw.chances[row].tolist())
            name = self._names[index]
        how = draw.corners[row], int(draw.turns[row]), bool(draw.mirrored[row])
        crop_px, scale = self._params.crop_px, self._pairs.target_scale
        return name, _cut(images[0], crop_px, *how), _cut(images[1], crop_px, *how, scale=scale)

    def _taken(self, indices: list[int], chances: list[float]) -> tuple[int, tuple[Image, Image]]:
        """Return the first of the pairs that has texture, or is taken although it is plain; else the last of them."""
        for index, chance in zip(indices, chances, strict=True):
            is_taken = chance < self._params.plain_share
            images = self._decoded.images(index) if is_taken else self._decoded.unless_plain(index)
            if images:
                return index, images
        return indices[-1], self._decoded.images(indices[-1])


class _Decoded:
    """Decoded pairs, kept while there is memory for them; safe to use from several threads."""

    def __init__(self, pairs: Pairs, room: int) -> None:
        self._pairs, self._room = pairs, room
        self._kept: dict[int, tuple[Image, Image]] = {}
        self._plain: dict[int, bool] = {}
        self._lock = threading.Lock()

    def images(self, index: int) -> tuple[Image, Image]:
        if (kept := self._kept.get(index)) is not None:
            return kept
        images = self._pairs.images(index)
        with self._lock:
            size = sum(image.nbytes for image in images)
            if size <= self._room and index not in self._kept:
                self._kept[index] = images
                self._room -= size
        return images

    def unless_plain(self, index: int) -> tuple[Image, Image] | None:
        """Return a pair with texture; None if it is plain, and then it is decoded at the first call alone."""
        if self._plain.get(index):
            return None
        images = self.images(index)
        if index not in self._plain:
            grey = cv2.cvtColor(images[1], cv2.COLOR_BGR2GRAY)
            self._plain[index] = float(grey.std()) < PLAIN_LEVELS
        return None if self._plain[index] else images


def _draw(
    rng: np.random.Generator, tries: np.random.Generator, pool: npt.NDArray[np.int64], params: TrainParams
) -> _Draw:
    """Draw a joint batch. All random numbers are drawn even if unused, so that parameters do not shift the streams."""
    count = params.batch
    first, corners = rng.integers(len(pool), size=count), rng.random((count, 2))
    turns, mirrored = rng.integers(4, size=count), rng.integers(2, size=count) == 1
    if not params.augment:
        turns, mirrored = np.zeros_like(turns), np.zeros_like(mirrored)
    others, chances = tries.integers(len(pool), size=(count, MOST_TRIES - 1)), tries.random((count, MOST_TRIES))
    return _Draw(pool[np.column_stack([first, others])], chances, corners, turns, mirrored, np.full(count, -1))


@functools.lru_cache(maxsize=4)
def _draw_pool(seed: int, number: int, count: int, size: int) -> npt.NDArray[np.int64]:
    """Draw the pool with this number: `size` of `count` pairs, without repetition."""
    return np.random.default_rng([seed, _POOLS, number]).choice(count, size, replace=False)


def _cut(
    image: Image, crop_px: int, corner: npt.NDArray[np.float64], turns: int, mirrored: bool, *, scale: int = 1
) -> npt.NDArray[np.uint8]:
    """Return a crop of an image (H, W, 3), BGR, turned and mirrored: (3, side, side), RGB.

    `crop_px` and the corner are in steps of `scale` px.
    """
    lengths = [length // scale for length in image.shape[:2]]
    side = min(crop_px, *lengths)
    y, x = (scale * int(at * (length - side + 1)) for at, length in zip(corner, lengths, strict=True))
    side *= scale
    turned: MatLike = image[y : y + side, x : x + side]
    if turns:
        turned = cv2.rotate(turned, _QUARTER_TURNS[turns])
    if mirrored:
        turned = cv2.flip(turned, 1)
    planes = np.empty((3, side, side), np.uint8)
    cv2.split(turned, list(planes[::-1]))
    return planes


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_bytes() -> int:
    return int(MEMORY_SHARE * free_memory())
