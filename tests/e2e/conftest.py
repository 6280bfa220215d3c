"""What the end-to-end tests share: the installed command as a subprocess, and small simulated photos with truth."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from one_processor import one_processor

from dpedtool.pipeline.rig import Camera, Truth, simulate_pair
from dpedtool.pipeline.rig.collage import wall_of_prints

# No distortion and flat walls, so that the truth is a homography; small, so that a pair takes a fraction of a second.
PHONE = Camera(
    name="phone", width=360, height=270, focal_px=320.0, position_m=(-0.05, 0.0, 0.0), rotation=(0.01, -0.012, 0.015)
)
DSLR = Camera(name="dslr", width=600, height=420, focal_px=480.0)
PROGRESS = re.compile(r"\w+: \d+ of \d+")
SCENES = ("001", "002", "003", "004", "005", "006")


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command as it is installed beside this Python, else the package."""
    script = Path(sys.executable).with_name("dpedtool")
    return [str(script)] if script.exists() else [sys.executable, "-m", "dpedtool"]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """The lines on the error stream, without those on progress, which slow machines print."""
        return [line for line in self.err.splitlines() if line.strip() and not PROGRESS.match(line)]

    @property
    def sentence(self) -> str:
        """The error's one sentence; more than one line is a failure."""
        assert len(self.said) == 1, self.err
        assert self.said[0].startswith("Error: "), self.err
        return self.said[0].removeprefix("Error: ")


Run = Callable[..., Ended]


@pytest.fixture(scope="session")
def dpedtool(command: list[str]) -> Run:
    """Run the command; whatever happens, a user sees neither a traceback nor a warning."""

    def run(*arguments: Any, code: int = 0, stdin: str = "", timeout: float = 120, **options: Any) -> Ended:
        with one_processor():
            done = subprocess.run(
                [*command, *map(str, arguments)],
                input=stdin.encode(),
                capture_output=True,
                timeout=timeout,
                check=False,
                **options,
            )
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ended.err, ended.err
        assert "Warning" not in ended.err, ended.err
        assert ended.code == code, ended
        return ended

    return run


@dataclass(frozen=True)
class Rig:
    """Two folders of simulated photos, `phone` and `dslr`, and the truth of each pair by file stem."""

    folder: Path
    truths: Mapping[str, Truth]

    @property
    def phone(self) -> Path:
        return self.folder / "phone"

    @property
    def dslr(self) -> Path:
        return self.folder / "dslr"

    def photos(self, scene: str) -> tuple[Path, Path]:
        """The two photos of a scene."""
        return self.phone / f"{scene}.png", self.dslr / f"{scene}.png"

    def copy(self, to: Path, scenes: Sequence[str]) -> Rig:
        """Some of the scenes in a folder of their own, to be changed."""
        for camera in ("phone", "dslr"):
            (to / camera).mkdir(parents=True)
            for scene in scenes:
                shutil.copy(self.folder / camera / f"{scene}.png", to / camera)
        return Rig(to, {scene: self.truths[scene] for scene in scenes})


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """Six scenes as PNG. Tests read them, and copy what they change."""
    folder = tmp_path_factory.mktemp("rig")
    rng = np.random.default_rng(7)
    truths = {}
    for camera in ("phone", "dslr"):
        (folder / camera).mkdir()
    for scene in SCENES:
        phone, dslr, truths[scene] = simulate_pair(wall_of_prints(rng, 900, 680), PHONE, DSLR, rng)
        cv2.imwrite(str(folder / "phone" / f"{scene}.png"), phone)
        cv2.imwrite(str(folder / "dslr" / f"{scene}.png"), dslr)
    return Rig(folder, truths)


@pytest.fixture(scope="session")
def aligned(rig: Rig, dpedtool: Run) -> Path:
    """The rig's photos, aligned with one worker. Tests read it, and copy what they change."""
    out = rig.folder / "aligned"
    ended = dpedtool("align", rig.phone, rig.dslr, "-o", out, "--workers", 1)
    assert ended.said == []
    assert "Aligned 6 of 6 pairs" in ended.out
    return out


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that reads every file below a folder, hidden ones too, by its name there."""
    return lambda folder: {name: path.read_bytes() for name, path in _files(folder).items()}


@pytest.fixture(scope="session")
def times() -> Callable[[Path], dict[str, int]]:
    """Return a function that tells when every file below a folder was written, in ns, by its name there."""
    return lambda folder: {name: path.stat().st_mtime_ns for name, path in _files(folder).items()}


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
