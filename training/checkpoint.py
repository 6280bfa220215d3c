"""Models on disk: tensors in safetensors, everything else in JSON. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dataset.errors import DpedtoolError
from dataset.io import read_json, replacing, write_json
from training.model import Generator, count_parameters

WEIGHTS, CARD, UNFINISHED = "generator.safetensors", "model.json", "unfinished.safetensors"


def save_tensors(path: Path, tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> None:
    """Write tensors, whole or not at all."""
    with replacing(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, notes)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors onto the processor.

    Raises
    ------
    DpedtoolError
        The file is missing or damaged.

    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DpedtoolError(f"{path} is not a readable safetensors file ({error}): train again.") from None


def read_notes(path: Path) -> dict[str, str]:
    """Return the text that was saved beside the tensors; empty where the file is missing, unreadable or has none."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def save_model(folder: Path, model: Generator, more: Mapping[str, Any]) -> None:
    """Write a generator's weights and its card.

    Parameters
    ----------
    folder
        Where to.
    model
        The network; `load_model` builds it from the card's part `network` alone.
    more
        What else the card is to say, of any model as little as is known: `training`, how it came about; `trained`,
        false where it never was, with a `reason`.

    """
    network = {"name": "DPED generator", "channels": model.head.out_channels, "blocks": len(model.blocks)}
    save_tensors(folder / WEIGHTS, model.state_dict())
    write_json(
        folder / CARD,
        {"network": network, "parameters": count_parameters(model), "input": "RGB, 0..1, (N, 3, H, W)", **more},
    )


def load_model(folder: Path) -> Generator:
    """Build the generator that `save_model` wrote, ready to evaluate.

    Raises
    ------
    DpedtoolError
        A file is missing, damaged, or the two do not fit.

    """
    card = load_card(folder)
    try:
        model = Generator(card["network"]["channels"], card["network"]["blocks"])
        model.load_state_dict(load_tensors(folder / WEIGHTS))
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DpedtoolError(f"The weights in {folder} do not fit its {CARD} ({reason}): train again.") from None
    return model.eval()


def load_card(folder: Path) -> dict[str, Any]:
    """Read what is known of a model.

    Raises
    ------
    DpedtoolError
        The file is missing or no JSON object.

    """
    return read_json(folder / CARD)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return Adam's moments and step counts as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
