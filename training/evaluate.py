"""Stage evaluate: the network on patches that it has not seen, beside the untouched phone patch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dataset.errors import DpedtoolError
from dataset.io import write_json, write_rows
from dataset.params import EvaluateParams
from dataset.photos import Image, save_image
from dataset.progress import track
from dataset.schema import Score
from training.checkpoint import load_model
from training.data import PatchPairs
from training.metrics import BATCH_PAIRS, Protocol, Scores, ms_ssim_each, psnr_each, score
from training.model import Generator

METRICS, PICTURE = "metrics.json", "before_after.png"
PROTOCOLS: tuple[Protocol, ...] = ("image", "batch")


@dataclass(frozen=True)
class Evaluation:
    """Scores under the two protocols, before the network and after it."""

    before: dict[str, Scores]
    after: dict[str, Scores]

    def sentence(self) -> str:
        """Say in a line what the network gains, under the protocol `image`."""
        before, after = self.before["image"], self.after["image"]
        return (
            f"{after.pairs} test patches: PSNR {before.psnr_db:.2f} to {after.psnr_db:.2f} dB, "
            f"MS-SSIM {before.ms_ssim:.4f} to {after.ms_ssim:.4f} (protocol image)."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures by protocol, ready for JSON."""
        return {
            protocol: {
                "pairs": self.after[protocol].pairs,
                "infinite_psnr_before": self.before[protocol].infinite_psnr,
                "psnr_before_db": _finite(self.before[protocol].psnr_db),
                "psnr_after_db": _finite(self.after[protocol].psnr_db),
                "ms_ssim_before": self.before[protocol].ms_ssim,
                "ms_ssim_after": self.after[protocol].ms_ssim,
            }
            for protocol in self.after
        }


def evaluate(table: Path, model_dir: Path, out: Path, params: EvaluateParams) -> Evaluation:
    """Score a model on the test samples of `table`.

    Writes `out/scores.parquet`, a row a patch; `out/metrics.json`, the means under both protocols; and
    `out/before_after.png`, some patches as phone, network and DSLR.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, or there are no test patches.

    """
    patches = PatchPairs(table, "test")
    if not len(patches):
        raise DpedtoolError(f"{table} holds no test patches: a larger split.test, or more scenes, are needed.")
    phone, outputs, dslr = _run_all(load_model(model_dir), patches)
    write_rows(out / f"{Score.TABLE}.parquet", Score, _rows(patches, phone, outputs, dslr))
    (out / PICTURE).unlink(missing_ok=True)
    if params.pictures:
        save_image(out / PICTURE, _picture(phone, outputs, dslr, params.pictures))
    evaluation = Evaluation(
        before={protocol: score(phone, dslr, protocol) for protocol in PROTOCOLS},
        after={protocol: score(outputs, dslr, protocol) for protocol in PROTOCOLS},
    )
    write_json(out / METRICS, evaluation.as_json())
    return evaluation


def _run_all(model: Generator, patches: PatchPairs) -> tuple[Tensor, Tensor, Tensor]:
    """Phone patches, the network's outputs (not clipped) and DSLR patches, each (N, 3, H, W)."""
    parts = []
    starts = range(0, len(patches), BATCH_PAIRS)
    for start in track(starts, "evaluate", len(starts)):
        batch = patches.read(range(start, min(start + BATCH_PAIRS, len(patches))))
        with torch.inference_mode():
            parts.append((batch.phone, model(batch.phone), batch.dslr))
    phone, outputs, dslr = (torch.cat(column) for column in zip(*parts, strict=True))
    return phone, outputs, dslr


def _rows(patches: PatchPairs, phone: Tensor, outputs: Tensor, dslr: Tensor) -> list[Score]:
    clipped = outputs.clamp(0, 1)
    columns = [psnr_each(phone, dslr), psnr_each(clipped, dslr), ms_ssim_each(phone, dslr), ms_ssim_each(clipped, dslr)]
    return [
        Score(
            patch_id=sample.patch_id,
            psnr_before=psnr_before,
            psnr_after=psnr_after,
            ms_ssim_before=ms_ssim_before,
            ms_ssim_after=ms_ssim_after,
        )
        for sample, psnr_before, psnr_after, ms_ssim_before, ms_ssim_after in zip(
            patches.samples, *(column.tolist() for column in columns), strict=True
        )
    ]


def _picture(phone: Tensor, outputs: Tensor, dslr: Tensor, most: int) -> Image:
    """Patches spread over the test set, twice their size, a column each: phone, network, DSLR from above."""
    chosen = np.unique(np.linspace(0, len(phone) - 1, min(most, len(phone))).round().astype(int)).tolist()
    rows = [torch.cat([images[index] for index in chosen], dim=2) for images in (phone, outputs, dslr)]
    rgb = (torch.cat(rows, dim=1).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    doubled: Image = rgb[..., ::-1].repeat(2, axis=0).repeat(2, axis=1)
    return doubled


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
