"""Night, dim and bright photos: yield and true error of the patches, beside the rule that each window proves itself.

    python -m benchmarks.noise            # make bench-noise
    python -m benchmarks.noise --quick    # a quick try with a few pairs

The phone's photos are made darker, noisier or brighter. A patch is right if the transform of its pair differs from that
of the unchanged pair by at most half a px there. The benchmark prints Markdown tables and writes them to noise.md next
to this file, and the figures behind them to noise.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks import noise_table, sets
from benchmarks.cutting import aligned_pairs
from benchmarks.exposures import exposed, in_the_dark
from benchmarks.noise_table import Figures, Kept
from benchmarks.output import FOLDER, leave, say, versions
from benchmarks.sets import PhotoSet
from benchmarks.yardstick import Image
from dpedtool.dataset.params import PatchesParams
from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.dataset.schema import Alignment, Patch
from dpedtool.dataset.tables import read_rows
from dpedtool.pipeline.geometry.aligned import transform
from dpedtool.pipeline.geometry.homographies import local_scale
from dpedtool.pipeline.geometry.transform import Transform
from dpedtool.pipeline.patches.stage import cut_patches

PEAKS = 1000, 200, 50, 15
"""Electrons of a px in full light."""
STOPS = -4, -2, 2, 4
POINTS = 5
"""The error of a patch is the root mean square over so many points across and down."""
NEAR_PX = 10
SEED = 2017

Places = dict[str, list[tuple[int, int]]]


@dataclass(frozen=True)
class Light:
    """How the phone's photos are taken: with few electrons, or with another exposure; unchanged if neither is given."""

    peak: int | None = None
    stops: int | None = None

    @property
    def title(self) -> str:
        """The words of the table."""
        if self.peak:
            return f"peak of {self.peak} electrons"
        return f"{self.stops:+d} stops" if self.stops else "unchanged"

    def take(self, image: Image, number: int) -> Image:
        """Return the photo of this number, (H, W, 3) BGR uint8, in this light."""
        if self.peak:
            return in_the_dark(image, self.peak, np.random.default_rng([SEED, number, self.peak]))
        return exposed(image, self.stops or 0)


LADDER = (*(Light(peak=peak) for peak in PEAKS), *(Light(stops=stops) for stops in STOPS))


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    cv2.setNumThreads(1)
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for photos in _photo_sets(work, options):
            figures += climb(photos, work / f"results of {photos.title}", options.workers)
    if not figures:
        sys.exit("Nothing was measured: choose a set that exists, such as --sets rig.")
    record = [dataclasses.asdict(one) for one in figures]
    leave(options.out, "noise", noise_table.as_markdown(figures, [versions()]), record)


def climb(photos: PhotoSet, work: Path, workers: int) -> list[Figures]:
    """Align and cut a set in every light, and compare with the unchanged photos."""
    say(f"{photos.title}: {len(photos.names)} pairs, unchanged")
    truths, patches = _run(photos, work / "unchanged", workers)
    unchanged = places(patches)
    found = [_figures(photos, Light(), (truths, patches), truths, unchanged)]
    for light in LADDER:
        say(f"{photos.title}: {light.title}")
        folder = work / light.title
        changed = _taken(photos, light, folder)
        found.append(_figures(photos, light, _run(changed, folder / "results", workers), truths, unchanged))
    return found


def _taken(photos: PhotoSet, light: Light, folder: Path) -> PhotoSet:
    """Write the phone's photos in this light, and link the DSLR's."""
    changed = sets.first(photos, len(photos.names), folder)
    for number, name in enumerate(photos.names):
        image = light.take(load_photo(photos.phone / name), number)
        (changed.phone / name).unlink()
        # The suffix is a matter of form: readers look at the content, and PNG keeps the noise.
        (changed.phone / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return changed


def _run(photos: PhotoSet, out: Path, workers: int) -> tuple[dict[str, Transform], list[Patch]]:
    """Return the transforms by file name of the aligned pairs, and all windows."""
    rows: list[Alignment] = aligned_pairs(photos, out / "aligned", workers)
    cut_patches(rows, out / "patches", PatchesParams(), workers=workers)
    return {row.phone_path.name: transform(row) for row in rows}, read_rows(Patch.table_in(out / "patches"), Patch)


def _figures(
    photos: PhotoSet,
    light: Light,
    run: tuple[dict[str, Transform], Sequence[Patch]],
    truths: dict[str, Transform],
    unchanged: Places,
) -> Figures:
    to, patches = run
    # A pair without any window has one row without a place.
    known = [patch for patch in patches if patch.phone_path.name in truths and patch.x is not None]
    errors = [error_px(patch, to[patch.phone_path.name], truths[patch.phone_path.name]) for patch in known]
    kept = [
        Kept(error, patch.proved_by or "", patch.ncc or 0.0)
        for patch, error in zip(known, errors, strict=True)
        if patch.status == "accepted"
    ]
    same = count_same(unchanged, places(known))
    return Figures(photos.title, light.title, len(photos.names), len(to), len(known), errors, kept, same)


def places(patches: Sequence[Patch]) -> Places:
    """Return the places of the accepted patches, by file name."""
    found: Places = defaultdict(list)
    for patch in patches:
        if patch.status == "accepted" and patch.x is not None and patch.y is not None:
            found[patch.phone_path.name].append((patch.x, patch.y))
    return found


def count_same(wanted: Places, found: Places) -> int:
    """Count the wanted places near which there is a found one; crops begin at other px, so that grids differ."""
    count = 0
    for name, corners in wanted.items():
        if found.get(name):
            away = np.abs(np.array(corners)[:, None] - np.array(found[name])[None]).max(axis=2)
            count += int((away.min(axis=1) <= NEAR_PX).sum())
    return count


def error_px(patch: Patch, to: Transform, truth: Transform) -> float:
    """Return how far two transforms differ on a patch, in phone px."""
    if patch.x is None or patch.y is None or patch.size is None:
        raise ValueError("the row is not that of a window")
    steps = np.linspace(0, patch.size - 1, POINTS)
    points = np.stack(np.meshgrid(patch.x + steps, patch.y + steps), axis=-1).reshape(-1, 2)
    away = (to(points) - truth(points)) / local_scale(truth.homography, points.mean(axis=0))
    return float(np.sqrt((away**2).sum(axis=1).mean()))


def _photo_sets(work: Path, options: argparse.Namespace) -> Iterator[PhotoSet]:
    pairs = 3 if options.quick else options.pairs
    if "real" in options.sets:
        for phone in ("iphonex",) if options.quick else ("iphonex", "iphonex_far"):
            if photos := sets.city100(work, pairs, phone):
                yield photos
            else:
                say(f"There is no folder {sets.real_folder() / 'city100'}. Set $DPEDTOOL_REAL_DATA to its parent.")
    if "rig" in options.sets:
        yield sets.rig(work, 2 if options.quick else options.rig_pairs, 0.0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", type=lambda text: text.split(","), default=["real", "rig"], help="real, rig or both")
    parser.add_argument("--pairs", type=int, default=50, help="real pairs of each phone")
    parser.add_argument("--rig-pairs", type=int, default=4, help="rendered pairs, of 3 and 12 megapixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
