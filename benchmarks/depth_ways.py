"""Four ways to make patches of scenes with depth: each way's pairs, patches and cost, on the same photos."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cutting import images
from benchmarks.depth_judging import STRIDE
from benchmarks.sets import PhotoSet
from benchmarks.usage import measure
from benchmarks.yardstick import Image
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.geometry.aligned import required

WITHOUT_FILTERS = tuple(f"patches.max_{name}=1" for name in ("hidden", "jump", "unfollowed", "squeezed", "stretched"))
"""Switch off what rejects windows because of depth."""


@dataclass(frozen=True, eq=False)
class CutPatch:
    """A patch that a way keeps."""

    dslr: Image
    """The DSLR's image (S, S, 3), BGR uint8."""
    corner: tuple[float, float]
    """x, y of the top left px of the phone's image before it is turned, in px of the phone's photo."""
    turn_deg: float = 0.0
    """How far the phone's image is turned about its middle."""


@dataclass(frozen=True, eq=False)
class WayResult:
    """What one way makes of a set of photos."""

    way: str
    aligned: set[str]
    """File names of the pairs that were aligned."""
    patches: dict[str, list[CutPatch]]
    """By file name; pairs without patches are missing."""
    cpu_s: float
    """CPU-seconds for all pairs: align and cut, with the starts of the programs."""


def run_all(photos: PhotoSet, work: Path) -> list[WayResult]:
    """Run all ways on a set: the three that start from one transform for the whole photo share that alignment."""
    whole, local = work / "whole", work / "local"
    whole_s = _align(photos, whole, "align.local=false")
    local_s = _align(photos, local)
    return [
        _cut("one transform, no depth filters", whole, whole_s, work / "old", *WITHOUT_FILTERS),
        _cut("one transform, mode dped", whole, whole_s, work / "dped", "patches.mode=dped"),
        _warp_plainly("one transform, plain DIS warp", whole, whole_s, work / "flow"),
        _cut("dpedtool, defaults", local, local_s, work / "ours"),
    ]


def _align(photos: PhotoSet, out: Path, *settings: str) -> float:
    """Align a set as `dpedtool align` does, and return the CPU-seconds."""
    command: list[str | Path] = ["dpedtool", "align", photos.phone, photos.dslr, "-o", out, "--no-images"]
    return _run([*command, "--workers", "1", *_options(settings)], Alignment.table_in(out))


def _cut(way: str, aligned: Path, align_s: float, out: Path, *settings: str) -> WayResult:
    command: list[str | Path] = ["dpedtool", "patches", aligned, "-o", out, "--workers", "1"]
    cut_s = _run([*command, *_options((f"patches.stride_px={STRIDE}", *settings))], Patch.table_in(out))
    names = {row.phone_path.name for row in _alignments(aligned) if row.status == "aligned"}
    patches = defaultdict(list)
    for row in read_rows(Patch.table_in(out), Patch):
        if row.status == "accepted":
            corner = required(row.phone_x), required(row.phone_y)
            patches[row.phone_path.name].append(CutPatch(images(row)[1], corner, row.angle_deg or 0.0))
    return WayResult(way, names, dict(patches), align_s + cut_s)


def _warp_plainly(way: str, aligned: Path, align_s: float, out: Path) -> WayResult:
    warp_s = _run(["benchmarks.depth_flow", aligned, "-o", out], out)
    names = {row.phone_path.name for row in _alignments(aligned) if row.dslr_from_phone is not None}
    return WayResult(way, names, {name: _read_windows(out / name / "dslr") for name in names}, align_s + warp_s)


def _read_windows(folder: Path) -> list[CutPatch]:
    patches = []
    for path in sorted(folder.iterdir()):
        x, y = path.stem.split("-")
        patches.append(CutPatch(load_photo(path), (float(x), float(y))))
    return patches


def _alignments(folder: Path) -> list[Alignment]:
    return read_rows(Alignment.table_in(folder), Alignment)


def _options(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("-S", setting)]


def _run(command: Sequence[str | Path], result: Path) -> float:
    """Run a module on one processor, and return the CPU-seconds; a run that rejects all pairs has a result, too."""
    used = measure([sys.executable, "-m", *command])
    if used.code and not (used.code == 1 and result.exists()):
        raise RuntimeError(f"{command[0]} failed with status {used.code}:\n{used.said}")
    return used.cpu_s
