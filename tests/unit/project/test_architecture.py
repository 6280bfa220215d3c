"""The order of the folders: what a module imports lies below it, and nobody imports in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from dpedtool.dataset.code_digest import FOLDER, file_of, imported

ROOTS = ("dataset", "pipeline", "training")
ORDER = (
    "dataset",
    "dataset.schema",
    "dataset.sidecars",
    "dataset.photos",
    "training.networks",
    "training",
    "training.weights",
    "training.train",
    "training.enhance",
    "training.evaluate",
    "pipeline",
    "pipeline.rig",
    "pipeline.geometry",
    "pipeline.measure",
    "pipeline.pair",
    "pipeline.align",
    "pipeline.patches",
    "pipeline.split",
    "pipeline.foreign",
    "pipeline.release",
    "pipeline.report",
    "pipeline.session",
    "pipeline.commands",
    "pipeline.cli",
)
"""From below to above. A root's own name stands for the modules that lie in it beside its folders."""


def layer(module: str) -> str:
    """The folder of a module in `ORDER`."""
    parts = module.split(".")[1:]
    folder = ".".join(parts[:2])
    return folder if folder in ORDER or FOLDER.joinpath(*parts[:2]).is_dir() else parts[0]


MODULES = [
    ".".join(["dpedtool", *path.relative_to(FOLDER).with_suffix("").parts]).removesuffix(".__init__")
    for root in ROOTS
    for path in sorted((FOLDER / root).rglob("*.py"))
]
PACKAGES = {f"dpedtool.{root}" for root in ROOTS}
IMPORTS = {module: sorted(imported(module) - {module} - PACKAGES) for module in MODULES}


def users_of(root: str) -> set[str]:
    """The folders of the modules that import anything below a root."""
    return {layer(module) for module in MODULES if any(layer(other).startswith(root) for other in IMPORTS[module])}


def test_every_folder_has_a_place_in_the_order() -> None:
    assert {layer(module) for module in MODULES} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_down(name: str) -> None:
    below = set(ORDER[: ORDER.index(name) + 1])
    own = [module for module in MODULES if layer(module) == name]
    upward = {(module, other) for module in own for other in IMPORTS[module] if layer(other) not in below}
    assert not upward


def test_nothing_imports_in_a_circle() -> None:
    # The package of a module is imported before it, which closes no circle by itself.
    graph = {
        module: [other for other in found if not module.startswith(f"{other}.")] for module, found in IMPORTS.items()
    }
    list(TopologicalSorter(graph).static_order())


def test_dataset_and_training_do_not_know_the_stages_before_them() -> None:
    assert not [user for user in users_of("pipeline") if not user.startswith("pipeline")]


def test_only_the_commands_know_the_network() -> None:
    assert {user for user in users_of("training") if not user.startswith("training")} == {"pipeline.commands"}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_the_functions_for_notebooks(module: str) -> None:
    # They lie above the command line; `imported` knows only the folders below.
    statements = list(ast.walk(ast.parse(file_of(module).read_bytes())))
    names = [alias.name for each in statements if isinstance(each, ast.Import) for alias in each.names]
    names += [each.module or "" for each in statements if isinstance(each, ast.ImportFrom)]
    assert not [name for name in names if name == "dpedtool" or name.startswith("dpedtool.api")]


def test_no_file_is_too_long_to_be_read_in_one_sitting() -> None:
    root = Path(__file__).parents[3]
    files = [path for folder in (*ROOTS, "dpedtool", "tests", "benchmarks") for path in (root / folder).rglob("*.py")]
    long = {path.name: count for path in files if (count := len(path.read_text(encoding="utf-8").splitlines())) > 700}
    assert not long
