"""The published checkpoints, imported: their outputs are the original graphs', to the last bits of float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from real_data import real_folder

from dataset.photos import load_photo
from training.checkpoint import load_card, load_model
from training.importing import import_weights

MODELS = ("iphone_orig", "dped_resnet_8_32", "dped_srcnn")
PATCHES = (0, 1, 7)


def checkpoint(name: str) -> Path:
    """Where a published checkpoint is; the test is skipped where there is none."""
    folder = real_folder("dped_iphone_patches").parent.parent / "models"
    if not (folder / f"{name}.index").is_file():
        pytest.skip(f"no checkpoint {name} in {folder}, beside the folder of real photos")
    return folder / name


def golden(name: str, patch: int) -> np.ndarray:
    file = real_folder("expected") / "golden.npz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    with np.load(file) as outputs:
        return outputs[f"{name}_{patch}"]


@pytest.mark.parametrize("name", MODELS)
def test_outputs_equal_those_of_the_original_graphs(tmp_path: Path, name: str) -> None:
    import_weights(checkpoint(name), tmp_path / "weights.safetensors")
    generator = load_model(tmp_path / "weights.safetensors")
    for patch in PATCHES:
        photo = load_photo(real_folder("dped_iphone_patches") / "iphone" / f"{patch}.jpg")
        rgb = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
        with torch.inference_mode():
            output = generator(rgb)[0].permute(1, 2, 0).numpy()
        assert np.abs(output - golden(name, patch)).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "network"),
    [("iphone_orig", "dped_resnet_12_64"), ("dped_resnet_8_32", "dped_resnet_8_32"), ("dped_srcnn", "dped_srcnn")],
)
def test_the_network_is_told_from_the_names(tmp_path: Path, name: str, network: str) -> None:
    imported = import_weights(checkpoint(name), tmp_path / "weights.safetensors")
    assert imported.generator.architecture.name == network
    card = load_card(imported.weights)
    assert card["name"] == network
    assert card["trained"]
    assert [file["name"] for file in card["imported"]["files"]] == [f"{name}.index", f"{name}.data-00000-of-00001"]
