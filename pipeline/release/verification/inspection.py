"""Checks of every file of a release: it must be as listed, free of private data, and agree with the tables.

Worker processes do this: each checks a piece (a chunk of patches in all layouts) or a batch of other files at a time.
An image that is in several layouts is recognised by its SHA-256, and is scanned and decoded once.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.params import LayoutName, ReleaseParams
from dpedtool.dataset.photos.decoding import MOST_BYTES, decode_photo
from dpedtool.dataset.photos.formats.table import SUFFIXES
from dpedtool.dataset.tables import MOST_TABLE_BYTES
from dpedtool.pipeline.release.chunks import Chunk, as_facts, by_patch, content_of, read_rows_of
from dpedtool.pipeline.release.columns import CUT_SUMS, FACTS, LOOSE_SUMS, PATCHES, SCHEMAS, STACKS
from dpedtool.pipeline.release.description import SUMS
from dpedtool.pipeline.release.layouts import Layout, layouts_of
from dpedtool.pipeline.release.layouts.burst import Burst
from dpedtool.pipeline.release.privacy.scan import scan, scan_file
from dpedtool.pipeline.release.verification.archives import fault_of_unpacking, faults_of_parquet, faults_of_tar
from dpedtool.pipeline.release.verification.listing import one_line
from dpedtool.pipeline.release.verification.patch_images import Means, means_of, read_patch
from dpedtool.pipeline.release.verification.unclaimed import unclaimed_bytes

SIDES = {"phone": "the phone's image", "dslr": "the DSLR's image"}
ORDER: tuple[LayoutName, ...] = ("webdataset", "parquet", "burst", "dped")
"""The order in which the layouts of a piece are read: those with the images as they were cut come first."""
LOOSE: frozenset[LayoutName] = frozenset({"burst", "dped"})
"""Layouts of single files."""
_ANOTHER = f"does not have the SHA-256 that is in {PATCHES}"
_NO_SUM = f"has no SHA-256 in {PATCHES}"
_DAMAGED = (DpedtoolError, tarfile.TarError, pa.ArrowException, ValueError, LookupError, ArithmeticError, MemoryError)
"""What readers of archives raise for files that are damaged, or made to do harm."""


@dataclass(frozen=True)
class Piece:
    """A chunk of patches in all layouts of a release."""

    chunk: Chunk
    sums: Mapping[str, str | None]
    """SHA-256, hex, of each of its existing files; None if the file is not listed."""
    linked: frozenset[LayoutName] = frozenset()
    """Layouts that are not checked, since a folder on the way to their files is a link."""


@dataclass(frozen=True)
class Batch:
    """Files that hold no patches."""

    sums: Mapping[str, str | None]
    """As in a piece."""


@dataclass
class Found:
    """What was found in a piece or batch."""

    faults: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Files whose SHA-256 differs from the listed one."""
    files: int = 0
    patches: dict[LayoutName, int] = field(default_factory=dict)
    """Number of patches whose two images are correct, by layout."""
    encoded: int = 0
    """Number of patches of layout dped that were encoded again: their images are not the bytes that were cut."""

    def compare(self, name: str, sha256: str, listed: str | None) -> None:
        """Compare the SHA-256 of a file with the listed one. A file that is not listed has been reported already."""
        if listed not in (None, sha256):
            self.changed.add(name)
            self.faults.append(f"{name}: it is not the file that was released: its SHA-256 differs from {SUMS}.")

    def add(self, other: Found) -> None:
        """Add what was found elsewhere."""
        self.faults += other.faults
        self.changed |= other.changed
        self.files += other.files
        self.encoded += other.encoded
        for layout, patches in other.patches.items():
            self.patches[layout] = self.patches.get(layout, 0) + patches


@dataclass(frozen=True)
class Inspection:
    """What files are compared with. `look` is called for each piece and batch, in any process."""

    folder: Path
    params: ReleaseParams
    encoded: int
    """Number of patches that layout dped has encoded again, according to the release."""
    has_stacks: bool
    """Whether the release has a table of stacks, which has been checked."""
    size_px: int
    """Side of the phone's images."""
    target_px: int
    """Side of the DSLR's images and of further targets."""

    def look(self, work: Piece | Batch) -> Found:
        """Check a piece or a batch."""
        if isinstance(work, Piece):
            return _Reader(self, work).read()
        found = Found(files=len(work.sums))
        for name, listed in work.sums.items():
            _look_at_file(self.folder, name, listed, found)
        return found


