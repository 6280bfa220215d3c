"""Stage train: fit the generator to one phone's patches, and keep the weights that validate best."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dataset import photos
from dataset.errors import DpedtoolError
from dataset.io import code_digest, digest, file_sha256, write_text
from dataset.params import TrainParams, describe
from dataset.progress import track
from training import checkpoint, data, discriminator, inference, initialisation, losses, metrics, model
from training.checkpoint import (
    UNFINISHED,
    load_tensors,
    optimizer_tensors,
    read_notes,
    restore_optimizer,
    save_model,
    save_tensors,
)
from training.data import Batch, PatchPairs
from training.discriminator import Discriminator
from training.inference import choose_device, enhance_patches
from training.initialisation import initialise
from training.losses import GeneratorLoss, discriminator_loss
from training.metrics import ms_ssim_each, psnr_each
from training.model import Architecture, Generator

HISTORY = "history.csv"
SCORE_COLUMNS = ("validation_psnr_db", "validation_ms_ssim")
NO_PATCHES = "there are no training patches: more accepted patches, or other split shares, are needed"
WARM_UP_SHARE = 0.05
MOST_VALIDATED = 64
"""Patches a validation looks at, spread evenly over the split: enough to rank weights, cheap enough to do often."""


@dataclass(frozen=True)
class Validation:
    """How the weights after some iterations do on the validation patches; NaN where there are none."""

    iteration: int
    psnr_db: float
    ms_ssim: float


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    iterations: int
    best: Validation
    """The one whose weights were kept."""
    untrained: str = ""
    """Why nothing could be trained; empty where it could."""

    def sentence(self) -> str:
        """Say in a line which weights were kept."""
        if self.untrained:
            return f"Not trained, since {self.untrained}; the network kept is an untrained one."
        score = "not validated"
        if not math.isnan(self.best.psnr_db):
            score = f"{self.best.psnr_db:.2f} dB PSNR on validation patches"
        return f"Kept the weights after {self.best.iteration} of {self.iterations} iterations: {score}."


def train(table: Path, out: Path, params: TrainParams) -> Outcome:
    """Train on the samples of `table` and write the model, its card and `history.csv` to `out`.

    The run depends on the parameters and the samples alone. An interrupted one goes on from its last validation, if
    neither they nor the code nor torch's version have changed since. Without validation patches the last weights are
    kept; without training patches the untrained network, whose card says so, that the other phones' run may go on.

    Raises
    ------
    DpedtoolError
        The table is missing, a shard is damaged, or `params.device` is not there.

    """
    device = choose_device(params.device)
    patches = PatchPairs(table, "train")
    if not len(patches):
        return _keep_untrained(out, params, NO_PATCHES)
    key = digest([describe(params), file_sha256(table), torch.__version__, _CODE])
    run = _Run(params, device, key, patches.read([0]).phone.shape[-1], PatchPairs(table, "validation"))
    run.restore(out / UNFINISHED)
    for iteration in track(range(run.iteration + 1, params.iterations + 1), "train", params.iterations - run.iteration):
        run.step(patches)
        if iteration % params.validate_every == 0 or iteration == params.iterations:
            run.validate()
            run.save(out / UNFINISHED)
    write_text(out / HISTORY, history_csv(run.history))
    save_model(out, run.best_model(), {"trained": True, "training": _card(run, table, len(patches))})
    (out / UNFINISHED).unlink()
    return Outcome(params.iterations, run.best)


def _keep_untrained(out: Path, params: TrainParams, reason: str) -> Outcome:
    """Write the network as it begins, passing the photo through: the stages after this one find their files."""
    network = architecture(params).build()
    initialise(network, _random(params.seed, stream=0))
    write_text(out / HISTORY, history_csv([]))
    save_model(out, network, {"trained": False, "reason": reason})
    (out / UNFINISHED).unlink(missing_ok=True)
    return Outcome(0, Validation(0, math.nan, math.nan), reason)


class _Run:
    """Everything that changes while training; `iteration` counts the steps done."""

    def __init__(
        self, params: TrainParams, device: torch.device, key: str, patch_px: int, validation: PatchPairs
    ) -> None:
        self.params, self.device, self.key = params, device, key
        self.iteration = 0
        self.history: list[dict[str, float]] = []
        self.best = Validation(0, -math.inf, math.nan)
        self.best_weights: dict[str, Tensor] = {}
        self.model: Generator = self._network(architecture(params).build(), stream=0)
        self.loss = GeneratorLoss(params)
        self.optimizer = self._adam(self.model)
        if self.loss.needs_discriminator:
            self.discriminator: Discriminator = self._network(
                _discriminator(min(params.crop_px, patch_px), params), stream=1
            )
            self.discriminator_optimizer = self._adam(self.discriminator)
        self._validation = validation
        self._sums: dict[str, float] = defaultdict(float)

    def step(self, patches: PatchPairs) -> None:
        """Draw a batch and take one step of the generator, and one of the discriminator where there is one."""
        # The draw follows from the iteration, so that a resumed run sees the patches that it would have seen.
        rng = np.random.default_rng([self.params.seed, self.iteration])
        batch = self._on_device(patches.draw(self.params.batch, self.params.crop_px, rng))
        for optimizer in self._optimizers():
            optimizer.param_groups[0]["lr"] = learning_rate(self.iteration, self.params)
        outputs = self.model(batch.phone)
        logits = self.discriminator(outputs) if self.loss.needs_discriminator else None
        total, terms = self.loss(outputs, batch.dslr, logits)
        _descend(self.optimizer, total)
        if self.loss.needs_discriminator:
            self._step_discriminator(batch.dslr, outputs.detach())
        self.iteration += 1
        for name, value in {"loss": total, **terms}.items():
            self._sums[name] += value.item()
        self._sums["steps"] += 1

    def validate(self) -> None:
        """Score the weights, note the losses since the last validation, and remember the weights if they lead."""
        found = self._score()
        steps = self._sums.pop("steps")
        losses = {f"train_{name}": total / steps for name, total in self._sums.items()}
        self._sums.clear()
        scores = dict(zip(SCORE_COLUMNS, (found.psnr_db, found.ms_ssim), strict=True))
        self.history.append({"iteration": found.iteration, **scores, **losses})
        if not math.isfinite(losses["train_loss"]):
            raise DpedtoolError(
                f"The loss is no longer finite after {self.iteration} iterations: lower train.learning_rate."
            )
        # Without validation patches the last weights are the ones to keep.
        if not len(self._validation) or found.psnr_db > self.best.psnr_db:
            self.best = found
            self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def best_model(self) -> Generator:
        """Return the generator with the weights that validated best."""
        self.model.load_state_dict(self.best_weights)
        return self.model

    def save(self, path: Path) -> None:
        """Write what it takes to go on."""
        notes = {
            "key": self.key,
            "iteration": str(self.iteration),
            "best": json.dumps(asdict(self.best)),
            "history": json.dumps(self.history),
        }
        parts = {
            "best": self.best_weights,
            **{f"network{i}": net.state_dict() for i, net in enumerate(self._networks())},
        }
        parts |= {f"optimizer{i}": optimizer_tensors(adam) for i, adam in enumerate(self._optimizers())}
        save_tensors(
            path, {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}, notes
        )

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote, if it belongs to the same samples and parameters."""
        notes = read_notes(path)
        if notes.get("key") != self.key:
            return
        parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in load_tensors(path).items():
            part, _, name = key.partition("/")
            parts[part][name] = value
        for index, network in enumerate(self._networks()):
            network.load_state_dict(parts[f"network{index}"])
        for index, optimizer in enumerate(self._optimizers()):
            restore_optimizer(optimizer, parts[f"optimizer{index}"])
        self.best_weights = parts["best"]
        self.best = Validation(**json.loads(notes["best"]))
        self.history = json.loads(notes["history"])
        self.iteration = int(notes["iteration"])

    def _step_discriminator(self, dslr: Tensor, outputs: Tensor) -> None:
        logits = torch.cat([self.discriminator(dslr), self.discriminator(outputs)])
        from_dslr = torch.arange(len(logits), device=self.device) < len(dslr)
        _descend(self.discriminator_optimizer, discriminator_loss(self.params.loss_form, logits, from_dslr))

    def _score(self) -> Validation:
        if not len(self._validation):
            return Validation(self.iteration, math.nan, math.nan)
        batch = self._validation.read(self._validation.spread(MOST_VALIDATED))
        outputs = enhance_patches(self.model, batch.phone, clip=True)
        psnr, ms_ssim = psnr_each(outputs, batch.dslr), ms_ssim_each(outputs, batch.dslr)
        return Validation(self.iteration, float(psnr.mean()), float(ms_ssim.mean()))

    def _network(self, network: Any, stream: int) -> Any:
        initialise(network, _random(self.params.seed, stream), self.params.initialisation)
        return network.to(self.device)

    def _adam(self, network: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=self.params.learning_rate)

    def _networks(self) -> list[torch.nn.Module]:
        return [self.model, self.discriminator] if self.loss.needs_discriminator else [self.model]

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer, self.discriminator_optimizer] if self.loss.needs_discriminator else [self.optimizer]

    def _on_device(self, batch: Batch) -> Batch:
        return Batch(batch.phone.to(self.device), batch.dslr.to(self.device))


