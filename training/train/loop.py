"""A training in progress: everything that changes from step to step, one step, a validation, saving and restoring.

A step depends only on its iteration: the loader draws by it, and so do the random numbers of torch that code of the
user's own may take, such as dropout. So a restored run continues with the same bits.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.dataset.params import functions_of
from dpedtool.dataset.sidecars.history import SCORE_COLUMNS
from dpedtool.dataset.train_params import SMALLEST_CROP_PX, TrainParams
from dpedtool.training.data import Batch, Pairs
from dpedtool.training.inference import enhance_patches
from dpedtool.training.metrics import score
from dpedtool.training.networks.discriminator import Discriminator
from dpedtool.training.networks.generators import Architecture, Generator, OwnGenerator
from dpedtool.training.networks.initialisation import initialise
from dpedtool.training.precision import Computation
from dpedtool.training.train.distributed import Processes
from dpedtool.training.train.loader import Step
from dpedtool.training.train.losses import GeneratorLoss, discriminator_accuracy, discriminator_loss
from dpedtool.training.train.optimisation import MeanWeights, descend, learning_rate, towards
from dpedtool.training.train.vgg import Vgg19
from dpedtool.training.train.watch import ACCURACY, Watch
from dpedtool.training.weights.checkpoint import (
    load_tensors,
    optimizer_tensors,
    read_notes,
    restore_optimizer,
    save_tensors,
)

MOST_VALIDATED = 64
"""Greatest number of patches in a validation, spread evenly over the split: enough to rank weights, and still fast."""
STEPS_AT_A_LOOK = 50
"""Steps whose figures are read together on a GPU, since reading them interrupts it."""
_OWN_DRAWS = 4
"""Random stream of a run for code of the user's own; the loader has 2 and 3, the initial weights have 0 and 1."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Validation:
    """Scores of the weights after some iterations on the validation patches; NaN without such patches."""

    iteration: int
    psnr_db: float
    ms_ssim: float


class Learner(Generic[Network]):
    """A network that is trained, and its optimiser.

    Parameters
    ----------
    network
        The network with its initial weights.
    computation
        How it is computed.
    processes
        The processes that train it together.

    """

    def __init__(self, network: Network, computation: Computation, processes: Processes) -> None:
        self.network = computation.place(processes.with_joint_norms(network))
        self.alone = computation.compile(self.network)
        """The network for calls without learning; they do not involve the other processes."""
        unused = _leaves_unused(network, processes)
        self.together = processes.joined(self.alone, computation.device, leaves_unused=unused)
        """The network for calls from which it learns."""
        self.optimizer = torch.optim.Adam(self.network.parameters())

    def set_rate(self, rate: float) -> None:
        """Set the step size."""
        self.optimizer.param_groups[0]["lr"] = rate

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return everything that changes: the weights, and the optimiser's state."""
        return {"network": self.network.state_dict(), "optimizer": optimizer_tensors(self.optimizer)}

    def restore(self, tensors: Mapping[str, dict[str, Tensor]]) -> None:
        """Restore what `tensors` returned."""
        self.network.load_state_dict(tensors["network"])
        restore_optimizer(self.optimizer, tensors["optimizer"])
        for weight, moments in self.optimizer.state.items():
            for name, value in moments.items():
                # Use the weight's memory layout, which a file does not keep: Adam is fastest with equal layouts.
                moments[name] = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value


