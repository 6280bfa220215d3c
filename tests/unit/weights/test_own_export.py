"""Networks of the user's own as ONNX: torch follows their code, and the card says what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from own_code import write_folder

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.training.networks.generators import Architecture, Generator
from dpedtool.training.weights.checkpoint import save_model
from dpedtool.training.weights.onnx_export import TOLERANCE, export

pytestmark = pytest.mark.usefixtures("one_thread", "clean_modules")

MORE = '''
import torch
from torch import nn


class Branching(nn.Module):
    """Goes other ways for large images, which nobody sees who follows it for a small one."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, phone):
        return self.conv(phone) if phone.shape[2] == 128 else phone


class Special(Branching):
    def forward(self, phone):
        return torch.special.bessel_j0(self.conv(phone))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_more.py").write_text(MORE)
    return write_folder(tmp_path)


def saved(folder: Path, name: str, **args: object) -> tuple[Generator, str]:
    model = Architecture(f"{folder}:{name}", args=args).build().eval()
    save_model(folder / "net.safetensors", model, {})
    return model, model.architecture.network


@pytest.mark.parametrize("name", ["UNet", "Global", "Tied", "NormedByBatch", "Enlarging"])
def test_onnx_gives_what_pytorch_gives_at_other_sizes(folder: Path, name: str) -> None:
    model, own = saved(folder, f"own_net:{name}")
    done = export(folder / "net.safetensors", folder / "net.onnx", clip=False, own=own)
    assert done.difference < TOLERANCE
    session = onnxruntime.InferenceSession(done.onnx, providers=["CPUExecutionProvider"])
    for size in ((2, 3, 50, 31), (1, 3, 4, 200)):
        phone = torch.rand(*size)
        with torch.inference_mode():
            expected = model(phone).numpy()
        (found,) = session.run(None, {"phone": phone.numpy()})
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_the_file_and_its_card_say_what_it_is_and_name_no_folder(folder: Path) -> None:
    _, own = saved(folder, "own_net:UNet", width=6)
    done = export(folder / "net.safetensors", folder / "net.onnx", own=own)
    made = onnx.load(done.onnx)
    assert (made.producer_name, made.graph.name) == ("dpedtool", "own_net:UNet")
    assert {note.key: note.value for note in made.metadata_props}["network"] == "own_net:UNet"
    card = done.card.read_text()
    assert "a network of its author's own, the class `own_net:UNet`" in card
    assert "| argument width | 6 |" in card
    assert "Height and width from 4 px on" in card
    assert "generator of DPED" not in card
    assert str(folder).encode() not in done.onnx.read_bytes() + card.encode()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Branching", "values of onnxruntime differ from PyTorch's"),
        ("Special", "The network own_more:Special cannot be written as ONNX .*bessel"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence_and_leaves_nothing(folder: Path, name: str, said: str) -> None:
    _, own = saved(folder, f"own_more:{name}")
    with pytest.raises(DpedtoolError, match=said) as refused:
        export(folder / "net.safetensors", folder / "net.onnx", own=own)
    assert "\n" not in str(refused.value)
    assert not (folder / "net.onnx").exists()
