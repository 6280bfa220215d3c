"""The photos that all tools read: files in two folders, with equal names for the two photos of a pair."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.usage import ROOT
from benchmarks.yardstick import Image, Mapping, Points, grid
from dpedtool.dataset.io import digest, file_sha256
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.photos.listing import list_photos
from dpedtool.dataset.places import Place
from dpedtool.pipeline import rig as simulator
from dpedtool.pipeline.geometry.homographies import largest_box
from dpedtool.pipeline.rig import Camera, Truth, demo_cameras, simulate_pair
from dpedtool.pipeline.rig.collage import wall_of_prints

PHONE_PX, DSLR_PX = (2048, 1536), (4000, 3000)
JPEG_QUALITY = 95
SEED = 20170


@dataclass(frozen=True)
class PhotoSet:
    """Pairs of photos in two folders, with the true mapping between their points if it is known."""

    title: str
    phone: Path
    dslr: Path
    truths: dict[str, Truth] = field(default_factory=dict)
    equal_size: bool = False
    """Whether the DSLR's photos have been resized to the phone's size."""

    @property
    def names(self) -> list[str]:
        """File names, sorted."""
        return sorted(path.name for path in self.phone.iterdir())

    def pair(self, name: str) -> tuple[Image, Image]:
        """Load the phone's photo and the DSLR's, (H, W, 3) BGR uint8."""
        return load_photo(self.phone / name), load_photo(self.dslr / name)

    def true_mapping(self, name: str) -> Mapping | None:
        """Return the function that maps phone points to the DSLR's photo as stored in the file; None if unknown."""
        truth = self.truths.get(name)
        if truth is None:
            return None
        return partial(_in_resized, truth) if self.equal_size else truth.dslr_from_phone

    def common_points(self, name: str) -> Points:
        """Return a grid over the largest box of the phone photo that the DSLR photo truly covers, (1200, 2)."""
        truth = self.truths[name]
        box = largest_box(partial(_is_common, truth), truth.phone.width, truth.phone.height)
        if box is None:
            raise ValueError(f"the photos of {name} have nothing in common")
        return grid(box.x, box.y, box.width, box.height)


def city100(work: Path, pairs: int, phone: str = "iphonex") -> PhotoSet | None:
    """Link the first pairs of City100 into a folder; None if these photos are missing."""
    folder = real_folder() / "city100"
    if not folder.is_dir():
        return None
    title = "City100" if phone == "iphonex" else f"City100, {phone}"
    return first(PhotoSet(title, folder / phone, folder / "nikon_d5500"), pairs, work / f"city100 {phone}")


def real_folder() -> Path:
    """Return the folder of real photos: $DPEDTOOL_REAL_DATA, or shared/data next to the checkout."""
    return Path(os.environ.get("DPEDTOOL_REAL_DATA") or ROOT.parent / "shared" / "data")


def rig(cache: Path, pairs: int, k1: float) -> PhotoSet:
    """Simulate pairs of 3.1 and 12 MP, or reuse pairs that an earlier run left.

    Parameters
    ----------
    cache
        Keeps one folder for each kind of pairs; pairs made with other code or other pictures are not reused.
    pairs
        Number of pairs.
    k1
        Radial distortion of the phone's lens in normalised coordinates; the DSLR's lens has the opposite distortion.

    """
    code = [file_sha256(path) for path in (Path(__file__), *sorted(Path(simulator.__file__).parent.glob("*.py")))]
    made_by = digest([code, cv2.__version__, np.__version__, [path.name for path in _pictures()]])
    folder = cache / f"simulated {k1:g} {made_by[:12]}"
    title = f"simulated, k1 ±{k1:g}" if k1 else "simulated, no distortion"
    photos = PhotoSet(title, folder / "phone", folder / "dslr")
    for camera in (photos.phone, photos.dslr):
        camera.mkdir(parents=True, exist_ok=True)
    for index in range(pairs):
        photos.truths[f"{index:03d}.jpg"] = _shot(photos, folder / f"{index:03d}.json", index, k1)
    return photos


