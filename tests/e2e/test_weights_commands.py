"""A checkpoint to a file of weights to scores, by the commands alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tensorflow_writer import write_checkpoint


def grey(channels: int = 4) -> dict[str, np.ndarray]:
    """A residual network without blocks, in DPED's names, that gives grey: tanh(0) * 0.58 + 0.5."""
    wide = (3, 3, channels, channels)
    shapes = {"W1": (9, 9, 3, channels), "W2": wide, "W3": wide, "W4": (9, 9, channels, 3)}
    shapes |= {"b1": (channels,), "b2": (channels,), "b3": (channels,), "b4": (3,)}
    return {f"generator/{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}


def test_imported_weights_are_scored_on_two_folders(tmp_path: Path, rig, dpedtool) -> None:
    write_checkpoint(tmp_path / "grey", grey())
    weights = tmp_path / "grey.safetensors"
    imported = dpedtool("import-weights", tmp_path / "grey.index", "-o", weights)
    assert imported.out == f"dped_resnet_4_4, 2247 parameters, in {weights}.\n"
    assert imported.said == []
    ended = dpedtool("evaluate", "--weights", weights, "--phone", rig.phone, "--dslr", rig.phone, "--json")
    found = json.loads(ended.out)
    assert ended.said[0] == f"6 pairs of {rig.phone} and {rig.phone}"
    assert (found["pairs"], found["image"]["infinite_psnr_before"]) == (6, 6)
    assert found["image"]["psnr_before_db"] is None
    assert 0 < found["image"]["psnr_after_db"] < 20
    assert found["image"]["ms_ssim_after"] < found["image"]["ms_ssim_before"] == 1


def test_what_is_wrong_is_one_sentence(tmp_path: Path, rig, dpedtool) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    folders = ["--phone", rig.phone, "--dslr", rig.phone]
    ended = dpedtool("evaluate", "--weights", tmp_path / "text.safetensors", *folders, code=1)
    assert "text.safetensors is not a readable safetensors file" in ended.sentence
    assert ended.out == ""
    ended = dpedtool("evaluate", "--phone", rig.phone, "--dslr", tmp_path / "none", code=1)
    assert "There is no folder" in ended.sentence
