"""Scores of two folders of images with equal names: phone images untouched, colour-transformed and enhanced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from dpedtool.dataset.sections import METRIC_NAMES
from dpedtool.dataset.sidecars.metrics import (
    NOT_SCORED,
    FittedPairs,
    FolderMetrics,
    FolderScores,
    NetworkSize,
    ScoredWeights,
    VersionScores,
)
from dpedtool.dataset.sidecars.score_rows import table_lines
from dpedtool.training.data import Batch, FolderPairs, Pairs, WholePairs, as_rgb, check_scale
from dpedtool.training.enhance.whole_photo import Settings, enhance_image
from dpedtool.training.evaluate.colour_transform import MOST_FITTED, ColourTransform, fit
from dpedtool.training.evaluate.lpips import SMALLEST_PX, Lpips, load_lpips
from dpedtool.training.evaluate.named_metrics import Metric, metrics_of
from dpedtool.training.evaluate.network_cost import Stopwatch, network_size
from dpedtool.training.evaluate.scoring import Sheet, shortfall
from dpedtool.training.inference import choose_device, enhance_patches
from dpedtool.training.metrics import BATCH_PAIRS, PROTOCOLS, Measures, Protocol, Scores
from dpedtool.training.networks.generators import Generator
from dpedtool.training.weights.checkpoint import load_model, model_files

SCORES = "scores.csv"

FolderVariant = Literal["before", "colour", "after"]
"""The versions that are scored: untouched phone images, a colour transform fitted to other pairs, the network."""
FOLDER_VARIANTS: tuple[FolderVariant, ...] = get_args(FolderVariant)
_CALLED: dict[FolderVariant, str] = {"before": "phone", "colour": "colour", "after": "network"}

PX_AT_ONCE = 160_000
"""Images of one size are run together up to this many px; larger images run in stripes.

DPED's network takes 1 kB for a px."""


@dataclass(frozen=True)
class Yardstick:
    """A colour transform fitted to pairs that are not scored, or the reason for its absence."""

    transform: ColourTransform | None = None
    pairs: int = 0
    """Number of pairs that it was fitted to."""
    reason: str = ""
    """Why there is no transform, as a clause after "since"; empty if there is one."""
    others: str = "that --names does not list"
    """Which pairs these were, as a clause after "pairs"."""
    fitted_to: str = "the other pairs"
    """The same as a noun."""

    def as_text(self) -> str:
        """Return the transform or the reason as one line of text."""
        if self.reason:
            return f"colour: not scored, since {self.reason}"
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        return f"colour: one quadratic colour transform, fitted to {pairs} {self.others}"


@dataclass(frozen=True)
class KnownSides:
    """What a split says about pairs for the test."""

    scenes: Sequence[str]
    """The scene of every pair."""
    training: Pairs | None
    """The pairs for the training, which the colour transform is fitted to; None: there are none."""


