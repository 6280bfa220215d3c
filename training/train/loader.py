"""The batches of a training, decoded ahead in threads: what a step is given follows from seed and iteration alone."""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt
import torch
from cv2.typing import MatLike
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import TrainParams
from dpedtool.dataset.photos.stored import Image
from dpedtool.training.data import Batch, Pairs
from dpedtool.training.free_memory import free_memory

MOST_THREADS = 8
"""More decode no faster than they take turns in Python."""
MEMORY_SHARE = 0.25
"""Of the memory that is free when a loader is made, what decoded images may fill."""
_BATCHES, _POOLS = 2, 3
"""Random streams of a run: those of the first weights are 0 and 1."""

_QUARTER_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True)
class Step:
    """What one step is computed on; of several processes, one's part of it."""

    iteration: int
    batch: Batch
    """(N, 3, side, side), RGB, uint8."""
    second: Batch | None
    """Another of the same kind, for the discriminator; None where none was asked for."""
    swaps: Tensor | None
    """(N,), bool: true where the discriminator is to see the DSLR's image of the second batch; None without one."""
    names: list[str]
    """The pairs of `batch`."""


@dataclass(frozen=True)
class _Draw:
    """Which pairs make a batch, and what is done to each of them."""

    indices: npt.NDArray[np.int64]
    corners: npt.NDArray[np.float64]
    """(N, 2): where the crop lies, down and across, 0..1 of the room there is."""
    turns: npt.NDArray[np.int64]
    """Quarter turns, 0..3."""
    mirrored: npt.NDArray[np.bool_]

    def part(self, span: slice) -> _Draw:
        return _Draw(self.indices[span], self.corners[span], self.turns[span], self.mirrored[span])


class Loader:
    """Draws, decodes, crops and turns the batches of a training.

    A batch is drawn with repetition, from all pairs or from the pool of its iterations; a pool has no pair twice. Of
    several processes each loads its contiguous part of the joint batch. Decoded images are kept in memory until they
    fill a quarter of what is free at the start (over the processes together); what finds no room is decoded each time.

    Parameters
    ----------
    pairs
        One or more.
    params
        Of the training: `batch`, `crop_px`, `augment`, `pool`, `pool_iterations` and `seed` are used.
    second_batch
        Whether each step takes a second batch, and coins for it.
    rank, processes
        Which of how many processes this is.
    threads
        That decode, by default one a processor; no result depends on it.
    memory_bytes
        Which decoded images may fill, in place of the rule above; no result depends on it.

    Raises
    ------
    DpedtoolError
        There are no pairs.
    ParamsError
        The batch cannot be divided among the processes.

    """

    def __init__(
        self,
        pairs: Pairs,
        params: TrainParams,
        *,
        second_batch: bool,
        rank: int = 0,
        processes: int = 1,
        threads: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        if not len(pairs):
            raise DpedtoolError("There are no pairs to train on: name a split or folders that hold some.")
        if params.batch % processes:
            raise ParamsError(
                f"train.batch is {params.batch}, which {processes} processes cannot share evenly: set it to a multiple."
            )
        share = params.batch // processes
        self._pairs, self._params, self._second_batch = pairs, params, second_batch
        self._span = slice(rank * share, (rank + 1) * share)
        self._names = pairs.names()
        self._threads = threads or min(MOST_THREADS, _processors())
        self._decoded = _Decoded(pairs, _free_bytes() // processes if memory_bytes is None else memory_bytes)

    def steps(self, first: int, last: int) -> Generator[Step, None, None]:
        """Yield the steps of the iterations `first` to `last` - 1, counted from 0, in order.

        A few are made ahead, in threads that end with the iterator: use it up, or close it.

        Raises
        ------
        DpedtoolError
            A pair cannot be read, or images of a batch are smaller than the crop and not of one size.

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
        rng = np.random.default_rng([params.seed, _BATCHES, iteration])
        pool = self._pool(iteration)
        first = _draw(rng, pool, params).part(self._span)
        batch, names = self._load(first), [self._names[index] for index in first.indices]
        if not self._second_batch:
            return Step(iteration, batch, None, None, names)
        second = self._load(_draw(rng, pool, params).part(self._span))
        swaps = torch.from_numpy(rng.integers(2, size=params.batch)[self._span] == 1)
        return Step(iteration, batch, second, swaps, names)

    def _pool(self, iteration: int) -> npt.NDArray[np.int64]:
        params = self._params
        if not 0 < params.pool < len(self._names):
            return np.arange(len(self._names))
        return _draw_pool(params.seed, iteration // params.pool_iterations, len(self._names), params.pool)

    def _load(self, draw: _Draw) -> Batch:
        crops = [self._crop(draw, row) for row in range(len(draw.indices))]
        sides = [phone.shape[-1] for phone, _ in crops]
        if len(set(sides)) > 1:
            smaller = self._names[draw.indices[int(np.argmin(sides))]]
            raise DpedtoolError(
                f"{smaller} is smaller than the crop of {max(sides)} px that others allow: set train.crop_px to "
                f"{min(sides)} or less, or remove it."
            )
        phones, dslrs = (torch.from_numpy(np.stack(images)) for images in zip(*crops, strict=True))
        return Batch(phones, dslrs)

    def _crop(self, draw: _Draw, row: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """One pair of a batch, cut out at once, so that whole photos are not held."""
        phone, dslr = (
            _cut(image, self._params.crop_px, draw.corners[row], int(draw.turns[row]), bool(draw.mirrored[row]))
            for image in self._decoded.images(int(draw.indices[row]))
        )
        return phone, dslr


class _Decoded:
    """Decoded pairs, kept as long as there is room; safe to use from several threads."""

    def __init__(self, pairs: Pairs, room: int) -> None:
        self._pairs, self._room = pairs, room
        self._kept: dict[int, tuple[Image, Image]] = {}
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


def _draw(rng: np.random.Generator, pool: npt.NDArray[np.int64], params: TrainParams) -> _Draw:
    """Draw a joint batch. Each number takes its place in the stream whether it is used or not."""
    count = params.batch
    indices, corners = pool[rng.integers(len(pool), size=count)], rng.random((count, 2))
    turns, mirrored = rng.integers(4, size=count), rng.integers(2, size=count) == 1
    if not params.augment:
        turns, mirrored = np.zeros_like(turns), np.zeros_like(mirrored)
    return _Draw(indices, corners, turns, mirrored)


@functools.lru_cache(maxsize=4)
def _draw_pool(seed: int, number: int, count: int, size: int) -> npt.NDArray[np.int64]:
    """Draw the `number`-th pool: `size` of `count` pairs, none twice."""
    return np.random.default_rng([seed, _POOLS, number]).choice(count, size, replace=False)


def _cut(
    image: Image, crop_px: int, corner: npt.NDArray[np.float64], turns: int, mirrored: bool
) -> npt.NDArray[np.uint8]:
    """Return a crop of an image (H, W, 3), BGR, turned and mirrored: (3, side, side), RGB."""
    side = min(crop_px, *image.shape[:2])
    y, x = (int(at * (length - side + 1)) for at, length in zip(corner, image.shape, strict=False))
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
