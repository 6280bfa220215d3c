"""Checks folders in the layout of DPED, made by anybody, although such a check proves little.

    <phone>/training_data/<camera>/N.jpg                 one folder for the phone's patches, one for the DSLR's
    <phone>/test_data/patches/<camera>/N.jpg
    <phone>/test_data/full_size_test_images/N.jpg
    <phone>/validation_data/patches/<camera>/N.jpg       not in DPED, but in releases of this project

Such a folder names no scenes, photos or times, so nobody can prove from it that no scene is on two sides. The check
finds files and pixels that are on two sides, and patches that are nearly the same in the same place.

A separate function reads the images in batches, so that other processes can call it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.photos.decoding import MOST_BYTES, decode_photo
from dpedtool.dataset.photos.formats.table import FORMATS
from dpedtool.dataset.photos.pixels import GreyPhoto
from dpedtool.dataset.progress import showing
from dpedtool.dataset.regular_files import read_regular
from dpedtool.dataset.sidecars.verdict import Verdict

Floats = npt.NDArray[np.float32]

SUFFIXES = frozenset(suffix for format_ in FORMATS if not format_.extra for suffix in format_.suffixes)
TRAINING, VALIDATION, TEST = "training_data", "validation_data", "test_data"
PATCHES, FULL_SIZE = "patches", "full_size_test_images"
PARTS = {"train": TRAINING, "validation": f"{VALIDATION}/{PATCHES}", "test": f"{TEST}/{PATCHES}"}
"""Folders of patches in the folder of a phone, by split."""
BELOW = "dped"
"""Sub-folder of a release that has this layout."""
PATCHES_A_PAIR = {"BlackBerry": 23, "iPhone": 28, "Sony": 36}
"""Training patches for each pair of photos in DPED (Ignatov et al., ICCV 2017), by phone."""
FILES_A_BATCH = 500
TEST_BLOCK = 8192
SIDE = 16
DETAIL_SIDE_PX = 96
ALIKE = 0.95
"""Correlation of 16 x 16 means from which two patches are compared closely."""
SAME_DETAIL = 0.6
"""Correlation of their detail from which they are nearly the same: the third lowest of 3 x 3 parts, because a straight
edge at the same place may affect six of them."""
BLUR_PX = 3.0
"""Standard deviation of the Gaussian that is subtracted to get the detail."""
MIN_CONTRAST = 4.0
"""Patches with a smaller standard deviation, in grey levels, all look alike."""
NEAREST = 3
"""Number of test patches that each training patch is compared with closely."""


@dataclass(frozen=True)
class Layout:
    """The images of a folder, by their purpose."""

    cameras: Sequence[Mapping[str, Sequence[Path]]]
    """Groups of folders whose images belong together by name: the images by camera."""
    training: Sequence[Path]
    validation: Sequence[Path]
    test: Sequence[Path]
    full_size: Sequence[Path]
    others: Sequence[Path]
    """Images of folders that do not say what their images are for."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is kept of an image that was read."""

    path: Path
    size: tuple[int, int]
    """(width, height) in px."""
    file: bytes
    """Digest of the file."""
    pixels: bytes
    """Digest of the pixels."""
    means: Floats
    """(SIDE ** 2,), of mean 0 and length 1; all 0 where the image is plain."""
    is_plain: bool
    """Whether there is too little contrast to compare."""


@dataclass
class Batch:
    """The result of reading some images."""

    seen: list[Seen] = field(default_factory=list)
    unreadable: int = 0
    faults: list[str] = field(default_factory=list)


Inspect = Callable[[Path, bytes], Sequence[str]]
"""Looks at a file's content and says what is wrong with it, a line each."""
ReadBatch = Callable[[Sequence[Path]], Batch]
Mapper = Callable[[ReadBatch, Sequence[Sequence[Path]]], Iterable[tuple[Sequence[Path], Batch]]]
"""Calls a function for each of several batches, and yields each with its result, in any order."""


