"""dvc.yaml against the code: a stage is run again when any of the code that it runs changes."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from dpedtool.dataset.code_digest import file_of
from dpedtool.dataset.sidecars.verdict import Verdict
from dpedtool.pipeline.report.overview.process import SECTIONS
from dpedtool.pipeline.report.results import STAGES as RUN_STAGES
from dpedtool.pipeline.session.recipe import FILES_FOLDER, MODULES, checkout_recipe

ROOT = Path(__file__).parents[3]
RECORDS = "results/records"


def stages() -> dict[str, dict]:
    recipes = (yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in ("dvc.yaml", "demo/dvc.yaml"))
    return {name: stage for recipe in recipes for name, stage in recipe["stages"].items()}


def test_the_recipe_is_what_its_template_makes_of_the_imports() -> None:
    """After a change of imports or of the template: make docs."""
    for name, text in checkout_recipe().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text


def test_every_stage_names_the_modules_that_its_commands_call() -> None:
    assert set(MODULES) == set(stages()) - {"files"}
    for name, modules in MODULES.items():
        assert all(file_of(module).is_file() for module in modules), name


def test_a_stage_of_which_parameters_name_files_depends_on_them() -> None:
    """DVC cannot read the names itself, as keys may be missing or null; a stage writes the files' digests for it."""
    found = stages()
    assert found["files"]["always_changed"]
    written = {path for out in found["files"]["outs"] for path in out}
    depends = {name: path for name, stage in found.items() for path in stage.get("deps", ()) if path in written}
    assert depends == {
        name: f"{FILES_FOLDER}/{name}" for name in ("pair", "align", "split", "train", "evaluate", "release")
    }
    assert set(depends.values()) == written


def test_a_change_of_the_split_trains_nothing_again() -> None:
    assert not [dep for dep in stages()["train"]["deps"] if dep.startswith("pipeline")]


def test_every_output_is_in_the_hand_written_gitignore() -> None:
    ignored = [line.removeprefix("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    for stage in stages().values():
        for output in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path = Path(output if isinstance(output, str) else next(iter(output)))
            assert any(path.is_relative_to(line) for line in ignored if line), path
    assert not any(Path("resultsX").is_relative_to(line) for line in ignored if line)


def test_what_follows_the_alignments_does_not_depend_on_the_times_they_took() -> None:
    """Times differ from run to run; the stages that cut and show would run for nothing."""
    table = "results/aligned/${item.phone}/alignments.parquet"
    assert table in stages()["patches"]["deps"]
    assert "results/aligned/${item.phone}" not in stages()["patches"]["deps"]
    tables = {name: out[name] for out in stages()["align"]["outs"] if isinstance(out, dict) for name in out}
    nodes = "results/aligned/${item.phone}/nodes"
    assert nodes in stages()["patches"]["deps"]
    assert set(tables) == {table, nodes, table.replace("alignments", "timings")}
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
        on_records = [dep for dep in stage.get("deps", ()) if Path(dep).is_relative_to(RECORDS) or dep == "results"]
        assert on_records == ([RECORDS] if name == "report" else []), name
        # Else the report would come after it: captures would be made for photos of one's own, too.
        if name not in RUN_STAGES:
            assert RECORDS not in str(stage["cmd"]), name


def test_the_proof_is_kept_beside_the_split() -> None:
    assert shlex.split(stages()["split"]["cmd"][-1])[-2:] == ["--verdict", f"results/splits/{Verdict.FILE}"]


def test_the_report_is_made_anew_when_a_parameter_that_it_shows_changes() -> None:
    assert tuple(stages()["report"]["params"]) == SECTIONS
