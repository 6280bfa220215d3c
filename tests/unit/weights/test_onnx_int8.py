"""ONNX files in int8: the values stay near the float file's, the bytes are reproducible, and nothing else is left."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from noisy_network import save_noisy
from own_code import write_folder

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.cli import main
from dpedtool.training.networks.generators import Architecture
from dpedtool.training.weights.calibration import from_photos
from dpedtool.training.weights.checkpoint import save_model
from dpedtool.training.weights.onnx_export import export

MODULE = '''
import torch
from torch import nn


class Scaled(nn.Module):
    """Has no convolution."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, phone):
        return phone * self.scale
'''


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (6, 7, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(noise, (48, 40), interpolation=cv2.INTER_CUBIC))
    return folder


def saved(tmp_path: Path, architecture: Architecture) -> Path:
    return save_noisy(tmp_path, architecture)[0]


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(channels=4, blocks=2),
        Architecture(channels=4, blocks=1, norm="batch"),
        Architecture("srcnn"),
        Architecture("mobile", channels=4),
    ],
    ids=lambda architecture: architecture.settings().get("norm", architecture.network),
)
def test_it_computes_nearly_the_same_with_small_weights(
    tmp_path: Path, photos: Path, architecture: Architecture
) -> None:
    done = export(saved(tmp_path, architecture), tmp_path / "net.onnx", examples=lambda: from_photos(photos))
    assert done.int8
    assert done.int8.file == tmp_path / "net-int8.onnx"
    assert done.int8.card == tmp_path / "net-int8.md"
    phone = cv2.imread(str(photos / "5.png"))[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
    float32, int8 = (
        onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"phone": phone})[0]
        for file in (done.onnx, done.int8.file)
    )
    assert float32.std() > 0.001
    # The smallest PSNR of these networks was 45 dB.
    assert 0 < np.square(float32 - int8).mean() < 1e-4
    made = onnx.load(done.int8.file)
    kinds = [node.op_type for node in made.graph.node]
    stored = {tensor.name: tensor for tensor in made.graph.initializer}
    by_output = {node.output[0]: node for node in made.graph.node}
    convolutions = [node for node in made.graph.node if node.op_type == "Conv"]
    assert done.int8.quantised.convolutions == (len(convolutions), len(convolutions))
    for node in convolutions:
        weights, scales, zeros = (onnx.numpy_helper.to_array(stored[name]) for name in by_output[node.input[1]].input)
        # Symmetric int8 with a scale for each channel, in 7 bits, so that no processor cuts off sums.
        assert (weights.dtype, scales.shape, set(zeros.tolist())) == (np.int8, weights.shape[:1], {0})
        assert 0 < np.abs(weights.astype(int)).max() <= 64
    assert ("Tanh" in kinds) == (architecture.network != "mobile")
    assert made.opset_import[0].version == 17
    assert {note.key for note in made.metadata_props} == {note.key for note in onnx.load(done.onnx).metadata_props}


def test_the_photo_goes_in_exactly(tmp_path: Path, photos: Path) -> None:
    weights = saved(tmp_path, Architecture("srcnn"))
    done = export(weights, tmp_path / "net.onnx", examples=lambda: from_photos(photos))
    assert done.int8
    made = onnx.load(done.int8.file)
    (first,) = [node for node in made.graph.node if node.input[0] == "phone"]
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    scale, zero = (stored[name] for name in first.input[1:])
    assert (first.op_type, zero.dtype, int(zero)) == ("QuantizeLinear", np.uint8, 0)
    assert scale == pytest.approx(1 / 255)


def test_the_command_says_and_notes_what_int8_loses(tmp_path: Path, photos: Path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    weights, out = saved(tmp_path, Architecture(channels=4, blocks=1)), tmp_path / "out" / "net.onnx"
    with caplog.at_level(logging.WARNING):
        arguments = ["export", str(weights), "-o", str(out), "--int8", "--calibrate", str(photos)]
        ended = CliRunner().invoke(main, [*arguments, "--targets", str(photos)])
    assert ended.exit_code == 0
    first, second = ended.output.splitlines()
    assert first.startswith(f"{out}: dped_resnet_6_4, 2559 parameters, opset 17")
    assert second.startswith(
        f"{out.with_name('net-int8.onnx')}: 6 of 6 convolutions in int8, calibrated on 5 images; on"
    )
    assert "on 1 image that it was not calibrated on" in second
    assert "the PSNR to the targets is" in second
    card = out.with_name("net-int8.md").read_text()
    assert "It computes 6 of 6 convolutions in int8, calibrated on 5 images." in card
    assert "InferenceSession('net-int8.onnx')" in card
    assert "the PSNR to the targets is" in card
    assert "s a megapixel in onnxruntime on" in card
    assert "calibrated" not in out.with_suffix(".md").read_text()
    # No log lines, and no files beside the four.
    assert not caplog.records
    assert not list((tmp_path / "temporary").iterdir())
    assert sorted(file.name for file in out.parent.iterdir()) == ["net-int8.md", "net-int8.onnx", "net.md", "net.onnx"]


def test_the_same_model_and_images_give_the_same_bytes_in_any_process(tmp_path: Path, photos: Path) -> None:
    weights = saved(tmp_path, Architecture(channels=4, blocks=1))
    contents = set()
    for seed in ("1", "2"):
        out = tmp_path / seed / "net.onnx"
        command = [sys.executable, "-m", "dpedtool", "export", weights, "-o", out, "--int8", "--calibrate", photos]
        ended = subprocess.run(
            command, check=True, capture_output=True, env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed}
        )
        assert ended.stderr == b""
        contents.add(out.with_name("net-int8.onnx").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["--int8"], "--int8 and --calibrate belong together", 2),
        (["--calibrate", "photos"], "--int8 and --calibrate belong together", 2),
        (["--targets", "photos"], "--targets is for --calibrate DIR", 2),
        (["--size", "8x8"], "--size is for --format litert", 2),
        (["--int8", "--calibrate", "empty"], "holds no photos", 1),
        (["--int8", "--calibrate", "missing"], "missing", 1),
        (["--int8", "--calibrate", "photos", "--opset", "12"], "Opset 12 has no scales for each channel", 1),
        (["--int8", "--calibrate", "net.safetensors"], "net.safetensors", 1),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, photos: Path, monkeypatch, arguments: list[str], sentence: str, code: int
) -> None:
    assert photos.parent == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    saved(tmp_path, Architecture(channels=4, blocks=1))
    ended = CliRunner().invoke(main, ["export", "net.safetensors", "-o", "out/net.onnx", *arguments])
    assert ended.exit_code == code
    assert sentence in ended.output.splitlines()[-1]
    assert not (tmp_path / "out" / "net.onnx").exists()


def test_a_file_of_the_users_own_is_not_replaced_by_the_card_of_int8(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "net-int8.md").write_text("# Mine\n")
    weights = saved(tmp_path, Architecture(channels=4, blocks=1))
    with pytest.raises(DpedtoolError, match=r"net-int8\.md is not a model card"):
        export(weights, tmp_path / "net.onnx", examples=lambda: from_photos(photos))
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.usefixtures("one_thread", "clean_modules")
@pytest.mark.parametrize("name", ["own_net:UNet", "own_scaled:Scaled"])
def test_a_network_of_ones_own_is_quantised_if_it_has_convolutions(tmp_path: Path, photos: Path, name: str) -> None:
    folder = write_folder(tmp_path)
    (tmp_path / "own_scaled.py").write_text(MODULE)
    model = Architecture(f"{folder}:{name}").build().eval()
    save_model(tmp_path / "own.safetensors", model, {})
    own, out = model.architecture.network, tmp_path / "own.onnx"
    if name == "own_net:UNet":
        done = export(tmp_path / "own.safetensors", out, own=own, examples=lambda: from_photos(photos))
        assert done.int8
        assert done.int8.quantised.convolutions[0] > 0
        assert done.int8.quantised.psnr_db > 30
        return
    with pytest.raises(DpedtoolError, match="own_scaled:Scaled has no convolution that int8 could compute: export it"):
        export(tmp_path / "own.safetensors", out, own=own, examples=lambda: from_photos(photos))
    assert not out.exists()


def place_of(tmp_path: Path, kind: str, make_samples) -> Path:
    """Make a place of one kind that holds pairs of images."""
    place = tmp_path / kind
    if kind in {"one table", "two tables"}:
        make_samples(place, {"train": 3, "test": 2}).replace(place / "a.parquet")
        if kind == "two tables":
            shutil.copy(place / "a.parquet", place / "b.parquet")
        return place
    phones = ("iphone", "sony") if kind == "two phones" else ("iphone",)
    for phone in phones:
        for part, count in (("training_data", 3), ("test_data/patches", 2)):
            for camera in (phone, *([] if kind == "no DSLR" else ["canon"])):
                folder = place / "dped" / phone / part / camera
                folder.mkdir(parents=True)
                for number in range(count):
                    image = np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)
                    cv2.imwrite(str(folder / f"{number}.jpg"), image)
    return place / "dped" / "iphone" if kind == "phone alone" else place


@pytest.mark.parametrize("kind", ["one table", "release", "phone alone"])
def test_places_of_pairs_are_calibrated_on_training_and_measured_on_test(tmp_path: Path, make_samples, kind) -> None:
    weights, place = saved(tmp_path, Architecture(channels=4, blocks=1)), place_of(tmp_path, kind, make_samples)
    arguments = ["export", str(weights), "-o", str(tmp_path / "net.onnx"), "--int8", "--calibrate", str(place)]
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 0, ended.output
    assert "calibrated on 3 images; on 2 images that it was not calibrated on" in ended.output
    assert "the PSNR to the targets is" in ended.output


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("two tables", "holds several tables of samples: name one of them, such as "),
        ("two phones", "holds patches of several phones: name the folder of one, such as "),
        ("no DSLR", "must hold a folder iphone of the phone's patches and one of the DSLR's: name the two by"),
    ],
)
def test_places_that_leave_open_what_is_meant_are_refused(tmp_path: Path, make_samples, kind, sentence) -> None:
    weights, place = saved(tmp_path, Architecture(channels=4, blocks=1)), place_of(tmp_path, kind, make_samples)
    arguments = ["export", str(weights), "-o", str(tmp_path / "net.onnx"), "--int8", "--calibrate", str(place)]
    ended = CliRunner().invoke(main, arguments)
    assert (ended.exit_code, len(ended.output.splitlines())) == (1, 1)
    assert sentence in ended.output
    assert not (tmp_path / "net.onnx").exists()
