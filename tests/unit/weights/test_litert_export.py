"""LiteRT files: the values equal PyTorch's, int8 stays near them, and what is wrong is one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from noisy_network import save_noisy

from dpedtool.dataset.errors import DpedtoolError, ParamsError
from dpedtool.pipeline.cli import main
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.weights.calibration import Examples, Measured
from dpedtool.training.weights.litert_export import export_litert, parse_size

SMALL = Architecture(channels=4, blocks=1)


def saved(tmp_path: Path, architecture: Architecture = SMALL) -> tuple[Path, Generator]:
    return save_noisy(tmp_path, architecture)


@pytest.mark.parametrize(("words", "size"), [("768x1024", (768, 1024)), (" 5 X 7", (5, 7))])
def test_a_size_is_height_and_width(words: str, size: tuple[int, int]) -> None:
    assert parse_size(words) == size


@pytest.mark.parametrize("words", ["512", "0x5", "axb", "99999x99999", "5x5x3", "-5x5"])
def test_what_is_no_size_is_refused(words: str) -> None:
    with pytest.raises(ParamsError, match="is not a size: write height and width in px, such as 768x1024"):
        parse_size(words)


def test_without_the_packages_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, _ = saved(tmp_path)
    for module in ("litert_torch", "ai_edge_litert", "ai_edge_quantizer"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DpedtoolError, match=r"^LiteRT files need litert-torch and ai-edge-litert and .*: pip install"):
        export_litert(weights, tmp_path / "net.tflite")
    assert not (tmp_path / "net.tflite").exists()


def test_opsets_are_for_onnx(tmp_path: Path) -> None:
    weights, _ = saved(tmp_path)
    arguments = ["export", str(weights), "-o", str(tmp_path / "net.tflite"), "--format", "litert", "--opset", "17"]
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    assert "--opset is for ONNX files: leave it out." in ended.output


# litert-torch warns of its own use of torch while it is imported.
@pytest.mark.filterwarnings("ignore")
def test_files_compute_what_pytorch_computes(tmp_path: Path, capfd) -> None:
    pytest.importorskip("litert_torch", reason="litert-torch is not installed")
    from ai_edge_litert.interpreter import Interpreter

    weights, network = saved(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (6, 7, 3), np.uint8)
        cv2.imwrite(str(photos / f"{number}.png"), cv2.resize(noise, (48, 40), interpolation=cv2.INTER_CUBIC))
    contents = []
    for name in ("a", "b"):
        out = tmp_path / name / "net.tflite"
        arguments = ["export", str(weights), "-o", str(out), "--format", "litert", "--size", "40x48", "--int8"]
        ended = CliRunner().invoke(main, [*arguments, "--calibrate", str(photos), "--targets", str(photos)])
        assert ended.exit_code == 0, ended.output
        first, second = ended.output.splitlines()
        assert first.startswith(f"{out}: dped_resnet_6_4, 2559 parameters, float16, images 40x48; LiteRT is within ")
        assert "net-int8.tflite: 6 of 6 convolutions in int8, calibrated on 5 images; on 1 image" in second
        contents.append([out.read_bytes(), out.with_name("net-int8.tflite").read_bytes()])
        assert {file.name for file in out.parent.iterdir()} == {
            "net.tflite",
            "net.md",
            "net-int8.tflite",
            "net-int8.md",
        }
    # The packages print nothing.
    assert capfd.readouterr().err == ""
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0][0] + contents[0][1]
    phone = cv2.imread(str(photos / "5.png"))[..., ::-1].astype(np.float32)[None] / 255
    with torch.inference_mode():
        wanted = network(torch.from_numpy(phone).permute(0, 3, 1, 2)).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    for file, most in (("net.tflite", 2e-3), ("net-int8.tflite", 0.05)):
        run = Interpreter(str(tmp_path / "a" / file)).get_signature_runner()
        found = run(phone=phone)["enhanced"]
        assert 0 < np.abs(found - wanted).max() < most
    card = (tmp_path / "a" / "net-int8.md").read_text()
    assert card.startswith("---\nlibrary_name: litert\n")
    assert "It computes 6 of 6 convolutions in int8, calibrated on 5 images." in card
    assert "s a megapixel in LiteRT on" in card
    assert "Input `phone`: float32, (1, 40, 48, 3)" in card
    # A card of the other format may be replaced.
    export_litert(weights, tmp_path / "a" / "net.tflite", (16, 16))


@pytest.mark.filterwarnings("ignore")
def test_int8_takes_ranges_from_images_that_the_network_for_phones_pads_alike(tmp_path: Path) -> None:
    """It pads 42x51 px to 48x56, and so the tensors of its file have other names than those for 128x128 px."""
    pytest.importorskip("litert_torch", reason="litert-torch is not installed")
    weights, _ = saved(tmp_path, Architecture("mobile", channels=4))
    noise = np.random.default_rng(0).random((2, 3, 40, 48), np.float32)
    images = [torch.from_numpy((255 * image).astype(np.uint8)) for image in noise]
    examples = Examples(images[:1], [Measured(images[1], None)])
    done = export_litert(weights, tmp_path / "net.tflite", (42, 51), examples=lambda: examples)
    assert done.int8
    assert done.int8.quantised.convolutions == (14, 14)


@pytest.mark.filterwarnings("ignore")
def test_the_suffix_is_that_of_the_format(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="litert-torch is not installed")
    weights, _ = saved(tmp_path)
    with pytest.raises(DpedtoolError, match=r"give it the suffix \.tflite\.$"):
        export_litert(weights, tmp_path / "net.onnx")
