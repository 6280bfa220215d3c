"""The weights that DPED's authors published, as dpedtool's generators.

Their variables are generator/W1, b1, ... in the order of the convolutions, and generator/Variable, Variable_1, ...
for the norms in the same order, first the shift and then the scale of each norm. SRCNN's are generator/w1, b1, ... The
names and shapes alone show which network a checkpoint belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import file_sha256
from dpedtool.dataset.sidecars.model_info import ImportedWeights, SourceFile
from dpedtool.training.networks.generators import NETWORKS, Architecture, Generator
from dpedtool.training.networks.layer_kinds import Convolution, Normalisation, leaves
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
        `out` has another suffix; the checkpoint is missing or damaged, or belongs to another network.

    """
    if out.suffix != ".safetensors":
        raise DpedtoolError(f"{out} does not have the suffix of a file of weights: give it the suffix .safetensors.")
    source = read_checkpoint(checkpoint)
    generator = generator_of(source)
    save_model(out, generator, {"trained": True, "imported": _origin(source)})
    return Imported(generator, *model_files(out))


def generator_of(checkpoint: Checkpoint) -> Generator:
    """Return the generator that a checkpoint of DPED's code holds, ready to evaluate.

    Other variables, such as an optimiser's moments, are left out.

    Raises
    ------
    DpedtoolError
        The generator is not one of DPED's.

    """
    variables = {
        name.removeprefix(_SCOPE): values
        for name, values in checkpoint.tensors.items()
        if re.fullmatch(f"{_SCOPE}[^/]+", name)
    }
    known = ((architecture, _tensors(architecture, variables)) for architecture in _architectures(variables))
    found = next(((architecture, tensors) for architecture, tensors in known if tensors), None)
    if found is None:
        names = ", ".join(kind.published.names for kind in NETWORKS.values() if kind.published)
        raise DpedtoolError(
            f"{checkpoint.files[0]} does not belong to a known network: {names}; this one has {_found(checkpoint)}."
        )
    architecture, tensors = found
    if not all(values.isfinite().all() for values in tensors.values()):
        raise DpedtoolError(
            f"{checkpoint.files[0]} holds NaN or infinite weights: choose a checkpoint from before the training "
            "diverged."
        )
    generator = architecture.build()
    generator.load_state_dict(tensors)
    return generator.eval()


def _architectures(variables: Mapping[str, Array]) -> Iterator[Architecture]:
    """Yield the networks that these variables may belong to."""
    shapes = {name: values.shape for name, values in variables.items()}
    for network, kind in NETWORKS.items():
        if found := kind.of_published(shapes):
            yield Architecture(network, **asdict(found))


def _names(architecture: Architecture) -> dict[str, str]:
    """Map dpedtool's tensor names to the published names, without the scope; empty if no weights are published."""
    published, layers = architecture.description.published, list(leaves(architecture.layers))
    if published is None:
        return {}
    norms = [layer.name for layer in layers if isinstance(layer, Normalisation)]
    return _convolutions(published.kernel, [layer.name for layer in layers if isinstance(layer, Convolution)]) | {
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
    """Return the name that TensorFlow gives to a variable without a name."""
    return f"Variable_{number}" if number else "Variable"


def _tensors(architecture: Architecture, variables: Mapping[str, Array]) -> dict[str, Tensor] | None:
    """Return the generator's state; None unless the variables are exactly its own and have its shapes."""
    names = _names(architecture)
    if set(names.values()) != set(variables):
        return None
    tensors = {name: _as_ours(variables[theirs]) for name, theirs in names.items()}
    shapes = architecture.shapes()
    if any(tuple(values.shape) not in (shapes[name], _one_for_all(shapes[name])) for name, values in tensors.items()):
        return None
    return {name: values.expand(shapes[name]).clone() for name, values in tensors.items()}


def _one_for_all(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the other shape that a bias may have: the published SRCNN's last bias is one number for all colours."""
    return (1,) if len(shape) == 1 else shape


def _as_ours(values: Array) -> Tensor:
    """Return a kernel (H, W, in, out) as (out, in, H, W), and other tensors unchanged."""
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
