"""Scores of any two folders of equal-named images: the phone's as they are, in other colours, and enhanced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError, Rejection
from dpedtool.dataset.io import file_sha256, write_text
from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.progress import track
from dpedtool.dataset.sidecars.metrics import FittedPairs, FolderMetrics, FolderScores, ScoredWeights
from dpedtool.training.data import Batch, FolderPairs, Pairs
from dpedtool.training.enhance.whole_photo import Settings, enhance_image
from dpedtool.training.evaluate.colour_transform import MOST_FITTED, ColourTransform, fit
from dpedtool.training.evaluate.lpips import SMALLEST_PX, Lpips, load_lpips
from dpedtool.training.evaluate.scoring import Sheet, shortfall
from dpedtool.training.inference import choose_device, enhance_patches
from dpedtool.training.metrics import BATCH_PAIRS, PROTOCOLS, Measures, Protocol, Scores, measure_protocols, recorded
from dpedtool.training.networks.generators import Generator
from dpedtool.training.weights.checkpoint import load_model, model_files

SCORES = "scores.csv"

FolderVariant = Literal["before", "colour", "after"]
"""What is scored: the untouched phone images, a colour transform of them fitted to other pairs, and the network's."""
FOLDER_VARIANTS: tuple[FolderVariant, ...] = get_args(FolderVariant)
_CALLED: dict[FolderVariant, str] = {"before": "phone", "colour": "colour", "after": "network"}

PX_AT_ONCE = 160_000
"""Images of one size are run together up to so many px, DPED's network taking 1 kB a px; larger ones in stripes."""


@dataclass(frozen=True)
class Yardstick:
    """A colour transform of pairs that are not scored, or why there is none."""

    transform: ColourTransform | None = None
    pairs: int = 0
    """How many it was fitted to."""
    reason: str = ""
    """Why there is none, a subordinate clause; empty where there is one."""

    def as_text(self) -> str:
        """Return the same as a line to read."""
        if self.reason:
            return f"colour: not scored, since {self.reason}"
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        return f"colour: one quadratic colour transform, fitted to {pairs} that --names does not list"


@dataclass(frozen=True)
class Comparison:
    """What was scored, and every pair's measures by what was scored and by protocol."""

    phone: Path
    dslr: Path
    weights: ScoredWeights | None
    yardstick: Yardstick
    names: list[str]
    sizes: list[tuple[int, int]]
    """(height, width) in px of every pair."""
    measures: Mapping[FolderVariant, Mapping[Protocol, Measures]]
    lpips: Mapping[FolderVariant, Tensor]
    """(N,), by what was scored, of clipped images; empty where it was not asked for."""

    def scores(self, protocol: Protocol) -> dict[FolderVariant, Scores | None]:
        """Return the mean scores by what was scored; None where it is not there, or the protocol does not apply."""
        scored = {} if self.reason(protocol) else self.measures
        return {name: scored[name][protocol].scores(protocol) if name in scored else None for name in FOLDER_VARIANTS}

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

    def metrics(self) -> FolderMetrics:
        """Return the scores by protocol and what they are of, for their file."""
        return FolderMetrics(
            phone=str(self.phone),
            dslr=str(self.dslr),
            pairs=len(self.names),
            weights=self.weights,
            colour_transform=FittedPairs(self.yardstick.pairs, self.yardstick.reason or None),
            image=self._recorded("image", {name: float(values.mean()) for name, values in self.lpips.items()}),
            batch=self._recorded("batch", {}),
        )

    def _recorded(self, protocol: Protocol, lpips: Mapping[FolderVariant, float]) -> FolderScores:
        variants = {
            name: replace(recorded(scores), lpips=lpips.get(name)) for name, scores in self.scores(protocol).items()
        }
        return FolderScores(pairs=len(self.names), reason=self.reason(protocol) or None, **variants)

    def as_text(self) -> str:
        """Return the figures as a table to read, a line a protocol and version; then what the network lacks."""
        lines = [f"{len(self.names)} pairs of {self.phone} and {self.dslr}"]
        if self.weights:
            lines.append(f"network: {self.weights.network}, {self.weights.file}, SHA-256 {self.weights.sha256}")
        lines.append(self.yardstick.as_text())
        lines.append(f"{'protocol':10}{'scored':9}{'PSNR dB':>9}{'MS-SSIM':>9}{'SSIM':>9}  infinite PSNR")
        for protocol in PROTOCOLS:
            lines += [
                _line(protocol, _CALLED[name], scores) for name, scores in self.scores(protocol).items() if scores
            ]
        lines += [f"LPIPS, {_CALLED[name]}: {float(values.mean()):.4f}" for name, values in self.lpips.items()]
        return "\n".join([*lines, *filter(None, [*map(self.reason, PROTOCOLS), self._shortfall()])])

    def write(self, out: Path) -> None:
        """Write `out/metrics.json`, what `metrics` returns, and `out/scores.csv`, a row a pair (protocol image)."""
        columns: dict[str, Any] = {"name": self.names}
        for name, measures in self.measures.items():
            image = measures["image"]
            columns[f"psnr_{name}_db"] = image.psnr_db().tolist()
            columns[f"ms_ssim_{name}"] = image.ms_ssim().tolist()
            columns[f"ssim_{name}"] = image.ssim.tolist()
        columns.update({f"lpips_{name}": values.tolist() for name, values in self.lpips.items()})
        write_text(out / SCORES, pd.DataFrame(columns).to_csv(index=False))
        self.metrics().write(FolderMetrics.file_in(out))

    def _shortfall(self) -> str:
        scores = self.scores("image")
        network, colour = scores["after"], scores["colour"]
        return shortfall(network, colour, "the other pairs") if network and colour else ""