def equal_sizes(photos: PhotoSet, folder: Path) -> PhotoSet:
    """Write a copy of a set with the DSLR's photos resized to the phone's size, for tools that need that."""
    linked = first(photos, len(photos.names), folder)
    for name in linked.names:
        phone, dslr = photos.pair(name)
        (linked.dslr / name).unlink()
        _save(linked.dslr / name, _shrunk(dslr, (phone.shape[1], phone.shape[0])))
    return replace(linked, title=f"{photos.title}, equal sizes", equal_size=True)


def first(photos: PhotoSet, pairs: int, folder: Path) -> PhotoSet:
    """Link the first pairs of a set into two separate folders."""
    for camera, source in (("phone", photos.phone), ("dslr", photos.dslr)):
        target = folder / camera
        target.mkdir(parents=True, exist_ok=True)
        for path in target.iterdir():
            path.unlink()
        for name in photos.names[:pairs]:
            (target / name).symlink_to((source / name).resolve())
    return replace(photos, phone=folder / "phone", dslr=folder / "dslr")


def cameras(index: int, k1: float) -> tuple[Camera, Camera]:
    """Return a phone of 3.1 MP and a DSLR of 12 MP for one pair: the demo's, larger, turned by up to 2 degrees."""
    *phones, dslr = demo_cameras(SEED + index)
    phone = phones[index % len(phones)]
    return _enlarged(phone, PHONE_PX, k1), _enlarged(dslr, DSLR_PX, -k1)


def _enlarged(camera: Camera, size: tuple[int, int], k1: float) -> Camera:
    focal_px = camera.focal_px * size[0] / camera.width
    return replace(camera, width=size[0], height=size[1], focal_px=focal_px, k1=k1)


def _shot(photos: PhotoSet, record: Path, index: int, k1: float) -> Truth:
    """Return the truth of a pair; make its photos unless they exist."""
    if not record.exists():
        rng = np.random.default_rng([SEED, index])
        phone, dslr, truth = simulate_pair(
            _texture(rng, index),
            *cameras(index, k1),
            rng,
            distance_m=float(rng.uniform(2.5, 12)),
            tilt=(float(rng.uniform(-0.1, 0.1)), float(rng.uniform(-0.1, 0.1)), float(rng.uniform(-0.01, 0.01))),
            brightness=float(rng.uniform(0.65, 1.15)),
        )
        _save(photos.phone / f"{record.stem}.jpg", phone)
        _save(photos.dslr / f"{record.stem}.jpg", dslr)
        # The truth is written last: if it exists, the photos are complete.
        record.write_text(json.dumps(truth.to_json()), encoding="utf-8")
    return Truth.from_json(json.loads(record.read_text(encoding="utf-8")))


def _texture(rng: np.random.Generator, index: int) -> Image:
    """Return a real photo, largest files first, or a wall of scikit-image's pictures if there are no real photos."""
    pictures = _pictures()
    if not pictures:
        return wall_of_prints(rng, 4400, 3300)
    photo = load_photo(pictures[index % len(pictures)])
    return photo if photo.shape[1] >= photo.shape[0] else np.ascontiguousarray(np.rot90(photo))


def _pictures() -> list[Place]:
    """Return real photos to simulate with, files with the most detail first; empty if there are none."""
    folder = real_folder() / "photos"
    return sorted(list_photos(folder), key=lambda path: -path.stat().st_size) if folder.is_dir() else []


def _is_common(truth: Truth, points: Points) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(np.isfinite(truth.dslr_from_phone(points)).all(axis=1))


def _in_resized(truth: Truth, points: Points) -> Points:
    ratio = np.array([truth.phone.width / truth.dslr.width, truth.phone.height / truth.dslr.height])
    return np.asarray((truth.dslr_from_phone(points) + 0.5) * ratio - 0.5)


def _shrunk(image: Image, size: tuple[int, int]) -> Image:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _save(path: Path, image: Image) -> None:
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise OSError(f"{path} could not be written")
