"""Registration: dpedtool compared with a plain OpenCV script and with Hugin, on the same photos in the same run.

    python -m benchmarks.align            # make bench-align
    python -m benchmarks.align --quick    # a quick try with a few pairs

The benchmark prints Markdown tables and writes them to align.md next to this file, and the figures of every pair to
align.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from benchmarks import sets, table
from benchmarks.output import FOLDER, fresh, leave, say, versions
from benchmarks.sets import PhotoSet
from benchmarks.table import PairFigures, SetFigures, ToolFigures
from benchmarks.tools import HUGIN_OPTIONS, Found, Hugin, Ours, Plain, Tool, View
from benchmarks.yardstick import residual, truth_error

DISTORTIONS = (0.0, 0.003)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.quick:
        options.pairs, options.rig_pairs, options.timed, options.repeats = 4, 2, 2, 1
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        figures = [compare(photos, tools, work, options) for photos, tools in _matches(work, options)]
    if not figures:
        sys.exit("Nothing was measured: choose a set that exists, such as --sets rig.")
    record = [dataclasses.asdict(one) for one in figures]
    leave(options.out, "align", table.as_markdown(figures, _notes(options)), record)


def compare(photos: PhotoSet, tools: Sequence[Tool], work: Path, options: argparse.Namespace) -> SetFigures:
    """Align all photos of a set with every tool, and time the tools in turn on the first photos."""
    few = sets.first(photos, options.timed, work / "timed")
    shapes = [image.shape for image in photos.pair(photos.names[0])]
    figures = SetFigures(
        title=photos.title,
        phone_px=(shapes[0][1], shapes[0][0]),
        dslr_px=(shapes[1][1], shapes[1][0]),
        timed_pairs=len(few.names),
        tools=[_quality(photos, tool, work) for tool in tools],
    )
    for repetition in range(options.repeats):
        say(f"{photos.title}: timing, repetition {repetition + 1} of {options.repeats}")
        _time(few, tools, figures.tools, work)
        if not photos.equal_size:
            _time_workers(photos, figures, work)
    return figures


def _quality(photos: PhotoSet, tool: Tool, work: Path) -> ToolFigures:
    say(f"{photos.title}: {tool.name}, {len(photos.names)} pairs")
    out = fresh(work / "out")
    used = tool.run(photos, out)
    found = tool.found(photos, out)
    views = {name: found[name].view() for name in photos.names if name in found}
    # The plain script leaves an empty crop of an upside-down pair: without images it is not aligned.
    aligned = [_figures(photos, name, view, found[name]) for name, view in views.items() if view.phone.size]
    return ToolFigures(tool.name, len(photos.names), aligned, peak_bytes=used.peak_bytes)


def _figures(photos: PhotoSet, name: str, view: View, found: Found) -> PairFigures:
    height, width = photos.pair(name)[0].shape[:2]
    true = photos.true_mapping(name)
    return PairFigures(
        name=name,
        residual=residual(view.phone, view.dslr, view.mask),
        frame=float(view.mask.sum() / (width * height)),
        error=truth_error(found.dslr_from_phone, true, photos.common_points(name)) if true else None,
    )


def _time(photos: PhotoSet, tools: Sequence[Tool], figures: Sequence[ToolFigures], work: Path) -> None:
    """Time each tool once, one after the other, so that a slow moment of the machine affects all of them."""
    for tool, figure in zip(tools, figures, strict=True):
        idle_s = tool.idle(photos, fresh(work / "out")).cpu_s
        used_s = tool.run(photos, fresh(work / "out")).cpu_s
        started = len(photos.names) if isinstance(tool, Hugin) else 1
        figure.idle_s.append(idle_s)
        figure.cpu_s.append((used_s - idle_s * started) / len(photos.names))
        figure.times_ours.append(figure.cpu_s[-1] / figures[0].cpu_s[-1])


def _time_workers(photos: PhotoSet, figures: SetFigures, work: Path) -> None:
    for workers in (1, 2):
        used = Ours().with_workers(photos, fresh(work / "out"), workers)
        figures.wall_s.setdefault(workers, []).append(used.wall_s)


def _matches(work: Path, options: argparse.Namespace) -> Iterator[tuple[PhotoSet, list[Tool]]]:
    """Yield each set of photos with the tools that can read it, dpedtool first."""
    hugin = not options.skip_hugin and Hugin.is_installed()
    for number, photos in enumerate(_photo_sets(work, options)):
        yield photos, [Ours(), Plain()]
        if hugin:
            yield sets.equal_sizes(photos, work / f"equal {number}"), [Ours(), Hugin()]


def _photo_sets(work: Path, options: argparse.Namespace) -> Iterator[PhotoSet]:
    if "real" in options.sets:
        if photos := sets.city100(work, options.pairs):
            yield photos
        else:
            say(f"There is no City100 in {sets.real_folder()}: set $DPEDTOOL_REAL_DATA to its folder for real photos.")
    if "rig" in options.sets:
        for k1 in DISTORTIONS:
            say(f"simulating {options.rig_pairs} pairs of 3.1 and 12 MP, k1 = {k1:g}")
            photos = sets.rig(options.keep or work, options.rig_pairs, k1)
            yield sets.first(photos, options.rig_pairs, work / f"rig {k1:g}")


def _notes(options: argparse.Namespace) -> list[str]:
    how = f"Times are medians of {options.repeats} repetitions over the first {options.timed} pairs of a set."
    plain = "The plain script is benchmarks/plain.py: SIFT, FLANN, ratio 0.75 and RANSAC with OpenCV's defaults."
    hugin = (
        "Hugin needs photos of one size, so dpedtool is also run on resized photos. Hugin's options are "
        f"`{' '.join(HUGIN_OPTIONS)}`."
    )
    if options.skip_hugin or not Hugin.is_installed():
        hugin = "Hugin was left out: it is not installed, or --skip-hugin was given."
    return [f"{versions()} {how}", f"{plain} {hugin}"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.align", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", type=lambda text: text.split(","), default=["real", "rig"], help="real, rig or both")
    parser.add_argument("--pairs", type=int, default=50, help="pairs of City100")
    parser.add_argument("--rig-pairs", type=int, default=8, help="simulated pairs, each without and with distortion")
    parser.add_argument("--timed", type=int, default=5, help="pairs of each set that are timed")
    parser.add_argument("--repeats", type=int, default=3, help="how often they are timed")
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument("--skip-hugin", action="store_true", help="leave Hugin out even if it is installed")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep simulated photos there and reuse them")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
