"""Scores of any two folders of equal-named images: the phone's against the DSLR's, as they are and enhanced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dataset.errors import DpedtoolError
from dataset.io import file_sha256, write_json, write_text
from dataset.params import EvaluateParams
from dataset.progress import track
from training.checkpoint import load_model, model_files
from training.data import Batch, FolderPairs, Pairs
from training.inference import choose_device, enhance_patches
from training.lpips import SMALLEST_PX, Lpips, load_lpips
from training.metrics import BATCH_PAIRS, Measures, Protocol, Scores, figures, measure_protocols
from training.model import Generator

METRICS, SCORES = "metrics.json", "scores.csv"
PROTOCOLS: tuple[Protocol, ...] = ("image", "batch")
BEFORE, AFTER = "before", "after"
"""The untouched phone images, and the enhanced ones."""
_CALLED = {BEFORE: "phone", AFTER: "network"}

PX_AT_ONCE = 160_000
"""Images of one size are run together up to so many px, DPED's network taking 1 kB a px; larger ones one by one."""


@dataclass(frozen=True)
class Weights:
    """Which network it was."""

    file: Path
    sha256: str
    network: str


@dataclass(frozen=True)
class Comparison:
    """What was scored, and every pair's measures by what was scored and by protocol."""

    phone: Path
    dslr: Path
    weights: Weights | None
    names: list[str]
    sizes: list[tuple[int, int]]
    """(height, width) in px of every pair."""
    measures: Mapping[str, Mapping[Protocol, Measures]]
    lpips: Mapping[str, Tensor]
    """(N,), by what was scored, of clipped images; empty where it was not asked for."""

    def scores(self, protocol: Protocol) -> dict[str, Scores | None]:
        """Return the mean scores before and after; None where there is no network, or the protocol does not apply."""
        scored = {} if self.reason(protocol) else self.measures
        return {name: scored[name][protocol].scores(protocol) if name in scored else None for name in (BEFORE, AFTER)}

    def reason(self, protocol: Protocol) -> str:
        """Say why a protocol does not apply to these images; empty where it does."""
        if protocol == "image":
            return ""
        for start in range(0, len(self.sizes), BATCH_PAIRS):
            sizes = {size: index for index, size in enumerate(self.sizes[start : start + BATCH_PAIRS], start)}
            if len(sizes) > 1:
                one, other = (
                    f"{self.names[index]} is {size[1]}x{size[0]} px" for size, index in list(sizes.items())[:2]
                )
                return f"The protocol batch takes {BATCH_PAIRS} images of one size together, but {one} and {other}."
        return ""

    def as_json(self) -> dict[str, Any]:
        """Return the figures by protocol and what they are of, ready for JSON; what is not a number there is null."""
        weights = self.weights
        found: dict[str, Any] = {
            "phone": str(self.phone),
            "dslr": str(self.dslr),
            "pairs": len(self.names),
            "weights": weights and {"file": str(weights.file), "sha256": weights.sha256, "network": weights.network},
        }
        for protocol in PROTOCOLS:
            found[protocol] = {"pairs": len(self.names), **figures(self.scores(protocol))}
            if reason := self.reason(protocol):
                found[protocol]["reason"] = reason
        found["image"].update({f"lpips_{name}": float(values.mean()) for name, values in self.lpips.items()})
        return found

    def as_text(self) -> str:
        """Return the figures as a table to read, a line a protocol and image."""
        lines = [f"{len(self.names)} pairs of {self.phone} and {self.dslr}"]
        if self.weights:
            lines.append(f"network: {self.weights.network}, {self.weights.file}, SHA-256 {self.weights.sha256}")
        lines.append(f"{'protocol':10}{'scored':9}{'PSNR dB':>9}{'MS-SSIM':>9}{'SSIM':>9}  infinite PSNR")
        for protocol in PROTOCOLS:
            lines += [
                _line(protocol, _CALLED[name], scores) for name, scores in self.scores(protocol).items() if scores
            ]
        lines += [f"LPIPS, {_CALLED[name]}: {float(values.mean()):.4f}" for name, values in self.lpips.items()]
        return "\n".join([*lines, *filter(None, map(self.reason, PROTOCOLS))])

    def write(self, out: Path) -> None:
        """Write `out/metrics.json`, what `as_json` returns, and `out/scores.csv`, a row a pair (protocol image)."""
        columns: dict[str, Any] = {"name": self.names}
        for name, measures in self.measures.items():
            image = measures["image"]
            columns[f"psnr_{name}_db"] = image.psnr_db().tolist()
            columns[f"ms_ssim_{name}"] = image.ms_ssim().tolist()
            columns[f"ssim_{name}"] = image.ssim.tolist()
        columns.update({f"lpips_{name}": values.tolist() for name, values in self.lpips.items()})
        write_text(out / SCORES, pd.DataFrame(columns).to_csv(index=False))
        write_json(out / METRICS, self.as_json())


