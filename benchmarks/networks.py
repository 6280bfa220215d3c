"""Ways to train side by side: cross-validated scores, multiply-adds, and the cost of training and of a photo.

    python -m benchmarks.networks --phone DIR --dslr DIR --start FILE.safetensors    # make bench-networks BENCH="..."
    ... --unpaired DIR          # photos without mates, for the ways that have a teacher
    ... --quick                 # a quick try with few steps and two folds

The pairs are divided into folds at random. Each network is trained by one command on all folds but one, and scored on
that one, so that every pair is scored by a network that has not seen it; a teacher has not seen it either. `--start`
must name weights that were trained on none of the pairs. The benchmark prints a Markdown table and writes it to
networks.md next to this file. Trainings in `--scratch` that are finished are not repeated.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.output import FOLDER, leave, say, versions
from benchmarks.table import markdown
from benchmarks.usage import Usage, measure
from dpedtool.dataset.sidecars.metrics import FolderMetrics
from dpedtool.training.data import FolderPairs

SMALL_PX, LARGE_PX = (64, 64), (2048, 1536)
"""(width, height) of the photos whose enhancement is measured; the difference is the cost of a megapixel."""
QUICK = ("train.iterations=2", "train.validate_every=2", "train.taught=4")
DRAWS = 2000
"""Resampled sets of pairs for an interval."""


@dataclass(frozen=True)
class Recipe:
    """One way to a network."""

    name: str
    settings: tuple[str, ...] | None
    """Parameters, as `--set` takes them; None: the start itself."""
    starts: bool = True
    """Whether it goes on from the weights of `--start`."""
    teacher: str = ""
    """The recipe whose network, trained on the same folds, teaches this one."""


RECIPES = (
    Recipe("the start", None),
    Recipe(
        "tuned",
        (
            "train.iterations=400",
            "train.batch=8",
            "train.learning_rate=2e-4",
            "train.losses=[{loss: psnr, weight: 1}, {loss: ms_ssim, weight: 3}]",
            "train.plain_share=1",
        ),
    ),
    Recipe(
        "8_32",
        (
            "train.channels=32",
            "train.blocks=2",
            "train.iterations=1500",
            "train.batch=8",
            "train.learning_rate=2e-3",
            "train.plain_share=1",
        ),
        starts=False,
    ),
    Recipe("mobile", ("train.network=mobile", "train.channels=24", "train.plain_share=1"), starts=False),
    Recipe(
        "mobile, taught",
        ("train.network=mobile", "train.channels=24", "train.plain_share=1", "train.teacher_share=0.75"),
        starts=False,
        teacher="tuned",
    ),
)
"""Those of docs/results.md, and the network for phones without and with a teacher."""

SCORES = {
    "PSNR, dB": ("psnr_after_db", 2),
    "MS-SSIM": ("ms_ssim_after", 4),
    "after the colour match": ("psnr_after_matched_db", 2),
    "sharpness": ("sharpness_after", 2),
}
"""Columns of scores.csv that are shown, and their decimals; sharpness is a median, the others are means."""


@dataclass(frozen=True)
class Figures:
    """What a recipe came to."""

    recipe: str
    scores: dict[str, float]
    gains: dict[str, tuple[float, float, float]]
    """Of PSNR and MS-SSIM: the mean difference to the start over the pairs, and its 2.5th and 97.5th percentiles."""
    pairs: int
    multiply_adds_px: float
    training_cpu_s: float
    """Of one fold, without its teacher; 0: it was trained by an earlier run."""
    photo_cpu_s_mp: float
    photo_peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        scratch = options.scratch or Path(folder)
        scratch.mkdir(parents=True, exist_ok=True)
        rows = list(_measured(options, scratch))
    leave(options.out, "networks", as_markdown(rows, options.folds), [dataclasses.asdict(row) for row in rows])


def _measured(options: argparse.Namespace, scratch: Path) -> Iterator[Figures]:
    folds = _folds(FolderPairs(options.phone, options.dslr).names(), options.folds, scratch)
    first: dict[str, npt.NDArray[np.float64]] = {}
    for recipe in RECIPES:
        # The others are compared with the start.
        if recipe.settings is not None and recipe.name not in options.recipes:
            continue
        trainings, tables = [], []
        for number, (train, test) in enumerate(folds):
            model = scratch / f"{recipe.name.replace(' ', '-')}-{number}"
            if recipe.settings is None:
                model = options.start
            else:
                say(f"{recipe.name}, fold {number + 1} of {len(folds)}")
                trainings.append(
                    _run(["train", *_pairs(options, train), "-o", model, *_settings(recipe, options, scratch, number)])
                )
            scores = scratch / "scores" / f"{recipe.name.replace(' ', '-')}-{number}"
            _run(["evaluate", *_pairs(options, test), "--weights", model, "-o", scores])
            tables.append(_table(scores / "scores.csv"))
        table = {key: np.concatenate([part[key] for part in tables]) for key in tables[0]}
        varied = {key: values[table["constant_target"] == 0] for key, values in table.items()}
        first = first or varied
        yield Figures(
            recipe.name,
            {head: _mean(column, varied[column]) for head, (column, _) in SCORES.items()},
            {column: _gain(varied[column] - first[column]) for column in ("psnr_after_db", "ms_ssim_after")},
            len(varied["psnr_after_db"]),
            _multiply_adds(scores),
            float(np.mean([usage.cpu_s for usage in trainings])) if trainings else 0.0,
            *_photo_cost(model, scratch),
        )


def _settings(recipe: Recipe, options: argparse.Namespace, scratch: Path, number: int) -> list[str | Path]:
    settings = [*(recipe.settings or ()), "train.held_out=0"]
    if recipe.starts:
        settings.append(f"train.start={options.start.resolve()}")
    if recipe.teacher:
        settings.append(f"train.teacher={scratch.resolve() / f'{recipe.teacher}-{number}'}")
        unpaired = ", ".join(str(folder.resolve()) for folder in options.unpaired)
        settings.append(f"train.unpaired=[{unpaired}]")
    settings += QUICK if options.quick else ()
    return [word for setting in settings for word in ("--set", setting)]


def _pairs(options: argparse.Namespace, names: Path) -> list[str | Path]:
    return ["--phone", options.phone.resolve(), "--dslr", options.dslr.resolve(), "--names", names.resolve()]


def _run(words: Sequence[str | Path]) -> Usage:
    used = measure([sys.executable, "-m", "dpedtool", *words])
    if used.code:
        raise RuntimeError(f"dpedtool {words[0]} ended with {used.code}:\n{used.said}")
    return used


def _folds(names: Sequence[str], count: int, scratch: Path) -> list[tuple[Path, Path]]:
    """Write the names of the pairs that each fold trains on and is scored on."""
    order = np.random.default_rng(0).permutation(len(names))
    files = []
    for number in range(count):
        test = {names[at] for at in order[number::count]}
        sides = [name for name in names if name not in test], [name for name in names if name in test]
        paths = scratch / f"train{number}.txt", scratch / f"test{number}.txt"
        for path, side in zip(paths, sides, strict=True):
            path.write_text("".join(f"{name}\n" for name in side), encoding="utf-8")
        files.append(paths)
    return files


def _table(file: Path) -> dict[str, npt.NDArray[np.float64]]:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    columns = ["constant_target", *(column for column, _ in SCORES.values())]
    # A pair without any difference has no PSNR; a constant target has no sharpness.
    return {column: np.array([float(row[column] or "nan") for row in rows]) for column in columns}


def _mean(column: str, values: npt.NDArray[np.float64]) -> float:
    return float(np.nanmedian(values) if column.startswith("sharpness") else np.nanmean(values))


def _gain(differences: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean, and the interval of 95 % over resampled pairs."""
    draws = np.random.default_rng(0).integers(len(differences), size=(DRAWS, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), (2.5, 97.5))
    return float(differences.mean()), float(low), float(high)


