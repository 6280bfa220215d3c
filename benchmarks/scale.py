"""Sessions of many pairs: what each stage takes for a pair, and how that grows with the number of pairs.

    python -m benchmarks.scale                     # make bench-scale: 250, 1000 and 4000 pairs
    python -m benchmarks.scale --quick             # a quick look with 10 and 20 pairs
    python -m benchmarks.scale --pairs 22000       # as many pairs as DPED has; hours

The benchmark prints a Markdown table and writes it to scale.md next to this file, and the figures to scale.json. The
photos are simulated and small, so that what every pair costs besides its pixels is seen.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from benchmarks.output import FOLDER, leave, say, versions
from benchmarks.table import markdown
from benchmarks.usage import Usage, watch
from dpedtool.dataset.photos.pixels import Image
from dpedtool.pipeline.rig import Camera
from dpedtool.pipeline.rig.camera_files import save_photo

PAIRS = (250, 1000, 4000)
QUICK = (10, 20)
PHONE = Camera(name="phone", width=320, height=240, focal_px=270)
DSLR = Camera(name="dslr", width=480, height=360, focal_px=400)
START = datetime(2024, 5, 4, 8)
SECONDS_APART = 37
"""Between two shots: no two pairs are near enough in time to be a burst."""


@dataclass(frozen=True)
class Command:
    """The command of a stage."""

    name: str
    words: list[str | Path]
    left: Path
    """The folder of what it makes."""


@dataclass(frozen=True)
class Stage:
    """One stage on one session."""

    name: str
    pairs: int
    cpu_s: float
    wall_s: float
    peak_bytes: int
    """Peak memory of the largest process."""
    files: int
    """Number of files that the stage left."""
    main_cpu_s: float = 0.0
    """What the main process took, which hands out the work of others."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    sizes = sorted(options.pairs or (QUICK if options.quick else PAIRS))
    rows: list[Stage] = []
    for pairs in sizes:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            say(f"making {pairs} pairs of photos")
            write_session(Path(folder), pairs)
            rows += [measured(command, pairs) for command in commands(Path(folder), Path(folder))]
    leave(options.out, "scale", as_markdown(rows), [dataclasses.asdict(row) for row in rows])


def write_session(folder: Path, pairs: int) -> None:
    """Write the photos of both cameras to `folder/phone` and `folder/dslr`, under equal names, with times."""
    for camera in (PHONE, DSLR):
        (folder / camera.name).mkdir(parents=True)
    for number in range(pairs):
        scene = _scene(number)
        for camera in (PHONE, DSLR):
            path = folder / camera.name / f"{number:05d}.jpg"
            save_photo(_seen(scene, camera, number), camera, path, START + timedelta(seconds=SECONDS_APART * number))


def _scene(number: int) -> Image:
    """Return detail of several sizes in all colours, (480, 640, 3); all scenes differ."""
    rng = np.random.default_rng(number)
    layers = [
        cv2.resize(rng.normal(size=(480 // cell, 640 // cell, 3)), (640, 480), interpolation=cv2.INTER_CUBIC)
        for cell in (4, 10, 40)
    ]
    return np.asarray(np.clip(128 + 35 * sum(layers), 0, 255), np.uint8)


def _seen(scene: Image, camera: Camera, number: int) -> Image:
    """Return a scene as a camera sees it, a little turned and with noise."""
    rng = np.random.default_rng([number, camera.width])
    height, width = scene.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-1, 1)), 1.1 * camera.width / width)
    centred = np.column_stack([turn[:, :2], turn[:, 2] + np.array([camera.width - width, camera.height - height]) / 2])
    small = cv2.warpAffine(scene, centred, (camera.width, camera.height), flags=cv2.INTER_AREA)
    return np.asarray(np.clip(small + rng.normal(0, 2, small.shape), 0, 255), np.uint8)