@dataclass(frozen=True)
class _Image:
    """An image of a patch, and where it is."""

    file: str
    patch: str
    place: int
    """Place of the patch in its piece."""
    side: str
    cut: str
    """SHA-256 of the image as it was cut."""
    loose: str | None
    """SHA-256 of its file in layout dped, if the table has one."""

    @property
    def where(self) -> str:
        """The beginning of its faults."""
        return f"{self.file}: patch {self.patch}: {SIDES[self.side]}"


class _Reader:
    """Reads the files of one piece, layout by layout."""

    def __init__(self, inspection: Inspection, piece: Piece) -> None:
        self._at, self._piece, self._found = inspection, piece, Found()
        columns = ["patch_id", *CUT_SUMS.values(), *LOOSE_SUMS.values(), *FACTS]
        self._rows = read_rows_of(inspection.folder / PATCHES, piece.chunk, columns)
        self._names: list[str] = self._rows["patch_id"].to_pylist()
        self._cut = {side: self._rows[name].to_pylist() for side, name in CUT_SUMS.items()}
        self._loose = {side: self._rows[name].to_pylist() for side, name in LOOSE_SUMS.items()}
        stacks = by_patch(read_rows_of(inspection.folder / STACKS, piece.chunk)) if inspection.has_stacks else {}
        self._stacks = {name: as_facts(rows) for name, rows in stacks.items()}
        self._frames = {
            name: [row["image_sha256"] for row in rows if row["role"] != "base"] for name, rows in stacks.items()
        }
        """SHA-256 of the frames of each patch other than the base, and of its further targets, in their order."""
        self._whole: dict[tuple[str, int], Means] = {}
        """Decoded images, by SHA-256 and side in px."""
        self._seen: dict[tuple[int, str], Means] = {}
        """Images as they were cut, by place of the patch and by side."""

    def read(self) -> Found:
        layouts = layouts_of(self._at.params)
        for name in ORDER:
            if name in layouts and name not in self._piece.linked:
                self._found.patches[name] = self._read_layout(name, layouts[name])
        return self._found

    def _read_layout(self, name: LayoutName, layout: Layout) -> int:
        files = layout.files(self._piece.chunk)
        self._found.files += sum(file in self._piece.sums for file in files)
        try:
            if name not in LOOSE and not self._is_readable(name, files[0]):
                return 0
            return self._read_patches(name, layout, files)
        except OSError as error:
            self._found.faults.append(f"{files[0]}: it cannot be read: {error.strerror or error}.")
        except _DAMAGED as error:
            self._found.faults.append(f"{files[0]}: it is damaged: {one_line(error)}.")
        return 0

    def _is_readable(self, layout: LayoutName, name: str) -> bool:
        """Check a file of many patches as a whole, and return whether its patches can be read."""
        if name not in self._piece.sums:
            count = self._piece.chunk.count
            patches = "its patch" if count == 1 else f"its {count} patches"
            self._found.faults.append(f"{name}: it is missing, together with {patches}.")
            return False
        path = self._at.folder / name
        self._found.compare(name, file_sha256(path, MOST_TABLE_BYTES), self._piece.sums[name])
        if layout == "parquet" and (fault := fault_of_unpacking(path)):
            self._found.faults.append(f"{name}: {fault}")
            return False
        self._found.faults += scan_file(path, name)
        self._found.faults += [f"{name}: {fault}" for fault in unclaimed_bytes(path)]
        compare = faults_of_tar if layout == "webdataset" else faults_of_parquet
        stopping, others = compare(path, self._rows, self._stacks)
        self._found.faults += [f"{name}: {fault}" for fault in (*stopping, *others)]
        return not stopping

    def _read_patches(self, name: LayoutName, layout: Layout, files: list[str]) -> int:
        """Check the images of a layout, and return how many patches are correct."""
        first = self._piece.chunk.first
        called = [str(first + place) for place in range(len(self._names))] if name in LOOSE else self._names
        if isinstance(layout, Burst):
            self._check_descriptions(layout)
        places = {patch: place for place, patch in enumerate(called)}
        good = last = 0
        for images in layout.read(self._piece.chunk, self._at.folder):
            place = places.pop(images.name, None)
            if place is None or place < last:
                order = "it is here twice, or does not belong in this file" if place is None else "it is out of order"
                self._found.faults.append(f"{files[0]}: patch {images.name}: {order}.")
            if place is not None:
                last = max(last, place)
                own = self._files_of(name, layout, files, place)
                is_good = self._check_patch(name, own, place, {"phone": images.phone, "dslr": images.dslr})
                good += self._check_frames(name, own, place, images.frames) and is_good
        self._found.faults += [f"{files[0]}: patch {patch}: both images are missing." for patch in places]
        return good

    def _files_of(self, name: LayoutName, layout: Layout, files: list[str], place: int) -> list[str]:
        """Return the files of a patch's images: the phone's, further frames and targets, and the DSLR's as the last."""
        if isinstance(layout, Burst):
            number = self._piece.chunk.first + place
            chunk = self._piece.chunk
            return layout.files_of(chunk, number, chunk.frames[place], chunk.targets[place])[:-1]
        return [files[place], files[place + len(self._names)]] if name == "dped" else [files[0], files[0]]

    def _check_patch(self, layout: LayoutName, files: list[str], place: int, contents: Mapping[str, bytes]) -> bool:
        """Check both images of a patch, and return whether they are correct."""
        states: list[bool | None] = []
        for file, (side, content) in zip((files[0], files[-1]), contents.items(), strict=True):
            sums = self._cut[side][place], self._loose[side][place]
            image = _Image(file, self._names[place], place, side, *sums)
            if not content or file not in self._piece.sums:
                self._found.faults.append(f"{image.where} is missing.")
                states.append(None)
            elif layout == "dped":
                states.append(self._check_loose(image, content))
            else:
                self._check_single(layout, file, content)
                states.append(self._check_cut(image, content))
        good = None not in states
        self._found.encoded += good and False in states
        return good

    def _check_frames(self, layout: LayoutName, files: list[str], place: int, contents: tuple[bytes, ...]) -> bool:
        """Check the further frames of a patch, and return whether they are correct."""
        name, faults = self._names[place], len(self._found.faults)
        wanted = [] if layout == "dped" else self._frames.get(name, [])
        if len(contents) != len(wanted):
            self._found.faults.append(
                f"{files[0]}: patch {name}: it has {len(contents)} further frames and targets, but {STACKS} names "
                f"{len(wanted)}."
            )
        for index, (content, sha256) in enumerate(zip(contents, wanted, strict=False), start=1):
            file = files[index] if layout == "burst" else files[0]
            where = f"{file}: patch {name}: {self._what(place, index)}"
            if not content or file not in self._piece.sums:
                self._found.faults.append(f"{where} is missing.")
                continue
            self._check_single(layout, file, content)
            found = hashlib.sha256(content).hexdigest()
            is_frame = index < self._piece.chunk.frames[place]
            self._look_at(where, content, found, self._at.size_px if is_frame else self._at.target_px)
            if found != sha256:
                self._found.faults.append(f"{where} does not have the SHA-256 that is in {STACKS}.")
        return len(self._found.faults) == faults

    def _what(self, place: int, index: int) -> str:
        """Return what the image is that stands at an index, from 1, after the base frame of a patch."""
        frames, targets = self._piece.chunk.frames[place], self._piece.chunk.targets[place]
        if index < frames or index - frames >= len(targets):
            return f"frame {index}"
        return f"further target {targets[index - frames]}"

    def _check_single(self, layout: LayoutName, file: str, content: bytes) -> None:
        """Compare a single file of layout burst with the listed one, and search it for private data."""
        if layout == "burst":
            self._found.compare(file, hashlib.sha256(content).hexdigest(), self._piece.sums[file])
            self._found.faults += scan(file, content)

    def _check_descriptions(self, layout: Burst) -> None:
        """Compare the descriptions of layout burst with the tables."""
        chunk, rows = self._piece.chunk, self._rows.select(["patch_id", *FACTS]).to_pylist()
        for number, facts, frames, targets in zip(chunk.numbers, rows, chunk.frames, chunk.targets, strict=True):
            name = layout.files_of(chunk, number, frames, targets)[-1]
            content = content_of(self._at.folder / name) if name in self._piece.sums else b""
            if not content:
                self._found.faults.append(f"{name}: it is missing.")
                continue
            self._check_single("burst", name, content)
            if content != layout.description(chunk, facts, self._stacks.get(facts["patch_id"], ())):
                self._found.faults.append(f"{name}: it differs from {PATCHES} or {STACKS}.")

    def _check_cut(self, image: _Image, content: bytes) -> bool | None:
        """Return True if the image is the one that was cut; else report what is wrong, and return None."""
        sha256 = hashlib.sha256(content).hexdigest()
        means = self._look_at(image.where, content, sha256, self._side_px(image))
        if sha256 != image.cut:
            self._found.faults.append(f"{image.where} {_ANOTHER}.")
            return None
        if means is None:
            return None
        self._seen.setdefault((image.place, image.side), means)
        return True

    def _check_loose(self, image: _Image, content: bytes) -> bool | None:
        """Compare a file of layout dped with the image that was cut.

        Returns True if the bytes are the same, and False if it was encoded again. Else it reports the fault, and
        returns None.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        self._found.compare(image.file, sha256, self._piece.sums[image.file])
        # An image that is also in an archive has been scanned there.
        side_px = self._side_px(image)
        self._found.faults += scan(image.file, content) if (sha256, side_px) not in self._whole else []
        means = self._look_at(image.where, content, sha256, side_px)
        if sha256 != image.loose:
            self._found.faults.append(f"{image.where} {_ANOTHER if image.loose else _NO_SUM}.")
            return None
        if means is None or sha256 == image.cut:
            return None if means is None else True
        seen = self._seen.get((image.place, image.side))
        if not self._at.encoded or (seen is not None and self._differ(means, seen)):
            self._found.faults.append(f"{image.where} does not show what was cut.")
            return None
        return False

    def _side_px(self, image: _Image) -> int:
        """Return the side that an image must have."""
        return self._at.target_px if image.side == "dslr" else self._at.size_px

    def _look_at(self, where: str, content: bytes, sha256: str, side_px: int) -> Means | None:
        """Return a small copy of an image if it is whole; else report what is wrong, and return None."""
        if (sha256, side_px) not in self._whole:
            image, fault = read_patch(content, side_px)
            if image is None:
                self._found.faults.append(f"{where} {fault}.")
                return None
            self._whole[sha256, side_px] = means_of(image)
        return self._whole[sha256, side_px]

    def _differ(self, one: Means, two: Means) -> bool:
        """Return whether two images differ by more grey levels, on average over their parts, than encoding explains."""
        quality = self._at.params.jpeg_quality
        # libjpeg's quantum of a block's mean, 17 at quality 50 (jcparam.c, jpeg_quality_scaling).
        quantum = 17 * (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
        return float(np.abs(one - two).mean()) > 3 + min(quantum, 255) / 4


def _look_at_file(folder: Path, name: str, listed: str | None, found: Found) -> None:
    """Check a file that holds no patches."""
    path = folder / name
    try:
        if path.suffix.lower() in SUFFIXES and path.stat().st_size <= MOST_BYTES:
            content = path.read_bytes()
            found.compare(name, hashlib.sha256(content).hexdigest(), listed)
            found.faults += scan(name, content)
            decode_photo(content, Path(name))
        else:
            found.compare(name, file_sha256(path, MOST_TABLE_BYTES), listed)
            fault = fault_of_unpacking(path) if path.suffix == ".parquet" else ""
            # The faults of the tables have been reported already.
            found.faults += [f"{name}: {fault}"] if fault and name not in SCHEMAS else []
            if not fault:
                found.faults += scan_file(path, name)
                found.faults += [f"{name}: {clause}" for clause in unclaimed_bytes(path)]
    except Rejection as rejection:
        found.faults.append(rejection.detail)
    except OSError as error:
        found.faults.append(f"{name}: it cannot be read: {error.strerror or error}.")
    except _DAMAGED as error:
        found.faults.append(f"{name}: it is damaged: {one_line(error)}.")
