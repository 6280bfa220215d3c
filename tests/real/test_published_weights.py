"""The published checkpoints, imported: their outputs equal those of the original graphs, up to float32's last bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from real_data import published_checkpoint, real_folder

from dpedtool.dataset.photos.decoding import load_photo
from dpedtool.pipeline.cli import main
from dpedtool.training.weights.checkpoint import load_card, load_model
from dpedtool.training.weights.onnx_export import export
from dpedtool.training.weights.published_weights import import_weights

REFERENCES = {"image": "image_mean_clipped", "batch": "batch50_unclipped"}
"""The names of the protocols in the file of reference scores."""
MODELS = ("iphone_orig", "dped_resnet_8_32", "dped_srcnn")
PATCHES = (0, 1, 7)


def golden(name: str, patch: int) -> np.ndarray:
    file = real_folder("expected") / "golden.npz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    with np.load(file) as outputs:
        return outputs[f"{name}_{patch}"]


@pytest.mark.parametrize("name", MODELS)
def test_outputs_equal_those_of_the_original_graphs(tmp_path: Path, name: str) -> None:
    import_weights(published_checkpoint(name), tmp_path / "weights.safetensors")
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
    imported = import_weights(published_checkpoint(name), tmp_path / "weights.safetensors")
    assert imported.generator.architecture.name == network
    card = load_card(imported.weights)
    assert card.name == network
    assert card.trained
    assert [file.name for file in card.imported.files] == [f"{name}.index", f"{name}.data-00000-of-00001"]


@pytest.mark.parametrize("name", MODELS)
def test_scores_on_all_pairs_are_those_measured_independently(tmp_path: Path, name: str) -> None:
    folder, scores = real_folder("dped_iphone_patches"), real_folder("expected") / "scores.json"
    if not scores.is_file():
        pytest.skip(f"no {scores}")
    weights = tmp_path / f"{name}.safetensors"
    import_weights(published_checkpoint(name), weights)
    folders = ["--phone", str(folder / "iphone"), "--dslr", str(folder / "canon")]
    options = ["--weights", str(weights), "--json", "-S", "evaluate.device=cpu"]
    done = CliRunner().invoke(main, ["evaluate", *folders, *options])
    assert done.exit_code == 0, done.output
    found, expected = json.loads(done.stdout), json.loads(scores.read_text())["models"]
    assert found["pairs"] == 200
    for side, model in (("before", "identity"), ("after", name)):
        assert found["image"][f"infinite_psnr_{side}"] == expected[model]["pairs_with_infinite_psnr"]
        for protocol, called in REFERENCES.items():
            psnr, ms_ssim = expected[model][f"psnr_{called}_db"], expected[model][f"ms_ssim_{called}"]
            assert found[protocol][f"psnr_{side}_db"] == pytest.approx(psnr, abs=0.005)
            assert found[protocol][f"ms_ssim_{side}"] == pytest.approx(ms_ssim, abs=0.0005)


@pytest.mark.parametrize("name", MODELS)
def test_onnx_files_give_what_the_original_graphs_give(tmp_path: Path, name: str) -> None:
    import_weights(published_checkpoint(name), tmp_path / "weights.safetensors")
    done = export(tmp_path / "weights.safetensors", tmp_path / f"{name}.onnx", clip=False)
    assert done.difference < 1e-6
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(done.onnx, options)
    for patch in PATCHES:
        photo = load_photo(real_folder("dped_iphone_patches") / "iphone" / f"{patch}.jpg")
        rgb = np.ascontiguousarray(photo[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        (output,) = session.run(None, {"phone": rgb})
        assert np.abs(output[0].transpose(1, 2, 0) - golden(name, patch)).max() < 1e-5
    assert f"{name}.index".replace("_", r"\_") in done.card.read_text()
