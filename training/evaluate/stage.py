"""Stage evaluate: the network on patches it has not seen, compared with untouched patches and a colour transform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from dpedtool.dataset.params import EvaluateParams
from dpedtool.dataset.photos.encoding import save_image
from dpedtool.dataset.photos.pixels import Image
from dpedtool.dataset.progress import track
from dpedtool.dataset.schema import Sample, Score
from dpedtool.dataset.sidecars.metrics import NOT_SCORED, Metrics, NetworkSize, PatchScores, TagScores
from dpedtool.dataset.sidecars.score_rows import table_lines
from dpedtool.dataset.tables import read_frame, write_rows
from dpedtool.training.data import EnlargedPairs, Pairs, PatchPairs, check_scale
from dpedtool.training.evaluate.by_tag import say_tags, score_tags
from dpedtool.training.evaluate.colour_transform import fit, fit_each_photo
from dpedtool.training.evaluate.examples import (
    ShownPatch,
    choose_patches,
    remove_examples,
    show_patches,
    write_examples,
)
from dpedtool.training.evaluate.lpips import lpips_metric
from dpedtool.training.evaluate.named_metrics import Metric, metrics_of
from dpedtool.training.evaluate.network_cost import network_size
from dpedtool.training.evaluate.scoring import Sheet, shortfall
from dpedtool.training.inference import choose_device, enhance_patches
from dpedtool.training.metrics import Protocol, Scores
from dpedtool.training.networks.generators import Generator
from dpedtool.training.weights.checkpoint import load_card, load_model

PICTURE = "before_after.png"
BLANK_PX = 8
SCORED_AT_ONCE = 10
"""This bounds the memory; it changes results only by rounding."""

Variant = Literal["before", "colour", "oracle", "after"]
"""The versions that are scored: the untouched phone patch, a colour transform fitted to the training patches, one
fitted to the very photo of the patch, and the network's output."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)


@dataclass(frozen=True)
class Evaluation:
    """Scores of the network and of the versions it is compared with; without training patches there is no `colour`."""

    sheet: Sheet[Variant]
    """All scores of every pair."""
    scenes: list[str]
    """The scene of every pair."""
    network: NetworkSize | None = None
    trained: bool = True
    """Whether the network was ever trained."""
    by_tag: dict[str, TagScores] = field(default_factory=dict)
    """Scores by the tags of the scenes, and by their sessions where there are several."""

    @cached_property
    def scores(self) -> dict[Variant, dict[Protocol, Scores]]:
        """The means of all pairs, by the definitions of the protocols."""
        return {
            variant: {protocol: scored.scores(protocol) for protocol, scored in of.items()}
            for variant, of in self.sheet.measures.items()
        }

    @property
    def before(self) -> dict[Protocol, Scores]:
        """Scores of the untouched phone patches."""
        return self.scores["before"]

    @property
    def after(self) -> dict[Protocol, Scores]:
        """Scores of the network."""
        return self.scores["after"]

    def sentence(self) -> str:
        """Return what the network gains, and what colour alone would gain, under the protocol `image`."""
        before, after = self.before["image"], self.after["image"]
        if not after.pairs:
            return (
                "There are no test patches, so nothing was scored: add more scenes, or set a larger split.test and "
                "split.redraw, and run `dpedtool split` again."
            )
        patches = "1 test patch" if after.pairs == 1 else f"{after.pairs} test patches"
        network = "" if self.trained else "The network is untrained. "
        return (
            f"{network}{patches}: PSNR {before.psnr_db:.2f} to {after.psnr_db:.2f} dB, "
            f"MS-SSIM {before.ms_ssim:.4f} to {after.ms_ssim:.4f} (protocol image).{self._beside_colour()}"
        )

    def tag_lines(self) -> list[str]:
        """Return a line for each tag with what the network gains there, under the protocol `image`."""
        return say_tags(self.by_tag)

    def metrics(self) -> Metrics:
        """Return the scores by protocol and by tag, for their file."""
        return Metrics(
            image=self._recorded("image"),
            batch=self._recorded("batch"),
            by_tag=self.by_tag,
            metrics=self.sheet.named_scores(),
            differences=self.sheet.differences("after", self.scenes),
            scenes=self.sheet.count(self.scenes),
            network=self.network,
        )

    def table_lines(self) -> list[str]:
        """Return a table of all scores, over the same patches for all versions; empty without test patches."""
        return table_lines(self.metrics()) if self.after["image"].pairs else []

    def _recorded(self, protocol: Protocol) -> PatchScores:
        variants = {
            variant: self.sheet.scores(variant, protocol) if variant in self.scores else NOT_SCORED
            for variant in VARIANTS
        }
        return PatchScores(
            pairs=self.after[protocol].pairs, constant_targets=int(self.sheet.constant.sum()), **variants
        )

    def _beside_colour(self) -> str:
        if "colour" not in self.scores:
            return ""
        colour, oracle = (self.scores[variant]["image"] for variant in ("colour", "oracle"))
        said = (
            f" One colour transform fitted to the training patches gives {colour.psnr_db:.2f} dB and "
            f"{colour.ms_ssim:.4f}; a transform fitted to each test photo gives {oracle.psnr_db:.2f} dB and "
            f"{oracle.ms_ssim:.4f}."
        )
        of_all = [self.sheet.scores(variant, "image") for variant in ("after", "colour")]
        return f"{said} {shortfall(of_all[0], of_all[1], 'the training patches')}".rstrip()


