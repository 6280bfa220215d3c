"""Scenes with depth: yield and true error of four ways to make patches, on the same photos in the same run.

    python -m benchmarks.depth            # make bench-depth
    python -m benchmarks.depth --quick    # a quick try with a few pairs

The benchmark prints Markdown tables and writes them to depth.md next to this file, and the figures of every pair to
depth.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from benchmarks import depth_table
from benchmarks.depth_judging import Reference
from benchmarks.depth_scenes import DeepPhotos, real_folder_of_depth, real_pairs, rendered_pairs
from benchmarks.depth_table import RANGES, PairFigures, WayFigures
from benchmarks.depth_ways import WayResult, run_all
from benchmarks.output import FOLDER, leave, say, versions

QUICK_EVERY = 5
"""A quick try takes every fifth real pair."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    cv2.setNumThreads(1)
    figures: list[WayFigures] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for deep in _photo_sets(work, options):
            figures += compare(deep, work / f"results of {deep.photos.title}")
    if not figures:
        sys.exit("Nothing was measured: choose a set that exists, such as --sets rig.")
    record = [dataclasses.asdict(one) for one in figures]
    leave(options.out, "depth", depth_table.as_markdown(figures, _notes(figures)), record)


def compare(deep: DeepPhotos, work: Path) -> list[WayFigures]:
    """Run all ways on a set, and judge what each keeps."""
    photos = deep.photos
    say(f"{photos.title}: {len(photos.names)} pairs, four ways")
    results = run_all(photos, work)
    count = len(photos.names)
    figures = [WayFigures(photos.title, result.way, result.cpu_s / count, []) for result in results]
    for name in photos.names:
        say(f"{photos.title}: judging the patches of {name}")
        reference = Reference(photos.pair(name)[1], deep.truths[name]())
        windows = reference.windows()
        for result, figure in zip(results, figures, strict=True):
            figure.pairs.append(_judged(name, result, reference, windows))
    return figures


def _judged(name: str, result: WayResult, reference: Reference, windows: int) -> PairFigures:
    patches = result.patches.get(name, [])
    verdicts = [reference.judge(patch.dslr, patch.corner, patch.turn_deg) for patch in patches]
    told = [verdict for verdict in verdicts if verdict.told]
    return PairFigures(
        name=name,
        range_px=reference.truth.range_px,
        windows=windows,
        aligned=name in result.aligned,
        kept=len(patches),
        told=len(told),
        wrong=sum(verdict.wrong for verdict in told),
        mixed=sum(verdict.mixed for verdict in told),
        shifts=[verdict.shift_px for verdict in told],
        part_shifts=[shift for verdict in told for shift in verdict.part_shifts_px],
    )


def _photo_sets(work: Path, options: argparse.Namespace) -> Iterator[DeepPhotos]:
    if "real" in options.sets:
        if deep := real_pairs(work, QUICK_EVERY if options.quick else 1):
            yield deep
        else:
            folder = real_folder_of_depth()
            say(f"The folder {folder} holds no pairs. Set $DPEDTOOL_REAL_DATA to the folder that holds `depth`.")
    if "rig" in options.sets:
        yield rendered_pairs(work, 1, 1, 1) if options.quick else rendered_pairs(work, options.seeds)


def _notes(figures: Sequence[WayFigures]) -> list[str]:
    texts = {
        "real": "Real photos are pairs of views of Middlebury 2014 and ETH3D with measured depth, and of Middlebury "
        "2014 and 2021 with a view synthesised between the two, for less parallax. The phone's view was made coarser, "
        "with other colours, noise, the bend of a lens, and JPEG.",
        "rendered": "Rendered photos show the demo's boards in front of a wall and its tangle of leaves, with several "
        "seeds, the cameras at a third of the demo's distance, at that distance, and at three times as much. Their "
        "truth is exact.",
    }
    counts = []
    for title in dict.fromkeys(one.title for one in figures):
        pairs = next(one.pairs for one in figures if one.title == title)
        by_range = Counter(name for pair in pairs for name, low, high in RANGES if low <= pair.range_px < high)
        windows = sum(pair.windows for pair in pairs)
        listed = ", ".join(f"{by_range[name]} of {name}" for name, _, _ in RANGES)
        counts.append(f"{texts[title]} Pairs: {len(pairs)} ({listed}). Windows: {windows}.")
    return [versions(), *counts]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.depth", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", type=lambda text: text.split(","), default=["real", "rig"], help="real, rig or both")
    parser.add_argument("--seeds", type=int, default=3, help="six rendered pairs for each seed")
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
