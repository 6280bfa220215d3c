"""Patches: speed and exactness of the search, cost of a pair, kept patches in both modes, rejected false pairs.

    python -m benchmarks.patches            # make bench-patches
    python -m benchmarks.patches --quick    # a quick try with a few pairs

The benchmark prints Markdown tables and writes them to patches.md next to this file, and the figures behind them to
patches.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from benchmarks import cutting, patches_table, search, sets
from benchmarks.output import FOLDER, leave, say, versions
from benchmarks.patches_table import CostFigures, Figures
from benchmarks.sets import PhotoSet
from dpedtool.dataset.photos.listing import list_photos

PARTS = ("search", "cost", "yield", "rejection")
PHONES = ("iphonex", "iphonex_far")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.quick:
        options.pairs, options.rig_pairs, options.repeats, options.searches = 3, 2, 1, 3
    cv2.setNumThreads(1)
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if "search" in options.parts:
            figures.search = search.compare(_photos(work, options), options.searches)
        if "cost" in options.parts:
            figures.costs = [figure for photos in _rigs(work, options) for figure in _costs(photos, work, options)]
        if {"yield", "rejection"} & set(options.parts):
            _measure_real(figures, work, options)
    if figures == Figures():
        sys.exit("Nothing was measured: choose a part that needs no real photos, such as --parts search.")
    leave(options.out, "patches", patches_table.as_markdown(figures, _notes(options)), dataclasses.asdict(figures))


def _photos(work: Path, options: argparse.Namespace) -> list[search.Greys]:
    """Return real photos, or a simulated one if there are none."""
    folder = sets.real_folder() / "photos"
    places = list_photos(folder) if folder.is_dir() else []
    if not places:
        places = list_photos(sets.rig(options.keep or work, 1, 0.0).dslr)
    say(f"search: {len(places)} photos")
    return [search.greys(place, seed) for seed, place in enumerate(places[: 2 if options.quick else None])]


def _rigs(work: Path, options: argparse.Namespace) -> Iterator[PhotoSet]:
    say(f"simulating {options.rig_pairs} pairs of 3.1 and 12 MP")
    simulated = sets.rig(options.keep or work, options.rig_pairs, 0.0)
    photos = sets.first(simulated, options.rig_pairs, work / "rig")
    yield sets.equal_sizes(photos, work / "equal")
    yield photos


def _costs(photos: PhotoSet, work: Path, options: argparse.Namespace) -> list[CostFigures]:
    say(f"{photos.title}: cost")
    rows = cutting.aligned_pairs(photos, work / f"aligned {photos.title}", options.workers)
    return cutting.costs(photos, rows, work, options.repeats)


def _measure_real(figures: Figures, work: Path, options: argparse.Namespace) -> None:
    for phone in PHONES:
        photos = sets.city100(work, options.pairs, phone)
        if photos is None:
            say(f"There is no City100 in {sets.real_folder()}: set $DPEDTOOL_REAL_DATA to its folder for real photos.")
            return
        photos = dataclasses.replace(photos, title=f"City100 {phone}")
        rows = cutting.aligned_pairs(photos, work / f"aligned {phone}", options.workers)
        if "yield" in options.parts:
            say(f"{photos.title}: yield")
            figures.yields += cutting.yields(photos, rows, work, options.workers)
        if "rejection" in options.parts:
            say(f"{photos.title}: falsified pairs")
            figures.rejections += cutting.rejections(photos, rows, work, options.workers)
    released = sets.real_folder() / "dped_iphone_patches"
    if "yield" in options.parts and released.is_dir():
        figures.yields.append(cutting.released(released))


def _notes(options: argparse.Namespace) -> list[str]:
    search_runs = f"The search was timed {options.searches} times, the stage {options.repeats} times."
    return [
        f"{versions()} {search_runs} {options.rig_pairs} simulated pairs, {options.pairs} of each phone of City100."
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.patches", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--pairs", type=int, default=50, help="pairs of each phone of City100")
    parser.add_argument("--rig-pairs", type=int, default=8, help="simulated pairs, two or more")
    parser.add_argument("--repeats", type=int, default=3, help="how often the stage is timed")
    parser.add_argument("--searches", type=int, default=9, help="how often the search is timed")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes for the parts that are not timed"
    )
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep simulated photos there and reuse them")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