class _Rivals:
    """The network and the colour transforms, which make the scored versions of the phone's patches."""

    def __init__(self, model: Generator, training: Pairs, test: Pairs) -> None:
        self._model, self._photos = model, test.photos()
        self._colour = fit(training) if len(training) and len(test) else None
        self._oracle = fit_each_photo(test)

    @property
    def names(self) -> list[Variant]:
        """The names of the versions that exist."""
        return [variant for variant in VARIANTS if self._colour or variant != "colour"]

    def variants(self, indices: Sequence[int], phone: Tensor, seen: Tensor) -> dict[Variant, Tensor]:
        """Return the versions of some test patches, each as large as the target; the network's is not clipped.

        Parameters
        ----------
        indices
            The patches.
        phone
            (N, 3, H, W): the phone's images, enlarged to the size of the targets.
        seen
            The phone's images as they were cut, for the network.

        """
        own = [self._oracle[self._photos[index]].apply(image) for index, image in zip(indices, phone, strict=True)]
        made: dict[Variant, Tensor] = {"before": phone, "oracle": torch.stack(own)}
        if self._colour:
            made["colour"] = self._colour.apply(phone)
        return {**made, "after": enhance_patches(self._model, seen, clip=False)}


def evaluate(table: Path, model_dir: Path, out: Path, params: EvaluateParams, own: str | None = None) -> Evaluation:
    """Score a model on the test samples of `table`, and a colour transform fitted to its training samples.

    The function writes `out/scores.parquet`, one row per patch; `out/metrics.json`, the means under both protocols, and
    by the tags that `scenes.parquet` next to the table has; `out/before_after.png`, some patches as phone, network and
    DSLR; and `out/examples/` with `out/examples.json`, the same and more patches as separate files (see
    `dpedtool.training.evaluate.examples`). Without test patches the table and the list of examples are empty, the means
    are null and the picture is blank. `own` is the network of the user's own that the user names, as in `load_model`.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, a metric cannot be loaded, the targets are not as large as what the network makes
        of the phone's patches, or `params.device` is not available.

    """
    metrics = metrics_of(params.metrics) + ([lpips_metric(Path(params.lpips))] if params.lpips else [])
    patches = PatchPairs(table, "test")
    model = load_model(model_dir, own).to(choose_device(params.device))
    check_scale(patches, model.scale, model.architecture.name)
    rivals = _Rivals(model, EnlargedPairs(PatchPairs(table, "train")), EnlargedPairs(patches))
    sheet = _measure(rivals, patches, metrics)
    each = {variant: of["image"] for variant, of in sheet.measures.items()}
    scenes = read_frame(table, Sample, ["scene_id"], where={"split": "test"})["scene_id"].tolist()
    evaluation = Evaluation(
        sheet,
        scenes,
        network_size(model),
        trained=load_card(model_dir).is_trained,
        by_tag=score_tags(table, each["before"], each["after"], sheet.constant),
    )
    spread = patches.spread(params.pictures)
    chosen = choose_patches(spread, each["before"], each["after"], max(1, params.pictures // 2))
    shown = show_patches(model, patches, chosen)
    remove_examples(out)
    write_rows(Score.table_in(out), Score, _rows(patches.names(), scenes, sheet))
    save_image(out / PICTURE, _picture([_column(patch) for patch in shown if patch.index in spread]))
    evaluation.metrics().write(Metrics.file_in(out))
    write_examples(out, model, patches, shown, {"before": each["before"], "after": each["after"]}, params.photos)
    return evaluation


def _measure(rivals: _Rivals, patches: PatchPairs, metrics: list[Metric]) -> Sheet[Variant]:
    """Make and measure all versions, a few patches at a time."""
    sheet = Sheet(len(patches), rivals.names, metrics)
    starts = range(0, len(patches), SCORED_AT_ONCE)
    for start in track(starts, "evaluate", len(starts)):
        indices = range(start, min(start + SCORED_AT_ONCE, len(patches)))
        batch = patches.read(indices)
        phone = batch.phone if patches.target_scale == 1 else EnlargedPairs(patches).read(indices).phone
        sheet.put(start, rivals.variants(indices, phone, batch.phone), batch.dslr)
    return sheet


def _rows(names: list[str], scenes: list[str], sheet: Sheet[Variant]) -> Iterator[Score]:
    columns: dict[str, list[Any]] = {
        "patch_id": names,
        "scene_id": scenes,
        "constant_target": sheet.constant.int().tolist(),
        "metrics": [tuple(metric.name for metric in sheet.metrics)] * len(names),
    }
    for variant in VARIANTS:
        for kind, measures in (("", sheet.measures), ("matched_", sheet.matched)):
            of = measures[variant]["image"] if variant in measures else None
            missing = [None] * len(names)
            columns[f"psnr_{kind}{variant}"] = of.psnr_db().tolist() if of else missing
            columns[f"ms_ssim_{kind}{variant}"] = of.ms_ssim().tolist() if of else missing
            columns[f"ssim_{kind}{variant}"] = of.ssim.tolist() if of else missing
        values = [each.tolist() for each in sheet.named.get(variant, {}).values()]
        columns[f"metrics_{variant}"] = list(zip(*values, strict=True)) if values else [()] * len(names)
    for row in zip(*columns.values(), strict=True):
        yield Score(**dict(zip(columns, row, strict=True)))


def _column(patch: ShownPatch) -> Image:
    """Return one patch as phone, network and DSLR from top to bottom, (3 H, W, 3) BGR."""
    return np.concatenate([patch.phone, patch.network, patch.dslr])


def _picture(columns: list[Image]) -> Image:
    """Return the columns side by side at twice their size; without columns a blank square, so that a file exists."""
    if not columns:
        return np.full((BLANK_PX, BLANK_PX, 3), 255, np.uint8)
    picture: Image = np.concatenate(columns, axis=1).repeat(2, axis=0).repeat(2, axis=1)
    return picture
