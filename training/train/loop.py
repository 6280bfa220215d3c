"""A training in progress: everything that changes from step to step, one step, a validation, saving and restoring.

What a step does follows from its iteration alone: the loader draws by it, and no random number is drawn here once the
first weights are. So a run that is restored goes on with the same bits.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import TrainParams
from dpedtool.dataset.sidecars.history import SCORE_COLUMNS
from dpedtool.training.data import Batch, Pairs
from dpedtool.training.inference import enhance_patches
from dpedtool.training.metrics import score
from dpedtool.training.networks.discriminator import Discriminator
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.precision import Computation
from dpedtool.training.train.distributed import Processes
from dpedtool.training.train.loader import Step
from dpedtool.training.train.losses import GeneratorLoss, discriminator_accuracy, discriminator_loss
from dpedtool.training.train.optimisation import MeanWeights, descend, learning_rate
from dpedtool.training.train.watch import ACCURACY, Watch
from dpedtool.training.weights.checkpoint import (
    load_tensors,
    optimizer_tensors,
    read_notes,
    restore_optimizer,
    save_tensors,
)

MOST_VALIDATED = 64
"""Patches a validation looks at, spread evenly over the split: enough to rank weights, cheap enough to do often."""
STEPS_AT_A_LOOK = 50
"""On a GPU, which a look at the figures stops for a moment."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Validation:
    """How the weights after some iterations do on the validation patches; NaN where there are none."""

    iteration: int
    psnr_db: float
    ms_ssim: float


