"""A finished session for the blocks of the pages: a small simulated tripod, run once through the commands."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clean_environment import clean_environment
from one_processor import one_processor

# As small as the pages allow: four scenes, and a network that is trained for four steps.
PARAMS = """\
captures: {root: captures, reference: canon, phones: [iphone]}
demo: {scenes: 4, missing: 0}
split: {test: 0.25, validation: 0.25}
train: {channels: 4, blocks: 1, iterations: 4, batch: 2, crop_px: 64, validate_every: 2}
evaluate: {pictures: 2, photos: 0}
release: {name: tripod-pairs, licence: CC-BY-4.0}
"""
CAMERAS = {"dslr": "canon", "phone-a": "iphone", "phone-b": "pixel"}


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the commands of the pages are found, and a git and DVC that know nobody."""
    return dict(clean_environment(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """The session: captures/, params.yaml, results/, and dped/ in the layout of DPED. A page runs in a copy."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    for name in ("dataset", "training"):
        # Modules of users that are called like the project's packages are not in the way.
        (folder / f"{name}.py").write_text("raise RuntimeError('nobody asked for this')\n", encoding="utf-8")

    def run(*words: str) -> None:
        command = ["dpedtool", *words, "--params", "params.yaml"]
        with one_processor():
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def stage(name: str, *words: str) -> None:
        run("--record", f"results/records/{name}.iphone.json", name, *words)

    def release() -> None:
        run("release", "build", "results/splits", "-o", "release", "-S", "release.layouts=[dped]")
        (folder / "release" / "dped").rename(folder / "dped")
        shutil.rmtree(folder / "release")

    run("simulate", "-o", "captures")
    for camera, name in CAMERAS.items():
        (folder / "captures" / camera).rename(folder / "captures" / name)
    stage("pair", "--phone", "iphone", "-o", "results/pairs/iphone")
    stage("align", "results/pairs/iphone", "-o", "results/aligned/iphone", "--no-images")
    stage("patches", "results/aligned/iphone", "-o", "results/patches/iphone")
    run("split", "results/patches", "-o", "results/splits")
    run("split", "--verify", "results/splits", "--verdict", "results/splits/verdict.json")
    with ThreadPoolExecutor() as pool:
        released = pool.submit(release)
        stage("train", "results/splits/iphone.parquet", "-o", "results/models/iphone")
        model = ("--model", "results/models/iphone")
        stage("evaluate", "results/splits/iphone.parquet", *model, "-o", "results/evaluations/iphone")
        released.result()
    return folder
