"""The card of an ONNX file: it states what is known and nothing else, and data cannot become markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from score_rig import compared_metrics

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params import describe
from dpedtool.dataset.sidecars.metrics import (
    NOT_SCORED,
    FittedPairs,
    FolderMetrics,
    FolderScores,
    Metrics,
    PatchScores,
    ScoredWeights,
    VersionScores,
)
from dpedtool.dataset.sidecars.model_info import (
    BestValidation,
    ImportedWeights,
    ModelInfo,
    Origin,
    SourceFile,
    TrainingInfo,
)
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.weights.checkpoint import load_model, save_model
from dpedtool.training.weights.model_card import ModelCard, read_scores
from dpedtool.training.weights.onnx_export import export

SHA256 = "ab" * 32
SCORES: dict[str, dict[str, VersionScores]] = {
    "image": {
        "before": VersionScores(17.123, 0.81, 0.7, 0),
        "colour": NOT_SCORED,
        "after": VersionScores(None, 1.0, 1.0, 3),
    },
    "batch": {"before": VersionScores(15.0, 0.82, 0.7, 0), "colour": NOT_SCORED, "after": NOT_SCORED},
}
OF_PATCHES = Metrics(
    **{protocol: PatchScores(pairs=3, oracle=NOT_SCORED, **versions) for protocol, versions in SCORES.items()}
)


def of_folders(weights: str | None) -> FolderMetrics:
    """Return scores of two folders for weights with this digest."""
    return FolderMetrics(
        phone="phone",
        dslr="dslr",
        pairs=3,
        weights=ScoredWeights("net.safetensors", weights, "dped_resnet_12_64") if weights else None,
        colour_transform=FittedPairs(0, "there are no others"),
        **{protocol: FolderScores(pairs=3, **versions) for protocol, versions in SCORES.items()},
    )


def training(start_sha256: str | None = None, **params: Any) -> TrainingInfo:
    """Return what `dpedtool.training.train.stage` writes to a card."""
    return TrainingInfo(
        key="k",
        params={**describe(TrainParams()), **params},
        patches=1200,
        validation_patches=70,
        data_sha256="cd" * 32,
        start_sha256=start_sha256,
        vgg_sha256=None,
        best_validation=BestValidation(iteration=900, psnr_db=24.567, ms_ssim=0.9),
        precision="float32",
        torch="2.6.0",
    )


def imported(name: str, sha256: str = SHA256, **fields: Any) -> ImportedWeights:
    """Return what `dpedtool import-weights` writes to a card."""
    usual: dict[str, Any] = {"format": "TensorFlow checkpoint V2", "tensors": []}
    return ImportedWeights(files=[SourceFile(name, sha256)], **usual | fields)


def card(known: Origin | None = None, **fields: Any) -> ModelCard:
    usual: dict[str, Any] = {
        "file": "net.onnx",
        "architecture": Architecture(),
        "parameters": 401475,
        "sha256": SHA256,
        "scores": None,
        "licence": None,
        "clipped": True,
        "opset": 9,
        "difference": 2.4e-7,
    }
    info = None if known is None else ModelInfo(name="net", parameters=401475, input="RGB", network={}, **known)
    return ModelCard(known=info, **{**usual, **fields})


def head(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def row(text: str, name: str) -> str:
    """Return the value of a row in a table of two columns."""
    (value,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", text, re.MULTILINE)
    return str(value)


def test_a_training_is_told_by_preset_data_and_what_was_set_otherwise() -> None:
    known: Origin = {
        "trained": True,
        "training": training(batch=4, start="/home/someone/first.safetensors", device="cuda"),
    }
    text = card(known).as_markdown()
    assert row(text, "preset") == "fidelity"
    assert row(text, "set otherwise") == "batch 4"
    assert row(text, "training patches") == "1200"
    assert row(text, "PSNR on validation patches") == "24.57 dB"
    assert row(text, "SHA-256 of the data") == "cd" * 32
    assert "/home" not in text
    assert "someone" not in text


def test_weights_that_were_gone_on_with_name_the_first_ones() -> None:
    text = card({"training": training("ef" * 32)}, licence="MIT").as_markdown()
    assert row(text, "SHA-256 of the first weights") == "ef" * 32
    assert "whose terms apply as well" in text


def test_imported_weights_are_told_by_their_files() -> None:
    known: Origin = {"imported": imported("iphone.index")}
    text = card(known).as_markdown()
    assert row(text, "iphone.index") == SHA256
    assert card(known).notes()["preset"] == "imported"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (None, "Nothing is known about the training"),
        ({}, "Nothing is known about the training"),
        (
            {"trained": False, "reason": "there are no training patches"},
            "**Never trained**, since there are no training",
        ),
        ({"training": training(preset="mine")}, "| preset | mine |"),
    ],
)
def test_what_is_not_known_is_not_made_up(known: Origin | None, said: str) -> None:
    assert said in card(known).as_markdown()


def test_scores_stand_in_a_table_of_both_protocols() -> None:
    text = card(scores=OF_PATCHES).as_markdown()
    rows = [line for line in text.splitlines() if re.match(r"\| (image|batch) \|", line)]
    assert rows == [
        "| image | 3 | untouched phone image | 17.12 dB | 0.8100 | 0.7000 |",
        "| image | 3 | this network | none | 1.0000 | 1.0000 |",
        "| batch | 3 | untouched phone image | 15.00 dB | 0.8200 | 0.7000 |",
    ]
    assert "Not given." in card().as_markdown()


def test_scores_over_the_same_pairs_stand_in_a_table_of_their_own() -> None:
    text = card(scores=compared_metrics()).as_markdown()
    assert "Over the same 198 pairs for all; 2 pairs with constant targets are left out:" in text
    assert "|  | phone | network | network - phone (interval of 95 %) |" in text
    assert "| PSNR, dB ↑ | 20.00 | 21.50 | +1.50 (+1.00 to +2.00) |" in text
    assert "| own:worst ↓ | 0.2500 | none |  |" in text
    assert "A px of the output takes 399744 multiplications, each with an addition." in text
    assert "Over the same" not in card(scores=OF_PATCHES).as_markdown()


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("LicenseRef-Mine", {"license": "other", "license_name": "LicenseRef-Mine"}),
        (None, {}),
    ],
)
def test_the_head_is_what_hubs_read(licence: str | None, expected: dict[str, str]) -> None:
    text = card(licence=licence).as_markdown()
    found = head(text)
    assert {key: value for key, value in found.items() if key.startswith("license")} == expected
    assert (found["library_name"], found["pipeline_tag"]) == ("onnx", "image-to-image")
    assert ("No licence is stated." in text) == (licence is None)


def test_only_instance_norm_forbids_tiles() -> None:
    assert "Give it the whole photo at once" in card().as_markdown()
    assert "overlap by 36 px" in card(architecture=Architecture(norm="batch")).as_markdown()
    assert "overlap by 16 px" in card(architecture=Architecture("srcnn")).as_markdown()


def test_tiles_of_the_network_for_phones_give_the_whole_photo() -> None:
    architecture = Architecture("mobile", channels=4)
    text = card(architecture=architecture, clipped=False).as_markdown()
    assert "It is a U-Net of plain convolutions that phones can run, exported by" in text
    assert "RGB, not clipped: clip it to 0..1 for a picture" in text
    assert "Memory: about 40 MB for each megapixel" in text
    assert "overlap by 112 px, begin at multiples of 8 px, and half of the overlap is cut off" in text
    torch.manual_seed(0)
    network, photo = architecture.build().eval().double(), torch.rand(1, 3, 16, 301, dtype=torch.float64)
    with torch.inference_mode():
        whole = network(photo)
        for begin, end in ((0, 168), (56, 301)):
            tile = network(photo[..., begin:end])
            first, last = (begin + 56 if begin else 0), (end - 56 if end < 301 else 301)
            torch.testing.assert_close(
                tile[..., first - begin : last - begin], whole[..., first:last], rtol=0, atol=1e-12
            )


@pytest.mark.parametrize(
    ("architecture", "reach"), [(Architecture(channels=2, blocks=2, norm="batch"), 14), (Architecture("srcnn"), 8)]
)
def test_tiles_overlap_by_all_that_an_output_depends_on(architecture: Architecture, reach: int) -> None:
    network = architecture.build().eval().double()
    with torch.no_grad():
        # With these weights no ReLU cuts anything off.
        for values in network.parameters():
            values.fill_(0.01)
    phone = torch.zeros(1, 3, 3, 80, dtype=torch.float64, requires_grad=True)
    network(phone)[0, 0, 1, 40].backward()
    assert phone.grad is not None
    used = phone.grad[0].abs().amax(dim=(0, 1)).nonzero()[:, 0]
    assert [int(used.min()), int(used.max())] == [40 - reach, 40 + reach]
    assert f"overlap by {2 * reach} px" in card(architecture=architecture).as_markdown()


def test_names_from_data_are_text() -> None:
    odd = "a|b`c`<script>[x](y)\n# head\n---\n*"
    known: Origin = {"imported": imported(odd, "\ud800\x1b[0m", format=odd)}
    text = card(known, file=f"{odd}.onnx").as_markdown()
    text.encode()
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("# ")] == [r"# a\|b\`c\`\<script\>\[x\](y) \# head --- \*"]
    assert lines.count("---") == 2
    assert "<script>" not in "\n".join(line for line in lines if "InferenceSession" not in line)
    assert [line.count(" | ") for line in lines if "script" in line and line.startswith("| ")] == [1]
    card({"training": training(preset=odd + "\ud800")}).notes()["preset"].encode()


@pytest.mark.parametrize("scores", [{}, {"image": {}}, {"image": 1, "batch": 2}])
def test_other_json_is_no_scores(tmp_path: Path, scores: dict[str, Any]) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(scores))
    with pytest.raises(DpedtoolError, match="holds no scores"):
        read_scores(tmp_path / "metrics.json", SHA256)


@pytest.mark.parametrize("weights", [None, "00" * 32])
def test_scores_of_other_weights_are_refused(tmp_path: Path, weights: str | None) -> None:
    of_folders(weights).write(tmp_path / "metrics.json")
    with pytest.raises(DpedtoolError, match="does not hold scores of these weights"):
        read_scores(tmp_path / "metrics.json", SHA256)


def test_scores_of_these_weights_and_of_a_table_are_taken(tmp_path: Path) -> None:
    for scores in (OF_PATCHES, of_folders(SHA256)):
        scores.write(tmp_path / "metrics.json")
        assert read_scores(tmp_path / "metrics.json", SHA256) == scores


def test_the_six_lines_of_the_card_enhance_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texture: Any
) -> None:
    model = Architecture(channels=4, blocks=1).build()
    save_model(tmp_path / "net.safetensors", model, {})
    done = export(tmp_path / "net.safetensors", tmp_path / 'it\'s "mine".onnx')
    (code,) = re.findall(r"```python\n(.*?)```", done.card.read_text(), re.DOTALL)
    assert len(code.splitlines()) == 6
    monkeypatch.chdir(tmp_path)
    photo = texture(30, 41)
    cv2.imwrite("photo.png", photo)
    exec(code.replace("photo.jpg", "photo.png"), {})  # noqa: S102 - the code is ours
    phone = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        wanted = load_model(tmp_path / "net.safetensors")(phone).clamp(0, 1)[0].permute(1, 2, 0).numpy()[..., ::-1]
    found = cv2.imread("enhanced.png")
    assert found is not None
    assert np.abs(found - wanted * 255).max() <= 0.51
