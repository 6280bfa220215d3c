"""dvc.yaml against the code: a stage is made anew when any of the code that it runs changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = ("dataset", "pipeline", "training")
MODULES = {
    "pair": "pipeline/pairing.py",
    "align": "pipeline/align.py",
    "patches": "pipeline/patches.py",
    "split": "dataset/split.py",
    "train": "training/train.py",
    "evaluate": "training/evaluate.py",
    "release": "pipeline/release/build.py pipeline/release/verification/verify.py",
    "report": "pipeline/report.py",
    "captures": "pipeline/rig/session.py",
}


def stages() -> dict[str, dict]:
    recipes = (yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in ("dvc.yaml", "demo/dvc.yaml"))
    return {name: stage for recipe in recipes for name, stage in recipe["stages"].items()}


def file_of(dotted: str) -> Path | None:
    """The file of a module of this project, or None."""
    path = ROOT.joinpath(*dotted.split("."))
    if dotted.split(".")[0] not in PACKAGES:
        return None
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"


def imports(file: Path) -> set[Path]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(file_of(node.module))
            found |= {file_of(f"{node.module}.{alias.name}") for alias in node.names}
    return {path for path in found if path and path.is_file() and path.name != "__init__.py"}


def code_of(file: Path) -> set[Path]:
    """The file and all that it imports of this project, and what that imports."""
    known, waiting = set(), [file]
    while waiting:
        if (path := waiting.pop()) not in known:
            known.add(path)
            waiting += imports(path)
    return known


@pytest.mark.parametrize("name", MODULES)
def test_a_stage_depends_on_all_the_code_that_it_runs(name: str) -> None:
    named = [ROOT / dependency for dependency in stages()[name]["deps"]]
    code = set().union(*(code_of(ROOT / module) for module in MODULES[name].split()))
    missing = {path for path in code if not any(path.is_relative_to(dep) for dep in named)}
    assert not missing


def test_every_stage_is_held_against_its_code() -> None:
    assert set(stages()) == set(MODULES)


def test_every_output_is_in_the_hand_written_gitignore() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for stage in stages().values():
        for output in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path = output if isinstance(output, str) else next(iter(output))
            assert any(f"/{path}".startswith(line) for line in ignored if line.startswith("/")), path


def test_what_follows_the_alignments_does_not_depend_on_the_times_they_took() -> None:
    """Times differ from run to run; the stages that cut and show would run for nothing."""
    table = "results/aligned/${item.phone}/alignments.parquet"
    assert table in stages()["patches"]["deps"]
    assert "results/aligned/${item.phone}" not in stages()["patches"]["deps"]
    assert {next(iter(out)) for out in stages()["align"]["outs"]} == {table, table.replace("alignments", "timings")}
    assert all(next(iter(out.values()))["persist"] for out in stages()["align"]["outs"])
