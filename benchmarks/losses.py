"""The losses that forgive beside plain ones, on pairs with known shifts and known exposure changes.

    python -m benchmarks.losses            # make bench-losses
    python -m benchmarks.losses --quick    # a quick try with few steps

The benchmark prints a Markdown table and writes it to losses.md next to this file, and the figures behind it to
losses.json. Trainings that an earlier run with the same settings and the same code finished are not repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import torch

from benchmarks import loss_trainings, pushed
from benchmarks.loss_trainings import SETS, Figures, train, untouched
from benchmarks.output import FOLDER, leave, say, versions
from benchmarks.usage import ROOT
from dpedtool.dataset.code_digest import code_digest
from dpedtool.dataset.io import digest, file_sha256
from dpedtool.dataset.train_params import LOSS_ARGS, LossTerm, TrainParams


def terms(text: str, **args: Any) -> tuple[LossTerm, ...]:
    """Return the terms that a text names, `psnr + 0.1 pixel`; all of them get the arguments that they take."""
    found = []
    for part in text.split(" + "):
        weight, _, name = part.rpartition(" ")
        found.append(LossTerm(loss=name, weight=float(weight or 1), args=args if name in LOSS_ARGS else {}))
    return tuple(found)


CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("exact", "psnr", {}),
    ("exact", "shifted_psnr", {"max_shift_px": 2}),
    ("exact", "matched_psnr + 0.2 psnr", {}),
    ("pushed-1", "psnr", {}),
    ("pushed-1", "shifted_psnr", {"max_shift_px": 1}),
    ("pushed-2", "psnr", {}),
    ("pushed-2", "shifted_psnr", {"max_shift_px": 1}),
    ("pushed-2", "shifted_psnr", {"max_shift_px": 2}),
    ("pushed-2", "shifted_psnr", {"max_shift_px": 2, "shift_cost": 0}),
    ("pushed-2", "shifted_psnr", {"max_shift_px": 2, "steps_per_px": 1}),
    ("pushed-2", "pixel", {}),
    ("pushed-2", "shifted_pixel", {"max_shift_px": 2}),
    ("exposed", "psnr", {}),
    ("exposed", "matched_psnr + 0.2 psnr", {}),
    ("exact", "cobi + psnr", {}),
    ("pushed-2", "cobi + psnr", {}),
)
"""The trainings: set of pairs, losses, and their arguments. cobi takes the time of eight others and has one seed."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if options.quick:
        options.seeds, options.iterations = [0], 2
    rows = [untouched(), *_trained(options)]
    leave(options.out, "losses", as_markdown(rows, options.iterations), [dataclasses.asdict(row) for row in rows])


def as_markdown(rows: Sequence[Figures], iterations: int) -> str:
    """Return the table, with the mean over the seeds, and what its columns mean."""
    minutes = sum(row.cpu_s for row in rows) / 60
    parts = [_INTRODUCTION.format(versions=versions(), iterations=iterations, minutes=minutes)]
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, _grouped(rows))]
    return "".join([*parts, *(f"| {' | '.join(line)} |\n" for line in lines)])


def _grouped(rows: Iterable[Figures]) -> list[list[Figures]]:
    groups: dict[tuple[str, str], list[Figures]] = {}
    for row in rows:
        groups.setdefault((row.pairs, row.losses), []).append(row)
    return list(groups.values())


def _cells(rows: Sequence[Figures]) -> list[str]:
    def cell(name: str, decimals: int) -> str:
        values = [getattr(row, name) for row in rows]
        spread = f" ± {(max(values) - min(values)) / 2:.{decimals}f}" if len(values) > 1 else ""
        return f"{fmean(values):.{decimals}f}{spread}"

    first = rows[0]
    scores = [cell("psnr_db", 2), cell("ms_ssim", 4), cell("matched_psnr_db", 2), cell("sharpness", 2)]
    return [first.pairs, first.losses, *scores, f"{fmean(row.cpu_s for row in rows):.0f}" if first.cpu_s else ""]


def _trained(options: argparse.Namespace) -> Iterator[Figures]:
    code = [file_sha256(Path(module)) for module in (loss_trainings.__file__, pushed.__file__)]
    made_by = [
        code,
        code_digest("dpedtool.training.train.loop"),
        code_digest("dpedtool.pipeline.rig"),
        torch.__version__,
    ]
    for name, text, args in CASES:
        if name not in options.sets or options.losses not in text:
            continue
        title = ", ".join([text, *(f"{key} {value}" for key, value in args.items())])
        for seed in options.seeds[:1] if "cobi" in text else options.seeds:
            params = TrainParams(
                channels=8,
                blocks=1,
                batch=4,
                crop_px=pushed.PATCH_PX,
                learning_rate=3e-3,
                iterations=options.iterations,
                precision="float32",
                device="cpu",
                seed=seed,
                losses=terms(text, **args),
            )
            kept = options.work / f"{digest([made_by, name, repr(params)])[:20]}.json"
            if not kept.is_file():
                say(f"{SETS[name].title}: {title}, seed {seed}")
                figures = train(SETS[name], title, params)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(dataclasses.asdict(figures)), encoding="utf-8")
            yield Figures(**json.loads(kept.read_text(encoding="utf-8")))


_COLUMNS = [
    *("training pairs", "losses", "PSNR, dB", "MS-SSIM", "PSNR after the colour match, dB", "sharpness", "CPU-s"),
]
_INTRODUCTION = """# Losses that forgive, beside plain ones

{versions} All trainings together: {minutes:.1f} CPU-minutes, one thread.

A small network (resnet, 8 channels, 1 block) learns from pairs of the rig with one loss each: 216 pairs of 64 px from 6
scenes, 4 in a step, {iterations} steps. The phone's photo is softer, has other colours and some noise. The pairs are
exact; or each target is pushed along both axes by up to 1 or 2 px, uniformly and by parts of a px, before its px are
sampled, so that it stays sharp; or each target is exposed by up to one stop more or less, with red and blue up to 20 %
brighter or darker. All rows are scored on the same 72 exact pairs of 2 other scenes. What stands after a loss are its
arguments. `±` is half the difference of two seeds. `sharpness` is the Laplacian of the output over that of the DSLR's
image; 1 is equally sharp. VGG-19, which `cobi` needs, has random weights here, so that anybody can run this; trained
weights are made for it.

"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--sets", type=lambda text: text.split(","), default=list(SETS), help=f"some of {','.join(SETS)}"
    )
    parser.add_argument("--losses", default="", help="only losses in whose names this text occurs")
    parser.add_argument("--seeds", type=lambda text: [*map(int, text.split(","))], default=[0, 1], help="such as 0,1")
    parser.add_argument("--iterations", type=int, default=150, help="steps of each training")
    parser.add_argument("--quick", action="store_true", help="a quick try; do not quote its figures")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "bench-losses", help="keeps the finished trainings"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="folder of the results")
    return parser


if __name__ == "__main__":
    main()