@dataclass(frozen=True)
class Survey:
    """What a check of a folder found."""

    verdict: Verdict
    sizes: Mapping[Path, tuple[int, int]]
    """(width, height) in px of each image that can be read."""


def find_layout(folder: Path) -> Layout | None:
    """Return the images of a folder in the layout of DPED, or of plain folders of images; None if it has none."""
    phones = [folder] if _is_phone(folder) else [path for path in _folders(folder) if _is_phone(path)]
    if phones:
        kinds = [[_by_camera(phone / kind) for phone in phones] for kind in PARTS.values()]
        training, validation, test = (
            [path for of in kind for images in of.values() for path in images] for kind in kinds
        )
        layout = Layout(
            cameras=[cameras for of in zip(*kinds, strict=True) for cameras in of if cameras],
            training=training,
            validation=validation,
            test=test,
            full_size=[
                # A release of dpedtool has those of the DSLR in a folder whose name begins with that of the phone's.
                path
                for phone in phones
                for place in sorted((phone / TEST).glob(f"{FULL_SIZE}*"))
                for path in _images(place)
            ],
            others=[],
        )
        return layout if training or validation or test or layout.full_size else None
    found = {name: images for name, images in _by_camera(folder).items() if images}
    cameras = found or ({folder.name: _images(folder)} if _images(folder) else {})
    if not cameras:
        return None
    return Layout([cameras], [], [], [], [], [path for paths in cameras.values() for path in paths])


def check_layout(layout: Layout) -> Verdict:
    """Look for images that are on two sides: each one found is a leak, but finding none proves nothing."""
    return survey(layout).verdict


def survey(layout: Layout, mapper: Mapper | None = None, inspect: Inspect | None = None) -> Survey:
    """Look for images that are on two sides, and read every image once.

    Parameters
    ----------
    layout
        The images.
    mapper
        Lets batches be read; the result does not depend on it. If it is None, this process reads them.
    inspect
        Also looks at the content of every file. If other processes read, they must be able to import it.

    """
    reader = _Reader(partial(read_batch, inspect=inspect), mapper or _map_here)
    reader.faults += _faults_of_mates(layout)
    test = reader.read(layout.test, None, keep=True)
    validation = reader.read(layout.validation, _Held(test), keep=True)
    reader.read(layout.training, _Held([*test, *validation]), keep=False)
    reader.read([*layout.full_size, *layout.others], None, keep=False)
    return Survey(Verdict(reader.faults, _said(layout, reader), is_proof=False), reader.sizes)


def read_batch(paths: Sequence[Path], inspect: Inspect | None = None) -> Batch:
    """Read some images, and keep what is needed to find others that are the same."""
    batch = Batch()
    for path in paths:
        try:
            content = read_regular(path, MOST_BYTES)
            batch.faults += inspect(path, content) if inspect else []
            batch.seen.append(_see(path, content))
        except (OSError, Rejection) as error:
            batch.unreadable += 1
            batch.faults.append(error.detail if isinstance(error, Rejection) else f"{path}: {error.strerror}.")
    return batch


def _map_here(read: ReadBatch, batches: Sequence[Sequence[Path]]) -> Iterator[tuple[Sequence[Path], Batch]]:
    return ((paths, read(paths)) for paths in batches)


