"""Models on disk: tensors in safetensors, everything else in JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.io import parse_json, replacing
from dpedtool.dataset.plugins import PluginName
from dpedtool.dataset.regular_files import MOST_WEIGHTS_BYTES, check_regular
from dpedtool.dataset.sections import CLASS
from dpedtool.dataset.sidecars.model_info import ModelInfo, Origin
from dpedtool.training.networks.generators import Architecture, Generator, count_parameters

WEIGHTS, UNFINISHED = "generator.safetensors", "unfinished.safetensors"
LAST = "last.safetensors"
"""The state after the last iteration, from which a training that is asked for more iterations goes on."""
_NETWORK, _NOTES = "network", "notes"


def save_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> None:
    """Write tensors completely or not at all.

    Raises
    ------
    DpedtoolError
        The disk is full or cannot be written; the file is unchanged.

    """
    if notes and len(notes) > 1:
        # Several would stand in the file in a random order.
        notes = {_NOTES: json.dumps(notes, sort_keys=True)}
    with replacing(path) as temporary:
        try:
            save_file(_alone(tensors), temporary, notes)
        except SafetensorError as error:
            raise DpedtoolError(
                f"{path} could not be written ({error}) and is unchanged: free disk space and run the same command "
                "again."
            ) from None


def _alone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the processor, none of which shares its memory with another, as tied weights do."""
    found: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, tensor in tensors.items():
        there = tensor.detach().cpu().contiguous()
        place = there.untyped_storage().data_ptr()
        found[name] = there.clone() if place in memory else there
        memory.add(place)
    return found


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors onto the processor.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged.

    """
    if not path.is_file():
        raise DpedtoolError(f"There is no file {path}: run the stage that writes it.")
    try:
        check_regular(path, MOST_WEIGHTS_BYTES)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DpedtoolError(f"{path} is not a readable safetensors file ({error}): train again.") from None


def read_notes(path: Path) -> dict[str, str]:
    """Return the notes saved with the tensors; empty if the file is missing, unreadable or has no notes."""
    try:
        check_regular(path, MOST_WEIGHTS_BYTES)
        with safe_open(path, framework="pt") as file:
            notes: dict[str, str] = file.metadata() or {}
        told = parse_json(notes[_NOTES]) if _NOTES in notes else notes
        return {str(name): str(note) for name, note in told.items()} if isinstance(told, dict) else {}
    except (OSError, SafetensorError, ValueError):
        return {}


def save_model(path: Path, model: Generator, origin: Origin) -> None:
    """Write a generator and, next to it, its card.

    Parameters
    ----------
    path
        A folder, which then contains `WEIGHTS` and model.json, or a file X.safetensors, written together with X.json.
        The file of weights itself says which network they belong to, so that it can be used alone.
    model
        The network.
    origin
        What the card says about the origin of the weights; unknown parts are left out.

    """
    network = model.architecture
    weights, card = model_files(path)
    save_tensors(weights, model.state_dict(), {_NETWORK: json.dumps(network.as_json())})
    info = ModelInfo(
        name=network.name,
        parameters=count_parameters(model),
        input="RGB, 0..1, (N, 3, H, W)",
        network=network.as_json(),
        **origin,
    )
    info.write(card)


def load_model(path: Path, own: str | None = None) -> Generator:
    """Build the generator that `save_model` wrote, ready to evaluate.

    Parameters
    ----------
    path
        The folder or the file that it was written to; for any other path the error says what to name.
    own
        The network of the user's own that the user names, `package.module:Class`; the folder of its module may stand
        before it. Nothing that the file names is imported unless it is this class.

    Raises
    ------
    DpedtoolError
        A file is missing or damaged, does not belong to a generator, holds NaN or infinite weights, or belongs to a
        network of the user's own that is not named.

    """
    weights, _ = model_files(path)
    if not weights.is_file():
        raise DpedtoolError(f"{_what_else(path)}: {_WHAT_TO_NAME}.")
    tensors, network = load_tensors(weights), read_notes(weights).get(_NETWORK)
    if network is None:
        raise DpedtoolError(
            f"{weights} does not say which network its weights belong to: choose a file that dpedtool wrote."
        )
    _check_named(weights, network, own)
    try:
        architecture = Architecture.from_json(json.loads(network), own)
        _check_shapes(tensors, architecture)
    except (TypeError, ValueError, RecursionError) as error:
        raise DpedtoolError(f"The weights in {weights} do not fit their network ({error}): train again.") from None
    model = architecture.build()
    model.load_state_dict(tensors)
    if not all(values.isfinite().all() for values in model.state_dict().values()):
        raise DpedtoolError(
            f"{weights} holds NaN or infinite weights: choose weights from before the training diverged."
        )
    return model.eval()


def _check_named(weights: Path, network: str, own: str | None) -> None:
    """Refuse weights of a network of somebody's own that the user has not named."""
    try:
        said = json.loads(network)
        name = said["network"] if set(said) == {"network", "args"} else ""
    except (TypeError, ValueError, KeyError, RecursionError):
        return  # what is wrong with it is said where it is read
    wanted = str(PluginName.parse(own)) if own else ""
    if not isinstance(name, str) or not re.fullmatch(CLASS, name) or name == wanted:
        return
    other = f", and not of {wanted}, which you named" if wanted else ""
    raise DpedtoolError(
        f"{weights} holds weights of the network {name}{other}. No code is imported because a file names it: if you "
        f"trust this code, name it by --network {name}, or by train.network in the params file."
    )


_WHAT_TO_NAME = (
    "name a folder that `dpedtool train` wrote, or a file X.safetensors (`dpedtool import-weights` makes one from a "
    "TensorFlow checkpoint)"
)


def _what_else(path: Path) -> str:
    """Return what is wrong with a path that should be a model."""
    if not path.exists():
        return f"There is no {path}"
    return f"{path} contains no {WEIGHTS}" if path.is_dir() else f"{path} is not a model"


def _check_shapes(tensors: Mapping[str, Tensor], architecture: Architecture) -> None:
    """Refuse tensors that do not fit the network before it is built, since building could take any memory."""
    found = {name: tuple(values.shape) for name, values in tensors.items()}
    shapes = architecture.shapes()
    for name, shape in shapes.items():
        if found.get(name) != shape:
            raise ValueError(f"{name} is {found.get(name, 'missing')}, but {architecture.name} has {shape}")
    if more := sorted(set(found) - set(shapes)):
        raise ValueError(f"{architecture.name} has no {more[0]}")


def model_files(path: Path) -> tuple[Path, Path]:
    """Return the files of a model's weights and card, given its folder or its file of weights."""
    if path.suffix == ".safetensors":
        return path, path.with_suffix(".json")
    return path / WEIGHTS, ModelInfo.file_in(path)


def load_card(path: Path) -> ModelInfo:
    """Read a model's card.

    Raises
    ------
    DpedtoolError
        The file is missing, damaged, or has another version.

    """
    return ModelInfo.read(model_files(path)[1])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return Adam's moments and step counts as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
