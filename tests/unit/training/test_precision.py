"""How the networks are computed: in bfloat16 if the device has it, while weights stay in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import dpedtool.training.precision
from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.precision import Computation, has_bfloat16

CPU = torch.device("cpu")


def processor(patched: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "cpuinfo").write_text(text)
    patched.setattr(dpedtool.training.precision, "_CPU", folder / "cpuinfo")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n\nprocessor\t: 1\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        # This processor converts bfloat16 to float32; the vmx flags are of another kind.
        ("flags\t\t: fpu avx2 avx512f avx512bw\nvmx flags\t: avx512_bf16\n", False),
        ("Features\t: fp asimd\n", False),
    ],
)
def test_bfloat16_is_taken_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: bool
) -> None:
    processor(monkeypatch, tmp_path, text)
    assert has_bfloat16(CPU) is found
    assert Computation.of(TrainParams(), CPU).dtype == (torch.bfloat16 if found else torch.float32)
    assert Computation.of(TrainParams(precision="float32"), CPU).dtype == torch.float32
    assert Computation.of(TrainParams(precision="bfloat16"), CPU).dtype == torch.bfloat16


def test_a_machine_that_does_not_name_its_instructions_has_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpedtool.training.precision, "_CPU", tmp_path / "none")
    assert not has_bfloat16(CPU)


@pytest.mark.parametrize("found", [True, False])
def test_a_gpu_is_asked_itself(monkeypatch: pytest.MonkeyPatch, found: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: found and not including_emulation)
    assert has_bfloat16(torch.device("cuda")) is found


def test_convolutions_are_computed_in_the_precision_and_weights_are_not() -> None:
    network = torch.nn.Conv2d(3, 4, 3)
    for dtype in (torch.float32, torch.bfloat16):
        computation = Computation(CPU, dtype)
        placed = computation.place(network)
        with computation.autocast():
            assert placed(torch.zeros(1, 3, 8, 8)).dtype == dtype
        assert placed.weight.dtype == torch.float32
        assert placed(torch.zeros(1, 3, 8, 8)).dtype == torch.float32


def test_a_gpu_repeats_its_bits_and_has_tf32_unless_float32_is_asked_for() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.allow_tf32
    for dtype, tf32 in ((torch.bfloat16, True), (torch.float32, False)):
        with Computation(CPU, dtype).repeatable():
            assert (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32) == (True, False, tf32)
    assert (cudnn.deterministic, cudnn.allow_tf32) == before


def test_channels_come_last_in_bfloat16_on_a_gpu_alone() -> None:
    formats = {
        (device, dtype): Computation(torch.device(device), dtype)._memory_format
        for device in ("cpu", "cuda")
        for dtype in (torch.float32, torch.bfloat16)
    }
    last = {key for key, value in formats.items() if value == torch.channels_last}
    assert last == {("cuda", torch.bfloat16)}
