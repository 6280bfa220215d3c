"""How many pairs a second the loader of the training delivers: decoded each time, or held in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks import sets
from benchmarks.stepping import PATCH_PX, released_code
from dpedtool.dataset.photos.decoding import decode_image, load_photo
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.schema import Sample
from dpedtool.dataset.shards import ShardWriter
from dpedtool.dataset.tables import write_rows
from dpedtool.training.data import PatchPairs
from dpedtool.training.train.loader import Loader


@dataclass(frozen=True)
class LoaderFigures:
    """Speed of the loader in one setting."""

    title: str
    threads: int
    pairs_s: float
    pairs_cpu_s: float
    """Pairs per CPU-second."""
    decoding_share: float
    """Share of the CPU time that decoding the images takes by itself."""


def measure(work: Path, count: int, iterations: int, threads: int) -> list[LoaderFigures]:
    """Time the loader on `count` patches in shards below `work`: PNG and JPEG decoded each time, and in memory."""
    images = patches(count)
    figures = []
    for suffix, title in ((".png", "PNG in shards"), (".jpg", "JPEG in shards")):
        folder = work / suffix[1:]
        pairs = PatchPairs(write_shard(folder, images, suffix), "train")
        decoding = 2 * _decoding_s(images, suffix)
        figures.append(_time(f"{title}, decoded each time", pairs, iterations, threads, decoding, memory_bytes=0))
    figures.append(_time("held in memory", pairs, 10 * iterations, threads, 0.0, memory_bytes=None))
    return figures


def patches(count: int) -> list[tuple[Image, Image]]:
    """Return pairs of 100 px: DPED's own, repeated, or pairs of a simulated texture if DPED's are missing."""
    folder = sets.real_folder() / "dped_iphone_patches"
    if folder.is_dir():
        found = [
            (load_photo(path), load_photo(folder / "canon" / path.name))
            for path in sorted((folder / "iphone").iterdir())
        ]
    else:
        found = [(texture(2 * seed), texture(2 * seed + 1)) for seed in range(50)]
    return [found[index % len(found)] for index in range(count)]


def write_shard(folder: Path, images: Sequence[tuple[Image, Image]], suffix: str) -> Path:
    """Write pairs to a shard as the stage patches does, all as training samples; return their table."""
    folder.mkdir(parents=True)
    with ShardWriter(folder / "patches-00000.tar") as shard:
        rows = list(_samples(shard, folder / "patches-00000.tar", images, suffix))
    write_rows(folder / "samples.parquet", Sample, rows)
    return folder / "samples.parquet"


def _samples(shard: ShardWriter, path: Path, images: Sequence[tuple[Image, Image]], suffix: str) -> Iterator[Sample]:
    for index, pair in enumerate(images):
        phone, dslr = (
            shard.add(f"{index}.{side}{suffix}", encode_image(image, suffix))
            for side, image in zip(("phone", "dslr"), pair, strict=True)
        )
        yield Sample(
            patch_id=str(index),
            pair_id=str(index),
            phone="phone",
            scene_id=str(index),
            split="train",
            shard=path,
            phone_offset=phone.offset,
            phone_bytes=phone.length,
            dslr_offset=dslr.offset,
            dslr_bytes=dslr.length,
        )


def _time(
    title: str, pairs: PatchPairs, iterations: int, threads: int, decoding_s: float, memory_bytes: int | None
) -> LoaderFigures:
    """Time batches as the released code draws them; `decoding_s` is what decoding a pair takes by itself."""
    params = released_code(augment=True)
    loader = Loader(pairs, params, second_batch=True, threads=threads, memory_bytes=memory_bytes)
    if memory_bytes is None:
        # Run until nearly every pair has been seen.
        for _ in loader.steps(0, 5 * len(pairs) // (2 * params.batch)):
            pass
    wall, cpu = time.perf_counter(), time.process_time()
    given = sum(2 * len(step.names) for step in loader.steps(10**6, 10**6 + iterations))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return LoaderFigures(title, threads, given / wall, given / cpu, given * decoding_s / cpu)


def _decoding_s(images: Sequence[tuple[Image, Image]], suffix: str) -> float:
    """Return the CPU-seconds that decoding an image takes."""
    encoded = [encode_image(image, suffix) for pair in images[:200] for image in pair]
    start = time.process_time()
    for content in encoded:
        decode_image(content, Path(suffix))
    return (time.process_time() - start) / len(encoded)


def texture(seed: int) -> Image:
    """Return detail of three sizes, which takes about as many bytes as a photo."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(PATCH_PX, PATCH_PX, 3)), (0, 0), sigma) for sigma in (1.5, 4, 10)]
    total = np.sum([layer / layer.std() for layer in layers], axis=0)
    texture: Image = np.clip(128 + 32 * total, 0, 255).astype(np.uint8)
    return texture


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
