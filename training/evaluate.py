"""Stage evaluate: the network on patches that it has not seen, beside the untouched phone patch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dataset.io import write_json
from dataset.params import EvaluateParams
from dataset.photos import Image, save_image
from dataset.progress import track
from dataset.schema import Score
from dataset.tables import write_rows
from training.checkpoint import load_card, load_model
from training.data import PatchPairs
from training.inference import choose_device, enhance_patches
from training.metrics import BATCH_PAIRS, Measures, Protocol, Scores, measure_protocols
from training.model import Generator

METRICS, PICTURE = "metrics.json", "before_after.png"
PROTOCOLS: tuple[Protocol, ...] = ("image", "batch")
BLANK_PX = 8


@dataclass(frozen=True)
class Evaluation:
    """Scores under the two protocols, before the network and after it."""

    before: dict[Protocol, Scores]
    after: dict[Protocol, Scores]
    trained: bool = True
    """Whether the network was ever trained."""

    def sentence(self) -> str:
        """Say in a line what the network gains, under the protocol `image`."""
        before, after = self.before["image"], self.after["image"]
        if not after.pairs:
            return "There are no test patches, so nothing was scored: a larger split.test, or more scenes, would help."
        patches = "1 test patch" if after.pairs == 1 else f"{after.pairs} test patches"
        network = "" if self.trained else "The network is untrained. "
        return (
            f"{network}{patches}: PSNR {before.psnr_db:.2f} to {after.psnr_db:.2f} dB, "
            f"MS-SSIM {before.ms_ssim:.4f} to {after.ms_ssim:.4f} (protocol image)."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures by protocol, ready for JSON; what is not a number there is null."""
        return {
            protocol: {
                "pairs": self.after[protocol].pairs,
                "infinite_psnr_before": self.before[protocol].infinite_psnr,
                "psnr_before_db": _finite(self.before[protocol].psnr_db),
                "psnr_after_db": _finite(self.after[protocol].psnr_db),
                "ms_ssim_before": _finite(self.before[protocol].ms_ssim),
                "ms_ssim_after": _finite(self.after[protocol].ms_ssim),
            }
            for protocol in PROTOCOLS
        }


@dataclass(frozen=True)
class _Part:
    """What is kept of a batch: its measures under each protocol, and the pictures chosen from it."""

    before: dict[Protocol, Measures]
    after: dict[Protocol, Measures]
    pictures: list[Image]


def evaluate(table: Path, model_dir: Path, out: Path, params: EvaluateParams) -> Evaluation:
    """Score a model on the test samples of `table`.

    Writes `out/scores.parquet`, a row a patch; `out/metrics.json`, the means under both protocols; and
    `out/before_after.png`, some patches as phone, network and DSLR. Without test patches the table is empty, the
    means are null and the picture is blank.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, or `params.device` is not there.

    """
    patches = PatchPairs(table, "test")
    model = load_model(model_dir).to(choose_device(params.device))
    parts = list(_parts(model, patches, set(patches.spread(params.pictures))))
    before = {protocol: Measures.joined([part.before[protocol] for part in parts]) for protocol in PROTOCOLS}
    after = {protocol: Measures.joined([part.after[protocol] for part in parts]) for protocol in PROTOCOLS}
    evaluation = Evaluation(
        before={protocol: measures.scores(protocol) for protocol, measures in before.items()},
        after={protocol: measures.scores(protocol) for protocol, measures in after.items()},
        trained=load_card(model_dir).get("trained", True),
    )
    write_rows(Score.table_in(out), Score, _rows(patches.names(), before["image"], after["image"]))
    save_image(out / PICTURE, _picture([picture for part in parts for picture in part.pictures]))
    write_json(out / METRICS, evaluation.as_json())
    return evaluation


def _parts(model: Generator, patches: PatchPairs, chosen: set[int]) -> Iterator[_Part]:
    """Run and measure a batch at a time, so that no more than one batch of images is in memory."""
    starts = range(0, len(patches), BATCH_PAIRS)
    for start in track(starts, "evaluate", len(starts)):
        indices = range(start, min(start + BATCH_PAIRS, len(patches)))
        batch = patches.read(indices)
        outputs = enhance_patches(model, batch.phone, clip=False)
        columns = zip(indices, batch.phone, outputs, batch.dslr, strict=True)
        yield _Part(
            before=measure_protocols(batch.phone, batch.dslr),
            after=measure_protocols(outputs, batch.dslr),
            pictures=[_column(*images) for index, *images in columns if index in chosen],
        )


def _rows(names: list[str], before: Measures, after: Measures) -> Iterator[Score]:
    columns = (before.psnr_db(), after.psnr_db(), before.ms_ssim(), after.ms_ssim())
    for name, *values in zip(names, *(column.tolist() for column in columns), strict=True):
        psnr_before, psnr_after, ms_ssim_before, ms_ssim_after = values
        yield Score(
            patch_id=name,
            psnr_before=psnr_before,
            psnr_after=psnr_after,
            ms_ssim_before=ms_ssim_before,
            ms_ssim_after=ms_ssim_after,
        )


def _column(phone: Tensor, output: Tensor, dslr: Tensor) -> Image:
    """One patch, each image (3, H, W): phone, network and DSLR from above, (3 H, W, 3) BGR."""
    rgb = (torch.cat([phone, output, dslr], dim=1).clamp(0, 1) * 255).round().to(torch.uint8)
    bgr: Image = rgb.flip(0).permute(1, 2, 0).contiguous().numpy()
    return bgr


def _picture(columns: list[Image]) -> Image:
    """The columns side by side, twice their size; without any a blank square, as a file is promised."""
    if not columns:
        return np.full((BLANK_PX, BLANK_PX, 3), 255, np.uint8)
    picture: Image = np.concatenate(columns, axis=1).repeat(2, axis=0).repeat(2, axis=1)
    return picture


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