class _Reader:
    """Lets images be read, compares them, and collects what was found, in the order of the images."""

    def __init__(self, read: ReadBatch, mapper: Mapper) -> None:
        self._read, self._mapper = read, mapper
        self.faults: list[str] = []
        self.sizes: dict[Path, tuple[int, int]] = {}
        self.unreadable = self.plain = 0

    def read(self, paths: Sequence[Path], held: _Held | None, *, keep: bool) -> list[Seen]:
        """Read images and compare them with others; return what was seen of them if `keep` is set."""
        batches = [paths[start : start + FILES_A_BATCH] for start in range(0, len(paths), FILES_A_BATCH)]
        faults: dict[Path, list[str]] = {}
        kept: dict[Path, list[Seen]] = {}
        done = 0
        with showing("Read", len(paths)) as reach:
            for names, batch in self._mapper(self._read, batches):
                faults[names[0]] = [*batch.faults, *(_compare(batch.seen, held) if held else [])]
                kept[names[0]] = batch.seen if keep else []
                self.unreadable += batch.unreadable
                self.plain += sum(seen.is_plain for seen in batch.seen)
                self.sizes |= {seen.path: seen.size for seen in batch.seen}
                reach(done := done + len(names))
        self.faults += [fault for names in batches for fault in faults[names[0]]]
        return [seen for names in batches for seen in kept[names[0]]]


def _said(layout: Layout, reader: _Reader) -> list[str]:
    said = [
        "This folder cannot be verified: it names no scenes, photos or times, so nobody can know from it whether a "
        "scene is on two sides.",
    ]
    sides = {"training": layout.training, "validation": layout.validation, "test": layout.test}
    first, *others = [f"{len(paths)} {name}" for name, paths in sides.items() if paths] or [""]
    if others:
        each_other = ", and these with each other" if len(others) > 1 else ""
        plain = f" ({reader.plain} too plain for the last check)" if reader.plain else ""
        said.append(
            f"Checked instead: {first} images were compared with {' and '.join(others)} images{each_other}, for all "
            f"phones and cameras, to find equal files, equal pixels, and nearly equal content in the same place{plain}."
        )
        said.append("Not checked: shifted copies of the same content, and which part of a full-size photo a patch is.")
    else:
        said.append(_one_side(layout, first))
    total = sum(map(len, (*sides.values(), layout.full_size, layout.others)))
    unreadable = f", {reader.unreadable} of them unreadable" if reader.unreadable else ""
    said.append(f"Read: {total} images{unreadable}.")
    return said


def _one_side(layout: Layout, side: str) -> str:
    if layout.others:
        return "It does not say what its images are for, so there are not two sides to compare."
    return f"It holds only {side.partition(' ')[2] or 'test'} images, so there is nothing to compare them with."


def _faults_of_mates(layout: Layout) -> list[str]:
    faults = []
    for cameras in layout.cameras:
        names = {camera: {path.stem for path in paths} for camera, paths in cameras.items()}
        every = set().union(*names.values())
        folder = next((paths[0].parent.parent for paths in cameras.values() if paths), Path())
        for camera, paths in sorted(cameras.items()):
            missing = sorted(every - names[camera])
            if missing and not paths:
                faults.append(f"{folder / camera} holds no images, but the folder next to it does.")
            else:
                faults += [
                    f"{folder / camera} has no image {name}, but the folder next to it does." for name in missing
                ]
    return faults


class _Held:
    """Patches that others are compared with: digests of their files and pixels, and what they look like."""

    def __init__(self, patches: Sequence[Seen]) -> None:
        self.files = {patch.file: patch.path for patch in patches}
        self.pixels = {patch.pixels: patch.path for patch in patches}
        self.paths = [patch.path for patch in patches]
        self.means = np.stack([patch.means for patch in patches]) if patches else np.zeros((0, SIDE**2), np.float32)
        self.detail: Callable[[Path], Floats] = lru_cache(4096)(_read_detail)


def _compare(patches: Sequence[Seen], held: _Held) -> list[str]:
    """Name every patch that is the same or nearly the same as one of those held, one line each."""
    if not held.paths or not patches:
        return []
    faults = []
    near = _nearest(np.stack([patch.means for patch in patches]), held.means)
    for patch, indices in zip(patches, near, strict=True):
        if (equal := held.files.get(patch.file)) is not None:
            faults.append(f"{patch.path} and {equal} are the same file.")
        elif (equal := held.pixels.get(patch.pixels)) is not None:
            faults.append(f"{patch.path} and {equal} have the same pixels.")
        elif found := _same_detail(patch.path, [held.paths[index] for index in indices], held):
            faults.append(f"{patch.path} and {found[0]} show the same: detail correlates by {found[1]:.2f}.")
    return faults


