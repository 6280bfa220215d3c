"""Folders in the layout of DPED, made by whomever: what can be checked of them, and that it proves little.

    <phone>/training_data/<camera>/N.jpg                 one folder for the phone's patches, one for the DSLR's
    <phone>/test_data/patches/<camera>/N.jpg
    <phone>/test_data/full_size_test_images/N.jpg

Such a folder names neither scenes nor photos nor times, so that nobody can prove from it that no scene is on two
sides. Files and pixels that are on both can be found, and patches that are nearly the same, in the same place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dataset.errors import DpedtoolError, Rejection
from dataset.photos import decode_photo
from dataset.progress import track
from dataset.stored import Grey
from dataset.verification import Verdict

Floats = npt.NDArray[np.float32]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
TRAINING, VALIDATION, TEST = "training_data", "validation_data", "test_data"
PATCHES, FULL_SIZE = "patches", "full_size_test_images"
BLOCK = 2048
"""Training patches that are held at a time."""
TEST_BLOCK = 8192
SIDE = 16
DETAIL_SIDE_PX = 96
ALIKE = 0.95
"""Correlation of 16 x 16 means from which two patches are looked at closely."""
SAME_DETAIL = 0.6
"""Correlation of their detail that makes them nearly the same: the third lowest of 3 x 3 parts, since a straight edge
at the same place may be felt in six of them."""
DETAIL_PX = 3.0
"""What is finer than this Gaussian is detail."""
MIN_CONTRAST = 4.0
"""Patches of a smaller standard deviation, in grey levels, all look alike."""
NEAREST = 3
"""Test patches that each training patch is compared with closely."""


@dataclass(frozen=True)
class Layout:
    """The images of a folder, by what they are for."""

    cameras: Sequence[Mapping[str, Sequence[Path]]]
    """Folders whose images belong together by name: by camera."""
    training: Sequence[Path]
    test: Sequence[Path]
    full_size: Sequence[Path]
    others: Sequence[Path]
    """Images of folders that do not say what they are for."""


@dataclass(frozen=True, eq=False)
class _Patch:
    path: Path
    file: bytes
    pixels: bytes
    means: Floats
    """(SIDE ** 2,), of mean 0 and length 1; all 0 where there is too little contrast."""


@dataclass
class _Findings:
    faults: list[str] = field(default_factory=list)
    unreadable: int = 0
    plain: int = 0


def find_layout(folder: Path) -> Layout | None:
    """Return the images of a folder in the layout of DPED, or of plain folders of images; None where there are none."""
    phones = [folder] if _is_phone(folder) else [path for path in _folders(folder) if _is_phone(path)]
    if phones:
        parts = [[_by_camera(phone / TRAINING), _by_camera(phone / TEST / PATCHES)] for phone in phones]
        layout = Layout(
            cameras=[cameras for part in parts for cameras in part if cameras],
            training=[path for part in parts for paths in part[0].values() for path in paths],
            test=[path for part in parts for paths in part[1].values() for path in paths],
            full_size=[path for phone in phones for path in _images(phone / TEST / FULL_SIZE)],
            others=[],
        )
        return layout if layout.training or layout.test or layout.full_size else None
    found = {name: images for name, images in _by_camera(folder).items() if images}
    cameras = found or ({folder.name: _images(folder)} if _images(folder) else {})
    if not cameras:
        return None
    return Layout([cameras], [], [], [], [path for paths in cameras.values() for path in paths])


def check_layout(layout: Layout) -> Verdict:
    """Look for what is on both sides; what is found is a leak, but nothing found is no proof."""
    findings = _Findings()
    _check_mates(layout, findings)
    test = _read_test(layout, findings)
    for block in _blocks(layout.training, findings):
        _compare(block, test, findings)
    for path in track([*layout.full_size, *layout.others], "Read", len(layout.full_size) + len(layout.others)):
        _read(path, findings)
    return Verdict(findings.faults, _said(layout, findings), is_proof=False)


def _said(layout: Layout, findings: _Findings) -> list[str]:
    said = [
        "This folder cannot be verified: it names neither scenes nor photos nor times, so nobody can tell from it "
        "whether a scene is on two sides.",
    ]
    if layout.training and layout.test:
        said.append(
            f"Checked instead: {len(layout.training)} training images against {len(layout.test)} test images, of all "
            "phones and cameras, for equal files, equal pixels, and nearly equal content in the same place "
            f"({findings.plain} too plain for the last)."
        )
        said.append("Not checked: the same content shifted, and from where in a full-size photo a patch comes.")
    else:
        said.append(_one_side(layout))
    total = len(layout.training) + len(layout.test) + len(layout.full_size) + len(layout.others)
    said.append(f"Read: {total} images, {findings.unreadable} of them unreadable.")
    return said


def _one_side(layout: Layout) -> str:
    if layout.others:
        return "It does not say what its images are for, so there are no two sides to compare."
    return f"It holds {'test' if layout.test else 'training'} images alone, so there is nothing to compare them with."


def _check_mates(layout: Layout, findings: _Findings) -> None:
    for cameras in layout.cameras:
        names = {camera: {path.stem for path in paths} for camera, paths in cameras.items()}
        every = set().union(*names.values())
        folder = next((paths[0].parent.parent for paths in cameras.values() if paths), Path())
        for camera, paths in sorted(cameras.items()):
            missing = sorted(every - names[camera])
            if missing and not paths:
                findings.faults.append(f"{folder / camera} holds no image, but the folder beside it does.")
            else:
                findings.faults += [
                    f"{folder / camera} has no image {name}, as the folder beside it does." for name in missing
                ]


class _Test:
    """The test patches: what they are equal to, and what they look like."""

    def __init__(self, patches: Sequence[_Patch]) -> None:
        self.files = {patch.file: patch.path for patch in patches}
        self.pixels = {patch.pixels: patch.path for patch in patches}
        self.paths = [patch.path for patch in patches]
        self.means = np.stack([patch.means for patch in patches]) if patches else np.zeros((0, SIDE**2), np.float32)
        self.detail: Callable[[Path], Floats] = lru_cache(4096)(_read_detail)


def _read_test(layout: Layout, findings: _Findings) -> _Test:
    return _Test([patch for block in _blocks(layout.test, findings) for patch in block])


def _blocks(paths: Sequence[Path], findings: _Findings) -> Iterator[list[_Patch]]:
    block: list[_Patch] = []
    for path in track(paths, "Read", len(paths)):
        if patch := _read(path, findings):
            block.append(patch)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _compare(block: Sequence[_Patch], test: _Test, findings: _Findings) -> None:
    """Report every training patch of a block that is, or nearly is, a test patch; one line each."""
    if not test.paths:
        return
    near = _nearest(np.stack([patch.means for patch in block]), test.means)
    for patch, indices in zip(block, near, strict=True):
        if (equal := test.files.get(patch.file)) is not None:
            findings.faults.append(f"{patch.path} and {equal} are the same file.")
        elif (equal := test.pixels.get(patch.pixels)) is not None:
            findings.faults.append(f"{patch.path} and {equal} have the same pixels.")
        elif found := _same_detail(patch.path, [test.paths[index] for index in indices], test):
            findings.faults.append(f"{patch.path} and {found[0]} show the same: detail correlates by {found[1]:.2f}.")


def _nearest(ones: Floats, twos: Floats) -> list[list[int]]:
    """Return, for each row, the rows of `twos` that are alike, the most alike first, `NEAREST` of a block at most."""
    found: list[list[tuple[float, int]]] = [[] for _ in ones]
    for start in range(0, len(twos), TEST_BLOCK):
        products = ones @ twos[start : start + TEST_BLOCK].T
        for row in np.flatnonzero(products.max(axis=1) >= ALIKE):
            best = np.argsort(-products[row], kind="stable")[:NEAREST]
            found[row] += [(-float(products[row, i]), start + int(i)) for i in best if products[row, i] >= ALIKE]
    return [[index for _, index in sorted(row)[:NEAREST]] for row in found]


def _same_detail(path: Path, others: Sequence[Path], test: _Test) -> tuple[Path, float] | None:
    if not others:
        return None
    detail = _read_detail(path)
    for other in others:
        correlation = float(np.sort((detail * test.detail(other)).sum(axis=1))[2])
        if correlation >= SAME_DETAIL:
            return other, correlation
    return None


def _read(path: Path, findings: _Findings) -> _Patch | None:
    try:
        content = path.read_bytes()
        image = decode_photo(content, path)
    except (OSError, Rejection) as error:
        findings.unreadable += 1
        findings.faults.append(error.detail if isinstance(error, Rejection) else f"{path}: {error.strerror}.")
        return None
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    means = _unit(cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel())
    if grey.std() < MIN_CONTRAST:
        findings.plain += 1
        means = np.zeros_like(means)
    pixels = hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).digest()
    return _Patch(path, hashlib.blake2b(content, digest_size=16).digest(), pixels, means)


def _read_detail(path: Path) -> Floats:
    """What of an image, known to be readable, is finer than `DETAIL_PX`: (9, N), each part of mean 0 and length 1."""
    grey: Grey = np.asarray(cv2.cvtColor(decode_photo(path.read_bytes(), path), cv2.COLOR_BGR2GRAY), np.uint8)
    small = cv2.resize(grey.astype(np.float32), (DETAIL_SIDE_PX, DETAIL_SIDE_PX), interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), DETAIL_PX)
    third = DETAIL_SIDE_PX // 3
    return np.stack([_unit(detail[y : y + third, x : x + third].ravel()) for y in _THIRDS for x in _THIRDS])


_THIRDS = range(0, DETAIL_SIDE_PX, DETAIL_SIDE_PX // 3)


def _unit(values: npt.NDArray[Any]) -> Floats:
    centred = values - values.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32)


def _is_phone(folder: Path) -> bool:
    return (folder / TRAINING).is_dir() or (folder / TEST).is_dir()


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
    """Check a folder in the layout of DPED, or say that it is none.

    Raises
    ------
    DpedtoolError
        The folder is not there, or holds no images in that layout.

    """
    if not folder.is_dir():
        raise DpedtoolError(
            f"There is no folder {folder}: name one that `dpedtool split` wrote, or a data set like DPED."
        )
    layout = find_layout(folder)
    if layout is None:
        raise DpedtoolError(
            f"{folder} is neither what `dpedtool split` writes, which holds photos.parquet, nor holds it images laid "
            "out as DPED, in training_data and test_data: there is nothing to verify."
        )
    return check_layout(layout)