@dataclass(frozen=True)
class Comparison:
    """What was scored, and the measures of every pair by version and protocol."""

    phone: Path
    dslr: Path
    weights: ScoredWeights | None
    yardstick: Yardstick
    names: list[str]
    sizes: list[tuple[int, int]]
    """(height, width) in px of every pair."""
    sheet: Sheet[FolderVariant]
    """All scores of every pair."""
    network: NetworkSize | None = None
    ms_per_megapixel: float | None = None
    """What the network took here for a million px, wall-clock time; None without one."""
    known_scenes: Sequence[str] | None = None
    """The scene of every pair; None: it is not known which images are of one scene, so each pair counts as one."""
    masked: Sequence[float] | None = None
    """The share, 0..1, of each pair that is masked; None: masks are not known."""

    @property
    def lpips(self) -> dict[FolderVariant, Tensor]:
        """LPIPS of the clipped images, (N,), by version; empty if it was not asked for."""
        return {name: of["lpips"] for name, of in self.sheet.named.items() if "lpips" in of}

    @property
    def measures(self) -> Mapping[FolderVariant, Mapping[Protocol, Measures]]:
        """The measures of every pair by version and protocol."""
        return self.sheet.measures

    def scores(self, protocol: Protocol) -> dict[FolderVariant, Scores | None]:
        """Return the mean scores by version; None if a version is missing or the protocol does not apply."""
        scored = {} if self.reason(protocol) else self.measures
        return {name: scored[name][protocol].scores(protocol) if name in scored else None for name in FOLDER_VARIANTS}

    def reason(self, protocol: Protocol) -> str:
        """Return why a protocol does not apply to these images; empty if it applies."""
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
        """Return the scores by protocol, and what was scored, for their file."""
        return FolderMetrics(
            phone=str(self.phone),
            dslr=str(self.dslr),
            pairs=len(self.names),
            weights=self.weights,
            colour_transform=FittedPairs(self.yardstick.pairs, self.yardstick.reason or None),
            image=self._recorded("image", {name: float(values.mean()) for name, values in self.lpips.items()}),
            batch=self._recorded("batch", {}),
            metrics=self.sheet.named_scores(),
            differences=self.sheet.differences("after", self._scenes) if self.network else {},
            scenes=self.sheet.count(self._scenes),
            network=self.network,
        )

    @property
    def _scenes(self) -> Sequence[str]:
        return self.names if self.known_scenes is None else self.known_scenes

    def _recorded(self, protocol: Protocol, lpips: Mapping[FolderVariant, float]) -> FolderScores:
        variants = {name: replace(self._version(name, protocol), lpips=lpips.get(name)) for name in FOLDER_VARIANTS}
        return FolderScores(
            pairs=len(self.names),
            constant_targets=int(self.sheet.constant.sum()),
            reason=self.reason(protocol) or None,
            **variants,
        )

    def _version(self, name: FolderVariant, protocol: Protocol) -> VersionScores:
        scored = name in self.measures and not self.reason(protocol)
        return self.sheet.scores(name, protocol) if scored else NOT_SCORED

    def as_text(self) -> str:
        """Return the figures as a text table, one line per protocol and version, then notes on the result."""
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
        lines += ["", *table_lines(self.metrics())]
        if self.network:
            lines.append(
                f"network: {self.network.parameters} parameters, {self.network.multiply_adds_per_px:.0f} "
                f"multiply-adds a px, {self.ms_per_megapixel:.0f} ms a megapixel here"
            )
        return "\n".join([*lines, *filter(None, [*map(self.reason, PROTOCOLS), self._shortfall()])])

    def table(self) -> pd.DataFrame:
        """Return one row per pair with its scores under the protocol image."""
        columns: dict[str, Any] = {"name": self.names}
        columns |= {} if self.known_scenes is None else {"scene_id": list(self.known_scenes)}
        columns |= {} if self.masked is None else {"masked": list(self.masked)}
        for name, measures in self.measures.items():
            image = measures["image"]
            columns[f"psnr_{name}_db"] = image.psnr_db().tolist()
            columns[f"ms_ssim_{name}"] = image.ms_ssim().tolist()
            columns[f"ssim_{name}"] = image.ssim.tolist()
        columns["constant_target"] = self.sheet.constant.int().tolist()
        for name, measures in self.sheet.matched.items():
            image = measures["image"]
            columns[f"psnr_{name}_matched_db"] = image.psnr_db().tolist()
            columns[f"ms_ssim_{name}_matched"] = image.ms_ssim().tolist()
            columns[f"ssim_{name}_matched"] = image.ssim.tolist()
            columns.update({f"{metric}_{name}": of.tolist() for metric, of in self.sheet.named[name].items()})
        return pd.DataFrame(columns)

    def write(self, out: Path) -> None:
        """Write `metrics()` to `out/metrics.json`, and `table()` to `out/scores.csv`."""
        write_text(out / SCORES, self.table().to_csv(index=False))
        self.metrics().write(FolderMetrics.file_in(out))

    def _shortfall(self) -> str:
        network, colour = self._version("after", "image"), self._version("colour", "image")
        return shortfall(network, colour, self.yardstick.fitted_to)


