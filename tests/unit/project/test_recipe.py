"""dvc.yaml against the code: a stage is made anew when any of the code that it runs changes."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path

import pytest
import yaml

from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.report.overview.process import SECTIONS
from dpedtool.pipeline.report.results import STAGES as RUN_STAGES

ROOT = Path(__file__).parents[3]
RECORDS = "results/records"
PACKAGES = ("dataset", "pipeline", "training")
MODULES = {
    "pair": "pipeline/pair/stage.py",
    "align": "pipeline/align/stage.py",
    "patches": "pipeline/patches/stage.py",
    "split": "dataset/split/stage.py",
    "train": "training/train/stage.py",
    "evaluate": "training/evaluate/stage.py",
    "release": "pipeline/release/build.py pipeline/release/verification/verify.py",
    "report": "pipeline/report/stage.py",
    "captures": "pipeline/rig/session.py",
}


def stages() -> dict[str, dict]:
    recipes = (yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in ("dvc.yaml", "demo/dvc.yaml"))
    return {name: stage for recipe in recipes for name, stage in recipe["stages"].items()}


def file_of(dotted: str) -> Path | None:
    """The file of a module of this project, or None."""
    project, *parts = dotted.split(".")
    if project != "dpedtool" or not parts or parts[0] not in PACKAGES:
        return None
    path = ROOT.joinpath(*parts)
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
    tables = {name: out[name] for out in stages()["align"]["outs"] if isinstance(out, dict) for name in out}
    assert set(tables) == {table, table.replace("alignments", "timings")}
    assert all(out["persist"] for out in tables.values())


def test_every_stage_that_the_report_tells_of_leaves_its_records() -> None:
    for name in RUN_STAGES:
        stage = stages()[name]
        each = ".${item.phone}" if "matrix" in stage else ""
        commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
        records = [f"{RECORDS}/{record}{each}.json" for record in (name, "verify")[: len(commands)]]
        assert [out for out in stage["outs"] if f"{out}".startswith(RECORDS)] == records
        for command, record in zip(commands, records, strict=True):
            assert shlex.split(command)[:3] == ["dpedtool", "--record", record]


def test_the_report_alone_depends_on_records() -> None:
    """Whatever runs makes another record; what depended on it would run for nothing, and so would what it needs."""
    for name, stage in stages().items():
        on_records = [dep for dep in stage["deps"] if Path(dep).is_relative_to(RECORDS) or dep == "results"]
        assert on_records == ([RECORDS] if name == "report" else []), name
        # Else the report would come after it: captures would be made for photos of one's own, too.
        if name not in RUN_STAGES:
            assert RECORDS not in str(stage["cmd"]), name


def test_the_proof_is_kept_beside_the_split() -> None:
    assert shlex.split(stages()["split"]["cmd"][-1])[-2:] == ["--verdict", f"results/splits/{Verdict.FILE}"]


def test_the_report_is_made_anew_when_a_parameter_that_it_shows_changes() -> None:
    assert tuple(stages()["report"]["params"]) == SECTIONS
