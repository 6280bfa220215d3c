"""Small trainings with one loss each on pairs whose errors are known, scored on exact pairs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from benchmarks import pushed
from benchmarks.pushed import Errors, PushedPairs
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import Batch
from dpedtool.training.evaluate.colour_match import match_colours
from dpedtool.training.evaluate.named_metrics import sharpness
from dpedtool.training.inference import enhance_patches
from dpedtool.training.metrics import ms_ssim_each, psnr_each
from dpedtool.training.precision import Computation
from dpedtool.training.train.loader import Loader
from dpedtool.training.train.loop import TrainingRun
from dpedtool.training.train.vgg import random_vgg

TRAINING, TEST = range(6), range(100, 102)
"""Numbers of the scenes; each has 36 pairs."""
EXACT = Errors("exact")
PUSHED_1 = Errors("pushed by up to 1 px", push_px=1)
PUSHED_2 = Errors("pushed by up to 2 px", push_px=2)
EXPOSED = Errors("other exposures", stops=1, white_balance=0.2)
SETS = {"exact": EXACT, "pushed-1": PUSHED_1, "pushed-2": PUSHED_2, "exposed": EXPOSED}


@dataclass(frozen=True)
class Figures:
    """What a training came to, scored on exact pairs that it has not seen; without losses: the untouched phone."""

    pairs: str
    losses: str
    seed: int
    psnr_db: float
    ms_ssim: float
    matched_psnr_db: float
    """After the colour match, as in `dpedtool evaluate`."""
    sharpness: float
    cpu_s: float = 0.0


def untouched() -> Figures:
    """Return the scores of the phone's own patches."""
    return Figures("", "the untouched phone", 0, *_scores(_test().phone))


def train(errors: Errors, title: str, params: TrainParams) -> Figures:
    """Train a network on pairs with errors, and score it."""
    computation = Computation.of(params, torch.device("cpu"))
    pairs = _pairs(errors)
    start = time.process_time()
    run = TrainingRun(params, computation, pushed.PATCH_PX, vgg=random_vgg(0) if params.needs_vgg else None)
    loader = Loader(pairs, params, second_batch=run.needs_second_batch, threads=1)
    with contextlib.closing(loader.steps(0, params.iterations)) as steps:
        for step in steps:
            run.step(step)
    run.validate(PushedPairs([], EXACT))
    cpu_s = time.process_time() - start
    outputs = enhance_patches(run.best_model().eval(), _test().phone, clip=True)
    return Figures(errors.title, title, params.seed, *_scores(outputs), cpu_s)


def _scores(outputs: Tensor) -> tuple[float, float, float, float]:
    test = _test()
    values = (
        psnr_each(outputs, test.dslr).mean(),
        ms_ssim_each(outputs, test.dslr).mean(),
        psnr_each(match_colours(outputs, test.dslr), test.dslr).mean(),
        sharpness(outputs, test.dslr).median(),
    )
    psnr_db, ms_ssim, matched_psnr_db, sharp = (value.item() for value in values)
    return psnr_db, ms_ssim, matched_psnr_db, sharp


@cache
def _pairs(errors: Errors) -> PushedPairs:
    return PushedPairs(TRAINING, errors)


@cache
def _test() -> Batch:
    pairs = PushedPairs(TEST, EXACT)
    return pairs.read(range(len(pairs)))