def _nearest(ones: Floats, twos: Floats) -> list[list[int]]:
    """Return, for each row, the rows of `twos` that are alike, the most alike first, at most `NEAREST`."""
    found: list[list[tuple[float, int]]] = [[] for _ in ones]
    for start in range(0, len(twos), TEST_BLOCK):
        products = ones @ twos[start : start + TEST_BLOCK].T
        for row in np.flatnonzero(products.max(axis=1) >= ALIKE):
            best = np.argsort(-products[row], kind="stable")[:NEAREST]
            found[row] += [(-float(products[row, i]), start + int(i)) for i in best if products[row, i] >= ALIKE]
    return [[index for _, index in sorted(row)[:NEAREST]] for row in found]


def _same_detail(path: Path, others: Sequence[Path], held: _Held) -> tuple[Path, float] | None:
    if not others:
        return None
    detail = _read_detail(path)
    for other in others:
        correlation = float(np.sort((detail * held.detail(other)).sum(axis=1))[2])
        if correlation >= SAME_DETAIL:
            return other, correlation
    return None


def _see(path: Path, content: bytes) -> Seen:
    image = decode_photo(content, path)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    means = _unit(cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel())
    is_plain = bool(grey.std() < MIN_CONTRAST)
    pixels = hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).digest()
    return Seen(
        path=path,
        size=image.shape[1::-1],
        file=hashlib.blake2b(content, digest_size=16).digest(),
        pixels=pixels,
        means=np.zeros_like(means) if is_plain else means,
        is_plain=is_plain,
    )


def _read_detail(path: Path) -> Floats:
    """Return the detail, finer than `BLUR_PX`, of a readable image: (9, N), each part of mean 0 and length 1."""
    grey: GreyPhoto = np.asarray(
        cv2.cvtColor(decode_photo(read_regular(path, MOST_BYTES), path), cv2.COLOR_BGR2GRAY), np.uint8
    )
    small = cv2.resize(grey.astype(np.float32), (DETAIL_SIDE_PX, DETAIL_SIDE_PX), interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), BLUR_PX)
    third = DETAIL_SIDE_PX // 3
    return np.stack([_unit(detail[y : y + third, x : x + third].ravel()) for y in _THIRDS for x in _THIRDS])


_THIRDS = range(0, DETAIL_SIDE_PX, DETAIL_SIDE_PX // 3)


def _unit(values: npt.NDArray[Any]) -> Floats:
    centred = values - values.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32)


def _is_phone(folder: Path) -> bool:
    return any((folder / kind).is_dir() for kind in (TRAINING, VALIDATION, TEST))


def _by_camera(folder: Path) -> dict[str, list[Path]]:
    return {path.name: _images(path) for path in _folders(folder)}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    # As people count: 2.jpg before 10.jpg.
    return sorted(found, key=lambda path: (len(path.stem), path.name))


def verify_layout(folder: Path) -> Verdict:
    """Check a folder in the layout of DPED.

    Raises
    ------
    DpedtoolError
        The folder does not exist, or holds no images in that layout.

    """
    return check_layout(layout_of(folder))


def layout_of(folder: Path) -> Layout:
    """Return the images of a folder in the layout of DPED.

    Raises
    ------
    DpedtoolError
        The folder does not exist, or holds no images in that layout.

    """
    if not folder.is_dir():
        raise DpedtoolError(
            f"There is no folder {folder}: name one that `dpedtool split` wrote, or a data set like DPED."
        )
    layout = find_layout(folder)
    if layout is None:
        raise DpedtoolError(
            f"There is nothing to verify in {folder}: name a folder that `dpedtool split` wrote, with photos.parquet, "
            "or one with images laid out as DPED, in training_data and test_data."
        )
    return layout
