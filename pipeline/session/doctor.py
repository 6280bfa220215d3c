"""What is installed and works here, and what is wrong with a session."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.dataset.params_files import load_params
from dpedtool.dataset.photos.formats.table import FORMATS
from dpedtool.dataset.places import printable
from dpedtool.pipeline.records import versions
from dpedtool.pipeline.runner import default_workers
from dpedtool.pipeline.session.run import PARAMS, check_session

EXTRAS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "repro": ({"dvc": "dvc"}, "`dpedtool run` and `dvc repro`"),
    "demo": ({"skimage": "scikit-image"}, "the simulated demo"),
    **{
        extra.name: ({extra.module: extra.package}, f"{extra.files} files")
        for format_ in FORMATS
        if (extra := format_.extra)
    },
    "vgg": ({"scipy": "scipy"}, "VGG weights from a .mat file"),
    "onnx": ({"onnx": "onnx", "onnxruntime": "onnxruntime"}, "`dpedtool export`"),
    "litert": ({"litert_torch": "litert-torch"}, "`dpedtool export --format litert`"),
    "tensorboard": ({"tensorboard": "tensorboard"}, "`dpedtool train --tensorboard`"),
}
"""For each extra, its modules with the packages that they come in, and what they are for."""


@dataclass(frozen=True)
class Extra:
    """An optional part of the installation."""

    name: str
    purpose: str
    installed: bool
    install: str
    """The command that installs it."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found on this machine and in this folder."""

    versions: Mapping[str, str]
    python: str
    platform: str
    processors: int
    """That this process may use."""
    memory_gb: float
    """Of the machine."""
    free_disk_gb: float
    """In the folder."""
    gpu: str
    """Its name; empty where PyTorch sees none."""
    formats: tuple[str, ...]
    """Input formats that can be read."""
    extras: tuple[Extra, ...]
    git: bool
    session: str
    """What was looked at: the folder with its params file; empty where there is none."""
    problems: tuple[str, ...] = field(default=())
    """A sentence each; empty where all is well."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def diagnose(folder: Path) -> Diagnosis:
    """Look at this machine and, where the folder has a params file, at the session in it."""
    has_session = (folder / PARAMS).is_file()
    extras = tuple(
        Extra(name, purpose, all(map(_is_installed, packages)), f"pip install {' '.join(packages.values())}")
        for name, (packages, purpose) in EXTRAS.items()
    )
    return Diagnosis(
        versions=versions(),
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        processors=default_workers(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        free_disk_gb=round(shutil.disk_usage(folder).free / 1e9, 1),
        gpu=_gpu(),
        formats=tuple(format_.name for format_ in FORMATS if not format_.missing_extra),
        extras=extras,
        git=shutil.which("git") is not None,
        session=printable(folder.resolve()) if has_session else "",
        problems=tuple(_problems(folder) if has_session else []),
    )


def _problems(folder: Path) -> list[str]:
    checks: list[Callable[[], object]] = [lambda: load_params(folder / PARAMS), lambda: check_session(folder)]
    found: list[str] = []
    for check in checks:
        try:
            check()
        except DpedtoolError as error:
            found.append(str(error))
    return list(dict.fromkeys(found))


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""