class TrainingRun:
    """Everything that changes while training; `iteration` counts the steps done.

    Parameters
    ----------
    params
        Parameters of the training.
    computation
        Where and how to compute.
    patch_px
        Side of the patches; if it is smaller than `crop_px`, the discriminator is made for it.
    start
        A generator of `architecture(params)` that provides the initial weights; None: `initialisation` makes them.
    vgg
        The network that makes the features of the losses content and cobi; None without them.
    processes
        The processes that train together.

    Raises
    ------
    ParamsError
        There is a texture loss, but the patches are too small for the discriminator.

    """

    def __init__(
        self,
        params: TrainParams,
        computation: Computation,
        patch_px: int,
        *,
        start: Generator | None = None,
        vgg: Vgg19 | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.params, self.computation, self.processes = params, computation, processes or Processes()
        self._side_px = min(params.crop_px, patch_px)
        self.iteration = 0
        self.history: list[dict[str, float]] = []
        self.best = Validation(0, math.nan, math.nan)
        self.best_weights: dict[str, Tensor] = {}
        self.continued_from: list[int] = []
        """The iterations that finished trainings ended with, from which this one went on."""
        self.loss = GeneratorLoss(params, vgg and computation.place(vgg), self.processes.count)
        self.generator = self._learner(first_network(params, start))
        self.discriminator = (
            self._learner(_first_discriminator(params, self._side_px * self.generator.network.scale))
            if self.loss.needs_discriminator
            else None
        )
        self.mean = MeanWeights(self.generator.network, params.ema) if params.ema > 0 else None
        at_once = computation.device.type == "cuda" or self.processes.count > 1
        self._start = {name: value.clone() for name, value in start.state_dict().items()} if start else {}
        self._watch = Watch(self.processes, STEPS_AT_A_LOOK if at_once else 1)
        self._validated: Batch | None = None

    @property
    def needs_second_batch(self) -> bool:
        """Whether the discriminator learns from other patches than the generator, as in the released code."""
        return self.loss.needs_discriminator and self.params.loss_form == "released-code"

    def step(self, step: Step) -> None:
        """Take one step of the generator, and then one of the discriminator if there is one.

        Raises
        ------
        DpedtoolError
            A loss or gradient of this step, or of one of the last `STEPS_AT_A_LOOK` steps, is not finite; or the side
            of the patches is not the one that the discriminator was made for.

        """
        self._check_sides(step)
        for learner in self._learners().values():
            learner.set_rate(learning_rate(step.iteration, self.params))
        batch = self.computation.batch(step.batch)
        with self._own_draws(step.iteration):
            outputs, figures = self._step_generator(batch)
            if self.discriminator:
                shown, from_dslr = self._shown(step, batch, outputs)
                figures |= self._step_discriminator(self.discriminator, shown, from_dslr)
        self.iteration = step.iteration + 1
        if self.mean:
            self.mean.update(self.generator.network, self.iteration)
        self._watch.note(self.iteration, step.names, figures)

    def validate(self, pairs: Pairs) -> None:
        """Score the weights, note the figures since the last validation, and keep the weights if they are the best.

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
        # Without validation patches the last weights are kept.
        if not len(pairs) or math.isnan(self.best.psnr_db) or found.psnr_db > self.best.psnr_db:
            self.best = found
            self.best_weights = {name: value.detach().clone() for name, value in self._kept().state_dict().items()}

    def read_validation(self, pairs: Pairs) -> Batch:
        """Return the pairs used for validations, and keep them; a call before the first step finds errors early.

        Raises
        ------
        DpedtoolError
            A pair cannot be read, or they are not all of one size.

        """
        if self._validated is None:
            self._validated = pairs.read(pairs.spread(MOST_VALIDATED))
        return self._validated

    def best_model(self) -> Generator:
        """Return a generator with the weights of the best validation."""
        model = architecture(self.params).build()
        model.load_state_dict(self.best_weights)
        return model

    def save(self, path: Path, key: str, lineage: str = "") -> None:
        """Write everything needed to continue, completely or not at all.

        Parameters
        ----------
        path
            The file.
        key
            Identifies the run.
        lineage
            Identifies the run but for its number of iterations.

        """
        notes = {
            "key": key,
            "lineage": lineage,
            "continued_from": json.dumps(self.continued_from),
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
        """Continue from what `save` wrote; if it is unreadable or from another run, return false and change nothing."""
        notes = read_notes(path)
        if notes.get("key") != key:
            return False
        self._take(path, notes)
        return True

    def go_on(self, path: Path, lineage: str) -> bool:
        """Go on from the last state of a finished training that differs in nothing but fewer iterations.

        If the file is missing, unreadable or from another training, return false and change nothing.
        """
        notes = read_notes(path)
        if not lineage or notes.get("lineage") != lineage or int(notes["iteration"]) >= self.params.iterations:
            return False
        self._take(path, notes)
        self.continued_from.append(self.iteration)
        return True

    def _take(self, path: Path, notes: Mapping[str, str]) -> None:
        """Take over the state that `save` wrote."""
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
        self.continued_from = json.loads(notes["continued_from"])

    @contextlib.contextmanager
    def _own_draws(self, iteration: int) -> Iterator[None]:
        """Let torch's random numbers depend on the iteration and process alone, for code of the user's own."""
        if not functions_of(self.params):
            yield
            return
        device = self.computation.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(_seed(self.params.seed, _OWN_DRAWS, iteration, self.processes.rank))
            yield

    def _step_generator(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs, detached, and the figures of the step."""
        with self.computation.autocast():
            outputs = self.generator.together(batch.phone)
            logits = _judged(self.discriminator, outputs) if self.discriminator else None
            total, terms = self.loss(outputs, batch.dslr, logits)
        norm = descend(self.generator.optimizer, total, self.params.clip_norm)
        named = {f"train_{name}": value for name, value in {"loss": total, **terms}.items()}
        return outputs.detach().float(), {**named, "gradient_norm": norm}

    def _shown(self, step: Step, batch: Batch, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images that the discriminator learns from, and which of them are the DSLR's.

        They are both versions of each patch in the batch, the DSLR's and the enhanced one; or, with a second batch, one
        of the two versions of each of its patches.
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
        """Score the weights that would be kept, in float32, the precision in which the network is used."""
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
            every = sorted(sides | {self._side_px})
            crop = f"set train.crop_px to {every[0]} or less, or " if every[0] >= SMALLEST_CROP_PX else ""
            raise DpedtoolError(
                "The discriminator of the texture loss takes only one patch size, but there are patches of "
                f"{', '.join(map(str, every))} px: {crop}cut all patches to one size."
            )

    def _kept(self) -> Generator:
        """Return the network whose weights are validated and kept."""
        trained = self.mean.network if self.mean else self.generator.network
        return towards(trained, self._start, self.params.start_share) if self.params.start_share else trained

    def _learner(self, network: Network) -> Learner[Network]:
        return Learner(network, self.computation, self.processes)

    def _learners(self) -> dict[str, Learner[Generator] | Learner[Discriminator]]:
        generator: dict[str, Learner[Generator] | Learner[Discriminator]] = {"generator": self.generator}
        return {**generator, "discriminator": self.discriminator} if self.discriminator else generator


def architecture(params: TrainParams) -> Architecture:
    """Return the generator that the parameters ask for."""
    if params.has_own_network:
        return Architecture(params.network, args=params.network_args)
    return Architecture(params.network, params.channels, params.blocks, params.norm)


def _leaves_unused(network: nn.Module, processes: Processes) -> bool:
    """Return whether weights of a network of the user's own have no effect; several processes must know that."""
    return processes.count > 1 and isinstance(network, OwnGenerator) and network.leaves_unused()


def first_network(params: TrainParams, start: Generator | None = None) -> Generator:
    """Return the generator with its initial weights; a network of the user's own draws them itself."""
    network = architecture(params).build(_seed(params.seed, 0))
    if start:
        network.load_state_dict(start.state_dict())
    elif not params.has_own_network:
        initialise(network, _random(params.seed, stream=0), params.initialisation)
    return network


def _first_discriminator(params: TrainParams, side_px: int) -> Discriminator:
    try:
        network = Discriminator(side_px, params.loss_form, params.norm)
    except ValueError as error:
        raise ParamsError(f"train.losses has the texture loss, but: {error}") from None
    initialise(network, _random(params.seed, stream=1), params.initialisation)
    return network


def _judged(discriminator: Learner[Discriminator], outputs: Tensor) -> Tensor:
    """Return the discriminator's logits of the generator's outputs; only the generator learns from them."""
    discriminator.network.requires_grad_(False)
    logits: Tensor = discriminator.alone(outputs)
    discriminator.network.requires_grad_(True)
    return logits


def _random(seed: int, stream: int) -> torch.Generator:
    """Return a separate random generator for each network of a run."""
    return torch.Generator().manual_seed(_seed(seed, stream))


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
