"""The machine that figures were measured on, without the names of hosts, users and folders."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.feeding import processors

_FAST = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""The instructions of processors that make these networks fast."""


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the speed depends on: the GPU and its driver, if `device` is one, the processor and the versions.

    `gpu` and what is told of it are None on a processor.
    """
    name, instructions = processor()
    return {
        **_gpu(device),
        "processor": name or platform.machine(),
        "instructions": instructions,
        "processors": processors(),
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def processor(path: Path = Path("/proc/cpuinfo")) -> tuple[str, list[str]]:
    """Return the processor's name and which fast instructions it has; both are empty if Linux does not say."""
    if not path.is_file():
        return "", []
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    about = {name.strip(): value.strip() for name, _, value in lines}
    known = about.get("flags", "").split()
    return about.get("model name", ""), [flag for flag in _FAST if flag in known]


def _gpu(device: torch.device) -> dict[str, Any]:
    names = ("gpu", "gpu_memory_bytes", "compute_capability", "gpus", "driver", "cuda", "cudnn")
    if device.type != "cuda":
        return dict.fromkeys(names)
    about = torch.cuda.get_device_properties(device)
    values = (
        about.name,
        about.total_memory,
        f"{about.major}.{about.minor}",
        torch.cuda.device_count(),
        _driver(),
        torch.version.cuda,
        torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    )
    return dict(zip(names, values, strict=True))


def _driver() -> str | None:
    """Return the version of NVIDIA's driver, which torch does not know; None if nvidia-smi does not say."""
    if not (tool := shutil.which("nvidia-smi")):
        return None
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None
