"""Ways to enhance a whole photo, side by side: how each is started, what it needs, and how its photo differs.

Each way is a separate process that runs `benchmarks.enhancing`. If a process fails, or the system ends it because
memory runs out, its row says so.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.output import say
from benchmarks.usage import ROOT, Usage, measure

Size = tuple[int, int]
"""(width, height) in px."""

LONGEST_REASON = 160


@dataclass(frozen=True)
class Way:
    """A tool and its settings."""

    title: str
    words: tuple[str, ...]
    """Arguments for `benchmarks.enhancing`."""
    module: str = ""
    """Module of another tool, which a separate interpreter may have; PyTorch and dpedtool run in this one."""
    reads_onnx: bool = False


REFERENCE = "eager-float32"
_BFLOAT16 = ("--precision", "bfloat16")
_3GB = ("--max-memory", "3e9")
WAYS: Mapping[str, Way] = {
    REFERENCE: Way("eager PyTorch, float32", ("eager",)),
    "eager-bfloat16": Way("eager PyTorch, bfloat16 by autocast", ("eager", *_BFLOAT16)),
    "dpedtool-float32": Way("dpedtool, float32", ("dpedtool",)),
    "dpedtool-float32-3GB": Way("dpedtool, float32, within 3 GB", ("dpedtool", *_3GB)),
    "dpedtool-bfloat16": Way("dpedtool, bfloat16", ("dpedtool", *_BFLOAT16)),
    "dpedtool-bfloat16-3GB": Way("dpedtool, bfloat16, within 3 GB", ("dpedtool", *_BFLOAT16, *_3GB)),
    "dpedtool-bfloat16-least": Way("dpedtool, bfloat16, the least memory", ("dpedtool", *_BFLOAT16, "--least-memory")),
    "onnxruntime": Way("onnxruntime, float32", ("onnxruntime",), "onnxruntime", reads_onnx=True),
    "openvino-float32": Way("OpenVINO, float32", ("openvino",), "openvino", reads_onnx=True),
    "openvino-bfloat16": Way("OpenVINO, bfloat16", ("openvino", *_BFLOAT16), "openvino", reads_onnx=True),
    "tensorflow": Way("TensorFlow, the released code's graph, float32", ("tensorflow",), "tensorflow"),
}
"""By name; the reference, which the others are compared with, is first."""


@dataclass(frozen=True)
class Bench:
    """The files and the interpreter that all ways use."""

    weights: Path
    onnx: Path
    """File of the graph; it exists only if a way needs it."""
    scratch: Path
    """Folder on a disk, for photos and for data that does not fit in memory."""
    other_python: str = sys.executable
    """The interpreter of the other tools."""

    def photo(self, size: Size) -> Path:
        """Return the file of the photo of a size."""
        return self.scratch / f"photo-{size[0]}x{size[1]}.npy"

    def enhanced(self, size: Size, way: str) -> Path:
        """Return the file of the photo that a way has enhanced."""
        return self.scratch / f"enhanced-{size[0]}x{size[1]}-{way}.npy"


@dataclass
class WayFigures:
    """One way with photos of one size; lists hold one value for each repetition."""

    way: str
    size: Size
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    times_reference: list[float] = field(default_factory=list)
    """Speed relative to the reference in the same repetition."""
    peak_bytes: int = 0
    """Peak memory of the process, the largest of the repetitions."""
    memory_bytes: int | None = None
    """Its memory limit; None without a limit."""
    scratch_bytes: int = 0
    largest: int | None = None
    """Difference from the reference's photo, in grey levels of 255; None without a photo to compare with."""
    mean: float | None = None
    version: str = ""
    failure: str = ""
    """Why there are no figures, as a clause; empty if there are figures."""


def side_by_side(bench: Bench, sizes: Sequence[Size], ways: Sequence[str], repeats: int) -> list[WayFigures]:
    """Run every way on every size, in turn; a way that failed is not tried again."""
    figures = {(size, way): WayFigures(way, size) for size in sizes for way in WAYS if way in ways}
    for repeat in range(repeats):
        for (size, way), row in figures.items():
            if row.failure:
                continue
            say(f"{size[0]}x{size[1]}, {WAYS[way].title}: {repeat + 1} of {repeats}")
            _add(row, bench, figures.get((size, REFERENCE)))
    return list(figures.values())


def _add(row: WayFigures, bench: Bench, reference: WayFigures | None) -> None:
    """Run a way once more, and note its costs and how its photo differs."""
    report = bench.scratch / "report.json"
    usage = run(bench, row.size, row.way, report)
    row.peak_bytes = max(row.peak_bytes, usage.peak_bytes)
    row.failure = failure(usage)
    if row.failure:
        return
    told = json.loads(report.read_text(encoding="utf-8"))
    row.wall_s.append(told["wall_s"])
    row.cpu_s.append(told["cpu_s"])
    row.version, row.scratch_bytes, row.memory_bytes = (
        told[name] for name in ("version", "scratch_bytes", "memory_bytes")
    )
    if reference is None or reference.failure:
        return
    row.times_reference.append(reference.wall_s[-1] / row.wall_s[-1])
    files = [bench.enhanced(row.size, way) for way in (row.way, REFERENCE)]
    row.largest, row.mean = difference(*files)


def run(bench: Bench, size: Size, way: str, report: Path, *more: str) -> Usage:
    """Enhance the photo of a size in one way, in a separate process that may use all processors.

    It gets `more` arguments beside those of the way.
    """
    chosen = WAYS[way]
    tool, *words = chosen.words
    command: list[str | Path] = [bench.other_python if chosen.module else sys.executable, "-m", "benchmarks.enhancing"]
    command += [tool, bench.photo(size), bench.enhanced(size, way), report]
    command += [
        "--network",
        bench.onnx if chosen.reads_onnx else bench.weights,
        "--scratch",
        bench.scratch,
        *words,
        *more,
    ]
    return measure(command, one_processor=False)


def failure(usage: Usage) -> str:
    """Return why a process has failed; empty if it succeeded."""
    if not usage.code:
        return ""
    if usage.code == -signal.SIGKILL:
        return "killed by the system, probably because memory ran out"
    lines = [line.strip() for line in usage.said.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit status {usage.code}").replace("|", "/")[:LONGEST_REASON]


def difference(first: Path, second: Path) -> tuple[int, float]:
    """Return the largest and the mean difference of two photos in .npy files, in grey levels."""
    largest, total, count = 0, 0.0, 0
    for left, right in _strips(np.load(first, mmap_mode="r"), np.load(second, mmap_mode="r")):
        apart = np.abs(left.astype(np.int16) - right)
        largest, total, count = max(largest, int(apart.max())), total + float(apart.sum()), count + apart.size
    return largest, total / count


def _strips(first: np.ndarray, second: np.ndarray, rows: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for top in range(0, len(first), rows):
        yield first[top : top + rows], second[top : top + rows]


def usable(ways: Sequence[str], other_python: str) -> list[str]:
    """Return the ways whose tool is installed, and report which ways are left out."""
    found = []
    for way in ways:
        # The graph is written by this interpreter and read by the other one.
        needed = [(other_python, WAYS[way].module)] + [(sys.executable, "onnx")] * WAYS[way].reads_onnx
        missing = [f"{python} has no {module}" for python, module in needed if module and not _has(python, module)]
        if missing:
            say(f"{' and '.join(missing)}: {way} is left out.")
        else:
            found.append(way)
    return found


def _has(python: str, module: str) -> bool:
    words = [python, "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"]
    return subprocess.run(words, cwd=ROOT, check=False).returncode == 0