@dataclass(frozen=True)
class _FolderRivals:
    """What makes the versions that are scored of the phone's images."""

    colour: ColourTransform | None
    model: Generator | None

    @property
    def names(self) -> list[FolderVariant]:
        """Which versions there are."""
        there = (True, self.colour, self.model)
        return [variant for variant, made in zip(FOLDER_VARIANTS, there, strict=True) if made]

    def variants(self, phone: Tensor) -> dict[FolderVariant, Tensor]:
        """Return the versions of the phone's images (N, 3, H, W), the network's not clipped."""
        made: dict[FolderVariant, Tensor] = {"before": phone}
        if self.colour:
            made["colour"] = self.colour.apply(phone)
        if self.model:
            made["after"] = _enhanced(self.model, phone)
        return made


def _enhanced(model: Generator, phone: Tensor) -> Tensor:
    """Run the network over images (N, 3, H, W), not clipped; whole photos in stripes, which take less memory."""
    if phone[0, 0].numel() <= PX_AT_ONCE:
        return enhance_patches(model, phone, clip=False, at_once=len(phone))
    settings = Settings(next(model.parameters()).device, "float32")
    try:
        return torch.stack([enhance_image(model, photo, settings) for photo in phone])
    except Rejection as rejection:
        raise DpedtoolError(rejection.detail) from None


class _Record:
    """What is kept of every pair: its size and its measures, in the order of the pairs."""

    def __init__(self, count: int, variants: list[FolderVariant], lpips: Lpips | None) -> None:
        self._distance = lpips
        self.sheet = Sheet(count, variants)
        self.lpips = {name: torch.full((count,), torch.nan) for name in variants if lpips}
        self.sizes: list[tuple[int, int]] = []

    def add(self, images: Mapping[FolderVariant, Tensor], dslr: Tensor) -> None:
        """Measure the next pairs: all versions of the phone's images, and the DSLR's, each (N, 3, H, W)."""
        start, (count, _, height, width) = len(self.sizes), dslr.shape
        if self._distance and min(height, width) < SMALLEST_PX:
            raise DpedtoolError(
                f"LPIPS needs images of {SMALLEST_PX} px or more, not {width}x{height}: leave out --lpips."
            )
        for name, outputs in images.items():
            self.sheet.put(name, start, measure_protocols(outputs, dslr))
            if self._distance:
                self.lpips[name][start : start + count] = self._distance(outputs.clamp(0, 1), dslr)
        self.sizes += [(height, width)] * count


def compare(
    phone: Path,
    dslr: Path,
    weights: Path | None,
    params: EvaluateParams,
    names: list[str] | None = None,
    lpips: Path | None = None,
) -> Comparison:
    """Score the phone's images against the DSLR's, and with weights the enhanced ones too.

    With `names`, a quadratic colour transform is scored beside them, fitted to the pairs that are not listed.

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
    yardstick = _fit_to_others(phone, dslr, pairs)
    rivals = _FolderRivals(yardstick.transform, model)
    record = _Record(len(pairs), rivals.names, distance)
    for batch in _batches(pairs):
        record.add(rivals.variants(batch.phone), batch.dslr)
    return Comparison(
        phone,
        dslr,
        _weights(weights, model),
        yardstick,
        pairs.names(),
        sizes=record.sizes,
        measures=record.sheet.measures,
        lpips=record.lpips,
    )


def _fit_to_others(phone: Path, dslr: Path, scored: Pairs) -> Yardstick:
    """Fit to the pairs of the folders that are not scored, so that the transform has seen none of those that are."""
    names = set(scored.names())
    others = FolderPairs(phone, dslr, [name for name in FolderPairs(phone, dslr).names() if name not in names])
    if not len(others):
        return Yardstick(reason="every pair is scored and none is left to fit it to: name those to score by --names")
    try:
        return Yardstick(fit(others), min(len(others), MOST_FITTED))
    except DpedtoolError as error:
        # Pairs that nobody asked to score must not keep the others from being scored.
        return Yardstick(reason=f"the pairs that --names does not list cannot be fitted to: {error}")


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


def _weights(path: Path | None, model: Generator | None) -> ScoredWeights | None:
    if path is None or model is None:
        return None
    file, _ = model_files(path)
    return ScoredWeights(str(file), file_sha256(file), model.architecture.name)


def _line(protocol: Protocol, image: str, scores: Scores) -> str:
    values = f"{scores.psnr_db:9.4f}{scores.ms_ssim:9.4f}{scores.ssim:9.4f}"
    return f"{protocol:10}{image:9}{values}  {scores.infinite_psnr}"
