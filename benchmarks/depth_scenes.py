"""Photos of scenes with depth whose dense truth is known: real ones of public data sets, and rendered ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.depth_truth import DenseTruth, measured_truth, rendered_truth
from benchmarks.output import say
from benchmarks.sets import PhotoSet, real_folder
from dpedtool.dataset.demo_params import DemoParams
from dpedtool.dataset.photos.encoding import encode_image
from dpedtool.pipeline.rig import Camera, Scene, Truth, capture, demo_cameras, demo_scene
from dpedtool.pipeline.rig.session import DEEP_SCENE

APART = (1.0, 1 / 3, 3.0)
"""Distances between the cameras, as multiples of the demo's: parallax of about 10, 3 and 30 px."""
KINDS: Mapping[str, tuple[DemoParams, int]] = {
    "boards": (DemoParams(parallax=True, depth=False, moving_object=False), 0),
    "tangle": (DemoParams(depth=True, moving_object=False), DEEP_SCENE),
}
"""Parameters and number of the demo's scenes: boards in front of a wall; a ramp, boards and a tangle of leaves."""
JPEG_QUALITY = 95


@dataclass(frozen=True)
class DeepPhotos:
    """A set of pairs with depth; the truth of each is computed when it is asked for, by file name."""

    photos: PhotoSet
    truths: Mapping[str, Callable[[], DenseTruth]]


def real_folder_of_depth() -> Path:
    """Return the folder `depth` below the real data."""
    return real_folder() / "depth"


def real_pairs(work: Path, every: int = 1) -> DeepPhotos | None:
    """Link one of every so many real pairs into two folders; return None if there are no such photos."""
    folder = real_folder_of_depth()
    records = sorted((folder / "truth").glob("*.json"))[::every]
    if not records:
        return None
    photos = _empty_set("real", work)
    truths: dict[str, Callable[[], DenseTruth]] = {}
    for record in records:
        name = record.with_suffix(".jpg").name
        # Several views of a scene share the DSLR's photo.
        shared = json.loads(record.read_text(encoding="utf-8"))["dslr_file"]
        (photos.phone / name).symlink_to((folder / "phone" / name).resolve())
        (photos.dslr / name).symlink_to((folder / "dslr" / shared).resolve())
        truths[name] = partial(measured_truth, record.parent, record.stem)
    return DeepPhotos(photos, truths)


def rendered_pairs(work: Path, seeds: int, kinds: int = len(KINDS), distances: int = len(APART)) -> DeepPhotos:
    """Render pairs: one for each seed, each of the first `kinds` of scenes, and each of the first `distances`."""
    photos = _empty_set("rendered", work)
    truths: dict[str, Callable[[], DenseTruth]] = {}
    for name, scene, phone, dslr in _scenes(seeds, kinds, distances):
        say(f"rendering {name}")
        for number, (folder, camera) in enumerate(((photos.phone, phone), (photos.dslr, dslr))):
            image = capture(scene, camera, np.random.default_rng([len(truths), number]))
            (folder / name).write_bytes(encode_image(image, ".jpg", JPEG_QUALITY))
        truths[name] = partial(rendered_truth, Truth(phone=phone, dslr=dslr, panels=scene.panels))
    return DeepPhotos(photos, truths)


def _scenes(seeds: int, kinds: int, distances: int) -> Iterator[tuple[str, Scene, Camera, Camera]]:
    """Yield the name of each pair, its scene, the phone and the DSLR; the two phones take turns."""
    for seed in range(seeds):
        for kind, (params, index) in list(KINDS.items())[:kinds]:
            for number, apart in enumerate(APART[:distances]):
                cameras = tuple(_moved(camera, apart) for camera in demo_cameras(seed))
                scene = demo_scene(replace(params, seed=seed), index, cameras)
                *phones, dslr = cameras
                yield f"{kind}-{seed}-{number}.jpg", scene, phones[(seed + number) % len(phones)], dslr


def _moved(camera: Camera, times: float) -> Camera:
    x, y, z = camera.position_m
    return replace(camera, position_m=(times * x, times * y, times * z))


def _empty_set(title: str, work: Path) -> PhotoSet:
    photos = PhotoSet(title, work / title / "phone", work / title / "dslr")
    for folder in (photos.phone, photos.dslr):
        folder.mkdir(parents=True)
    return photos