@dataclass(frozen=True)
class _Part:
    """What is kept of some pairs."""

    sizes: list[tuple[int, int]]
    measures: dict[str, dict[Protocol, Measures]]
    lpips: dict[str, Tensor]


def compare(
    phone: Path,
    dslr: Path,
    weights: Path | None,
    params: EvaluateParams,
    names: list[str] | None = None,
    lpips: Path | None = None,
) -> Comparison:
    """Score the phone's images against the DSLR's, and with weights the enhanced ones too.

    Parameters
    ----------
    phone, dslr
        Folders of images of equal names; the two of a pair are of one size, different pairs need not be.
    weights
        A file of weights or a model's folder; None: the phone's images alone are scored.
    params
        Where to compute.
    names
        The pairs that count, in this order, which the protocol `batch` depends on; None: all.
    lpips
        Folder of the weights of LPIPS, as `load_lpips` wants it; None: it is not computed.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, two images of a pair differ in size or are too small for LPIPS, a name is listed
        twice or is of no pair, or `params.device` is not there.

    """
    model = load_model(weights).to(choose_device(params.device)) if weights else None
    pairs = FolderPairs(phone, dslr, names)
    distance = load_lpips(lpips) if lpips else None
    parts = [_measure(batch, model, distance) for batch in _batches(pairs)]
    return Comparison(
        phone,
        dslr,
        _weights(weights, model),
        pairs.names(),
        sizes=[size for part in parts for size in part.sizes],
        measures={
            name: {
                protocol: Measures.joined([part.measures[name][protocol] for part in parts]) for protocol in PROTOCOLS
            }
            for name in parts[0].measures
        },
        lpips={name: torch.cat([part.lpips[name] for part in parts]) for name in parts[0].lpips},
    )


def _batches(pairs: Pairs) -> Iterator[Batch]:
    """Read the pairs in their order: neighbours of one size together, as many as are run together."""
    waiting: list[Batch] = []
    for index in track(range(len(pairs)), "evaluate", len(pairs)):
        batch = pairs.read([index])
        if waiting and (waiting[0].phone.shape != batch.phone.shape or _px(waiting) + _px([batch]) > PX_AT_ONCE):
            yield _joined(waiting)
            waiting = []
        waiting.append(batch)
    if waiting:
        yield _joined(waiting)


def _px(batches: list[Batch]) -> int:
    return sum(batch.phone[:, 0].numel() for batch in batches)


def _joined(batches: list[Batch]) -> Batch:
    return Batch(torch.cat([batch.phone for batch in batches]), torch.cat([batch.dslr for batch in batches]))


def _measure(batch: Batch, model: Generator | None, lpips: Lpips | None) -> _Part:
    height, width = batch.phone.shape[2:]
    if lpips and min(height, width) < SMALLEST_PX:
        raise DpedtoolError(f"LPIPS needs images of {SMALLEST_PX} px or more, not {width}x{height}: leave out --lpips.")
    images = {BEFORE: batch.phone}
    if model:
        images[AFTER] = enhance_patches(model, batch.phone, clip=False, at_once=len(batch.phone))
    return _Part(
        sizes=[(height, width)] * len(batch.phone),
        measures={name: measure_protocols(outputs, batch.dslr) for name, outputs in images.items()},
        lpips={name: lpips(outputs.clamp(0, 1), batch.dslr) for name, outputs in images.items()} if lpips else {},
    )


def _weights(path: Path | None, model: Generator | None) -> Weights | None:
    if path is None or model is None:
        return None
    file, _ = model_files(path)
    return Weights(file, file_sha256(file), model.architecture.name)


def _line(protocol: Protocol, image: str, scores: Scores) -> str:
    values = f"{scores.psnr_db:9.4f}{scores.ms_ssim:9.4f}{scores.ssim:9.4f}"
    return f"{protocol:10}{image:9}{values}  {scores.infinite_psnr}"
