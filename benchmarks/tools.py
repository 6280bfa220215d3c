"""The compared tools: how each is started, and how its results are read from its files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from benchmarks import plain
from benchmarks.sets import PhotoSet, first
from benchmarks.usage import Usage, measure
from benchmarks.yardstick import Image, Mapping, Mask, Points
from dpedtool.dataset.schema import Alignment
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.geometry import aligned
from dpedtool.pipeline.geometry.homographies import transform_points

HUGIN_OPTIONS = ("-f", "60", "-m", "-d", "-i", "-x", "-y", "-z", "-c", "20", "-s", "2")
"""The best of about twenty sets of options on six pairs of City100; no set aligned all simulated pairs.

Lens and position of the DSLR are fitted to 20 points per cell, found on photos reduced to a quarter of the width.
"""


@dataclass(frozen=True)
class View:
    """An aligned pair: two photos of equal size, and a mask of the area that both cover."""

    phone: Image
    dslr: Image
    mask: Mask


@dataclass(frozen=True)
class Found:
    """A tool's result for one pair."""

    view: Callable[[], View]
    dslr_from_phone: Mapping


class Tool(Protocol):
    """A tool that registers photos without writing images, so that all tools are timed on the same work."""

    name: str

    def run(self, photos: PhotoSet, out: Path) -> Usage:
        """Register all pairs in a fresh folder."""
        ...

    def idle(self, photos: PhotoSet, out: Path) -> Usage:
        """Do the same as `run` without a pair to register, to measure the cost of the start."""
        ...

    def found(self, photos: PhotoSet, out: Path) -> dict[str, Found]:
        """Return the results of a run by file name; pairs that it could not align are missing."""
        ...


class Ours:
    """`dpedtool align`."""

    name = "dpedtool align"

    def run(self, photos: PhotoSet, out: Path) -> Usage:
        """Register all pairs in one process."""
        return self.with_workers(photos, out, 1, one_processor=True)

    def with_workers(self, photos: PhotoSet, out: Path, workers: int, *, one_processor: bool = False) -> Usage:
        """Register all pairs in this number of processes."""
        align: list[str | Path] = [sys.executable, "-m", "dpedtool", "align", photos.phone, photos.dslr, "-o", out]
        return _told(measure([*align, "--no-images", "--workers", str(workers)], one_processor=one_processor), out)

    def idle(self, photos: PhotoSet, out: Path) -> Usage:
        """Run again on one finished pair."""
        one = first(photos, 1, out / "photos")
        self.run(one, out / "out")
        return self.run(one, out / "out")

    def found(self, photos: PhotoSet, out: Path) -> dict[str, Found]:
        """Read the table of alignments."""
        del photos
        rows = [row for row in read_rows(Alignment.table_in(out), Alignment) if row.status == "aligned"]
        return {row.phone_path.name: Found(partial(_our_view, row), partial(our_mapping, row)) for row in rows}


class Plain:
    """`benchmarks/plain.py`."""

    name = "plain OpenCV script"

    def run(self, photos: PhotoSet, out: Path) -> Usage:
        """Register all pairs in one process."""
        return _told(measure([sys.executable, plain.__file__, photos.phone, photos.dslr, "-o", out, "--no-images"]))

    def idle(self, photos: PhotoSet, out: Path) -> Usage:
        """Run on empty folders."""
        return self.run(first(photos, 0, out / "photos"), out / "out")

    def found(self, photos: PhotoSet, out: Path) -> dict[str, Found]:
        """Read the homographies, and warp and crop as the script does."""
        matrices = json.loads((out / plain.RESULT).read_text(encoding="utf-8"))
        known = {name: np.array(matrix) for name, matrix in matrices.items() if matrix is not None}
        return {
            name: Found(partial(_plain_view, photos, name, matrix), partial(transform_points, matrix))
            for name, matrix in known.items()
        }


