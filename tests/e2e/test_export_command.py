"""Export of weights to an ONNX file and its card, with the commands alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from dpedtool.training.networks.generators import Architecture
from dpedtool.training.weights.checkpoint import load_model, save_model


def test_weights_are_exported_with_their_scores(tmp_path: Path, rig, dpedtool) -> None:
    weights, out = tmp_path / "net.safetensors", tmp_path / "app" / "net.onnx"
    save_model(weights, Architecture(channels=4, blocks=1).build(), {"trained": False, "reason": "this is a test"})
    folders = ["--phone", rig.phone, "--dslr", rig.phone]
    dpedtool("evaluate", "--weights", weights, *folders, "-o", tmp_path / "scores")
    ended = dpedtool("export", weights, "-o", out, "--scores", tmp_path / "scores" / "metrics.json", "--licence", "MIT")
    assert ended.said == []
    assert ended.out.startswith(f"{out}: dped_resnet_6_4, 2559 parameters, opset 17; onnxruntime is within ")
    assert ended.out.endswith(f" of PyTorch. The card is {out.with_suffix('.md')}.\n")
    card = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "license: mit\n" in card
    assert "**Never trained**, since this is a test." in card
    assert "| image | 6 | this network |" in card
    assert str(tmp_path) not in card
    phone = np.random.default_rng(0).random((1, 3, 31, 20), np.float32)
    (enhanced,) = onnxruntime.InferenceSession(out).run(None, {"phone": phone})
    with torch.inference_mode():
        wanted = load_model(weights)(torch.from_numpy(phone)).clamp(0, 1).numpy()
    assert np.abs(enhanced - wanted).max() < 1e-5