def _multiply_adds(scores: Path) -> float:
    network = FolderMetrics.read(scores / FolderMetrics.FILE).network
    return network.multiply_adds_per_px if network else float("nan")


def _photo_cost(model: Path, scratch: Path) -> tuple[float, int]:
    """Return the CPU-seconds of a megapixel of a photo, and the peak memory of the larger photo."""
    used = []
    for width, height in (SMALL_PX, LARGE_PX):
        photo = scratch / f"{width}.png"
        cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        words: list[str | Path] = [
            "enhance",
            photo,
            "--weights",
            model,
            "-o",
            scratch / "enhanced",
            "--existing",
            "replace",
        ]
        used.append(_run([*words, "--precision", "float32", "--format", "jpg"]))
    megapixels = LARGE_PX[0] * LARGE_PX[1] / 1e6
    return (used[1].cpu_s - used[0].cpu_s) / megapixels, used[1].peak_bytes


def as_markdown(rows: Sequence[Figures], folds: int) -> str:
    """Return the table."""
    heads = ["network", *SCORES, "PSNR beside the start", "MS-SSIM beside the start", *_COSTS]
    cells = [
        [
            row.recipe,
            *(f"{row.scores[head]:.{decimals}f}" for head, (_, decimals) in SCORES.items()),
            *(_shown(row.gains[column], decimals) for column, decimals in SCORES.values() if column in row.gains),
            f"{row.multiply_adds_px / 1000:.1f} k",
            f"{row.training_cpu_s / 60:.0f}",
            f"{row.photo_cpu_s_mp:.2f}",
            f"{row.photo_peak_bytes / 1e9:.2f} GB",
        ]
        for row in rows
    ]
    about = _ABOUT.format(versions=versions(), pairs=rows[0].pairs, folds=folds)
    return f"# Ways to train\n\n{about}\n\n{markdown(heads, cells)}\n"


_COSTS = ("multiply-adds a px", "CPU-min to train", "CPU-s a megapixel", "memory, 3 MP")
_ABOUT = """{versions} {folds} folds, {pairs} pairs whose target is not constant, protocol `image`. Intervals of 95 %
are over the pairs. Sharpness is a median, 1 for the DSLR's. The time to train is that of one fold, without its teacher;
0 means that an earlier run trained it. Photos are enhanced by `dpedtool enhance` in float32 on one processor."""


def _shown(gain: tuple[float, float, float], decimals: int) -> str:
    mean, low, high = gain
    return f"{mean:+.{decimals}f} ({low:+.{decimals}f} to {high:+.{decimals}f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__.split("\n")[0])
    parser.add_argument("--phone", type=Path, required=True, metavar="DIR", help="the phone's images")
    parser.add_argument("--dslr", type=Path, required=True, metavar="DIR", help="the DSLR's, with equal names")
    parser.add_argument("--start", type=Path, required=True, metavar="FILE", help="weights to start from")
    parser.add_argument("--unpaired", type=Path, nargs="*", default=[], metavar="DIR", help="photos without mates")
    parser.add_argument("--recipes", nargs="*", default=[each.name for each in RECIPES], metavar="NAME")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="keep the trained models there")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of networks.md")
    parser.add_argument("--quick", action="store_true", help="two steps of two folds")
    return parser


if __name__ == "__main__":
    main()
