"""The weights that DPED's authors published, as generators of ours.

Their variables are generator/W1, b1, ... in the order of the convolutions, and generator/Variable, Variable_1, ...
for the norms in the same order, of each the shift and then the scale. SRCNN's are generator/w1, b1, ... Which network
a checkpoint is of follows from the names and shapes alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.sidecars.model_info import ImportedWeights, SourceFile
from dpedtool.training.networks.generators import LARGEST, Architecture, Generator
from dpedtool.training.weights.checkpoint import model_files, save_model
from dpedtool.training.weights.tensorflow_checkpoint import Checkpoint, read_checkpoint

Array = npt.NDArray[Any]

_SCOPE = "generator/"
_MOST_NAMED = 6


@dataclass(frozen=True)
class Imported:
    """What was read, and where it was written."""

    generator: Generator
    weights: Path
    card: Path


def import_weights(checkpoint: Path, out: Path) -> Imported:
    """Convert a TensorFlow checkpoint to `out`, a file X.safetensors, and its card X.json.

    Raises
    ------
    DpedtoolError
        `out` is named otherwise; the checkpoint is missing, damaged, or of another network.

    """
    if out.suffix != ".safetensors":
        raise DpedtoolError(f"{out} is not named as a file of weights: give it the suffix .safetensors.")
    source = read_checkpoint(checkpoint)
    generator = generator_of(source)
    save_model(out, generator, {"trained": True, "imported": _origin(source)})
    return Imported(generator, *model_files(out))


def generator_of(checkpoint: Checkpoint) -> Generator:
    """Return the generator that a checkpoint of DPED's code holds, ready to evaluate.

    Variables of others, such as an optimiser's moments, are left out.

    Raises
    ------
    DpedtoolError
        The generator is none of DPED's.

    """
    variables = {
        name.removeprefix(_SCOPE): values
        for name, values in checkpoint.tensors.items()
        if re.fullmatch(f"{_SCOPE}[^/]+", name)
    }
    architecture = _architecture(variables)
    tensors = _tensors(architecture, variables) if architecture else None
    if architecture is None or tensors is None:
        raise DpedtoolError(
            f"{checkpoint.files[0]} is of no network that is known: a DPED generator has generator/W1, b1, ... and "
            f"generator/Variable, ..., SRCNN generator/w1, b1, ...; found {_found(checkpoint)}."
        )
    if not all(values.isfinite().all() for values in tensors.values()):
        raise DpedtoolError(f"{checkpoint.files[0]} holds weights that are no numbers: name one of before it diverged.")
    generator = architecture.build()
    generator.load_state_dict(tensors)
    return generator.eval()


def _architecture(variables: Mapping[str, Array]) -> Architecture | None:
    """The network that these variables may be of; the number of its layers and channels, not more, is looked at."""
    if "w1" in variables:
        return Architecture("srcnn")
    convolutions = sum(re.fullmatch(r"W\d+", name) is not None for name in variables)
    first = variables.get("W1")
    if first is None or first.ndim != 4 or convolutions < 4 or convolutions % 2 or not 1 <= first.shape[3] <= LARGEST:
        return None
    return Architecture("resnet", channels=first.shape[3], blocks=(convolutions - 4) // 2)


def _names(architecture: Architecture) -> dict[str, str]:
    """Their name of each tensor of ours, without the scope."""
    if architecture.network == "srcnn":
        return _convolutions("w", ["conv1", "conv2", "conv3"])
    blocks = [f"blocks.{block}" for block in range(architecture.blocks)]
    inner = [f"{block}.conv{place}" for block in blocks for place in (1, 2)]
    norms = [f"{block}.norm{place}" for block in blocks for place in (1, 2)]
    return _convolutions("W", ["head", *inner, "body1", "body2", "tail"]) | {
        f"{norm}.{kind}": _variable(2 * number + (kind == "weight"))
        for number, norm in enumerate(norms)
        for kind in ("bias", "weight")
    }


def _convolutions(kernel: str, layers: list[str]) -> dict[str, str]:
    numbered = list(enumerate(layers, start=1))
    return {
        **{f"{layer}.weight": f"{kernel}{number}" for number, layer in numbered},
        **{f"{layer}.bias": f"b{number}" for number, layer in numbered},
    }


def _variable(number: int) -> str:
    """How TensorFlow names variables that are given no name."""
    return f"Variable_{number}" if number else "Variable"


def _tensors(architecture: Architecture, variables: Mapping[str, Array]) -> dict[str, Tensor] | None:
    """The generator's state; None where the variables are not its own, no more and no less, and of its shapes."""
    names = _names(architecture)
    if set(names.values()) != set(variables):
        return None
    tensors = {name: _as_ours(variables[theirs]) for name, theirs in names.items()}
    shapes = architecture.shapes()
    if any(tuple(values.shape) not in (shapes[name], _one_for_all(shapes[name])) for name, values in tensors.items()):
        return None
    return {name: values.expand(shapes[name]).clone() for name, values in tensors.items()}


def _one_for_all(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The other shape that a bias may have: the last one of the published SRCNN is one number for all colours."""
    return (1,) if len(shape) == 1 else shape


def _as_ours(values: Array) -> Tensor:
    """A kernel (H, W, in, out) as (out, in, H, W)."""
    ordered = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values
    return torch.from_numpy(np.array(ordered, np.float32, order="C"))


def _found(checkpoint: Checkpoint) -> str:
    named = [f"{name} {'x'.join(map(str, values.shape))}" for name, values in checkpoint.tensors.items()]
    rest = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _origin(checkpoint: Checkpoint) -> ImportedWeights:
    return ImportedWeights(
        format="TensorFlow checkpoint V2",
        files=[SourceFile(file.name, file_sha256(file)) for file in checkpoint.files],
        tensors=list(checkpoint.tensors),
    )