class Learner(Generic[Network]):
    """A network that is trained, and its optimiser.

    Parameters
    ----------
    network
        With its first weights.
    computation
        How it is computed.
    processes
        That train it together.

    """

    def __init__(self, network: Network, computation: Computation, processes: Processes) -> None:
        self.network = computation.place(processes.with_joint_norms(network))
        self.alone = computation.compile(self.network)
        """To call where nothing is learned: it leaves the other processes be."""
        self.together = processes.joined(self.alone, computation.device)
        """To call where the network learns."""
        self.optimizer = torch.optim.Adam(self.network.parameters())

    def set_rate(self, rate: float) -> None:
        """Set the step size."""
        self.optimizer.param_groups[0]["lr"] = rate

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return what changes: the weights, and what the optimiser remembers."""
        return {"network": self.network.state_dict(), "optimizer": optimizer_tensors(self.optimizer)}

    def restore(self, tensors: Mapping[str, dict[str, Tensor]]) -> None:
        """Put back what `tensors` returned."""
        self.network.load_state_dict(tensors["network"])
        restore_optimizer(self.optimizer, tensors["optimizer"])
        for weight, moments in self.optimizer.state.items():
            for name, value in moments.items():
                # In the weight's order in memory, which a file does not keep; Adam is fastest on equal ones.
                moments[name] = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value


class TrainingRun:
    """Everything that changes while training; `iteration` counts the steps done.

    Parameters
    ----------
    params
        Of the training.
    computation
        Where and how to compute.
    patch_px
        Side of the patches, which the discriminator is made for where it is smaller than `crop_px`.
    start
        A generator of `architecture(params)` whose weights are the first ones; None: `initialisation` makes them.
    vgg
        What makes the features of the content loss, where there is one.
    processes
        That train together.

    Raises
    ------
    ParamsError
        There is a texture loss, and the patches are too small for the discriminator.

    """

    def __init__(
        self,
        params: TrainParams,
        computation: Computation,
        patch_px: int,
        *,
        start: Generator | None = None,
        vgg: nn.Module | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.params, self.computation, self.processes = params, computation, processes or Processes()
        self._side_px = min(params.crop_px, patch_px)
        self.iteration = 0
        self.history: list[dict[str, float]] = []
        self.best = Validation(0, math.nan, math.nan)
        self.best_weights: dict[str, Tensor] = {}
        self.loss = GeneratorLoss(params, vgg and computation.place(vgg), self.processes.count)
        self.generator = self._learner(first_network(params, start))
        self.discriminator = (
            self._learner(_first_discriminator(params, self._side_px)) if self.loss.needs_discriminator else None
        )
        self.mean = MeanWeights(self.generator.network, params.ema) if params.ema > 0 else None
        at_once = computation.device.type == "cuda" or self.processes.count > 1
        self._watch = Watch(self.processes, STEPS_AT_A_LOOK if at_once else 1)
        self._validated: Batch | None = None

    @property
    def needs_second_batch(self) -> bool:
        """Whether the discriminator learns from patches other than the generator's, as in the released code."""
        return self.loss.needs_discriminator and self.params.loss_form == "released-code"

    def step(self, step: Step) -> None:
        """Take one step of the generator, and then one of the discriminator where there is one.

        Raises
        ------
        DpedtoolError
            A loss or gradient is not finite, of this step or of one of the last `STEPS_AT_A_LOOK`; or the patches
            have another side than the discriminator was made for.

        """
        self._check_sides(step)
        for learner in self._learners().values():
            learner.set_rate(learning_rate(step.iteration, self.params))
        batch = self.computation.batch(step.batch)
        outputs, figures = self._step_generator(batch)
        if self.discriminator:
            shown, from_dslr = self._shown(step, batch, outputs)
            figures |= self._step_discriminator(self.discriminator, shown, from_dslr)
        self.iteration = step.iteration + 1
        if self.mean:
            self.mean.update(self.generator.network, self.iteration)
        self._watch.note(self.iteration, step.names, figures)

    def validate(self, pairs: Pairs) -> None:
        """Score the weights, note the figures since the last validation, and remember the weights if they lead.

        Only the first of several processes scores; the others wait for it at the next step.

        Raises
        ------
        DpedtoolError
            A loss or gradient was not finite.

        """
        means = self._watch.take_means()
        if not self.processes.is_first:
            return
        found = self._score(pairs)
        scores = dict(zip(SCORE_COLUMNS, (found.psnr_db, found.ms_ssim), strict=True))
        rate = learning_rate(self.iteration - 1, self.params)
        self.history.append({"iteration": self.iteration, **scores, **means, "learning_rate": rate})
        # Without validation patches the last weights are the ones to keep.
        if not len(pairs) or math.isnan(self.best.psnr_db) or found.psnr_db > self.best.psnr_db:
            self.best = found
            self.best_weights = {name: value.detach().clone() for name, value in self._kept().state_dict().items()}

    def read_validation(self, pairs: Pairs) -> Batch:
        """Return the pairs that validations look at, which are kept; before the first step it tells what is wrong.

        Raises
        ------
        DpedtoolError
            A pair cannot be read, or they are not all of one size.

        """
        if self._validated is None:
            self._validated = pairs.read(pairs.spread(MOST_VALIDATED))
        return self._validated

    def best_model(self) -> Generator:
        """Return a generator with the weights that validated best."""
        model = architecture(self.params).build()
        model.load_state_dict(self.best_weights)
        return model

    def save(self, path: Path, key: str) -> None:
        """Write all that it takes to go on, whole or not at all; `key` says of what run it is."""
        notes = {
            "key": key,
            "iteration": str(self.iteration),
            "best": json.dumps(asdict(self.best)),
            "history": json.dumps(self.history),
        }
        parts = {"best": self.best_weights}
        if self.mean:
            parts["mean"] = self.mean.network.state_dict()
        for learner, tensors in ((name, learner.tensors()) for name, learner in self._learners().items()):
            parts |= {f"{learner}.{part}": values for part, values in tensors.items()}
        save_tensors(
            path, {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}, notes
        )

    def restore(self, path: Path, key: str) -> bool:
        """Go on from what `save` wrote; return false, and change nothing, where it is of another run or unreadable."""
        notes = read_notes(path)
        if notes.get("key") != key:
            return False
        parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for name, value in load_tensors(path).items():
            part, _, rest = name.partition("/")
            parts[part][rest] = value
        for name, learner in self._learners().items():
            learner.restore({part: parts[f"{name}.{part}"] for part in ("network", "optimizer")})
        if self.mean:
            self.mean.network.load_state_dict(parts["mean"])
        self.best_weights = parts["best"]
        self.best = Validation(**json.loads(notes["best"]))
        self.history = json.loads(notes["history"])
        self.iteration = int(notes["iteration"])
        return True

    def _step_generator(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs, detached, and what was measured."""
        with self.computation.autocast():
            outputs = self.generator.together(batch.phone)
            logits = _judged(self.discriminator, outputs) if self.discriminator else None
            total, terms = self.loss(outputs, batch.dslr, logits)
        norm = descend(self.generator.optimizer, total, self.params.clip_norm)
        named = {f"train_{name}": value for name, value in {"loss": total, **terms}.items()}
        return outputs.detach().float(), {**named, "gradient_norm": norm}

    def _shown(self, step: Step, batch: Batch, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """What the discriminator learns from: images, and which of them are the DSLR's.

        Each patch of the batch as both cameras have it; or of a second batch the one or the other.
        """
        if step.second is None or step.swaps is None:
            images = torch.cat([batch.dslr, outputs])
            return images, torch.arange(len(images), device=images.device) < len(outputs)
        second = self.computation.batch(step.second)
        swaps = self.computation.sendable(step.swaps).to(self.computation.device, non_blocking=True)
        with torch.no_grad(), self.computation.autocast():
            enhanced = self.generator.alone(second.phone).float()
        return torch.where(swaps.view(-1, 1, 1, 1), second.dslr, enhanced), swaps

    def _step_discriminator(
        self, learner: Learner[Discriminator], images: Tensor, from_dslr: Tensor
    ) -> dict[str, Tensor]:
        with self.computation.autocast():
            logits = learner.together(images)
        loss = discriminator_loss(self.params.loss_form, logits, from_dslr, self.processes.count)
        norm = descend(learner.optimizer, loss)
        accuracy = discriminator_accuracy(logits, from_dslr)
        return {"discriminator_loss": loss, ACCURACY: accuracy, "discriminator_gradient_norm": norm}

    def _score(self, pairs: Pairs) -> Validation:
        """Score the weights as they would be kept, in float32, as the network is used."""
        if not len(pairs):
            return Validation(self.iteration, math.nan, math.nan)
        validated, network = self.read_validation(pairs), self._kept().eval()
        outputs = enhance_patches(network, validated.phone, clip=True)
        network.train()
        scores = score(outputs, validated.dslr, "image")
        return Validation(self.iteration, scores.psnr_db, scores.ms_ssim)

    def _check_sides(self, step: Step) -> None:
        sides = {batch.phone.shape[-1] for batch in (step.batch, step.second) if batch}
        if self.discriminator and sides != {self._side_px}:
            raise DpedtoolError(
                f"Patches of {', '.join(map(str, sorted(sides | {self._side_px})))} px are too unlike for the texture "
                f"loss, whose discriminator takes one size: set train.crop_px to {min(sides | {self._side_px})} or "
                "less, or cut all patches alike."
            )

    def _kept(self) -> Generator:
        """The network whose weights are validated and kept."""
        return self.mean.network if self.mean else self.generator.network

    def _learner(self, network: Network) -> Learner[Network]:
        return Learner(network, self.computation, self.processes)

    def _learners(self) -> dict[str, Learner[Generator] | Learner[Discriminator]]:
        generator: dict[str, Learner[Generator] | Learner[Discriminator]] = {"generator": self.generator}
        return {**generator, "discriminator": self.discriminator} if self.discriminator else generator


def architecture(params: TrainParams) -> Architecture:
    """Return the generator that the parameters ask for."""
    return Architecture(params.network, params.channels, params.blocks, params.norm)


def first_network(params: TrainParams, start: Generator | None = None) -> Generator:
    """Return the generator as it is before the first step."""
    network = architecture(params).build()
    if start:
        network.load_state_dict(start.state_dict())
    else:
        initialise(network, _random(params.seed, stream=0), params.initialisation)
    return network


def _first_discriminator(params: TrainParams, side_px: int) -> Discriminator:
    try:
        network = Discriminator(side_px, params.loss_form, params.norm)
    except ValueError as error:
        raise ParamsError(f"train.texture_weight is above 0, but: {error}") from None
    initialise(network, _random(params.seed, stream=1), params.initialisation)
    return network


def _judged(discriminator: Learner[Discriminator], outputs: Tensor) -> Tensor:
    """What the discriminator says of the generator's outputs; only the latter learns from it."""
    discriminator.network.requires_grad_(False)
    logits: Tensor = discriminator.alone(outputs)
    discriminator.network.requires_grad_(True)
    return logits


def _random(seed: int, stream: int) -> torch.Generator:
    """Return a random generator of its own for each network of a run."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, stream]).generate_state(1)[0]))