def commands(photos: Path, out: Path) -> list[Command]:
    """Return the commands of every stage that grows with the number of pairs, in their order.

    Parameters
    ----------
    photos
        A folder that `write_session` has filled.
    out
        Where the folders `results`, `release` and `report` go.

    """
    program: list[str | Path] = [sys.executable, "-m", "dpedtool"]
    said = ["-S", "release.name=bench", "-S", "release.licence=CC0-1.0"]
    results, release, report = out / "results", out / "release", out / "report"
    pairs, aligned, cut, splits = (results / name for name in ("pairs", "aligned", "patches", "splits"))
    stages: list[tuple[str, list[str | Path], Path]] = [
        ("pair", ["pair", photos / "phone", photos / "dslr", "-o", pairs], pairs),
        ("align", ["align", pairs, "-o", aligned, "--no-images"], aligned),
        ("patches", ["patches", aligned, "-o", cut / "phone"], cut / "phone"),
        ("split", ["split", cut, "-o", splits], splits),
        ("split --verify", ["split", "--verify", splits], splits),
        ("release build", ["release", "build", splits, "-o", release, *said], release),
        ("release verify", ["release", "verify", release], release),
        ("report", ["report", results, "-o", report], report),
    ]
    return [Command(name, [*program, *words], left) for name, words, left in stages]


def measured(command: Command, pairs: int) -> Stage:
    """Run a command on a session of so many pairs, and return what it took; exit with its output if it fails."""
    say(f"{pairs} pairs: {command.name}")
    usage: Usage = watch(command.words)
    if usage.code:
        sys.exit(f"{command.name} failed:\n{usage.said}")
    files = sum(path.is_file() for path in command.left.rglob("*"))
    return Stage(command.name, pairs, usage.cpu_s, usage.wall_s, usage.peak_bytes, files, usage.main_cpu_s)


def as_markdown(rows: Sequence[Stage]) -> str:
    """Return the table, and what its columns mean."""
    head = f"# Sessions of many pairs\n\n{versions()} Photos of 320x240 and 480x360 px.\n\n{_MEANING}"
    return head + markdown(_COLUMNS, [_cells(row, rows) for row in rows]) + "\n"


_MEANING = """\
The commands are run as a user runs them, with as many processes as processors, once each. `of it main` is what the
main process took, its start included, while others did the work. `memory` is the peak of the largest process. `growth`
is the exponent by which CPU-seconds have grown since the session before: 1 is linear, 2 quadratic, and less than 1 is
due to the start, which takes equally long in all sessions.

"""
_COLUMNS = ("stage", "pairs", "wall s", "CPU-s", "CPU-ms a pair", "of it main", "growth", "memory", "files a pair")


def growth(row: Stage, rows: Iterable[Stage]) -> float | None:
    """Return the exponent of a stage's CPU-seconds since the next smaller session; None for the smallest."""
    same = sorted((other for other in rows if other.name == row.name), key=lambda other: other.pairs)
    for smaller, larger in pairwise(same):
        if larger == row:
            return math.log(larger.cpu_s / smaller.cpu_s) / math.log(larger.pairs / smaller.pairs)
    return None


def _cells(row: Stage, rows: Sequence[Stage]) -> list[str]:
    exponent = growth(row, rows)
    return [
        *(row.name, str(row.pairs), f"{row.wall_s:.0f}", f"{row.cpu_s:.1f}", f"{1000 * row.cpu_s / row.pairs:.1f}"),
        f"{1000 * row.main_cpu_s / row.pairs:.1f}",
        *("" if exponent is None else f"{exponent:.2f}", f"{row.peak_bytes / 1e9:.2f} GB"),
        f"{row.files / row.pairs:.2f}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--pairs", type=int, nargs="+", metavar="N", help="sizes of the sessions; by default 250 to 4000"
    )
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="folder for sessions, which are removed afterwards")
    parser.add_argument("--quick", action="store_true", help="10 and 20 pairs; do not quote the figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