def architecture(params: TrainParams) -> Architecture:
    """Return the generator that the parameters ask for."""
    return Architecture(params.network, params.channels, params.blocks, params.norm)


def learning_rate(iteration: int, params: TrainParams) -> float:
    """Return the step size of one iteration: a linear warm-up, then half a cosine down to zero."""
    warm_up = max(1, round(WARM_UP_SHARE * params.iterations))
    if iteration < warm_up:
        return params.learning_rate * (iteration + 1) / warm_up
    done = (iteration - warm_up) / max(1, params.iterations - warm_up)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def history_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Return the history as CSV: a row a validation; losses are means over the steps since the one before."""
    text = io.StringIO()
    columns = list(history[0]) if history else ["iteration", *SCORE_COLUMNS, "train_loss"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)
    return text.getvalue()


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _discriminator(patch_px: int, params: TrainParams) -> Discriminator:
    try:
        return Discriminator(patch_px, params.loss_form, params.norm)
    except ValueError as error:
        raise DpedtoolError(f"train.texture_weight is above 0, but: {error}") from None


def _random(seed: int, stream: int) -> torch.Generator:
    """Return a random generator of its own for each network of a run."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, stream]).generate_state(1)[0]))


def _card(run: _Run, table: Path, patches: int) -> dict[str, Any]:
    best = {name: None if math.isnan(value) else value for name, value in asdict(run.best).items()}
    return {
        "params": describe(run.params),
        "patches": patches,
        "samples_sha256": file_sha256(table),
        "best_validation": best,
        "torch": torch.__version__,
    }


# What the numbers of a run depend on: an interrupted run of other code is begun anew.
_CODE = code_digest(
    sys.modules[__name__],
    checkpoint,
    data,
    discriminator,
    inference,
    initialisation,
    losses,
    metrics,
    model,
    *photos.CODE,
)