@dataclass(frozen=True)
class _FolderRivals:
    """The colour transform and the network, which make the scored versions of the phone's images."""

    colour: ColourTransform | None
    model: Generator | None
    stopwatch: Stopwatch

    @property
    def names(self) -> list[FolderVariant]:
        """The names of the versions that exist."""
        there = (True, self.colour, self.model)
        return [variant for variant, made in zip(FOLDER_VARIANTS, there, strict=True) if made]

    def variants(self, phone: Tensor) -> dict[FolderVariant, Tensor]:
        """Return the versions of the phone's images (N, 3, H, W); the network's version is not clipped."""
        made: dict[FolderVariant, Tensor] = {"before": phone}
        if self.colour:
            made["colour"] = self.colour.apply(phone)
        if self.model:
            model = self.model
            made["after"] = self.stopwatch.timed(lambda: _enhanced(model, phone))
        return made


def _enhanced(model: Generator, phone: Tensor) -> Tensor:
    """Run the network over images (N, 3, H, W), not clipped; whole photos run in stripes, which take less memory."""
    if phone[0, 0].numel() <= PX_AT_ONCE:
        return enhance_patches(model, phone, clip=False, at_once=len(phone))
    settings = Settings(next(model.parameters()).device, "float32")
    try:
        return torch.stack([enhance_image(model, photo, settings) for photo in phone])
    except Rejection as rejection:
        raise DpedtoolError(rejection.detail) from None


class _Record:
    """The size and the measures of every pair, in the order of the pairs."""

    def __init__(
        self, count: int, variants: list[FolderVariant], lpips: Lpips | None, metrics: Sequence[Metric]
    ) -> None:
        distance = [Metric("lpips", lpips, "lower", SMALLEST_PX)] if lpips else []
        self._has_distance = bool(distance)
        self.sheet = Sheet(count, variants, [*metrics, *distance])
        self.sizes: list[tuple[int, int]] = []

    def add(self, images: Mapping[FolderVariant, Tensor], dslr: Tensor, usable: Tensor | None = None) -> None:
        """Measure the next pairs: all versions of the phone's images and the DSLR's images, each (N, 3, H, W).

        `usable` (N, 1, H, W) says which px can be compared, as `Sheet.put` takes it.
        """
        start, (count, _, height, width) = len(self.sizes), dslr.shape
        if self._has_distance and min(height, width) < SMALLEST_PX:
            raise DpedtoolError(
                f"LPIPS needs images of {SMALLEST_PX} px or more, not {width}x{height}: leave out --lpips."
            )
        self.sheet.put(start, images, dslr, usable)
        self.sizes += [(height, width)] * count


def compare(
    phone: Path,
    dslr: Path,
    weights: Path | None,
    params: EvaluateParams,
    names: list[str] | None = None,
    lpips: Path | None = None,
    own: str | None = None,
    known: KnownSides | None = None,
) -> Comparison:
    """Score the phone's images against the DSLR's; with weights, score the enhanced images too.

    With `names`, a quadratic colour transform is scored as well. It is fitted to the pairs that are not listed.

    Parameters
    ----------
    phone, dslr
        Folders of images with equal names. Both images of a pair have the same size; different pairs may differ.
    weights
        A file of weights or a model's folder; None: only the phone's images are scored.
    params
        Where to compute, and the metrics.
    names
        The pairs that are scored, in this order, which the protocol `batch` depends on; None: all.
    lpips
        Folder of the weights of LPIPS, as `load_lpips` needs it; None: that of the parameters, if they name one.
    own
        The network of the user's own that the user names, as in `load_model`.
    known
        What is known about the pairs, all of which are scored; None: nothing.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, two images of a pair differ in size or are too small for LPIPS, a name is listed
        twice or belongs to no pair, the network enlarges, or `params.device` is not available.

    """
    model = load_model(weights, own).to(choose_device(params.device)) if weights else None
    distance = lpips or (Path(params.lpips) if params.lpips else None)
    return compare_network(phone, dslr, model, _weights(weights, model), names, distance, params.metrics, known)


