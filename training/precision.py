"""How the networks are computed on a device: precision, memory layout, compiled or not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from dpedtool.dataset.train_params import TrainParams
from dpedtool.training.data import Batch

_CPU = Path("/proc/cpuinfo")
# Instructions that multiply bfloat16. Processors without them convert to float32, which is slower than float32 itself.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Computation:
    """Where and how the networks are computed; weights, losses and the optimiser are always in float32."""

    device: torch.device
    dtype: torch.dtype
    """Type of the convolutions: float32 or bfloat16."""
    compiled: bool = False
    """Whether torch.compile fuses the networks."""

    @staticmethod
    def of(params: TrainParams, device: torch.device) -> Computation:
        """Return what the parameters ask for on a device.

        bfloat16 was measured to be twice as fast as float32 on one core with avx512_bf16: DPED's network, forward and
        backward, with 16 and with 64 channels.
        """
        half = choose_precision(params.precision, device) == "bfloat16"
        return Computation(device, torch.bfloat16 if half else torch.float32, params.compile)

    @property
    def precision(self) -> str:
        """The name of `dtype`, as in `TrainParams.precision`."""
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> torch.autocast:
        """Return a context in which convolutions and matrix products are computed in `dtype`."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    @contextlib.contextmanager
    def repeatable(self) -> Iterator[None]:
        """Restrict a GPU to convolutions that always give the same bits; they use TF32 unless float32 is asked for.

        On processors this has no effect: their convolutions always give the same bits.
        """
        tf32 = self.dtype != torch.float32
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
            yield

    def place(self, network: Network) -> Network:
        """Return a network on the device, in the memory layout that is fastest there."""
        placed: Network = network.to(self.device, memory_format=self._memory_format)  # type: ignore[call-overload]
        return placed

    def batch(self, batch: Batch) -> Batch:
        """Return a batch on the device as float32, 0..1, in the same layout; the processor does not wait for it."""
        moved = Batch(self.sendable(batch.phone), self.sendable(batch.dslr)).as_float(self.device)
        return Batch(*(side.contiguous(memory_format=self._memory_format) for side in (moved.phone, moved.dslr)))

    def sendable(self, tensor: Tensor) -> Tensor:
        """Return a processor's tensor in memory that a GPU can fetch from by itself."""
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def compile(self, network: nn.Module) -> nn.Module:
        """Return the network ready to call, fused by torch.compile if that is asked for."""
        return cast("nn.Module", torch.compile(network)) if self.compiled else network

    @property
    def _memory_format(self) -> torch.memory_format:
        # On a processor DPED's network took 0.163 s a patch in the usual layout and 0.172 s with the channels last.
        last = self.device.type == "cuda" and self.dtype == torch.bfloat16
        return torch.channels_last if last else torch.contiguous_format


def choose_precision(
    wanted: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> Literal["float32", "bfloat16"]:
    """Return the precision to compute in; ``auto`` is bfloat16 if the processor or GPU has instructions for it."""
    if wanted == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return wanted


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return not _CPU_FLAGS.isdisjoint(_cpu_flags())


def _cpu_flags() -> set[str]:
    """Return the instruction sets of this machine's processor as Linux names them; empty on other systems."""
    text = _CPU.read_text(encoding="utf-8", errors="replace") if _CPU.is_file() else ""
    line = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(line[1].split()) if line else set()