class Hugin:
    """Hugin's `align_image_stack`, one process per pair; it needs photos of equal size."""

    name = "Hugin align_image_stack"

    @staticmethod
    def is_installed() -> bool:
        """Whether the needed commands can be found."""
        return all(shutil.which(command) for command in ("align_image_stack", "nona", "pano_trafo"))

    def run(self, photos: PhotoSet, out: Path) -> Usage:
        """Register the pairs one after the other; the phone's photo is not changed."""
        out.mkdir(parents=True, exist_ok=True)
        used = [self._register(photos, name, out) for name in photos.names]
        return Usage(
            code=0,
            cpu_s=sum(usage.cpu_s for usage in used),
            wall_s=sum(usage.wall_s for usage in used),
            peak_bytes=max(usage.peak_bytes for usage in used),
            said="".join(usage.said for usage in used),
        )

    def _register(self, photos: PhotoSet, name: str, out: Path) -> Usage:
        project = _project(out, name)
        project.unlink(missing_ok=True)
        pair = photos.phone / name, photos.dslr / name
        # Without --align-to-first the photos would be ordered by exposure.
        return measure(["align_image_stack", *HUGIN_OPTIONS, "--align-to-first", "-p", project, *pair])

    def idle(self, photos: PhotoSet, out: Path) -> Usage:
        """Ask for its help, which only starts the program."""
        del photos, out
        return measure(["align_image_stack", "-h"])

    def found(self, photos: PhotoSet, out: Path) -> dict[str, Found]:
        """Read the project files; pairs that could not be aligned have no project file."""
        projects = {name: _project(out, name) for name in photos.names}
        return {
            name: Found(partial(_hugin_view, project), partial(_hugin_mapping, project))
            for name, project in projects.items()
            if project.exists()
        }


def our_mapping(row: Alignment, points: Points) -> Points:
    """Map points (N, 2) of the phone photo to the DSLR photo, by a row of the table of alignments."""
    return aligned.map_points(row, points)


def _our_view(row: Alignment) -> View:
    phone, dslr = aligned.aligned_images(row)
    return View(phone, dslr, np.ones(phone.shape[:2], bool))


def _plain_view(photos: PhotoSet, name: str, matrix: Points) -> View:
    phone, dslr = plain.aligned(*photos.pair(name), matrix)
    return View(phone, dslr, np.ones(phone.shape[:2], bool))


def _hugin_view(project: Path) -> View:
    """Warp both photos to the panorama, which equals the phone's photo."""
    subprocess.run(["nona", "-o", project.with_suffix(""), project], check=True, capture_output=True)
    files = [project.with_name(f"{project.stem}{index:04d}.tif") for index in (0, 1)]
    images = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]
    for file in files:
        file.unlink()
    if any(image is None for image in images):
        raise OSError(f"nona wrote no images of {project}")
    phone, dslr = (np.asarray(image, np.uint8) for image in images)
    mask = (phone[..., 3] > 0) & (dslr[..., 3] > 0)
    return View(np.ascontiguousarray(phone[..., :3]), np.ascontiguousarray(dslr[..., :3]), mask)


def _hugin_mapping(project: Path, points: Points) -> Points:
    """Map points of the phone photo, which equal those of the panorama, to the other photo."""
    asked = "".join(f"{x:.6f} {y:.6f}\n" for x, y in points)
    done = subprocess.run(["pano_trafo", "-r", project, "1"], input=asked, check=True, capture_output=True, text=True)
    return np.array(done.stdout.split(), np.float64).reshape(-1, 2)


def _project(out: Path, name: str) -> Path:
    return out / f"{Path(name).stem}.pto"


def _told(usage: Usage, out: Path | None = None) -> Usage:
    """Return what a run used, or raise if it has no result; a run that could not align any pair has a result."""
    if usage.code and not (out and usage.code == 1 and Alignment.table_in(out).exists()):
        raise RuntimeError(f"a tool failed with status {usage.code}:\n{usage.said}")
    return usage