def compare_network(
    phone: Path,
    dslr: Path,
    model: Generator | None,
    weights: ScoredWeights | None = None,
    names: list[str] | None = None,
    lpips: Path | None = None,
    metrics: Sequence[str] = METRIC_NAMES,
    known: KnownSides | None = None,
) -> Comparison:
    """Do the same as `compare` with a network that is loaded; `weights` says which file it is from, if any."""
    named = metrics_of(metrics)
    pairs = FolderPairs(phone, dslr, names)
    if model:
        check_scale(pairs, model.scale, model.architecture.name)
    distance = load_lpips(lpips) if lpips else None
    if known and len(known.scenes) != len(pairs):
        raise DpedtoolError(
            f"{phone} and {dslr} hold {len(pairs)} pairs, but the tables of the release have {len(known.scenes)}: "
            "download it again, and run `dpedtool release verify`."
        )
    yardstick = _fit_to_training(known.training) if known else _fit_to_others(phone, dslr, pairs)
    rivals = _FolderRivals(yardstick.transform, model, Stopwatch())
    record = _Record(len(pairs), rivals.names, distance, named)
    for batch in _batches(pairs):
        record.add(rivals.variants(batch.phone), batch.dslr)
    return Comparison(
        phone,
        dslr,
        weights,
        yardstick,
        pairs.names(),
        sizes=record.sizes,
        sheet=record.sheet,
        network=network_size(model) if model else None,
        ms_per_megapixel=rivals.stopwatch.ms_per_megapixel(),
        known_scenes=known.scenes if known else None,
    )


def compare_whole(
    pairs: WholePairs,
    places: tuple[Path, Path],
    weights: Path | None,
    params: EvaluateParams,
    training: Pairs | None,
    own: str | None = None,
) -> Comparison:
    """Score whole aligned pairs of photos as `compare` scores folders. Masked parts are not compared.

    Parameters
    ----------
    pairs
        The pairs.
    places
        What the phone's and the DSLR's photos are from, for the results.
    weights, params, own
        As of `compare`.
    training
        Pairs of patches that the colour transform is fitted to; None, or without any: it is not scored.

    Raises
    ------
    DpedtoolError
        A photo is missing or damaged, the network enlarges, or `params.device` is not available.

    """
    model = load_model(weights, own).to(choose_device(params.device)) if weights else None
    if model and model.scale != 1:
        raise DpedtoolError(
            f"The network {model.architecture.name} makes images {model.scale} times as large as its input, but the "
            "DSLR's whole photos are on the phone's grid: choose a network that does not enlarge."
        )
    yardstick = _fit_to_training(training)
    rivals = _FolderRivals(yardstick.transform, model, Stopwatch())
    count, masked = len(pairs.names), []
    lpips = load_lpips(Path(params.lpips)) if params.lpips else None
    record = _Record(count, rivals.names, lpips, metrics_of(params.metrics))
    for index in track(range(count), "evaluate whole photos", count):
        pair = pairs.read(index)
        phone, dslr = (as_rgb(image)[None].float() / 255 for image in (pair.phone, pair.dslr))
        usable = None if pair.usable.all() else torch.from_numpy(pair.usable)[None, None]
        masked.append(1 - float(pair.usable.mean()))
        record.add(rivals.variants(phone), dslr, usable)
    return Comparison(
        *places,
        _weights(weights, model),
        yardstick,
        list(pairs.names),
        sizes=record.sizes,
        sheet=record.sheet,
        network=network_size(model) if model else None,
        ms_per_megapixel=rivals.stopwatch.ms_per_megapixel(),
        known_scenes=pairs.scenes,
        masked=masked,
    )


def _fit_to_training(training: Pairs | None) -> Yardstick:
    if training is None or not len(training):
        return Yardstick(reason="there are no training patches to fit it to")
    count = min(len(training), MOST_FITTED)
    return Yardstick(fit(training), count, others="of training patches", fitted_to="the training patches")


def _fit_to_others(phone: Path, dslr: Path, scored: Pairs) -> Yardstick:
    """Fit to the pairs of the folders that are not scored, so that the transform has seen no scored pair."""
    names = set(scored.names())
    others = FolderPairs(phone, dslr, [name for name in FolderPairs(phone, dslr).names() if name not in names])
    if not len(others):
        return Yardstick(
            reason="every pair is scored, so no pair is left to fit it to: list the pairs to score with --names"
        )
    try:
        return Yardstick(fit(others), min(len(others), MOST_FITTED))
    except DpedtoolError as error:
        # A bad pair that nobody asked to score must not stop the scoring of the others.
        return Yardstick(reason=f"it could not be fitted to the pairs that --names does not list: {error}")


def _batches(pairs: Pairs) -> Iterator[Batch]:
    """Read the pairs in their order and group neighbours of the same size into batches that run together."""
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
